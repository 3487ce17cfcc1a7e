//! A safetensors file, written tensor by tensor, row by row.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use safetensors::Dtype;
use serde_json::json;

use super::BenchError;
use crate::artefact::io_error;

/// A tensor whose bytes are made while they are written.
pub(super) struct Column<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    fill: Box<Fill<'a>>,
}

type Fill<'a> = dyn FnOnce(&mut dyn Write) -> std::io::Result<()> + 'a;

impl<'a> Column<'a> {
    pub fn new(
        name: impl Into<String>,
        dtype: Dtype,
        shape: &[usize],
        fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + 'a,
    ) -> Self {
        Self { name: name.into(), dtype, shape: shape.to_vec(), fill: Box::new(fill) }
    }

    /// Numbers that are at hand.
    pub fn from_values<T: bytemuck::NoUninit>(
        name: &str,
        dtype: Dtype,
        shape: &[usize],
        values: &'a [T],
    ) -> Self {
        Self::new(name, dtype, shape, |out| out.write_all(bytemuck::cast_slice(values)))
    }
}

/// A safetensors file whose tensors are never in memory as a whole.
pub(super) fn write_columns(path: &Path, columns: Vec<Column<'_>>) -> Result<(), BenchError> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for Column { name, dtype, shape, .. } in &columns {
        let start = end;
        end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
        header.insert(
            name.clone(),
            json!({ "dtype": dtype.to_string(), "shape": shape, "data_offsets": [start, end] }),
        );
    }
    let mut head = serde_json::Value::Object(header).to_string().into_bytes();
    head.resize(head.len().next_multiple_of(8), b' ');
    let mut out = BufWriter::with_capacity(1 << 20, File::create_new(path).map_err(io_error(path))?);
    let written = out.write_all(&(head.len() as u64).to_le_bytes()).and_then(|()| out.write_all(&head));
    written.map_err(io_error(path))?;
    for column in columns {
        (column.fill)(&mut out).map_err(io_error(path))?;
    }
    out.flush().map_err(io_error(path))?;
    Ok(())
}

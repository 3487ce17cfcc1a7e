//! The writer of feature stores, row by row.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::f16;
use serde_json::{Value, json};

use super::FeatureError;
use super::error::io_error;
use super::store::{FILE, KIND, Precision, SCHEMA_VERSION};
use crate::artefact::{Manifest, Staging};

/// Alignment of the header in bytes, so that every tensor is aligned in the map.
const ALIGNMENT: usize = 64;

/// A feature store under construction. It takes memory for one row and 4 bytes an item, and leaves nothing behind when
/// dropped without [`StoreWriter::finish`].
pub struct StoreWriter {
    staging: Staging,
    path: PathBuf,
    file: BufWriter<File>,
    header_bytes: u64,
    lengths: Vec<i32>,
    /// The first row that has not been written.
    next: usize,
    tokens: usize,
    width: usize,
    precision: Precision,
}

impl StoreWriter {
    /// Starts a store of `items` items (padding not counted) with up to `tokens` tokens of `width` values.
    ///
    /// # Errors
    /// The destination exists or can't be written, or a dimension is 0 or too large.
    pub fn create(
        dest: &Path,
        items: usize,
        tokens: usize,
        width: usize,
        precision: Precision,
    ) -> Result<Self, FeatureError> {
        let Some((lengths_end, tokens_end)) = layout(items, tokens, width, precision) else {
            let shape = vec![items.saturating_add(1), tokens, width];
            let wanted = "at least one item, token and value, and a size that a file can have";
            return Err(FeatureError::Shape { path: dest.to_owned(), shape, wanted });
        };
        let dtype = if precision == Precision::F16 { "F16" } else { "F32" };
        let header = json!({
            "lengths": { "dtype": "I32", "shape": [items + 1], "data_offsets": [0, lengths_end] },
            "tokens": { "dtype": dtype, "shape": [items + 1, tokens, width], "data_offsets": [lengths_end, tokens_end] },
        });
        let mut json = header.to_string().into_bytes();
        json.resize((8 + json.len()).next_multiple_of(ALIGNMENT) - 8, b' ');

        let staging = Staging::create(dest)?;
        let path = staging.path(FILE);
        let file = File::create_new(&path).map_err(io_error(&path))?;
        let mut writer = Self {
            staging,
            file: BufWriter::with_capacity(1 << 20, file),
            header_bytes: 8 + json.len() as u64,
            lengths: vec![0; items + 1],
            next: 0,
            tokens,
            width,
            precision,
            path,
        };
        // Lengths come first, which aligns them, and are filled in at the end.
        writer.write(&(json.len() as u64).to_le_bytes())?;
        writer.write(&json)?;
        writer.zeros(lengths_end)?;
        Ok(writer)
    }

    /// Appends `item`'s tokens, `length * f` values with a length of 1 to T. Items come in ascending order;
    /// those left out are missing.
    ///
    /// # Errors
    /// Wrong order, number or size of tokens; a value that is not finite or does not fit the precision.
    pub fn push(&mut self, item: u32, tokens: &[f32]) -> Result<(), FeatureError> {
        let refuse = |reason: String| Err(FeatureError::BadRow { item, reason });
        let row = item as usize;
        if row == 0 || row >= self.lengths.len() {
            return refuse(format!("the store has items 1 to {}", self.lengths.len() - 1));
        }
        if row < self.next {
            return refuse("rows must come in ascending order".into());
        }
        let length = tokens.len() / self.width;
        if length == 0 || length > self.tokens || length * self.width != tokens.len() {
            return refuse(format!(
                "{} values are not 1 to {} tokens of {}",
                tokens.len(),
                self.tokens,
                self.width
            ));
        }
        let mut bytes = Vec::with_capacity(tokens.len() * self.precision.bytes());
        for &value in tokens {
            let fits = match self.precision {
                Precision::F16 => {
                    let narrow = f16::from_f32(value);
                    bytes.extend_from_slice(&narrow.to_le_bytes());
                    narrow.is_finite()
                }
                Precision::F32 => {
                    bytes.extend_from_slice(&value.to_le_bytes());
                    value.is_finite()
                }
            };
            if !fits {
                return Err(FeatureError::OutOfRange { item, value, precision: self.precision.name() });
            }
        }
        let row_bytes = self.row_bytes();
        self.zeros((row - self.next) * row_bytes)?;
        self.write(&bytes)?;
        self.zeros(row_bytes - bytes.len())?;
        self.lengths[row] = length as i32;
        self.next = row + 1;
        Ok(())
    }

    /// The path for an additional file of the store, such as a list of missing items.
    pub fn extra_path(&self, name: &str) -> PathBuf {
        self.staging.path(name)
    }

    /// Completes the store. `about` is a JSON object that describes the origin of the features; shape, type and number
    /// of missing items are added.
    ///
    /// # Errors
    /// Any I/O failure; nothing is then left at the destination.
    pub fn finish(mut self, about: Value) -> Result<Manifest, FeatureError> {
        let rest = (self.lengths.len() - self.next) * self.row_bytes();
        self.zeros(rest)?;
        let lengths: Vec<u8> = self.lengths.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.file.seek(SeekFrom::Start(self.header_bytes)).map_err(io_error(&self.path))?;
        self.write(&lengths)?;
        self.file.flush().map_err(io_error(&self.path))?;
        drop(self.file);

        let items = self.lengths.len() - 1;
        let missing = self.lengths[1..].iter().filter(|&&n| n == 0).count();
        let mut about = if about.is_object() { about } else { json!({ "note": about }) };
        about["items"] = json!(items);
        about["tokens"] = json!(self.tokens);
        about["width"] = json!(self.width);
        about["dtype"] = json!(self.precision.name());
        about["missing"] = json!(missing);
        Ok(self.staging.commit(KIND, SCHEMA_VERSION, about)?)
    }

    fn row_bytes(&self) -> usize {
        self.tokens * self.width * self.precision.bytes()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FeatureError> {
        self.file.write_all(bytes).map_err(io_error(&self.path))
    }

    fn zeros(&mut self, count: usize) -> Result<(), FeatureError> {
        let mut zeros = io::Read::take(io::repeat(0), count as u64);
        io::copy(&mut zeros, &mut self.file).map_err(io_error(&self.path))?;
        Ok(())
    }
}

/// Offsets at which `lengths` and `tokens` end after the header, in bytes; `None` on overflow.
fn layout(items: usize, tokens: usize, width: usize, precision: Precision) -> Option<(usize, usize)> {
    if items == 0 || tokens == 0 || width == 0 || items >= u32::MAX as usize || tokens > i32::MAX as usize {
        return None;
    }
    let lengths = (items + 1).checked_mul(4)?;
    let values = (items + 1).checked_mul(tokens)?.checked_mul(width)?.checked_mul(precision.bytes())?;
    Some((lengths, lengths.checked_add(values).filter(|&end| isize::try_from(end).is_ok())?))
}

//! One flat Parquet column of a row group, read in batches, its nulls put on rows.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};

use super::cell::{Cell, Decoder};
use super::types::Role;

/// A column of one row group, read in batches.
pub struct Column {
    reader: ColumnReader,
    descr: ColumnDescPtr,
    cell: Decoder,
    /// Definition levels of the batch.
    definitions: Vec<i16>,
    cells: Vec<Cell>,
}

impl Column {
    /// `role` decides how values become cells.
    pub fn new(reader: ColumnReader, descr: ColumnDescPtr, role: Role) -> Self {
        let cell = Decoder::new(&descr, role);
        Self { reader, descr, cell, definitions: Vec::new(), cells: Vec::new() }
    }

    /// Reads up to `rows` rows. Returns how many there were.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(&mut self, rows: usize) -> Result<usize> {
        let Self { reader, descr, cell, definitions, cells } = self;
        let (cell, out) = (*cell, (definitions, cells));
        match reader {
            ColumnReader::BoolColumnReader(r) => read_cells(r, descr, rows, out, |&flag| {
                Cell::Text(if flag { "true" } else { "false" }.to_owned())
            }),
            ColumnReader::Int32ColumnReader(r) => read_cells(r, descr, rows, out, |&n| cell.int32(n)),
            ColumnReader::Int64ColumnReader(r) => read_cells(r, descr, rows, out, |&n| cell.int64(n)),
            ColumnReader::Int96ColumnReader(r) => read_cells(r, descr, rows, out, |n| cell.int96(n)),
            // The shortest text of a short float is the number that was meant: 0.1 and not 0.10000000149.
            ColumnReader::FloatColumnReader(r) if cell.role != Role::Value => {
                read_cells(r, descr, rows, out, |&x| cell.float(x.to_string().parse().unwrap_or(f64::NAN)))
            }
            ColumnReader::FloatColumnReader(r) => {
                read_cells(r, descr, rows, out, |&x| cell.float(f64::from(x)))
            }
            ColumnReader::DoubleColumnReader(r) => read_cells(r, descr, rows, out, |&x| cell.float(x)),
            ColumnReader::ByteArrayColumnReader(r) => {
                read_cells(r, descr, rows, out, |b| cell.bytes(b.data(), || Cell::Bytes(b.clone())))
            }
            ColumnReader::FixedLenByteArrayColumnReader(r) => {
                read_cells(r, descr, rows, out, |b| cell.bytes(b.data(), || Cell::Null))
            }
        }
    }

    /// Takes the cell of row `row` of the batch, and leaves null.
    pub fn take(&mut self, row: usize) -> Cell {
        std::mem::take(&mut self.cells[row])
    }
}

/// Reads a batch and assigns values to rows: a definition level below the highest means null.
fn read_cells<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    descr: &ColumnDescriptor,
    rows: usize,
    (definitions, cells): (&mut Vec<i16>, &mut Vec<Cell>),
    cell: impl Fn(&T::T) -> Cell,
) -> Result<usize> {
    definitions.clear();
    cells.clear();
    let mut values = Vec::new();
    let (records, _, levels) = reader.read_records(rows, Some(definitions), None, &mut values)?;
    let mut values = values.iter();
    for level in 0..levels {
        let is_null = definitions.get(level).is_some_and(|&d| d < descr.max_def_level());
        cells.push(if is_null { Cell::Null } else { values.next().map_or(Cell::Null, &cell) });
    }
    if cells.len() == records { Ok(records) } else { Err(ParquetError::General("damaged levels".into())) }
}

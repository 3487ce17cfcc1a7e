//! One Parquet column as cells: its type checked against its role, its levels turned into rows.

use std::borrow::Cow;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, SchemaDescriptor};

use super::super::value::join;
use super::super::{RawTime, SourceError};

/// What a column is read as.
#[derive(Clone, Copy)]
pub enum Role {
    /// A string or an integer.
    Id,
    /// An integer, float or time stamp.
    Time,
    /// An integer or float.
    Value,
    /// A string, an integer, or a list of them joined by this.
    Text(&'static str),
    /// A string, a number, true or false, or a list of them joined by `|`: whatever items can be chosen by.
    Kept,
}

impl Role {
    /// What stands between the elements of a list; absent where a list makes no sense.
    fn separator(self) -> Option<&'static str> {
        match self {
            Self::Text(separator) => Some(separator),
            Self::Kept => Some("|"),
            Self::Id | Self::Time | Self::Value => None,
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::Id => "a string or an integer",
            Self::Time => "a time stamp or a number",
            Self::Value => "a number",
            Self::Text(_) => "a string or a list of strings",
            Self::Kept => "a string, a number, a truth value or a list of them",
        }
    }
}

/// One value of one row.
#[derive(Clone, Debug, Default)]
pub enum Cell {
    #[default]
    Null,
    Int(i64),
    Float(f64),
    Bytes(ByteArray),
    Text(String),
    Time(RawTime),
}

impl Cell {
    /// The cell as text; empty for null.
    pub fn text(&self) -> std::result::Result<Cow<'_, str>, &'static str> {
        Ok(match self {
            Self::Null | Self::Time(_) => Cow::Borrowed(""),
            Self::Int(n) => Cow::Owned(n.to_string()),
            Self::Float(x) => Cow::Owned(x.to_string()),
            Self::Bytes(bytes) => Cow::Borrowed(std::str::from_utf8(bytes.data()).map_err(|_| "not UTF-8")?),
            Self::Text(text) => Cow::Borrowed(text),
        })
    }

    pub fn time(&self) -> Option<RawTime> {
        if let Self::Time(time) = self { Some(*time) } else { None }
    }

    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }
}

/// The leaf of top-level column `root`, if its type fits the role.
pub fn leaf(
    path: &Path,
    schema: &SchemaDescriptor,
    root: usize,
    role: Role,
) -> std::result::Result<usize, SourceError> {
    let leaves: Vec<usize> =
        (0..schema.num_columns()).filter(|&n| schema.get_column_root_idx(n) == root).collect();
    let wrong = |found: String| SourceError::WrongType {
        path: path.to_owned(),
        column: schema.root_schema().get_fields().get(root).map_or_else(String::new, |f| f.name().to_owned()),
        found,
        wanted: role.wanted(),
    };
    let &[leaf] = leaves.as_slice() else {
        return Err(wrong(format!("a group of {} columns", leaves.len())));
    };
    let column = schema.column(leaf);
    if column.max_rep_level() > 1 || (column.max_rep_level() == 1 && role.separator().is_none()) {
        return Err(wrong(format!("a list of {}", describe(&column))));
    }
    if fits(&column, role) { Ok(leaf) } else { Err(wrong(describe(&column))) }
}

fn fits(column: &ColumnDescriptor, role: Role) -> bool {
    use ConvertedType as C;
    let annotation = column.converted_type();
    let plain_int = matches!(
        annotation,
        C::NONE
            | C::INT_8
            | C::INT_16
            | C::INT_32
            | C::INT_64
            | C::UINT_8
            | C::UINT_16
            | C::UINT_32
            | C::UINT_64
    );
    let is_time = !matches!(time_unit(column), Unit::Guess);
    match (column.physical_type(), role) {
        (Physical::BYTE_ARRAY, Role::Id | Role::Text(_) | Role::Kept) => {
            matches!(annotation, C::NONE | C::UTF8 | C::ENUM | C::JSON)
        }
        (Physical::INT32 | Physical::INT64, Role::Time) => plain_int || is_time,
        (Physical::INT32 | Physical::INT64, _) => plain_int && !is_time,
        (Physical::INT96, Role::Time) => true,
        (Physical::FLOAT | Physical::DOUBLE, Role::Time | Role::Value | Role::Kept) => true,
        (Physical::BOOLEAN, Role::Kept) => true,
        _ => false,
    }
}

fn describe(column: &ColumnDescriptor) -> String {
    match column.converted_type() {
        ConvertedType::NONE => column.physical_type().to_string(),
        annotation => format!("{} ({annotation})", column.physical_type()),
    }
}

/// What one step of an integer time is.
#[derive(Clone, Copy)]
enum Unit {
    /// No annotation: told by the magnitude.
    Guess,
    Days,
    /// So many in a second.
    PerSecond(i64),
}

fn time_unit(column: &ColumnDescriptor) -> Unit {
    if let Some(LogicalType::Timestamp(stamp)) = column.logical_type_ref() {
        return Unit::PerSecond(match stamp.unit {
            TimeUnit::MILLIS => 1_000,
            TimeUnit::MICROS => 1_000_000,
            TimeUnit::NANOS => 1_000_000_000,
        });
    }
    match column.converted_type() {
        ConvertedType::TIMESTAMP_MILLIS => Unit::PerSecond(1_000),
        ConvertedType::TIMESTAMP_MICROS => Unit::PerSecond(1_000_000),
        ConvertedType::DATE => Unit::Days,
        _ => Unit::Guess,
    }
}

/// A column of one row group, read in batches.
pub struct Column {
    reader: ColumnReader,
    descr: ColumnDescPtr,
    role: Role,
    /// Definition and repetition levels of the batch.
    levels: (Vec<i16>, Vec<i16>),
    cells: Vec<Cell>,
}

impl Column {
    pub fn new(reader: ColumnReader, descr: ColumnDescPtr, role: Role) -> Self {
        Self { reader, descr, role, levels: (Vec::new(), Vec::new()), cells: Vec::new() }
    }

    /// Reads up to `rows` rows. Returns how many there were.
    pub fn read(&mut self, rows: usize) -> Result<usize> {
        let Self { reader, descr, role, levels, cells } = self;
        let unsigned = descr.converted_type() == ConvertedType::UINT_64;
        let unit = time_unit(descr);
        let time = matches!(role, Role::Time);
        let int = |n: i64| match unit {
            _ if !time && unsigned && n < 0 => Cell::Text(n.cast_unsigned().to_string()),
            _ if !time => Cell::Int(n),
            Unit::Guess => Cell::Time(RawTime::Number(n)),
            Unit::Days => RawTime::of_days(n).map_or(Cell::Null, Cell::Time),
            Unit::PerSecond(steps) => RawTime::of_steps(n, steps).map_or(Cell::Null, Cell::Time),
        };
        let float = |x: f64| match RawTime::of_f64(x) {
            _ if !time => Cell::Float(x),
            Some(moment) => Cell::Time(moment),
            None => Cell::Null,
        };
        let kept = matches!(role, Role::Kept);
        let small_unsigned = descr.converted_type() == ConvertedType::UINT_32;
        let int32 = |&n: &i32| int(if small_unsigned { i64::from(n.cast_unsigned()) } else { i64::from(n) });
        match reader {
            ColumnReader::Int32ColumnReader(r) => cells_of(r, descr, rows, levels, cells, *role, int32),
            ColumnReader::Int64ColumnReader(r) => cells_of(r, descr, rows, levels, cells, *role, |&n| int(n)),
            ColumnReader::Int96ColumnReader(r) => {
                // Not `to_seconds` of the library: it overflows on damaged days.
                let second = |n: &parquet::data_type::Int96| {
                    let [low, high, day] = [n.data()[0], n.data()[1], n.data()[2]].map(i64::from);
                    let nanos = (day - 2_440_588).checked_mul(86_400_000_000_000);
                    let nanos = nanos.and_then(|nanos| nanos.checked_add((high << 32) | low));
                    nanos.map_or(Cell::Null, |nanos| Cell::Time(RawTime::Moment(nanos)))
                };
                cells_of(r, descr, rows, levels, cells, *role, second)
            }
            // As decimal digits before it is widened: 0.1 stays 0.1.
            ColumnReader::FloatColumnReader(r) if kept => {
                cells_of(r, descr, rows, levels, cells, *role, |x| digits(x.is_nan(), x))
            }
            ColumnReader::FloatColumnReader(r) => {
                cells_of(r, descr, rows, levels, cells, *role, |&x| float(f64::from(x)))
            }
            ColumnReader::DoubleColumnReader(r) if kept => {
                cells_of(r, descr, rows, levels, cells, *role, |x| digits(x.is_nan(), x))
            }
            ColumnReader::BoolColumnReader(r) => {
                cells_of(r, descr, rows, levels, cells, *role, |b| Cell::Text(b.to_string()))
            }
            ColumnReader::DoubleColumnReader(r) => {
                cells_of(r, descr, rows, levels, cells, *role, |&x| float(x))
            }
            ColumnReader::ByteArrayColumnReader(r) => {
                cells_of(r, descr, rows, levels, cells, *role, |b| Cell::Bytes(b.clone()))
            }
            _ => Err(ParquetError::General("the row group's type is not the schema's".into())),
        }
    }

    /// Row `row` of the batch; leaves null behind.
    pub fn take(&mut self, row: usize) -> Cell {
        std::mem::take(&mut self.cells[row])
    }
}

/// A number as it is written; NaN stands for none in tables that can't say null.
fn digits(is_nan: bool, number: impl ToString) -> Cell {
    if is_nan { Cell::Null } else { Cell::Text(number.to_string()) }
}

/// Reads a batch and puts values on rows by their levels (Dremel): a definition level below the highest is null,
/// a repetition level of 0 starts a row.
fn cells_of<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    descr: &ColumnDescriptor,
    rows: usize,
    (definitions, repetitions): &mut (Vec<i16>, Vec<i16>),
    cells: &mut Vec<Cell>,
    role: Role,
    cell: impl Fn(&T::T) -> Cell,
) -> Result<usize> {
    definitions.clear();
    repetitions.clear();
    cells.clear();
    let mut values = Vec::new();
    let (records, _, levels) =
        reader.read_records(rows, Some(definitions), Some(repetitions), &mut values)?;
    let mut values = values.iter();
    for level in 0..levels {
        let is_null = definitions.get(level).is_some_and(|&d| d < descr.max_def_level());
        let value = if is_null { Cell::Null } else { values.next().map_or(Cell::Null, &cell) };
        match (repetitions.get(level), cells.last_mut()) {
            (Some(1..), Some(last)) => append(last, &value, role),
            _ => cells.push(value),
        }
    }
    if cells.len() == records { Ok(records) } else { Err(ParquetError::General("damaged levels".into())) }
}

/// Joins a further element of a list to the row's cell.
fn append(last: &mut Cell, value: &Cell, role: Role) {
    let Some(separator) = role.separator() else { return };
    // Elements that aren't UTF-8 are as good as missing: a list has no place to report them.
    let mut text = last.text().map(Cow::into_owned).unwrap_or_default();
    join(&mut text, separator, &value.text().unwrap_or_default());
    *last = Cell::Text(text);
}

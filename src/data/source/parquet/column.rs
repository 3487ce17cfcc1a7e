//! One flat Parquet column as cells: its type checked against its role, its nulls put on rows.

use std::borrow::Cow;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, Int96};
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, SchemaDescriptor};
use serde_json::Value;

use super::super::time::no_text;
use super::super::value::parse_value;
use super::super::{RawTime, SourceError};
use crate::hex::hex;

/// What a column is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A string, an integer, or a decimal without a fraction.
    Id,
    /// A time stamp, a number, or a text.
    Time,
    /// A number, also as a text.
    Value,
    /// Anything but raw bytes; lists and objects are read as records.
    Text,
}

impl Role {
    fn wanted(self) -> &'static str {
        match self {
            Self::Id => "a string or an integer",
            Self::Time => "a time stamp, a number or a string",
            Self::Value => "a number",
            Self::Text => "a string, a number, or a list or group of them",
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
    /// A value that makes no sense in its role.
    Wrong(String),
    /// A list or an object.
    Nested(Value),
}

impl Cell {
    /// The cell as text; empty for null.
    pub fn text(&self) -> std::result::Result<Cow<'_, str>, String> {
        Ok(match self {
            Self::Null | Self::Time(_) | Self::Nested(_) => Cow::Borrowed(""),
            Self::Int(n) => Cow::Owned(n.to_string()),
            Self::Float(x) => Cow::Owned(x.to_string()),
            Self::Bytes(bytes) => Cow::Borrowed(std::str::from_utf8(bytes.data()).map_err(|_| "not UTF-8")?),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Wrong(reason) => return Err(reason.clone()),
        })
    }

    /// No text, or a blank one.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bytes(bytes) => bytes.data().iter().all(u8::is_ascii_whitespace),
            Self::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    /// The cell as a time; texts are read by `format`.
    pub fn time(&self, format: Option<&str>) -> std::result::Result<RawTime, String> {
        match self {
            Self::Null => Ok(RawTime::Missing),
            // A format that was asked for reads all times or none.
            Self::Time(RawTime::Number(n)) if format.is_some() => RawTime::parse(&n.to_string(), format),
            Self::Time(_) if format.is_some() => Err(no_text(&"the column's type")),
            Self::Time(time) => Ok(*time),
            other => RawTime::parse(&other.text()?, format),
        }
    }

    /// The cell as a finite number.
    pub fn value(&self) -> std::result::Result<Option<f64>, String> {
        match self {
            Self::Null => Ok(None),
            Self::Int(n) => Ok(Some(*n as f64)),
            Self::Float(x) if x.is_finite() => Ok(Some(*x)),
            Self::Float(_) => Err("not finite".into()),
            other => parse_value(&other.text()?),
        }
    }
}

/// The leaf of top-level column `root`, if it is flat: one value a row.
pub fn leaf(schema: &SchemaDescriptor, root: usize) -> Option<usize> {
    let field = schema.root_schema().get_fields().get(root)?;
    let mut leaves = (0..schema.num_columns()).filter(|&n| schema.get_column_root_idx(n) == root);
    let leaf = leaves.next()?;
    (field.is_primitive() && schema.column(leaf).max_rep_level() == 0).then_some(leaf)
}

/// Whether the type of top-level column `root` fits the role.
///
/// # Errors
/// It doesn't.
pub fn check(
    path: &Path,
    schema: &SchemaDescriptor,
    root: usize,
    role: Role,
) -> std::result::Result<(), SourceError> {
    let found = match leaf(schema, root) {
        Some(leaf) if fits(&schema.column(leaf), role) => return Ok(()),
        Some(leaf) => describe(&schema.column(leaf)),
        None if role == Role::Text => return Ok(()),
        None => {
            let leaves: Vec<usize> =
                (0..schema.num_columns()).filter(|&n| schema.get_column_root_idx(n) == root).collect();
            match leaves.as_slice() {
                &[leaf] => format!("a list of {}", describe(&schema.column(leaf))),
                leaves => format!("a group of {} columns", leaves.len()),
            }
        }
    };
    let fields = schema.root_schema().get_fields();
    let column = fields.get(root).map_or_else(String::new, |f| f.name().to_owned());
    Err(SourceError::WrongType { path: path.to_owned(), column, found, wanted: role.wanted() })
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
    let is_time = !matches!(time_unit(column), Unit::Column);
    let is_text = matches!(annotation, C::NONE | C::UTF8 | C::ENUM | C::JSON);
    match (column.physical_type(), role) {
        (_, _) if annotation == C::DECIMAL => true,
        (Physical::BYTE_ARRAY, _) => is_text,
        (Physical::FIXED_LEN_BYTE_ARRAY, Role::Id | Role::Text) => is_uuid(column),
        (Physical::FIXED_LEN_BYTE_ARRAY, Role::Value) => is_half(column),
        (Physical::INT32 | Physical::INT64, Role::Time | Role::Text) => plain_int || is_time,
        (Physical::INT32 | Physical::INT64, _) => plain_int && !is_time,
        (Physical::INT96, Role::Time | Role::Text) => true,
        (Physical::FLOAT | Physical::DOUBLE, Role::Time | Role::Value | Role::Text) => true,
        (Physical::BOOLEAN, Role::Text) => true,
        _ => false,
    }
}

fn is_uuid(column: &ColumnDescriptor) -> bool {
    column.logical_type_ref() == Some(&LogicalType::Uuid) && column.type_length() == 16
}

fn is_half(column: &ColumnDescriptor) -> bool {
    column.logical_type_ref() == Some(&LogicalType::Float16) && column.type_length() == 2
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
    /// No annotation: the column's sizes tell.
    Column,
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
        _ => Unit::Column,
    }
}

/// How a column's values become cells.
#[derive(Clone, Copy)]
struct Reader {
    role: Role,
    unit: Unit,
    /// Digits behind the point, of a decimal.
    scale: Option<i32>,
    converted: ConvertedType,
    uuid: bool,
    half: bool,
}

impl Reader {
    fn of(column: &ColumnDescriptor, role: Role) -> Self {
        let converted = column.converted_type();
        let scale = (converted == ConvertedType::DECIMAL).then(|| column.type_scale());
        let (uuid, half) = (is_uuid(column), is_half(column));
        Self { role, unit: time_unit(column), scale, converted, uuid, half }
    }

    fn int32(self, n: i32) -> Cell {
        let unsigned = self.converted == ConvertedType::UINT_32;
        self.int(if unsigned { i64::from(n.cast_unsigned()) } else { i64::from(n) })
    }

    fn int64(self, n: i64) -> Cell {
        if self.converted == ConvertedType::UINT_64 && n < 0 {
            return Cell::Text(n.cast_unsigned().to_string());
        }
        self.int(n)
    }

    fn int(self, n: i64) -> Cell {
        if let Some(scale) = self.scale {
            return self.decimal(i128::from(n), scale);
        }
        let time = match self.unit {
            Unit::Column if self.role == Role::Time => Ok(RawTime::Number(n)),
            Unit::Column => return Cell::Int(n),
            Unit::Days => RawTime::of_days(n),
            Unit::PerSecond(steps) => RawTime::of_steps(n, steps),
        };
        self.time(time)
    }

    /// A time in its role, or as the text that it is elsewhere.
    fn time(self, time: std::result::Result<RawTime, String>) -> Cell {
        match time {
            Ok(RawTime::Moment(nanos)) if self.role == Role::Text => {
                let text = jiff::Timestamp::from_nanosecond(i128::from(nanos)).map(|t| t.to_string());
                let days = matches!(self.unit, Unit::Days);
                text.map_or(Cell::Null, |t| Cell::Text(if days { t.chars().take(10).collect() } else { t }))
            }
            Ok(time) => Cell::Time(time),
            Err(reason) => Cell::Wrong(reason),
        }
    }

    fn int96(self, n: &Int96) -> Cell {
        // Not `to_seconds` of the library: it overflows on damaged days.
        let [low, high, day] = [n.data()[0], n.data()[1], n.data()[2]].map(i128::from);
        let nanos = (day - 2_440_588) * 86_400_000_000_000 + ((high << 32) | low);
        let out_of_range = |_| format!("Julian day {day} lies outside the years 1678 to 2261");
        self.time(i64::try_from(nanos).map(RawTime::Moment).map_err(out_of_range))
    }

    fn float(self, x: f64) -> Cell {
        match self.role {
            // As other programs write a missing number.
            Role::Time | Role::Text if x.is_nan() => Cell::Null,
            Role::Time => self.time(RawTime::of_f64(x).ok_or_else(|| format!("{x} is no time"))),
            _ => Cell::Float(x),
        }
    }

    fn bytes(self, bytes: &[u8], whole: impl FnOnce() -> Cell) -> Cell {
        if let Some(scale) = self.scale {
            return big_endian(bytes).map_or_else(
                || Cell::Wrong("a decimal beyond 38 digits".into()),
                |n| self.decimal(n, scale),
            );
        }
        match bytes {
            &[low, high] if self.half => self.float(f64::from(half::f16::from_le_bytes([low, high]))),
            _ if self.uuid => Cell::Text(uuid(bytes)),
            _ => whole(),
        }
    }

    fn decimal(self, unscaled: i128, scale: i32) -> Cell {
        let text = decimal(unscaled, scale);
        if self.role != Role::Id {
            return Cell::Text(text);
        }
        match text.split_once('.') {
            Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => Cell::Text(whole.to_owned()),
            Some(_) => Cell::Wrong(format!("{text} is no id: a decimal with a fraction")),
            None => Cell::Text(text),
        }
    }
}

/// A decimal's digits with its point.
pub fn decimal(unscaled: i128, scale: i32) -> String {
    let Ok(scale) = usize::try_from(scale) else { return unscaled.to_string() };
    if scale == 0 {
        return unscaled.to_string();
    }
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale.min(1 << 10) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale.min(1 << 10));
    format!("{sign}{whole}.{fraction}")
}

/// A signed number of up to 128 bits, in two's complement.
pub fn big_endian(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.first()? >> 7 == 1 { 0xff } else { 0 };
    let split = bytes.len().saturating_sub(16);
    let (head, tail) = bytes.split_at(split);
    let negative = tail.first().is_some_and(|first| first >> 7 == 1);
    if head.iter().any(|&byte| byte != fill) || (split > 0 && negative != (fill == 0xff)) {
        return None;
    }
    let mut number = [fill; 16];
    number[16 - tail.len()..].copy_from_slice(tail);
    Some(i128::from_be_bytes(number))
}

fn uuid(bytes: &[u8]) -> String {
    let hex = hex(bytes);
    let at = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [at(0, 8), at(8, 12), at(12, 16), at(16, 20), at(20, 32)].join("-")
}

/// A column of one row group, read in batches.
pub struct Column {
    reader: ColumnReader,
    descr: ColumnDescPtr,
    cell: Reader,
    /// Definition levels of the batch.
    definitions: Vec<i16>,
    cells: Vec<Cell>,
}

impl Column {
    pub fn new(reader: ColumnReader, descr: ColumnDescPtr, role: Role) -> Self {
        let cell = Reader::of(&descr, role);
        Self { reader, descr, cell, definitions: Vec::new(), cells: Vec::new() }
    }

    /// Reads up to `rows` rows. Returns how many there were.
    pub fn read(&mut self, rows: usize) -> Result<usize> {
        let Self { reader, descr, cell, definitions, cells } = self;
        let (cell, out) = (*cell, (definitions, cells));
        match reader {
            ColumnReader::BoolColumnReader(r) => cells_of(r, descr, rows, out, |&flag| {
                Cell::Text(if flag { "true" } else { "false" }.to_owned())
            }),
            ColumnReader::Int32ColumnReader(r) => cells_of(r, descr, rows, out, |&n| cell.int32(n)),
            ColumnReader::Int64ColumnReader(r) => cells_of(r, descr, rows, out, |&n| cell.int64(n)),
            ColumnReader::Int96ColumnReader(r) => cells_of(r, descr, rows, out, |n| cell.int96(n)),
            // The shortest text of a short float is the number that was meant: 0.1 and not 0.10000000149.
            ColumnReader::FloatColumnReader(r) if cell.role != Role::Value => {
                cells_of(r, descr, rows, out, |&x| cell.float(x.to_string().parse().unwrap_or(f64::NAN)))
            }
            ColumnReader::FloatColumnReader(r) => {
                cells_of(r, descr, rows, out, |&x| cell.float(f64::from(x)))
            }
            ColumnReader::DoubleColumnReader(r) => cells_of(r, descr, rows, out, |&x| cell.float(x)),
            ColumnReader::ByteArrayColumnReader(r) => {
                cells_of(r, descr, rows, out, |b| cell.bytes(b.data(), || Cell::Bytes(b.clone())))
            }
            ColumnReader::FixedLenByteArrayColumnReader(r) => {
                cells_of(r, descr, rows, out, |b| cell.bytes(b.data(), || Cell::Null))
            }
        }
    }

    /// Row `row` of the batch; leaves null behind.
    pub fn take(&mut self, row: usize) -> Cell {
        std::mem::take(&mut self.cells[row])
    }
}

/// Reads a batch and puts values on rows: a definition level below the highest is null.
fn cells_of<T: DataType>(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_with_all_their_digits() {
        assert_eq!(decimal(1_234_567, 2), "12345.67");
        assert_eq!(decimal(-5, 3), "-0.005");
        assert_eq!(decimal(70, 0), "70");
        assert_eq!(big_endian(&[0xff, 0xfe]), Some(-2));
        assert_eq!(big_endian(&[0; 20]), Some(0));
        assert_eq!(big_endian(&[0x80; 17]), None);
        assert_eq!(big_endian(&[]), None);
    }
}

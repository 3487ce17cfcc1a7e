//! Types of flat Parquet columns, checked against the role that a column plays.

use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::super::SourceError;

/// The role of a Parquet column.
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
    /// The types that fit, for messages.
    fn wanted(self) -> &'static str {
        match self {
            Self::Id => "a string or an integer",
            Self::Time => "a time stamp, a number or a string",
            Self::Value => "a number",
            Self::Text => "a string, a number, or a list or group of them",
        }
    }
}

/// The leaf of top-level column `root` if it's flat, with one value a row.
pub fn leaf(schema: &SchemaDescriptor, root: usize) -> Option<usize> {
    let field = schema.root_schema().get_fields().get(root)?;
    let mut leaves = (0..schema.num_columns()).filter(|&n| schema.get_column_root_idx(n) == root);
    let leaf = leaves.next()?;
    (field.is_primitive() && schema.column(leaf).max_rep_level() == 0).then_some(leaf)
}

/// Checks that the type of top-level column `root` fits the role.
///
/// # Errors
/// [`SourceError::WrongType`], which names both.
pub fn check(path: &Path, schema: &SchemaDescriptor, root: usize, role: Role) -> Result<(), SourceError> {
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

pub fn is_uuid(column: &ColumnDescriptor) -> bool {
    column.logical_type_ref() == Some(&LogicalType::Uuid) && column.type_length() == 16
}

pub fn is_half(column: &ColumnDescriptor) -> bool {
    column.logical_type_ref() == Some(&LogicalType::Float16) && column.type_length() == 2
}

/// The type's name in messages.
fn describe(column: &ColumnDescriptor) -> String {
    match column.converted_type() {
        ConvertedType::NONE => column.physical_type().to_string(),
        annotation => format!("{} ({annotation})", column.physical_type()),
    }
}

/// The unit of an integer time.
#[derive(Clone, Copy)]
pub enum Unit {
    /// No annotation: the sizes of the column's values decide.
    Column,
    Days,
    /// Steps per second.
    PerSecond(i64),
}

pub fn time_unit(column: &ColumnDescriptor) -> Unit {
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

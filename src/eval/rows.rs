//! One row per target and score name, as Parquet: what paired statistics are built on (docs/studies.md, section 2).
//!
//! The file's key-value metadata hold `codistill.part` and `codistill.protocol` (JSON), so that rows of
//! different splits, data or protocols are never compared by accident.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{FileMetaData, KeyValue};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::record::RowAccessor;
use parquet::schema::parser::parse_message_type;
use sha2::{Digest, Sha256};

use super::metrics::{Evaluation, Protocol, Scored};
use super::row::Row;
use crate::artefact::{ArtefactError, write_atomic};
use crate::data::guarded;
use crate::hex::hex;

const PART: &str = "codistill.part";
const PROTOCOL: &str = "codistill.protocol";

/// The rows of one evaluation, as they were stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRows {
    /// `valid` or `test`.
    pub part: String,
    pub protocol: Protocol,
    /// Rows of each score name, in target order.
    pub scored: Vec<(String, Vec<Row>)>,
}

/// Why rows can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error(transparent)]
    Write(#[from] ArtefactError),
    #[error("{path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("{path} does not hold evaluation rows: {reason}")]
    Content { path: PathBuf, reason: String },
    /// Rows and report are of different evaluations.
    #[error("{path}: the rows of `{name}` are not those of {report}: {reason}")]
    Mismatch { path: PathBuf, name: String, report: PathBuf, reason: String },
}

impl RowsError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Write(_) => Some("check that the folder exists and has room".into()),
            Self::Open { .. } | Self::Content { .. } | Self::Mismatch { .. } => {
                Some("`codistill evaluate` writes rows and report of a run anew".into())
            }
        }
    }
}

/// The field of a row that a column holds, with its type.
enum Field {
    Name,
    Int(fn(&Row) -> u32),
    Double(fn(&Row) -> f64),
    Flag(fn(&Row) -> bool),
    OptionalLong(fn(&Row) -> Option<i64>),
}

/// The columns in file order. [`read_row`] relies on the order.
const COLUMNS: [(&str, Field); 11] = [
    ("name", Field::Name),
    ("user", Field::Int(|r| r.user)),
    ("item", Field::Int(|r| r.item)),
    ("rank", Field::Double(|r| r.rank)),
    ("rank_optimistic", Field::Double(|r| r.rank_optimistic)),
    ("rank_pessimistic", Field::Double(|r| r.rank_pessimistic)),
    ("candidates", Field::Int(|r| r.candidates)),
    ("missed", Field::Flag(|r| r.missed)),
    ("item_count", Field::Int(|r| r.item_count)),
    ("item_age", Field::OptionalLong(|r| r.item_age)),
    ("history", Field::Int(|r| r.history)),
];

impl Field {
    fn physical(&self) -> Physical {
        match self {
            Self::Name => Physical::BYTE_ARRAY,
            Self::Int(_) => Physical::INT32,
            Self::Double(_) => Physical::DOUBLE,
            Self::Flag(_) => Physical::BOOLEAN,
            Self::OptionalLong(_) => Physical::INT64,
        }
    }

    fn declaration(&self, column: &str) -> String {
        match self {
            Self::Name => format!("required binary {column} (UTF8);"),
            Self::Int(_) => format!("required int32 {column};"),
            Self::Double(_) => format!("required double {column};"),
            Self::Flag(_) => format!("required boolean {column};"),
            Self::OptionalLong(_) => format!("optional int64 {column};"),
        }
    }

    fn hash(&self, row: &Row, hasher: &mut Sha256) {
        match self {
            Self::Name => {}
            Self::Int(value) => hasher.update(value(row).to_le_bytes()),
            Self::Double(value) => hasher.update(value(row).to_bits().to_le_bytes()),
            Self::Flag(value) => hasher.update([u8::from(value(row))]),
            Self::OptionalLong(value) => {
                hasher.update([u8::from(value(row).is_some())]);
                hasher.update(value(row).unwrap_or_default().to_le_bytes());
            }
        }
    }

    fn write(&self, name: &str, rows: &[Row], column: &mut SerializedColumnWriter) -> ParquetResult<usize> {
        match self {
            Self::Name => {
                let names = vec![ByteArray::from(name); rows.len()];
                column.typed::<ByteArrayType>().write_batch(&names, None, None)
            }
            Self::Int(value) => {
                let values: Vec<i32> = rows.iter().map(|r| value(r) as i32).collect();
                column.typed::<Int32Type>().write_batch(&values, None, None)
            }
            Self::Double(value) => {
                let values: Vec<f64> = rows.iter().map(value).collect();
                column.typed::<DoubleType>().write_batch(&values, None, None)
            }
            Self::Flag(value) => {
                let values: Vec<bool> = rows.iter().map(value).collect();
                column.typed::<BoolType>().write_batch(&values, None, None)
            }
            Self::OptionalLong(value) => {
                let present: Vec<i64> = rows.iter().filter_map(value).collect();
                let levels: Vec<i16> = rows.iter().map(|r| i16::from(value(r).is_some())).collect();
                column.typed::<Int64Type>().write_batch(&present, Some(&levels), None)
            }
        }
    }
}

/// SHA-256 of the rows of one score name, column by column.
pub fn digest(part: &str, name: &str, rows: &[Row]) -> String {
    let mut hasher = Sha256::new();
    for text in [part, name] {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    for (column, field) in &COLUMNS {
        hasher.update(column.as_bytes());
        rows.iter().for_each(|row| field.hash(row, &mut hasher));
    }
    hex(hasher.finalize())
}

/// Writes the rows of an evaluation beside `path` and renames them into place.
///
/// # Errors
/// The file can't be written; an older one is then unchanged.
pub fn write(path: &Path, evaluation: &Evaluation) -> Result<(), RowsError> {
    write_all(path, std::slice::from_ref(evaluation))
}

/// [`write()`] for a model and its baselines in one file: evaluations of the same part and protocol.
///
/// # Errors
/// As [`write()`]; or there is no evaluation, or they differ in part or protocol.
pub fn write_all(path: &Path, evaluations: &[Evaluation]) -> Result<(), RowsError> {
    let content = |reason: String| RowsError::Content { path: path.to_owned(), reason };
    let Some(first) = evaluations.first() else { return Err(content("no evaluation".into())) };
    if evaluations.iter().any(|e| (&e.part, &e.protocol) != (&first.part, &first.protocol)) {
        return Err(content("evaluations of different parts or protocols".into()));
    }
    let scored: Vec<&Scored> = evaluations.iter().flat_map(|e| &e.scored).collect();
    let bytes = encode(first, &scored).map_err(|e| content(e.to_string()))?;
    Ok(write_atomic(path, &bytes)?)
}

/// One row group for each score name.
fn encode(evaluation: &Evaluation, scored: &[&Scored]) -> ParquetResult<Vec<u8>> {
    let fields: Vec<String> = COLUMNS.iter().map(|(column, field)| field.declaration(column)).collect();
    let schema = Arc::new(parse_message_type(&format!("message rows {{ {} }}", fields.join(" ")))?);
    let protocol =
        serde_json::to_string(&evaluation.protocol).map_err(|e| ParquetError::External(e.into()))?;
    let metadata = vec![
        KeyValue::new(PART.to_owned(), evaluation.part.clone()),
        KeyValue::new(PROTOCOL.to_owned(), protocol),
    ];
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(metadata))
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    for scored in scored {
        let mut group = writer.next_row_group()?;
        for (_, field) in &COLUMNS {
            let Some(mut column) = group.next_column()? else { break };
            field.write(&scored.name, &scored.rows, &mut column)?;
            column.close()?;
        }
        group.close()?;
    }
    writer.into_inner()
}

/// Reads a file that [`write()`] wrote.
///
/// # Errors
/// The file is absent, damaged, or holds something else.
pub fn read(path: &Path) -> Result<StoredRows, RowsError> {
    read_where(path, &|_| true)
}

/// [`read`] for the score names that are `wanted`; other names are returned without rows.
///
/// # Errors
/// As [`read`].
pub fn read_where(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<StoredRows, RowsError> {
    let file = File::open(path).map_err(|source| RowsError::Open { path: path.to_owned(), source })?;
    guarded(|| decode(file, wanted)).map_err(|reason| RowsError::Content { path: path.to_owned(), reason })
}

fn decode(file: File, wanted: &dyn Fn(&str) -> bool) -> Result<StoredRows, String> {
    let text = |e: ParquetError| e.to_string();
    let reader = SerializedFileReader::new(file).map_err(text)?;
    let metadata = reader.metadata().file_metadata();
    check_columns(metadata)?;
    let part = entry(metadata, PART)?.to_owned();
    let protocol =
        serde_json::from_str(entry(metadata, PROTOCOL)?).map_err(|e| format!("`{PROTOCOL}`: {e}"))?;
    let mut scored: Vec<(String, Vec<Row>)> = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(text)?;
        for record in group.get_row_iter(None).map_err(text)? {
            let (name, row) = record.and_then(|r| read_row(&r)).map_err(text)?;
            // A group holds the rows of one name.
            if !wanted(&name) {
                scored.push((name, Vec::new()));
                break;
            }
            match scored.last_mut() {
                Some((last, rows)) if *last == name => rows.push(row),
                _ => scored.push((name, vec![row])),
            }
        }
    }
    Ok(StoredRows { part, protocol, scored })
}

/// Refuses a file whose columns have other names, types or order than [`COLUMNS`].
fn check_columns(metadata: &FileMetaData) -> Result<(), String> {
    let found = metadata.schema_descr().columns();
    let fits = found.len() == COLUMNS.len()
        && found.iter().zip(&COLUMNS).all(|(column, (name, field))| {
            let optional = i16::from(matches!(field, Field::OptionalLong(_)));
            column.path().string() == *name
                && column.physical_type() == field.physical()
                && column.max_def_level() == optional
                && column.max_rep_level() == 0
        });
    if fits {
        return Ok(());
    }
    let names: Vec<String> = found.iter().map(|column| column.path().string()).collect();
    Err(format!("its columns are {}", names.join(", ")))
}

/// A value of the file's key-value metadata.
fn entry<'a>(metadata: &'a FileMetaData, key: &str) -> Result<&'a str, String> {
    let mut pairs = metadata.key_value_metadata().into_iter().flatten();
    pairs.find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref()).ok_or(format!("no `{key}`"))
}

fn read_row(record: &parquet::record::Row) -> ParquetResult<(String, Row)> {
    let count = |place: usize| -> ParquetResult<u32> {
        let value = record.get_int(place)?;
        u32::try_from(value)
            .map_err(|_| ParquetError::General(format!("{value} in column `{}`", COLUMNS[place].0)))
    };
    let row = Row {
        user: count(1)?,
        item: count(2)?,
        rank: record.get_double(3)?,
        rank_optimistic: record.get_double(4)?,
        rank_pessimistic: record.get_double(5)?,
        candidates: count(6)?,
        missed: record.get_bool(7)?,
        item_count: count(8)?,
        // The column's type is checked, so that only an absent age is an error of the accessor.
        item_age: record.get_long(9).ok(),
        history: count(10)?,
    };
    Ok((record.get_string(0)?.clone(), row))
}

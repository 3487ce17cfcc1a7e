//! One row per target and score name, as Parquet: what paired statistics are built on (companions.md 1.3).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::RowAccessor;
use parquet::schema::parser::parse_message_type;

use super::metrics::Evaluation;

const SCHEMA: &str = "message rows {
    required binary name (UTF8);
    required int32 user;
    required int32 item;
    required double rank;
    required double rank_optimistic;
    required double rank_pessimistic;
    required int32 candidates;
    required int32 missed;
    required int32 item_count;
    optional int64 item_age;
    required int32 history;
}";

/// How one target was ranked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// User and item numbers of the dataset.
    pub user: u32,
    pub item: u32,
    /// Under the configured tie rule; behind all candidates if missed.
    pub rank: f64,
    pub rank_optimistic: f64,
    pub rank_pessimistic: f64,
    pub candidates: u32,
    /// The target was no candidate.
    pub missed: bool,
    /// Training interactions of the target item.
    pub item_count: u32,
    /// Seconds since the item was first seen in training.
    pub item_age: Option<i64>,
    /// Items of the user before the target.
    pub history: u32,
}

/// Why rows can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error("{path}: {reason}")]
    File { path: PathBuf, reason: String },
}

impl RowsError {
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// Writes the rows of an evaluation beside `path` and renames them into place.
///
/// # Errors
/// The file can't be written.
pub fn write(path: &Path, evaluation: &Evaluation) -> Result<(), RowsError> {
    let failed = |reason: String| RowsError::File { path: path.to_owned(), reason };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let scratch = tempfile::NamedTempFile::new_in(parent).map_err(|e| failed(e.to_string()))?;
    write_columns(scratch.as_file(), evaluation).map_err(|e| failed(e.to_string()))?;
    scratch.as_file().sync_all().map_err(|e| failed(e.to_string()))?;
    scratch.persist(path).map_err(|e| failed(e.error.to_string()))?;
    Ok(())
}

fn write_columns(file: &File, evaluation: &Evaluation) -> parquet::errors::Result<()> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties =
        Arc::new(WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(file.try_clone()?, schema, properties)?;
    for scored in &evaluation.scored {
        let rows = &scored.rows;
        let mut group = writer.next_row_group()?;
        let name = ByteArray::from(scored.name.as_str());
        let mut column = 0;
        while let Some(mut writer) = group.next_column()? {
            let int = |f: fn(&Row) -> u32| rows.iter().map(|r| f(r) as i32).collect::<Vec<i32>>();
            let double = |f: fn(&Row) -> f64| rows.iter().map(f).collect::<Vec<f64>>();
            let (ints, doubles) = match column {
                1 => (int(|r| r.user), Vec::new()),
                2 => (int(|r| r.item), Vec::new()),
                3 => (Vec::new(), double(|r| r.rank)),
                4 => (Vec::new(), double(|r| r.rank_optimistic)),
                5 => (Vec::new(), double(|r| r.rank_pessimistic)),
                6 => (int(|r| r.candidates), Vec::new()),
                7 => (int(|r| u32::from(r.missed)), Vec::new()),
                8 => (int(|r| r.item_count), Vec::new()),
                10 => (int(|r| r.history), Vec::new()),
                _ => (Vec::new(), Vec::new()),
            };
            if column == 0 {
                let names = vec![name.clone(); rows.len()];
                writer.typed::<ByteArrayType>().write_batch(&names, None, None)?;
            } else if column == 9 {
                let present: Vec<i64> = rows.iter().filter_map(|r| r.item_age).collect();
                let levels: Vec<i16> = rows.iter().map(|r| i16::from(r.item_age.is_some())).collect();
                writer.typed::<Int64Type>().write_batch(&present, Some(&levels), None)?;
            } else if doubles.is_empty() {
                writer.typed::<Int32Type>().write_batch(&ints, None, None)?;
            } else {
                writer.typed::<DoubleType>().write_batch(&doubles, None, None)?;
            }
            writer.close()?;
            column += 1;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

/// Rows by score name, in the order written.
///
/// # Errors
/// The file is absent or holds other columns.
pub fn read(path: &Path) -> Result<Vec<(String, Vec<Row>)>, RowsError> {
    let failed = |reason: String| RowsError::File { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|e| failed(e.to_string()))?;
    let reader = SerializedFileReader::new(file).map_err(|e| failed(e.to_string()))?;
    let mut all: Vec<(String, Vec<Row>)> = Vec::new();
    for record in reader.get_row_iter(None).map_err(|e| failed(e.to_string()))? {
        let record = record.map_err(|e| failed(e.to_string()))?;
        let (name, row) = read_row(&record).map_err(|e| failed(e.to_string()))?;
        match all.last_mut() {
            Some((last, rows)) if *last == name => rows.push(row),
            _ => all.push((name, vec![row])),
        }
    }
    Ok(all)
}

fn read_row(record: &parquet::record::Row) -> parquet::errors::Result<(String, Row)> {
    let row = Row {
        user: record.get_int(1)? as u32,
        item: record.get_int(2)? as u32,
        rank: record.get_double(3)?,
        rank_optimistic: record.get_double(4)?,
        rank_pessimistic: record.get_double(5)?,
        candidates: record.get_int(6)? as u32,
        missed: record.get_int(7)? != 0,
        item_count: record.get_int(8)? as u32,
        // An absent age reads as an error of the accessor.
        item_age: record.get_long(9).ok(),
        history: record.get_int(10)? as u32,
    };
    Ok((record.get_string(0)?.clone(), row))
}

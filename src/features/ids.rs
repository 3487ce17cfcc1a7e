//! Tables that say which item each row of a matrix belongs to.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::FeatureError;
use super::array::{Array, ArrayRef};
use super::error::{at, malformed};

/// A file of item ids, one per row of a matrix and in its order. The extension decides how it is read:
/// `.npy` and `.safetensors` (integers or fixed strings), `.csv` and `.tsv` (with a header line), `.json`
/// (a list); anything else is text with one id per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdTable {
    pub path: PathBuf,
    /// Column of a `.csv` or `.tsv` (absent: the first), or tensor of a `.safetensors`.
    pub column: Option<String>,
}

impl IdTable {
    /// Reads the ids, in the order of the rows.
    ///
    /// # Errors
    /// The file can't be read or parsed, or an entry is no id.
    pub fn read(&self) -> Result<Vec<String>, FeatureError> {
        let path = &self.path;
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        let ids = match extension.as_str() {
            "npy" | "safetensors" => {
                Array::open(&ArrayRef { path: path.clone(), tensor: self.column.clone() })?.read_texts()?
            }
            "csv" => read_table(path, b',', self.column.as_deref())?,
            "tsv" => read_table(path, b'\t', self.column.as_deref())?,
            "json" => parse_json(path, &fs::read(path).map_err(at(path))?)?,
            _ => parse_lines(path, &fs::read(path).map_err(at(path))?)?,
        };
        if let Some(row) = ids.iter().position(String::is_empty) {
            return Err(FeatureError::BadId { path: path.clone(), row, reason: "it is empty".into() });
        }
        Ok(ids)
    }
}

/// Row of each id.
///
/// # Errors
/// An id occurs twice.
pub(super) fn index<'a>(path: &Path, ids: &'a [String]) -> Result<HashMap<&'a str, usize>, FeatureError> {
    let mut rows = HashMap::with_capacity(ids.len());
    for (row, id) in ids.iter().enumerate() {
        if let Some(first) = rows.insert(id.as_str(), row) {
            return Err(FeatureError::DuplicateId { path: path.to_owned(), id: id.clone(), first, row });
        }
    }
    Ok(rows)
}

/// SHA-256 over the ids of a catalogue and their order; `ids[0]` is padding.
pub fn item_ids_hash(ids: &[String]) -> String {
    let mut hasher = Sha256::new();
    for id in ids {
        // The length first, so that no two lists run together into the same bytes.
        hasher.update((id.len() as u64).to_le_bytes());
        hasher.update(id.as_bytes());
    }
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

fn read_table(path: &Path, delimiter: u8, column: Option<&str>) -> Result<Vec<String>, FeatureError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter != b'\t')
        .from_path(path)
        .map_err(|e| malformed(path, e.to_string()))?;
    let names: Vec<String> = reader
        .headers()
        .map_err(|e| malformed(path, e.to_string()))?
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').to_owned())
        .collect();
    let place = match column {
        None => 0,
        Some(wanted) => match names.iter().position(|n| n == wanted) {
            Some(place) => place,
            None => {
                return Err(FeatureError::NoSuchColumn {
                    path: path.to_owned(),
                    wanted: wanted.to_owned(),
                    names,
                });
            }
        },
    };
    let mut ids = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| malformed(path, e.to_string()))?;
        // Every record has as many fields as the header: the reader refuses others.
        ids.push(record.get(place).unwrap_or("").to_owned());
    }
    Ok(ids)
}

fn parse_json(path: &Path, bytes: &[u8]) -> Result<Vec<String>, FeatureError> {
    let entries: Vec<Value> =
        serde_json::from_slice(bytes).map_err(|e| malformed(path, format!("not a JSON list: {e}")))?;
    let id = |(row, entry): (usize, Value)| match entry {
        Value::String(id) => Ok(id),
        Value::Number(n) if !n.is_f64() => Ok(n.to_string()),
        other => Err(FeatureError::BadId {
            path: path.to_owned(),
            row,
            reason: format!("{} is neither a string nor an integer", shorten(&other.to_string())),
        }),
    };
    entries.into_iter().enumerate().map(id).collect()
}

fn parse_lines(path: &Path, bytes: &[u8]) -> Result<Vec<String>, FeatureError> {
    let text = std::str::from_utf8(bytes).map_err(|e| malformed(path, format!("not a text file: {e}")))?;
    Ok(text.trim_start_matches('\u{feff}').lines().map(str::to_owned).collect())
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

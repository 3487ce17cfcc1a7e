//! Tables of item ids that name the rows of a matrix.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::FeatureError;
use super::array::{Array, ArrayRef};
use super::error::{io_error, malformed};
use super::table;
use crate::hex::hex;

/// A file of item ids, one for each row of a matrix, in its order. The extension determines the format: `.npy` and
/// `.safetensors` (integers or fixed strings), `.csv` and `.tsv` (with a header line), `.json` (a list); anything else
/// is text with one id per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdTable {
    pub path: PathBuf,
    /// Column of a `.csv` or `.tsv` (default: the only one, or the only one named like an item's id), or tensor of a
    /// `.safetensors`.
    pub column: Option<String>,
}

/// The ids of a table, with the way they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Ids in the order of the rows.
    pub ids: Vec<String>,
    pub choice: Choice,
}

/// How a table of ids was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Format by extension: npy, safetensors, csv, tsv, json or lines.
    pub format: &'static str,
    /// Column or tensor of the ids; absent for plain lists.
    pub column: Option<String>,
    /// Whether the column was guessed, not given by name.
    pub guessed: bool,
}

impl IdTable {
    /// Reads the ids.
    ///
    /// # Errors
    /// The file can't be read or parsed, or an entry is not an id.
    pub fn read(&self) -> Result<Ids, FeatureError> {
        let path = &self.path;
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        let format = match extension.as_str() {
            "npy" => "npy",
            "safetensors" => "safetensors",
            "csv" => "csv",
            "tsv" => "tsv",
            "json" => "json",
            _ => "lines",
        };
        if let (Some(column), "npy" | "json" | "lines") = (&self.column, format) {
            return Err(FeatureError::NoEffect {
                option: format!("--id-column {column}"),
                reason: format!("{} is read as {format}, which has no columns", path.display()),
                hint: "leave it out, or give a .csv or .tsv table or a safetensors file".into(),
            });
        }
        let mut choice = Choice { format, column: self.column.clone(), guessed: false };
        let ids = match format {
            "npy" | "safetensors" => {
                Array::open(&ArrayRef { path: path.clone(), tensor: self.column.clone() })?.read_texts()?
            }
            "csv" | "tsv" => {
                let delimiter = if format == "tsv" { b'\t' } else { b',' };
                let column = table::read(path, delimiter, self.column.as_deref())?;
                (choice.column, choice.guessed) = (Some(column.name), column.guessed);
                column.values
            }
            "json" => parse_json(path, &fs::read(path).map_err(io_error(path))?)?,
            _ => parse_lines(path, &fs::read(path).map_err(io_error(path))?)?,
        };
        if let Some(row) = ids.iter().position(String::is_empty) {
            return Err(FeatureError::BadId { path: path.clone(), row, reason: "it is empty".into() });
        }
        Ok(Ids { ids, choice })
    }
}

/// Maps ids to rows.
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

/// SHA-256 of the ids of a catalogue in their order; `ids[0]` is padding.
pub fn item_ids_hash(ids: &[String]) -> String {
    let mut hasher = Sha256::new();
    for id in ids {
        // Length prefixes make different lists different byte strings.
        hasher.update((id.len() as u64).to_le_bytes());
        hasher.update(id.as_bytes());
    }
    hex(hasher.finalize())
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
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
    let tabs = |line: &&str| line.matches('\t').count();
    let first = lines.first().map_or(0, tabs);
    if first > 0 && lines.iter().all(|line| tabs(line) == first) {
        return Err(FeatureError::Unsupported {
            path: path.to_owned(),
            what: format!("each line holds {} fields, but is read as one id", first + 1),
            hint: "give it a header line, the extension .tsv and --id-column NAME".into(),
        });
    }
    Ok(lines.into_iter().map(str::to_owned).collect())
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

//! Streaming readers of raw interaction logs and item catalogues, one module a format.
//!
//! [`detect`] says what a file is; [`read_interactions`] and [`read_items`] hand its rows to a closure, one at
//! a time and in file order, so memory doesn't grow with the file. A path may be a directory of part files.
//! Text files may be gzipped. Rows that make no sense are counted in [`BadLines`].

mod delimited;
mod detect;
mod error;
mod json_item;
mod jsonl;
mod lines;
mod movielens_dat;
mod names;
mod options;
mod parquet;
mod plan;
mod sequences;
#[cfg(test)]
mod tests;
pub mod time;
mod value;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use detect::detect;
pub use error::{Fault, SourceError};
pub use names::{ChosenColumn, Role, is_item_column};
pub use options::{Columns, Reading, Source, SourceOptions};
pub use plan::SourcePlan;
pub use time::{RawTime, TimeColumn, TimeUnit};

/// One interaction as the file gave it. Ids are never empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawInteraction<'a> {
    pub user: &'a str,
    pub item: &'a str,
    /// Absent where the source has no column of times.
    pub time: Option<RawTime>,
    /// The rating; finite.
    pub value: Option<f64>,
}

/// One catalogue row; absent fields are empty, the id never is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawItem {
    pub id: String,
    pub title: String,
    /// Further text fields joined by a space, without the title.
    pub text: String,
    /// Several are joined by `|`, as MovieLens writes genres.
    pub category: String,
    /// Path or address as the source gives it.
    pub image: String,
    /// One field for each of [`Columns::kept`].
    pub kept: Vec<String>,
}

/// How a source is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// CSV or TSV with a header.
    Delimited,
    /// `RecBole`'s `.inter` and `.item`: tabs, header of `name:type`.
    Atomic,
    /// `ratings.dat`, `movies.dat`: `::` between fields, no header, Latin-1.
    MovielensDat,
    /// `ratings.csv`, `movies.csv`.
    MovielensCsv,
    /// Amazon reviews and metadata, one JSON object a line, layout of 2018 or 2023.
    AmazonJsonl,
    Parquet,
    /// A user and its items in time order on each line.
    Sequences,
}

impl Format {
    pub const ALL: [Self; 7] = [
        Self::Delimited,
        Self::Atomic,
        Self::MovielensDat,
        Self::MovielensCsv,
        Self::AmazonJsonl,
        Self::Parquet,
        Self::Sequences,
    ];

    /// The name in options and configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delimited => "delimited",
            Self::Atomic => "atomic",
            Self::MovielensDat => "movielens_dat",
            Self::MovielensCsv => "movielens_csv",
            Self::AmazonJsonl => "amazon_jsonl",
            Self::Parquet => "parquet",
            Self::Sequences => "sequences",
        }
    }
}

impl Format {
    /// Whether columns have names, so that an option can choose among them.
    pub fn names_columns(self) -> bool {
        !matches!(self, Self::Sequences | Self::MovielensDat)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let found = Self::ALL.into_iter().find(|f| f.name() == text);
        found.ok_or_else(|| SourceError::UnknownFormat(text.to_owned()))
    }
}

/// Rows passed over because they make no sense, and how many may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadLines {
    /// The row after this many ends the reading.
    pub allowed: u64,
    pub skipped: u64,
    /// The first one's message: file, line, column, reason.
    pub first: Option<String>,
}

impl BadLines {
    fn count(&mut self, path: &Path, line: u64, fault: Fault) -> Result<(), SourceError> {
        let Fault { column, reason } = fault;
        let error = SourceError::Malformed { path: path.to_owned(), line, column, reason };
        if self.skipped >= self.allowed {
            return Err(error);
        }
        self.skipped += 1;
        self.first.get_or_insert_with(|| error.to_string());
        Ok(())
    }
}

/// Takes one row; passed down by every reader. A row that makes no sense to the taker is a bad line too.
type OnInteraction<'a> = &'a mut dyn FnMut(RawInteraction<'_>) -> Result<(), Fault>;
type OnItem<'a> = &'a mut dyn FnMut(RawItem) -> Result<(), Fault>;

/// Hands every interaction of `path` to `row`, in file order. Returns how many.
///
/// # Errors
/// A file that can't be read, lacks a column, has columns of wrong types, or has more malformed rows than
/// `reading.bad` allows.
pub fn read_interactions(
    path: &Path,
    reading: &mut Reading<'_>,
    row: &mut dyn FnMut(RawInteraction<'_>) -> Result<(), Fault>,
) -> Result<u64, SourceError> {
    let mut rows = 0;
    for file in files(path)? {
        rows += match reading.plan.format {
            Format::Delimited | Format::Atomic | Format::MovielensCsv => {
                delimited::interactions(&file, reading, row)
            }
            Format::MovielensDat => movielens_dat::interactions(&file, reading, row),
            Format::AmazonJsonl => jsonl::interactions(&file, reading, row),
            Format::Parquet => parquet::interactions(&file, reading, row),
            Format::Sequences => sequences::interactions(&file, reading, row),
        }?;
    }
    Ok(rows)
}

/// Hands every catalogue row of `path` to `row`, in file order. Returns how many.
///
/// # Errors
/// As [`read_interactions`]; [`Format::Sequences`] has no catalogue.
pub fn read_items(
    path: &Path,
    reading: &mut Reading<'_>,
    row: &mut dyn FnMut(RawItem) -> Result<(), Fault>,
) -> Result<u64, SourceError> {
    let mut rows = 0;
    for file in files(path)? {
        rows += match reading.plan.format {
            Format::Delimited | Format::Atomic | Format::MovielensCsv => {
                delimited::items(&file, reading, row)
            }
            Format::MovielensDat => movielens_dat::items(&file, reading, row),
            Format::AmazonJsonl => jsonl::items(&file, reading, row),
            Format::Parquet => parquet::items(&file, reading, row),
            format @ Format::Sequences => {
                return Err(SourceError::Unsupported { path: file, format, what: "catalogue" });
            }
        }?;
    }
    Ok(rows)
}

/// The files of a source in reading order: the file itself, or the part files of a directory and its
/// sub-directories by name. Names that start with `_` or `.` are left out, as Spark does.
///
/// # Errors
/// A path that can't be read, or a directory without any part file.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut found = Vec::new();
    let about = std::fs::metadata(path).map_err(|e| SourceError::io(path, e))?;
    if !about.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    collect(path, DEEPEST, &mut found)?;
    if found.is_empty() {
        return Err(SourceError::NoFiles { path: path.to_owned() });
    }
    Ok(found)
}

/// Partitioned tables nest one directory a key; more than this is a loop of links.
const DEEPEST: usize = 16;

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    let io = |e| SourceError::io(folder, e);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().to_string_lossy().starts_with(['_', '.']) {
            entries.push(entry.path());
        }
    }
    entries.sort();
    for entry in entries {
        match entry.is_dir() {
            true if depth == 0 => {
                return Err(SourceError::io(&entry, std::io::Error::other("nested too deep")));
            }
            true => collect(&entry, depth - 1, found)?,
            false => found.push(entry),
        }
    }
    Ok(())
}

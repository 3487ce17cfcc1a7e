//! Streaming readers of raw interaction logs and item catalogues, one module a format.
//!
//! [`Reading::new`] finds out what a source is; [`read_interactions`] and [`read_items`] hand its rows to a closure, one at
//! a time and in file order, so memory doesn't grow with the file. A path may be a directory of part files.
//! Text files may be gzipped. Rows that make no sense are counted in [`BadLines`].

mod delimited;
mod detect;
mod encoding;
mod error;
mod folder;
mod item_lists;
mod json_lines;
mod json_rows;
mod json_slots;
mod lines;
mod movielens_dat;
mod names;
mod nested;
mod options;
mod parquet;
mod plan;
mod roles;
mod sequences;
#[cfg(test)]
mod tests;
pub mod time;
mod value;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use delimited::Quoting;
pub use error::{Fault, FaultKind, SourceError};
pub use folder::GivenPart;
pub use names::ChosenColumn;
pub(crate) use nested::kept_text;
pub use options::{Columns, Reading, Source, SourceOptions};
pub use plan::SourcePlan;
pub(crate) use roles::plain;
pub use roles::{Role, is_item_column, speaks_of_parts};
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
    /// Where the source comes in the parts of a split.
    pub part: Option<GivenPart>,
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
    /// One object a line, in JSON or as a Python literal, or a JSON list of objects. Amazon's reviews and metadata of every
    /// year are such files.
    #[serde(alias = "amazon_jsonl")]
    JsonLines,
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
        Self::JsonLines,
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
            Self::JsonLines => "json_lines",
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
        // The name that data sets and scripts knew before other JSON was read.
        let text = if text == "amazon_jsonl" { Self::JsonLines.name() } else { text };
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
        if self.skipped >= self.allowed {
            let error = fault.error(path, line);
            return Err(match &self.first {
                Some(first) => SourceError::TooManyBad {
                    skipped: self.skipped,
                    first: first.clone(),
                    error: Box::new(error),
                },
                None => error,
            });
        }
        self.skipped += 1;
        if self.first.is_none() {
            self.first = Some(fault.error(path, line).to_string());
        }
        Ok(())
    }
}

/// Takes one row; passed down by every reader. A row that makes no sense to the taker is a bad line too.
type OnInteraction<'a> = &'a mut dyn FnMut(RawInteraction<'_>) -> Result<(), Fault>;
type OnItem<'a> = &'a mut dyn FnMut(RawItem) -> Result<(), Fault>;

/// Hands every interaction of the source to `row`, in file order. Returns how many.
///
/// # Errors
/// A file that can't be read, lacks a column, has columns of wrong types, or has more malformed rows than
/// `reading.bad` allows.
pub fn read_interactions(
    reading: &mut Reading<'_>,
    row: &mut dyn FnMut(RawInteraction<'_>) -> Result<(), Fault>,
) -> Result<u64, SourceError> {
    let mut rows = 0;
    for file in reading.files.clone() {
        rows += match reading.plan.format {
            Format::Delimited | Format::Atomic | Format::MovielensCsv => {
                delimited::interactions(&file, reading, row)
            }
            Format::MovielensDat => movielens_dat::interactions(&file, reading, row),
            Format::JsonLines => json_lines::interactions(&file, reading, row),
            Format::Parquet => parquet::interactions(&file, reading, row),
            Format::Sequences => sequences::interactions(&file, reading, row),
        }?;
    }
    if let Some(lists) = reading.lists.take() {
        rows += lists.finish(row).map_err(|fault| fault.error(&reading.plan.path, 0))?;
    }
    reading.tell_tallies();
    Ok(rows)
}

/// Hands every catalogue row of the source to `row`, in file order. Returns how many.
///
/// # Errors
/// As [`read_interactions`]; [`Format::Sequences`] has no catalogue.
pub fn read_items(
    reading: &mut Reading<'_>,
    row: &mut dyn FnMut(RawItem) -> Result<(), Fault>,
) -> Result<u64, SourceError> {
    let mut rows = 0;
    for file in reading.files.clone() {
        rows += match reading.plan.format {
            Format::Delimited | Format::Atomic | Format::MovielensCsv => {
                delimited::items(&file, reading, row)
            }
            Format::MovielensDat => movielens_dat::items(&file, reading, row),
            Format::JsonLines => json_lines::items(&file, reading, row),
            Format::Parquet => parquet::items(&file, reading, row),
            format @ Format::Sequences => {
                return Err(SourceError::Unsupported { path: file.path, format, what: "catalogue" });
            }
        }?;
    }
    reading.tell_tallies();
    Ok(rows)
}

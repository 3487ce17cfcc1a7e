//! The two sources of a data set, and the formats of their files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::SourceError;

/// Which of a data set's two files a source is; each has options of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Log,
    Catalogue,
}

/// The format of a source file.
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

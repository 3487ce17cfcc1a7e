//! What can be wrong with a source file.

use std::io;
use std::path::{Path, PathBuf};

use super::Format;

/// Why a source can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{}", malformed(path, *line, column.as_deref(), reason))]
    Malformed {
        path: PathBuf,
        /// From 1; the row from 1 in Parquet.
        line: u64,
        column: Option<String>,
        reason: String,
    },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: the gzip stream ends early")]
    Truncated { path: PathBuf },
    #[error("{path}: damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("{path}: no column {wanted}; found {}", found.join(", "))]
    MissingColumn { path: PathBuf, wanted: String, found: Vec<String> },
    #[error("{path}: column {column} is {found}, not {wanted}")]
    WrongType { path: PathBuf, column: String, found: String, wanted: &'static str },
    #[error("{path}: can't tell the format")]
    Undetected { path: PathBuf },
    #[error("{path}: no files in this directory")]
    NoFiles { path: PathBuf },
    #[error("{path}: the format {format} has no {what}")]
    Unsupported { path: PathBuf, format: Format, what: &'static str },
    #[error("unknown format {0:?}")]
    UnknownFormat(String),
}

impl SourceError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed { .. } => {
                "mend the line, or pass over up to N such lines with --skip-bad N".into()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => "check the path".into(),
            Self::Io { .. } => return None,
            Self::Truncated { .. } | Self::Damaged { .. } => {
                "fetch the file again and compare its size or checksum with the origin's".into()
            }
            Self::MissingColumn { .. } => "name the columns; the file's own are listed above".into(),
            Self::WrongType { .. } => "choose another column, or convert this one".into(),
            Self::Undetected { .. } | Self::UnknownFormat(_) => {
                let names: Vec<&str> = Format::ALL.iter().map(|f| f.name()).collect();
                format!("name the format, one of {}", names.join(", "))
            }
            Self::NoFiles { .. } => "part files must not start with `_` or `.`".into(),
            Self::Unsupported { .. } => "give the catalogue as CSV, TSV, JSONL or Parquet".into(),
        })
    }
}

fn malformed(path: &Path, line: u64, column: Option<&str>, reason: &str) -> String {
    let path = path.display();
    match column {
        Some(column) => format!("{path}:{line}: column {column}: {reason}"),
        None => format!("{path}:{line}: {reason}"),
    }
}

/// What is wrong with one row; becomes [`SourceError::Malformed`] once the allowance is used up.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub column: Option<String>,
    pub reason: String,
}

impl Fault {
    pub fn new(reason: impl Into<String>) -> Self {
        Self { column: None, reason: reason.into() }
    }

    pub fn at(column: &str, reason: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), reason: reason.into() }
    }
}

//! Errors of source files, each with what the user can do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::Format;
use super::guess::guess_encoding;
use super::roles::{Role, plain};

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
    /// Bytes that are no UTF-8; counts as a malformed line.
    #[error("{}", malformed(path, *line, column.as_deref(), reason))]
    NotUtf8 {
        path: PathBuf,
        line: u64,
        column: Option<String>,
        reason: String,
        /// A guess from the file's bytes.
        likely: Option<&'static str>,
    },
    #[error("{path}:{line}: not {encoding}")]
    WrongEncoding { path: PathBuf, line: u64, encoding: &'static str },
    #[error("no encoding is called {0:?}")]
    UnknownEncoding(String),
    /// A record of a table that doesn't read quotes as quotes; counts as a malformed line.
    #[error("{}", malformed(path, *line, column.as_deref(), reason))]
    OpenQuote { path: PathBuf, line: u64, column: Option<String>, reason: String },
    #[error("{path}: no header names the columns; the first line is {first:?}")]
    NoHeader {
        path: PathBuf,
        first: String,
        /// Options that read such a file.
        remedy: String,
    },
    #[error("{path}: files of several formats: {}", files.join(", "))]
    MixedFolder {
        path: PathBuf,
        /// One of each format.
        files: Vec<String>,
    },
    #[error("{path}: {other} belongs to no part of the split that {} make", parts.join(", "))]
    PartlySplit { path: PathBuf, parts: Vec<String>, other: String },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: the gzip stream ends early")]
    Truncated { path: PathBuf },
    #[error("{path}: damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("{path}: no column {wanted}; found {}", found.join(", "))]
    MissingColumn {
        path: PathBuf,
        role: String,
        /// The name that was asked for, or what the column is for.
        wanted: String,
        found: Vec<String>,
        /// Of the catalogue, whose columns have an option of their own.
        catalogue: bool,
    },
    #[error("{error}\nafter {skipped} malformed lines, the first: {first}")]
    TooManyBad { skipped: u64, first: String, error: Box<SourceError> },
    #[error("{option} has no effect on {path}, which is read as {format}")]
    NoEffect { path: PathBuf, option: String, format: Format },
    #[error(
        "{option} has no effect on {path}: its rows have lists of items (`{list}`), without the times and ratings of these"
    )]
    IdleWithLists { path: PathBuf, option: String, list: String },
    #[error(
        "{path}: `{list}` holds the items before a row's own, which are read from CSV, TSV and .inter files only"
    )]
    ListsOfItems { path: PathBuf, list: String },
    #[error("{option}: {path} has no column that is known as the {role}; not read: {}", unread.join(", "))]
    Needed { path: PathBuf, role: &'static str, option: &'static str, unread: Vec<String> },
    #[error("{path}: several columns look like the {role}: {}", found.join(", "))]
    Ambiguous { path: PathBuf, role: &'static str, found: Vec<String> },
    #[error("{path}: column {column} is {found}, not {wanted}")]
    WrongType { path: PathBuf, column: String, found: String, wanted: &'static str },
    #[error("{path}: can't tell the format")]
    Undetected { path: PathBuf },
    #[error("{path}: the first line has no {delimiter:?}")]
    NotBetweenFields { path: PathBuf, delimiter: char, likely: char },
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
        self.text_hint().or_else(|| self.column_hint()).or_else(|| self.file_hint())
    }

    /// What the user can do about a line, its quotes or its encoding.
    fn text_hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed { .. } => {
                "mend the line, or pass over up to N such lines with --skip-bad N".into()
            }
            Self::NotUtf8 { likely: Some(likely), .. } => {
                format!("read it with --encoding {likely} (a catalogue with --items-encoding {likely})")
            }
            Self::NotUtf8 { .. } => {
                "name the encoding with --encoding, e.g. windows-1252, or skip the line".into()
            }
            Self::WrongEncoding { .. } => "leave --encoding out, or name another one".into(),
            Self::UnknownEncoding(_) => {
                "use a label of the WHATWG's list: windows-1252, latin1, gbk, shift_jis, utf-16le, …".into()
            }
            Self::OpenQuote { .. } => {
                "if quoted fields run over tabs and lines, read them with --quoting csv (a catalogue with --items-quoting csv)"
                    .into()
            }
            _ => return None,
        })
    }

    /// What the user can do about a column.
    fn column_hint(&self) -> Option<String> {
        Some(match self {
            Self::MissingColumn { role, found, catalogue: false, .. }
                if role == Role::User.name() && looks_like_a_catalogue(found) =>
            {
                "it looks like a catalogue: give the log first, and this file with --items".into()
            }
            Self::MissingColumn { role, wanted, found, catalogue, .. } => {
                missing_column_hint(role, wanted, found, *catalogue)
            }
            Self::Needed { role, option, .. } => {
                format!("name it with --column {role}=NAME, or leave {option} out")
            }
            Self::Ambiguous { role, found, .. } => format!(
                "choose one with --column {role}={}, or none with --column {role}=",
                found.first().map_or("NAME", String::as_str)
            ),
            Self::WrongType { .. } => "choose another column, or convert this one".into(),
            _ => return None,
        })
    }

    /// What the user can do about the file.
    fn file_hint(&self) -> Option<String> {
        Some(match self {
            Self::NoHeader { remedy, .. } => format!("say which column is which by its place, e.g. {remedy}"),
            Self::MixedFolder { .. } => "name one of the files, or their format with --format".into(),
            Self::PartlySplit { .. } => {
                "give a folder that holds the files of the split and nothing else".into()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => "check the path".into(),
            Self::Truncated { .. } | Self::Damaged { .. } => {
                "fetch the file again and compare its size or checksum with the origin's".into()
            }
            Self::TooManyBad { .. } => {
                "see whether they have a cause in common, such as a format of times; else raise --skip-bad"
                    .into()
            }
            Self::NoEffect { .. } => {
                "leave it out, or name the format with --format or --items-format".into()
            }
            Self::IdleWithLists { .. } => "leave it out".into(),
            Self::ListsOfItems { list, .. } => {
                format!("write the rows as CSV, or without `{list}` where they hold all interactions")
            }
            Self::Undetected { .. } | Self::UnknownFormat(_) => {
                let names: Vec<&str> = Format::ALL.iter().map(|f| f.name()).collect();
                format!("name the format, one of {}", names.join(", "))
            }
            Self::NotBetweenFields { likely, .. } => {
                format!("its fields seem to be separated by {likely:?}; leave the delimiter out")
            }
            Self::NoFiles { .. } => "part files must not start with `_` or `.`".into(),
            Self::Unsupported { .. } => "give the catalogue as CSV, TSV, JSONL or Parquet".into(),
            _ => return None,
        })
    }
}

/// The option that names a missing column, with the nearest name there is.
fn missing_column_hint(role: &str, wanted: &str, found: &[String], catalogue: bool) -> String {
    let option = if catalogue { "--items-column" } else { "--column" };
    // Names that have little in common are no slip of the pen.
    const ALIKE: f64 = 0.7;
    let likeness = |name: &&String| strsim::jaro_winkler(&plain(name), &plain(wanted));
    let nearest = found
        .iter()
        .filter(|name| likeness(name) >= ALIKE)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match (role, nearest) {
        ("text", Some(nearest)) => format!("the nearest is --text-column {nearest}"),
        ("kept", Some(nearest)) => format!("the nearest is --keep-column {nearest}"),
        ("text", None) => "name it with --text-column NAME".into(),
        ("kept", None) => "name it with --keep-column NAME".into(),
        (role, Some(nearest)) if found.contains(nearest) && !wanted.starts_with("for ") => {
            format!("the nearest is {option} {role}={nearest}")
        }
        (role, _) => format!("name it with {option} {role}=NAME"),
    }
}

/// Whether columns have titles or pictures of items, and no time.
fn looks_like_a_catalogue(columns: &[String]) -> bool {
    let has = |role: Role| columns.iter().any(|name| role.usual().contains(&plain(name).as_str()));
    (has(Role::Title) || has(Role::Image)) && has(Role::Item) && !has(Role::Time)
}

fn malformed(path: &Path, line: u64, column: Option<&str>, reason: &str) -> String {
    let path = path.display();
    match column {
        Some(column) => format!("{path}:{line}: column {column}: {reason}"),
        None => format!("{path}:{line}: {reason}"),
    }
}

/// What is wrong with one row. Becomes [`SourceError::Malformed`] once the allowance of bad lines is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub column: Option<String>,
    pub reason: String,
    pub kind: FaultKind,
}

/// What a message can suggest other than correcting the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultKind {
    #[default]
    Plain,
    /// The file may have another encoding.
    NotUtf8,
    /// A quote that isn't closed within its field may be meant as one.
    OpenQuote,
}

impl Fault {
    /// A fault of a whole row.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { column: None, reason: reason.into(), kind: FaultKind::Plain }
    }

    /// A fault of one column.
    pub fn column(column: &str, reason: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), reason: reason.into(), kind: FaultKind::Plain }
    }

    pub(super) fn not_utf8(reason: impl Into<String>) -> Self {
        Self { kind: FaultKind::NotUtf8, ..Self::new(reason) }
    }

    /// The error that ends the reading.
    pub(super) fn error(self, path: &Path, line: u64) -> SourceError {
        let Self { column, reason, kind } = self;
        let path = path.to_owned();
        match kind {
            FaultKind::Plain => SourceError::Malformed { path, line, column, reason },
            FaultKind::NotUtf8 => {
                let likely = guess_encoding(&path);
                SourceError::NotUtf8 { path, line, column, reason, likely }
            }
            FaultKind::OpenQuote => SourceError::OpenQuote { path, line, column, reason },
        }
    }
}

//! Errors of feature files, with hints for the user.

use std::io;
use std::path::{Path, PathBuf};

use crate::artefact::ArtefactError;
use crate::data::join::Explanation;

/// Errors of feature stores and of the files they are imported from.
#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// The file contradicts itself or its format.
    #[error("{path}: {reason}")]
    Malformed { path: PathBuf, reason: String },
    /// A valid file of an unsupported kind.
    #[error("{path}: {what}")]
    Unsupported { path: PathBuf, what: String, hint: String },
    #[error("{path}: shape {shape:?}, wanted {wanted}")]
    Shape { path: PathBuf, shape: Vec<usize>, wanted: &'static str },
    #[error("{path}: no tensor named {wanted:?}")]
    NoSuchTensor { path: PathBuf, wanted: String, names: Vec<String> },
    #[error("{path}: holds {} tensors", names.len())]
    WhichTensor { path: PathBuf, names: Vec<String> },
    #[error("{path}: no column named {wanted:?}")]
    NoSuchColumn { path: PathBuf, wanted: String, names: Vec<String> },
    #[error("{path}: several columns, and none of them chosen for ids")]
    WhichColumn { path: PathBuf, names: Vec<String> },
    /// An option without effect on this input.
    #[error("{option} has no effect: {reason}")]
    NoEffect { option: String, reason: String, hint: String },
    #[error("`{0}` is not the name of a view")]
    ViewName(String),
    /// Warnings, under `--strict`.
    #[error("under --strict a warning is an error: {}", .0.join("; "))]
    Strict(Vec<String>),
    #[error("{matrix} has {rows} rows, but {table} has {entries} entries")]
    RowCount { matrix: PathBuf, rows: usize, table: PathBuf, entries: usize },
    #[error("{path}: row {row} and row {first} have the same id {id:?}")]
    DuplicateId { path: PathBuf, id: String, first: usize, row: usize },
    #[error("{path}: row {row} is not an id: {reason}")]
    BadId { path: PathBuf, row: usize, reason: String },
    #[error("{path}: row {row} (item id {id:?}), token {token}, column {column} is {value}")]
    NotFinite { path: PathBuf, row: usize, id: String, token: usize, column: usize, value: f32 },
    #[error("{path}: row {row} states a length of {length}, but there are {tokens} tokens")]
    BadLength { path: PathBuf, row: usize, length: i128, tokens: usize },
    #[error("{path}: none of its {} ids is an item of the data set", .count)]
    NoMatch { path: PathBuf, count: usize, explanation: Option<Box<Explanation>> },
    #[error("item {item}: {value} can't be stored as {precision}")]
    OutOfRange { item: u32, value: f32, precision: &'static str },
    /// A row that breaks [`super::StoreWriter::push`]'s contract.
    #[error("item {item}: {reason}")]
    BadRow { item: u32, reason: String },
    #[error("{dir} was made for other items than the data set's")]
    OtherItems { dir: PathBuf },
}

impl FeatureError {
    /// What the user can do about the error.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsupported { hint, .. } => Some(hint.clone()),
            Self::NoSuchTensor { names, .. } => Some(format!("it holds {}", list(names))),
            Self::WhichTensor { names, .. } => Some(format!("name one of {}", list(names))),
            Self::NoSuchColumn { names, .. } => Some(format!("its columns are {}", list(names))),
            Self::RowCount { rows, entries, .. } if *rows == entries + 1 => Some(
                "one entry too few: .csv and .tsv tables need a header line, and a padding row 0 of the matrix needs an id of its own"
                    .into(),
            ),
            Self::RowCount { .. } => Some("both files must list the same items in the same order".into()),
            Self::DuplicateId { .. } => Some("keep one row per item".into()),
            Self::NotFinite { value, .. } if value.is_nan() => {
                Some("--missing nan counts such items as missing; or compute their features again".into())
            }
            Self::NotFinite { .. } => {
                Some("remove the row (the item then counts as missing) or compute its features again".into())
            }
            Self::NoMatch { explanation, .. } => {
                let remedy = |found: &Explanation| found.hint().unwrap_or_else(|| "are these the ids?".into());
                Some(explanation.as_ref().map_or_else(no_ids, |found| format!("{found}; {}", remedy(found))))
            }
            Self::WhichColumn { names, .. } => {
                Some(format!("name one with --id-column NAME; its columns are {}", list(names)))
            }
            Self::NoEffect { hint, .. } => Some(hint.clone()),
            Self::ViewName(_) => Some(
                "a view's name is one folder's name, such as text or image_clip: letters, digits, `_`, `-` and `.`, no \
                 path; --output (import) or --to (encode) puts the store elsewhere"
                    .into(),
            ),
            Self::Strict(_) => Some("mend what it says, or leave --strict out to go on all the same".into()),
            Self::OutOfRange { .. } => Some("store float32 instead".into()),
            Self::OtherItems { .. } => Some("encode or import them again for this data set, with --overwrite".into()),
            Self::Artefact(ArtefactError::Exists(_)) => Some("choose another name or remove it".into()),
            _ => None,
        }
    }
}

fn no_ids() -> String {
    "the data set has no items, or the table no ids".into()
}

/// The first few names, quoted.
fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(8).map(|n| format!("{n:?}")).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    if shown.is_empty() { "nothing".into() } else { format!("{}{more}", shown.join(", ")) }
}

/// Attaches the path to an I/O error.
pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FeatureError + '_ {
    move |source| FeatureError::Io { path: path.to_owned(), source }
}

pub(super) fn malformed(path: &Path, reason: impl Into<String>) -> FeatureError {
    FeatureError::Malformed { path: path.to_owned(), reason: reason.into() }
}

//! What an import may be told, and what it reports.

use serde::{Deserialize, Serialize};

use super::array::ArrayRef;
use super::ids::Choice;
use super::shared::Shared;
use super::store::Precision;

/// What may be said besides matrix and ids.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Valid tokens per row of a `[I, T, f]` matrix; absent: all T. A length of 0 makes the item missing.
    pub lengths: Option<ArrayRef>,
    /// Absent: float16 if the matrix is, float32 otherwise.
    pub precision: Option<Precision>,
    /// What made the features, for the manifest; empty: the matrix file's name.
    pub source: String,
    /// Which rows make their item a missing one.
    pub missing: MissingRows,
    /// What becomes of rows that several items share.
    pub shared: SharedRows,
    /// Whatever should be warned about is an error, and nothing is written.
    pub strict: bool,
}

/// A row that [`super::MANY`] items or more share is seldom meant so: it stands for "no features".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedRows {
    /// They are taken, and told.
    #[default]
    Told,
    /// They are taken: they are meant so.
    Keep,
    /// Their items count as missing.
    Missing,
}

/// Rows that stand for "no features" in the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRows {
    /// All values of all valid tokens are zero.
    pub zeros: bool,
    /// A value of a valid token is not a number.
    pub nan: bool,
}

/// What an import found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// I, T and f of the store.
    pub items: usize,
    pub tokens: usize,
    pub width: usize,
    pub precision: Precision,
    /// Items of the data set that got features.
    pub matched: usize,
    /// Items of the data set without a row, with a row of length 0, or with one that [`ImportOptions::missing`] names.
    pub missing: usize,
    /// Items among them that have a row of zeros, or one with a value that is not a number.
    pub missing_zeros: usize,
    pub missing_nan: usize,
    /// Items among them whose row others share.
    pub missing_shared: usize,
    /// Rows whose id is no item of the data set.
    pub unknown: usize,
    /// Matched rows that hold nothing but zeros: often a stand-in for "missing" in the source.
    pub all_zero: usize,
    /// Items that have one and the same row, which is not of zeros.
    pub shared: Option<Shared>,
    /// How the ids were read.
    pub ids: Choice,
    /// What a person should hear.
    pub warnings: Vec<String>,
    /// Content hash of the store.
    pub hash: String,
}

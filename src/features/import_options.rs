//! Options and report of an import.

use serde::{Deserialize, Serialize};

use super::array::ArrayRef;
use super::ids::Choice;
use super::shared::Shared;
use super::store::Precision;

/// Options of an import.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Number of valid tokens of each row of a `[I, T, f]` matrix (default: T). 0 makes the item missing.
    pub lengths: Option<ArrayRef>,
    /// Precision of the store (default: float16 if the matrix is, else float32).
    pub precision: Option<Precision>,
    /// Origin of the features, for the manifest (default: the name of the matrix file).
    pub source: String,
    /// Rows that make their item missing.
    pub missing: MissingRows,
    /// Treatment of rows that several items share.
    pub shared: SharedRows,
    /// Turns warnings into an error; nothing is then written.
    pub strict: bool,
}

/// Treatment of rows that [`super::MANY`] items or more share, which usually stand for "no features".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedRows {
    /// Imports them with a warning.
    #[default]
    #[serde(rename = "told")]
    Warn,
    /// Imports them as intended.
    Keep,
    /// Counts their items as missing.
    Missing,
}

/// Rows that stand for "no features".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRows {
    /// Rows whose valid tokens are all zeros.
    pub zeros: bool,
    /// Rows with NaN in a valid token.
    pub nan: bool,
}

/// The report of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// I, T and f of the store.
    pub items: usize,
    pub tokens: usize,
    pub width: usize,
    pub precision: Precision,
    /// Items of the data set with features.
    pub matched: usize,
    /// Items of the data set without features: no row, a row of length 0, or one that [`ImportOptions::missing`] names.
    pub missing: usize,
    /// Missing items with a row of zeros or NaN.
    pub missing_zeros: usize,
    pub missing_nan: usize,
    /// Missing items whose row is shared.
    pub missing_shared: usize,
    /// Rows whose id is not in the data set.
    pub unknown: usize,
    /// Matched rows of zeros, which often stand for "missing".
    pub all_zero: usize,
    /// Items that share a row other than zeros.
    pub shared: Option<Shared>,
    /// How the ids were read.
    pub ids: Choice,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Content hash of the store.
    pub hash: String,
}

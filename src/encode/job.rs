//! The description of an encoding job.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::Items;
use crate::features::Precision;

/// The column of the catalogue to encode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextField {
    Title,
    /// The title and all further text columns.
    #[default]
    Text,
}

impl TextField {
    /// The texts of all items, `[I + 1]`.
    pub fn texts(self, items: &Items) -> &[String] {
        match self {
            Self::Title => &items.titles,
            Self::Text => &items.texts,
        }
    }
}

/// An encoding job.
#[derive(Clone, Debug)]
pub struct Job {
    /// The store to write.
    pub dest: PathBuf,
    pub field: TextField,
    pub precision: Precision,
    /// Inputs of a batch.
    pub batch: usize,
    /// Number of first items to encode; the others count as missing.
    pub limit: Option<usize>,
    /// Whether to discard the rows of an earlier run.
    pub restart: bool,
    pub shared: SharedPictures,
    /// Whether warnings are errors.
    pub strict: bool,
}

impl Default for Job {
    /// The defaults of the command line; `dest` is empty.
    fn default() -> Self {
        Self {
            dest: PathBuf::new(),
            field: TextField::default(),
            precision: Precision::F16,
            batch: 32,
            limit: None,
            restart: false,
            shared: SharedPictures::default(),
            strict: false,
        }
    }
}

/// What becomes of items that share one picture with at least [`crate::features::MANY`] - 1 others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedPictures {
    /// Encodes them with a warning.
    #[default]
    #[serde(rename = "told")]
    Warn,
    /// Encodes them as intended.
    Keep,
    /// Counts them as items without a picture, which is a placeholder.
    Missing,
}

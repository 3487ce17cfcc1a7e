//! What is to be encoded, and how.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::Items;
use crate::features::Precision;

/// Which column of the catalogue is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextField {
    Title,
    /// Title and all further text columns.
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

/// What is to be done with an encoder.
#[derive(Clone, Debug)]
pub struct Job {
    /// The store to make.
    pub dest: PathBuf,
    pub field: TextField,
    pub precision: Precision,
    /// Inputs computed at once.
    pub batch: usize,
    /// Only the first items of the catalogue; the others count as missing.
    pub limit: Option<usize>,
    /// Forget what an earlier run has kept.
    pub restart: bool,
    pub shared: SharedPictures,
    /// Whatever should be warned about is an error.
    pub strict: bool,
}

impl Default for Job {
    /// As the command line has it, but for `dest`, which is empty.
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
    /// Encoded, and warned about.
    #[default]
    Told,
    /// Encoded: the picture is theirs.
    Keep,
    /// Items without a picture: it is a placeholder.
    Missing,
}

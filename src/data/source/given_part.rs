//! The parts of a split that comes with a log.

use serde::{Deserialize, Serialize};

use super::value::shorten;

/// Which part of a given split a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GivenPart {
    Train,
    Valid,
    Test,
}

impl GivenPart {
    /// The part that a word of a file's name or a field names; MMRec numbers the parts in this order.
    pub fn named(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "train" | "training" | "0" | "0.0" => Self::Train,
            "valid" | "validation" | "val" | "dev" | "1" | "1.0" => Self::Valid,
            "test" | "testing" | "2" | "2.0" => Self::Test,
            _ => return None,
        })
    }

    /// The part that a field names.
    ///
    /// # Errors
    /// It names none.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::named(text).ok_or_else(|| {
            let text = shorten(text);
            format!("{text:?} is no part of a split: train, valid or test, or 0, 1 or 2 in this order")
        })
    }
}

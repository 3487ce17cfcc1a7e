//! What can be evaluated: anything that scores every item for a target's history.
//!
//! Models, baselines and the planted truth implement [`Scorer`]; [`super::protocol`] calls it.

use super::inner_product::{Found, Query};
use crate::data::{Choice, Target};

/// Why targets can't be ranked.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    #[error("{0}")]
    Scorer(String),
    #[error("the data set has no {0} targets")]
    NoTargets(&'static str),
    #[error("none of the {targets} {part} targets is among the {candidates} candidates")]
    NoneChosen { part: &'static str, targets: usize, candidates: usize },
    #[error("the scorer knows {scorer} items, the data set has {dataset}")]
    Catalogue { scorer: usize, dataset: usize },
    #[error("`{name}` gave {found} scores for a tile of {expected}")]
    Shape { name: String, found: usize, expected: usize },
}

impl ScoreError {
    /// A scorer's own failure.
    pub fn new(reason: impl Into<String>) -> Self {
        Self::Scorer(reason.into())
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoTargets(_) => Some("prepare with a split that leaves some".into()),
            Self::NoneChosen { .. } => Some("choose items that users go on to".into()),
            Self::Catalogue { .. } => Some("evaluate on the data set that the model was trained on".into()),
            Self::Scorer(_) | Self::Shape { .. } => None,
        }
    }
}

/// Fills dense score rows over the whole catalogue for a tile of targets.
pub trait Scorer {
    /// Names of the score sets, e.g. `ensemble`, `id`, `text`.
    fn names(&self) -> Vec<String>;

    /// I, the number of items without padding.
    fn items(&self) -> usize;

    /// Number of training events of each item, I + 1 entries, where another count than that of the whole training part
    /// decides which items are cold.
    fn trained_counts(&self) -> Option<&[u32]> {
        None
    }

    /// Fills `out[k]` with the `targets.len() * (I + 1)` scores of name k, row-major; column 0 is ignored. An item with the
    /// score -∞ stands in no list, and a target with it is missed.
    ///
    /// `out` may hold anything on entry: the ranking overwrites scores of the last tile.
    ///
    /// # Errors
    /// The scores can't be computed.
    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError>;

    /// Ranks the queries' targets without storing scores: `[N][names]`, each with its best `k` items. `None` where the
    /// scorer can't, so that [`Self::score`] is called. Under a choice only its items are candidates, and the items of
    /// queries and results are places among them.
    ///
    /// # Errors
    /// As [`Self::score`].
    fn rank(
        &mut self,
        _targets: &[Target],
        _queries: &[Query],
        _k: usize,
        _among: Option<&Choice>,
    ) -> Result<Option<Vec<Vec<Found>>>, ScoreError> {
        Ok(None)
    }
}

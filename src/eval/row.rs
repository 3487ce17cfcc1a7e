//! The rank of one target, with what statistics need to know of it.
//!
//! [`super::metrics`] averages rows, [`super::rows`] stores them, `compare` and `ablate` pair them between runs.

/// The rank of one target under one score name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// User and item numbers of the dataset.
    pub user: u32,
    pub item: u32,
    /// Rank from 1 under the configured tie rule; infinite if the target is missed, so that no cut-off includes it.
    pub rank: f64,
    pub rank_optimistic: f64,
    pub rank_pessimistic: f64,
    /// Number of candidates, the target included.
    pub candidates: u32,
    /// Whether the target was no candidate, or had no score.
    pub missed: bool,
    /// Number of the target item's training interactions.
    pub item_count: u32,
    /// Seconds from the item's first training interaction to the target; negative where that came later.
    pub item_age: Option<i64>,
    /// Number of the user's items that precede the target.
    pub history: u32,
}

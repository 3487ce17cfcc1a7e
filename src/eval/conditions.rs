//! The conditions of an evaluation, as reports and rows keep them.

use serde::{Deserialize, Serialize};

use crate::config::{HistoryRule, TieRule, TrainParts};

/// The conditions of an evaluation. Evaluations can be compared only where all of them are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// One of [`super::named::ALL`], or [`super::named::CUSTOM`]. Empty in rows of older programs, which knew no names.
    #[serde(default)]
    pub name: String,
    /// The interactions that the model was trained on and its baselines count.
    #[serde(default = "TrainParts::ordinary", skip_serializing_if = "TrainParts::is_ordinary")]
    pub trained_on: TrainParts,
    /// Content hash of the data set.
    #[serde(default)]
    pub dataset: String,
    pub targets: usize,
    /// I, the number of items.
    pub items: usize,
    pub history: HistoryRule,
    pub ties: TieRule,
    /// What NDCG is divided by.
    #[serde(default)]
    pub ideal: Ideal,
    pub ks: Vec<usize>,
    /// Cut-off of the buckets' figures.
    #[serde(default = "ten")]
    pub bucket_k: usize,
    /// Number of targets that stand in their own history and count as misses.
    pub masked_targets: usize,
    /// The choice of candidates; absent where all items are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
}

/// A choice of items as candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The options that chose them.
    pub rules: Vec<String>,
    pub items: usize,
    /// Identifies the set of items.
    pub hash: String,
    /// Number of targets that are no candidates: they are in no figure, and not counted in [`Protocol::targets`].
    pub outside: usize,
}

/// The gain that NDCG divides a list's gain by, so that the best list has 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ideal {
    /// That of a list with all targets of the user in front. One target a user: 1.
    #[default]
    Targets,
    /// That of a list of k hits, whatever there is to hit: RecTools' NDCG without `divide_by_achievable`. With one target a
    /// user the best list has 0.22 at k = 10.
    FullList,
}

impl Ideal {
    /// The factor that makes this NDCG@k of one with one target as its ideal.
    pub fn factor(self, k: usize) -> f64 {
        match self {
            Self::Targets => 1.0,
            Self::FullList => 1.0 / (1..=k).map(|place| 1.0 / (place as f64 + 1.0).log2()).sum::<f64>(),
        }
    }
}

impl Protocol {
    /// The rules in words: `history all, ties mid, protocol leave_one_out`.
    pub fn rules(&self) -> String {
        let (history, ties) = (self.history.word(), self.ties.word());
        let name = if self.name.is_empty() { String::new() } else { format!(", protocol {}", self.name) };
        let ideal = match self.ideal {
            Ideal::Targets => "",
            Ideal::FullList => ", ndcg divided by the gain of k hits",
        };
        format!("history {history}, ties {ties}{name}{ideal}")
    }

    /// A description of the candidates: `full ranking over N items`, or which items and what that leaves out.
    pub fn candidates(&self) -> String {
        match &self.chosen {
            None => format!("full ranking over {} items", self.items),
            Some(chosen) => format!(
                "ranking over {} of {} items ({}; {} targets are none of them and are left out)",
                chosen.items,
                self.items,
                chosen.rules.join(", "),
                chosen.outside
            ),
        }
    }
}

fn ten() -> usize {
    10
}

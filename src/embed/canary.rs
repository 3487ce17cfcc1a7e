//! The canary: a check on every load that a store's vectors belong to the model. Next items that were found when the
//! store was built must still be found, and recorded scores must be reproduced.
//!
//! Hashes identify the model that made a store, but not whether its vectors are right: a store of raw vectors in place
//! of trained ones would answer every call with random lists. Recall alone would let wrong vectors pass where the model
//! is weak; scores depend on vectors and model together.

use serde::{Deserialize, Serialize};

use super::EmbedError;
use super::store::Snapshot;
use crate::data::{Dataset, ItemId, Part, Target};
use crate::eval::rank::Best;
use crate::recommend::{Mixed, MixedScorer};

/// Most pairs of a canary.
const PAIRS: usize = 256;
/// Lengths of a list in which the next item counts as found; the first with enough hits is used.
const DEPTHS: [usize; 4] = [10, 50, 200, 1000];
/// Smallest number of hits for a meaningful check.
const ENOUGH: usize = 16;

/// Tolerated difference of a score between devices and builds, relative to its size (at least 1).
const TOLERANCE: f32 = 1e-2;

/// Every user's last item as a target.
fn last_items(dataset: &Dataset) -> Vec<Target> {
    let last = |user: usize| {
        let (item, before) = dataset.sequences.items_of(user).split_last()?;
        Some(Target { user: user as u32, item: ItemId(*item), position: before.len() as u32 })
    };
    (0..dataset.sequences.users()).filter_map(last).collect()
}

/// Known (history, next item) pairs with their recorded hits and scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// Length of the list.
    pub k: usize,
    pub pairs: Vec<Pair>,
}

/// One user's validation target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Item numbers of the catalogue.
    pub history: Vec<u32>,
    pub next: u32,
    /// Whether it was among the first k when recorded.
    pub found: bool,
    /// Recorded score of the next item.
    pub score: f32,
}

impl Canary {
    /// Draws validation targets of evenly spread users (test targets if there are none, and last items of a model that was
    /// trained on those too), without results. `trained` `[I
    /// + 1]` are the training events of each item.
    pub fn draw(dataset: &Dataset, trained: &[u32], max_seq_len: usize) -> Self {
        let mut targets = dataset.targets(Part::Valid);
        if targets.is_empty() {
            targets = dataset.targets(Part::Test);
        }
        if targets.is_empty() {
            targets = last_items(dataset);
        }
        // Vectors of items without training come from a rule, not from the model.
        targets.retain(|t| t.position > 0 && trained[t.item.index()] > 0);
        let stride = targets.len().div_ceil(PAIRS).max(1);
        let pair = |t: &Target| {
            let history = dataset.history(t);
            let kept = &history[history.len().saturating_sub(max_seq_len)..];
            Pair { history: kept.to_vec(), next: t.item.0, found: false, score: 0.0 }
        };
        Self { k: DEPTHS[0], pairs: targets.iter().step_by(stride).map(pair).collect() }
    }

    /// Records hits and scores, at the smallest depth with enough hits.
    pub fn record(&mut self, scorer: &MixedScorer<'_>) {
        let ranks = self.ranks(scorer, DEPTHS[DEPTHS.len() - 1]);
        let found = |k: usize| ranks.iter().filter(|(rank, _)| rank.is_some_and(|r| r < k)).count();
        self.k = DEPTHS.into_iter().find(|&k| found(k) >= ENOUGH).unwrap_or(DEPTHS[DEPTHS.len() - 1]);
        for (pair, (rank, score)) in self.pairs.iter_mut().zip(ranks) {
            pair.found = rank.is_some_and(|r| r < self.k);
            pair.score = score;
        }
    }

    /// Whether all item numbers are within 1..=`items`.
    pub fn fits(&self, items: usize) -> bool {
        let known = |item: u32| item >= 1 && item as usize <= items;
        self.pairs.iter().all(|pair| known(pair.next) && pair.history.iter().all(|&item| known(item)))
    }

    /// Share of the pairs that were found when recorded.
    pub fn recall(&self) -> f64 {
        self.pairs.iter().filter(|p| p.found).count() as f64 / self.pairs.len().max(1) as f64
    }

    /// Whether no more were found than by a random order of `items`, so that the check is blind.
    pub fn is_blind(&self, items: usize) -> bool {
        self.recall() < 2.0 * self.k as f64 / items.max(1) as f64
    }

    /// Checks that at least half of the recorded hits are found again, and at least half of the scores are reproduced.
    /// Next items that were deleted since are ignored; for replaced ones the scores are.
    ///
    /// # Errors
    /// [`EmbedError::Canary`].
    pub fn check(&self, snapshot: &Snapshot, scorer: &MixedScorer<'_>) -> Result<f64, EmbedError> {
        let offered = |pair: &Pair| {
            let row = (pair.next as usize).checked_sub(1).and_then(|n| snapshot.rows.get(n));
            row.is_some_and(|row| row.offered)
        };
        let kept = Self { k: self.k, pairs: self.pairs.iter().filter(|p| offered(p)).cloned().collect() };
        let expected = kept.pairs.iter().filter(|p| p.found).count();
        let ranks = kept.ranks(scorer, self.k);
        let found = ranks.iter().filter(|(rank, _)| rank.is_some()).count();
        let dir = || snapshot.dir.clone();
        if 2 * found < expected {
            return Err(EmbedError::Canary { dir: dir(), found, expected, k: self.k });
        }
        let unchanged = |item: u32| snapshot.rows[item as usize - 1].generation == 1;
        let scored = kept.pairs.iter().zip(&ranks);
        let same: Vec<bool> = scored
            .filter(|(pair, _)| unchanged(pair.next) && pair.history.iter().all(|&item| unchanged(item)))
            .map(|(pair, (_, score))| (pair.score - score).abs() <= TOLERANCE * pair.score.abs().max(1.0))
            .collect();
        let count = same.iter().filter(|&&same| same).count();
        if 2 * count < same.len() {
            return Err(EmbedError::CanaryScores { dir: dir(), same: count, pairs: same.len() });
        }
        Ok(found as f64 / kept.pairs.len().max(1) as f64)
    }

    /// Rank of each next item among the best `k` items, from 0, with its score.
    fn ranks(&self, scorer: &MixedScorer<'_>, k: usize) -> Vec<(Option<usize>, f32)> {
        let mut ranks = Vec::with_capacity(self.pairs.len());
        for tile in self.pairs.chunks(64) {
            let histories: Vec<&[u32]> = tile.iter().map(|p| p.history.as_slice()).collect();
            let mut scores = scorer.score_histories(&histories).swap_remove(0);
            let width = scores.len() / tile.len();
            for (pair, scores) in tile.iter().zip(scores.chunks_exact_mut(width)) {
                let score = scores[pair.next as usize];
                scorer.mixed().hide(scores);
                pair.history.iter().for_each(|&item| scores[item as usize] = f32::NEG_INFINITY);
                ranks.push((Best::places(scores, k).iter().position(|&item| item == pair.next), score));
            }
        }
        ranks
    }
}

impl Snapshot {
    /// The snapshot's vectors for a scorer.
    pub fn mixed(&self, device: &burn::tensor::Device) -> Mixed {
        Mixed::new(
            &self.vectors,
            self.description.width,
            self.rows.iter().map(|row| row.trained).collect(),
            self.rows.iter().map(|row| row.live.clone()).collect(),
            self.rows.iter().map(|row| row.offered).collect(),
            device,
        )
    }
}

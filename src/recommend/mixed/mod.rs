//! Scores where some items lack a vector in some branch: new items among trained ones (docs/studies.md, section 6.2).
//!
//! A new item without an ID vector can't get the mean of all branches. Adding 0 for the absent one would bury
//! or lift it by chance; the mean of the others has another spread than the mean of all, so that new items
//! would flood the lists or never enter them. Its score is therefore carried over, user by user, from the
//! distribution that the trained items have under the branches it does have to the one they have under all.
//! Trained items keep their scores to the bit.
//!
//! `recommend`, `inspect` and `evaluate` use it for vector stores and cold items: [`Mixed`] holds the vectors,
//! [`MixedScorer`] scores histories, and [`Calibration`] decides how scores are carried over.
//!
//! Shapes: `N` histories, `B` branches, `I` items (all), `D` width.

mod calibration;
mod scorer;

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};

use super::CatalogueVectors;
pub use calibration::Calibration;
pub use scorer::MixedScorer;

/// The index of a set of branches in [`Mixed::patterns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PatternId(usize);

/// Item vectors of trained and new items, and which of them are there. Entry 0 of every list of items is padding.
#[derive(Clone, Debug)]
pub struct Mixed {
    pub vectors: CatalogueVectors,
    /// Whether each item is trained and offered; the scores of such items are the reference for calibration.
    reference: Vec<bool>,
    offered: Vec<bool>,
    /// Whether each branch has a vector of each item: `[B][I + 1]`.
    live: Vec<Vec<bool>>,
    /// The distinct sets of branches that items have, other than all, with a flag for each branch.
    patterns: Vec<Vec<bool>>,
    /// The pattern of each item; absent for items that have all branches.
    item_patterns: Vec<Option<PatternId>>,
}

impl Mixed {
    /// Loads `vectors`, which have no padding. `trained`, `live` and `offered` have an entry for each item; those of `live`
    /// have a flag for each branch.
    ///
    /// # Shapes
    /// - vectors: `[I, D]` for each branch
    pub fn new(
        vectors: &[Vec<f32>],
        width: usize,
        trained: Vec<bool>,
        live: Vec<Vec<bool>>,
        offered: Vec<bool>,
        device: &Device,
    ) -> Self {
        let rows = trained.len() + 1;
        let padded = vectors.iter().map(|values| {
            let mut all = vec![0.0; width];
            all.extend_from_slice(values);
            Tensor::from_data(TensorData::new(all, [rows, width]), device)
        });
        let vectors = CatalogueVectors { branches: padded.collect() };
        Self::from_vectors(vectors, trained, live, offered)
    }

    /// [`Mixed::new`] for vectors that are on the device, with padding.
    pub fn from_vectors(
        vectors: CatalogueVectors,
        trained: Vec<bool>,
        live: Vec<Vec<bool>>,
        offered: Vec<bool>,
    ) -> Self {
        let (patterns, item_patterns) = find_patterns(&live);
        let reference = trained.iter().zip(&offered).map(|(&trained, &offered)| trained && offered);
        let reference = std::iter::once(false).chain(reference).collect();
        let offered = std::iter::once(false).chain(offered).collect();
        let mut branch_live = vec![vec![false]; vectors.branches.len()];
        for live in &live {
            branch_live.iter_mut().zip(live).for_each(|(all, &live)| all.push(live));
        }
        Self { vectors, reference, offered, live: branch_live, patterns, item_patterns }
    }

    /// I, the number of items without padding.
    pub fn items(&self) -> usize {
        self.vectors.items()
    }

    /// Whether branch `branch` has a vector of the item.
    pub fn is_live(&self, branch: usize, item: u32) -> bool {
        self.live[branch][item as usize]
    }

    /// Whether any branch has a vector of any item of the history. Otherwise nothing is known of the user.
    pub fn knows(&self, history: &[u32]) -> bool {
        history.iter().any(|&item| self.live.iter().any(|live| live[item as usize]))
    }

    /// Whether the item may be listed.
    pub fn is_offered(&self, item: u32) -> bool {
        self.offered[item as usize]
    }

    /// Sets the scores of items that aren't offered to minus infinity; `scores` has I + 1 entries.
    pub fn hide(&self, scores: &mut [f32]) {
        for (score, _) in scores.iter_mut().zip(&self.offered).filter(|(_, offered)| !**offered) {
            *score = f32::NEG_INFINITY;
        }
    }

    /// The items of a pattern, ascending.
    fn pattern_items(&self, pattern: PatternId) -> Vec<usize> {
        let items = self.item_patterns.iter().enumerate();
        items.filter(|(_, own)| **own == Some(pattern)).map(|(item, _)| item).collect()
    }
}

/// The distinct sets of branches other than all, in order of their first item, and each item's set, padding first.
fn find_patterns(live: &[Vec<bool>]) -> (Vec<Vec<bool>>, Vec<Option<PatternId>>) {
    let mut patterns: Vec<Vec<bool>> = Vec::new();
    let mut known: HashMap<&[bool], PatternId> = HashMap::new();
    let mut item_patterns = vec![None];
    for live in live {
        if live.iter().all(|&live| live) {
            item_patterns.push(None);
            continue;
        }
        let pattern = *known.entry(live).or_insert_with(|| {
            patterns.push(live.clone());
            PatternId(patterns.len() - 1)
        });
        item_patterns.push(Some(pattern));
    }
    (patterns, item_patterns)
}

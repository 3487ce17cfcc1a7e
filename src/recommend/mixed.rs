//! Scores where some items lack a vector in some branch: new items beside trained ones (docs/studies.md, section 6.2).
//!
//! A new item without an ID vector can't get the mean of all branches. Adding 0 for the absent one would bury
//! or lift it by chance; the mean of the others has another spread than the mean of all, so that new items
//! would flood the lists or never enter them. Its score is therefore carried over, user by user, from the
//! distribution that the trained items have under the branches it does have to the one they have under all.
//! Trained items keep their scores to the bit.
//!
//! Shapes: `N` histories, `I` items (all), `D` width.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::{CatalogueVectors, ModelScorer};
use crate::data::{Dataset, Target};
use crate::eval::{ScoreError, Scorer};
use crate::model::{Recommender, params};

/// How an item without a vector in some branch is scored beside the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Calibration {
    /// Mean z-score over its branches, spread as the trained items' mean over all branches is.
    #[default]
    Zscore,
    /// As if the absent branch had given it its mean z-score over the others.
    Impute,
    /// Mean of the branches it has.
    Off,
}

/// Item vectors and what is known of them; entry 0 of every list is padding.
#[derive(Clone, Debug)]
pub struct Mixed {
    pub vectors: CatalogueVectors,
    /// Trained and on offer: the items whose scores calibration goes by.
    reference: Vec<bool>,
    offered: Vec<bool>,
    /// Per branch: the item has a vector.
    live: Vec<Vec<bool>>,
    /// Sets of branches that some items have, other than all; branch by branch.
    patterns: Vec<Vec<bool>>,
    /// Per item, 1 + place of its pattern; 0: it has all branches.
    pattern_of: Vec<u32>,
}

impl Mixed {
    /// `vectors` are `[I, D]` per branch without padding; the lists have an entry an item.
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
        Self::of(vectors, trained, live, offered)
    }

    /// As [`Mixed::new`], of vectors that are on the device.
    pub fn of(
        vectors: CatalogueVectors,
        trained: Vec<bool>,
        live: Vec<Vec<bool>>,
        offered: Vec<bool>,
    ) -> Self {
        let branches = vectors.branches.len();
        let mut patterns: Vec<Vec<bool>> = Vec::new();
        let mut places: HashMap<Vec<bool>, u32> = HashMap::new();
        let mut pattern_of = vec![0];
        for live in &live {
            if live.iter().all(|&live| live) {
                pattern_of.push(0);
                continue;
            }
            let next = patterns.len() as u32 + 1;
            let place = *places.entry(live.clone()).or_insert(next);
            if place == next {
                patterns.push(live.clone());
            }
            pattern_of.push(place);
        }
        let mut reference = vec![false];
        reference.extend(trained.iter().zip(&offered).map(|(&trained, &offered)| trained && offered));
        let mut candidates = vec![false];
        candidates.extend(offered);
        let mut by_branch = vec![vec![false]; branches];
        for live in &live {
            by_branch.iter_mut().zip(live).for_each(|(all, &live)| all.push(live));
        }
        Self { vectors, reference, offered: candidates, live: by_branch, patterns, pattern_of }
    }

    /// I
    pub fn items(&self) -> usize {
        self.vectors.items()
    }

    /// Whether branch `branch` has a vector of the item.
    pub fn is_live(&self, branch: usize, item: u32) -> bool {
        self.live[branch][item as usize]
    }

    /// Whether any branch has a vector of any item of the history: without one nothing is known of the user.
    pub fn knows(&self, history: &[u32]) -> bool {
        history.iter().any(|&item| self.live.iter().any(|live| live[item as usize]))
    }

    /// Whether the item may be listed.
    pub fn is_offered(&self, item: u32) -> bool {
        self.offered[item as usize]
    }

    /// Takes what is not on offer from the candidates.
    pub fn hide(&self, scores: &mut [f32]) {
        for (score, _) in scores.iter_mut().zip(&self.offered).filter(|(_, offered)| !**offered) {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// [`ModelScorer`] for trained and new items together.
pub struct MixedScorer<'a> {
    inner: ModelScorer<'a>,
    mixed: &'a Mixed,
    dataset: Option<&'a Dataset>,
    calibration: Calibration,
}

impl<'a> MixedScorer<'a> {
    /// `dataset` is needed to score its targets; its items are the first of `mixed`.
    pub fn new(
        model: &'a Recommender,
        mixed: &'a Mixed,
        dataset: Option<&'a Dataset>,
        max_seq_len: usize,
        calibration: Calibration,
        device: &Device,
    ) -> Self {
        let inner = ModelScorer::new(model, &mixed.vectors, None, max_seq_len, device);
        Self { inner, mixed, dataset, calibration }
    }

    pub fn mixed(&self) -> &Mixed {
        self.mixed
    }

    /// Scores of all items for each history, as [`ModelScorer::score_histories`] gives them: `ensemble` first,
    /// then the branches, `[N, I + 1]` each. A branch gives NaN to items it has no vector of, and to all where
    /// it has a vector of no item of the history.
    pub fn score_histories(&self, histories: &[&[u32]]) -> Vec<Vec<f32>> {
        let n = self.mixed.vectors.branches.len();
        let width = self.mixed.items() + 1;
        let mut sum: Option<Tensor<2>> = None;
        let mut branches = Vec::with_capacity(n);
        // Per branch and history, whether the branch knows the user.
        let mut knows = Vec::with_capacity(n);
        for (branch, items_id) in self.mixed.vectors.branches.iter().enumerate() {
            let seen: Vec<Vec<u32>> = histories
                .iter()
                .map(|h| h.iter().copied().filter(|&item| self.mixed.is_live(branch, item)).collect())
                .collect();
            let slices: Vec<&[u32]> = seen.iter().map(Vec::as_slice).collect();
            let scores_ni = self.inner.branch_users(branch, &slices).matmul(items_id.clone().transpose());
            sum = Some(match sum {
                Some(sum) => sum + scores_ni.clone(),
                None => scores_ni.clone(),
            });
            branches.push(params::host(scores_ni));
            knows.push(seen.iter().map(|seen| !seen.is_empty()).collect::<Vec<bool>>());
        }
        let mean = sum.map(|sum| if n > 1 { sum / n as f64 } else { sum });
        let mut ensemble = mean.map(params::host).unwrap_or_default();
        let blank = ensemble.par_chunks_exact_mut(width).enumerate().map(|(row, ensemble)| {
            let of_row: Vec<&[f32]> = branches.iter().map(|b| &b[row * width..(row + 1) * width]).collect();
            let knows: Vec<bool> = knows.iter().map(|k| k[row]).collect();
            self.mix(ensemble, &of_row, &knows);
            knows
        });
        let knows: Vec<Vec<bool>> = blank.collect();
        for (branch, scores) in branches.iter_mut().enumerate() {
            for (scores, knows) in scores.chunks_exact_mut(width).zip(&knows) {
                let empty = !knows[branch] && knows.iter().any(|&known| known);
                for (score, live) in scores.iter_mut().zip(&self.mixed.live[branch]) {
                    if empty || !live {
                        *score = f32::NAN;
                    }
                }
            }
        }
        if n > 1 {
            branches.insert(0, ensemble);
            return branches;
        }
        vec![ensemble]
    }

    /// Sets the ensemble's scores of one history where some branch says nothing.
    fn mix(&self, ensemble: &mut [f32], branches: &[&[f32]], knows: &[bool]) {
        // A history of which no branch knows anything scores 0, as everywhere.
        if !knows.iter().any(|&known| known) {
            return;
        }
        if knows.iter().any(|&known| !known) {
            mean_of(branches, knows, ensemble);
        }
        for (pattern, place) in self.mixed.patterns.iter().zip(1u32..) {
            let used: Vec<bool> = pattern.iter().zip(knows).map(|(&live, &known)| live && known).collect();
            let wanted = self.mixed.pattern_of.iter().enumerate().filter(|(_, of)| **of == place);
            let wanted: Vec<usize> = wanted.map(|(item, _)| item).collect();
            let scores = self.carried(ensemble, branches, &used, knows, &wanted);
            wanted.iter().zip(scores).for_each(|(&item, score)| ensemble[item] = score);
        }
    }

    /// Scores of the items `wanted`, which have the branches `used` of those that `know` the user.
    fn carried(
        &self,
        ensemble: &[f32],
        branches: &[&[f32]],
        used: &[bool],
        knows: &[bool],
        wanted: &[usize],
    ) -> Vec<f32> {
        let n = used.iter().filter(|&&used| used).count();
        if n == 0 {
            return vec![f32::NEG_INFINITY; wanted.len()];
        }
        let reference = &self.mixed.reference;
        if used == knows || self.calibration == Calibration::Off || !reference.iter().any(|&r| r) {
            let mut mean = vec![0.0; ensemble.len()];
            mean_of(branches, used, &mut mean);
            return wanted.iter().map(|&item| mean[item]).collect();
        }
        let spreads: Vec<Spread> = branches.iter().map(|b| Spread::of(b, reference)).collect();
        let standard = |item: usize| -> f64 {
            let each = (0..branches.len()).filter(|&b| used[b]);
            each.map(|b| spreads[b].standard(branches[b][item])).sum::<f64>() / n as f64
        };
        if self.calibration == Calibration::Impute {
            let all = knows.iter().filter(|&&known| known).count() as f64;
            let score = |&item: &usize| {
                let z = standard(item);
                let each = (0..branches.len()).filter(|&b| knows[b]).map(|b| {
                    if used[b] { f64::from(branches[b][item]) } else { spreads[b].mean + spreads[b].sd * z }
                });
                (each.sum::<f64>() / all) as f32
            };
            return wanted.iter().map(score).collect();
        }
        let z: Vec<f32> = (0..ensemble.len()).map(|item| standard(item) as f32).collect();
        let (of_z, of_all) = (Spread::of(&z, reference), Spread::of(ensemble, reference));
        wanted.iter().map(|&item| (of_all.mean + of_all.sd * of_z.standard(z[item])) as f32).collect()
    }
}

/// Mean over the chosen branches.
fn mean_of(branches: &[&[f32]], chosen: &[bool], out: &mut [f32]) {
    let n = chosen.iter().filter(|&&chosen| chosen).count().max(1) as f32;
    out.fill(0.0);
    for (branch, _) in branches.iter().zip(chosen).filter(|(_, chosen)| **chosen) {
        out.iter_mut().zip(*branch).for_each(|(o, s)| *o += s);
    }
    out.iter_mut().for_each(|o| *o /= n);
}

/// Mean and standard deviation of the trained items' scores.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    mean: f64,
    sd: f64,
}

impl Spread {
    fn of(scores: &[f32], reference: &[bool]) -> Self {
        let kept = || scores.iter().zip(reference).filter(|(_, kept)| **kept).map(|(&s, _)| f64::from(s));
        let n = kept().count().max(1) as f64;
        let mean = kept().sum::<f64>() / n;
        let sd = (kept().map(|s| (s - mean).powi(2)).sum::<f64>() / n).sqrt();
        Self { mean, sd }
    }

    /// 0 where all trained items score the same.
    fn standard(&self, score: f32) -> f64 {
        if self.sd > 0.0 { (f64::from(score) - self.mean) / self.sd } else { 0.0 }
    }
}

impl Scorer for MixedScorer<'_> {
    fn names(&self) -> Vec<String> {
        self.inner.score_names()
    }

    fn items(&self) -> usize {
        self.mixed.items()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let Some(dataset) = self.dataset else {
            return Err(ScoreError::new("this scorer has no data set"));
        };
        let histories: Vec<&[u32]> = targets.iter().map(|t| dataset.history(t)).collect();
        for (out, mut scores) in out.iter_mut().zip(self.score_histories(&histories)) {
            // What a branch can't score is not ranked by it: behind all that it can.
            scores.iter_mut().filter(|s| s.is_nan()).for_each(|s| *s = f32::NEG_INFINITY);
            *out = scores;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// The reference is written with plain sums over lists.
        #[test]
        fn carried_scores_have_the_trained_items_mean_and_spread(
            z in proptest::collection::vec(-3.0f32..3.0, 8..30),
        ) {
            let n = z.len();
            let reference: Vec<bool> = (0..n).map(|i| i > 0 && i % 3 != 0).collect();
            let spread = Spread::of(&z, &reference);
            let kept: Vec<f64> = (0..n).filter(|i| reference[*i]).map(|i| f64::from(z[i])).collect();
            let mean = kept.iter().sum::<f64>() / kept.len() as f64;
            let variance = kept.iter().map(|v| v * v).sum::<f64>() / kept.len() as f64 - mean * mean;
            proptest::prop_assert!((spread.mean - mean).abs() < 1e-9);
            proptest::prop_assert!((spread.sd * spread.sd - variance).abs() < 1e-6);
            let standard: Vec<f64> =
                (0..n).filter(|i| reference[*i]).map(|i| spread.standard(z[i])).collect();
            proptest::prop_assert!(standard.iter().sum::<f64>().abs() < 1e-6);
        }
    }

    #[test]
    fn the_mean_is_taken_over_the_chosen_branches_alone() {
        let mut out = vec![9.0; 2];
        mean_of(&[&[1.0, 2.0], &[5.0, 5.0], &[3.0, 4.0]], &[true, false, true], &mut out);
        assert_eq!(out, [2.0, 3.0]);
    }
}

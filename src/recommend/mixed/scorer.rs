//! Scores of trained and new items together.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

use super::calibration::{BranchScores, Calibration};
use super::{Mixed, PatternId};
use crate::data::{Dataset, Target};
use crate::eval::{ScoreError, Scorer};
use crate::memory::Memory;
use crate::model::Recommender;
use crate::params;
use crate::recommend::ModelScorer;
use crate::recommend::scorer::distinct;

/// [`ModelScorer`] for trained and new items together.
pub struct MixedScorer<'a> {
    inner: ModelScorer<'a>,
    mixed: &'a Mixed,
    dataset: Option<&'a Dataset>,
    calibration: Calibration,
}

/// Scores before items and users that a branch doesn't know are taken care of.
struct RawScores {
    /// Mean over the branches, `[N, I + 1]`.
    ensemble: Vec<f32>,
    /// `[N, I + 1]` for each branch.
    branches: Vec<Vec<f32>>,
    /// Whether each branch has a vector of any item of each history: `[B][N]`.
    knows: Vec<Vec<bool>>,
}

impl<'a> MixedScorer<'a> {
    /// `dataset` is needed to score its targets; its items are the first of `mixed`.
    pub fn new(
        model: &'a Recommender,
        mixed: &'a Mixed,
        memory: Option<Arc<Memory>>,
        dataset: Option<&'a Dataset>,
        max_seq_len: usize,
        calibration: Calibration,
        device: &Device,
    ) -> Self {
        let inner = ModelScorer::new(model, &mixed.vectors, memory, None, max_seq_len, device);
        Self { inner, mixed, dataset, calibration }
    }

    /// The item vectors that are scored.
    pub fn mixed(&self) -> &Mixed {
        self.mixed
    }

    /// Scores of all items for each history, in the order of [`ModelScorer::score_histories`]: `ensemble` first,
    /// then the branches, `[N, I + 1]` each, and the memory, which knows those of its own. A branch gives NaN to items that it has no vector of, and to all items
    /// where it has a vector of no item of the history.
    pub fn score_histories(&self, histories: &[&[u32]]) -> Vec<Vec<f32>> {
        let width = self.mixed.items() + 1;
        let RawScores { mut ensemble, mut branches, knows } = self.raw_scores(histories);
        let weighed = self.weighed(histories, &branches, &mut ensemble);
        let shares = weighed.as_ref().unwrap_or(&branches);
        ensemble.par_chunks_exact_mut(width).enumerate().for_each(|(row, ensemble)| {
            let scores = shares.iter().map(|b| &b[row * width..(row + 1) * width]).collect();
            let knows = knows.iter().map(|knows| knows[row]).collect();
            self.mix(ensemble, &BranchScores { scores, knows });
        });
        ensemble.par_chunks_exact_mut(width).zip(histories).for_each(|(ensemble, history)| {
            distinct(history).for_each(|item| ensemble[item as usize] += self.inner.weights().seen(None));
        });
        self.blank(&mut branches, &knows);
        if let Some(remembered) = self.remember(histories, &mut ensemble) {
            branches.push(remembered);
        }
        if branches.len() > 1 {
            branches.insert(0, ensemble);
            return branches;
        }
        vec![ensemble]
    }

    /// Scores of the branches such that their mean is the trained part of the ensemble, which is computed anew; absent where
    /// the scores themselves are.
    fn weighed(
        &self,
        histories: &[&[u32]],
        branches: &[Vec<f32>],
        ensemble: &mut [f32],
    ) -> Option<Vec<Vec<f32>>> {
        if self.inner.counts_evenly() {
            return None;
        }
        let (width, n) = (self.mixed.items() + 1, branches.len());
        let mut shares = branches.to_vec();
        for (row, history) in histories.iter().enumerate() {
            let weights = self.inner.weights().row(None, history.len());
            for (scores, weight) in shares.iter_mut().zip(weights) {
                scores[row * width..(row + 1) * width].iter_mut().for_each(|s| *s *= weight * n as f32);
            }
        }
        ensemble.fill(0.0);
        for scores in &shares {
            ensemble.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score / n as f32);
        }
        Some(shares)
    }

    /// Adds what the memory says to the ensemble; its own scores, where there is one.
    fn remember(&self, histories: &[&[u32]], ensemble: &mut [f32]) -> Option<Vec<f32>> {
        let width = self.mixed.items() + 1;
        let place = self.mixed.vectors.branches.len();
        if !self.inner.has_memory() {
            return None;
        }
        let mut own = vec![f32::NAN; histories.len() * width];
        for (row, list) in self.inner.remembered(histories).iter().enumerate() {
            let weight = self.inner.weights().row(None, histories[row].len())[place];
            for &(item, score) in list {
                own[row * width + item as usize] = score;
                ensemble[row * width + item as usize] += weight * score;
            }
        }
        Some(own)
    }

    /// Scores of each branch, which sees only the items of a history that it has vectors of, and their mean.
    fn raw_scores(&self, histories: &[&[u32]]) -> RawScores {
        let n = self.mixed.vectors.branches.len();
        let mut sum: Option<Tensor<2>> = None;
        let mut branches = Vec::with_capacity(n);
        let mut knows = Vec::with_capacity(n);
        for (branch, items_vd) in self.mixed.vectors.branches.iter().enumerate() {
            let seen: Vec<Vec<u32>> = histories
                .iter()
                .map(|h| h.iter().copied().filter(|&item| self.mixed.is_live(branch, item)).collect())
                .collect();
            let slices: Vec<&[u32]> = seen.iter().map(Vec::as_slice).collect();
            let scores_ni = self.inner.branch_users(branch, &slices).matmul(items_vd.clone().transpose());
            sum = Some(match sum {
                Some(sum) => sum + scores_ni.clone(),
                None => scores_ni.clone(),
            });
            branches.push(params::host(scores_ni));
            knows.push(seen.iter().map(|seen| !seen.is_empty()).collect());
        }
        let mean = sum.map(|sum| if n > 1 { sum / n as f64 } else { sum });
        RawScores { ensemble: mean.map(params::host).unwrap_or_default(), branches, knows }
    }

    /// Corrects the ensemble's scores of one history for branches that don't know the user or lack items.
    fn mix(&self, ensemble: &mut [f32], branches: &BranchScores<'_>) {
        // A history that no branch knows scores 0, as everywhere.
        if !branches.any_knows() {
            return;
        }
        if branches.knows.contains(&false) {
            branches.mean(&branches.knows, ensemble);
        }
        let reference = &self.mixed.reference;
        for (n, pattern) in self.mixed.patterns.iter().enumerate() {
            let used: Vec<bool> =
                pattern.iter().zip(&branches.knows).map(|(&live, &known)| live && known).collect();
            let items = self.mixed.pattern_items(PatternId(n));
            let scores = self.calibration.scores(ensemble, branches, &used, reference, &items);
            items.iter().zip(scores).for_each(|(&item, score)| ensemble[item] = score);
        }
    }

    /// Sets what a branch can't score to NaN. A history that no branch knows keeps its zeros.
    fn blank(&self, branches: &mut [Vec<f32>], knows: &[Vec<bool>]) {
        let width = self.mixed.items() + 1;
        for (branch, scores) in branches.iter_mut().enumerate() {
            for (row, scores) in scores.chunks_exact_mut(width).enumerate() {
                let empty = !knows[branch][row] && knows.iter().any(|knows| knows[row]);
                for (score, live) in scores.iter_mut().zip(&self.mixed.live[branch]) {
                    if empty || !live {
                        *score = f32::NAN;
                    }
                }
            }
        }
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
            // A branch ranks what it can't score behind all that it can, as ties under the tie rule; lists leave such items out.
            scores.iter_mut().filter(|s| s.is_nan()).for_each(|s| *s = f32::NEG_INFINITY);
            *out = scores;
        }
        Ok(())
    }
}

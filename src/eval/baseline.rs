//! Untrained floors that stand in every report: popularity, and counted item-to-item transitions.

use std::collections::HashMap;

use super::scorer::{ScoreError, Scorer};
use crate::data::{Dataset, Target};

/// Every item by its training count.
pub struct Popularity {
    scores: Vec<f32>,
}

impl Popularity {
    pub fn new(dataset: &Dataset) -> Self {
        Self { scores: dataset.train_counts().iter().map(|&c| c as f32).collect() }
    }
}

impl Scorer for Popularity {
    fn names(&self) -> Vec<String> {
        vec!["popularity".into()]
    }

    fn items(&self) -> usize {
        self.scores.len() - 1
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        out[0] = targets.iter().flat_map(|_| self.scores.iter().copied()).collect();
        Ok(())
    }
}

/// Longest distance of a counted pair.
const REACH: usize = 3;
/// History items that are looked at.
const LOOK_BACK: usize = 10;
/// Weight of a history item per step of age.
const DECAY: f64 = 0.8;

/// Counts of ordered pairs at most three steps apart in the training part, weighted by 1/distance.
///
/// The score of an item is the sum over the last ten history items of count / frequency of the history
/// item × 0.8^age; ties go by popularity.
pub struct Transitions<'a> {
    dataset: &'a Dataset,
    /// Successors and weights, by item.
    successors: Vec<Vec<(u32, f64)>>,
    counts: Vec<u32>,
    /// Place of each item among the distinct training counts.
    popularity: Vec<f32>,
}

impl<'a> Transitions<'a> {
    pub fn new(dataset: &'a Dataset) -> Self {
        let counts = dataset.train_counts();
        let mut pairs: Vec<HashMap<u32, f64>> = vec![HashMap::new(); counts.len()];
        for u in 0..dataset.sequences.users() {
            let train = dataset.sequences.train_of(u);
            for (i, &from) in train.iter().enumerate() {
                for (distance, &to) in train[i + 1..].iter().take(REACH).enumerate() {
                    *pairs[from as usize].entry(to).or_default() += 1.0 / (distance + 1) as f64;
                }
            }
        }
        let successors = pairs
            .into_iter()
            .map(|row| {
                let mut row: Vec<(u32, f64)> = row.into_iter().collect();
                row.sort_unstable_by_key(|&(item, _)| item);
                row
            })
            .collect();
        let mut distinct = counts.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let popularity = counts.iter().map(|c| distinct.partition_point(|d| d < c) as f32).collect();
        Self { dataset, successors, counts, popularity }
    }

    /// Scores such that comparing them compares (score, popularity): dense ranks, exact in f32.
    fn row(&self, history: &[u32]) -> Vec<f32> {
        let mut raw: HashMap<u32, f64> = HashMap::new();
        for (age, &from) in history.iter().rev().take(LOOK_BACK).enumerate() {
            let weight = DECAY.powi(age as i32) / f64::from(self.counts[from as usize].max(1));
            for &(to, count) in &self.successors[from as usize] {
                *raw.entry(to).or_default() += weight * count;
            }
        }
        let mut reached: Vec<(f64, f32, u32)> =
            raw.into_iter().map(|(item, score)| (score, self.popularity[item as usize], item)).collect();
        reached.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut scores = self.popularity.clone();
        let mut place = self.popularity.iter().copied().fold(0.0, f32::max);
        let mut before = None;
        for (score, popularity, item) in reached {
            if before != Some((score, popularity)) {
                place += 1.0;
                before = Some((score, popularity));
            }
            scores[item as usize] = place;
        }
        scores
    }
}

impl Scorer for Transitions<'_> {
    fn names(&self) -> Vec<String> {
        vec!["transitions".into()]
    }

    fn items(&self) -> usize {
        self.counts.len() - 1
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        use rayon::prelude::*;
        let rows: Vec<Vec<f32>> = targets.par_iter().map(|t| self.row(self.dataset.history(t))).collect();
        out[0] = rows.concat();
        Ok(())
    }
}

//! Probes P1 and P2 (a): features as recommenders, without trained parameters (docs/studies.md, section 3).

use rayon::prelude::*;

use super::vectors::{RowMatrix, Vectors};
use crate::data::{Dataset, Target};
use crate::eval::{ScoreError, Scorer};
use crate::features::normalise;

/// Score of items without a vector, below every cosine.
const LACKING: f32 = -2.0;

/// P1: cosine of every item with the mean vector of the last items of the history.
pub struct ZeroShot<'a> {
    pub dataset: &'a Dataset,
    pub vectors: &'a Vectors,
    pub matrix: &'a RowMatrix,
    /// Number of last items that count; 0 for all.
    pub last: usize,
}

impl Scorer for ZeroShot<'_> {
    fn names(&self) -> Vec<String> {
        vec!["zero-shot".into()]
    }

    fn items(&self) -> usize {
        self.dataset.items.count()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let width = self.vectors.width;
        let mut queries = vec![0.0f32; targets.len() * width];
        queries.par_chunks_exact_mut(width).zip(targets).for_each(|(query, target)| {
            let history = self.dataset.history(target);
            let kept = if self.last == 0 { history.len() } else { self.last.min(history.len()) };
            for &item in &history[history.len() - kept..] {
                query.iter_mut().zip(self.vectors.row(item as usize)).for_each(|(q, v)| *q += v);
            }
            // If all items of a user lack vectors, the query is zero, and so are all products.
            normalise(query);
        });
        let mut scores = self.matrix.products(&queries);
        scores.par_chunks_exact_mut(self.vectors.present.len()).for_each(|row| {
            for (score, &present) in row.iter_mut().zip(&self.vectors.present) {
                if !present {
                    *score = LACKING;
                }
            }
        });
        out.iter_mut().for_each(|out| out.clone_from(&scores));
        Ok(())
    }
}

/// P2 (a): for each item, the sum of its similarities to the history's distinct items that have it among their K
/// nearest.
///
/// Items without such neighbours are tied at 0. Unlike in the baselines popularity does not break ties, so that
/// features alone determine the order.
pub struct ItemCf<'a> {
    pub dataset: &'a Dataset,
    /// Neighbours of each item, nearest first: the largest of `ks`, if there are as many.
    pub neighbours: &'a [Vec<(f32, u32)>],
    /// Numbers of neighbours K, with one score name each.
    pub ks: &'a [usize],
}

impl Scorer for ItemCf<'_> {
    fn names(&self) -> Vec<String> {
        self.ks.iter().map(|k| format!("item-cf-{k}")).collect()
    }

    fn items(&self) -> usize {
        self.dataset.items.count()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let width = self.dataset.items.count() + 1;
        for (out, &k) in out.iter_mut().zip(self.ks) {
            out.clear();
            out.resize(targets.len() * width, 0.0);
            out.par_chunks_exact_mut(width).zip(targets).for_each(|(row, target)| {
                let mut history = self.dataset.history(target).to_vec();
                history.sort_unstable();
                history.dedup();
                for item in history {
                    for &(similarity, other) in self.neighbours[item as usize].iter().take(k) {
                        row[other as usize] += similarity.max(0.0);
                    }
                }
            });
        }
        Ok(())
    }
}

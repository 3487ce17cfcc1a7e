//! P1 and P2 (a): features as recommenders without a trained parameter (docs/studies.md, section 3).

use rayon::prelude::*;

use super::vectors::{Against, Vectors};
use crate::data::{Dataset, Target};
use crate::eval::{ScoreError, Scorer};
use crate::features::normalise;

/// Below every cosine: what has no vector stands behind all that has one.
const LACKING: f32 = -2.0;

/// P1: the mean of the vectors of the last items of the history, against every item.
pub struct ZeroShot<'a> {
    pub dataset: &'a Dataset,
    pub vectors: &'a Vectors,
    pub against: &'a Against,
    /// Items of the history that count; 0: all.
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
            // A user whose items all lack vectors asks for nothing: all products are 0.
            normalise(query);
        });
        let mut scores = self.against.products(&queries);
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

/// P2 (a): sum over the distinct items of the history of the similarities to their K nearest neighbours.
///
/// Items that no neighbourhood reaches are tied at 0, so that nothing but the features orders them; ties are not
/// broken by popularity as in the baselines.
pub struct ItemCf<'a> {
    pub dataset: &'a Dataset,
    /// By item, nearest first, at least the largest of `ks` where there are so many.
    pub neighbours: &'a [Vec<(f32, u32)>],
    /// K; one score name each.
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

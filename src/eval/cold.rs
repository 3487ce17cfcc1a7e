//! How a model does on items that no training has seen (companions.md 6.8, T11 and T12).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metrics::{Evaluation, recall_ndcg};
use super::rows::Row;
use super::scorer::{ScoreError, Scorer};
use crate::data::Target;

/// Figures for cold and warm target items apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColdReport {
    /// What stood in for the ID vectors of cold items.
    pub rule: String,
    /// Items without and with training interactions.
    pub cold_items: usize,
    pub warm_items: usize,
    /// Targets that are cold, and warm.
    pub cold_targets: usize,
    pub warm_targets: usize,
    pub scored: Vec<ColdScored>,
}

/// One score name's figures, under `recall@k` and `ndcg@k`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColdScored {
    pub name: String,
    /// Among all items.
    pub cold: BTreeMap<String, f64>,
    pub warm: BTreeMap<String, f64>,
    /// Cold targets among cold items, warm ones among warm items.
    pub cold_among_cold: BTreeMap<String, f64>,
    pub warm_among_warm: BTreeMap<String, f64>,
    /// Cold items' share of all lists of k, under `k`; to be compared with the share of cold targets.
    pub share: BTreeMap<usize, f64>,
}

impl ColdReport {
    /// From an evaluation among all items, and one among the items of the target's own kind.
    /// `train_counts` has I + 1 entries.
    pub fn new(rule: &str, all: &Evaluation, own: &Evaluation, train_counts: &[u32]) -> Self {
        let is_cold = |row: &Row| row.item_count == 0;
        let ks = &all.protocol.ks;
        let figures = |rows: &[Row], cold: bool| {
            let kept: Vec<f64> = rows.iter().filter(|row| is_cold(row) == cold).map(|row| row.rank).collect();
            let n = kept.len().max(1) as f64;
            let mut figures = BTreeMap::new();
            for &k in ks {
                let each = || kept.iter().map(|&rank| recall_ndcg(rank, k));
                figures.insert(format!("recall@{k}"), each().map(|m| m.0).sum::<f64>() / n);
                figures.insert(format!("ndcg@{k}"), each().map(|m| m.1).sum::<f64>() / n);
            }
            figures
        };
        let scored = all.scored.iter().zip(&own.scored).map(|(all, own)| ColdScored {
            name: all.name.clone(),
            cold: figures(&all.rows, true),
            warm: figures(&all.rows, false),
            cold_among_cold: figures(&own.rows, true),
            warm_among_warm: figures(&own.rows, false),
            share: ks
                .iter()
                .map(|&k| (k, all.metrics.get(&format!("cold_share@{k}")).copied().unwrap_or(0.0)))
                .collect(),
        });
        let rows = all.scored.first().map_or(&[][..], |s| &s.rows);
        let cold_targets = rows.iter().filter(|row| is_cold(row)).count();
        let cold_items = train_counts[1..].iter().filter(|&&n| n == 0).count();
        Self {
            rule: rule.to_owned(),
            cold_items,
            warm_items: train_counts.len() - 1 - cold_items,
            cold_targets,
            warm_targets: rows.len() - cold_targets,
            scored: scored.collect(),
        }
    }

    /// Share of targets that are cold.
    pub fn true_share(&self) -> f64 {
        self.cold_targets as f64 / (self.cold_targets + self.warm_targets).max(1) as f64
    }
}

/// A scorer whose candidates are the items of the target's own kind, cold or warm.
pub struct OwnKind<'a> {
    pub inner: &'a mut dyn Scorer,
    /// I + 1 entries.
    pub train_counts: &'a [u32],
}

impl Scorer for OwnKind<'_> {
    fn names(&self) -> Vec<String> {
        self.inner.names()
    }

    fn items(&self) -> usize {
        self.inner.items()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        self.inner.score(targets, out)?;
        let width = self.items() + 1;
        for scores in out {
            for (target, row) in targets.iter().zip(scores.chunks_exact_mut(width)) {
                let cold = self.train_counts[target.item as usize] == 0;
                let others = row.iter_mut().zip(self.train_counts).filter(|(_, n)| (**n == 0) != cold);
                others.for_each(|(score, _)| *score = f32::NEG_INFINITY);
            }
        }
        Ok(())
    }
}

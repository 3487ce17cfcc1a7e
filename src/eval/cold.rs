//! How a model does on items that no training has seen (docs/studies.md, section 6.3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::inner_product::{Found, Query};
use super::metrics::{Evaluation, recall_ndcg};
use super::row::Row;
use super::scorer::{ScoreError, Scorer};
use crate::data::{Choice, Target};

/// Figures for cold and warm target items apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColdReport {
    /// The rule that replaced the ID vectors of cold items.
    pub rule: String,
    /// Number of items of which no training event was read, and of the others.
    pub cold_items: usize,
    pub warm_items: usize,
    /// Number of cold targets, and of warm ones.
    pub cold_targets: usize,
    pub warm_targets: usize,
    pub scored: Vec<ColdScored>,
}

/// One score name's figures, under `recall@k` and `ndcg@k`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColdScored {
    pub name: String,
    /// Figures among all items; empty where there are no such targets.
    pub cold: BTreeMap<String, f64>,
    pub warm: BTreeMap<String, f64>,
    /// Figures of cold targets among cold items, and of warm ones among warm items.
    pub cold_among_cold: BTreeMap<String, f64>,
    pub warm_among_warm: BTreeMap<String, f64>,
    /// Cold items' share of all lists of k, by k; to be compared with the share of cold targets.
    pub share: BTreeMap<usize, f64>,
}

impl ColdReport {
    /// Makes a report from an evaluation among all items (`all`, see [`Counted`]) and one among the items of the target's own
    /// kind (`own`, see [`OwnKind`]). `trained` are the numbers of training events that were read, I + 1 entries.
    pub fn new(rule: &str, all: &Evaluation, own: &Evaluation, trained: &[u32]) -> Self {
        let is_cold = |row: &Row| trained[row.item as usize] == 0;
        let (ks, ideal) = (&all.protocol.ks, all.protocol.ideal);
        let figures = |rows: &[Row], cold: bool| {
            let kept: Vec<f64> = rows.iter().filter(|row| is_cold(row) == cold).map(|row| row.rank).collect();
            let n = kept.len() as f64;
            let mut figures = BTreeMap::new();
            // No targets, no figures: a 0 would be read as a failure.
            for &k in ks.iter().filter(|_| !kept.is_empty()) {
                let scores = || kept.iter().map(|&rank| recall_ndcg(rank, k));
                figures.insert(format!("recall@{k}"), scores().map(|m| m.0).sum::<f64>() / n);
                figures.insert(format!("ndcg@{k}"), scores().map(|m| m.1).sum::<f64>() * ideal.factor(k) / n);
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
        let cold_items = trained[1..].iter().filter(|&&n| n == 0).count();
        Self {
            rule: rule.to_owned(),
            cold_items,
            warm_items: trained.len() - 1 - cold_items,
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

/// A scorer whose cold items are those of which no training event was read.
pub struct Counted<'a> {
    pub inner: &'a mut dyn Scorer,
    /// Number of training events that were read of each item, I + 1 entries.
    pub trained: &'a [u32],
}

impl Scorer for Counted<'_> {
    fn names(&self) -> Vec<String> {
        self.inner.names()
    }

    fn items(&self) -> usize {
        self.inner.items()
    }

    fn trained_counts(&self) -> Option<&[u32]> {
        Some(self.trained)
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        self.inner.score(targets, out)
    }

    fn rank(
        &mut self,
        targets: &[Target],
        queries: &[Query],
        k: usize,
        among: Option<&Choice>,
    ) -> Result<Option<Vec<Vec<Found>>>, ScoreError> {
        self.inner.rank(targets, queries, k, among)
    }
}

/// A scorer whose candidates are the items of the target's own kind, cold or warm.
pub struct OwnKind<'a> {
    pub inner: &'a mut dyn Scorer,
    /// Number of training events that were read of each item, I + 1 entries.
    pub trained: &'a [u32],
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
                let cold = self.trained[target.item.index()] == 0;
                let others = row.iter_mut().zip(self.trained).filter(|(_, n)| (**n == 0) != cold);
                others.for_each(|(score, _)| *score = f32::NEG_INFINITY);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EvalConfig;
    use crate::data::Part;
    use crate::eval::evaluate;
    use crate::eval::fixtures::{Table, dataset, leave_one_out};

    #[test]
    fn cold_and_warm_targets_are_counted_apart_among_all_and_among_their_kind() {
        // Items 4 and 5 are test targets only.
        let data = dataset(5, &leave_one_out(&[&[1, 2, 3, 4], &[2, 1, 3, 5], &[3, 2, 1, 3]]));
        let counts = data.train_counts();
        assert_eq!(counts, [0, 2, 3, 1, 0, 0]);
        let rows = vec![
            // Item 4 stands third among all, second among the cold.
            vec![0.0, 9.0, 1.0, 1.0, 3.0, 4.0],
            // Item 5 stands first.
            vec![0.0, 1.0, 1.0, 1.0, 3.0, 4.0],
            // Item 3 stands third among all, first among the warm.
            vec![0.0, 1.0, 1.0, 2.0, 3.0, 4.0],
        ];
        let mut table = Table { items: 5, scores: vec![("x".into(), rows)] };
        let config =
            EvalConfig { ks: vec![1, 2], history: crate::config::HistoryRule::Keep, ..EvalConfig::default() };
        let all = evaluate(&mut table, &data, Part::Test, &config, 9, &mut |_| {}).unwrap();
        let mut own = OwnKind { inner: &mut table, trained: &counts };
        let own = evaluate(&mut own, &data, Part::Test, &config, 9, &mut |_| {}).unwrap();
        let report = ColdReport::new("drop", &all, &own, &counts);
        assert_eq!((report.cold_items, report.warm_items), (2, 3));
        assert_eq!((report.cold_targets, report.warm_targets), (2, 1));
        let s = &report.scored[0];
        assert_eq!((s.cold["recall@1"], s.cold["recall@2"]), (0.5, 0.5));
        assert_eq!((s.cold_among_cold["recall@1"], s.cold_among_cold["recall@2"]), (0.5, 1.0));
        assert_eq!((s.warm["recall@2"], s.warm_among_warm["recall@1"]), (0.0, 1.0));
        // First places: items 1, 5, 5.
        assert!((s.share[&1] - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn an_item_that_no_window_reads_is_cold_although_the_training_part_has_it() {
        let data = dataset(5, &leave_one_out(&[&[1, 2, 3, 4], &[2, 1, 3, 5], &[3, 2, 1, 3]]));
        // Item 2 has three events, of which none was read.
        let trained = [0, 2, 0, 1, 0, 0];
        let rows = vec![vec![0.0, 9.0, 8.0, 1.0, 3.0, 4.0]; 3];
        let mut table = Table { items: 5, scores: vec![("x".into(), rows)] };
        let config =
            EvalConfig { ks: vec![1, 2], history: crate::config::HistoryRule::Keep, ..EvalConfig::default() };
        let mut counted = Counted { inner: &mut table, trained: &trained };
        let all = evaluate(&mut counted, &data, Part::Test, &config, 9, &mut |_| {}).unwrap();
        let mut own = OwnKind { inner: &mut table, trained: &trained };
        let own = evaluate(&mut own, &data, Part::Test, &config, 9, &mut |_| {}).unwrap();
        let report = ColdReport::new("drop", &all, &own, &trained);
        assert_eq!((report.cold_items, report.warm_items), (3, 2));
        assert_eq!((report.cold_targets, report.warm_targets), (2, 1));
        // Items 1 and 2 fill every list of two.
        assert_eq!((report.scored[0].share[&1], report.scored[0].share[&2]), (0.0, 0.5));
        // Counts of the rows stay those of the training part.
        assert_eq!(all.scored[0].rows[2].item_count, 1);
    }
}

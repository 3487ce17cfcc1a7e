//! Ranking metrics of probed features, and the recall of a random ranking.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::eval::{Row, Scored};

/// Quantile of the two-sided 99 % interval of the normal distribution.
const Z99: f64 = 2.575_829_3;

/// Ranking metrics of one recommender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub name: String,
    /// `recall@k`, `ndcg@k`, `mrr@k`
    pub metrics: BTreeMap<String, f64>,
}

impl Figures {
    pub(super) fn new(scored: &Scored) -> Self {
        let wanted = |name: &str| ["recall@", "ndcg@", "mrr@"].iter().any(|m| name.starts_with(m));
        let metrics = scored.metrics.iter().filter(|(name, _)| wanted(name)).map(|(n, v)| (n.clone(), *v));
        Self { name: scored.name.clone(), metrics: metrics.collect() }
    }

    /// The value of a metric; 0 if it was not measured.
    pub fn get(&self, metric: &str) -> f64 {
        self.metrics.get(metric).copied().unwrap_or(0.0)
    }
}

/// Recall at a cut-off of a random ranking, with the 99 % interval of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    pub k: usize,
    pub recall: f64,
    pub low: f64,
    pub high: f64,
}

impl Chance {
    /// A target is hit with probability k / candidates, or never if its history masks it. Hits are independent: the
    /// interval is normal with their summed variance, and a continuity correction of half a hit.
    pub fn new(rows: &[Row], k: usize) -> Self {
        let n = rows.len().max(1) as f64;
        let p = |row: &Row| {
            if row.missed { 0.0 } else { (k as f64 / f64::from(row.candidates.max(1))).min(1.0) }
        };
        let expected: f64 = rows.iter().map(p).sum();
        let variance: f64 = rows.iter().map(|row| p(row) * (1.0 - p(row))).sum();
        let half = Z99 * variance.sqrt() + 0.5;
        let bound = |hits: f64| (hits / n).clamp(0.0, 1.0);
        Self { k, recall: expected / n, low: bound(expected - half), high: bound(expected + half) }
    }

    /// Whether `recall` lies in the interval.
    pub fn holds(&self, recall: f64) -> bool {
        (self.low..=self.high).contains(&recall)
    }
}

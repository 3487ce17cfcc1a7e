//! Ranking metrics of probed features.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::eval::Scored;

/// Ranking metrics of one recommender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub name: String,
    /// `recall@k`, `ndcg@k`, `mrr@k`
    pub metrics: BTreeMap<String, f64>,
}

impl Figures {
    pub(super) fn of(scored: &Scored) -> Self {
        let wanted = |name: &str| ["recall@", "ndcg@", "mrr@"].iter().any(|m| name.starts_with(m));
        let metrics = scored.metrics.iter().filter(|(name, _)| wanted(name)).map(|(n, v)| (n.clone(), *v));
        Self { name: scored.name.clone(), metrics: metrics.collect() }
    }

    /// The value of a metric; 0 if it was not measured.
    pub fn get(&self, metric: &str) -> f64 {
        self.metrics.get(metric).copied().unwrap_or(0.0)
    }
}

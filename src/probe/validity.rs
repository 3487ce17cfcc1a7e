//! Probe P4: how well the probes' figures predict the final metric on this data (docs/studies.md, section 3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stats::spearman::{interval, spearman};

/// Fewest variants for a meaningful answer.
pub const ENOUGH: usize = 6;

/// A variant of the features: its figures, and the metric of models trained on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    pub name: String,
    /// Number of finished runs behind the mean metric.
    pub runs: usize,
    pub numbers: BTreeMap<String, f64>,
    pub metric: f64,
}

/// Rank correlation of one figure with the final metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    pub number: String,
    pub variants: usize,
    /// Absent if one side is constant or there are fewer than three variants.
    pub spearman: Option<f64>,
    /// 95 %
    pub interval: Option<(f64, f64)>,
}

/// The result of P4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validity {
    /// Name of the final metric.
    pub metric: String,
    pub variants: Vec<Variant>,
    pub predictions: Vec<Prediction>,
}

impl Validity {
    /// Correlates every figure that all variants have, and sorts the best predictors first.
    pub fn new(metric: &str, variants: Vec<Variant>) -> Self {
        let finals: Vec<f64> = variants.iter().map(|v| v.metric).collect();
        let names =
            variants.first().map(|v| v.numbers.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let mut predictions: Vec<Prediction> = names
            .into_iter()
            .filter_map(|number| {
                let values: Option<Vec<f64>> =
                    variants.iter().map(|v| v.numbers.get(&number).copied()).collect();
                let r = spearman(&values?, &finals);
                let interval = r.and_then(|r| interval(r, finals.len()));
                Some(Prediction { number, variants: finals.len(), spearman: r, interval })
            })
            .collect();
        predictions.sort_by(|a, b| b.spearman.unwrap_or(-2.0).total_cmp(&a.spearman.unwrap_or(-2.0)));
        Self { metric: metric.to_owned(), variants, predictions }
    }
}

//! Metrics that depend on the rank alone.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::CompareError;
use crate::eval::metrics::{Ideal, recall_ndcg};

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Recall,
    Ndcg,
    Mrr,
}

/// Recall, NDCG or MRR at any cut-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub kind: Kind,
    pub k: usize,
    /// What NDCG is divided by: that of the protocol under which rows were ranked.
    pub ideal: Ideal,
}

impl Metric {
    /// The value for one target at `rank` (1-based, infinite if missed).
    pub fn value(self, rank: f64) -> f64 {
        let (recall, ndcg) = recall_ndcg(rank, self.k);
        match self.kind {
            Kind::Recall => recall,
            Kind::Ndcg => ndcg * self.ideal.factor(self.k),
            Kind::Mrr => recall / rank,
        }
    }

    /// The three kinds at this cut-off.
    pub fn family(self) -> [Self; 3] {
        [Kind::Recall, Kind::Ndcg, Kind::Mrr].map(|kind| Self { kind, ..self })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            Kind::Recall => "recall",
            Kind::Ndcg => "ndcg",
            Kind::Mrr => "mrr",
        };
        write!(f, "{name}@{}", self.k)
    }
}

impl FromStr for Metric {
    type Err = CompareError;

    fn from_str(text: &str) -> Result<Self, CompareError> {
        let wrong = || CompareError::Metric(text.to_owned());
        let (name, k) = text.split_once('@').ok_or_else(wrong)?;
        let k: usize = k.parse().ok().filter(|&k| k > 0).ok_or_else(wrong)?;
        let kind = match name {
            "recall" => Kind::Recall,
            "ndcg" => Kind::Ndcg,
            "mrr" => Kind::Mrr,
            _ => return Err(wrong()),
        };
        Ok(Self { kind, k, ideal: Ideal::default() })
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

//! Names and weights of the parts of a softmax with distillation: a cross-entropy per branch, then a term per pair.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::Distillation;
use super::distill_config::DISTILL;
use super::term::TermLosses;
use crate::config::{DistillConfig, DistillPair};
use crate::train::phase::Phase;

/// What all kinds of softmax share.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// Name of the cross-entropies for a stage.
    pub name: &'static str,
    pub distillation: Distillation,
    /// Tags with and without those of distillation.
    pub tags: [Arc<[String]>; 2],
}

/// What the parts count at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weights {
    pub branches: f64,
    /// At 0 the pairs are not computed.
    pub distill: f64,
}

impl Weights {
    /// What each of so many parts counts in the total; the first `branches` are cross-entropies.
    pub fn factors(&self, branches: usize, parts: usize) -> Vec<f32> {
        let mut factors = vec![self.branches as f32; branches];
        factors.resize(parts, self.distill as f32);
        factors
    }
}

impl Parts {
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.name.to_owned()];
        if !self.distillation.is_empty() {
            names.push(DISTILL.to_owned());
        }
        names
    }

    pub fn weights(&self, phase: Phase<'_>) -> Weights {
        Weights {
            branches: f64::from(u8::from(phase.is_active(self.name))),
            distill: if phase.is_active(DISTILL) { self.distillation.weight(phase.epoch) } else { 0.0 },
        }
    }

    pub fn losses(&self, total: Tensor<1>, parts: Tensor<1>, weights: &Weights) -> TermLosses {
        let tags = Arc::clone(&self.tags[usize::from(weights.distill == 0.0)]);
        TermLosses { total, parts: parts.inner(), tags, figures: vec![("distill_weight", weights.distill)] }
    }
}

/// Tags of the parts below `train/`: with and without those of distillation from branches and the ensemble.
pub(super) fn tags(branches: &[String], distill: &DistillConfig) -> [Arc<[String]>; 2] {
    let losses = branches.iter().map(|branch| format!("loss/{branch}"));
    let pairs = distill.pairs.iter().filter(|pair| distill.run(&pair.teacher).is_none());
    [losses.clone().chain(pairs.map(tag)).collect(), losses.collect()]
}

/// Tag of a pair below `train/`.
pub(super) fn tag(pair: &DistillPair) -> String {
    format!("distill/{}_from_{}", pair.student, pair.teacher)
}

//! The full softmax: every row chooses from the whole catalogue.
//!
//! Shapes: `R` rows, `E` items that training may see, `D` width.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::Distillation;
use super::kernels::full_softmax::{Branch, Walk, Walked, full_softmax};
use super::parts::{Parts, tags};
use super::term::{Forward, Term, TermLosses};
use crate::config::ObjectiveConfig;
use crate::train::phase::Phase;

/// Cross-entropy over the catalogue with distillation between the branches, in chunks that never store all scores.
#[derive(Clone, Debug)]
pub struct FullSoftmax {
    parts: Parts,
    chunk_items: usize,
}

/// Name of the cross-entropy for a stage.
const NAME: &str = "full";

impl FullSoftmax {
    pub fn new(config: &ObjectiveConfig, branches: &[String]) -> Self {
        let distillation = Distillation::new(&config.distill, branches);
        let parts = Parts { name: NAME, distillation, tags: tags(branches, &config.distill) };
        Self { parts, chunk_items: config.chunk_items }
    }

    /// Losses of given vectors.
    ///
    /// # Shapes
    /// - branches: users `[R, D]` and the items that training may see, `[E + 1, D]` with padding first
    /// - labels: `[R]`, rows of these items
    pub fn walk(&self, branches: Vec<Branch<Tensor<2>>>, labels: &[u32], phase: Phase<'_>) -> TermLosses {
        let walk = Walk { labels: labels.to_vec(), chunk: self.chunk_items };
        let count = branches.len();
        let weights = self.parts.weights(phase);
        let asked = self.parts.distillation.settings(weights.distill != 0.0);
        let factors = weights.factors(count, count + asked.pairs.len());
        let Walked { total, terms } = full_softmax(branches, &walk, &asked, &factors);
        self.parts.losses(total, terms, &weights)
    }
}

impl Term for FullSoftmax {
    fn names(&self) -> Vec<String> {
        self.parts.names()
    }

    fn reads_catalogue(&self) -> bool {
        true
    }

    fn losses(&self, forward: &dyn Forward, phase: Phase<'_>) -> TermLosses {
        let catalogue = forward.catalogue();
        let users = forward.users();
        let branches = users.into_iter().zip(catalogue).map(|(users, items)| Branch { users, items });
        let candidates = Arc::clone(forward.candidates());
        self.walk(branches.collect(), &candidates.labels, phase)
    }
}

//! What the branches are trained on, and what they owe to each other (odmt.md 3).
//!
//! The softmax of a row runs over all item positions of the micro-batch. A distinct item that fills c
//! positions stands once, with `ln c` added to its logit; an item of the row's own user stands with weight
//! 0, except the label (odmt.md 10.4, saving 4).
//!
//! Shapes: `R` rows (real input positions), `U` columns (items), `D` width.

pub mod distill;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use crate::config::ObjectiveConfig;

pub use distill::Distillation;

/// Log-weight of a column that is no candidate of the row: its exponential is exactly 0, and unlike
/// infinity it stays finite when multiplied by 0.
pub const BLOCKED: f32 = -1e5;

/// The softmax of one micro-batch, shared by all branches.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// `[R, U]`: ln of how often the column counts in the row's softmax; 0 for the label.
    pub log_weight_ru: Tensor<2>,
    /// `[U]`: ln p(item), subtracted from every score.
    pub log_popularity_u: Tensor<1>,
    /// `[R, 1]`: column of the true next item.
    pub label_r1: Tensor<2, Int>,
}

impl Candidates {
    /// Scores corrected for popularity.
    ///
    /// # Shapes
    /// - users: `[R, D]`, items: `[U, D]`
    /// - result: `[R, U]`
    pub fn logits(&self, users_rd: Tensor<2>, items_ud: Tensor<2>) -> Tensor<2> {
        users_rd.matmul(items_ud.transpose()) - self.log_popularity_u.clone().unsqueeze()
    }

    /// Mean over rows of the cross-entropy of the label.
    ///
    /// # Shapes
    /// - logits: `[R, U]`
    /// - result: `[1]`
    pub fn cross_entropy(&self, logits_ru: Tensor<2>) -> Tensor<1> {
        let log_q_ru = log_softmax(logits_ru + self.log_weight_ru.clone(), 1);
        log_q_ru.gather(1, self.label_r1.clone()).mean().neg()
    }
}

/// All loss terms of one micro-batch.
pub struct Losses {
    /// Sum of the branches' cross-entropies and the weighted distillation terms.
    pub total: Tensor<1>,
    /// Cross-entropy per branch.
    pub branches: Vec<Tensor<1>>,
    /// Distillation term per pair, unweighted.
    pub pairs: Vec<Tensor<1>>,
    /// Weight of the distillation terms at this epoch.
    pub weight: f64,
}

/// The objective of a configuration.
#[derive(Clone, Debug)]
pub struct Objective {
    distillation: Distillation,
}

impl Objective {
    /// `branches` are the branches' names in order.
    pub fn new(config: &ObjectiveConfig, branches: &[String]) -> Self {
        Self { distillation: Distillation::new(&config.distill, branches) }
    }

    /// Loss terms from the branches' logits.
    ///
    /// `epoch` counts from 1.
    ///
    /// # Shapes
    /// - logits: `[R, U]` per branch
    pub fn losses(&self, logits: &[Tensor<2>], candidates: &Candidates, epoch: usize) -> Losses {
        let branches: Vec<Tensor<1>> = logits.iter().map(|z| candidates.cross_entropy(z.clone())).collect();
        let weight = self.distillation.weight(epoch);
        let pairs = if weight == 0.0 { Vec::new() } else { self.distillation.terms(logits, candidates) };
        let mut total = Tensor::cat(branches.clone(), 0).sum();
        if !pairs.is_empty() {
            total = total + Tensor::cat(pairs.clone(), 0).sum() * weight;
        }
        Losses { total, branches, pairs, weight }
    }
}

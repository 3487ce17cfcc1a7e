//! Distillation from what does not learn: branches are told what a finished run or a memory makes of the batch's candidates.
//!
//! The loss is that of a pair of branches whose teacher is detached ([`super::distill`]), out of tensor operations: the
//! fused softmax knows the branches alone, and its bits don't depend on whether a run teaches.
//!
//! Shapes: `R` rows, `U` columns (candidates), `K` pairs.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::Distillation;
use super::distill_config::DISTILL;
use super::parts::tag;
use super::softmax::CandidateTensors;
use super::term::{Forward, Term, TermLosses};
use crate::config::{ObjectiveConfig, ObjectiveKind};
use crate::train::phase::Phase;

/// The pairs of a configuration whose teachers are finished runs or a memory.
#[derive(Clone, Debug)]
pub struct RunDistillation {
    distillation: Distillation,
    /// `[K]`
    tags: Arc<[String]>,
}

impl RunDistillation {
    /// None where neither teaches, or where the objective has no candidates that one could score.
    pub fn new(config: &ObjectiveConfig, branches: &[String]) -> Option<Self> {
        let distill = &config.distill;
        let pairs = distill.pairs.iter().filter(|pair| distill.outside(&pair.teacher, branches).is_some());
        let distillation = Distillation::new(distill, branches);
        let scored = matches!(config.kind, ObjectiveKind::InBatch | ObjectiveKind::Sampled);
        (scored && distillation.has_runs()).then(|| Self { distillation, tags: pairs.map(tag).collect() })
    }
}

impl Term for RunDistillation {
    /// Pairs go by one name, whoever teaches.
    fn names(&self) -> Vec<String> {
        vec![DISTILL.to_owned()]
    }

    fn is_active(&self, phase: Phase<'_>) -> bool {
        phase.is_active(DISTILL) && self.distillation.weight(phase.epoch) != 0.0
    }

    fn losses(&self, forward: &dyn Forward, phase: Phase<'_>) -> TermLosses {
        let scores_nru = forward.scores();
        let [_, r, u] = scores_nru.dims();
        let candidates = CandidateTensors::new(forward.candidates(), &scores_nru.device());
        let logits = |scores_ru: Tensor<2>| scores_ru - candidates.log_popularity_u.clone().unsqueeze();
        let branch = |b: usize| logits(scores_nru.clone().narrow(0, b, 1).reshape([r, u]));
        let run = |n: usize| logits(forward.teacher(n));
        let parts_k =
            Tensor::cat(self.distillation.composed_runs(&branch, &run, &candidates.log_weight_ru), 0);
        TermLosses {
            total: parts_k.clone().sum() * self.distillation.weight(phase.epoch),
            parts: parts_k.inner(),
            tags: Arc::clone(&self.tags),
            // The softmax tells the weight, which is that of all pairs.
            figures: Vec::new(),
        }
    }
}

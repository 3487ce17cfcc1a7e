//! Settings of distillation, and their rules.

use crate::config::rules::{Checked, non_negative, positive};
use crate::{choice, section};

section! {
    /// Online distillation: while all branches train, some learn from what others make of the same candidates. A pair
    /// adds w(epoch) · tau² · mean over rows of -Σ softmax(T/tau) · log softmax(S/tau), with the logits S of the student
    /// and T of the teacher, as in ODMT.
    pub struct DistillConfig {
        /// Who learns from whom. Empty: nobody.
        pub pairs: Vec<DistillPair> = Vec::new(),
        /// tau: both logits are divided by it; above 0.
        pub temperature: f64 = 0.5,
        /// alpha. From 1 on: the epoch at which the weight's ramp w(epoch) = exp(-5 (1 - epoch/alpha)²) reaches 1;
        /// epochs count from 1. From 0 to below 1: the weight itself, in every epoch.
        pub alpha: f64 = 20.0,
        /// Whether gradient flows into the teacher.
        pub teacher: Teacher = Teacher::Live,
        /// What is made small.
        pub divergence: Divergence = Divergence::CrossEntropy,
    }
}

section! {
    /// One student and its teacher.
    #[derive(Eq)]
    pub struct DistillPair {
        /// Name of the branch that learns.
        pub student: String,
        /// Name of another branch, or `ensemble` for the mean of all branches' logits.
        pub teacher: String,
    }
}

choice! {
    /// Whether gradient flows into the teacher.
    pub enum Teacher {
        /// It does, as in ODMT: the teacher learns from its student too.
        Live = "live",
        /// It does not.
        Detached = "detached",
    }
}

choice! {
    /// What distillation makes small.
    pub enum Divergence {
        /// The cross-entropy, as in ODMT: the teacher's entropy is not subtracted.
        CrossEntropy = "cross_entropy",
        /// The Kullback-Leibler divergence: the teacher's entropy is subtracted.
        Kl = "kl",
    }
}

impl DistillConfig {
    pub(super) fn validate(&self) -> Checked {
        positive("objective.distill.temperature", self.temperature)?;
        non_negative("objective.distill.alpha", self.alpha)
    }
}

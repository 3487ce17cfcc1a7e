//! What the branches are trained on, and what they owe to each other.

use serde::{Deserialize, Serialize};

/// The objective of every branch (odmt.md 3, companions.md 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveConfig {
    /// What the right item is told apart from.
    pub kind: ObjectiveKind,
    /// `in_batch`: counts are raised to this power before they become the probability p of the
    /// log-popularity correction; 1 is the sampling bias of in-batch negatives, 0 gives every item the same p.
    pub log_popularity_power: f64,
    /// `sampled` and `gbce`: how negatives are drawn.
    pub negatives: NegativesConfig,
    /// `gbce`: t, how far the over-confidence of sampled negatives is taken back, from 0 (plain binary
    /// cross-entropy) to 1 (fully).
    pub calibration: f64,
    /// `full`: items whose scores exist at one time. No result depends on it beyond rounding.
    pub chunk_items: usize,
    pub distill: DistillConfig,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self {
            kind: ObjectiveKind::InBatch,
            log_popularity_power: 1.0,
            negatives: NegativesConfig::default(),
            calibration: 0.75,
            chunk_items: 1024,
            distill: DistillConfig::default(),
        }
    }
}

/// What the right item is told apart from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveKind {
    /// Softmax over all items of the batch, popularity corrected, the user's own items left out (odmt.md 3.2).
    #[default]
    InBatch,
    /// Softmax over drawn negatives.
    Sampled,
    /// Softmax over the whole catalogue, a chunk at a time, distillation included. For branches that read the ID
    /// view without a tower: anything else would encode the catalogue in every step.
    Full,
    /// Generalised binary cross-entropy over drawn negatives (Petrov and Macdonald 2023, gSASRec).
    Gbce,
}

/// How negatives are drawn. Draws are independent, a pure function of (seed, epoch, batch); an item drawn twice
/// counts twice, one that is the right answer does not count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NegativesConfig {
    /// K: negatives per draw.
    pub count: usize,
    pub draw: Draw,
    /// Who sees the same draw.
    pub shared: Shared,
    /// `popularity` and `mixed`: the probability of an item is its training count to this power, normalised.
    pub power: f64,
    /// `mixed`: share of the draws that are uniform.
    pub uniform_share: f64,
    /// `sampled`: a negative of probability q counts 1/(K q) times, so that the sum over negatives estimates the
    /// sum over the catalogue without bias. Off: every negative counts once.
    pub log_q: bool,
}

impl Default for NegativesConfig {
    fn default() -> Self {
        Self {
            count: 256,
            draw: Draw::Uniform,
            shared: Shared::User,
            power: 1.0,
            uniform_share: 0.5,
            log_q: false,
        }
    }
}

/// Which items are likely to be drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Draw {
    #[default]
    Uniform,
    /// By training count. Items that occur in no training window are never drawn.
    Popularity,
    /// Some uniform, the others by training count.
    Mixed,
}

/// Who sees the same negatives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shared {
    /// The whole batch: many negatives are cheap, but few items are pushed away in a step.
    Batch,
    /// The positions of one window.
    #[default]
    User,
}

/// Online distillation (odmt.md 3.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistillConfig {
    pub pairs: Vec<DistillPair>,
    /// tau
    pub temperature: f64,
    /// From 1 on: the epoch at which the ramp exp(-5 (1 - epoch/alpha)²) reaches 1. Below 1: a constant weight.
    pub alpha: f64,
    pub teacher: Teacher,
    pub divergence: Divergence,
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self {
            pairs: Vec::new(),
            temperature: 0.5,
            alpha: 20.0,
            teacher: Teacher::Live,
            divergence: Divergence::CrossEntropy,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillPair {
    pub student: String,
    /// A branch, or `ensemble` for the mean of all branches' logits.
    pub teacher: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Teacher {
    /// Gradient flows into the teacher too, as in the authors' code and figure.
    Live,
    Detached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Divergence {
    /// As the authors' code computes: the teacher's entropy is not subtracted.
    CrossEntropy,
    Kl,
}

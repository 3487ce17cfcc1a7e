//! Verdicts: one word for a difference, by a rule that is fixed in advance.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::estimate::Estimate;

/// Fewest users of a verdict; with fewer, a mean of hits is too far from normal for any of the tests.
pub const MIN_USERS: usize = 30;

/// The rule by which verdicts are given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Confidence of the two-sided interval; alpha = 1 - confidence, for effects and for equivalence.
    pub confidence: f64,
    /// Largest difference that counts as equal, as a share of the reference's mean.
    pub margin: f64,
    /// Power of the minimum detectable effect.
    pub power: f64,
}

impl Default for Rule {
    fn default() -> Self {
        Self { confidence: 0.95, margin: 0.02, power: 0.8 }
    }
}

/// The verdict on a condition compared with its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The condition is better than the reference.
    Helps,
    /// It is worse.
    Hurts,
    /// The difference, real or not, is smaller than the margin.
    Equivalent,
    /// Neither a difference nor its absence is shown: see the minimum detectable effect.
    NoEvidence,
    /// Every target has the same rank in both.
    Identical,
    /// One training each: the training noise is unknown, and nothing is claimed.
    SingleRun,
    /// Fewer than [`MIN_USERS`] users.
    TooFewUsers,
}

impl Verdict {
    /// Whether the verdict makes a claim: better, worse or equivalent.
    pub fn claims(self) -> bool {
        matches!(self, Self::Helps | Self::Hurts | Self::Equivalent)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Helps => "helps",
            Self::Hurts => "hurts",
            Self::Equivalent => "equivalent",
            Self::NoEvidence => "no evidence",
            Self::Identical => "identical ranks",
            Self::SingleRun => "single run",
            Self::TooFewUsers => "too few users",
        })
    }
}

impl Rule {
    pub fn alpha(&self) -> f64 {
        1.0 - self.confidence
    }

    /// The margin in the metric's unit, for a reference whose mean is `reference`.
    pub fn margin_of(&self, reference: f64) -> f64 {
        self.margin * reference.abs()
    }

    /// The verdict on an estimate that contains the training noise (or where there was no training).
    ///
    /// `p_holm` is the p value corrected over all declared contrasts, `reference` the reference's mean.
    /// Equivalence comes first: a difference below the margin does not matter, significant or not.
    pub fn judge(&self, estimate: &Estimate, p_holm: f64, reference: f64) -> Verdict {
        let margin = self.margin_of(reference);
        if margin > 0.0 && estimate.equivalence(margin).p < self.alpha() {
            Verdict::Equivalent
        } else if p_holm < self.alpha() {
            if estimate.effect > 0.0 { Verdict::Helps } else { Verdict::Hurts }
        } else {
            Verdict::NoEvidence
        }
    }

    /// The minimum detectable effect of a study with this estimate's error.
    pub fn minimum_detectable(&self, estimate: &Estimate) -> f64 {
        estimate.minimum_detectable(self.alpha(), self.power)
    }
}

//! An effect with its standard error and degrees of freedom, and the interval and tests that follow.

use serde::{Deserialize, Serialize};

use super::p_values::{t_quantile, t_upper};
use super::{StatsError, check};

/// Smallest p that is searched for: below it, 1 - p has too few digits for a quantile.
const SMALLEST_P: f64 = 1e-13;

/// A mean difference with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean difference, in the metric's unit.
    pub effect: f64,
    /// Standard error of the effect.
    pub se: f64,
    /// Degrees of freedom of `se` (Satterthwaite's where there are two sources); not a whole number in general.
    pub df: f64,
    /// Variance from the sampling of users.
    pub users: Component,
    /// Variance from training seeds; 0 where nothing was trained.
    pub seeds: Component,
    /// Lower bound: intervals are at least as wide as this component alone makes them.
    pub least: Component,
}

/// A part of the effect's variance, with its own degrees of freedom.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    pub variance: f64,
    pub df: f64,
}

impl Component {
    const NONE: Self = Self { variance: 0.0, df: 1.0 };

    /// Squared half width of the interval that ends at the quantile `p` >= 0.5.
    fn square(&self, p: f64) -> f64 {
        if self.variance == 0.0 { 0.0 } else { self.variance * t_quantile(p, self.df).powi(2) }
    }
}

/// A closed interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Two one-sided t tests of equivalence within ± margin (TOST).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Equivalence {
    /// Largest difference that counts as equal, in the metric's unit.
    pub margin: f64,
    /// p value of "the effect is at most -margin".
    pub p_low: f64,
    /// p value of "the effect is at least margin".
    pub p_high: f64,
    /// The larger of the two; small values mean equivalence.
    pub p: f64,
}

impl Estimate {
    /// The mean over users, as in the paired t test. Contains no training noise.
    ///
    /// # Errors
    /// Fewer than two users, or a value that is not finite.
    pub fn from_users(differences: &[f64]) -> Result<Self, StatsError> {
        check(differences, 2)?;
        let n = differences.len() as f64;
        let effect = differences.iter().sum::<f64>() / n;
        let squares: f64 = differences.iter().map(|d| (d - effect).powi(2)).sum();
        let users = Component { variance: squares / (n - 1.0) / n, df: n - 1.0 };
        let se = users.variance.sqrt();
        Ok(Self { effect, se, df: users.df, users, seeds: Component::NONE, least: users })
    }

    /// Two-sided interval; `confidence` in (0, 1).
    pub fn interval(&self, confidence: f64) -> Interval {
        let reach = self.reach(f64::midpoint(confidence, 1.0));
        Interval { low: self.effect - reach, high: self.effect + reach }
    }

    /// Two-sided p value of "there is no effect". 1 where nothing differs at all.
    pub fn p_value(&self) -> f64 {
        if self.se == 0.0 {
            return if self.effect == 0.0 { 1.0 } else { 0.0 };
        }
        (2.0 * self.upper(self.effect.abs())).min(1.0)
    }

    /// Tests whether the effect is smaller than `margin` (> 0) in both directions.
    ///
    /// p < alpha is equivalent to "the 1 - 2 alpha interval lies inside ± margin".
    pub fn equivalence(&self, margin: f64) -> Equivalence {
        let (p_low, p_high) = (self.upper(self.effect + margin), self.upper(margin - self.effect));
        Equivalence { margin, p_low, p_high, p: p_low.max(p_high) }
    }

    /// The smallest true effect that a two-sided test at level `alpha` detects with probability `power` (> 0.5).
    pub fn minimum_detectable(&self, alpha: f64, power: f64) -> f64 {
        self.reach(1.0 - alpha / 2.0) + self.reach(power)
    }

    /// Half width of the interval that ends at the quantile `p` >= 0.5.
    ///
    /// Each variance is multiplied by the squared t of its own degrees of freedom before they are added (Howe's rule).
    /// Satterthwaite's single t is too small when the few seeds lie close together by chance: with three seeds its 95 %
    /// interval covers 90.6 to 96.9 %, this one 93.4 to 97.3 %.
    fn reach(&self, p: f64) -> f64 {
        (self.users.square(p) + self.seeds.square(p)).max(self.least.square(p)).sqrt()
    }

    /// One-sided p value: the probability of an error larger than `distance`.
    fn upper(&self, distance: f64) -> f64 {
        if distance < 0.0 {
            return 1.0 - self.upper(-distance);
        }
        if self.se == 0.0 {
            return if distance > 0.0 { 0.0 } else { 1.0 };
        }
        if self.seeds.variance == 0.0 && self.users == self.least {
            return t_upper(distance / self.se, self.df);
        }
        // Bisection over ln p: the reach falls as p grows.
        let (mut low, mut high) = (SMALLEST_P.ln(), 0.5f64.ln());
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if self.reach(1.0 - middle.exp()) > distance { low = middle } else { high = middle }
        }
        high.exp()
    }
}

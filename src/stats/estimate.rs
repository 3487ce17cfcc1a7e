//! An effect with its standard error and degrees of freedom, and what follows from the three.

use serde::{Deserialize, Serialize};

use super::distribution::{t_quantile, t_upper};
use super::error::{StatsError, check};

/// Below it 1 - p has too few digits left for a quantile.
const SMALLEST_P: f64 = 1e-13;

/// A mean difference and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean difference, in the metric's unit.
    pub effect: f64,
    /// Standard error of the effect.
    pub se: f64,
    /// Degrees of freedom of `se` (Satterthwaite's where there are two sources); not a whole number in general.
    pub df: f64,
    /// Where the error comes from: users, and training seeds (variance 0 where nothing was trained).
    pub users: Component,
    pub seeds: Component,
    /// No interval is narrower than this component alone makes it.
    pub least: Component,
}

/// A part of the effect's variance, estimated with its own degrees of freedom.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    pub variance: f64,
    pub df: f64,
}

impl Component {
    const NONE: Self = Self { variance: 0.0, df: 1.0 };

    /// Squared reach of an interval up to the quantile `p` >= 0.5.
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

/// Two one-sided t tests against ± margin (TOST).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Equivalence {
    /// Half width of what counts as equal, in the metric's unit.
    pub margin: f64,
    /// Of "the effect is at most -margin".
    pub p_low: f64,
    /// Of "the effect is at least margin".
    pub p_high: f64,
    /// The larger of the two: small means equivalent.
    pub p: f64,
}

impl Estimate {
    /// Mean over users with its t statistics: the paired t test. Knows nothing of training noise.
    ///
    /// # Errors
    /// Fewer than two users, or a value that is not finite.
    pub fn over_users(differences: &[f64]) -> Result<Self, StatsError> {
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

    /// Is the effect smaller than `margin` (> 0) in both directions?
    ///
    /// p < alpha says the same as "the 1 - 2 alpha interval lies inside ± margin".
    pub fn equivalence(&self, margin: f64) -> Equivalence {
        let (p_low, p_high) = (self.upper(self.effect + margin), self.upper(margin - self.effect));
        Equivalence { margin, p_low, p_high, p: p_low.max(p_high) }
    }

    /// The smallest true effect that a two-sided test at `alpha` finds with probability `power` (> 0.5).
    pub fn minimum_detectable(&self, alpha: f64, power: f64) -> f64 {
        self.reach(1.0 - alpha / 2.0) + self.reach(power)
    }

    /// Half width of the interval that ends at the quantile `p` >= 0.5.
    ///
    /// Each source of error is stretched by the t of its own degrees of freedom before they are added (Howe's
    /// rule). Satterthwaite's single t is too short just when the few seeds lie close together by chance: with
    /// three seeds its 95 % interval covers 90.6 to 96.9 %, this one 93.4 to 97.3 %.
    fn reach(&self, p: f64) -> f64 {
        (self.users.square(p) + self.seeds.square(p)).max(self.least.square(p)).sqrt()
    }

    /// One-sided p value: how likely an error is larger than `distance`.
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
        // The reach falls as p grows: halve the interval of ln p.
        let (mut low, mut high) = (SMALLEST_P.ln(), 0.5f64.ln());
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if self.reach(1.0 - middle.exp()) > distance { low = middle } else { high = middle }
        }
        high.exp()
    }
}

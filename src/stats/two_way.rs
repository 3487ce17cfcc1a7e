//! The two-way layout of users and training seeds, both random (docs/studies.md, section 5).
//!
//! With enough users, a test over users alone finds a difference between two trainings of the same model, because its
//! error contains the sampling of users but not the noise of training. This layout contains both.

use serde::{Deserialize, Serialize};

use super::estimate::{Component, Estimate};
use super::{StatsError, check};

/// Mean squares of a two-way layout without replication.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwoWay {
    pub users: usize,
    pub seeds: usize,
    pub effect: f64,
    pub ms_user: f64,
    pub ms_seed: f64,
    pub ms_resid: f64,
}

impl TwoWay {
    /// Fits `differences[s][u]`: S seeds of U users each.
    ///
    /// # Errors
    /// Fewer than two users or seeds, seeds with different users, or a value that is not finite.
    pub fn fit<D: AsRef<[f64]>>(differences: &[D]) -> Result<Self, StatsError> {
        let seeds = differences.len();
        if seeds < 2 {
            return Err(StatsError::TooFew { found: seeds, needed: 2 });
        }
        let users = differences[0].as_ref().len();
        for (seed, d) in differences.iter().enumerate() {
            check(d.as_ref(), 2)?;
            if d.as_ref().len() != users {
                return Err(StatsError::Ragged { seed, found: d.as_ref().len(), expected: users });
            }
        }
        let (s, u) = (seeds as f64, users as f64);
        let seed_means: Vec<f64> = differences.iter().map(|d| d.as_ref().iter().sum::<f64>() / u).collect();
        let user_mean = |user: usize| differences.iter().map(|d| d.as_ref()[user]).sum::<f64>() / s;
        let user_means: Vec<f64> = (0..users).map(user_mean).collect();
        let effect = seed_means.iter().sum::<f64>() / s;
        let square = |means: &[f64]| means.iter().map(|m| (m - effect).powi(2)).sum::<f64>();
        let mut residual = 0.0;
        for (d, seed_mean) in differences.iter().zip(&seed_means) {
            for (value, user_mean) in d.as_ref().iter().zip(&user_means) {
                residual += (value - user_mean - seed_mean + effect).powi(2);
            }
        }
        Ok(Self {
            users,
            seeds,
            effect,
            ms_user: s * square(&user_means) / (u - 1.0),
            ms_seed: u * square(&seed_means) / (s - 1.0),
            ms_resid: residual / ((u - 1.0) * (s - 1.0)),
        })
    }

    /// SE² = (MS_user + MS_seed - MS_resid) / (U S), with Satterthwaite's degrees of freedom.
    ///
    /// By chance the numerator can be too small, even negative, so that it is at least the larger of MS_user and MS_seed.
    /// For the intervals half of MS_resid is subtracted from each of the two; with two seeds, where the training noise has
    /// one degree of freedom, all of it from MS_user.
    pub fn estimate(&self) -> Estimate {
        let cells = (self.users * self.seeds) as f64;
        let (df_user, df_seed) = (self.users as f64 - 1.0, self.seeds as f64 - 1.0);
        let sum = self.ms_user + self.ms_seed - self.ms_resid;
        let variance = sum.max(self.ms_user).max(self.ms_seed);
        let parts = self.ms_user.powi(2) / df_user
            + self.ms_seed.powi(2) / df_seed
            + self.ms_resid.powi(2) / (df_user * df_seed);
        let df = if parts > 0.0 { variance.powi(2) / parts } else { df_user };
        let part = |mean_square: f64, df| Component { variance: mean_square.max(0.0) / cells, df };
        let share = if self.seeds == 2 { 1.0 } else { 0.5 };
        Estimate {
            effect: self.effect,
            se: (variance / cells).sqrt(),
            df,
            users: part(self.ms_user - share * self.ms_resid, df_user),
            seeds: part(self.ms_seed - (1.0 - share) * self.ms_resid, df_seed),
            least: part(self.ms_user, df_user),
        }
    }
}

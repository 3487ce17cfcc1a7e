//! Statistics of paired differences (docs/studies.md, section 5).
//!
//! `d[s][u]` is the difference of user u's metric between condition B and condition A under training seed s. An
//! [`Estimate`] (effect, standard error, degrees of freedom) comes from [`Estimate::from_users`] where nothing was trained,
//! or from [`TwoWay`] where the interval must contain the noise of training. Interval, p value, equivalence and minimum
//! detectable effect follow from the estimate, and a [`Verdict`] from these. [`wilcoxon()`], [`bootstrap()`] and
//! [`sign_flips`] are computed for the trained models as they are.
//!
//! Reading order: [`estimate`], [`two_way`], [`verdict`], then [`resample`], [`mod@wilcoxon`], `p_values`,
//! [`mod@spearman`].

pub mod estimate;
mod p_values;
pub mod resample;
#[cfg(test)]
mod simulations;
pub mod spearman;
#[cfg(test)]
mod tests;
pub mod two_way;
pub mod verdict;
pub mod wilcoxon;

pub use estimate::{Component, Equivalence, Estimate, Interval};
pub use p_values::holm;
pub(crate) use resample::quantile;
pub use resample::{bootstrap, sign_flips};
pub use spearman::spearman;
pub use two_way::TwoWay;
pub use verdict::{MIN_USERS, Rule, Verdict};
pub use wilcoxon::{Wilcoxon, wilcoxon};

/// Why a statistic can't be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StatsError {
    #[error("{found} values are too few, {needed} are needed")]
    TooFew { found: usize, needed: usize },
    #[error("value {place} is not finite")]
    NotFinite { place: usize },
    #[error("seed {seed} has {found} users, the first one {expected}")]
    Ragged { seed: usize, found: usize, expected: usize },
}

/// Checks that there are `needed` values or more, all finite.
fn check(values: &[f64], needed: usize) -> Result<(), StatsError> {
    if values.len() < needed {
        return Err(StatsError::TooFew { found: values.len(), needed });
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(place) => Err(StatsError::NotFinite { place }),
        None => Ok(()),
    }
}

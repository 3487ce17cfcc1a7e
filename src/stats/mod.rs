//! Is a difference real, and how large could it be? (docs/studies.md, section 5)
//!
//! All of it works on *paired differences*: `d[s][u]` is what user u gains when condition B replaces condition A
//! under training seed s. An [`Estimate`] (effect, standard error, degrees of freedom) comes from
//! [`Estimate::over_users`] where nothing was trained, or from [`TwoWay`] where the training's own noise must be
//! in the interval; interval, p value, equivalence and the minimum detectable effect follow from it, and a
//! [`Verdict`] from these. [`wilcoxon()`], [`bootstrap()`] and [`sign_flips`] stand beside it, for the trained
//! models as they are.
//!
//! Reading order: [`estimate`], [`two_way`], [`verdict`], then [`resample`], [`mod@wilcoxon`], [`mod@holm`].

mod distribution;
mod error;
pub mod estimate;
pub mod holm;
pub mod resample;
#[cfg(test)]
mod simulations;
#[cfg(test)]
mod tests;
pub mod two_way;
pub mod verdict;
pub mod wilcoxon;

pub use error::StatsError;
pub use estimate::{Component, Equivalence, Estimate, Interval};
pub use holm::holm;
pub(crate) use resample::quantile;
pub use resample::{bootstrap, sign_flips};
pub use two_way::TwoWay;
pub use verdict::{MIN_USERS, Rule, Verdict};
pub use wilcoxon::{Wilcoxon, wilcoxon};

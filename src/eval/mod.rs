//! How recommendations are judged (docs/odmt.md, section 6).
//!
//! Every model and baseline is a [`Scorer`]; [`evaluate`] ranks each target by counting over the whole
//! catalogue and keeps one row per target, on which all statistics are built. `train` evaluates while it trains, `evaluate`
//! makes the [`Report`] of a finished run, and `compare`, `ablate` and `tune` read it.
//!
//! Reading order: [`scorer`] (what can be evaluated), [`rank`] (the rank of one target), [`inner_product`] (ranks of many
//! users where scores are inner products), [`row`] (one target's rank), [`metrics`] (means over targets), [`conditions`] (under which rules they were computed), [`protocol`]
//! (which targets and candidates), [`named`] (the rules of other programs), [`hidden`] (targets that can't be hit), [`rows`] (rows on disk), [`baseline`] (what is
//! counted and not trained), [`cold`] (items that no training has seen), [`content`] (a baseline for them), [`time_order`] and [`global_time`] (what
//! training knows of the future), [`report`], [`kept`] (report and rows on disk).

pub mod baseline;
pub mod cold;
pub mod conditions;
pub mod config;
pub mod content;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod global_time;
pub mod hidden;
pub mod inner_product;
pub mod kept;
pub mod metrics;
pub mod named;
pub mod protocol;
pub mod rank;
pub mod report;
pub mod row;
pub mod rows;
pub mod scorer;
#[cfg(test)]
mod tests;
pub mod time_order;

pub use cold::ColdReport;
pub use global_time::GlobalTime;
pub use hidden::HiddenTargets;
pub use metrics::{Evaluation, Scored};
pub use named::Named;
pub use protocol::{Rules, chosen_counts, evaluate, evaluate_under};
pub use report::Report;
pub use row::Row;
pub use rows::{RowsError, StoredRows};
pub use scorer::{ScoreError, Scorer};
pub use time_order::TimeOrder;

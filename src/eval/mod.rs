//! How recommendations are judged (docs/odmt.md, section 6).
//!
//! Every model and baseline is a [`Scorer`]; [`evaluate`] ranks each target by counting over the whole
//! catalogue and keeps one row per target, on which all statistics are built.
//!
//! Reading order: [`scorer`], [`rank`] (one target), [`inner_product`] (many, where scores are that), [`metrics`] (all of them), [`protocol`], [`hidden`]
//! (targets that can't be hit), [`rows`],
//! [`baseline`], [`cold`] (items that no training has seen), [`content`] (their floor), [`time_order`], [`global_time`],
//! [`report`], [`kept`] (report and rows on disk).

pub mod baseline;
pub mod cold;
pub mod config;
pub mod content;
#[cfg(test)]
mod fixtures;
pub mod global_time;
pub mod hidden;
pub mod inner_product;
pub mod kept;
pub mod metrics;
pub mod protocol;
pub mod rank;
pub mod report;
pub mod rows;
pub mod scorer;
#[cfg(test)]
mod tests;
pub mod time_order;

pub use cold::ColdReport;
pub use global_time::GlobalTime;
pub use hidden::HiddenTargets;
pub use metrics::{Evaluation, Scored};
pub use protocol::{chosen_counts, evaluate, evaluate_among};
pub use report::Report;
pub use rows::{Row, RowsError, StoredRows};
pub use scorer::{ScoreError, Scorer};
pub use time_order::TimeOrder;

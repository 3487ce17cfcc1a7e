//! Probes of frozen features before training (docs/studies.md, section 3).
//!
//! P1 ranks by features alone. P2 ranks by their neighbours and compares these with behaviour. P3 removes modalities
//! from more and more items. P4 measures how well the figures predict the final metric. P5 examines the geometry.
//! Random features, popularity and item-kNN on behaviour are always reported with them.
//!
//! Reading order: [`vectors`] (pooling, products in tiles), [`rank`] (P1, P2 a), [`mod@agreement`] (P2 b), [`mask`] (P3),
//! [`geometry`] (P5), `figures`, `measure` (all of them, to a `report`), [`validity`] (P4) of finished `runs`,
//! [`table`] (terminal and Markdown); `stores` (which features of a data set).

pub mod agreement;
mod error;
mod figures;
pub mod geometry;
pub mod mask;
mod measure;
pub mod rank;
mod report;
mod runs;
mod stores;
pub mod table;
#[cfg(test)]
mod tests;
pub mod validity;
pub mod vectors;

pub use error::ProbeError;
pub use figures::{Chance, Figures};
pub use measure::{Options, Probe, joined};
pub use report::{FeatureReport, Report};
pub use runs::Notice;
pub use stores::open_views;

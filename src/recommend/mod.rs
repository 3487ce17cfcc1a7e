//! Recommendation with a trained model: the catalogue encoded once, scores, and lists.
//!
//! `recommend`, `inspect` and `show` make lists; `evaluate`, `train` and `embed` use the scorers and the vectors. [`ensemble`] fits
//! what each branch counts.

pub mod ensemble;
pub mod list;
pub mod mixed;
pub mod popular;
pub mod scorer;
pub mod vectors;

pub use list::{History, Listing, Recommendation, mixed_similar_items, mixed_top_k, similar_items, top_k};
pub use mixed::{Calibration, Mixed, MixedScorer};
pub use popular::Popular;
pub use scorer::ModelScorer;
pub use vectors::CatalogueVectors;

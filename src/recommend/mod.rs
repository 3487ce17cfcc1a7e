//! A trained model at work: the catalogue encoded once, scores, and recommendation lists.

pub mod list;
pub mod scorer;
pub mod vectors;

pub use list::{History, Recommendation, similar_items, top_k};
pub use scorer::ModelScorer;
pub use vectors::CatalogueVectors;

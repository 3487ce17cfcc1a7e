//! Frozen token features of items, in one store per view.
//!
//! A [`FeatureStore`] is a directory that training maps into memory and gathers from, batch by batch, without loading
//! it as a whole. [`StoreWriter`] writes one row by row; [`import()`] makes one from a `.npy` or safetensors matrix and
//! a table of item ids. A missing item has length 0; the model replaces it by a learned token.
//!
//! Reading order: `store`, `pooled` (one vector per item), `replace` (knock-outs of a store), `writer`, `array` of `element`s (with the two header parsers `npy` and `header`), `ids`
//! and `table`, `shared` (what several items share), `import` with its `findings`, `view` (names of stores).

mod array;
pub mod config;
mod element;
mod error;
mod findings;
pub(crate) mod header;
mod ids;
mod import;
mod import_options;
mod npy;
mod pooled;
mod replace;
mod shared;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub use array::ArrayRef;
pub use error::FeatureError;
pub use ids::{Choice, IdTable, Ids, item_ids_hash};
pub use import::import;
pub use import_options::{ImportOptions, ImportReport, MissingRows, SharedRows};
pub use pooled::{mean_token, normalise};
pub use shared::{MANY, Shared};
pub use store::{FeatureStore, KIND, Precision, SCHEMA_VERSION};
pub use view::{check_view_name, store_names, view_dir};
pub use writer::StoreWriter;

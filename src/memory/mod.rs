//! What a training part tells by counting alone: lists of items that belong together, in bounded memory.
//!
//! Reading order: [`lists`] (row-sparse matrices), [`regression`] (items foretold by their neighbours).

pub mod lists;
pub mod regression;

pub use lists::Lists;
pub use regression::Regression;

//! Times as logs write them, and the unit of a whole column of them.
//!
//! A reader passes on what stands in the file ([`RawTime`]), unrounded. [`TimeColumn`] packs the values of one column into
//! 64 bits each, in the file's own unit and order, and decides at the end what the unit is ([`TimeUnit`]): a column has
//! one, so that no single value decides it.

mod column;
mod raw;
mod unit;

pub use column::{Packed, Resolved, TimeColumn};
pub use raw::RawTime;
pub(super) use raw::no_text;
pub use unit::TimeUnit;

#[cfg(test)]
mod tests;

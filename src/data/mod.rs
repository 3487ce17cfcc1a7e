//! From a raw interaction log and a catalogue to a [`Dataset`].
//!
//! Reading order: [`source`] (one reader a format), [`intern`] (ids to numbers), `log` (the rows in memory),
//! [`filter`], `catalogue` (what the items are), [`join`] (whether two lists of ids meet), [`pictures`] (where pictures
//! lie), `cut` (sequences) by a rule of [`split`], [`cold`] (items held out of training), [`mod@prepare`] (all of them in
//! order, with a `report`), [`dataset`] (the result), [`disk`] (its directory), [`choice`] (which items may be listed).

mod catalogue;
mod changes;
pub mod choice;
pub mod cold;
pub mod config;
mod cut;
pub mod dataset;
pub mod disk;
mod error;
pub mod filter;
mod guard;
pub mod html;
pub mod intern;
pub mod join;
pub(crate) mod literal;
mod log;
pub mod pictures;
pub mod prepare;
mod report;
mod report_text;
pub mod source;
pub mod split;
#[cfg(test)]
mod tests;

pub use changes::changed_items;
pub use choice::{Choice, ChoiceError};
pub use dataset::{Dataset, Items, KeptColumn, MICROS, Part, Sequences, Target};
pub use disk::{replace_dataset, write_dataset};
pub use error::DataError;
pub(crate) use guard::{guarded, silence_guarded_panics};
pub use log::{NullLike, Untimed};
pub use prepare::{PrepareOptions, prepare};
pub use report::{PrepareReport, SourceHash};

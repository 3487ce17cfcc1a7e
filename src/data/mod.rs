//! From a raw interaction log and a catalogue to a [`Dataset`].
//!
//! Reading order: [`source`] (one reader a format), [`ids`] (the numbers that items go by), [`mod@prepare`] (five steps from
//! files to a data set) with [`intern`] (ids to numbers), [`filter`] (rules for what stays), [`join`] (whether two lists of
//! ids match), [`html`] (markup removed), [`pictures`] (where pictures lie) and [`split`] (what is trained on and what is
//! predicted); then [`dataset`] (the result), [`disk`] (its directory), [`cold`] (items held out of training),
//! [`train_parts`] (which parts are trained on) and [`choice`] (which items may be listed).

mod changes;
pub mod choice;
pub mod cold;
pub mod config;
pub mod dataset;
pub mod disk;
mod error;
pub mod filter;
mod guard;
pub mod html;
pub mod ids;
pub mod intern;
pub mod join;
pub(crate) mod literal;
pub mod pictures;
pub mod prepare;
mod report_text;
pub mod source;
pub mod split;
#[cfg(test)]
mod tests;
pub mod train_parts;

pub use changes::changed_items;
pub use choice::{Choice, ChoiceError};
pub use dataset::{Dataset, Items, KeptColumn, MICROS, Part, Sequences, Target, TrainedOn};
pub use disk::{replace_dataset, write_dataset};
pub use error::DataError;
pub(crate) use guard::guarded;
pub use guard::silence_guarded_panics;
pub use ids::ItemId;
pub use prepare::{NullLike, PrepareOptions, PrepareReport, SourceHash, Untimed, prepare};

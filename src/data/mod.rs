//! From a raw interaction log and a catalogue to a [`Dataset`].

pub mod dataset;

pub use dataset::{Dataset, Items, Part, Sequences, Target};

//! Differentiable operations that know no recommender.
//!
//! Each has a generic body that every device runs. Where that body is slow on the CPU, the operation
//! also has a kernel with a hand-written backward; tests hold the two against each other.

pub mod dropout;

pub use dropout::Noise;

//! Operations of the objectives, with CPU kernels for the slow ones, as those of [`crate::ops`] are built.

pub mod drawn;
pub mod full_softmax;
pub mod losses;

//! From a picture file to the numbers that an encoder reads.
//!
//! Reading order: `decode` (bounded), `resize` (as PIL does it), `class` (what a
//! file leaves to its class), `prepare` (crop, scale, normalise).

mod class;
mod decode;
mod prepare;
mod resize;

pub use decode::{Bounds, Refused, decode};
pub use prepare::{Fit, PRESETS, Preprocessing};
pub use resize::{Filter, resize};

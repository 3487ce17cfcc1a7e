//! Preprocessing of picture files for encoders.
//!
//! Reading order: `decode` (bounded), `resize` (as PIL does it), `class` (defaults of processor classes), `prepare`
//! (crop, scale, normalise).

mod class;
mod decode;
mod prepare;
mod resize;

pub use decode::{Bounds, Refused, decode};
pub use prepare::{Fit, PRESETS, Preprocessing};
pub use resize::{Filter, resize};

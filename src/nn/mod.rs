//! Neural network blocks: linear maps, normalisation, transformer, recurrent and convolutional layers.

pub mod conv;
pub mod gru;
pub mod init;
pub mod layers;
pub mod named;
pub mod transformer;

pub use init::Init;
pub use layers::{LayerNorm, linear, map_rows};
pub use named::Named;
pub use transformer::{Block, BlockConfig};

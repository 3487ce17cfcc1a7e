//! Neural network blocks: linear maps, normalisation, transformer, recurrent and convolutional layers.

pub mod conv;
pub mod gru;
pub mod init;
pub mod linear;
pub mod named;
pub mod norm;
pub mod transformer;

pub use init::Init;
pub use linear::{linear, over_rows};
pub use named::Named;
pub use norm::LayerNorm;
pub use transformer::{Block, BlockConfig};

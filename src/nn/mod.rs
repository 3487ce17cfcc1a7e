//! Neural blocks that know no recommender.

pub mod conv;
pub mod gru;
pub mod init;
pub mod norm;
pub mod transformer;

pub use init::Init;
pub use norm::LayerNorm;
pub use transformer::{Block, BlockConfig};

//! Runs that are made from finished runs: trained anew on more data ([`refit()`]), or from their weights ([`warm`]).
//!
//! Both begin with what the finished run chose ([`chosen`]); what the new training takes from it is put in by [`start()`].

pub mod chosen;
pub mod error;
pub mod refit;
pub mod start;
pub mod warm;

pub use chosen::Chosen;
pub use error::SuccessorError;
pub use refit::{Refit, refit};
pub use start::{Started, start};
pub use warm::{Warm, warm_start};

//! From a system to trained weights: the loop, the optimiser, checkpoints. Nothing here knows a model.
//!
//! Reading order: [`setup`] (what every system is opened with), [`system`] (what the trainer asks of one), [`losses`],
//! [`gradients`], [`optim`], [`update`] (one optimiser step), [`stages`], [`checkpoint`], [`trainer`] (the loop);
//! [`inputs`]: what a trained model may be opened with.

pub(crate) mod changes;
pub mod checkpoint;
pub mod config;
pub mod gradients;
pub mod inputs;
pub mod losses;
pub mod optim;
pub mod optim_config;
pub mod phase;
mod places;
pub mod prefetch;
pub mod run_dir;
pub mod setup;
pub mod stages;
pub mod system;
pub mod trainer;
pub mod training;
pub mod update;

pub use optim::AdamW;
pub use setup::{Setup, SystemError};
pub use system::{Learner, System};
pub use trainer::{Observer, Outcome, TrainError, Trainer, Training};

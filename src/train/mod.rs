//! From a data set to trained weights: batches, optimiser, checkpoints and the loop.
//!
//! Reading order: [`experiment`] (a configuration with everything it names opened), [`windows`], [`batch`], [`step`],
//! [`optim`], [`update`], [`checkpoint`], [`trainer`] (the loop); [`inputs`]: what a trained model may be opened with.

pub mod batch;
pub mod checkpoint;
pub mod config;
pub mod experiment;
pub mod gradients;
pub mod inputs;
pub mod negatives;
pub mod optim;
pub mod optim_config;
mod places;
pub mod prefetch;
pub mod run_dir;
pub mod step;
pub mod trainer;
pub mod update;
pub mod windows;

pub use batch::{Batch, Sampler};
pub use experiment::{Experiment, ExperimentError};
pub use optim::AdamW;
pub use step::Step;
pub use trainer::{Observer, Outcome, TrainError, Trainer};

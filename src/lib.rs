//! codistill trains multi-modal sequential recommenders by online distillation.
//!
//! Programs begin at [`run`]: it trains a configuration, opens a finished run and answers requests with it. Read the modules
//! in the data's order, from file to loss; ARCHITECTURE.md has what is in each and why.
//!
//! 1. [`config`]: what a run is, typed.
//! 2. [`data`]: from a raw log to a [`data::Dataset`]; [`synth`]: the same with planted truth.
//! 3. [`encode`]: titles and pictures into [`features`], frozen token features per item, memory-mapped.
//! 4. [`ops`] and [`nn`]: differentiable operations and blocks that know no recommender.
//! 5. [`model`]: views, item tower, branches, user encoders; [`params`]: its parameters by name.
//! 6. [`objective`]: the terms of the loss: softmax (in-batch or sampled), full softmax, gBCE, distillation, and those of a
//!    registry.
//! 7. [`eval`]: exact ranks over the whole catalogue, metrics, baselines.
//! 8. [`train`]: the loop, optimiser and checkpoints of anything that is a [`train::system::System`]; [`systems`]: those
//!    that there are, with their batches.
//! 9. [`recommend`]: catalogue vectors, scores and lists of a trained model; [`embed`]: new items without retraining.
//! 10. [`judge`]: a trained model beside baselines; [`run`]: from a configuration to a judged run, and to lists.
//! 11. [`export`]: weights and vectors for other programs.
//! 12. [`stats`]: whether a difference is real; [`compare`]: finished runs side by side; [`ablate`]: studies of them;
//!     [`tune`]: search over configuration keys; [`probe`]: what frozen features are worth before any training.
//!
//! What others stand on: [`artefact`] (directories that are complete or absent), [`lock`], [`tensors`] (named tensors on
//! disk), [`device`], [`monitor`] (TensorBoard, JSON lines, progress), [`pictures`], [`table`], [`hex`], [`rng`]. [`mod@bench`]
//! measures named workloads, for development.
//!
//! Files that import each other, directly or by way of others, are of one of these modules; no such circle crosses two.
#![deny(unsafe_code)]

pub mod ablate;
pub mod artefact;
pub mod bench;
pub mod compare;
pub mod config;
pub mod data;
pub mod device;
pub mod embed;
pub mod encode;
pub mod eval;
pub mod export;
pub mod features;
pub mod hex;
pub mod judge;
pub mod linear;
pub mod lock;
pub mod logit;
pub mod memory;
pub mod model;
pub mod monitor;
#[cfg(test)]
mod need;
pub mod nn;
pub mod objective;
pub mod ops;
pub mod params;
pub mod pictures;
pub mod probe;
pub mod recommend;
pub mod rng;
pub mod run;
pub mod stats;
pub mod synth;
pub mod systems;
pub mod table;
pub mod tensors;
pub mod train;
pub mod tune;

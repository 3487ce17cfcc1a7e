//! codistill trains multi-modal sequential recommenders by online distillation.
//!
//! Read the modules in this order, which is also the data's way from file to loss:
//!
//! 1. [`config`]: what a run is, typed.
//! 2. [`data`]: from a raw log to a [`data::Dataset`]; [`synth`]: the same with planted truth.
//! 3. [`features`]: frozen token features per item, memory-mapped; [`encode`]: made from texts and pictures.
//! 4. [`nn`] and [`ops`]: blocks and differentiable operations that know no recommender.
//! 5. [`model`]: item tower, branches, user encoders.
//! 6. [`objective`]: in-batch softmax, distillation.
//! 7. [`eval`]: ranks by counting, metrics, baselines.
//! 8. [`recommend`]: catalogue vectors, scores and lists of a trained model.
//! 9. [`train`]: batches, optimiser, checkpoints, the loop.
//! 10. [`embed`]: new items without retraining. [`export`]: what leaves the program.
//! 11. [`stats`]: whether a difference is real; [`compare`]: finished runs side by side; [`ablate`]: studies of them.
//! 12. [`probe`]: what frozen features are worth before any training.
//! 13. [`tune`]: search over configuration keys.
//! 14. [`monitor`]: TensorBoard, JSON lines, progress.
//! 15. [`mod@bench`]: named workloads, generated and measured.
//!
//! Lower modules know nothing of higher ones.
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
pub mod lock;
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

//! Named workloads of exact shapes, generated, run and measured (`codistill bench`).
//!
//! A workload is a directory that other programs read too, so that contenders work on the same numbers. It holds
//! `workload.json` (a [`Workload`]) and `workload.safetensors`:
//!
//! | kind | tensors |
//! | --- | --- |
//! | `odmt` | `sequences` int32 `[K·B, S+1]`, left-padded with 0: batch k is rows k·B..(k+1)·B; `log_popularity` float32 `[I+1]`; `text_length` int32 `[I+1]`; `text` float16 `[I+1, T, F]`; `image` float16 `[I+1, V, F]` |
//! | `sasrec` | `sequences` |
//! | `evaluate` | `users.N` float32 `[U, D]` and `items.N` float32 `[I+1, D]` of branch N; `history_offsets` int64 `[U+1]`, `history_items` int32, `targets` int32 `[U]` |
//! | `loss` | `users.N` float32 `[B, D]` and `items.N` float32 `[I+1, D]` of branch N; `labels` int32 `[B]` |
//! | `prepare` | none; `reviews.jsonl` has a review a line, in the layout of Amazon's reviews of 2018 |
//! | `checkpoint` | float32 parameters of a model, by their names |
//!
//! Row 0 of everything that is kept by item is padding and zero. Step i uses batch i % K; warm-up steps count from
//! 0 too. `features/text` and `features/image` hold the token features once more as the feature stores that
//! training maps into memory.
//!
//! Reading order: [`workload`] and [`named`] (what there is), [`generate`] (made), [`disk`] (written and read),
//! [`training`], [`judging`], [`catalogue_loss`], [`preparing`] and [`saving`] (run), [`flops`] (the arithmetic of a
//! step), [`machine`] (what the machine can do), [`summary`].

pub mod catalogue_loss;
mod columns;
pub mod disk;
pub mod flops;
pub mod generate;
pub mod judging;
pub mod machine;
pub mod named;
pub mod preparing;
pub mod saving;
pub mod summary;
pub mod training;
pub mod workload;

pub use catalogue_loss::CatalogueLoss;
pub use disk::Loaded;
pub use judging::Judging;
pub use machine::Machine;
pub use preparing::Preparing;
pub use saving::Saving;
pub use summary::Summary;
pub use training::Training;
pub use workload::{Kind, Profile, Workload};

use std::path::PathBuf;

use crate::artefact::ArtefactError;
use crate::config::{ConfigError, keys_with};
use crate::data::DataError;
use crate::eval::ScoreError;
use crate::features::FeatureError;
use crate::tensors::TensorsError;
use crate::train::checkpoint::CheckpointError;

/// How many steps are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Before the first timed step.
    pub warmup: usize,
    pub timed: usize,
}

impl Steps {
    /// Runs `step`, which is told its number and how many steps were run before it; `on_step` is told of every timed
    /// one. Warm-up steps count from 0 too.
    ///
    /// # Errors
    /// The first of either.
    pub(super) fn run<T>(
        self,
        mut step: impl FnMut(usize, usize) -> Result<T, BenchError>,
        on_step: &mut dyn FnMut(&T) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        for index in 0..self.warmup {
            step(index, index)?;
        }
        (0..self.timed).try_for_each(|index| on_step(&step(index, self.warmup + index)?))
    }
}

/// Why a workload can't be made or run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("there is no workload `{0}`")]
    Unknown(String),
    #[error("--set {set}: {reason}")]
    Override { set: String, reason: String, hint: String },
    #[error("--config-set {0}: nothing here reads it")]
    Idle(String),
    #[error("--config-set {0}: this workload has no model")]
    NoModel(String),
    #[error("--config-set {0}: that is another workload")]
    Fixed(String),
    #[error("{dir} holds `{found}`, not `{wanted}`")]
    OtherWorkload { dir: PathBuf, found: String, wanted: String },
    #[error("{path}: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error("the loss is {loss} at step {step}")]
    Diverged { loss: f64, step: usize },
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Features(#[from] FeatureError),
    #[error(transparent)]
    Score(#[from] ScoreError),
    #[error(transparent)]
    Tensors(#[from] TensorsError),
    #[error("the device could not finish a step: {0}")]
    Device(String),
}

impl BenchError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown(name) => {
                let near = crate::config::nearest(name, named::names().chain(["list", "machine"]));
                Some(near.map_or_else(
                    || "`codistill bench list` shows them".into(),
                    |near| format!("did you mean `{near}`?"),
                ))
            }
            Self::Override { hint, .. } => Some(hint.clone()),
            Self::Idle(_) => Some(format!("read are {}", keys_with(training::is_read).join(", "))),
            Self::NoModel(_) => Some("leave it out".into()),
            Self::Fixed(_) => Some("override its dimensions with --set, e.g. --set width=128".into()),
            Self::OtherWorkload { found, .. } => Some(format!("run `codistill bench {found}` on it")),
            Self::Malformed { .. } => Some("write the workload anew with --write".into()),
            Self::Diverged { .. } => Some("a time of broken numbers means nothing; lower optim.lr".into()),
            Self::Artefact(ArtefactError::Exists(_)) => {
                Some("choose another path, or remove the old directory first".into())
            }
            Self::Artefact(ArtefactError::NotAnArtefact { .. }) => {
                Some("make it with `codistill bench NAME --write DIR`".into())
            }
            Self::Artefact(e @ ArtefactError::Inside { .. }) => e.hint(),
            Self::Artefact(_) | Self::Device(_) => None,
            Self::Tensors(_) => Some("write the workload anew with --write".into()),
            Self::Checkpoint(e) => e.hint(),
            Self::Config(e) => e.hint(),
            Self::Data(e) => e.hint(),
            Self::Features(e) => e.hint(),
            Self::Score(e) => e.hint(),
        }
    }
}

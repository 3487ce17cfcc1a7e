//! Why no run can be made from a finished one.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::train::TrainError;
use crate::train::checkpoint::CheckpointError;
use crate::train::inputs::InputsError;
use crate::train::setup::SystemError;

/// Why no run can be made from a finished one.
#[derive(Debug, thiserror::Error)]
pub enum SuccessorError {
    #[error("{run} has not ended: {how}")]
    Unfinished { run: PathBuf, how: String },
    #[error("{run} was imported: no training of its own chose how long it lasts")]
    Imported { run: PathBuf },
    #[error("{run} has stages that ended early, and it does not record after how many epochs each did")]
    Stages { run: PathBuf },
    #[error("{run} was trained by the system `{kind}`, which has no ID vectors that items could keep")]
    OtherSystem { run: PathBuf, kind: String },
    #[error("the checkpoint that the training started from is gone from {parent}")]
    StartGone { parent: PathBuf },
    #[error("{run} has fitted no weights of the ensemble")]
    NothingFitted { run: PathBuf },
    #[error("{data} has none of the {items} items of {run}")]
    NoCommonItems { run: PathBuf, data: PathBuf, items: usize },
    #[error(
        "{data} has other features of view `{view}` than {run} was trained on: {differing} of {compared} common items that were \
         looked at differ"
    )]
    OtherFeatures { run: PathBuf, data: PathBuf, view: String, differing: usize, compared: usize },
    /// What the finished run was trained on is absent or changed.
    #[error("{run} can't be opened with its own data set: {reason}")]
    Unopened { run: PathBuf, reason: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Inputs(#[from] InputsError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    Train(#[from] Box<TrainError>),
}

impl SuccessorError {
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unfinished { run, .. } => {
                format!("let it end: codistill train --resume {}", run.display())
            }
            Self::Imported { .. } => "train a run of its configuration, and refit that one".into(),
            Self::Stages { .. } => {
                "train it with train.patience = 0 and stages of a fixed length, and refit that run".into()
            }
            Self::OtherSystem { .. } => "train the system anew on the newer data set: codistill train CONFIG --data DIR".into(),
            Self::StartGone { .. } => {
                "put that run back there, or begin again: codistill train --continue RUN --data DIR".into()
            }
            Self::NothingFitted { .. } => "set model.ensemble.weights to \"equal\"".into(),
            Self::NoCommonItems { .. } => {
                "items are matched by the ids of the source: prepare the newer log with the same columns, or train anew".into()
            }
            Self::OtherFeatures { .. } => {
                "encode them as the run's were (its model card names encoder and recipe); --accept-changed goes on all the same"
                    .into()
            }
            Self::Unopened { .. } => {
                "put back what it was trained on: the order of its items says whose the ID vectors are".into()
            }
            Self::Checkpoint(e) => return e.hint(),
            Self::Config(e) => return e.hint(),
            Self::Inputs(e) => return e.hint(),
            Self::System(e) => return e.hint(),
            Self::Train(e) => return e.hint(),
        })
    }
}

use std::path::PathBuf;

use crate::artefact::ArtefactError;
use crate::config::ConfigError;
use crate::data::DataError;
use crate::eval::ScoreError;
use crate::features::FeatureError;
use crate::objective::TermError;
use crate::tensors::TensorsError;
use crate::train::checkpoint::CheckpointError;
use crate::train::stages::PatternError;

/// Why a workload can't be made or run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("there is no workload `{name}`")]
    Unknown {
        name: String,
        /// The nearest name that is known.
        near: Option<&'static str>,
    },
    #[error("--set {set}: {reason}")]
    Override { set: String, reason: String, hint: String },
    #[error("--config-set {set}: nothing here reads it")]
    Idle {
        set: String,
        /// Keys that are read.
        read: String,
    },
    #[error("--config-set {0}: this workload has no model")]
    NoModel(String),
    #[error("--config-set {0}: that is another workload")]
    Fixed(String),
    #[error("--config-set {0}: no finished run can teach on made-up data")]
    Taught(String),
    #[error("--config-set {0}: a memory that teaches nobody changes no step")]
    Mute(String),
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
    Pattern(#[from] PatternError),
    #[error(transparent)]
    Term(#[from] TermError),
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
            Self::Unknown { near, .. } => Some(near.map_or_else(
                || "`codistill bench list` shows them".into(),
                |near| format!("did you mean `{near}`?"),
            )),
            Self::Override { hint, .. } => Some(hint.clone()),
            Self::Idle { read, .. } => Some(format!("read are {read}")),
            Self::Taught(_) => Some("let a branch teach, or the ensemble".into()),
            Self::Mute(_) => Some("name it as the teacher of a pair in objective.distill.pairs".into()),
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
            Self::Pattern(e) => e.hint(),
            Self::Term(e) => e.hint(),
            Self::Data(e) => e.hint(),
            Self::Features(e) => e.hint(),
            Self::Score(e) => e.hint(),
        }
    }
}

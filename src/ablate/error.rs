use std::path::PathBuf;

use crate::artefact::ArtefactError;
use crate::compare::CompareError;
use crate::config::ConfigError;
use crate::data::DataError;
use crate::device::DeviceError;
use crate::eval::{RowsError, ScoreError};
use crate::lock::LockError;
use crate::train::SystemError;
use crate::train::checkpoint::CheckpointError;
use crate::train::inputs::InputsError;

/// Why a study can't be read, run or reported.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{path}{place}: {reason}")]
    Malformed { path: PathBuf, place: String, reason: String, hint: Option<String> },
    /// Well-formed, but it can't be meant.
    #[error("{path}: `{key}` {reason}")]
    Invalid { path: PathBuf, key: String, reason: String, hint: String },
    #[error("`{id}` is not a condition that this model can have{reason}")]
    Condition { id: String, reason: String, hint: String },
    #[error("the study has no condition `{id}`")]
    NoCondition { id: String, known: Vec<String> },
    #[error("{path} has no [retune]: it does not say what to draw")]
    NoRetune { path: PathBuf },
    /// Something lies where a cell's run directory is to be.
    #[error("{dir} is in the way: it is no run")]
    InTheWay { dir: PathBuf },
    #[error("condition {id}: {source}")]
    Config { id: String, source: ConfigError },
    #[error(transparent)]
    Base(#[from] ConfigError),
    #[error("{dir} was trained with {field} = {left}, the study now asks for {right}")]
    OtherSettings { dir: PathBuf, field: String, left: String, right: String },
    #[error("the full model has no finished run without a fault:{}", reasons.iter().map(|r| format!("\n  {r}")).collect::<String>())]
    NoReference { reasons: Vec<String> },
    #[error("no condition beside the full model has a sound run:{}", reasons.iter().map(|r| format!("\n  {r}")).collect::<String>())]
    NothingToCompare { reasons: Vec<String> },
    #[error("study {name} {reason}")]
    OtherMetric { name: String, reason: String },
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Inputs(#[from] InputsError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    Score(#[from] ScoreError),
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl StudyError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => {
                Some("give the path of a study file, e.g. configs/studies/quickstart.toml".into())
            }
            Self::Malformed { hint, .. } => hint.clone(),
            Self::Invalid { hint, .. } | Self::Condition { hint, .. } => Some(hint.clone()),
            Self::NoCondition { known, .. } => Some(format!("it has {}", known.join(", "))),
            Self::NoRetune { .. } => Some(
                "add e.g. [retune] trials = 8 and [retune.space] \"optim.lr\" = { log_uniform = [1e-4, 1e-2] }".into(),
            ),
            Self::InTheWay { .. } => Some("move it elsewhere".into()),
            Self::Config { source, .. } | Self::Base(source) => source.hint(),
            Self::OtherSettings { dir, .. } => {
                Some(format!("give the study another name, or remove {} to train it anew", dir.display()))
            }
            Self::NoReference { .. } => {
                Some("mend the base configuration; without its full model nothing can be compared".into())
            }
            Self::NothingToCompare { .. } => {
                Some("run the study to its end; where cells failed, mend their faults and use --retry".into())
            }
            Self::OtherMetric { .. } => Some("give all studies the same metric".into()),
            Self::Compare(e) => e.hint(),
            Self::Checkpoint(e) => e.hint(),
            Self::Inputs(e) => e.hint(),
            Self::System(e) => e.hint(),
            Self::Score(e) => e.hint(),
            Self::Rows(e) => e.hint(),
            Self::Artefact(e) => e.hint(),
            Self::Data(e) => e.hint(),
            Self::Device(e) => e.hint(),
            Self::Lock(e) => e.hint(),
        }
    }
}

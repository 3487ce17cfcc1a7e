//! Errors of studies, each with what the user can do about it.
//!
//! Their words, which the rest of the module shares:
//!
//! - *condition*: the base configuration with something removed, replaced or set ([`Condition`](super::Condition)); `C0` is
//!   the full model;
//! - *cell*: one training of a condition under one seed, or of a trial, with its run directory ([`Cell`](super::Cell));
//! - *contrast*: the difference between a condition and the full model, with interval and p-value; those that the study file
//!   declares give verdicts, the others are exploratory;
//! - *gate*: a check that a finished run has to pass ([`gates`](super::gates)); *fault*: what it found. A fault makes the
//!   cell fail or, where the study tolerates it ([`OnFault`](super::OnFault)), is a warning;
//! - *usable run*: one that is finished and passed every gate, so that its figures count;
//! - *retune*: hyper-parameters drawn anew for every condition instead of the base's ([`Retune`](super::Retune)); each draw is
//!   a *trial*.

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
    Malformed {
        path: PathBuf,
        /// `:LINE:COLUMN`, which follows the path without a space; empty where the place is not known.
        place: String,
        reason: String,
        hint: Option<String>,
    },
    /// Well-formed, but out of range or at odds with another value.
    #[error("{path}: `{key}` {reason}")]
    Invalid { path: PathBuf, key: String, reason: String, hint: String },
    #[error("`{id}` is not a condition that this model can have{reason}")]
    Condition {
        id: String,
        /// Follows the message as it is: `: ` and the reason; empty where there is nothing to add.
        reason: String,
        hint: String,
    },
    #[error("the study has no condition `{id}`")]
    NoCondition { id: String, known: Vec<String> },
    #[error("{path} has no [retune]: it does not say what to draw")]
    NoRetune { path: PathBuf },
    /// Something else lies where a cell's run directory is to be made.
    #[error("{dir} exists and is no run of this study")]
    NotARun { dir: PathBuf },
    #[error("condition {id}: {source}")]
    Config { id: String, source: ConfigError },
    #[error(transparent)]
    Base(#[from] ConfigError),
    #[error("{dir} was trained with {field} = {left}, the study now asks for {right}")]
    OtherSettings { dir: PathBuf, field: String, left: String, right: String },
    #[error("the full model has no finished run without a fault:{}", reasons.iter().map(|r| format!("\n  {r}")).collect::<String>())]
    NoReference { reasons: Vec<String> },
    #[error("no condition beside the full model has a usable run:{}", reasons.iter().map(|r| format!("\n  {r}")).collect::<String>())]
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
            Self::NotARun { .. } => Some("move it elsewhere; the run is to be made there".into()),
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

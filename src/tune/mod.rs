//! Search over configuration keys: random, or successive halving by epochs. Selects on validation only.
//!
//! Reading order: `spec` (the study's file, and the draws from it), [`study`] (records on disk, and the next step),
//! `advance` (one trial up to its next rung). [`search`] trains and selects; `event` is what it tells.

mod advance;
mod event;
pub mod search;
mod spec;
pub mod study;

use std::path::PathBuf;

pub use event::{Event, OnEvent};
pub use search::{Request, Search, run};
pub use spec::{Method, Range, Space, Spec};
pub use study::{Study, Trial};

use crate::artefact::ArtefactError;
use crate::config::ConfigError;
use crate::device::DeviceError;
use crate::lock::LockError;
use crate::run::RunError;
use crate::train::checkpoint::CheckpointError;
use crate::train::inputs::InputsError;
use crate::train::{SystemError, TrainError};

/// Why a study can't continue.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: {reason}")]
    Spec { path: PathBuf, reason: String },
    #[error("{dir} holds a trial of another configuration")]
    OtherTrial { dir: PathBuf },
    /// The search has no lock on its folder, so that another one may be writing there.
    #[error("the study in {dir} was opened to look only: nothing can be trained or judged")]
    Dry { dir: PathBuf },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Run(#[from] RunError),
}

macro_rules! run_errors {
    ($($error:ty),+) => {$(
        impl From<$error> for TuneError {
            fn from(e: $error) -> Self {
                Self::Run(e.into())
            }
        }
    )+};
}

run_errors!(CheckpointError, DeviceError, InputsError, LockError, SystemError, TrainError);

impl TuneError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => Some("give the path of a study, e.g. configs/tune/quickstart.toml".into()),
            Self::Spec { .. } => {
                Some("see configs/tune/quickstart.toml for an example of every setting".into())
            }
            Self::OtherTrial { .. } => {
                Some("base, set, seed or space have changed: give the study another dir".into())
            }
            Self::Dry { .. } => Some("open it without `dry`".into()),
            Self::Config(e) => e.hint(),
            Self::Artefact(e) => e.hint(),
            // Its trials are gone on with as they were begun: there is no option to take other inputs by.
            Self::Run(RunError::Inputs(InputsError::Changed { .. })) => {
                Some("put back what the trial was trained on; the search then goes on where it stands".into())
            }
            Self::Run(e) => e.hint(),
        }
    }
}

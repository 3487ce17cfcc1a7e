//! Failures as the user sees them: what went wrong, where, a hint, and an exit status.

use std::process::ExitCode;

use codistill::ablate::StudyError;
use codistill::artefact::ArtefactError;
use codistill::compare::CompareError;
use codistill::config::ConfigError;
use codistill::data::{ChoiceError, DataError};
use codistill::device::DeviceError;
use codistill::encode::EncodeError;
use codistill::eval::{RowsError, ScoreError};
use codistill::export::ExportError;
use codistill::features::FeatureError;
use codistill::judge::JudgeError;
use codistill::lock::LockError;
use codistill::probe::ProbeError;
use codistill::run::{RunError, SuccessorError};
use codistill::synth::SynthError;
use codistill::train::checkpoint::CheckpointError;
use codistill::train::inputs::InputsError;
use codistill::train::{SystemError, TrainError};
use codistill::tune::TuneError;

/// Exit status of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// The user can mend it.
    User = 1,
    /// A defect of this program.
    Ours = 2,
    /// The training diverged.
    Diverged = 3,
    /// Interrupted; `--resume` goes on.
    Interrupted = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not reach its end.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    pub hint: Option<String>,
}

impl Failure {
    /// Something the user can mend.
    pub fn user(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::User, message: message.into(), hint: Some(hint.into()) }
    }

    /// An I/O failure on a file that the command itself reads or writes.
    pub fn io(path: &std::path::Path, e: &std::io::Error) -> Self {
        Self { exit: Exit::User, message: format!("{}: {e}", path.display()), hint: None }
    }
}

macro_rules! failures {
    ($($error:ty),+) => {$(
        impl From<$error> for Failure {
            fn from(e: $error) -> Self {
                let hint = e.hint();
                Self { exit: Exit::User, message: e.to_string(), hint }
            }
        }
    )+};
}

failures!(
    ArtefactError,
    ChoiceError,
    ConfigError,
    DataError,
    DeviceError,
    FeatureError,
    StudyError,
    SynthError,
    CheckpointError,
    CompareError,
    ExportError,
    InputsError,
    JudgeError,
    LockError,
    ProbeError,
    SystemError,
    TuneError
);

impl From<ScoreError> for Failure {
    fn from(e: ScoreError) -> Self {
        Self { exit: Exit::User, message: e.to_string(), hint: e.hint() }
    }
}

impl From<RowsError> for Failure {
    fn from(e: RowsError) -> Self {
        Self { exit: Exit::User, message: e.to_string(), hint: e.hint() }
    }
}

impl From<EncodeError> for Failure {
    fn from(e: EncodeError) -> Self {
        let exit = if matches!(e, EncodeError::Interrupted { .. }) { Exit::Interrupted } else { Exit::User };
        Self { exit, message: e.to_string(), hint: e.hint() }
    }
}

impl From<RunError> for Failure {
    fn from(e: RunError) -> Self {
        match e {
            RunError::Train(e) => e.into(),
            RunError::Successor(e) => e.into(),
            e => Self { exit: Exit::User, message: e.to_string(), hint: e.hint() },
        }
    }
}

impl From<SuccessorError> for Failure {
    fn from(e: SuccessorError) -> Self {
        match e {
            SuccessorError::Train(e) => (*e).into(),
            e => Self { exit: Exit::User, message: e.to_string(), hint: e.hint() },
        }
    }
}

impl From<TrainError> for Failure {
    fn from(e: TrainError) -> Self {
        let exit = if matches!(e, TrainError::Diverged { .. }) { Exit::Diverged } else { Exit::User };
        Self { exit, message: e.to_string(), hint: e.hint() }
    }
}

/// Runs a command; a panic is a defect of this program, told with its status.
pub fn guarded(run: impl FnOnce() -> Result<Exit, Failure>) -> Result<Exit, Failure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Failure {
            exit: Exit::Ours,
            message: "codistill met a defect of its own".into(),
            hint: Some("please report the lines above; checkpoints of the run are whole".into()),
        })
    })
}

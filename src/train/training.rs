//! A training as those see it who start and watch it: how it can be driven, what it reports, how it ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::checkpoint::{Checkpoint, CheckpointError, RunState};
use super::losses::LossValues;
use super::setup::SystemError;
use super::stages::PatternError;
use super::system::BatchSize;
use crate::data::Part;
use crate::eval::{Evaluation, HiddenTargets, ScoreError};
use crate::params::{ParamsError, Values};

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// `patience` evaluations brought nothing better.
    StoppedEarly,
    /// Asked to stop; the state is saved.
    Interrupted,
}

/// One optimiser step, as it is watched.
#[derive(Clone, Debug)]
pub struct StepReport {
    pub epoch: usize,
    /// Optimiser steps done, this one included, and in the whole run.
    pub step: u64,
    pub total_steps: u64,
    /// Of the step's last micro-batch.
    pub losses: LossValues,
    /// Before clipping.
    pub grad_norm: f64,
    pub lr: f64,
    /// Sums over the step's micro-batches.
    pub size: BatchSize,
    pub seconds: f64,
    /// Seconds of it spent waiting for batches.
    pub waited: f64,
}

/// Told what happens; must not fail.
pub trait Observer {
    fn step(&mut self, report: &StepReport);
    /// Mean training loss of a finished epoch.
    fn epoch(&mut self, epoch: usize, step: u64, mean_loss: f64);
    fn evaluated(&mut self, epoch: usize, step: u64, evaluation: &Evaluation, is_best: bool);
    fn saved(&mut self, step: u64, path: &Path);
    /// A further stage begins with `epoch`.
    fn stage(&mut self, _name: &str, _epoch: usize) {}
}

/// A training whose system is chosen at run time.
pub trait Training {
    /// Goes on from `checkpoint`, which lies at `path`; the system was opened for it ([`super::inputs::open`]).
    ///
    /// # Errors
    /// Its weights don't fit the configuration, or another run teaches than before and changed inputs are not accepted.
    fn resume(&mut self, path: &Path, checkpoint: &Checkpoint) -> Result<(), TrainError>;

    /// Starts from the weights `params` of another run's checkpoint with the content hash `hash`, in place of random ones;
    /// the optimiser knows nothing yet.
    ///
    /// # Errors
    /// They don't fit the model.
    fn warm_start(&mut self, params: BTreeMap<String, Values>, hash: &str) -> Result<(), TrainError>;

    /// Takes the parameters `fitted`, which no step changes, in place of those that a validation would fit.
    ///
    /// # Errors
    /// The model has no such parameters.
    fn take_fitted(&mut self, fitted: BTreeMap<String, Values>) -> Result<(), TrainError>;

    fn state(&self) -> &RunState;

    /// Optimiser steps of the whole run.
    fn total_steps(&self) -> u64;

    /// Entries of all parameters.
    fn parameters(&self) -> usize;

    /// Optimiser steps of one epoch.
    fn epoch_steps(&self) -> u64;

    /// Trains to the end, or until `stop` is set: then the step is finished, at an epoch's end also its
    /// validation, and the state saved. Checkpoints go to the folder `checkpoints`.
    ///
    /// # Errors
    /// [`super::trainer::check_targets`] of a fresh run, divergence, or a checkpoint that can't be written; earlier checkpoints stay.
    fn run(
        &mut self,
        checkpoints: &Path,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Outcome, TrainError>;

    /// Runs at most `steps` optimiser steps without saving, and measures the first batch: the dry run.
    ///
    /// # Errors
    /// Divergence.
    fn rehearse(&mut self, steps: usize, observer: &mut dyn Observer) -> Result<Rehearsal, TrainError>;

    /// Metrics of the model as it stands.
    ///
    /// # Errors
    /// The scorer failed, or `part` has no targets.
    fn evaluate(&self, part: Part) -> Result<Evaluation, ScoreError>;
}

/// What a rehearsal found.
#[derive(Clone, Copy, Debug)]
pub struct Rehearsal {
    /// Of the first micro-batch.
    pub size: BatchSize,
    /// Bytes, estimated.
    pub memory: u64,
}

/// Why a training ended without reaching its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("the loss is {loss} and the gradient norm {grad_norm} at step {step} (epoch {epoch})")]
    Diverged { loss: f64, grad_norm: f64, step: u64, epoch: usize },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("the weights to start from don't fit: {0}")]
    Start(#[from] ParamsError),
    #[error(transparent)]
    Score(#[from] ScoreError),
    #[error("{hidden}: {metric} would be 0 after every epoch, and can choose no checkpoint")]
    NothingToHit { hidden: HiddenTargets, metric: String },
    #[error("`{metric}` is not measured; there is {}", known.join(", "))]
    UnknownMetric { metric: String, known: Vec<String> },
}

impl TrainError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Diverged { .. } => Some(
                "lower optim.lr, add optim.warmup_steps, or resume the last checkpoint with another seed"
                    .into(),
            ),
            Self::Checkpoint(e) => e.hint(),
            Self::System(e) => e.hint(),
            Self::Pattern(e) => e.hint(),
            Self::Start(_) => {
                Some("a run goes on with the model that it has: leave out --set model.…".into())
            }
            Self::Score(_) => None,
            Self::NothingToHit { .. } => {
                Some("--set eval.history=keep, or prepare without repeated items (--duplicates first)".into())
            }
            Self::UnknownMetric { .. } => Some("set train.metric to one of them".into()),
        }
    }
}

//! The training loop: epochs, optimiser steps, validation, checkpoints, early stopping.
//!
//! What a run does after a checkpoint is a function of that checkpoint alone: the order of windows and the
//! noise are keyed by (seed, epoch, batch), so that a killed run goes on to the same bits.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;

use super::checkpoint::{self, Checkpoint, CheckpointError, RunState};
use super::experiment::Experiment;
use super::optim::{AdamW, learning_rate};
use super::prefetch::Prefetch;
use super::step::{Dropout, LossValues, Step};
use super::update::{Rates, Update, update};
use crate::artefact;
use crate::config::IdTable;
use crate::data::Part;
use crate::eval::{Evaluation, HiddenTargets, ScoreError};
use crate::model::Recommender;
use crate::objective::Objective;

/// Why a training ended without reaching its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("the loss is {loss} and the gradient norm {grad_norm} at step {step} (epoch {epoch})")]
    Diverged { loss: f64, grad_norm: f64, step: u64, epoch: usize },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
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
            Self::Score(_) => None,
            Self::NothingToHit { .. } => {
                Some("--set eval.history=keep, or prepare without repeated items (--duplicates first)".into())
            }
            Self::UnknownMetric { .. } => Some("set train.metric to one of them".into()),
        }
    }
}

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
    /// Encoded items, real positions and windows of the step.
    pub items: usize,
    pub positions: usize,
    pub windows: usize,
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
}

/// A run: an experiment, its directory, and where it stands.
pub struct Trainer<'a> {
    experiment: &'a Experiment,
    /// Folder of the `step-*` checkpoints.
    checkpoints: PathBuf,
    model: Recommender,
    optimizer: AdamW,
    state: RunState,
    runner: Step,
}

/// Fails where no validation target can be hit: figures that are 0 by construction would choose the first checkpoint and
/// stop the training.
///
/// # Errors
/// [`TrainError::NothingToHit`].
pub fn check_targets(experiment: &Experiment) -> Result<(), TrainError> {
    let hidden = experiment.hidden_targets(Part::Valid);
    if !hidden.are_all() {
        return Ok(());
    }
    Err(TrainError::NothingToHit { hidden, metric: experiment.config.train.metric.clone() })
}

impl<'a> Trainer<'a> {
    /// A fresh run whose checkpoints go to `checkpoints`.
    pub fn new(experiment: &'a Experiment, checkpoints: &Path) -> Self {
        let config = &experiment.config;
        let names: Vec<String> = config.model.branches.iter().map(|b| b.name.clone()).collect();
        let objective = Objective::new(&config.objective, &names, experiment.sampler.drawable());
        let device = experiment.device.clone().autodiff();
        Self {
            experiment,
            checkpoints: checkpoints.to_owned(),
            model: experiment.new_model(),
            optimizer: AdamW::new(&config.optim),
            state: RunState { epoch: 1, ..RunState::default() },
            runner: Step::new(
                objective,
                &device,
                Dropout { elements: config.model.dropout, items: config.model.item_dropout },
                config.train.savings.length_groups,
            )
            .with_row_sparse(config.optim.id_table == IdTable::RowSparse),
        }
    }

    /// Goes on from `checkpoint`, which lies at `path`; the experiment was opened for it
    /// ([`super::inputs::open`]).
    ///
    /// # Errors
    /// Its weights don't fit the configuration.
    pub fn resume(&mut self, path: &Path, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        self.model = checkpoint.restore(path, self.model.clone())?;
        self.optimizer.state = checkpoint.moments(&self.experiment.device);
        self.state = checkpoint.state.clone();
        // More epochs or more patience than before let a finished run go on.
        let patience = self.experiment.config.train.patience;
        self.state.finished = patience > 0 && self.state.stale >= patience;
        artefact::sweep(&self.checkpoints);
        Ok(())
    }

    pub fn state(&self) -> &RunState {
        &self.state
    }

    pub fn model(&self) -> &Recommender {
        &self.model
    }

    /// Optimiser steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        let train = &self.experiment.config.train;
        (train.epochs * self.experiment.sampler.batches().div_ceil(train.accumulate)) as u64
    }

    /// Trains to the end, or until `stop` is set: then the step is finished, at an epoch's end also its
    /// validation, and the state saved.
    ///
    /// # Errors
    /// [`check_targets`] of a fresh run, divergence, or a checkpoint that can't be written; earlier checkpoints stay.
    pub fn run(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome, TrainError> {
        if self.state.step == 0 {
            check_targets(self.experiment)?;
        }
        let train = self.experiment.config.train.clone();
        while !self.state.finished && self.state.epoch <= train.epochs {
            if !self.epoch(observer, stop)? {
                self.save(observer)?;
                return Ok(Outcome::Interrupted);
            }
            let epoch = self.state.epoch;
            if epoch.is_multiple_of(train.eval_every.max(1)) || epoch == train.epochs {
                self.validate(epoch, observer)?;
            }
            self.state.epoch += 1;
            self.state.batch = 0;
            self.state.loss_sum = 0.0;
            let stale = train.patience > 0 && self.state.stale >= train.patience;
            self.state.finished = stale || epoch == train.epochs;
            self.save(observer)?;
            if !self.state.finished && stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Interrupted);
            }
        }
        let early = self.state.epoch <= train.epochs;
        Ok(if early { Outcome::StoppedEarly } else { Outcome::Finished })
    }

    /// Runs at most `steps` optimiser steps without saving: the dry run.
    ///
    /// # Errors
    /// Divergence.
    pub fn try_steps(&mut self, steps: usize, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let order = self.experiment.sampler.order(1);
        for index in 0..steps.min(self.experiment.sampler.batches()) {
            let start = Instant::now();
            let batch = self.experiment.sampler.batch(&order, 1, index);
            let waited = start.elapsed();
            self.optimizer_step(&[batch], start, waited, observer)?;
        }
        Ok(())
    }

    /// The rest of the current epoch; false if it was stopped.
    fn epoch(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<bool, TrainError> {
        let experiment = self.experiment;
        let train = &experiment.config.train;
        let (epoch, from) = (self.state.epoch, self.state.batch);
        let whole = std::thread::scope(|scope| {
            let mut batches = Prefetch::start(scope, &experiment.sampler, epoch, from, train.prefetch);
            loop {
                let start = Instant::now();
                let before = batches.waited;
                let group: Vec<_> = batches.by_ref().take(train.accumulate).collect();
                if group.is_empty() {
                    return Ok(true);
                }
                let waited = batches.waited.checked_sub(before).unwrap_or_default();
                self.optimizer_step(&group, start, waited, observer)?;
                self.state.batch += group.len();
                let more = self.state.batch < experiment.sampler.batches();
                if more && stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                let due = train.checkpoint_steps as u64;
                if more && due > 0 && self.state.step.is_multiple_of(due) {
                    self.save(observer)?;
                }
            }
        });
        if matches!(whole, Ok(true)) {
            let batches = experiment.sampler.batches().max(1);
            observer.epoch(epoch, self.state.step, self.state.loss_sum / batches as f64);
        }
        whole
    }

    /// Gradients of the micro-batches, averaged and clipped; one update.
    fn optimizer_step(
        &mut self,
        batches: &[super::Batch],
        start: Instant,
        waited: Duration,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let config = &self.experiment.config.optim;
        if batches.is_empty() {
            return Ok(());
        }
        let lr = learning_rate(config, self.state.step, self.total_steps());
        let rates = Rates { lr, clip_norm: config.clip_norm };
        let found =
            update(&self.runner, &mut self.optimizer, &mut self.model, batches, self.state.epoch, rates);
        let finite = found.is_finite();
        let Update { mut losses, grad_norm, .. } = found;
        self.state.loss_sum += losses.iter().map(|losses| losses.total).sum::<f64>();
        let Some(losses) = losses.pop() else { return Ok(()) };
        if !finite {
            let (step, epoch) = (self.state.step, self.state.epoch);
            return Err(TrainError::Diverged { loss: losses.total, grad_norm, step, epoch });
        }
        self.state.step += 1;
        observer.step(&StepReport {
            epoch: self.state.epoch,
            step: self.state.step,
            total_steps: self.total_steps(),
            losses,
            grad_norm,
            lr,
            items: batches.iter().map(|b| b.block.items.len()).sum(),
            positions: batches.iter().map(|b| b.rows.len()).sum(),
            windows: batches.iter().map(|b| b.users).sum(),
            seconds: start.elapsed().as_secs_f64(),
            waited: waited.as_secs_f64(),
        });
        Ok(())
    }

    fn validate(&mut self, epoch: usize, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let evaluation = self.experiment.evaluate_model(&self.model.valid(), Part::Valid)?;
        let metrics = evaluation.metrics();
        let wanted = &self.experiment.config.train.metric;
        let value = *metrics.get(wanted).ok_or_else(|| TrainError::UnknownMetric {
            metric: wanted.clone(),
            known: metrics.keys().cloned().collect(),
        })?;
        let is_best = self.state.best.is_none_or(|(best, _)| value > best);
        if is_best {
            self.state.best = Some((value, self.state.step));
        }
        self.state.stale = if is_best { 0 } else { self.state.stale + 1 };
        self.state.metrics = metrics;
        observer.evaluated(epoch, self.state.step, &evaluation, is_best);
        Ok(())
    }

    /// Saves, then drops checkpoints beyond the newest `keep` that are not the best one.
    fn save(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Experiment { config, parents, .. } = self.experiment;
        let named = self.experiment.named_config();
        let path =
            checkpoint::save(&self.checkpoints, &named, parents, &self.state, &self.model, &self.optimizer)?;
        observer.saved(self.state.step, &path);
        let best = self.state.best.map(|(_, step)| step);
        let all = checkpoint::list(&self.checkpoints);
        let surplus = all.len().saturating_sub(config.train.keep.max(1));
        for (_, old) in all[..surplus].iter().filter(|(step, _)| Some(*step) != best) {
            // An old checkpoint that can't be removed costs disk, not correctness.
            let _ = artefact::remove(old);
        }
        Ok(())
    }
}

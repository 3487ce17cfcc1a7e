//! The training loop: epochs, optimiser steps, validation, checkpoints, early stopping.
//!
//! The loop knows a system by its trait alone. What a run does after a checkpoint is a function of that checkpoint: the
//! order of samples and the noise are keyed by (seed, epoch, batch), so that a killed run goes on to the same bits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;

use super::changes::short;
use super::checkpoint::{self, Checkpoint, Parents, RunState};
use super::optim::{AdamW, learning_rate};
use super::prefetch::Prefetch;
use super::setup::{Setup, SystemError};
use super::stages::Stage;
use super::system::{Phase, Place, System};
pub use super::training::{Observer, Outcome, Rehearsal, StepReport, TrainError, Training};
use super::update::{Rates, Update, update};
use crate::artefact;
use crate::config::PatienceOf;
use crate::data::Part;
use crate::eval::{Evaluation, ScoreError};
use crate::params::{self, Values};

/// For programs: the commands have looked before.
const WAY_TO_TEACHERS: &str = "open the inputs of the checkpoint (`train::inputs::open`) for a training that goes on \
    (`Asked::trains`): they find the run that taught, or accept another";

/// A training of one system: its directory, and where it stands.
pub struct Trainer<'a, S: System> {
    system: &'a S,
    /// Folder of the `step-*` checkpoints, which [`Training::run`] is given.
    checkpoints: PathBuf,
    /// Absent while a step has taken it to write to it in place.
    model: Option<S::Model>,
    optimizer: AdamW,
    stages: Vec<Stage>,
    state: RunState,
    /// Hash of the checkpoint whose weights the training started from; none where they were random.
    start: Option<String>,
    /// Whether it was given what a validation would fit.
    has_fitted: bool,
}

/// Fails where no validation target can be hit: figures that are 0 by construction would choose the first checkpoint and
/// stop the training.
///
/// # Errors
/// [`TrainError::NothingToHit`].
pub fn check_targets(setup: &Setup) -> Result<(), TrainError> {
    let hidden = setup.hidden_targets(Part::Valid);
    if !hidden.are_all() {
        return Ok(());
    }
    Err(TrainError::NothingToHit { hidden, metric: setup.config.train.metric.clone() })
}

impl<'a, S: System> Trainer<'a, S> {
    /// A fresh training. Nothing is written before it runs.
    ///
    /// # Errors
    /// There is nothing to train on, a teacher can't be opened, or a pattern of the configuration matches no parameter.
    pub fn new(system: &'a S) -> Result<Self, TrainError> {
        system.check_samples()?;
        system.open_teachers()?;
        Self::ended(system)
    }

    /// A training that is to be resumed though nothing is left of it ([`RunState::is_done`]). It opens no teachers, and takes
    /// no step.
    ///
    /// # Errors
    /// A pattern of the configuration matches no parameter.
    pub fn ended(system: &'a S) -> Result<Self, TrainError> {
        let config = &system.setup().config;
        let model = system.new_model();
        let mut names = Vec::new();
        params::for_each(&model, &mut |name, _, _| names.push(name));
        Ok(Self {
            system,
            checkpoints: PathBuf::new(),
            optimizer: AdamW::grouped(&config.optim, &names)?,
            stages: Stage::all(&config.train, &names, &system.terms())?,
            model: Some(model),
            state: RunState { epoch: 1, ..RunState::default() },
            start: None,
            has_fitted: false,
        })
    }

    /// The model as it stands.
    ///
    /// # Panics
    /// An earlier step panicked and took the model along.
    pub fn model(&self) -> &S::Model {
        self.model.as_ref().expect("a step that ends puts the model back")
    }

    /// What a student learns is a function of its teachers too.
    fn check_teachers(&self, checkpoint: &Checkpoint) -> Result<(), SystemError> {
        if self.system.setup().accepts_changed {
            return Ok(());
        }
        for teacher in self.system.teachers() {
            let then = checkpoint.parents.teachers.get(&teacher.name);
            let Some(then) = then.filter(|then| **then != teacher.hash) else { continue };
            let (run, then, now) = (teacher.run.display(), short(then), short(&teacher.hash));
            return Err(SystemError::Teacher {
                key: "objective.distill.teachers".into(),
                reason: format!("has `{}`, {run}: {then} at the training, {now} now", teacher.name),
                hint: WAY_TO_TEACHERS.into(),
            });
        }
        Ok(())
    }

    /// A configuration that names runs to take weights from describes no training from random ones.
    fn check_start(&self) -> Result<(), SystemError> {
        let train = &self.system.setup().config.train;
        let key = if self.start.is_none() && train.parent.is_some() {
            "train.parent"
        } else if !self.has_fitted && train.fitted_by.is_some() {
            "train.fitted_by"
        } else {
            return Ok(());
        };
        Err(SystemError::Settings {
            key: key.into(),
            reason: "names a run, and the training was not given its weights".into(),
            hint: Some("`codistill train` and `run::train` do that; elsewhere remove the key".into()),
        })
    }

    fn stage(&self) -> &Stage {
        &self.stages[self.state.stage.min(self.stages.len() - 1)]
    }

    /// Optimiser steps of so many epochs.
    fn steps(&self, epochs: usize) -> u64 {
        (epochs * self.system.batches().div_ceil(self.system.setup().config.train.accumulate)) as u64
    }

    /// Trains the epochs of the current stage; an outcome if the training ends with it.
    fn train_stage(
        &mut self,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<Outcome>, TrainError> {
        let train = self.system.setup().config.train.clone();
        let (stage, last_epoch) = (self.state.stage, self.last_epoch());
        let is_last = stage + 1 >= self.stages.len();
        let mut stale = false;
        while !stale && self.state.epoch <= last_epoch {
            if !self.epoch(observer, stop)? {
                self.save(observer)?;
                return Ok(Some(Outcome::Interrupted));
            }
            let epoch = self.state.epoch;
            let is_due = epoch.is_multiple_of(train.eval_every.max(1)) || epoch == last_epoch;
            if is_due && self.system.setup().config.data.train_parts.validates() {
                self.validate(epoch, observer)?;
            }
            self.state.epoch += 1;
            self.state.batch = 0;
            self.state.loss_sum = 0.0;
            stale = train.patience > 0 && self.state.stale >= train.patience;
            let stage_ends = stale || epoch == last_epoch;
            self.state.finished = stage_ends && is_last;
            if stage_ends && !is_last {
                self.next_stage(observer);
            }
            self.save(observer)?;
            if !self.state.finished && stop.load(Ordering::Relaxed) {
                return Ok(Some(Outcome::Interrupted));
            }
            if stage_ends {
                break;
            }
        }
        if !is_last && self.state.stage == stage {
            self.next_stage(observer);
        }
        Ok(is_last.then(|| self.outcome()))
    }

    /// How a training ended that has reached its end.
    fn outcome(&self) -> Outcome {
        if self.state.epoch <= self.last_epoch() { Outcome::StoppedEarly } else { Outcome::Finished }
    }

    /// Of the current stage.
    fn last_epoch(&self) -> usize {
        self.state.earlier_epochs + self.stage().trained
    }

    /// A stage is judged by what it reaches itself, and its schedule begins anew.
    fn next_stage(&mut self, observer: &mut dyn Observer) {
        self.state.stage += 1;
        self.state.earlier_epochs = self.state.epoch - 1;
        self.state.earlier_steps = self.state.step;
        self.state.best = None;
        self.state.stale = 0;
        observer.stage(&self.stage().name, self.state.epoch);
    }

    /// The rest of the current epoch; false if it was stopped.
    fn epoch(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<bool, TrainError> {
        let system = self.system;
        let train = &system.setup().config.train;
        let first = Place { epoch: self.state.epoch, index: self.state.batch };
        let whole = std::thread::scope(|scope| {
            let mut batches = Prefetch::start(scope, system, first, train.prefetch);
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
                let more = self.state.batch < system.batches();
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
            let batches = system.batches().max(1);
            observer.epoch(first.epoch, self.state.step, self.state.loss_sum / batches as f64);
        }
        whole
    }

    /// Gradients of the micro-batches, averaged and clipped; one update.
    fn optimizer_step(
        &mut self,
        batches: &[S::Batch],
        start: Instant,
        waited: Duration,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let config = &self.system.setup().config.optim;
        let Some(model) = self.model.take().filter(|_| !batches.is_empty()) else { return Ok(()) };
        let lr = self.learning_rate();
        let stage = &self.stages[self.state.stage.min(self.stages.len() - 1)];
        let phase = Phase { epoch: self.state.epoch, terms: stage.terms.as_deref() };
        let rates = Rates { lr, clip_norm: config.clip_norm, frozen: &stage.frozen };
        let (model, found) = update(self.system, &mut self.optimizer, model, batches, phase, rates);
        self.model = Some(model);
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
            size: batches.iter().map(|batch| self.system.size(batch)).sum(),
            seconds: start.elapsed().as_secs_f64(),
            waited: waited.as_secs_f64(),
        });
        Ok(())
    }

    /// Of the next step: each stage has a schedule of its own.
    fn learning_rate(&self) -> f64 {
        let (stage, config) = (self.stage(), &self.system.setup().config.optim);
        let peak = stage.lr.unwrap_or(config.lr);
        learning_rate(config, peak, self.state.step - self.state.earlier_steps, self.steps(stage.epochs))
    }

    fn validate(&mut self, epoch: usize, observer: &mut dyn Observer) -> Result<(), TrainError> {
        if let Some(model) = self.model.take() {
            self.model = Some(self.system.fitted(model)?);
        }
        let evaluation = self.evaluate(Part::Valid)?;
        let metrics = evaluation.metrics();
        let wanted = &self.system.setup().config.train.metric;
        let value = *metrics.get(wanted).ok_or_else(|| TrainError::UnknownMetric {
            metric: wanted.clone(),
            known: metrics.keys().cloned().collect(),
        })?;
        let is_best = self.state.best.is_none_or(|(best, _)| value > best);
        if is_best {
            self.state.best = Some((value, self.state.step));
        }
        let some_branch_rises = self.some_branch_rises(&metrics);
        self.state.stale = if is_best || some_branch_rises { 0 } else { self.state.stale + 1 };
        self.state.metrics = metrics;
        observer.evaluated(epoch, self.state.step, &evaluation, is_best);
        Ok(())
    }

    /// Whether a figure besides the metric itself is better than ever before, of those that patience waits for.
    fn some_branch_rises(&mut self, metrics: &BTreeMap<String, f64>) -> bool {
        let train = &self.system.setup().config.train;
        let Some((_, figure)) =
            train.metric.split_once('/').filter(|_| train.patience_of == PatienceOf::Branches)
        else {
            return false;
        };
        let mut rises = false;
        let same = |name: &str| name.split_once('/').is_some_and(|(_, own)| own == figure);
        for (name, &value) in metrics.iter().filter(|(name, _)| same(name)) {
            let best = self.state.foremost.entry(name.clone()).or_insert(f64::NEG_INFINITY);
            if value > *best {
                *best = value;
                rises = true;
            }
        }
        rises
    }

    /// Saves, then drops checkpoints beyond the newest `keep` that are not the best one.
    fn save(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let setup = self.system.setup();
        let (named, start) = (setup.named_config(), self.start.clone());
        let parents = Parents { start, ..self.system.parents() };
        let model = self.model();
        let path =
            checkpoint::save(&self.checkpoints, &named, &parents, &self.state, model, &self.optimizer)?;
        observer.saved(self.state.step, &path);
        let best = self.state.best.map(|(_, step)| step);
        let all = checkpoint::list(&self.checkpoints);
        let surplus = all.len().saturating_sub(setup.config.train.keep.max(1));
        for (_, old) in all[..surplus].iter().filter(|(step, _)| Some(*step) != best) {
            // An old checkpoint that can't be removed costs disk, not correctness.
            let _ = artefact::remove(old);
        }
        Ok(())
    }
}

impl<S: System> Training for Trainer<'_, S> {
    fn resume(&mut self, path: &Path, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        self.check_teachers(checkpoint)?;
        self.model = Some(checkpoint.restore(path, self.model().clone())?);
        self.optimizer.state = checkpoint.moments(&self.system.setup().device);
        self.state = checkpoint.state.clone();
        self.start.clone_from(&checkpoint.parents.start);
        // More epochs or more patience than before let a finished run go on.
        let patience = self.system.setup().config.train.patience;
        self.state.finished = patience > 0 && self.state.stale >= patience;
        Ok(())
    }

    fn warm_start(&mut self, params: BTreeMap<String, Values>, hash: &str) -> Result<(), TrainError> {
        self.model = Some(params::write(self.model().clone(), params)?);
        self.start = Some(hash.to_owned());
        Ok(())
    }

    fn take_fitted(&mut self, fitted: BTreeMap<String, Values>) -> Result<(), TrainError> {
        let mut all = params::read(self.model());
        all.extend(fitted);
        self.model = Some(params::write(self.model().clone(), all)?);
        self.has_fitted = true;
        Ok(())
    }

    fn state(&self) -> &RunState {
        &self.state
    }

    fn total_steps(&self) -> u64 {
        let left = self.stages.iter().skip(self.state.stage).map(|stage| stage.trained).sum();
        self.state.earlier_steps + self.steps(left)
    }

    fn parameters(&self) -> usize {
        self.model().num_params()
    }

    fn epoch_steps(&self) -> u64 {
        self.steps(1)
    }

    fn run(
        &mut self,
        checkpoints: &Path,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Outcome, TrainError> {
        checkpoints.clone_into(&mut self.checkpoints);
        artefact::sweep(checkpoints);
        if self.state.step == 0 {
            check_targets(self.system.setup())?;
            self.check_start()?;
        }
        if self.state.finished {
            return Ok(self.outcome());
        }
        loop {
            if let Some(outcome) = self.train_stage(observer, stop)? {
                return Ok(outcome);
            }
        }
    }

    fn rehearse(&mut self, steps: usize, observer: &mut dyn Observer) -> Result<Rehearsal, TrainError> {
        let order = self.system.order(1);
        let mut found = None;
        for index in 0..steps.min(self.system.batches()) {
            let start = Instant::now();
            let batch = self.system.batch(&order, Place { epoch: 1, index });
            let waited = start.elapsed();
            found.get_or_insert_with(|| Rehearsal {
                size: self.system.size(&batch),
                memory: self.system.memory(&batch, self.model().num_params()),
            });
            self.optimizer_step(&[batch], start, waited, observer)?;
        }
        found.ok_or(TrainError::System(SystemError::NoSamples))
    }

    fn evaluate(&self, part: Part) -> Result<Evaluation, ScoreError> {
        self.system.evaluate(&self.model().valid(), part, None)
    }
}

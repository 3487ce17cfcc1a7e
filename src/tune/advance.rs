//! One trial from its last checkpoint to its next rung.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::event::{Event, OnEvent};
use super::{Study, TuneError};
use crate::artefact::io_error;
use crate::config::Config;
use crate::device;
use crate::eval::Evaluation;
use crate::lock::DirLock;
use crate::monitor::{FINAL_SCORE as SCORE, HValue, Monitor, Progress};
use crate::run::watch::Watch;
use crate::systems::{self, AnySystem};
use crate::train::checkpoint::{self, Checkpoint, RunState};
use crate::train::inputs::{self, Asked};
use crate::train::run_dir::RunDir;
use crate::train::trainer::{Observer, Outcome, StepReport, Training};
use crate::train::{Setup, SystemError, TrainError};

/// What a lock says of the process that holds it.
const COMMAND: &str = "tune";

/// What a trial's next epochs came to.
pub(super) enum Advance {
    Reached {
        /// The best validation metric so far.
        score: f64,
        /// Whether the trial is finished altogether.
        finished: bool,
    },
    Failed(String),
    Interrupted,
}

/// A trial that is to reach its next rung.
pub(super) struct Task<'a> {
    pub study: &'a Study,
    pub number: usize,
    /// Drawn values by key.
    pub values: &'a BTreeMap<String, String>,
    pub config: &'a Config,
    /// Epochs of the rung.
    pub until: usize,
    /// Epochs of a whole training.
    pub epochs: usize,
    /// Whether the trial says what its data lack: trials share them, and the first speaks for all.
    pub tells_data: bool,
}

impl Task<'_> {
    /// Trains up to the rung, unless `stop` is set before.
    ///
    /// # Errors
    /// A file can't be written, or an input is absent, damaged or changed. What its own values make of this trial is a result.
    pub fn advance(&self, stop: &AtomicBool, on_event: &mut OnEvent<'_>) -> Result<Advance, TuneError> {
        let run = RunDir::new(&self.study.trial_dir(self.number));
        std::fs::create_dir_all(&run.root).map_err(io_error(&run.root))?;
        let _lock = lock(&run.root, on_event)?;
        let begun = if checkpoint::list(&run.steps()).is_empty() { None } else { Some(run.latest()?) };
        let begun = begun.map(|(path, saved, _)| (path, saved));
        let system = match self.open(&run, begun.as_ref().map(|(_, saved)| saved), on_event)? {
            Ok(system) => system,
            Err(e) => return self.failed(e.into()),
        };
        if self.tells_data {
            report_data(system.as_ref(), on_event);
        }
        // Before the files are written: runs that teach are inputs, and a training opens them.
        let mut training = match system.training() {
            Ok(training) => training,
            Err(e) => return self.failed(e),
        };
        if !run.config().exists() {
            run.write(&run.origins(), "{}")?;
            system.inputs(&run.root)?.write(&run)?;
            run.write(&run.config(), &self.config.to_toml()?)?;
        }
        if let Some((path, saved)) = &begun {
            training.resume(path, saved)?;
        }
        let resumed = begun.map(|(_, saved)| saved.state.step);
        self.train(training.as_mut(), &run, resumed, stop, on_event)
    }

    /// The system of the trial; why it can't be opened where that is not due to a change of what a checkpoint was trained on.
    fn open(
        &self,
        run: &RunDir,
        begun: Option<&Checkpoint>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Result<Arc<dyn AnySystem>, SystemError>, TuneError> {
        let config = self.config.clone();
        let device = device::open(&config.device)?.device;
        let Some(saved) = begun else {
            return Ok(Setup::open(config, &device).and_then(systems::open));
        };
        let asked = Asked { trains: true, ..Asked::default() };
        let (setup, found) = inputs::open(&run.root, config, &saved.parents, &asked, &device)?;
        report_inputs(&found, on_event);
        Ok(Ok(systems::open(setup)?))
    }

    /// A failed trial is never trained again, so that it must be its values that are at fault: what all trials read may be
    /// there tomorrow.
    fn failed(&self, e: TrainError) -> Result<Advance, TuneError> {
        let varies_data = || self.values.keys().any(|key| key.starts_with("data."));
        let is_shared = match &e {
            TrainError::System(SystemError::NoWindows(_)) => !varies_data(),
            TrainError::System(SystemError::Unknown { .. }) => true,
            TrainError::System(e) => e.is_of_inputs(),
            _ => false,
        };
        if is_shared { Err(e.into()) } else { Ok(Advance::Failed(e.to_string())) }
    }

    fn train(
        &self,
        training: &mut dyn Training,
        run: &RunDir,
        resumed: Option<u64>,
        stop: &AtomicBool,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Advance, TuneError> {
        let (config, until) = (self.config, self.until);
        let monitor = Monitor::open(&run.root, &config.monitor, resumed, Progress::hidden());
        let past = training.state().epoch > until;
        let pause = AtomicBool::new(past);
        let mut watch = Rungs { watch: Watch::new(config, monitor), until, stop, pause: &pause };
        let outcome =
            if past { Ok(Outcome::Interrupted) } else { training.run(&run.steps(), &mut watch, &pause) };
        let state = training.state();
        let finished = match self.standing(outcome, state)? {
            Ok(finished) => finished,
            Err(advance) => return Ok(advance),
        };
        let Some((score, _)) = state.best else {
            let every = config.train.eval_every;
            return Ok(Advance::Failed(format!(
                "nothing was validated in {until} epochs: train.eval_every is {every}"
            )));
        };
        let monitor = &mut watch.watch.monitor;
        monitor.scalars(state.step, until as u64, &[(SCORE, score)]);
        monitor.hparams(state.step, until as u64, &self.hparams(), &[(SCORE.to_owned(), score)]);
        monitor.flush();
        monitor.warnings().into_iter().for_each(|warning| on_event(Event::Warning(warning)));
        Ok(Advance::Reached { score, finished })
    }

    /// Whether a trial that has reached its rung is finished altogether; else what became of it.
    fn standing(
        &self,
        outcome: Result<Outcome, TrainError>,
        state: &RunState,
    ) -> Result<Result<bool, Advance>, TuneError> {
        Ok(match outcome {
            Ok(Outcome::Finished | Outcome::StoppedEarly) => Ok(true),
            Ok(Outcome::Interrupted) if state.epoch > self.until => {
                Ok(state.finished || state.epoch > self.epochs)
            }
            Ok(Outcome::Interrupted) => Err(Advance::Interrupted),
            Err(e @ (TrainError::UnknownMetric { .. } | TrainError::NothingToHit { .. })) => {
                return Err(e.into());
            }
            Err(e) => Err(Advance::Failed(e.to_string())),
        })
    }

    fn hparams(&self) -> Vec<(String, HValue)> {
        let value = |text: &String| match (text.parse::<f64>(), text.as_str()) {
            (Ok(number), _) => HValue::Number(number),
            (_, "true" | "false") => HValue::Flag(text == "true"),
            _ => HValue::Text(text.trim_matches('"').to_owned()),
        };
        self.values.iter().map(|(key, text)| (key.clone(), value(text))).collect()
    }
}

/// Locks a directory; a file system without locks is warned of.
pub(super) fn lock(dir: &Path, on_event: &mut OnEvent<'_>) -> Result<DirLock, TuneError> {
    let lock = DirLock::take_within(dir, COMMAND, Duration::ZERO)?;
    if let Some(warning) = lock.warning() {
        on_event(Event::Warning(warning.to_string()));
    }
    Ok(lock)
}

fn report_data(system: &dyn AnySystem, on_event: &mut OnEvent<'_>) {
    let notices = systems::notices(system);
    notices.warnings.into_iter().for_each(|warning| on_event(Event::Warning(warning)));
    notices.notes.into_iter().for_each(|note| on_event(Event::Note(note)));
}

/// Tells what was accepted or can't be checked about the inputs of a run.
pub(super) fn report_inputs(found: &inputs::Found, on_event: &mut OnEvent<'_>) {
    found.warnings().into_iter().for_each(|warning| on_event(Event::Warning(warning)));
    found.notes().into_iter().for_each(|note| on_event(Event::Note(note)));
}

/// Watches a trial, and asks for a pause after the rung's epoch or when the user wants an end.
struct Rungs<'a> {
    watch: Watch,
    until: usize,
    stop: &'a AtomicBool,
    pause: &'a AtomicBool,
}

impl Observer for Rungs<'_> {
    fn step(&mut self, report: &StepReport) {
        self.watch.step(report);
        if self.stop.load(Ordering::SeqCst) {
            self.pause.store(true, Ordering::SeqCst);
        }
    }

    fn epoch(&mut self, epoch: usize, step: u64, mean_loss: f64) {
        self.watch.epoch(epoch, step, mean_loss);
        if epoch >= self.until {
            self.pause.store(true, Ordering::SeqCst);
        }
    }

    fn evaluated(&mut self, epoch: usize, step: u64, evaluation: &Evaluation, is_best: bool) {
        self.watch.evaluated(epoch, step, evaluation, is_best);
    }

    fn saved(&mut self, step: u64, path: &Path) {
        self.watch.saved(step, path);
    }
}

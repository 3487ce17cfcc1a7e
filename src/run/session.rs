//! A training with its run directory: watched, logged, and judged at its end.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::advice::advise;
use super::successor::start::start;
use super::watch::Watch;
use super::{RunError, hparams, show};
use crate::config::Config;
use crate::data::Part;
use crate::eval::{Evaluation, Report};
use crate::judge::{self, final_report};
use crate::lock::DirLock;
use crate::monitor::{FINAL_BEST, FINAL_TEST, Monitor, Progress};
use crate::systems::{self, AnySystem, CoDistill, Fitted};
use crate::train::checkpoint::RunState;
use crate::train::inputs::Start;
use crate::train::run_dir::{RunDir, Which};
use crate::train::system::Notices;
use crate::train::trainer::{Outcome, TrainError, check_targets};
use crate::train::{Setup, Training};

/// A training and the directory that its metrics, checkpoints and report go to.
pub struct Session<'a> {
    system: &'a dyn AnySystem,
    training: Box<dyn Training + 'a>,
    run: RunDir,
    watch: Watch,
}

/// A training that was judged.
pub struct Judged {
    pub report: Report,
    /// Where the checkpoint lies whose figures these are.
    pub path: PathBuf,
}

impl<'a> Session<'a> {
    /// Watches `training`, which goes on from step `resumed` where it was resumed.
    ///
    /// # Errors
    /// The configuration can't be written down.
    pub fn new(
        system: &'a dyn AnySystem,
        training: Box<dyn Training + 'a>,
        run: RunDir,
        resumed: Option<u64>,
        progress: Progress,
    ) -> Result<Self, RunError> {
        let config = &system.setup().config;
        let monitor = Monitor::open(&run.root, &config.monitor, resumed, progress);
        let mut watch = Watch::new(config, monitor);
        watch.monitor.text("config", &format!("```toml\n{}\n```", config.to_toml()?));
        Ok(Self { system, training, run, watch })
    }

    /// Trains to the end, or until `stop` is set.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn train(&mut self, stop: &AtomicBool) -> Result<Outcome, TrainError> {
        let outcome = self.training.run(&self.run.steps(), &mut self.watch, stop)?;
        self.watch.monitor.progress().finish();
        self.watch.monitor.flush();
        Ok(outcome)
    }

    pub fn state(&self) -> &RunState {
        self.training.state()
    }

    /// What the monitor could not write, since it was asked last. A progress line that is shown prints it as it arises, so
    /// that only what came after is left here.
    pub fn warnings(&mut self) -> Vec<String> {
        self.watch.monitor.warnings()
    }

    /// Test figures of the best checkpoint beside the baselines, kept in the run; hyper-parameters and item vectors for
    /// TensorBoard.
    ///
    /// # Errors
    /// The checkpoint can't be read or judged.
    pub fn judge(&mut self) -> Result<Judged, RunError> {
        let (path, best) = self.run.checkpoint(&Which::Best)?;
        let model = self.system.fitted(&path, &best)?;
        let report = final_report(model.as_ref(), Part::Test, Some(&self.run))?;
        self.log(&report)?;
        let state = self.training.state();
        if let Some(Fitted { system, model }) = model.as_any().downcast_ref::<Fitted<CoDistill>>() {
            show::show(system, model, state.step, state.epoch as u64, &mut self.watch.monitor);
        }
        self.watch.monitor.flush();
        Ok(Judged { report, path })
    }

    /// Final figures as scalars and as the figures of TensorBoard's HParams page.
    fn log(&mut self, report: &Report) -> Result<(), RunError> {
        let (config, state) = (&self.system.setup().config, self.training.state());
        let shown = hparams::figures(config, report, state.best.map(|(value, _)| value));
        let tested = report.evaluations.first().map(Evaluation::metrics).unwrap_or_default();
        let tested = tested.into_iter().map(|(name, value)| (format!("{FINAL_TEST}{name}"), value));
        let best = shown.iter().filter(|(tag, _)| tag.starts_with(FINAL_BEST)).cloned();
        let metrics: Vec<(String, f64)> = best.chain(tested).collect();
        let borrowed: Vec<(&str, f64)> = metrics.iter().map(|(tag, v)| (tag.as_str(), *v)).collect();
        let monitor = &mut self.watch.monitor;
        monitor.scalars(state.step, state.epoch as u64, &borrowed);
        monitor.hparams(state.step, state.epoch as u64, &hparams::settings(config)?, &shown);
        Ok(())
    }
}

/// A training that ended: at its last epoch, early, or because it was asked to stop.
pub struct Finished {
    /// The run directory: checkpoints, metrics, and the report with its rows.
    pub dir: RunDir,
    /// Why the training ended. After [`Outcome::Interrupted`] the state is saved, and the run can be resumed.
    pub outcome: Outcome,
    /// Figures of the best checkpoint on the test part; absent where the training was stopped.
    pub report: Option<Report>,
    /// What a user should act on, a line each: items that no window reads, targets that can't be hit, metrics that could not
    /// be written, a model that is not above a baseline. The command `train` prints the same, and one line more where
    /// `<run.dir>/<run.name>` was an older run, which here [`Self::dir`] tells.
    pub warnings: Vec<String>,
    /// What a user may want to know, a line each: events that no window reads, a split that lets training know the future.
    pub notes: Vec<String>,
}

/// Trains what `config` describes in a new run directory and judges the best checkpoint on the test part.
///
/// The run lies in `<run.dir>/<run.name>`, or in `<run.name>-2`, `-3`, … where that exists ([`Finished::dir`] says which);
/// `run.dir` is relative to the current directory. Where `data.synth` describes a data set instead of `data.path`, it is
/// generated in `<run.dir>/data`, once for each set of parameters. An existing run is never gone on with: that is
/// `codistill train --resume RUN`, or, in a program, [`RunDir::latest`], [`crate::train::inputs::open`],
/// [`systems::open`], [`Training::resume`] and a [`Session`]. Where finished runs teach, [`crate::train::inputs::Asked::trains`]
/// has to be set: they are then found by the hashes of the checkpoint, and [`Training::resume`] refuses others.
///
/// Setting `stop` from another thread ends the training after its step, with everything saved. Nothing is printed:
/// [`Finished::warnings`] and [`Finished::notes`] have what a user should know.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::path::Path;
/// use std::sync::atomic::AtomicBool;
///
/// # let home = tempfile::tempdir()?;
/// # let here = home.path().to_str().ok_or("a path of letters")?;
/// let text = std::fs::read_to_string("configs/quickstart.toml")?;
/// let sets = [
///     format!("run.dir={here}"), "device=cpu".into(), "data.synth.users=120".into(), "data.synth.items=80".into(),
///     "model.width=8".into(), "train.epochs=1".into(), "train.metric=ensemble/recall@10".into(),
/// ];
/// let config = codistill::config::parse(&text, Path::new("quickstart.toml"), &sets)?.config;
/// let finished = codistill::run::train(config, &AtomicBool::new(false))?;
/// finished.warnings.iter().for_each(|warning| eprintln!("{warning}"));
/// assert_eq!(finished.dir.root, home.path().join("quickstart"));
/// let report = finished.report.ok_or("it was stopped")?;
/// assert!(report.model().metrics()["ensemble/recall@10"] > 0.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// - [`RunError::Train`] with [`TrainError::Diverged`]: loss or gradient are no finite numbers. Run directory and earlier
///   checkpoints stay.
/// - [`RunError::Train`] with [`TrainError::System`]: a run of `objective.distill.teachers` is absent, unfinished or can't teach
///   this one. Nothing was written.
/// - [`RunError::Train`] otherwise: `train.metric` is not measured, no validation target can be hit, or a checkpoint can't be
///   written.
/// - [`RunError::Successor`]: the run of `train.parent` or `train.fitted_by` is absent, unfinished, or has nothing to start from. Nothing was written.
/// - [`RunError::System`]: data set or features are absent or damaged, or hold nothing to train on.
/// - [`RunError::Judge`]: items are held out (`data.cold`), and nothing can stand in for their ID vectors.
/// - [`RunError::Device`], [`RunError::Checkpoint`], [`RunError::Artefact`], [`RunError::Lock`]: there is no such device, or
///   a file can't be written.
pub fn train(mut config: Config, stop: &AtomicBool) -> Result<Finished, RunError> {
    super::data::generate(&mut config, &mut |_| {})?;
    let device = crate::device::open(&config.device)?;
    let system = systems::open(Setup::open(config, &device.device)?)?;
    system.verify_features()?;
    check_targets(system.setup())?;
    judge::check(system.as_ref())?;
    let mut training = system.training()?;
    let started = start(system.as_ref(), training.as_mut(), &Start::default())?;
    let config = &system.setup().config;
    let run = RunDir::create(&config.run.dir, &config.run.name, &config.to_toml()?, "{}")?;
    let lock = DirLock::take(&run.root, "train")?;
    system.inputs(&run.root)?.with_start(started.start.clone()).write(&run)?;
    system.keep(&run.root)?;
    let Notices { mut warnings, mut notes } = systems::notices(system.as_ref());
    warnings.extend(started.warnings());
    notes.extend(started.notes());
    warnings.extend(lock.warning().map(str::to_owned));
    let mut session = Session::new(system.as_ref(), training, run.clone(), None, Progress::hidden())?;
    let outcome = session.train(stop)?;
    let report = match outcome {
        Outcome::Interrupted => None,
        Outcome::Finished | Outcome::StoppedEarly => Some(session.judge()?.report),
    };
    warnings.append(&mut session.warnings());
    if let Some(report) = &report {
        let (setup, root) = (system.setup(), run.root.display().to_string());
        warnings.extend(advise(&setup.config, &setup.dataset, session.state(), report, &root));
        notes.extend(report.time_order.and_then(|order| order.warning()));
    }
    Ok(Finished { dir: run, outcome, report, warnings, notes })
}

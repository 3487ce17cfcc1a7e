//! A search from its study file to its best trial: opens the trials, trains them rung by rung, and judges the winner.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::study::{Rung, best, config_hash, next};
use super::{Spec, Study, Trial, TuneError};
use crate::artefact::{self, Makes, io_error, write_atomic};
use crate::config::{Config, ConfigError, SynthConfig, load};
use crate::data::Part;
use crate::device;
use crate::eval::{Evaluation, Report};
use crate::judge::final_report;
use crate::lock::DirLock;
use crate::monitor::{FINAL_SCORE as SCORE, HValue, Monitor, Progress};
use crate::run::watch::Watch;
use crate::run::{OpenOptions, Run, RunError, data};
use crate::systems::{self, AnySystem};
use crate::table::Table;
use crate::train::checkpoint::{self, Checkpoint, RunState};
use crate::train::inputs::{self, Asked};
use crate::train::run_dir::RunDir;
use crate::train::trainer::{Observer, Outcome, StepReport, Training};
use crate::train::{Setup, TrainError};

/// What happens in a search.
pub enum Event<'a> {
    /// The data set of the trials is about to be generated.
    Generating(&'a SynthConfig),
    Warning(String),
    Note(String),
    /// A trial reached its rung, or failed.
    Trained {
        trial: &'a Trial,
        until: usize,
    },
}

/// Is told of events; must not fail.
pub type OnEvent<'a> = dyn FnMut(Event<'_>) + 'a;

/// How a search is opened.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `auto`, `cpu` or `wgpu[:N]` in place of the configuration's.
    pub device: Option<String>,
    /// Nothing is written, and nothing can be trained.
    pub dry: bool,
}

/// A search and where its trials stand.
pub struct Search {
    spec: Spec,
    pub study: Study,
    /// By trial; a trial whose values are at odds with each other has a reason instead.
    configs: Vec<Result<Config, String>>,
    pub trials: Vec<Trial>,
    /// The validation metric that trials are selected by.
    pub metric: String,
    epochs: usize,
    /// None for a dry run, which changes nothing.
    _lock: Option<DirLock>,
}

/// What a lock says of the process that holds it.
const COMMAND: &str = "tune";

/// Trains all trials of the study in `file` that are left to train, and returns the search.
///
/// ```no_run
/// use codistill::tune::{self, Request};
///
/// let stop = std::sync::Arc::new(false.into());
/// let search = tune::run("configs/tune/quickstart.toml".as_ref(), &Request::default(), &stop, &mut |_| {})?;
/// if let Some(winner) = search.best() {
///     println!("{:?} reached {:?}", winner.values, winner.score());
/// }
/// # Ok::<(), tune::TuneError>(())
/// ```
///
/// # Errors
/// As [`Search::open`] and [`Search::train`].
pub fn run(
    file: &Path,
    request: &Request,
    stop: &Arc<AtomicBool>,
    on_event: &mut OnEvent<'_>,
) -> Result<Search, TuneError> {
    let mut search = Search::open(file, request, on_event)?;
    search.train(stop, on_event)?;
    Ok(search)
}

impl Search {
    /// Opens the study in `file` and locks its folder.
    ///
    /// # Errors
    /// The file is wrong, the folder is in use, or holds trials of other configurations.
    pub fn open(file: &Path, request: &Request, on_event: &mut OnEvent<'_>) -> Result<Self, TuneError> {
        let spec = Spec::load(file)?;
        let base = load(&spec.base, &spec.set)?.config;
        let dir = spec.dir.clone().unwrap_or_default();
        artefact::may_make(&dir, Makes::Study)?;
        let mut held = None;
        if !request.dry {
            std::fs::create_dir_all(&dir).map_err(io_error(&dir))?;
            held = Some(lock(&dir, on_event)?);
            artefact::sweep(&dir);
        }
        let study = Study::new(&dir);
        let (mut configs, mut trials) = (Vec::new(), Vec::new());
        for number in 0..spec.trials {
            let values = spec.draw(number);
            let sets = values.iter().map(|(key, value)| format!("{key}={value}"));
            let sets: Vec<String> = spec.set.iter().cloned().chain(sets).collect();
            let config = match load(&spec.base, &sets) {
                Ok(loaded) => Ok(prepared(loaded.config, request, &study, number, on_event)?),
                // Values at odds with each other fail this trial; a key that does not exist fails the study.
                Err(e @ ConfigError::Invalid { .. }) => Err(e.to_string()),
                Err(e) => return Err(e.into()),
            };
            let hash = config.as_ref().map_or_else(|reason| Ok(reason.clone()), config_hash)?;
            let trial = study.read(number, &hash)?;
            trials.push(trial.unwrap_or_else(|| Trial::new(number, values, hash)));
            configs.push(config);
        }
        let (metric, epochs) = (base.train.metric.clone(), base.train.total_epochs());
        Ok(Self { spec, study, configs, trials, metric, epochs, _lock: held })
    }

    /// The trial to train next, and up to which epoch.
    pub fn next(&self) -> Option<(usize, usize)> {
        next(&self.spec, &self.trials, self.epochs)
    }

    /// The best trial that did not fail.
    pub fn best(&self) -> Option<&Trial> {
        best(&self.trials)
    }

    /// Trains until nothing is left, or `stop` is set; whether the search came to its end.
    ///
    /// # Errors
    /// A record can't be written, or an input changed. What fails a single trial is in its record.
    pub fn train(&mut self, stop: &Arc<AtomicBool>, on_event: &mut OnEvent<'_>) -> Result<bool, TuneError> {
        while let Some((number, until)) = self.next() {
            if stop.load(Ordering::SeqCst) || !self.step(number, until, stop, on_event)? {
                return Ok(false);
            }
            on_event(Event::Trained { trial: &self.trials[number], until });
        }
        Ok(true)
    }

    /// Brings a trial to `until` epochs and saves what it reached; false if it was interrupted.
    fn step(
        &mut self,
        number: usize,
        until: usize,
        stop: &Arc<AtomicBool>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<bool, TuneError> {
        let advance = match &self.configs[number] {
            Ok(config) => self.advance(number, config, until, stop, on_event)?,
            Err(reason) => Advance::Failed(reason.clone()),
        };
        let trial = &mut self.trials[number];
        match advance {
            Advance::Reached { score, finished } => {
                trial.rungs.push(Rung { epochs: until, score });
                trial.finished = finished;
            }
            Advance::Failed(reason) => trial.failed = Some(reason),
            Advance::Interrupted => return Ok(false),
        }
        self.study.write(&self.trials[number])?;
        Ok(true)
    }

    fn advance(
        &self,
        number: usize,
        config: &Config,
        until: usize,
        stop: &Arc<AtomicBool>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Advance, TuneError> {
        let run = RunDir::new(&self.study.trial_dir(number));
        std::fs::create_dir_all(&run.root).map_err(io_error(&run.root))?;
        let _lock = lock(&run.root, on_event)?;
        let begun = if checkpoint::list(&run.steps()).is_empty() { None } else { Some(run.latest()?) };
        let begun = begun.map(|(path, saved, _)| (path, saved));
        let system = match open(config, &run, begun.as_ref().map(|(_, saved)| saved), on_event)? {
            Ok(system) => system,
            Err(reason) => return Ok(Advance::Failed(reason)),
        };
        if self.trials.iter().all(|trial| trial.rungs.is_empty()) {
            // Trials share their data: the first one speaks for all.
            report_data(system.as_ref(), on_event);
        }
        // Before the files are written: runs that teach are inputs, and a training opens them.
        let mut training = match system.training() {
            Ok(training) => training,
            Err(e) => return Ok(Advance::Failed(e.to_string())),
        };
        if !run.config().exists() {
            run.write(&run.origins(), "{}")?;
            system.inputs(&run.root)?.write(&run)?;
            run.write(&run.config(), &config.to_toml()?)?;
        }
        if let Some((path, saved)) = &begun {
            training.resume(path, saved)?;
        }
        let resumed = begun.map(|(_, saved)| saved.state.step);
        self.train_rung(number, config, training.as_mut(), &run, resumed, until, stop, on_event)
    }

    #[allow(clippy::too_many_arguments, reason = "one caller, which has just made all of them")]
    fn train_rung(
        &self,
        number: usize,
        config: &Config,
        training: &mut dyn Training,
        run: &RunDir,
        resumed: Option<u64>,
        until: usize,
        stop: &Arc<AtomicBool>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Advance, TuneError> {
        let monitor = Monitor::open(&run.root, &config.monitor, resumed, Progress::hidden());
        let past = training.state().epoch > until;
        let pause = Arc::new(AtomicBool::new(past));
        let (watch, user) = (Watch::new(config, monitor), Arc::clone(stop));
        let mut watch = Rungs { watch, until, user, pause: Arc::clone(&pause) };
        let outcome =
            if past { Ok(Outcome::Interrupted) } else { training.run(&run.steps(), &mut watch, &pause) };
        let state = training.state();
        let finished = match self.standing(outcome, state, until)? {
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
        monitor.hparams(state.step, until as u64, &self.hparams(number), &[(SCORE.to_owned(), score)]);
        monitor.flush();
        monitor.warnings().into_iter().for_each(|warning| on_event(Event::Warning(warning)));
        Ok(Advance::Reached { score, finished })
    }

    /// Whether a trial that has reached its rung is finished altogether; else what became of it.
    fn standing(
        &self,
        outcome: Result<Outcome, TrainError>,
        state: &RunState,
        until: usize,
    ) -> Result<Result<bool, Advance>, TuneError> {
        Ok(match outcome {
            Ok(Outcome::Finished | Outcome::StoppedEarly) => Ok(true),
            Ok(Outcome::Interrupted) if state.epoch > until => {
                Ok(state.finished || state.epoch > self.epochs)
            }
            Ok(Outcome::Interrupted) => Err(Advance::Interrupted),
            Err(e @ (TrainError::UnknownMetric { .. } | TrainError::NothingToHit { .. })) => {
                return Err(e.into());
            }
            Err(e) => Err(Advance::Failed(e.to_string())),
        })
    }

    fn hparams(&self, number: usize) -> Vec<(String, HValue)> {
        let value = |text: &String| match (text.parse::<f64>(), text.as_str()) {
            (Ok(number), _) => HValue::Number(number),
            (_, "true" | "false") => HValue::Flag(text == "true"),
            _ => HValue::Text(text.trim_matches('"').to_owned()),
        };
        self.trials[number].values.iter().map(|(key, text)| (key.clone(), value(text))).collect()
    }

    /// Writes the table of trials and, as `best.toml`, the configuration of the best one; where the latter is.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn write(&self) -> Result<Option<std::path::PathBuf>, TuneError> {
        write_atomic(&self.study.dir.join("trials.md"), self.table().markdown().as_bytes())?;
        let Some(Ok(config)) = self.best().map(|winner| &self.configs[winner.number]) else {
            return Ok(None);
        };
        let mut config = config.clone();
        config.run.name = "best".into();
        let path = self.study.dir.join("best.toml");
        write_atomic(&path, config.to_toml()?.as_bytes())?;
        Ok(Some(path))
    }

    /// Test figures of a trial; read again where they are there already.
    ///
    /// # Errors
    /// Its run can't be opened or judged.
    pub fn judge(&self, number: usize, on_event: &mut OnEvent<'_>) -> Result<Report, TuneError> {
        let run = RunDir::new(&self.study.trial_dir(number));
        if let Ok(text) = std::fs::read(run.report())
            && let Ok(report) = serde_json::from_slice(&text)
        {
            on_event(Event::Note(format!("{} was judged before", Study::name(number))));
            return Ok(report);
        }
        let device = self.configs[number].as_ref().map_or("auto", |c| c.device.as_str()).to_owned();
        let trained = Run::open(&run.root, &OpenOptions { device, ..OpenOptions::default() })?;
        report_inputs(&trained.found, on_event);
        Ok(final_report(trained.model.as_ref(), Part::Test, Some(&run)).map_err(RunError::from)?)
    }

    /// The trials, the furthest and best first.
    pub fn table(&self) -> Table {
        let mut header = vec![String::new(), "status".into(), "epochs".into(), self.metric.clone()];
        header.extend(self.spec.space.0.keys().cloned());
        let mut order: Vec<&Trial> = self.trials.iter().collect();
        let key =
            |t: &Trial| (t.rungs.last().map_or(0, |r| r.epochs), t.score().unwrap_or(f64::NEG_INFINITY));
        order.sort_by(|a, b| {
            let (a, b) = (key(a), key(b));
            b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
        });
        let rows = order.iter().map(|t| {
            let mut row = vec![
                Study::name(t.number),
                t.status().to_owned(),
                t.rungs.last().map_or("-".into(), |r| r.epochs.to_string()),
                t.score().map_or("-".into(), |s| format!("{s:.4}")),
            ];
            row.extend(t.values.values().cloned());
            row
        });
        Table { rows: rows.collect(), header }
    }
}

/// What a trial's next epochs came to.
enum Advance {
    Reached { score: f64, finished: bool },
    Failed(String),
    Interrupted,
}

/// A trial's configuration with its data and its place.
fn prepared(
    mut config: Config,
    request: &Request,
    study: &Study,
    number: usize,
    on_event: &mut OnEvent<'_>,
) -> Result<Config, TuneError> {
    if let Some(flag) = &request.device {
        config.device.clone_from(flag);
    }
    config.run.dir.clone_from(&study.dir);
    config.run.name = Study::name(number);
    if request.dry {
        data::name(&mut config);
    } else {
        data::generate(&mut config, &mut |world| on_event(Event::Generating(world)))?;
    }
    Ok(config)
}

/// The system of a trial; the reason where it can't be opened. Other inputs than those of a checkpoint are no failure of
/// the trial: it goes on when they are back.
fn open(
    config: &Config,
    run: &RunDir,
    begun: Option<&Checkpoint>,
    on_event: &mut OnEvent<'_>,
) -> Result<Result<Arc<dyn AnySystem>, String>, TuneError> {
    let device = device::open(&config.device)?.device;
    let Some(saved) = begun else {
        let opened = Setup::open(config.clone(), &device).and_then(systems::open);
        return Ok(opened.map_err(|e| e.to_string()));
    };
    let asked = Asked { trains: true, ..Asked::default() };
    let (setup, found) = inputs::open(&run.root, config.clone(), &saved.parents, &asked, &device)?;
    report_inputs(&found, on_event);
    Ok(Ok(systems::open(setup)?))
}

fn lock(dir: &Path, on_event: &mut OnEvent<'_>) -> Result<DirLock, TuneError> {
    let lock = DirLock::take_within(dir, COMMAND, Duration::ZERO)?;
    if let Some(warning) = lock.warning() {
        on_event(Event::Warning(warning.to_string()));
    }
    Ok(lock)
}

fn report_data(system: &dyn AnySystem, on_event: &mut OnEvent<'_>) {
    let notices = systems::notices(system);
    notices.warnings.into_iter().for_each(|warning| on_event(Event::Warning(warning)));
    notices.notes.into_iter().for_each(|note| on_event(Event::Note(format!("note: {note}"))));
}

fn report_inputs(found: &inputs::Found, on_event: &mut OnEvent<'_>) {
    found.warnings().into_iter().for_each(|warning| on_event(Event::Warning(warning)));
    found.notes().into_iter().for_each(|note| on_event(Event::Note(format!("note: {note}"))));
}

/// Watches a trial, and asks for a pause after the rung's epoch or when the user wants an end.
struct Rungs {
    watch: Watch,
    until: usize,
    user: Arc<AtomicBool>,
    pause: Arc<AtomicBool>,
}

impl Observer for Rungs {
    fn step(&mut self, report: &StepReport) {
        self.watch.step(report);
        if self.user.load(Ordering::SeqCst) {
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

//! `codistill tune`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::setup::{InputArgs, ensure_data, lock, open_any_run, open_device, tell_data, tell_inputs};
use super::signals::stop_flag;
use super::{Exit, Failure, Terminal};
use crate::artefact::{self, Makes, write_atomic};
use crate::config::{Config, ConfigError, load};
use crate::data::Part;
use crate::eval::{Evaluation, Report};
use crate::judge::final_report;
use crate::lock::DirLock;
use crate::monitor::{FINAL_SCORE as SCORE, HValue, Monitor, Progress};
use crate::run::Protocol;
use crate::run::watch::Watch;
use crate::systems;
use crate::table::Table;
use crate::train::inputs::{self, Asked};
use crate::train::run_dir::{RunDir, Which};
use crate::train::trainer::{Observer, Outcome, StepReport};
use crate::train::{Setup, TrainError, checkpoint};
use crate::tune::study::{Rung, best, config_hash, next};
use crate::tune::{Spec, Study, Trial};

#[derive(Debug, Args)]
#[command(after_help = "\
A study is a folder with one run directory per trial. Called again, it goes on after a kill, skips what is done, and \
trains trials that were added. Selection reads validation figures only; --final judges the best trial on the test \
part, once.

Examples:
  codistill tune configs/tune/quickstart.toml --dry-run
  codistill tune configs/tune/quickstart.toml
  codistill tune configs/tune/quickstart.toml --final
  codistill train checkpoints/tune-quickstart/best.toml
  tensorboard --logdir checkpoints/tune-quickstart")]
pub struct TuneArgs {
    /// Study file.
    study: PathBuf,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long)]
    device: Option<String>,
    /// When all trials are done, judge the best one on the test part.
    #[arg(long = "final")]
    judge: bool,
    /// List the trials and where they stand, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    dir: &'a Path,
    metric: &'a str,
    trials: &'a [Trial],
    best: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Report>,
}

/// Everything that the trials share.
struct Search {
    spec: Spec,
    study: Study,
    /// By trial; a trial whose values are at odds with each other has a reason instead.
    configs: Vec<Result<Config, String>>,
    trials: Vec<Trial>,
    metric: String,
    epochs: usize,
    /// None for a dry run, which changes nothing.
    _lock: Option<DirLock>,
}

/// What a lock says of the process that holds it.
const COMMAND: &str = "tune";

pub fn run(args: &TuneArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut search = Search::open(args, terminal)?;
    if args.dry_run {
        return search.plan(terminal);
    }
    let stop = stop_flag(terminal);
    while let Some((number, until)) = next(&search.spec, &search.trials, search.epochs) {
        if stop.load(Ordering::SeqCst) {
            return Ok(interrupted(args, terminal));
        }
        if !search.step(number, until, &stop, terminal)? {
            return Ok(interrupted(args, terminal));
        }
        let trial = &search.trials[number];
        match (&trial.failed, trial.score()) {
            (Some(reason), _) => terminal.warn(format!("{} FAILED: {reason}", Study::name(number))),
            (_, score) => terminal.say(format!(
                "{} after {until} epochs: {} {:.4}",
                Study::name(number),
                search.metric,
                score.unwrap_or(f64::NAN)
            )),
        }
    }
    search.finish(args, terminal)
}

fn interrupted(args: &TuneArgs, terminal: &Terminal) -> Exit {
    terminal.say("interrupted; everything is saved");
    terminal.say(format!("hint: codistill tune {}", args.study.display()));
    Exit::Interrupted
}

impl Search {
    fn open(args: &TuneArgs, terminal: &Terminal) -> Result<Self, Failure> {
        let spec = Spec::load(&args.study)?;
        let base = load(&spec.base, &spec.set)?.config;
        let dir = spec.dir.clone().unwrap_or_default();
        artefact::may_make(&dir, Makes::Study)?;
        let mut held = None;
        if !args.dry_run {
            std::fs::create_dir_all(&dir).map_err(|e| Failure::io(&dir, &e))?;
            held = Some(lock(&dir, COMMAND, Duration::ZERO, terminal)?);
            artefact::sweep(&dir);
        }
        let study = Study::new(&dir);
        let mut configs = Vec::new();
        let mut trials = Vec::new();
        for number in 0..spec.trials {
            let values = spec.draw(number);
            let sets = values.iter().map(|(key, value)| format!("{key}={value}"));
            let sets: Vec<String> = spec.set.iter().cloned().chain(sets).collect();
            let config = match load(&spec.base, &sets) {
                Ok(loaded) => Ok(prepared(loaded.config, args, &study, number, terminal)?),
                // Values at odds with each other fail this trial; a key that does not exist fails the study.
                Err(e @ ConfigError::Invalid { .. }) => Err(e.to_string()),
                Err(e) => return Err(e.into()),
            };
            let hash = config.as_ref().map_or_else(|reason| Ok(reason.clone()), config_hash)?;
            let trial = study.read(number, &hash)?;
            trials.push(trial.unwrap_or_else(|| Trial::new(number, values, hash)));
            configs.push(config);
        }
        let (metric, epochs) = (base.train.metric.clone(), base.train.epochs);
        Ok(Self { spec, study, configs, trials, metric, epochs, _lock: held })
    }

    /// Where every trial stands, and which is next.
    fn plan(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let best = best(&self.trials).map(|trial| trial.number);
        let (dir, trials) = (self.study.dir.as_path(), self.trials.as_slice());
        let printed = Printed { dir, metric: &self.metric, trials, best, test: None };
        terminal.result(&printed, || self.table().plain())?;
        terminal.say(match next(&self.spec, &self.trials, self.epochs) {
            Some((number, until)) => format!("next: {} to epoch {until}", Study::name(number)),
            None => "nothing is left to train".into(),
        });
        Ok(Exit::Done)
    }

    /// Brings a trial to `until` epochs and saves what it reached; false if it was interrupted.
    fn step(
        &mut self,
        number: usize,
        until: usize,
        stop: &Arc<AtomicBool>,
        terminal: &Terminal,
    ) -> Result<bool, Failure> {
        let outcome = match &self.configs[number] {
            Ok(config) => self.advance(number, config, until, stop, terminal),
            Err(reason) => Ok(Advance::Failed(reason.clone())),
        };
        let trial = &mut self.trials[number];
        match outcome? {
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
        terminal: &Terminal,
    ) -> Result<Advance, Failure> {
        let device = open_device(&config.device, terminal)?;
        let run = RunDir::at(&self.study.trial_dir(number));
        std::fs::create_dir_all(&run.root).map_err(|e| Failure::io(&run.root, &e))?;
        let _lock = lock(&run.root, COMMAND, Duration::ZERO, terminal)?;
        let begun = if checkpoint::list(&run.steps()).is_empty() { None } else { Some(run.latest()?) };
        let system = if let Some((_, saved, _)) = &begun {
            // Other inputs are no failure of the trial: it goes on when they are back.
            let asked = Asked::default();
            let (setup, found) =
                inputs::open(&run.root, config.clone(), &saved.parents, &asked, &device.device)?;
            tell_inputs(&found, terminal);
            systems::open(setup)?
        } else {
            match Setup::open(config.clone(), &device.device).and_then(systems::open) {
                Ok(system) => system,
                Err(e) => return Ok(Advance::Failed(e.to_string())),
            }
        };
        if self.trials.iter().all(|trial| trial.rungs.is_empty()) {
            // Trials share their data: the first tells of it.
            tell_data(system.as_ref(), terminal);
        }
        if !run.config().exists() {
            run.write(&run.origins(), "{}")?;
            system.inputs(&run.root)?.write(&run)?;
            run.write(&run.config(), &config.to_toml()?)?;
        }
        let mut trainer = match system.training(&run.steps()) {
            Ok(training) => training,
            Err(e) => return Ok(Advance::Failed(e.to_string())),
        };
        let mut resumed = None;
        if let Some((path, saved, _)) = &begun {
            trainer.resume(path, saved)?;
            resumed = Some(saved.state.step);
        }
        let monitor = Monitor::open(&run.root, &config.monitor, resumed, Progress::hidden());
        let mut watch = Rungs {
            watch: Watch::new(config, monitor),
            until,
            user: Arc::clone(stop),
            pause: Arc::new(AtomicBool::new(trainer.state().epoch > until)),
        };
        let pause = Arc::clone(&watch.pause);
        let past = trainer.state().epoch > until;
        let outcome = if past { Ok(Outcome::Interrupted) } else { trainer.run(&mut watch, &pause) };
        let state = trainer.state();
        let finished = match outcome {
            Ok(Outcome::Finished | Outcome::StoppedEarly) => true,
            Ok(Outcome::Interrupted) if state.epoch > until => state.finished || state.epoch > self.epochs,
            Ok(Outcome::Interrupted) => return Ok(Advance::Interrupted),
            Err(e @ (TrainError::UnknownMetric { .. } | TrainError::NothingToHit { .. })) => {
                return Err(e.into());
            }
            Err(e) => return Ok(Advance::Failed(e.to_string())),
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
        monitor.warnings().iter().for_each(|warning| terminal.warn(warning));
        Ok(Advance::Reached { score, finished })
    }

    fn hparams(&self, number: usize) -> Vec<(String, HValue)> {
        let value = |text: &String| match (text.parse::<f64>(), text.as_str()) {
            (Ok(number), _) => HValue::Number(number),
            (_, "true" | "false") => HValue::Flag(text == "true"),
            _ => HValue::Text(text.trim_matches('"').to_owned()),
        };
        self.trials[number].values.iter().map(|(key, text)| (key.clone(), value(text))).collect()
    }

    /// The table, the best configuration and, if asked, its test figures.
    fn finish(&self, args: &TuneArgs, terminal: &Terminal) -> Result<Exit, Failure> {
        let Some(winner) = best(&self.trials) else {
            terminal.table(&self.table().plain())?;
            return Err(Failure::user("every trial failed", "read the reasons above; narrow the space"));
        };
        let test = if args.judge { Some(self.judge(winner.number, terminal)?) } else { None };
        if let Ok(config) = &self.configs[winner.number] {
            let mut config = config.clone();
            config.run.name = "best".into();
            let path = self.study.dir.join("best.toml");
            write_atomic(&path, config.to_toml()?.as_bytes())?;
            terminal.say(format!("best: {}; configuration {}", Study::name(winner.number), path.display()));
        }
        let table = self.table();
        write_atomic(&self.study.dir.join("trials.md"), table.markdown().as_bytes())?;
        if terminal.json {
            let (dir, trials) = (self.study.dir.as_path(), self.trials.as_slice());
            let best = Some(winner.number);
            terminal.data_json(&Printed { dir, metric: &self.metric, trials, best, test })?;
        } else {
            terminal.table(&table.plain())?;
            if let Some(report) = test {
                terminal.table(&format!("\n{}", report.table()))?;
            }
        }
        Ok(Exit::Done)
    }

    /// Test figures of the best trial; read again where they are there already.
    fn judge(&self, number: usize, terminal: &Terminal) -> Result<Report, Failure> {
        let run = RunDir::at(&self.study.trial_dir(number));
        if let Ok(text) = std::fs::read(run.report())
            && let Ok(report) = serde_json::from_slice(&text)
        {
            terminal.say(format!("{} was judged before", Study::name(number)));
            return Ok(report);
        }
        let device = self.configs[number].as_ref().map_or("auto", |c| c.device.as_str());
        let (inputs, protocol) = (InputArgs::default(), Protocol::default());
        let trained = open_any_run(&run.root, &Which::Best, &inputs, device, &protocol, terminal)?;
        Ok(final_report(trained.model.as_ref(), Part::Test, Some(&run))?)
    }

    fn table(&self) -> Table {
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
    args: &TuneArgs,
    study: &Study,
    number: usize,
    terminal: &Terminal,
) -> Result<Config, Failure> {
    if let Some(flag) = &args.device {
        config.device.clone_from(flag);
    }
    config.run.dir.clone_from(&study.dir);
    config.run.name = Study::name(number);
    if args.dry_run {
        crate::run::data::name(&mut config);
    } else {
        ensure_data(&mut config, terminal)?;
    }
    Ok(config)
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

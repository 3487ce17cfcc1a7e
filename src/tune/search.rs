//! A search from its study file to its best trial: opens the trials, trains them rung by rung, writes down what came of
//! it, and judges the winner where it is asked to.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::advance::{Advance, Task, lock, report_inputs};
use super::event::{Event, OnEvent};
use super::study::{Rung, best, config_hash, next};
use super::{Spec, Study, Trial, TuneError};
use crate::artefact::{self, Makes, io_error, write_atomic};
use crate::config::{Config, ConfigError};
use crate::data::Part;
use crate::eval::Report;
use crate::judge::final_report;
use crate::lock::DirLock;
use crate::run::{OpenOptions, Run, RunError, data};
use crate::table::Table;
use crate::train::SystemError;
use crate::train::run_dir::RunDir;
use crate::train::setup::load_fitting;

/// How a search is opened.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `auto`, `cpu` or `wgpu[:N]` in place of the configuration's.
    pub device: Option<String>,
    /// Only look: nothing is written or locked, [`run`] returns the search as it stands, and [`Search::train`] and
    /// [`Search::judge`] refuse.
    pub dry: bool,
}

/// A search and where its trials stand.
pub struct Search {
    spec: Spec,
    pub study: Study,
    /// By trial; a trial whose values are at odds with each other has a reason instead.
    configs: Vec<Result<Config, String>>,
    pub trials: Vec<Trial>,
    /// The validation metric that trials are selected by: `train.metric` of the base configuration.
    pub metric: String,
    epochs: usize,
    /// None for a dry run, which changes nothing.
    lock: Option<DirLock>,
}

/// Trains all trials of the study in `file` that are left to train, and writes `trials.md` and `best.toml` to its folder
/// once none is. Selection reads validation figures only; [`Search::judge`] has test figures of a trial.
///
/// `file`, and the paths in it, are relative to the current directory. Without `dir` the study's folder is
/// `checkpoints/<stem of the file>`; called again, the search goes on from what lies there. Where
/// [`Request::dry`] is set, the search is opened and nothing more.
///
/// Setting `stop` from another thread ends the search after the optimiser step that runs, with everything saved:
/// [`Search::is_finished`] tells such an end from the other. `on_event` is told of warnings, and of each trial that reached a
/// rung or failed.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use codistill::tune::{self, Event, Request};
///
/// # let home = tempfile::tempdir()?;
/// # let file = home.path().join("search.toml");
/// # let text = std::fs::read_to_string("configs/tune/quickstart.toml")?;
/// # let small = "\"device=cpu\", \"data.synth.users=120\", \"data.synth.items=80\", \"model.width=8\", \"train.epochs=1\"";
/// # let text = text.replace("\"data.synth.users=1000\", \"data.synth.items=500\", \"model.width=16\"", small);
/// # let text = text.replace("checkpoints/tune-quickstart", home.path().join("search").to_str().ok_or("letters")?);
/// # std::fs::write(&file, text.replace("trials = 9", "trials = 2"))?;
/// let stop = false.into();
/// let mut on_event = |event: Event<'_>| match event {
///     Event::Trained { trial, until } => println!("{} after {until} epochs: {:?}", trial.number, trial.score()),
///     Event::Warning(warning) => eprintln!("{warning}"),
///     Event::Generating(_) | Event::Note(_) => {}
/// };
/// let search = tune::run(&file, &Request::default(), &stop, &mut on_event)?;
/// assert!(search.is_finished());
/// let winner = search.best().ok_or("every trial failed")?;
/// println!("{:?} reached {} {:?}", winner.values, search.metric, winner.score());
/// assert!(search.study.best_config().exists(), "what `codistill train` is given");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Search::open`] and [`Search::train`]. A trial that fails, by divergence or by values at odds with each other, is
/// no error but [`Trial::failed`].
pub fn run(
    file: &Path,
    request: &Request,
    stop: &AtomicBool,
    on_event: &mut OnEvent<'_>,
) -> Result<Search, TuneError> {
    let mut search = Search::open(file, request, on_event)?;
    if !request.dry {
        search.train(stop, on_event)?;
    }
    Ok(search)
}

impl Search {
    /// Opens the study in `file`, locks its folder and generates the trials' data set where the configuration describes one;
    /// a dry request does the first alone.
    ///
    /// # Errors
    /// The file is wrong, the folder is in use, or holds trials of other configurations.
    pub fn open(file: &Path, request: &Request, on_event: &mut OnEvent<'_>) -> Result<Self, TuneError> {
        let spec = Spec::load(file)?;
        let load = |sets: &[String]| load_fitting(spec.base.as_deref(), sets, spec.data.as_deref());
        let (base, dropped) = load(&spec.set)?;
        let base = base.config;
        base.check_compared()?;
        for view in &dropped.views {
            on_event(Event::Warning(format!("dropped {view}: the data set has no features of that view")));
        }
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
            let config = match load(&sets) {
                Ok((loaded, _)) => Ok(prepared(loaded.config, request, &study, number, on_event)?),
                // Values at odds with each other fail this trial; a key that does not exist fails the study.
                Err(e @ SystemError::Config(ConfigError::Invalid { .. })) => Err(e.to_string()),
                Err(e) => return Err(e.into()),
            };
            let hash = config.as_ref().map_or_else(|reason| Ok(reason.clone()), config_hash)?;
            let trial = study.read(number, &hash)?;
            trials.push(trial.unwrap_or_else(|| Trial::new(number, values, hash)));
            configs.push(config);
        }
        let (metric, epochs) = (base.train.metric.clone(), base.train.total_epochs());
        Ok(Self { spec, study, configs, trials, metric, epochs, lock: held })
    }

    /// The trial to train next, and up to which epoch.
    pub fn next(&self) -> Option<(usize, usize)> {
        next(&self.spec, &self.trials, self.epochs)
    }

    /// Whether nothing is left to train.
    pub fn is_finished(&self) -> bool {
        self.next().is_none()
    }

    /// The trial with the best validation figure among those that were trained to their end; none before there is one, or
    /// where all failed.
    pub fn best(&self) -> Option<&Trial> {
        best(&self.trials)
    }

    /// Trains until nothing is left, or `stop` is set; whether the search came to its end. At its end the table of trials,
    /// `trials.md`, and the configuration of the best one, `best.toml`, are written.
    ///
    /// # Errors
    /// The search was opened to look only, a file can't be written, or what trials read (data set, features, finished runs
    /// that teach) is absent, damaged or changed; called again once it is back, the search goes on. What fails a single trial
    /// is in its record.
    pub fn train(&mut self, stop: &AtomicBool, on_event: &mut OnEvent<'_>) -> Result<bool, TuneError> {
        self.check_writable()?;
        while let Some((number, until)) = self.next() {
            if stop.load(Ordering::SeqCst) || !self.step(number, until, stop, on_event)? {
                return Ok(false);
            }
            on_event(Event::Trained { trial: &self.trials[number], until });
        }
        self.write()?;
        Ok(true)
    }

    /// Refuses to write where nothing keeps others from writing too.
    fn check_writable(&self) -> Result<(), TuneError> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(TuneError::Dry { dir: self.study.dir.clone() }),
        }
    }

    /// Brings a trial to `until` epochs and saves what it reached; false if it was interrupted.
    fn step(
        &mut self,
        number: usize,
        until: usize,
        stop: &AtomicBool,
        on_event: &mut OnEvent<'_>,
    ) -> Result<bool, TuneError> {
        let (study, values, epochs) = (&self.study, &self.trials[number].values, self.epochs);
        let tells_data = self.trials.iter().all(|trial| trial.rungs.is_empty());
        let advance = match &self.configs[number] {
            Ok(config) => {
                Task { study, number, values, config, until, epochs, tells_data }.advance(stop, on_event)?
            }
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

    /// Writes the table of trials and, where one did not fail, the configuration of the best.
    fn write(&self) -> Result<(), TuneError> {
        write_atomic(&self.study.dir.join("trials.md"), self.table().markdown().as_bytes())?;
        let Some(Ok(config)) = self.best().map(|winner| &self.configs[winner.number]) else {
            return Ok(());
        };
        let mut config = config.clone();
        config.run.name = "best".into();
        Ok(write_atomic(&self.study.best_config(), config.to_toml()?.as_bytes())?)
    }

    /// Test figures of a trial's best checkpoint beside the baselines, kept in its run; read again where they are there
    /// already. They belong to the end of a search: what was judged is not judged anew after more epochs.
    ///
    /// # Errors
    /// The search was opened to look only, or the trial's run can't be opened or judged.
    pub fn judge(&self, number: usize, on_event: &mut OnEvent<'_>) -> Result<Report, TuneError> {
        self.check_writable()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_search_writes_nothing_and_refuses_to_train_and_to_judge() {
        let home = tempfile::tempdir().unwrap();
        let base = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml");
        let (dir, file) = (home.path().join("study"), home.path().join("study.toml"));
        let text = format!(
            "base = {base:?}\ndir = {dir:?}\ntrials = 2\n[space]\n\"optim.lr\" = {{ log_uniform = [1e-4, 1e-2] }}\n"
        );
        std::fs::write(&file, text).unwrap();
        let (request, stop) = (Request { dry: true, ..Request::default() }, AtomicBool::new(false));
        let silent: &mut OnEvent<'_> = &mut |_| {};
        let mut search = run(&file, &request, &stop, silent).unwrap();
        assert_eq!((search.next(), search.is_finished()), (Some((0, 1)), false));
        assert!(search.best().is_none());
        assert!(matches!(search.train(&stop, silent), Err(TuneError::Dry { .. })));
        assert!(matches!(search.judge(0, silent), Err(TuneError::Dry { .. })));
        assert!(!dir.exists());
    }
}

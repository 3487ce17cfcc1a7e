//! `codistill train --resume`: a run goes on in its own directory.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::super::setup::{load_config, lock, open_device, open_inputs};
use super::super::{Exit, Failure, Terminal};
use super::{COMMAND, TrainArgs, dry_run, train, write_inputs};
use codistill::artefact;
use codistill::config::section::Fact;
use codistill::config::{Config, has_fact, keys_with, load, parse};
use codistill::run::successor::start;
use codistill::train::checkpoint;
use codistill::train::inputs::{self, Asked, Inputs, Start};
use codistill::train::run_dir::RunDir;

/// How long a training that another command started waits for one before it to leave the run.
const PATIENCE: Duration = Duration::from_mins(1);

/// Goes on from the last whole checkpoint of the run at `root`.
pub(super) fn resume(args: &TrainArgs, root: &Path, terminal: &Terminal) -> Result<Exit, Failure> {
    let run = RunDir::new(root);
    let patience = if args.stop_with_stdin { PATIENCE } else { Duration::ZERO };
    let writes = run.config().exists() && !args.dry_run;
    let _lock = if writes { Some(lock(root, COMMAND, patience, terminal)?) } else { None };
    if checkpoint::list(&run.steps()).is_empty() && run.config().exists() {
        return begin_again(args, &run, terminal);
    }
    let (path, checkpoint, problems) = run.latest()?;
    for problem in &problems {
        terminal.warn(format!("passed over: {problem}"));
    }
    let config = changed(&checkpoint.config, &run, args, terminal)?;
    let device = open_device(args.device.as_ref().unwrap_or(&config.device), terminal)?;
    // Who has learned all there was needs no teacher, except to rehearse.
    let trains = args.dry_run || !checkpoint.state.is_done(&config.train);
    let asked = asked(args, &checkpoint.config, &config, trains);
    let system = open_inputs(root, config, &checkpoint.parents, &asked, &device, terminal)?;
    if args.dry_run {
        return dry_run(system.as_ref(), Ok((&path, &checkpoint)), &device.name, terminal);
    }
    let mut training = if trains { system.training()? } else { system.ended_training()? };
    training.resume(&path, &checkpoint)?;
    if trains {
        write_inputs(system.as_ref(), &run, recorded(&run)?)?;
    }
    let (state, path) = (training.state(), path.display());
    if state.step >= training.total_steps() {
        let step = state.step;
        let key = if system.setup().config.train.stop_after > 0 { "stop_after" } else { "epochs" };
        terminal
            .say(format!("{path}: nothing is left to train at step {step}; --set train.{key}=N trains on"));
    } else {
        terminal.say(format!("{path}: going on at epoch {}, step {}", state.epoch, state.step));
    }
    train(args, system.as_ref(), training, &run, Some(checkpoint.state.step), terminal)
}

/// The configuration of a run with what is asked to be another in it.
fn changed(own: &Config, run: &RunDir, args: &TrainArgs, terminal: &Terminal) -> Result<Config, Failure> {
    let mut config = own.clone();
    if args.config.is_some() {
        take_given(&mut config, args, terminal)?;
    } else if !args.sets.is_empty() {
        refuse_sets(&args.sets)?;
        config = parse(&own.to_toml()?, &run.config(), &args.sets)?.config;
    }
    Ok(config)
}

/// Where the inputs of a run lie that goes on. A teacher whose place is another in `now` than in `then` is there and nowhere
/// else.
fn asked(args: &TrainArgs, then: &Config, now: &Config, trains: bool) -> Asked {
    let [then, now] = [then, now].map(|config| config.objective.distill.teachers.iter());
    let moved = now.zip(then).filter(|(now, then)| now.run != then.run);
    let teachers = moved.map(|(now, _)| (now.name.clone(), now.run.clone())).collect();
    Asked { trains, teachers, ..args.inputs.asked() }
}

/// Takes what may change from the configuration file that was given beside `--resume`.
fn take_given(config: &mut Config, args: &TrainArgs, terminal: &Terminal) -> Result<(), Failure> {
    let Some(file) = &args.config else { return Ok(()) };
    let now = load_config(Some(file), &args.sets, args.inputs.data(), terminal)?.config;
    refuse_changes(config, &now)?;
    Ok(config.take(&now, is_resumable)?)
}

/// Without a configuration file `--set` changes the run's own, where that may change.
fn refuse_sets(sets: &[String]) -> Result<(), Failure> {
    for set in sets {
        let key = set.split('=').next().unwrap_or_default();
        if !is_resumable(key) {
            return Err(Failure::user(
                format!("`{key}` can't change when a run is resumed"),
                format!("start a new run, or change only {}", keys_with(is_resumable).join(", ")),
            ));
        }
    }
    Ok(())
}

/// Whether a key may change when a run is resumed: it touches nothing that was computed before.
fn is_resumable(key: &str) -> bool {
    has_fact(key, Fact::Resumable)
}

/// A run that was killed before its first checkpoint starts anew, in its own directory, from its own
/// configuration.
fn begin_again(args: &TrainArgs, run: &RunDir, terminal: &Terminal) -> Result<Exit, Failure> {
    let own = load(&run.config(), &[])?.config;
    let config = changed(&own, run, args, terminal)?;
    let device = open_device(args.device.as_ref().unwrap_or(&config.device), terminal)?;
    let then = inputs::recorded(run)?;
    let asked = asked(args, &own, &config, true);
    let system = open_inputs(&run.root, config, &then, &asked, &device, terminal)?;
    let from = recorded(run)?;
    if args.dry_run {
        return dry_run(system.as_ref(), Err(&from), &device.name, terminal);
    }
    // Teachers are inputs too, and a training opens them.
    let mut training = system.training()?;
    let started = start(system.as_ref(), training.as_mut(), &from)?;
    write_inputs(system.as_ref(), run, started.start)?;
    artefact::sweep(&run.steps());
    terminal.say(format!("{}: no checkpoint yet, starting at the beginning", run.root.display()));
    train(args, system.as_ref(), training, run, None, terminal)
}

/// The runs that a run took weights from.
fn recorded(run: &RunDir) -> Result<Start, Failure> {
    Ok(Inputs::read(run)?.map(|inputs| inputs.start).unwrap_or_default())
}

/// A configuration given together with `--resume` must be the run's own, save what may change.
fn refuse_changes(before: &Config, now: &Config) -> Result<(), Failure> {
    let (before, now) = (before.leaves()?, now.leaves()?);
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for key in keys {
        let free = is_resumable(key) || has_fact(key, Fact::KeptOnResume);
        if !free && before.get(key) != now.get(key) {
            let shown = |v: Option<&String>| v.cloned().unwrap_or_else(|| "absent".into());
            return Err(Failure::user(
                format!(
                    "the run was started with {key} = {}, not {}",
                    shown(before.get(key)),
                    shown(now.get(key))
                ),
                "resume without a configuration file, or start a new run",
            ));
        }
    }
    Ok(())
}

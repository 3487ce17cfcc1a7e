//! `codistill train`

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::setup::{
    InputArgs, borrow_data, ensure_data, load_config, lock, open_device, open_inputs, tell_data, tell_taken,
};
use super::signals::stop_flag;
use super::{Exit, Failure, Terminal};
use codistill::artefact;
use codistill::config::section::Fact;
use codistill::config::{Config, has_fact, keys_with, load};
use codistill::judge;
use codistill::monitor::{Progress, ProgressMode};
use codistill::run::plan::Plan;
use codistill::run::{Judged, Session, advice};
use codistill::systems::{self, AnySystem};
use codistill::train::checkpoint::{self, Checkpoint};
use codistill::train::inputs::Asked;
use codistill::train::run_dir::RunDir;
use codistill::train::trainer::{Outcome, check_targets};
use codistill::train::{Setup, Training, inputs};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  codistill train --data data/shop
  codistill train configs/quickstart.toml
  codistill train configs/odmt-arts.toml --data data/arts --device wgpu
  codistill train --resume checkpoints/quickstart
  codistill train --resume checkpoints/odmt-arts --data /mnt/data/arts
  codistill train configs/quickstart.toml --dry-run

Ctrl-C finishes the step, saves, and exits with status 4; --resume goes on to the same bits on the CPU.")]
#[command(mut_arg("data", |arg| arg.help(DATA)), mut_arg("accept_changed", |arg| arg.help(ACCEPT)))]
pub struct TrainArgs {
    /// Configuration file. Without one, --data DIR trains the recommended one, configs/recommended.toml.
    #[arg(required_unless_present_any = ["resume", "data"])]
    config: Option<PathBuf>,
    /// Override a value of the configuration, e.g. `model.width=32`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long)]
    device: Option<String>,
    /// Go on from the last whole checkpoint of a run directory.
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    inputs: InputArgs,
    /// Print the plan, run two steps of every stage, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Save and leave when stdin closes: for a program that starts trainings.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

const DATA: &str = "\
Dataset directory, instead of the configuration's; views that it has no features of are left out, with their branches. \
With --resume: where the run's own data set is now";

const ACCEPT: &str = "\
With --resume: go on where the data set, the features or a run that teaches are not those that the run was trained on";

/// What a lock says of the process that holds it.
const COMMAND: &str = "train";

pub fn run(args: &TrainArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    match &args.resume {
        Some(root) => resume(args, root, terminal),
        None if args.inputs.accepts_changed() => Err(Failure::user(
            "--accept-changed does nothing here: a new run takes the data set as it is",
            "leave it out, or name the run that goes on with --resume RUN",
        )),
        None => start(args, terminal),
    }
}

/// How long a training that another command started waits for one before it to leave the run.
const PATIENCE: Duration = Duration::from_mins(1);

fn start(args: &TrainArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut loaded = load_config(args.config.as_deref(), &args.sets, args.inputs.data(), terminal)?;
    if let Some(flag) = &args.device {
        loaded.config.device.clone_from(flag);
    }
    let device = open_device(&loaded.config.device, terminal)?;
    if args.dry_run {
        let _scratch = borrow_data(&mut loaded.config, terminal)?;
        let system = systems::open(Setup::open(loaded.config, &device.device)?)?;
        system.verify_features()?;
        return dry_run(system.as_ref(), None, &device.name, terminal);
    }
    ensure_data(&mut loaded.config, terminal)?;
    let system = systems::open(Setup::open(loaded.config.clone(), &device.device)?)?;
    system.verify_features()?;
    check_targets(system.setup())?;
    judge::check(system.as_ref())?;
    // Before the directory is made: what can't be trained leaves none behind.
    let training = system.training()?;
    let origins = artefact::json_text("the origins of the values", &loaded.origins)?;
    let place = &system.setup().config.run;
    let run = RunDir::create(&place.dir, &place.name, &loaded.config.to_toml()?, &origins)?;
    let _lock = lock(&run.root, COMMAND, Duration::ZERO, terminal)?;
    system.inputs(&run.root)?.write(&run)?;
    system.keep(&run.root)?;
    let plan = plan_line(system.as_ref(), training.as_ref());
    terminal.say(format!("{}: {plan} on {}", run.root.display(), device.name));
    tell_taken(&run, place, terminal);
    let exit = train(args, system.as_ref(), training, &run, None, terminal)?;
    // Hundreds of lines later the first word is out of sight.
    if tell_taken(&run, place, terminal) {
        terminal.say(run.root.display().to_string());
    }
    Ok(exit)
}

fn resume(args: &TrainArgs, root: &Path, terminal: &Terminal) -> Result<Exit, Failure> {
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
        return dry_run(system.as_ref(), Some((&path, &checkpoint)), &device.name, terminal);
    }
    let mut training = if trains { system.training()? } else { system.ended_training()? };
    training.resume(&path, &checkpoint)?;
    if trains {
        system.inputs(root)?.write(&run)?;
        system.keep(root)?;
    }
    let (state, path) = (training.state(), path.display());
    if state.step >= training.total_steps() {
        let step = state.step;
        terminal
            .say(format!("{path}: nothing is left to train at step {step}; --set train.epochs=N trains on"));
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
        config = codistill::config::parse(&own.to_toml()?, &run.config(), &args.sets)?.config;
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
    if args.dry_run {
        return dry_run(system.as_ref(), None, &device.name, terminal);
    }
    // Teachers are inputs too, and a training opens them.
    let training = system.training()?;
    system.inputs(&run.root)?.write(run)?;
    artefact::sweep(&run.steps());
    terminal.say(format!("{}: no checkpoint yet, starting at the beginning", run.root.display()));
    train(args, system.as_ref(), training, run, None, terminal)
}

/// A configuration given together with `--resume` must be the run's own, save what may change.
fn refuse_changes(before: &Config, now: &Config) -> Result<(), Failure> {
    let (before, now) = (before.leaves()?, now.leaves()?);
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
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

/// Sets the flag when stdin closes, however the process at its other end came to its end.
fn stop_with_stdin(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(n) if n > 0) {}
        stop.store(true, Ordering::SeqCst);
    });
}

fn train(
    args: &TrainArgs,
    system: &dyn AnySystem,
    training: Box<dyn Training + '_>,
    run: &RunDir,
    resumed: Option<u64>,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let config = &system.setup().config;
    tell_data(system, terminal);
    let mode = ProgressMode::choose(terminal.quiet(), !terminal.progress);
    let progress = Progress::new(mode, training.total_steps());
    let mut session = Session::new(system, training, run.clone(), resumed, progress)?;
    let stop = stop_flag(terminal);
    if args.stop_with_stdin {
        stop_with_stdin(&stop);
    }
    let outcome = session.train(&stop)?;
    if outcome == Outcome::Interrupted {
        session.warnings().iter().for_each(|warning| terminal.warn(warning));
        terminal.say(format!("interrupted at step {}; everything is saved", session.state().step));
        terminal.say(format!("hint: codistill train --resume {}", run.root.display()));
        return Ok(Exit::Interrupted);
    }
    if outcome == Outcome::StoppedEarly {
        terminal.say(format!(
            "stopped early: {} evaluations without a better {}",
            config.train.patience, config.train.metric
        ));
    }
    finish(&mut session, system, run, terminal)
}

/// Prints the test figures of the best checkpoint beside those of the baselines.
fn finish(
    session: &mut Session<'_>,
    system: &dyn AnySystem,
    run: &RunDir,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let Judged { report, path } = session.judge()?;
    for warning in session.warnings() {
        terminal.warn(warning);
    }
    terminal.result(&report, || report.table())?;
    if let Some(warning) = report.time_order.and_then(|order| order.warning()) {
        terminal.say(format!("note: {warning}"));
    }
    let (setup, root) = (system.setup(), run.root.display().to_string());
    let advice = advice::advise(&setup.config, &setup.dataset, session.state(), &report, &root);
    if let Some(advice) = advice {
        terminal.warn(advice);
    }
    terminal.say(format!("best checkpoint {}; report {}", path.display(), run.report().display()));
    Ok(Exit::Done)
}

fn plan_line(system: &dyn AnySystem, training: &dyn Training) -> String {
    let dataset = &system.setup().dataset;
    let (samples, name) = system.samples();
    let teachers: Vec<String> = system.teachers().iter().map(ToString::to_string).collect();
    let taught =
        if teachers.is_empty() { String::new() } else { format!("; taught by {}", teachers.join(", ")) };
    format!(
        "{} users, {} items, {samples} {name}; {} parameters; {} steps{taught}",
        dataset.sequences.users(),
        dataset.items.count(),
        training.parameters(),
        training.total_steps()
    )
}

/// Prints the plan and runs two steps of training and one small evaluation, with the weights of the checkpoint `from`
/// where there is one. Nothing is written outside a folder that goes again.
fn dry_run(
    system: &dyn AnySystem,
    from: Option<(&Path, &Checkpoint)>,
    device: &str,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    if from.is_none() {
        check_targets(system.setup())?;
        judge::check(system)?;
    }
    tell_data(system, terminal);
    let mut training = system.training()?;
    if let Some((path, checkpoint)) = from {
        training.resume(path, checkpoint)?;
        let state = training.state();
        terminal.say(format!(
            "{}: would go on at epoch {}, step {}",
            path.display(),
            state.epoch,
            state.step
        ));
    }
    let plan = Plan::rehearse(system, training.as_mut(), device)?;
    terminal.result(&plan, || plan.to_string())?;
    Ok(Exit::Done)
}

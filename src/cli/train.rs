//! `codistill train`

mod again;
mod resume;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::setup::{
    InputArgs, borrow_data, ensure_data, load_config, lock, open_device, tell_data, tell_taken,
};
use super::signals::stop_flag;
use super::{Exit, Failure, Terminal};
use codistill::artefact;
use codistill::config::{Origin, PatienceOf, TrainParts};
use codistill::judge;
use codistill::monitor::{Progress, ProgressMode};
use codistill::run::plan::Plan;
use codistill::run::successor::{self, Started};
use codistill::run::{Judged, Session, advice};
use codistill::systems::{self, AnySystem};
use codistill::train::checkpoint::Checkpoint;
use codistill::train::inputs::Start;
use codistill::train::run_dir::RunDir;
use codistill::train::trainer::{Outcome, check_targets};
use codistill::train::{Setup, Training};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  codistill train --data data/shop
  codistill train configs/quickstart.toml
  codistill train configs/odmt-arts.toml --data data/arts --device wgpu
  codistill train --resume checkpoints/quickstart
  codistill train --resume checkpoints/odmt-arts --data /mnt/data/arts
  codistill train --refit checkpoints/odmt-arts --on train+valid
  codistill train --continue checkpoints/odmt-arts --data data/arts-june --set train.epochs=5
  codistill train configs/quickstart.toml --dry-run

Ctrl-C finishes the step, saves, and exits with status 4; --resume goes on to the same bits on the CPU.")]
#[command(mut_arg("data", |arg| arg.help(DATA)), mut_arg("accept_changed", |arg| arg.help(ACCEPT)))]
pub struct TrainArgs {
    /// Configuration file. Without one, --data DIR trains the recommended one, configs/recommended.toml.
    #[arg(required_unless_present_any = ["resume", "refit", "continued", "data"])]
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
    /// Train a finished run's configuration anew, as long as its best checkpoint was, on more interactions: those of --on.
    #[arg(long, value_name = "RUN")]
    refit: Option<PathBuf>,
    /// With --refit: `train+valid` trains on the validation items too, and the test figures are labelled; `all` on the test
    /// items too, and there are no figures.
    #[arg(long, value_name = "PARTS", value_parser = again::parse_parts)]
    on: Option<TrainParts>,
    /// Train on from the weights of a finished run on the newer data set that --data names, in a new run directory. Items
    /// keep their vectors by their ids; --set changes the run's configuration.
    #[arg(long = "continue", value_name = "RUN")]
    continued: Option<PathBuf>,
    /// With --refit or --continue: name of the new run, beside the old one. Default: the old name with `-refit` or
    /// `-continued` behind it.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
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
With --resume: where the run's own data set is now. With --continue: the newer data set";

const ACCEPT: &str = "\
With --resume or --refit: go on where the data set, the features or a run that teaches are not those that the run was \
trained on. With --continue: where the features of items are not those that the run knew";

/// What a lock says of the process that holds it.
const COMMAND: &str = "train";

pub fn run(args: &TrainArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    again::check(args)?;
    match (&args.resume, args.refit.as_ref().zip(args.on), &args.continued) {
        (Some(root), ..) => resume::resume(args, root, terminal),
        (_, Some((root, parts)), _) => again::refit(args, root, parts, terminal),
        (.., Some(root)) => again::go_on(args, root, terminal),
        _ if args.inputs.accepts_changed() => Err(Failure::user(
            "--accept-changed does nothing here: a new run takes the data set as it is",
            "leave it out, or name the run that goes on with --resume RUN",
        )),
        _ => start(args, terminal),
    }
}

/// A new training, ready but for its weights.
struct Ready {
    system: Arc<dyn AnySystem>,
    origins: BTreeMap<String, Origin>,
    /// The runs that it takes weights from, where they are known already.
    start: Start,
    /// In words.
    device: String,
}

fn start(args: &TrainArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut loaded = load_config(args.config.as_deref(), &args.sets, args.inputs.data(), terminal)?;
    if let Some(flag) = &args.device {
        loaded.config.device.clone_from(flag);
    }
    let device = open_device(&loaded.config.device, terminal)?;
    let device_name = device.name.clone();
    let scratch = if args.dry_run {
        borrow_data(&mut loaded.config, terminal)?
    } else {
        ensure_data(&mut loaded.config, terminal)?;
        None
    };
    let system = systems::open(Setup::open(loaded.config, &device.device)?)?;
    let ready = Ready { system, origins: loaded.origins, start: Start::default(), device: device_name };
    let exit = begin(args, &ready, terminal);
    drop(scratch);
    exit
}

/// Trains what is ready in a new run directory.
fn begin(args: &TrainArgs, ready: &Ready, terminal: &Terminal) -> Result<Exit, Failure> {
    let system = ready.system.as_ref();
    system.verify_features()?;
    if args.dry_run {
        return dry_run(system, Err(&ready.start), &ready.device, terminal);
    }
    check_targets(system.setup())?;
    judge::check(system)?;
    // Before the directory is made: what can't be trained leaves none behind.
    let mut training = system.training()?;
    let started = successor::start(system, training.as_mut(), &ready.start)?;
    let origins = artefact::json_text("the origins of the values", &ready.origins)?;
    let place = &system.setup().config.run;
    let run = RunDir::create(&place.dir, &place.name, &system.setup().config.to_toml()?, &origins)?;
    let _lock = lock(&run.root, COMMAND, Duration::ZERO, terminal)?;
    write_inputs(system, &run, started.start.clone())?;
    let plan = plan_line(system, training.as_ref());
    terminal.say(format!("{}: {plan} on {}", run.root.display(), ready.device));
    tell_start(&started, terminal);
    tell_taken(&run, place, terminal);
    let exit = train(args, system, training, &run, None, terminal)?;
    // Hundreds of lines later the first word is out of sight.
    if tell_taken(&run, place, terminal) {
        terminal.say(run.root.display().to_string());
    }
    Ok(exit)
}

/// Writes down what a training reads, the runs that it took weights from, and what was counted for it.
fn write_inputs(system: &dyn AnySystem, run: &RunDir, start: Start) -> Result<(), Failure> {
    system.inputs(&run.root)?.with_start(start).write(run)?;
    Ok(system.keep(&run.root)?)
}

/// Says what a training took from finished runs.
fn tell_start(started: &Started, terminal: &Terminal) {
    started.warnings().iter().for_each(|warning| terminal.warn(warning));
    started.notes().iter().for_each(|note| terminal.say(format!("note: {note}")));
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
            "stopped early: {} evaluations without a better {}{}",
            config.train.patience,
            config.train.metric,
            match config.train.patience_of {
                PatienceOf::Metric => "",
                PatienceOf::Branches => ", nor of any branch",
            }
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
    let which = if session.state().best.is_some() { "best" } else { "last" };
    terminal.say(format!("{which} checkpoint {}; report {}", path.display(), run.report().display()));
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

/// Prints the plan and runs two steps of training and one small evaluation, with the weights of the checkpoint `from`, or of a
/// training that is yet to start. Nothing is written outside a folder that goes again.
fn dry_run(
    system: &dyn AnySystem,
    from: Result<(&Path, &Checkpoint), &Start>,
    device: &str,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    if from.is_err() {
        check_targets(system.setup())?;
        judge::check(system)?;
    }
    tell_data(system, terminal);
    let mut training = system.training()?;
    match from {
        Err(start) => tell_start(&successor::start(system, training.as_mut(), start)?, terminal),
        Ok((path, checkpoint)) => {
            training.resume(path, checkpoint)?;
            let (state, path) = (training.state(), path.display());
            terminal.say(format!("{path}: would go on at epoch {}, step {}", state.epoch, state.step));
        }
    }
    let plan = Plan::rehearse(system, training.as_mut(), device)?;
    terminal.result(&plan, || plan.to_string())?;
    Ok(Exit::Done)
}

//! `codistill ablate`

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use super::setup::{ensure_data, open_device};
use super::train::stop_flag;
use super::{Exit, Failure, Terminal};
use crate::ablate::condition::REFERENCE;
use crate::ablate::report::StudyReport;
use crate::ablate::{Cell, Plan, State, Study, StudyError, gates, knockout};
use crate::artefact::write_atomic;
use crate::data::Dataset;

/// How long trainings may take to save after an interruption.
const GRACE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
#[command(after_help = "\
A study file names a base configuration, training seeds and conditions (a preset, single ones by name, or its own): \
every condition is trained under every seed on the same split, and the report says what each modality is worth. \
C0 is the full model, AA the same under other seeds, S-text the model without text, X-text with texts shuffled \
between items, I the ID alone; the presets are seed, paper, full and quick.

A study is a directory: what is complete in it is not trained again, what was interrupted goes on.

Examples:
  codistill ablate configs/studies/quickstart.toml --dry-run
  codistill ablate configs/studies/quickstart.toml --jobs 2
  codistill ablate configs/studies/quickstart.toml --only C0,S-text
  codistill ablate configs/studies/quickstart.toml --report")]
pub struct AblateArgs {
    /// Study file.
    study: PathBuf,
    /// Trainings at one time; default: the study's.
    #[arg(long)]
    jobs: Option<usize>,
    /// Train these conditions only, e.g. `C0,S-text`; the report covers what there is.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,
    /// Train nothing: report on what there is.
    #[arg(long, conflicts_with_all = ["only", "retry", "dry_run"])]
    report: bool,
    /// List the cells and where they stand, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Train failed cells once more.
    #[arg(long)]
    retry: bool,
    /// Draws of hyper-parameters for every condition, from the study's [retune] space; 0 keeps those of the base.
    #[arg(long, value_name = "N")]
    retune: Option<usize>,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long)]
    device: Option<String>,
}

pub fn run(args: &AblateArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut study = Study::load(&args.study)?;
    study.jobs = args.jobs.unwrap_or(study.jobs).clamp(1, 1024);
    let mut base = study.base()?;
    if let Some(device) = &args.device {
        base.device.clone_from(device);
    }
    if !args.dry_run {
        ensure_data(&mut base, terminal)?;
    }
    retune(&mut study, args)?;
    let mut plan = Plan::new(study.clone(), base.clone())?;
    if args.dry_run {
        tell_skipped(&plan, terminal);
        let trials = chosen(&plan, &plan.trials, &args.only)?;
        let cells = chosen(&plan, &plan.cells, &args.only)?;
        return list(&plan, &[trials, cells].concat(), terminal);
    }
    if !args.report && !plan.trials.is_empty() {
        if train_all(&plan, &chosen(&plan, &plan.trials, &args.only)?, args, terminal)? == Exit::Interrupted {
            terminal.say("interrupted; the same command goes on");
            return Ok(Exit::Interrupted);
        }
        plan = Plan::new(study, base)?;
    }
    tell_skipped(&plan, terminal);
    let chosen = chosen(&plan, &plan.cells, &args.only)?;
    if !args.report {
        if let Some(warning) = plan.declare_once()? {
            terminal.warn(warning);
        }
        if train_all(&plan, &chosen, args, terminal)? == Exit::Interrupted {
            terminal.say("interrupted; the same command goes on");
            return Ok(Exit::Interrupted);
        }
    }
    report(&plan, !args.only.is_empty(), terminal)
}

/// Overrides the study's number of draws.
fn retune(study: &mut Study, args: &AblateArgs) -> Result<(), Failure> {
    match (args.retune, &mut study.retune) {
        (None, _) => {}
        (Some(0), retune) => *retune = None,
        (Some(trials), Some(retune)) => retune.trials = trials,
        (Some(_), None) => {
            return Err(Failure::user(
                format!("{} has no [retune]: it does not say what to draw", args.study.display()),
                "add e.g. [retune] trials = 8 and [retune.space] \"optim.lr\" = { log_uniform = [1e-4, 1e-2] }",
            ));
        }
    }
    Ok(())
}

fn tell_skipped(plan: &Plan, terminal: &Terminal) {
    plan.skipped.iter().for_each(|reason| terminal.say(format!("left out: {reason}")));
}

/// Those of `cells` to train.
fn chosen<'a>(plan: &Plan, cells: &'a [Cell], only: &[String]) -> Result<Vec<&'a Cell>, Failure> {
    let views = crate::ablate::Views::of(&plan.base);
    let mut ids = Vec::new();
    for asked in only {
        let own = plan.condition(asked).map(|c| c.id.clone());
        let id = own.map_or_else(|| crate::ablate::Condition::named(asked, &views).map(|c| c.id), Ok)?;
        if plan.condition(&id).is_none() {
            let known: Vec<&str> = plan.conditions.iter().map(|c| c.id.as_str()).collect();
            return Err(Failure::user(
                format!("the study has no condition `{id}`"),
                format!("it has {}", known.join(", ")),
            ));
        }
        ids.push(id);
    }
    Ok(cells.iter().filter(|cell| ids.is_empty() || ids.contains(&cell.condition)).collect())
}

fn list(plan: &Plan, chosen: &[&Cell], terminal: &Terminal) -> Result<Exit, Failure> {
    let mut lines = Vec::new();
    for cell in chosen {
        let state = match cell.state(None)? {
            State::Missing => "to do".to_owned(),
            State::Unfinished => "to go on".to_owned(),
            State::Complete => "done".to_owned(),
            State::Failed(reason) => format!("FAILED: {reason}"),
        };
        let label = plan.condition(&cell.condition).map(|c| c.label.clone()).unwrap_or_default();
        lines.push((cell, label, state));
    }
    if terminal.json {
        let cells = lines.iter().map(|(cell, label, state)| {
            serde_json::json!({
                "condition": cell.condition, "label": label, "seed": cell.seed, "run": cell.dir, "state": state,
            })
        });
        terminal.data_json(&cells.collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let mut text = format!(
        "{}: {} conditions, {} cells; verdicts on {}, declared contrasts {}\n",
        plan.root.display(),
        plan.conditions.len(),
        chosen.len(),
        plan.options.metric,
        plan.contrasts.join(", ")
    );
    for (cell, label, state) in lines {
        text.push_str(&format!("{:24} {state:10} {label}\n", cell.name()));
    }
    terminal.data(&text)?;
    Ok(Exit::Done)
}

/// Trains what is not complete, then judges conditions without a training.
fn train_all(plan: &Plan, chosen: &[&Cell], args: &AblateArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let dataset = match &plan.base.data.path {
        Some(path) => Some(Dataset::open(path)?.hash),
        None => None,
    };
    let mut to_do: VecDeque<(&Cell, State)> = VecDeque::new();
    let mut quick = Vec::new();
    for &cell in chosen {
        if args.retry {
            cell.forget_failure();
        }
        match cell.state(dataset.as_deref())? {
            State::Complete => terminal.detail(format!("{}: done before", cell.name())),
            State::Failed(reason) => terminal.warn(format!("{} failed before: {reason}", cell.name())),
            _ if cell.quick => quick.push(cell),
            state => to_do.push_back((cell, state)),
        }
    }
    let stop = stop_flag(terminal);
    let total = to_do.len();
    let mut crew = Crew { running: Vec::new(), threads: threads(plan.study.jobs), done: 0, total };
    while !(to_do.is_empty() && crew.running.is_empty()) {
        if stop.load(Ordering::SeqCst) {
            crew.dismiss(terminal);
            return Ok(Exit::Interrupted);
        }
        while crew.running.len() < plan.study.jobs
            && let Some((cell, state)) = to_do.pop_front()
        {
            crew.start(cell, &state, args.device.as_deref(), terminal)?;
        }
        if crew.collect(terminal)? == Exit::Interrupted {
            stop.store(true, Ordering::SeqCst);
        }
        std::thread::sleep(POLL);
    }
    judge_quick(plan, &quick, &stop, terminal)
}

fn judge_quick(
    plan: &Plan,
    cells: &[&Cell],
    stop: &AtomicBool,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    if cells.is_empty() {
        return Ok(Exit::Done);
    }
    let device = open_device(&plan.base.device, terminal)?;
    for cell in cells {
        if stop.load(Ordering::SeqCst) {
            return Ok(Exit::Interrupted);
        }
        let same_seed = |other: &&Cell| other.condition == REFERENCE && other.seed == cell.seed;
        let (Some(reference), Some(condition)) =
            (plan.cells.iter().find(same_seed), plan.condition(&cell.condition))
        else {
            continue;
        };
        if reference.state(None)? != State::Complete {
            terminal.warn(format!("{} waits for {}", cell.name(), reference.name()));
            continue;
        }
        match knockout::judge(cell, condition, reference, &device.device) {
            Ok(()) => terminal.say(format!("{}: judged", cell.name())),
            Err(e) => {
                terminal.warn(format!("{} FAILED: {e}", cell.name()));
                cell.write_failure(&e.to_string())?;
            }
        }
    }
    Ok(Exit::Done)
}

/// CPU threads of each of `jobs` trainings; none to leave it to them.
fn threads(jobs: usize) -> Option<usize> {
    let free = jobs > 1 && std::env::var_os("RAYON_NUM_THREADS").is_none();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    free.then(|| (cores / jobs).max(1))
}

/// Trainings that run, a process each.
struct Crew<'a> {
    running: Vec<Training<'a>>,
    threads: Option<usize>,
    done: usize,
    total: usize,
}

struct Training<'a> {
    cell: &'a Cell,
    process: Child,
    /// Closed, it asks the training to save and leave; it closes by itself when this process ends.
    leash: Option<ChildStdin>,
    since: Instant,
}

impl<'a> Crew<'a> {
    fn start(
        &mut self,
        cell: &'a Cell,
        state: &State,
        device: Option<&str>,
        terminal: &Terminal,
    ) -> Result<(), Failure> {
        let program = std::env::current_exe().map_err(|e| Failure::io(&PathBuf::from("codistill"), &e))?;
        let mut command = Command::new(program);
        command.args(["train", "--quiet", "--no-progress", "--stop-with-stdin"]);
        if *state == State::Unfinished {
            command.arg("--resume").arg(&cell.dir);
        } else {
            // An empty folder would make the training choose another name.
            let _ = fs::remove_dir(&cell.dir);
            if cell.dir.exists() {
                return Err(Failure::user(
                    format!("{} is in the way: it is no run", cell.dir.display()),
                    "move it elsewhere",
                ));
            }
            command.arg(cell.write_config()?);
        }
        if let Some(device) = device {
            command.args(["--device", device]);
        }
        if let Some(threads) = self.threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let path = cell.log_path();
        let log =
            OpenOptions::new().create(true).append(true).open(&path).map_err(|e| Failure::io(&path, &e))?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let mut process = command.spawn().map_err(|e| Failure::io(&path, &e))?;
        let leash = process.stdin.take();
        let word = if *state == State::Unfinished { "going on" } else { "training" };
        terminal.detail(format!("{}: {word}", cell.name()));
        self.running.push(Training { cell, process, leash, since: Instant::now() });
        Ok(())
    }

    /// Takes in the trainings that have ended; [`Exit::Interrupted`] if one was.
    fn collect(&mut self, terminal: &Terminal) -> Result<Exit, Failure> {
        let mut interrupted = Exit::Done;
        let mut place = 0;
        while place < self.running.len() {
            let path = self.running[place].cell.dir.clone();
            let Some(status) = self.running[place].process.try_wait().map_err(|e| Failure::io(&path, &e))?
            else {
                place += 1;
                continue;
            };
            let ended = self.running.swap_remove(place);
            let (name, seconds) = (ended.cell.name(), ended.since.elapsed().as_secs_f64());
            self.done += 1;
            let count = format!("{}/{}", self.done, self.total);
            match status.code() {
                Some(0) => terminal.say(format!("{count} {name}: trained in {seconds:.0} s")),
                Some(4) => interrupted = Exit::Interrupted,
                Some(_) => {
                    let reason = last_error(ended.cell);
                    terminal.warn(format!("{count} {name} FAILED: {reason}"));
                    ended.cell.write_failure(&reason)?;
                }
                None => {
                    terminal
                        .warn(format!("{count} {name} was killed; it goes on when the study is run again"));
                }
            }
        }
        Ok(interrupted)
    }

    /// Lets every training save and leave; those that take too long are ended, their checkpoints are whole.
    fn dismiss(&mut self, terminal: &Terminal) {
        for training in &mut self.running {
            training.leash = None;
        }
        let since = Instant::now();
        while !self.running.is_empty() && since.elapsed() < GRACE {
            self.running.retain_mut(|training| matches!(training.process.try_wait(), Ok(None)));
            std::thread::sleep(POLL);
        }
        for training in &mut self.running {
            terminal.warn(format!("{} takes too long to leave and is ended", training.cell.name()));
            let _ = training.process.kill();
            let _ = training.process.wait();
        }
    }
}

/// What a failed training said last.
fn last_error(cell: &Cell) -> String {
    let text = fs::read_to_string(cell.log_path()).unwrap_or_default();
    let last = text.lines().rev().find_map(|line| line.strip_prefix("error: "));
    last.map_or_else(|| format!("it left no message, see {}", cell.log_path().display()), str::to_owned)
}

fn report(plan: &Plan, partial: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let judged = gates::judge(plan)?;
    let report = match StudyReport::new(plan, &judged) {
        // Only a part of the study was asked for, and is trained.
        Err(StudyError::NothingToCompare { .. }) if partial => {
            terminal.say("no report yet: only the full model has sound runs");
            return Ok(Exit::Done);
        }
        other => other?,
    };
    let json = serde_json::to_string_pretty(&report).unwrap_or_default();
    let files = [("study.md", report.markdown()), ("study.html", report.html()), ("study.json", json)];
    for (name, text) in &files {
        write_atomic(&plan.root.join(name), text.as_bytes())?;
    }
    if terminal.json {
        terminal.data_json(&report)?;
    } else {
        terminal.data(&report.plain())?;
    }
    report.comparison.warnings.iter().for_each(|warning| terminal.say(format!("note: {warning}")));
    terminal.say(format!("report {}", plan.root.join("study.html").display()));
    Ok(Exit::Done)
}

//! `codistill ablate`

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::crew::{Crew, POLL};
use super::setup::{ensure_data, lock, open_device};
use super::train::stop_flag;
use super::{Exit, Failure, Terminal};
use crate::ablate::across::{Across, Model, same_metric};
use crate::ablate::condition::REFERENCE;
use crate::ablate::report::StudyReport;
use crate::ablate::{Cell, Plan, State, Study, StudyError, gates, knockout};
use crate::artefact::{Makes, may_make, write_atomic, write_json};
use crate::data::Dataset;
use crate::table::{Column, Table};

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
  codistill ablate configs/studies/quickstart.toml --report
  codistill ablate odmt.toml late-fusion.toml sasrec.toml --jobs 2")]
pub struct AblateArgs {
    /// Study file; several are set side by side when all are done.
    #[arg(required = true)]
    study: Vec<PathBuf>,
    /// Trainings at one time, 1 to 1024; default: the study's.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024), conflicts_with = "report")]
    jobs: Option<u16>,
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
    #[arg(long, conflicts_with = "report")]
    device: Option<String>,
}

pub fn run(args: &AblateArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let studies = args.study.iter().map(|path| Study::load(path)).collect::<Result<Vec<_>, _>>()?;
    same_metric(&studies)?;
    let dir = studies[0].dir.clone();
    // One handler for the whole command: a second one could not be set, and would leave its study deaf to signals.
    let stop = stop_flag(terminal);
    let mut models = Vec::new();
    for (path, study) in args.study.iter().zip(studies) {
        let (exit, model) = run_one(path, study, args, &stop, terminal)?;
        if exit == Exit::Interrupted {
            terminal.say("interrupted; the same command goes on");
            return Ok(exit);
        }
        models.extend(model);
    }
    if args.study.len() > 1 && !args.dry_run {
        set_side_by_side(&dir, &models, terminal)?;
    }
    Ok(Exit::Done)
}

/// One study to its report, which a dry run and a study without figures do not have.
fn run_one(
    path: &Path,
    mut study: Study,
    args: &AblateArgs,
    stop: &AtomicBool,
    terminal: &Terminal,
) -> Result<(Exit, Option<Model>), Failure> {
    if stop.load(Ordering::SeqCst) {
        return Ok((Exit::Interrupted, None));
    }
    study.jobs = args.jobs.map_or(study.jobs, usize::from).clamp(1, 1024);
    let mut base = study.base()?;
    if let Some(device) = &args.device {
        base.device.clone_from(device);
    }
    if !args.dry_run {
        ensure_data(&mut base, terminal)?;
    }
    retune(&mut study, path, args.retune)?;
    let mut plan = Plan::new(study.clone(), base.clone())?;
    if args.dry_run {
        tell_skipped(&plan, terminal);
        let trials = chosen(&plan, &plan.trials, &args.only)?;
        let cells = chosen(&plan, &plan.cells, &args.only)?;
        list(&plan, &[trials, cells].concat(), terminal)?;
        return Ok((Exit::Done, None));
    }
    may_make(&plan.root, Makes::Study)?;
    std::fs::create_dir_all(&plan.root).map_err(|e| Failure::io(&plan.root, &e))?;
    let _lock = lock(&plan.root, "ablate", Duration::ZERO, terminal)?;
    if !args.report && !plan.trials.is_empty() {
        let trials = chosen(&plan, &plan.trials, &args.only)?;
        if train_all(&plan, &trials, args, stop, terminal)? == Exit::Interrupted {
            return Ok((Exit::Interrupted, None));
        }
        plan = Plan::new(study, base)?;
    }
    tell_skipped(&plan, terminal);
    let chosen = chosen(&plan, &plan.cells, &args.only)?;
    if !args.report {
        if let Some(warning) = plan.declare_once()? {
            terminal.warn(warning);
        }
        if train_all(&plan, &chosen, args, stop, terminal)? == Exit::Interrupted {
            return Ok((Exit::Interrupted, None));
        }
    }
    Ok((Exit::Done, report(&plan, !args.only.is_empty(), terminal)?))
}

/// The models of several studies as one table, in the folder that holds the first study.
fn set_side_by_side(dir: &Path, models: &[Model], terminal: &Terminal) -> Result<(), Failure> {
    let across = Across::new(models)?;
    write_atomic(&dir.join("across.md"), across.markdown().as_bytes())?;
    write_json(&dir.join("across.json"), &across)?;
    terminal.result(&across, || format!("\n{}", across.plain()))?;
    terminal.say(format!("models side by side {}", dir.join("across.md").display()));
    Ok(())
}

/// Overrides the study's number of draws.
fn retune(study: &mut Study, path: &Path, trials: Option<usize>) -> Result<(), Failure> {
    match (trials, &mut study.retune) {
        (None, _) => {}
        (Some(0), retune) => *retune = None,
        (Some(trials), Some(retune)) => retune.trials = trials,
        (Some(_), None) => {
            return Err(Failure::user(
                format!("{} has no [retune]: it does not say what to draw", path.display()),
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
    let views = crate::ablate::Views::new(&plan.base);
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
    let rows = lines.into_iter().map(|(cell, label, state)| vec![cell.name(), state, label]).collect();
    let columns = [Column::left(24), Column::left(10), Column::left(0)];
    text += &Table { header: Vec::new(), rows }.lines(&columns, " ");
    terminal.table(&text)?;
    Ok(Exit::Done)
}

/// Trains what is not complete, then judges conditions without a training.
fn train_all(
    plan: &Plan,
    chosen: &[&Cell],
    args: &AblateArgs,
    stop: &AtomicBool,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
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
    let mut crew = Crew::new(plan.study.jobs, to_do.len());
    while !to_do.is_empty() || crew.busy() > 0 {
        if stop.load(Ordering::SeqCst) {
            crew.dismiss(terminal);
            return Ok(Exit::Interrupted);
        }
        while crew.busy() < plan.study.jobs
            && let Some((cell, state)) = to_do.pop_front()
        {
            crew.start(cell, &state, args.device.as_deref(), terminal)?;
        }
        if crew.collect(terminal)? == Exit::Interrupted {
            stop.store(true, Ordering::SeqCst);
        }
        std::thread::sleep(POLL);
    }
    judge_quick(plan, &quick, stop, terminal)
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

fn report(plan: &Plan, partial: bool, terminal: &Terminal) -> Result<Option<Model>, Failure> {
    let mut judged = gates::judge(plan)?;
    let report = match StudyReport::new(plan, &judged) {
        // Only a part of the study was asked for, and is trained.
        Err(StudyError::NothingToCompare { .. }) if partial => {
            terminal.say("no report yet: only the full model has sound runs");
            return Ok(None);
        }
        other => other?,
    };
    for (name, text) in [("study.md", report.markdown()), ("study.html", report.html())] {
        write_atomic(&plan.root.join(name), text.as_bytes())?;
    }
    write_json(&plan.root.join("study.json"), &report)?;
    terminal.result(&report, || report.plain())?;
    report.comparison.warnings.iter().for_each(|warning| terminal.say(format!("note: {warning}")));
    terminal.say(format!("report {}", plan.root.join("study.html").display()));
    Ok(Model::new(plan, &mut judged, report))
}

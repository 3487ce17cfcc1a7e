//! `codistill ablate`

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::setup::ensure_data;
use super::signals::stop_flag;
use super::{Exit, Failure, Terminal};
use codistill::ablate::across::{Across, Model, same_metric};
use codistill::ablate::run::Reported;
use codistill::ablate::{
    Ended, Event, Outcome, Plan, Processes, Request, State, Study, StudyError, run as run_study,
};
use codistill::table::{Column, Table};

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
  codistill ablate configs/studies/recipe.toml --data data/mine --jobs 2
  codistill ablate odmt.toml late-fusion.toml sasrec.toml --jobs 2")]
pub struct AblateArgs {
    /// Study file; several are set side by side when all are done.
    #[arg(required = true)]
    study: Vec<PathBuf>,
    /// Study this data set in place of the file's; the study's directory gains its name.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
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

/// What came of one study.
enum Came {
    Interrupted,
    /// There is nothing to set beside other studies.
    Done,
    Model(Model),
}

pub fn run(args: &AblateArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let load = |path: &PathBuf| {
        let study = Study::load(path)?;
        Ok::<_, StudyError>(args.data.iter().fold(study, |study, data| study.of(data)))
    };
    let studies = args.study.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    same_metric(&studies)?;
    let dir = studies[0].dir.clone();
    let stop = stop_flag(terminal);
    let mut models = Vec::new();
    for (path, study) in args.study.iter().zip(studies) {
        match run_one(path, study, args, &stop, terminal)? {
            Came::Interrupted => {
                terminal.say("interrupted; the same command goes on");
                return Ok(Exit::Interrupted);
            }
            Came::Done => {}
            Came::Model(model) => models.push(model),
        }
    }
    if args.study.len() > 1 && !args.dry_run {
        let across = Across::new(&models)?;
        across.write(&dir)?;
        terminal.result(&across, || format!("\n{}", across.plain()))?;
        terminal.say(format!("models side by side {}", dir.join("across.md").display()));
    }
    Ok(Exit::Done)
}

/// One study to its report, which a dry run and a study without figures do not have.
fn run_one(
    path: &Path,
    study: Study,
    args: &AblateArgs,
    stop: &AtomicBool,
    terminal: &Terminal,
) -> Result<Came, Failure> {
    if stop.load(Ordering::SeqCst) {
        return Ok(Came::Interrupted);
    }
    let plan = plan(path, study, args, terminal)?;
    if args.dry_run {
        list(&plan, args, terminal)?;
        return Ok(Came::Done);
    }
    let request = Request { only: args.only.clone(), retry: args.retry, report_only: args.report };
    let program = std::env::current_exe().map_err(|e| Failure::io(Path::new("codistill"), &e))?;
    let launcher = Processes { program, device: args.device.clone() };
    match run_study(plan, &request, &launcher, stop, &mut |event| print_event(&event, terminal))? {
        Outcome::Interrupted => Ok(Came::Interrupted),
        Outcome::NoReport => {
            terminal.say("no report yet: only the full model has usable runs");
            Ok(Came::Done)
        }
        Outcome::Reported(reported) => {
            show(&reported, terminal)?;
            Ok(reported.model.map_or(Came::Done, Came::Model))
        }
    }
}

/// The study as its file and the arguments describe it.
fn plan(path: &Path, mut study: Study, args: &AblateArgs, terminal: &Terminal) -> Result<Plan, Failure> {
    study.jobs = args.jobs.map_or(study.jobs, usize::from).clamp(1, 1024);
    let (mut base, dropped) = study.base_and_dropped()?;
    for view in &dropped.views {
        terminal.warn(format!("dropped {view}: the data set has no features of that view"));
    }
    if let Some(device) = &args.device {
        base.device.clone_from(device);
    }
    if !args.dry_run {
        ensure_data(&mut base, terminal)?;
    }
    if let Some(trials) = args.retune {
        study.set_trials(trials, path)?;
    }
    Ok(Plan::new(study, base)?)
}

fn list(plan: &Plan, args: &AblateArgs, terminal: &Terminal) -> Result<(), Failure> {
    plan.skipped.iter().for_each(|reason| print_event(&Event::Skipped(reason), terminal));
    let standing = plan.standing(&args.only)?;
    let state = |state: &State| match state {
        State::Missing => "to do".to_owned(),
        State::Unfinished => "to go on".to_owned(),
        State::Complete => "done".to_owned(),
        State::Failed(reason) => format!("FAILED: {reason}"),
    };
    if terminal.json {
        let cells = standing.iter().map(|one| {
            serde_json::json!({
                "condition": one.cell.condition, "label": one.label, "seed": one.cell.seed, "run": one.cell.dir,
                "state": state(&one.state),
            })
        });
        return terminal.data_json(&cells.collect::<Vec<_>>());
    }
    let mut text = format!(
        "{}: {} conditions, {} cells; verdicts on {}, declared contrasts {}\n",
        plan.root.display(),
        plan.conditions.len(),
        standing.len(),
        plan.options.metric,
        plan.contrasts.join(", ")
    );
    let rows =
        standing.iter().map(|one| vec![one.cell.name(), state(&one.state), one.label.clone()]).collect();
    let columns = [Column::left(24), Column::left(10), Column::left(0)];
    text += &Table { header: Vec::new(), rows }.lines(&columns, " ");
    terminal.table(&text)
}

fn print_event(event: &Event<'_>, terminal: &Terminal) {
    match event {
        Event::Skipped(reason) => terminal.say(format!("left out: {reason}")),
        Event::Warning(warning) => terminal.warn(warning),
        Event::Done(cell) => terminal.detail(format!("{}: done before", cell.name())),
        Event::Failed(cell, reason) => terminal.warn(format!("{} failed before: {reason}", cell.name())),
        Event::Started { cell, resumed } => {
            let word = if *resumed { "going on" } else { "training" };
            terminal.detail(format!("{}: {word}", cell.name()));
        }
        Event::Ended { cell, ended, count, total, after } => {
            tell_end(&cell.name(), ended, &format!("{count}/{total}"), after.as_secs_f64(), terminal);
        }
        Event::Device(device) => terminal.detail(format!("device {}: {}", device.flag, device.name)),
        Event::Judged(cell, Ok(())) => terminal.say(format!("{}: judged", cell.name())),
        Event::Judged(cell, Err(reason)) => terminal.warn(format!("{} FAILED: {reason}", cell.name())),
        Event::Waits { cell, reference } => {
            terminal.warn(format!("{} waits for {}", cell.name(), reference.name()));
        }
    }
}

fn tell_end(name: &str, ended: &Ended, count: &str, seconds: f64, terminal: &Terminal) {
    match ended {
        Ended::Trained => terminal.say(format!("{count} {name}: trained in {seconds:.0} s")),
        Ended::Interrupted => {}
        Ended::Overdue => terminal.warn(format!("{name} takes too long to leave and is ended")),
        Ended::Killed => {
            terminal.warn(format!("{count} {name} was killed; it goes on when the study is run again"));
        }
        Ended::Held(reason) => terminal.warn(format!("{count} {name} is left: {reason}")),
        Ended::Failed(reason) => terminal.warn(format!("{count} {name} FAILED: {reason}")),
    }
}

fn show(reported: &Reported, terminal: &Terminal) -> Result<(), Failure> {
    let Reported { report, root, .. } = reported;
    terminal.result(report, || report.plain())?;
    report.comparison.warnings.iter().for_each(|warning| terminal.say(format!("note: {warning}")));
    terminal.say(format!("report {}", root.join("study.html").display()));
    Ok(())
}

//! `codistill tune`

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::setup::tell_generated;
use super::signals::stop_flag;
use super::{Exit, Failure, Terminal};
use codistill::eval::Report;
use codistill::tune::{Event, Request, Search, Study, Trial};

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

pub fn run(args: &TuneArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let request = Request { device: args.device.clone(), dry: args.dry_run };
    let mut search = Search::open(&args.study, &request, &mut |event| tell(&event, "", terminal))?;
    if args.dry_run {
        return plan(&search, terminal);
    }
    let stop = stop_flag(terminal);
    let metric = search.metric.clone();
    if !search.train(&stop, &mut |event| tell(&event, &metric, terminal))? {
        terminal.say("interrupted; everything is saved");
        terminal.say(format!("hint: codistill tune {}", args.study.display()));
        return Ok(Exit::Interrupted);
    }
    finish(&search, args, terminal)
}

fn tell(event: &Event<'_>, metric: &str, terminal: &Terminal) {
    match event {
        Event::Generating(world) => tell_generated(world, terminal),
        Event::Warning(warning) => terminal.warn(warning),
        Event::Note(note) => terminal.say(format!("note: {note}")),
        Event::Trained { trial, until } => {
            let name = Study::name(trial.number);
            match (&trial.failed, trial.score()) {
                (Some(reason), _) => terminal.warn(format!("{name} FAILED: {reason}")),
                (_, score) => terminal
                    .say(format!("{name} after {until} epochs: {metric} {:.4}", score.unwrap_or(f64::NAN))),
            }
        }
    }
}

/// Prints where every trial stands, and which is next.
fn plan(search: &Search, terminal: &Terminal) -> Result<Exit, Failure> {
    let best = search.best().map(|trial| trial.number);
    let (dir, trials) = (search.study.dir.as_path(), search.trials.as_slice());
    let printed = Printed { dir, metric: &search.metric, trials, best, test: None };
    terminal.result(&printed, || search.table().plain())?;
    terminal.say(match search.next() {
        Some((number, until)) => format!("next: {} to epoch {until}", Study::name(number)),
        None => "nothing is left to train".into(),
    });
    Ok(Exit::Done)
}

/// Prints the table, the best configuration and, if asked, its test figures.
fn finish(search: &Search, args: &TuneArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let table = search.table();
    let Some(winner) = search.best() else {
        terminal.table(&table.plain())?;
        return Err(Failure::user("every trial failed", "read the reasons above; narrow the space"));
    };
    let mut on_event = |event: Event<'_>| tell(&event, &search.metric, terminal);
    let test = if args.judge { Some(search.judge(winner.number, &mut on_event)?) } else { None };
    let (name, path) = (Study::name(winner.number), search.study.best_config());
    terminal.say(format!("best: {name}; configuration {}", path.display()));
    if terminal.json {
        let (dir, trials) = (search.study.dir.as_path(), search.trials.as_slice());
        let best = Some(winner.number);
        terminal.data_json(&Printed { dir, metric: &search.metric, trials, best, test })?;
    } else {
        terminal.table(&table.plain())?;
        if let Some(report) = test {
            terminal.table(&format!("\n{}", report.table()))?;
        }
    }
    Ok(Exit::Done)
}

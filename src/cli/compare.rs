//! `codistill compare`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Failure, Terminal};
use codistill::artefact::write_atomic;
use codistill::compare::{Comparison, GroupSpec, Metric, Options, compare};
use codistill::stats::Rule;

#[derive(Debug, Args)]
#[command(after_help = "\
Each RUN is `[LABEL=]PATH[,PATH...][:NAME]`: a run directory, or several that differ by the seed only, listed with \
commas or matched by a quoted pattern. NAME chooses a branch or a baseline instead of the ensemble. The first RUN is \
the reference. With two or more seeds on a side the verdict knows the noise of training; with one it isn't given.

Examples:
  codistill compare checkpoints/sasrec checkpoints/odmt
  codistill compare 'checkpoints/sasrec-*' 'checkpoints/odmt-*' --html report.html
  codistill compare counted=checkpoints/odmt-1:transitions 'checkpoints/odmt-*' --metric recall@20 --json")]
pub struct CompareArgs {
    /// Reference, then conditions.
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<String>,
    /// recall@K, ndcg@K or mrr@K, any K: what the verdict is about.
    #[arg(long, default_value = "ndcg@10")]
    metric: String,
    /// Branch or baseline of the groups that name none; default: the ensemble.
    #[arg(long)]
    branch: Option<String>,
    /// valid or test.
    #[arg(long, default_value = "test", value_parser = ["valid", "test"])]
    part: String,
    /// What counts as equal, as a share of the reference.
    #[arg(long, default_value_t = 0.02)]
    margin: f64,
    /// Of intervals; tests use 1 - confidence.
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    /// With which the smallest visible effect would be found.
    #[arg(long, default_value_t = 0.8)]
    power: f64,
    /// Bootstrap resamples and sign flips.
    #[arg(long, default_value_t = 10_000)]
    draws: usize,
    /// Seed of the resampling.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a Markdown report.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write a report with plots, one self-contained HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub fn run(args: &CompareArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let options = options(args)?;
    let specs: Vec<GroupSpec> =
        args.runs.iter().map(|text| GroupSpec::parse(text)).collect::<Result<_, _>>()?;
    refuse_idle(args, &specs)?;
    let comparison = compare(&specs, &options)?;
    terminal.result(&comparison, || comparison.plain())?;
    talk(&comparison, terminal);
    let markdown = args.markdown.as_ref().map(|path| (path, comparison.markdown()));
    let html = args.html.as_ref().map(|path| (path, comparison.html()));
    for (path, report) in markdown.into_iter().chain(html) {
        save(path, &report)?;
        terminal.say(format!("report {}", path.display()));
    }
    Ok(Exit::Done)
}

/// Refuses a --branch that every RUN overrides, and two reports in one file.
fn refuse_idle(args: &CompareArgs, specs: &[GroupSpec]) -> Result<(), Failure> {
    if let Some(branch) = &args.branch
        && specs.iter().all(|one| one.score.is_some())
    {
        return Err(Failure::user(
            format!("--branch {branch} does nothing here: every RUN names its own with `:NAME`"),
            "leave it out, or take `:NAME` away where the branch is meant",
        ));
    }
    match (&args.markdown, &args.html) {
        (Some(markdown), Some(html)) if markdown == html => Err(Failure::user(
            format!("--markdown and --html would both write {}", html.display()),
            "give each a file of its own",
        )),
        _ => Ok(()),
    }
}

fn options(args: &CompareArgs) -> Result<Options, Failure> {
    let metric: Metric = args.metric.parse()?;
    let check = |name: &str, value: f64, low: f64, high: f64| {
        if value > low && value < high {
            return Ok(value);
        }
        Err(Failure::user(
            format!("--{name} {value} is out of range"),
            format!("use a value between {low} and {high}"),
        ))
    };
    if args.margin != 0.0 {
        check("margin", args.margin, 0.0, 1.0)?;
    }
    if !(2..=10_000_000).contains(&args.draws) {
        return Err(Failure::user(
            format!("--draws {} is out of range", args.draws),
            "use 2 to 10000000, e.g. 10000",
        ));
    }
    let rule = Rule {
        confidence: check("confidence", args.confidence, 0.5, 1.0)?,
        margin: args.margin,
        power: check("power", args.power, 0.5, 1.0)?,
    };
    let (part, branch) = (args.part.clone(), args.branch.clone());
    Ok(Options { metric, part, branch, rule, draws: args.draws, seed: args.seed })
}

/// What a reader of the table must know beside it.
fn talk(comparison: &Comparison, terminal: &Terminal) {
    for failed in &comparison.failed {
        terminal.warn(format!("{} is left out: {}", failed.run.display(), failed.reason));
    }
    for warning in &comparison.warnings {
        terminal.say(format!("note: {warning}"));
    }
}

fn save(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|e| Failure::io(parent, &e))?;
    }
    Ok(write_atomic(path, text.as_bytes())?)
}

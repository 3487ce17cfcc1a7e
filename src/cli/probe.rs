//! `codistill probe`

use std::path::PathBuf;

use clap::Args;

use super::setup::parse_part;
use super::{Exit, Failure, Terminal};
use codistill::artefact::{Makes, may_make};
use codistill::data::{Dataset, Part};
use codistill::probe::{Notice, Options, Probe, open_views};

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is trained. P1 ranks by the features alone, P2 by their neighbours and compares these with behaviour in \
training, P3 takes a view from more and more items, P5 looks at the geometry. P4, with --validity, asks whether \
these figures put finished runs on different features in the order of their final metric.

Examples:
  codistill probe data/movies
  codistill probe data/movies --view text,image --output probes/movies
  codistill probe data/movies --validity 'checkpoints/variant-*' --json")]
pub struct ProbeArgs {
    /// Dataset directory.
    data: PathBuf,
    /// Feature stores: names below `<data>/features`, or NAME=PATH. Default: all of them.
    #[arg(long = "view", value_name = "VIEW", value_delimiter = ',')]
    views: Vec<String>,
    /// Neighbours per item.
    #[arg(long = "k", value_delimiter = ',', default_values_t = [10, 20, 50])]
    neighbours: Vec<usize>,
    /// Average only so many last items of a history; 0: all.
    #[arg(long, default_value_t = 0)]
    last: usize,
    /// valid or test.
    #[arg(long, default_value = "valid", value_parser = parse_part)]
    part: Part,
    /// Leave out P3, which repeats P1 and P2 four times per view.
    #[arg(long)]
    no_masks: bool,
    /// Of random features, masks and sampled pairs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Finished runs (or patterns) on this data set whose views have different features.
    #[arg(long, value_name = "RUN", num_args = 1..)]
    validity: Vec<String>,
    /// With --validity: go on where the features are not those that a run was trained on.
    #[arg(long, requires = "validity")]
    accept_changed: bool,
    /// Folder for `probe.md` and `probe.json`.
    #[arg(long, short)]
    output: Option<PathBuf>,
}

pub fn run(args: &ProbeArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    if args.neighbours.iter().any(|&k| k == 0 || k > 10_000) || args.neighbours.is_empty() {
        return Err(Failure::user("--k is out of range", "use 1 to 10000, e.g. --k 10,20,50"));
    }
    if let Some(dir) = &args.output {
        may_make(dir, Makes::Report)?;
    }
    let dataset = Dataset::open(&args.data)?;
    let views = open_views(&args.data, &dataset, &args.views)?;
    let options = Options {
        part: args.part,
        neighbours: args.neighbours.clone(),
        last: args.last,
        masks: !args.no_masks,
        seed: args.seed,
        ..Options::default()
    };
    let start = std::time::Instant::now();
    let probe = Probe::new(&dataset, &options);
    let mut report = probe.report(&views)?;
    if !args.validity.is_empty() {
        let runs = expand(&args.validity)?;
        let mut on_notice = |notice| match notice {
            Notice::Warning(warning) => terminal.warn(warning),
            Notice::Note(note) => terminal.say(format!("note: {note}")),
        };
        report.validity = Some(probe.validity(&runs, &args.data, args.accept_changed, &mut on_notice)?);
    }
    terminal.result(&report, || report.plain())?;
    if let Some(dir) = &args.output {
        report.write(dir)?;
        terminal.say(format!("report {}", dir.join("probe.md").display()));
    }
    terminal.detail(format!("{:.1} s", start.elapsed().as_secs_f64()));
    Ok(Exit::Done)
}

/// Run directories that are named or matched by a pattern.
fn expand(patterns: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for pattern in patterns {
        let matches = glob::glob(pattern).map_err(|e| {
            Failure::user(format!("{pattern}: {e}"), "quote it, e.g. 'checkpoints/variant-*'")
        })?;
        let before = found.len();
        found.extend(matches.filter_map(Result::ok));
        if found.len() == before {
            return Err(Failure::user(
                format!("`{pattern}` matches no run directory"),
                "e.g. 'checkpoints/variant-*'",
            ));
        }
    }
    Ok(found)
}

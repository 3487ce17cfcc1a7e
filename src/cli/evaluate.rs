//! `codistill evaluate`, and the report at the end of a training.

mod missing;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::choice::{self, ChoiceArgs, positive};
use super::setup::{InputArgs, lock, open_any_run, parse_part};
use super::words::one_of;
use super::{Exit, Failure, Terminal};
use codistill::config::{ColdConfig, ColdId, HistoryRule, TieRule};
use codistill::data::Part;
use codistill::eval::kept::keep;
use codistill::eval::{Named, Report, named, rows};
use codistill::judge::missing::Missing;
use codistill::judge::{Cold, Judging, judge};
use codistill::lock::DirLock;
use codistill::recommend::Calibration;
use codistill::run::Protocol;
use codistill::train::run_dir::{RunDir, Which};

#[derive(Debug, Args)]
#[command(after_help = format!("\
Every item of the catalogue is a candidate, save those that the history rule takes away, unless options choose some. \
Targets that were not chosen are left out and counted; the model, the baselines and the oracle are judged alike. \
Baselines stand in \
the same table, and their rows in the same file: popularity, recent popularity, counted item-to-item transitions, \
item-kNN on behaviour and on each view's content, and the oracle where the truth is planted. Those that count take what the \
model was trained on; on the test part `transitions (knows validation)` and `item-knn (knows validation)` count the \
validation items as well.

{}

Examples:
  codistill evaluate checkpoints/quickstart --part valid --json
  codistill evaluate checkpoints/quickstart --baseline transitions,text-knn,image-knn --markdown
  codistill evaluate checkpoints/quickstart --protocol macrec
  codistill evaluate checkpoints/quickstart --missing text=0.3,image=0.9,text=1+image=1
  codistill evaluate checkpoints/quickstart --ks 5,20 --candidates in-stock.txt", choice::FILES))]
pub struct EvaluateArgs {
    /// Run directory.
    run: PathBuf,
    /// best, last or the number of a step.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// valid or test.
    #[arg(long, default_value = "test", value_parser = parse_part)]
    part: Part,
    /// Cut-offs, e.g. `5,10,20`; the tables show each of them.
    #[arg(long, value_delimiter = ',', value_parser = positive)]
    ks: Vec<usize>,
    /// Rules that others publish under, by name (docs/protocols.md). Default: the run's own.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["history", "ties"], value_parser = one_protocol())]
    protocol: Option<Named>,
    /// all, window, train or keep: which known items leave the candidates.
    #[arg(long)]
    history: Option<HistoryRule>,
    /// mid, optimistic, pessimistic, ascending or descending.
    #[arg(long)]
    ties: Option<TieRule>,
    #[command(flatten)]
    inputs: InputArgs,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Where to put the rows (one per target and score name); default: the run directory, and nowhere where options
    /// choose the candidates or how cold items are scored.
    #[arg(long)]
    rows: Option<PathBuf>,
    /// Baselines to judge beside the model: popularity, recent-popularity, transitions, item-knn, `VIEW-knn` (one view's
    /// features), content-knn (all views together), or none. Default: all but content-knn.
    #[arg(long = "baseline", value_name = "NAME", value_delimiter = ',')]
    baselines: Vec<String>,
    /// Judge items that no training window reads as new ones: what stands in for their ID vectors.
    #[arg(long, value_parser = one_of::<ColdId>(ColdId::WORDS))]
    cold_id: Option<ColdId>,
    /// With --cold-id ridge: fit on items with at least so many training interactions.
    #[arg(long)]
    min_events: Option<u32>,
    /// With --cold-id: how items without an ID vector are scored beside the others. Default: zscore.
    #[arg(long)]
    calibrate: Option<Calibration>,
    /// What the model keeps where a share of the items lacks a view, in the catalogue and in histories: a row for each, e.g.
    /// `text=0.3,text=1`, and several views at a time as `text=0.3+image=1`. Judges the model alone, and replaces neither
    /// report nor rows of the run: the table goes to its retention-PART.json.
    #[arg(
        long,
        value_name = "VIEW=SHARE[+VIEW=SHARE…]",
        value_delimiter = ',',
        conflicts_with = "baselines"
    )]
    missing: Vec<Missing>,
    /// With --missing: which items lack a view is drawn by this. Default: 1.
    #[arg(long, value_name = "N", requires = "missing")]
    missing_seed: Option<u64>,
    /// Print Markdown.
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    choice: ChoiceArgs,
}

pub fn run(args: &EvaluateArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    check(args, terminal)?;
    // A run in use is told before the work; the lock itself is held only while files are replaced, so that several
    // evaluations may run at one time.
    if args.replaces_files() && args.run.is_dir() {
        drop(lock_run(args, Duration::ZERO, terminal)?);
    }
    let protocol =
        Protocol { named: args.protocol, ks: args.cut_offs(), history: args.history, ties: args.ties };
    let run = open_any_run(&args.run, &args.checkpoint, &args.inputs, &args.device, &protocol, terminal)?;
    let setup = run.model.setup();
    let cold = args.cold(setup.config.data.cold.as_ref());
    if let Some(warning) = setup.hidden_targets(args.part).warning() {
        terminal.warn(warning);
    }
    if let Some(warning) = args.protocol.and_then(|named| named.warning(setup.config.data.max_seq_len)) {
        terminal.warn(warning);
    }
    check_cold(args, cold.map(|cold| cold.rule))?;
    let choice = args.choice.choose(&setup.dataset.items, terminal)?;
    if !args.missing.is_empty() {
        return missing::run(args, &run, cold, choice.as_ref(), terminal);
    }
    let judging = Judging { part: args.part, baselines: &args.baselines, cold, choice: choice.as_ref() };
    let mut report = judge(run.model.as_ref(), &judging)?;
    let rows = args.keep(&mut report, &run.dir, terminal)?;
    args.print(&report, terminal)?;
    let rows = rows.map_or_else(
        || "no rows written, --rows FILE would".to_owned(),
        |path| format!("rows {}", path.display()),
    );
    terminal.say(format!("checkpoint {}; {rows}", run.path.display()));
    Ok(Exit::Done)
}

impl EvaluateArgs {
    /// The cut-offs that were asked for, each once.
    fn cut_offs(&self) -> Vec<usize> {
        let mut ks = self.ks.clone();
        ks.sort_unstable();
        ks.dedup();
        ks
    }

    /// How cold items are judged, by the options before the configuration.
    fn cold(&self, config: Option<&ColdConfig>) -> Option<Cold> {
        let config = match (self.cold_id, config) {
            (Some(rule), config) => ColdConfig { rule, ..config.cloned().unwrap_or_default() },
            (None, config) => config?.clone(),
        };
        Some(Cold {
            rule: config.rule,
            min_events: self.min_events.unwrap_or(config.min_events),
            calibration: self.calibrate.unwrap_or_default(),
        })
    }

    /// Writes the rows, and the report beside the run's own; where the rows are.
    fn keep(
        &self,
        report: &mut Report,
        run: &RunDir,
        terminal: &Terminal,
    ) -> Result<Option<PathBuf>, Failure> {
        // The run's own rows are those of every item, beside the report that says so.
        match (&self.rows, self.is_aside()) {
            (Some(path), _) => {
                rows::write_all(path, &report.evaluations)?;
                Ok(Some(path.clone()))
            }
            (None, true) => Ok(None),
            (None, false) => {
                let path = run.rows(self.part.name());
                let _lock = lock_run(self, PATIENCE, terminal)?;
                keep(report, &path, &run.report_of(self.part.name()))?;
                Ok(Some(path))
            }
        }
    }

    fn print(&self, report: &Report, terminal: &Terminal) -> Result<(), Failure> {
        let mut ks = self.cut_offs();
        if ks.is_empty() {
            ks = report.usual_ks();
        }
        if self.markdown && !terminal.json {
            terminal.data(&report.markdown_at(&ks))?;
        } else {
            terminal.result(report, || report.table_at(&ks))?;
        }
        if let Some(warning) = report.time_order.and_then(|order| order.warning()) {
            terminal.say(format!("note: {warning}"));
        }
        Ok(())
    }

    /// Whether a file of the run is replaced.
    fn replaces_files(&self) -> bool {
        !self.is_aside() && (self.rows.is_none() || !self.missing.is_empty())
    }

    /// Whether other candidates or other scores are judged than those of the run itself.
    fn is_aside(&self) -> bool {
        let cold = self.cold_id.is_some() || self.min_events.is_some() || self.calibrate.is_some();
        cold || !self.choice.is_empty()
    }
}

/// How long the end of an evaluation waits for another one to write its files.
const PATIENCE: Duration = Duration::from_secs(10);

fn lock_run(args: &EvaluateArgs, patience: Duration, terminal: &Terminal) -> Result<DirLock, Failure> {
    lock(&args.run, "evaluate", patience, terminal).map_err(|failure| Failure {
        hint: failure.hint.map(|hint| match args.missing.as_slice() {
            [] => format!("{hint}; --rows FILE writes the rows elsewhere"),
            _ => hint,
        }),
        ..failure
    })
}

/// Reads the name of a protocol; the help lists them.
fn one_protocol() -> impl TypedValueParser<Value = Named> {
    let value = |named: Named| PossibleValue::new(named.name).help(named.about);
    PossibleValuesParser::new(named::ALL.map(value)).try_map(|name| name.parse::<Named>())
}

/// Options that contradict each other.
fn check(args: &EvaluateArgs, terminal: &Terminal) -> Result<(), Failure> {
    if args.markdown && terminal.json {
        return Err(Failure::user("--markdown contradicts --json", "leave one of them out"));
    }
    if let Some(named) = args.protocol.filter(|_| !args.choice.is_empty()) {
        return Err(Failure::user(
            format!("--protocol {} ranks every item, and options choose some", named.name),
            "leave --protocol out, or the options for candidates",
        ));
    }
    if args.baselines.len() > 1 && args.baselines.iter().any(|name| name == "none") {
        return Err(Failure::user(
            "--baseline none contradicts the other baselines",
            "name baselines, or none alone",
        ));
    }
    if let Some((_, twice)) =
        args.baselines.iter().enumerate().find(|(n, name)| args.baselines[..*n].contains(name))
    {
        return Err(Failure::user(format!("--baseline names {twice} twice"), "name each baseline once"));
    }
    Ok(())
}

/// Options for items without training interactions, which do nothing where these are judged as any other.
fn check_cold(args: &EvaluateArgs, rule: Option<ColdId>) -> Result<(), Failure> {
    if args.calibrate.is_some() && rule.is_none() {
        return Err(Failure::user(
            "--calibrate does nothing here: every item is scored with its ID vector",
            "--cold-id RULE judges items without training interactions as new ones",
        ));
    }
    if args.min_events.is_some() && rule != Some(ColdId::Ridge) {
        return Err(Failure::user(
            "--min-events does nothing here: no map to ID vectors is fitted",
            "use it with --cold-id ridge",
        ));
    }
    Ok(())
}

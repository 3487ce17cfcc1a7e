//! `codistill evaluate`, and the report at the end of a training.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::choice::{self, ChoiceArgs, positive};
use super::setup::{InputArgs, lock, open_run, parse_part, part_name};
use super::words::one_of;
use super::{Exit, Failure, Terminal};
use crate::config::{ColdConfig, ColdId, HistoryRule, TieRule};
use crate::data::{Choice, Part, Target};
use crate::embed::{ColdRule, encode};
use crate::eval::baseline::{ContentKnn, ItemKnn, Popularity, RecentPopularity, Transitions};
use crate::eval::cold::{Counted, OwnKind};
use crate::eval::content::ContentNearest;
use crate::eval::kept::keep;
use crate::eval::report::ORACLE;
use crate::eval::{
    ColdReport, Evaluation, GlobalTime, Report, ScoreError, Scorer, TimeOrder, chosen_counts, rows,
};
use crate::lock::DirLock;
use crate::model::Recommender;
use crate::recommend::{Calibration, Mixed, MixedScorer};
use crate::synth::Truth;
use crate::train::Experiment;
use crate::train::run_dir::{RunDir, Which};

#[derive(Debug, Args)]
#[command(after_help = format!("\
Every item of the catalogue is a candidate, save those that the history rule takes away, unless options choose some. \
Targets that were not chosen are left out and counted; the model, the baselines and the oracle are judged alike. \
Baselines stand in \
the same table, and their rows in the same file: popularity, recent popularity, counted item-to-item transitions, \
item-kNN on behaviour and on content, and the oracle where the truth is planted. Those that count take all \
that stands before the targets, on the test part the validation targets too.

{}

Examples:
  codistill evaluate checkpoints/quickstart --part valid --json
  codistill evaluate checkpoints/quickstart --baseline transitions,text-knn,image-knn --markdown
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
    /// all, window or keep: which known items leave the candidates.
    #[arg(long)]
    history: Option<HistoryRule>,
    /// mid, optimistic or pessimistic.
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
    /// Baselines to judge beside the model: popularity, recent-popularity, transitions, item-knn, content-knn,
    /// `VIEW-knn` (one view's features alone), or none. Default: all but single views.
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
    if args.rows.is_none() && !args.is_aside() && args.run.is_dir() {
        drop(lock_run(args, Duration::ZERO, terminal)?);
    }
    let mut trained = open_run(&args.run, &args.checkpoint, &args.inputs, &args.device, terminal)?;
    let eval = &mut trained.experiment.config.eval;
    let mut ks = args.ks.clone();
    ks.sort_unstable();
    ks.dedup();
    if !ks.is_empty() {
        eval.ks.clone_from(&ks);
    }
    eval.history = args.history.unwrap_or(eval.history);
    eval.ties = args.ties.unwrap_or(eval.ties);
    let cold = match (args.cold_id, &trained.experiment.config.data.cold) {
        (Some(rule), config) => Some(ColdConfig { rule, ..config.clone().unwrap_or_default() }),
        (None, config) => config.clone(),
    };
    let cold = cold.map(|cold| Cold {
        rule: cold.rule,
        min_events: args.min_events.unwrap_or(cold.min_events),
        calibration: args.calibrate.unwrap_or_default(),
    });
    if let Some(warning) = trained.experiment.hidden_targets(args.part).warning() {
        terminal.warn(warning);
    }
    check_cold(args, cold.map(|cold| cold.rule))?;
    let choice = args.choice.choose(&trained.experiment.dataset.items, terminal)?;
    let (part, choice) = (args.part, choice.as_ref());
    let mut report = judge(&trained.experiment, &trained.model, part, &args.baselines, cold, choice)?;
    // The run's own rows are those of every item, beside the report that says so.
    let path = match (&args.rows, args.is_aside()) {
        (Some(path), _) => {
            rows::write_all(path, &report.evaluations)?;
            Some(path.clone())
        }
        (None, true) => None,
        (None, false) => {
            let path = trained.run.rows(part_name(part));
            let _lock = lock_run(args, PATIENCE, terminal)?;
            keep(&mut report, &path, &trained.run.report_of(part_name(part)))?;
            Some(path)
        }
    };
    if ks.is_empty() {
        ks = report.usual_ks();
    }
    if args.markdown && !terminal.json {
        terminal.data(&report.markdown_at(&ks))?;
    } else {
        terminal.result(&report, || report.table_at(&ks))?;
    }
    if let Some(warning) = report.time_order.and_then(|order| order.warning()) {
        terminal.say(format!("note: {warning}"));
    }
    let rows = path.map_or_else(
        || "no rows written, --rows FILE would".to_owned(),
        |path| format!("rows {}", path.display()),
    );
    terminal.say(format!("checkpoint {}; {rows}", trained.path.display()));
    Ok(Exit::Done)
}

impl EvaluateArgs {
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
        hint: failure.hint.map(|hint| format!("{hint}; --rows FILE writes the rows elsewhere")),
        ..failure
    })
}

/// Options that contradict each other.
fn check(args: &EvaluateArgs, terminal: &Terminal) -> Result<(), Failure> {
    if args.markdown && terminal.json {
        return Err(Failure::user("--markdown contradicts --json", "leave one of them out"));
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

/// How items that no training has seen are judged.
#[derive(Clone, Copy)]
struct Cold {
    rule: ColdId,
    min_events: u32,
    calibration: Calibration,
}

/// Evaluates the model, the baselines and the oracle, and saves report and rows in `run`.
///
/// Without `baselines` these are all that take little time.
pub fn final_report(
    experiment: &Experiment,
    model: &Recommender,
    part: Part,
    baselines: &[String],
    run: Option<&RunDir>,
) -> Result<Report, Failure> {
    let config = experiment.config.data.cold.as_ref();
    let cold = config.map(|cold| Cold {
        rule: cold.rule,
        min_events: cold.min_events,
        calibration: Calibration::default(),
    });
    let mut report = judge(experiment, model, part, baselines, cold, None)?;
    if let Some(run) = run {
        keep(&mut report, &run.rows(part_name(part)), &run.report())?;
    }
    Ok(report)
}

/// Neighbours by the features of all views together.
const CONTENT_KNN: &str = "content-knn";
/// Multiplications up to which content neighbours are computed unasked: some seconds.
const UNASKED_WORK: f64 = 2e11;

/// Baselines by their names; all affordable ones where none is named.
fn chosen_baselines<'a>(
    experiment: &'a Experiment,
    names: &[String],
) -> Result<Vec<Box<dyn Scorer + 'a>>, Failure> {
    let dataset = &experiment.dataset;
    let content = experiment.content();
    let mut chosen: Vec<Box<dyn Scorer + 'a>> = Vec::new();
    if names.is_empty() {
        chosen.push(Box::new(Popularity::new(dataset)));
        chosen.push(Box::new(RecentPopularity::new(dataset)));
        chosen.push(Box::new(Transitions::new(dataset)));
        chosen.push(Box::new(ItemKnn::new(dataset)));
        let knn = ContentKnn::new(dataset, CONTENT_KNN, content);
        if knn.work() > 0.0 && knn.work() <= UNASKED_WORK {
            chosen.push(Box::new(knn));
        }
        return Ok(chosen);
    }
    for name in names {
        let view = name.strip_suffix("-knn").and_then(|view| content.iter().find(|v| v.name == view));
        chosen.push(match (name.as_str(), view) {
            ("none", _) => continue,
            ("popularity", _) => Box::new(Popularity::new(dataset)),
            ("recent-popularity", _) => Box::new(RecentPopularity::new(dataset)),
            ("transitions", _) => Box::new(Transitions::new(dataset)),
            ("item-knn", _) => Box::new(ItemKnn::new(dataset)),
            (CONTENT_KNN, _) if !content.is_empty() => {
                Box::new(ContentKnn::new(dataset, CONTENT_KNN, content.clone()))
            }
            (_, Some(view)) => Box::new(ContentKnn::new(dataset, name, vec![view.clone()])),
            _ => {
                let views: String = content.iter().map(|v| format!(", {}-knn", v.name)).collect();
                let all = if views.is_empty() { views } else { format!(", {CONTENT_KNN}{views}") };
                return Err(Failure::user(
                    format!("there is no baseline `{name}` here"),
                    format!("use popularity, recent-popularity, transitions, item-knn{all} or none"),
                ));
            }
        });
    }
    Ok(chosen)
}

fn judge(
    experiment: &Experiment,
    model: &Recommender,
    part: Part,
    baselines: &[String],
    cold: Option<Cold>,
    choice: Option<&Choice>,
) -> Result<Report, Failure> {
    let dataset = &experiment.dataset;
    let (of_model, of_cold) = match cold {
        None => (experiment.evaluate_model_among(model, part, choice)?, None),
        Some(cold) => {
            let (all, report) = judge_cold(experiment, model, part, cold, choice)?;
            (all, Some(report))
        }
    };
    let mut evaluations = vec![of_model];
    for scorer in &mut chosen_baselines(experiment, baselines)? {
        evaluations.push(experiment.evaluate_scorer_among(scorer.as_mut(), part, choice)?);
    }
    if let Some(truth) = truth_of(experiment)? {
        let mut oracle = Oracle { truth, experiment };
        evaluations.push(experiment.evaluate_scorer_among(&mut oracle, part, choice)?);
    }
    let (hash, seed) = (dataset.hash.clone(), experiment.config.seed);
    let time_order = TimeOrder::of(dataset, part);
    let s = experiment.config.data.max_seq_len;
    let knows_future = time_order.is_some_and(|order| order.later_training > 0.0);
    // Who names the baselines gets these and no others.
    let global_time = if baselines.is_empty() && knows_future {
        GlobalTime::of(dataset, part, &experiment.config.eval, s, choice)?
    } else {
        None
    };
    let accepted = experiment.accepted.iter().map(ToString::to_string).collect();
    Ok(Report { evaluations, dataset: hash, seed, time_order, global_time, cold: of_cold, accepted })
}

/// The model's evaluation where items without training are scored as new ones, and what became of them.
fn judge_cold(
    experiment: &Experiment,
    model: &Recommender,
    part: Part,
    cold: Cold,
    choice: Option<&Choice>,
) -> Result<(Evaluation, ColdReport), Failure> {
    let rule = ColdRule::fit(experiment, model, cold.rule, cold.min_events)?;
    let (vectors, encoded) = encode::catalogue(experiment, model, &rule);
    let trained = experiment.trained_counts();
    let flags = trained[1..].iter().map(|&n| n > 0).collect();
    let mixed = Mixed::of(vectors, flags, encoded.live, vec![true; trained.len() - 1]);
    let (dataset, s) = (Some(&experiment.dataset), experiment.config.data.max_seq_len);
    let mut scorer = MixedScorer::new(model, &mixed, dataset, s, cold.calibration, &experiment.device);
    let word = format!("{:?}", cold.rule).to_lowercase();
    let (all, mut report) = by_kind(experiment, &mut scorer, part, &word, choice)?;
    let stores: Vec<_> = experiment.views.iter().flatten().map(|view| view.store.as_ref()).collect();
    let mut floor = ContentNearest::new(&experiment.dataset, &stores);
    report.scored.extend(by_kind(experiment, &mut floor, part, &word, choice)?.1.scored);
    Ok((all, report))
}

/// A scorer's evaluation among all candidates, and cold and warm targets apart.
fn by_kind(
    experiment: &Experiment,
    scorer: &mut dyn Scorer,
    part: Part,
    rule: &str,
    choice: Option<&Choice>,
) -> Result<(Evaluation, ColdReport), Failure> {
    let trained = experiment.trained_counts();
    let all = experiment.evaluate_scorer_among(&mut Counted { inner: scorer, trained }, part, choice)?;
    let own = experiment.evaluate_scorer_among(&mut OwnKind { inner: scorer, trained }, part, choice)?;
    let candidates = choice.map_or_else(|| trained.to_vec(), |choice| chosen_counts(choice, trained));
    let report = ColdReport::new(rule, &all, &own, &candidates);
    Ok((all, report))
}

/// The planted truth beside a generated data set. It knows whole histories only, so that there is none for
/// a data set with items held out.
fn truth_of(experiment: &Experiment) -> Result<Option<Truth>, Failure> {
    if experiment.config.data.cold.is_some() {
        return Ok(None);
    }
    let Some(dir) = experiment.config.data.path.as_ref().map(|p| p.join("truth")) else { return Ok(None) };
    if dir.exists() { Ok(Some(Truth::load(&dir)?)) } else { Ok(None) }
}

/// Ranks by the true probability: the ceiling.
struct Oracle<'a> {
    truth: Truth,
    experiment: &'a Experiment,
}

impl Scorer for Oracle<'_> {
    fn names(&self) -> Vec<String> {
        vec![ORACLE.into()]
    }

    fn items(&self) -> usize {
        self.truth.items()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let width = self.items() + 1;
        out[0].resize(targets.len() * width, 0.0);
        for (target, row) in targets.iter().zip(out[0].chunks_exact_mut(width)) {
            let history = self.experiment.dataset.history(target);
            self.truth
                .scores(target.user, target.position, history, row)
                .map_err(|e| ScoreError::new(e.to_string()))?;
        }
        Ok(())
    }
}

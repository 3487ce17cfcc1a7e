//! `codistill evaluate`, and the report at the end of a training.

use std::path::PathBuf;

use clap::Args;

use super::setup::{open_run, parse_part, part_name};
use super::{Exit, Failure, Terminal};
use crate::config::{HistoryRule, TieRule};
use crate::data::{Part, Target};
use crate::eval::baseline::{Popularity, Transitions};
use crate::eval::{Report, ScoreError, Scorer, rows};
use crate::model::Recommender;
use crate::synth::Truth;
use crate::train::Experiment;
use crate::train::run_dir::{RunDir, Which};

#[derive(Debug, Args)]
#[command(after_help = "\
Every item of the catalogue is a candidate, save those that the history rule takes away. Baselines stand in
the same table: popularity, counted item-to-item transitions, and the oracle where the truth is planted.

Example:
  codistill evaluate checkpoints/quickstart --part valid --json")]
pub struct EvaluateArgs {
    /// Run directory.
    run: PathBuf,
    /// best, last or the number of a step.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// valid or test.
    #[arg(long, default_value = "test", value_parser = parse_part)]
    part: Part,
    /// Cut-offs, e.g. `5,10,20`.
    #[arg(long, value_delimiter = ',')]
    ks: Vec<usize>,
    /// all, window or keep: which known items leave the candidates.
    #[arg(long, value_parser = history)]
    history: Option<HistoryRule>,
    /// mid, optimistic or pessimistic.
    #[arg(long, value_parser = ties)]
    ties: Option<TieRule>,
    /// Dataset directory, if it has moved.
    #[arg(long)]
    data: Option<PathBuf>,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Where to put the rows (one per target and score name); default: the run directory.
    #[arg(long)]
    rows: Option<PathBuf>,
    /// Print Markdown.
    #[arg(long)]
    markdown: bool,
}

fn history(text: &str) -> Result<HistoryRule, String> {
    match text {
        "all" => Ok(HistoryRule::All),
        "window" => Ok(HistoryRule::Window),
        "keep" => Ok(HistoryRule::Keep),
        _ => Err("use all, window or keep".into()),
    }
}

fn ties(text: &str) -> Result<TieRule, String> {
    match text {
        "mid" => Ok(TieRule::Mid),
        "optimistic" => Ok(TieRule::Optimistic),
        "pessimistic" => Ok(TieRule::Pessimistic),
        _ => Err("use mid, optimistic or pessimistic".into()),
    }
}

pub fn run(args: &EvaluateArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut trained = open_run(&args.run, &args.checkpoint, args.data.as_deref(), &args.device, terminal)?;
    let eval = &mut trained.experiment.config.eval;
    if !args.ks.is_empty() {
        eval.ks.clone_from(&args.ks);
    }
    eval.history = args.history.unwrap_or(eval.history);
    eval.ties = args.ties.unwrap_or(eval.ties);
    let report = final_report(&trained.experiment, &trained.model, args.part, None)?;
    let path = args.rows.clone().unwrap_or_else(|| trained.run.rows(part_name(args.part)));
    rows::write(&path, report.model())?;
    if terminal.json {
        terminal.data_json(&report)?;
    } else if args.markdown {
        terminal.data(&report.markdown())?;
    } else {
        terminal.data(&report.table())?;
    }
    terminal.say(format!("checkpoint {}; rows {}", trained.path.display(), path.display()));
    Ok(Exit::Done)
}

/// Evaluates the model, the floors and the oracle, and saves report and rows in `run`.
pub fn final_report(
    experiment: &Experiment,
    model: &Recommender,
    part: Part,
    run: Option<&RunDir>,
) -> Result<Report, Failure> {
    let dataset = &experiment.dataset;
    let mut evaluations = vec![experiment.evaluate_model(model, part)?];
    evaluations.push(experiment.evaluate_scorer(&mut Popularity::new(dataset), part)?);
    evaluations.push(experiment.evaluate_scorer(&mut Transitions::new(dataset), part)?);
    if let Some(truth) = truth_of(experiment)? {
        evaluations.push(experiment.evaluate_scorer(&mut Oracle { truth, experiment }, part)?);
    }
    let report = Report { evaluations, dataset: dataset.hash.clone(), seed: experiment.config.seed };
    if let Some(run) = run {
        rows::write(&run.rows(part_name(part)), report.model())?;
        run.write(&run.report(), &serde_json::to_string_pretty(&report).unwrap_or_default())?;
    }
    Ok(report)
}

/// The planted truth beside a generated data set.
fn truth_of(experiment: &Experiment) -> Result<Option<Truth>, Failure> {
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
        vec!["oracle".into()]
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

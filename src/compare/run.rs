//! A run directory opened for comparison: its state, settings and rows.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::CompareError;
use crate::artefact::MANIFEST;
use crate::config::{self, Config, ENSEMBLE, flatten};
use crate::eval::metrics::Protocol;
use crate::eval::report::ORACLE;
use crate::eval::{Report, Row, Scored, kept, rows};
use crate::train::run_dir::RunDir;
use crate::train::{checkpoint, inputs};

/// A finished run.
pub struct Run {
    pub dir: PathBuf,
    pub seed: u64,
    /// Score name of the rows, e.g. `ensemble` or `transitions`.
    pub score: String,
    /// False for baselines, which are not trained and have no seed.
    pub trained: bool,
    pub protocol: Protocol,
    /// In target order.
    pub rows: Vec<Row>,
    /// The report's metrics of the same part.
    pub reported: Option<Scored>,
    /// Dotted keys of the configuration, and content hashes of the inputs.
    pub settings: BTreeMap<String, String>,
    pub dataset_dir: Option<PathBuf>,
    pub progress: Vec<Point>,
    /// The report's warning about the order of time.
    pub warning: Option<String>,
    /// Further notes to the reader.
    pub notes: Vec<String>,
    /// Metrics of the popularity baseline in the run's report.
    pub popularity: Option<BTreeMap<String, f64>>,
}

/// Validation metrics after an epoch, by tag.
pub struct Point {
    pub epoch: u64,
    pub values: BTreeMap<String, f64>,
}

/// A finished run, or the reason why there is none.
pub enum Opened {
    Finished(Box<Run>),
    /// An unfinished or failed run: reported, never averaged.
    Failed {
        dir: PathBuf,
        reason: String,
    },
}

impl Opened {
    /// Opens the rows of `part` in `dir` under the name `score`; without one, of `ensemble` or else the first.
    ///
    /// # Errors
    /// It is no run directory, or a finished run lacks the rows.
    pub fn open(dir: &Path, part: &str, score: Option<&str>) -> Result<Self, CompareError> {
        let not_a_run = |reason: String| CompareError::NotARun { dir: dir.to_owned(), reason };
        let run = RunDir::new(dir);
        if !run.config().is_file() {
            return Err(not_a_run("it has no config.toml".into()));
        }
        let config = config::load(&run.config(), &[]).map_err(|e| not_a_run(e.to_string()))?.config;
        let failed = |reason: String| Ok(Self::Failed { dir: dir.to_owned(), reason });
        let metrics = Metrics::read(&dir.join("metrics.jsonl"));
        let last = checkpoint::list(&run.steps()).pop().map(|(_, path)| path);
        let Some(report) = fs::read_to_string(run.report()).ok() else {
            return failed(metrics.why_unfinished());
        };
        if last.as_deref().and_then(finished) == Some(false) {
            return failed(metrics.why_unfinished());
        }
        let report =
            serde_json::from_str::<Report>(&report).map_err(|e| not_a_run(format!("report.json: {e}")))?;
        if let Some(reason) = report.note.filter(|_| report.evaluations.is_empty()) {
            return Err(CompareError::NoFigures { dir: dir.to_owned(), reason });
        }
        let judged = Judged::open(&run, part, score)?;
        if let Some(reason) = judged.fault() {
            return failed(reason);
        }
        // A report's first evaluation is the model's own.
        let own = judged.report.evaluations.first();
        let trained = own.is_some_and(|e| e.scored.iter().any(|s| s.name == judged.score));
        Ok(Self::Finished(Box::new(Run {
            dir: dir.to_owned(),
            seed: judged.report.seed,
            trained,
            dataset_dir: inputs::dataset_dir(&run, &config),
            settings: settings(&config, last.as_deref()).map_err(not_a_run)?,
            progress: if trained { metrics.progress } else { Vec::new() },
            warning: judged.report.time_order.and_then(|order| order.warning()),
            notes: judged.notes(dir, trained),
            popularity: popularity(&judged.report, part),
            score: judged.score,
            protocol: judged.protocol,
            rows: judged.rows,
            reported: judged.reported,
        })))
    }
}

/// The rows of one score, and the report that they belong to.
struct Judged {
    score: String,
    protocol: Protocol,
    rows: Vec<Row>,
    report: Report,
    /// Figures of the score in the report.
    reported: Option<Scored>,
    /// Whether the report is that of a later `codistill evaluate`.
    anew: bool,
}

impl Judged {
    /// Opens the rows of `part` under the name `score`; without one, of `ensemble` or else the first.
    fn open(run: &RunDir, part: &str, score: Option<&str>) -> Result<Self, CompareError> {
        let dir = || run.root.clone();
        let path = run.rows(part);
        if !path.is_file() {
            return Err(CompareError::NoRows { dir: dir(), part: part.to_owned() });
        }
        // Names first, then the rows of one: a file holds the model's branches and all baselines.
        let names: Vec<String> =
            rows::read_where(&path, &|_| false)?.scored.into_iter().map(|(name, _)| name).collect();
        let score = match score {
            Some(name) => name.to_owned(),
            None if names.iter().any(|n| n == ENSEMBLE) => ENSEMBLE.to_owned(),
            None => names.first().cloned().unwrap_or_default(),
        };
        let stored = rows::read_where(&path, &|name| name == score)?;
        if !stored.scored.iter().any(|(name, rows)| *name == score && !rows.is_empty()) {
            return Err(CompareError::NoScore { dir: dir(), name: score, found: names.join(", ") });
        }
        let reports = kept::reports(&[run.report(), run.report_of(part)])?;
        let owner = kept::owner(&path, &stored, &score, &reports)?;
        let Some((file, report)) = reports.into_iter().nth(owner.unwrap_or(0)) else {
            return Err(CompareError::NotARun { dir: dir(), reason: "its report.json is gone".into() });
        };
        let found = stored.scored.into_iter().find(|(name, _)| *name == score);
        let evaluations = report.evaluations.iter().filter(|e| e.part == part);
        let reported = evaluations.flat_map(|e| &e.scored).find(|s| s.name == score).cloned();
        Ok(Self {
            rows: found.map(|(_, rows)| rows).unwrap_or_default(),
            protocol: stored.protocol,
            anew: file != run.report(),
            score,
            report,
            reported,
        })
    }

    /// Why the rows are no ranking, if so.
    fn fault(&self) -> Option<String> {
        let nan_targets = self.reported.as_ref().map_or(0, |scored| scored.nan_targets);
        broken(&self.rows)
            .or_else(|| (nan_targets > 0).then(|| format!("NaN scores for {nan_targets} targets")))
    }

    /// Notes to the reader of the figures.
    fn notes(&self, dir: &Path, trained: bool) -> Vec<String> {
        let judged = self.anew.then(|| "its figures are those of a later `codistill evaluate`".to_owned());
        let accepted = self
            .report
            .accepted
            .iter()
            .map(|c| format!("it was judged on other inputs than it learned from: {c}"));
        let note = self.report.note.clone();
        let knows = !trained && self.report.schema < 2 && self.score != ORACLE;
        let knows = knows.then(|| {
            "an older program counted the validation items for the baselines of its test part".to_owned()
        });
        judged
            .into_iter()
            .chain(knows)
            .chain(accepted)
            .chain(note)
            .map(|note| format!("{}: {note}", dir.display()))
            .collect()
    }
}

/// Dotted keys of the configuration, and content hashes of the inputs from the last checkpoint.
fn settings(config: &Config, last: Option<&Path>) -> Result<BTreeMap<String, String>, String> {
    let mut settings = config.leaves().map_err(|e| e.to_string())?;
    if let Some(step) = last {
        flatten("parents", &parents(step), &mut settings);
    }
    Ok(settings)
}

/// Figures of the baseline `popularity` on a part.
fn popularity(report: &Report, part: &str) -> Option<BTreeMap<String, f64>> {
    let scores = report.evaluations.iter().filter(|e| e.part == part).flat_map(|e| &e.scored);
    scores.into_iter().find(|s| s.name == "popularity").map(|s| s.metrics.clone())
}

/// Why rows are no ranking: all items have the same score.
fn broken(rows: &[Row]) -> Option<String> {
    let tied = |row: &Row| {
        row.missed || (row.rank_optimistic == 1.0 && row.rank_pessimistic >= f64::from(row.candidates))
    };
    let judged = rows.iter().any(|row| !row.missed && row.candidates > 1);
    (judged && rows.iter().all(tied)).then(|| "all items have the same score".to_owned())
}

/// Whether the training of a checkpoint reached its end; absent where its state can't be read.
fn finished(step: &Path) -> Option<bool> {
    let text = fs::read_to_string(step.join("state.json")).ok()?;
    serde_json::from_str::<Value>(&text).ok()?.get(0)?.get("finished")?.as_bool()
}

/// The content hashes of data set and features in a checkpoint's manifest.
fn parents(step: &Path) -> Value {
    let manifest = fs::read_to_string(step.join(MANIFEST)).ok();
    let value: Option<Value> = manifest.and_then(|text| serde_json::from_str(&text).ok());
    value.and_then(|v| v.get("about")?.get("parents").cloned()).unwrap_or_default()
}

/// Validation metrics of a run directory, by epoch.
pub(crate) fn progress(dir: &Path) -> Vec<Point> {
    Metrics::read(&dir.join("metrics.jsonl")).progress
}

/// Contents of `metrics.jsonl`.
#[derive(Default)]
struct Metrics {
    progress: Vec<Point>,
    last_step: Option<u64>,
    /// First step whose training loss was not finite.
    diverged: Option<u64>,
}

#[derive(Deserialize)]
struct Line {
    step: u64,
    epoch: u64,
    #[serde(flatten)]
    values: BTreeMap<String, Value>,
}

impl Metrics {
    /// Unreadable lines are skipped: the file is a log, nothing depends on it.
    fn read(path: &Path) -> Self {
        let mut metrics = Self::default();
        let Ok(file) = fs::File::open(path) else { return metrics };
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
            metrics.last_step = Some(line.step);
            if line.values.get("train/loss/total").is_some_and(Value::is_null) {
                metrics.diverged.get_or_insert(line.step);
            }
            let tags = line.values.iter().filter(|(tag, _)| tag.starts_with("valid/"));
            let values: BTreeMap<String, f64> =
                tags.filter_map(|(tag, v)| Some((tag.clone(), v.as_f64()?))).collect();
            if !values.is_empty() {
                metrics.progress.push(Point { epoch: line.epoch, values });
            }
        }
        metrics
    }

    fn why_unfinished(&self) -> String {
        match (self.diverged, self.last_step) {
            (Some(step), _) => format!("diverged: the training loss is not finite at step {step}"),
            (None, Some(step)) => format!("unfinished: last heard of at step {step}"),
            (None, None) => "unfinished: it has no metrics yet".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rank: [f64; 3], missed: bool) -> Row {
        let [rank_optimistic, rank, rank_pessimistic] = rank;
        Row { rank, rank_optimistic, rank_pessimistic, candidates: 9, missed, ..Row::default() }
    }

    #[test]
    fn constant_scores_are_a_failure_and_a_lucky_tie_is_not() {
        let tied = row([1.0, 5.0, 9.0], false);
        let missed = row([f64::INFINITY; 3], true);
        assert!(broken(&[tied.clone(), missed.clone()]).is_some());
        assert!(broken(&[tied, row([1.0, 1.5, 2.0], false)]).is_none());
        assert!(broken(&[missed]).is_none());
    }

    #[test]
    fn metrics_tell_epochs_divergence_and_nothing_of_torn_lines() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("metrics.jsonl");
        assert!(Metrics::read(&path).why_unfinished().contains("no metrics"));
        let lines = "{\"step\":5,\"epoch\":1,\"time\":0,\"valid/x/ndcg@10\":0.25,\"train/loss/total\":1}\n\
                     {\"step\":7,\"epoch\":2,\"time\":0,\"train/loss/total\":null}\n{\"step\":9,";
        fs::write(&path, lines).unwrap();
        let metrics = Metrics::read(&path);
        assert_eq!((metrics.progress.len(), metrics.progress[0].epoch), (1, 1));
        assert_eq!(metrics.progress[0].values["valid/x/ndcg@10"], 0.25);
        assert!(metrics.why_unfinished().contains("step 7"));
    }
}

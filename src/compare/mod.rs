//! Paired comparison of finished runs (docs/studies.md, sections 2 and 5).
//!
//! Only rows, reports and manifests of runs are read; nothing is trained or scored. Runs that differ only by the seed form
//! a group. The first group is the reference, and every other group is contrasted with it.
//!
//! Reading order: [`run`] (one directory), [`group`] (the runs of one condition; which runs are comparable), [`contrast`]
//! (statistics), [`slices`] (by item frequency, item age, user length), [`table`] (terminal and Markdown), [`svg`]
//! and [`html`], [`preface`] (sections before the comparison in a larger report).

pub mod contrast;
mod error;
pub mod group;
pub mod html;
pub mod metric;
pub mod preface;
pub mod run;
pub mod slices;
pub mod svg;
pub mod table;

use std::path::PathBuf;

use serde::Serialize;

pub use contrast::{Basis, Contrast};
pub use error::CompareError;
pub use group::{Group, GroupSpec};
pub use metric::Metric;
pub use slices::Slices;

use crate::eval::metrics::Ideal;
use crate::stats::{Rule, Verdict};

/// Options of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// The metric of the verdicts, chosen in advance.
    pub metric: Metric,
    /// `valid` or `test`.
    pub part: String,
    /// Score name of groups that don't specify one.
    pub branch: Option<String>,
    pub rule: Rule,
    /// Bootstrap resamples and sign flips.
    pub draws: usize,
    /// Seed of bootstrap and sign flips.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            metric: Metric { kind: metric::Kind::Ndcg, k: 10, ideal: Ideal::default() },
            part: "test".into(),
            branch: None,
            rule: Rule::default(),
            draws: 10_000,
            seed: 1,
        }
    }
}

/// The result of a comparison, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub options: Options,
    pub protocol: String,
    /// The reference first.
    pub groups: Vec<Summary>,
    pub contrasts: Vec<Contrast>,
    pub failed: Vec<Failed>,
    pub slices: Slices,
    pub warnings: Vec<String>,
    /// How p values were corrected, if not over all contrasts together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<String>,
}

/// A run without figures.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    pub group: String,
    pub run: PathBuf,
    pub reason: String,
}

/// Figures of one group.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub label: String,
    pub score: String,
    pub trained: bool,
    pub runs: Vec<PathBuf>,
    pub seeds: Vec<u64>,
    /// Means over users and seeds.
    pub metrics: Vec<(String, f64)>,
    /// The primary metric of each run.
    #[serde(rename = "by_seed")]
    pub run_means: Vec<f64>,
    /// The primary metric on validation after each epoch, run by run.
    pub progress: Vec<Vec<(u64, f64)>>,
    /// Whether the primary metric is below that of the popularity baseline in the run's report.
    #[serde(rename = "below_popularity")]
    pub collapsed: bool,
}

/// Compares groups of runs; the first one is the reference.
///
/// # Errors
/// A directory is no run, runs are not comparable, or fewer than two groups have figures.
pub fn compare(specs: &[GroupSpec], options: &Options) -> Result<Comparison, CompareError> {
    let mut groups = Vec::new();
    for spec in specs {
        groups.push(Group::open(spec, &options.part, options.branch.as_deref())?);
    }
    distinct_labels(&mut groups);
    let failed: Vec<Failed> = groups.iter().flat_map(failures).collect();
    let reference_failed = groups.first().is_none_or(|g| g.runs.is_empty());
    groups.retain(|group| !group.runs.is_empty());
    if groups.len() < 2 || reference_failed {
        let mut reasons: Vec<String> =
            failed.iter().map(|f| format!("{}: {}", f.run.display(), f.reason)).collect();
        reasons.extend(groups.iter().map(|g| format!("{}: {} finished", g.label, g.runs.len())));
        return Err(CompareError::TooFewGroups { reasons });
    }
    let reference = &groups[0];
    for group in &groups[1..] {
        group::comparable(&reference.runs[0], &group.runs[0])?;
    }
    let mut options = options.clone();
    options.metric.ideal = reference.runs[0].protocol.ideal;
    let options = &options;
    let mut contrasts = Vec::new();
    for group in &groups[1..] {
        contrasts.push(contrast::contrast(reference, group, options)?);
    }
    contrast::settle(&mut contrasts, options);
    let summaries: Vec<Summary> = groups.iter().map(|group| summarise(group, options)).collect();
    Ok(Comparison {
        protocol: protocol(&reference.runs[0], options),
        warnings: warnings(&groups, &summaries, &contrasts),
        slices: Slices::new(&groups, options),
        groups: summaries,
        contrasts,
        failed,
        correction: None,
        options: options.clone(),
    })
}

/// Numbers the labels of groups that would have the same one.
fn distinct_labels(groups: &mut [Group]) {
    for i in 1..groups.len() {
        let same = (0..i).filter(|&j| groups[j].label == groups[i].label).count();
        if same > 0 {
            let mut number = same + 1;
            while groups.iter().any(|g| g.label == format!("{} ({number})", groups[i].label)) {
                number += 1;
            }
            groups[i].label = format!("{} ({number})", groups[i].label);
        }
    }
}

fn failures(group: &Group) -> Vec<Failed> {
    let failed = group.failed.iter();
    failed
        .map(|(run, reason)| Failed { group: group.label.clone(), run: run.clone(), reason: reason.clone() })
        .collect()
}

fn protocol(run: &run::Run, options: &Options) -> String {
    let p = &run.protocol;
    format!("{}: {} targets, {}, {}", options.part, p.targets, p.candidates(), p.rules())
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0u32);
    for value in values {
        sum += value;
        n += 1;
    }
    sum / f64::from(n.max(1))
}

/// Metrics taken from the report, since ranks alone don't determine them.
const REPORTED: [&str; 3] = ["coverage", "popularity", "gini"];

fn summarise(group: &Group, options: &Options) -> Summary {
    let metric = options.metric;
    let run_mean = |run: &run::Run, metric: Metric| mean(contrast::user_means(&run.rows, metric));
    let mut metrics: Vec<(String, f64)> = metric
        .family()
        .iter()
        .map(|&m| (m.to_string(), mean(group.runs.iter().map(|run| run_mean(run, m)))))
        .collect();
    for name in REPORTED {
        let key = format!("{name}@{}", metric.k);
        let found: Option<Vec<f64>> =
            group.runs.iter().map(|run| run.reported.as_ref()?.metrics.get(&key).copied()).collect();
        metrics.extend(found.map(|values| (key, mean(values))));
    }
    let run_means: Vec<f64> = group.runs.iter().map(|run| run_mean(run, metric)).collect();
    let tag = |run: &run::Run| format!("valid/{}/{metric}", run.score);
    let progress = group.runs.iter().filter(|run| run.trained).map(|run| {
        let tag = tag(run);
        run.progress.iter().filter_map(|p| Some((p.epoch, *p.values.get(&tag)?))).collect()
    });
    let popularity = group.runs[0].popularity.as_ref().and_then(|m| m.get(&metric.to_string()));
    Summary {
        label: group.label.clone(),
        score: group.runs[0].score.clone(),
        trained: group.trained(),
        runs: group.runs.iter().map(|run| run.dir.clone()).collect(),
        seeds: group.runs.iter().map(|run| run.seed).collect(),
        collapsed: group.trained()
            && popularity.is_some_and(|&baseline| mean(run_means.iter().copied()) < baseline),
        metrics,
        progress: progress.collect(),
        run_means,
    }
}

fn warnings(groups: &[Group], summaries: &[Summary], contrasts: &[Contrast]) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for (group, summary) in groups.iter().zip(summaries) {
        if summary.collapsed {
            warnings.push(format!("{} lies below popularity: its training collapsed", group.label));
        }
        for (i, run) in group.runs.iter().enumerate() {
            let same = |other: &&run::Run| other.rows.iter().zip(&run.rows).all(|(a, b)| a.rank == b.rank);
            if let Some(twin) = group.runs[..i].iter().find(same) {
                let (a, b) = (twin.dir.display(), run.dir.display());
                warnings
                    .push(format!("{a} and {b} have the same rank for every target: the seed did nothing"));
            }
        }
    }
    for contrast in contrasts {
        let (a, b) = (&contrast.condition, &contrast.reference);
        match contrast.verdict {
            Verdict::Identical => warnings.push(format!("{a} and {b} have the same rank for every target")),
            Verdict::SingleRun => warnings.push(format!(
                "{a} against {b}: single run: users resampled, training noise unknown; train both with two or \
                 more seeds, better three, for a verdict"
            )),
            _ => {}
        }
        if contrast.seeds == 2 {
            warnings
                .push(format!("{a} against {b}: two seeds say little of training noise; intervals are wide"));
        }
        let runs = |label: &str| groups.iter().find(|g| g.label == label).map_or(0, |g| g.runs.len());
        let (left, right) = (runs(a), runs(b));
        if contrast.pairing != contrast::Pairing::Broadcast && left != right {
            warnings.push(format!(
                "{a} has {left} runs and {b} has {right}: the contrast uses {} of each",
                contrast.seeds
            ));
        }
    }
    if let Some(warning) = groups.iter().flat_map(|g| &g.runs).find_map(|run| run.warning.clone()) {
        warnings.push(warning);
    }
    warnings.extend(groups.iter().flat_map(|g| &g.runs).flat_map(|run| run.notes.clone()));
    warnings
}

use std::path::PathBuf;

use crate::eval::RowsError;
use crate::stats::StatsError;

/// Why runs can't be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("`{pattern}` matches no run directory")]
    NoMatch { pattern: String },
    #[error("{dir} is not a run directory: {reason}")]
    NotARun { dir: PathBuf, reason: String },
    #[error("`{0}` is not a metric")]
    Metric(String),
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error("{dir} has no figures: {reason}")]
    NoFigures { dir: PathBuf, reason: String },
    #[error("{dir} has no rows of the {part} part")]
    NoRows { dir: PathBuf, part: String },
    #[error("{dir} has no rows of `{name}`, only of {found}")]
    NoScore { dir: PathBuf, name: String, found: String },
    #[error("{a} and {b} are not comparable: they differ in {field} ({left}, {right})")]
    Differ { a: String, b: String, field: String, left: String, right: String },
    #[error("the runs of `{group}` differ in more than the seed: {field} is {left} in {a}, {right} in {b}")]
    NotOneGroup { group: String, a: PathBuf, b: PathBuf, field: String, left: String, right: String },
    #[error("the runs {a} and {b} of `{group}` have the same seed {seed}")]
    SameSeed { group: String, a: PathBuf, b: PathBuf, seed: u64 },
    #[error("fewer than two groups have a finished run:{}", reasons.iter().map(|r| format!("\n  {r}")).collect::<String>())]
    TooFewGroups { reasons: Vec<String> },
    #[error("{what}: {source}")]
    Stats { what: String, source: StatsError },
}

impl CompareError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoMatch { .. } | Self::NotARun { .. } => {
                Some("give directories that `codistill train` made, e.g. checkpoints/quickstart".into())
            }
            Self::Metric(_) => Some("use recall@K, ndcg@K or mrr@K, e.g. ndcg@10".into()),
            Self::Rows(e) => e.hint(),
            Self::NoFigures { .. } => Some(
                "compare the run that it was refit from, or refits on train+valid with each other".into(),
            ),
            Self::NoRows { dir, part } => {
                Some(format!("`codistill evaluate {} --part {part}` writes them", dir.display()))
            }
            Self::NoScore { dir, .. } => Some(format!(
                "choose one by --branch or RUN:NAME; `codistill evaluate {}` writes those of baselines",
                dir.display()
            )),
            Self::Differ { .. } => Some(
                "compare runs on one data set, split and protocol; `codistill evaluate` judges a run anew"
                    .into(),
            ),
            Self::NotOneGroup { .. } => {
                Some("give them as groups of their own, separated by a space instead of a comma".into())
            }
            Self::SameSeed { .. } => {
                Some("the same seed twice is no second sample; train with another --set seed=N".into())
            }
            Self::TooFewGroups { .. } => Some("finish them with `codistill train --resume RUN`".into()),
            Self::Stats { .. } => None,
        }
    }
}

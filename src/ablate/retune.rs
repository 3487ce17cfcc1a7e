//! Hyper-parameters drawn anew for every condition: the same draws and the same budget for each, chosen on validation.
//!
//! A trial is a cell of its own, `<condition>/trials/trial-000`; its figures on the test part are never read.

use serde::{Deserialize, Serialize};

use super::StudyError;
use super::cell::{Cell, State};
use super::condition::Condition;
use crate::compare::run::progress;
use crate::tune::Space;

/// `[retune]` of a study file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retune {
    /// Number of draws (trials) for each condition.
    pub trials: usize,
    /// Seed of the draws, which are the same for every condition.
    #[serde(default)]
    pub seed: u64,
    /// The range of each drawn key.
    pub space: Space,
}

/// The hyper-parameters that were chosen for a condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    pub condition: String,
    pub trial: usize,
    /// Best validation metric of the trial.
    pub score: f64,
    /// Overrides, as `--set` has them.
    pub set: Vec<String>,
}

/// Where the trials of a condition stand.
pub(super) enum Choice {
    /// Trials are left to train.
    Open,
    Made(Chosen),
    /// No trial has a figure; the reason of the last failure.
    Failed(String),
}

impl Retune {
    /// Why the settings are refused; absent where they are valid.
    pub(super) fn fault(&self) -> Option<String> {
        if self.trials == 0 || self.trials > 1000 {
            return Some(format!("trials = {} is not between 1 and 1000", self.trials));
        }
        if let Err(reason) = self.space.check() {
            return Some(reason);
        }
        // All conditions share one split, and a seed is no hyper-parameter.
        let fixed = |key: &&String| key.starts_with("data.") || *key == "seed";
        self.space.0.keys().find(fixed).map(|key| format!("`{key}` is the same for every condition"))
    }

    /// What trial number `trial` changes, as `--set` has it.
    pub(super) fn overrides(&self, trial: usize) -> Vec<String> {
        self.space.draw(self.seed, trial).iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// The trial with the best validation figure; equal ones go to the first.
    pub(super) fn choose(&self, condition: &Condition, trials: &[Cell]) -> Result<Choice, StudyError> {
        let mut best: Option<Chosen> = None;
        let mut failure = String::new();
        for (trial, cell) in trials.iter().enumerate() {
            match cell.state(None)? {
                State::Missing | State::Unfinished => return Ok(Choice::Open),
                State::Failed(reason) => failure = reason,
                State::Complete => {
                    let tag = format!("valid/{}", cell.config.train.metric);
                    let points = progress(&cell.dir);
                    let values = points.iter().filter_map(|point| point.values.get(&tag).copied());
                    let score = values.fold(f64::NEG_INFINITY, f64::max);
                    if best.as_ref().is_none_or(|best| score > best.score) && score.is_finite() {
                        let (condition, set) = (condition.id.clone(), self.overrides(trial));
                        best = Some(Chosen { condition, trial, score, set });
                    }
                }
            }
        }
        Ok(best.map_or(Choice::Failed(failure), Choice::Made))
    }
}

/// A condition with further overrides.
pub(super) fn overridden(condition: &Condition, overrides: Vec<String>) -> Condition {
    let mut condition = condition.clone();
    condition.set.extend(overrides);
    condition
}

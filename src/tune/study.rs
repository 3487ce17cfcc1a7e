//! A study's directory, with one folder for each trial and in it the trial's record.
//!
//! The next step is a function of the records alone, so that a study continues after a kill as if nothing had happened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Spec, TuneError};
use crate::artefact::write_json;
use crate::config::{Config, RunConfig};
use crate::hex::hex;

/// File of a trial's record in its folder.
const RECORD: &str = "trial.json";

/// The validation figure after some epochs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    pub epochs: usize,
    /// The best validation metric so far.
    pub score: f64,
}

/// The record of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub number: usize,
    /// Drawn values by key.
    pub values: BTreeMap<String, String>,
    /// SHA-256 of the resolved configuration without run directory and device.
    pub config_hash: String,
    /// Comparisons that the trial has reached, in order.
    pub rungs: Vec<Rung>,
    /// Whether the training is complete (all epochs, or stopped early).
    pub finished: bool,
    /// Why the trial has no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Trial {
    pub fn new(number: usize, values: BTreeMap<String, String>, config_hash: String) -> Self {
        Self { number, values, config_hash, rungs: Vec::new(), finished: false, failed: None }
    }

    /// Best validation metric so far.
    pub fn score(&self) -> Option<f64> {
        self.rungs.last().map(|r| r.score).filter(|_| self.failed.is_none())
    }

    /// The trial's state in a word.
    pub fn status(&self) -> &'static str {
        match (self.failed.is_some(), self.finished, self.rungs.is_empty()) {
            (true, ..) => "FAILED",
            (_, true, _) => "finished",
            (_, _, false) => "given up",
            _ => "waiting",
        }
    }
}

/// The hash that identifies a trial's configuration.
///
/// # Errors
/// The configuration can't be written as TOML.
pub fn config_hash(config: &Config) -> Result<String, TuneError> {
    let placeless = Config { run: RunConfig::default(), device: String::new(), ..config.clone() };
    let digest = Sha256::digest(placeless.to_toml()?.as_bytes());
    Ok(hex(digest))
}

/// The folder of all trials.
pub struct Study {
    pub dir: PathBuf,
}

impl Study {
    /// The study in a directory, which may not exist yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Name of a trial's run.
    pub fn name(number: usize) -> String {
        format!("trial-{number:03}")
    }

    /// The configuration of the best trial, which a finished search writes.
    pub fn best_config(&self) -> PathBuf {
        self.dir.join("best.toml")
    }

    pub fn trial_dir(&self, number: usize) -> PathBuf {
        self.dir.join(Self::name(number))
    }

    /// Reads a trial's record; absent where there is none.
    ///
    /// # Errors
    /// The record can't be read, or belongs to another configuration.
    pub fn read(&self, number: usize, config_hash: &str) -> Result<Option<Trial>, TuneError> {
        let path = self.trial_dir(number).join(RECORD);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(TuneError::Io { path, source }),
        };
        let trial: Trial = serde_json::from_slice(&text)
            .map_err(|e| TuneError::Spec { path: path.clone(), reason: e.to_string() })?;
        if trial.config_hash != config_hash {
            return Err(TuneError::OtherTrial { dir: self.trial_dir(number) });
        }
        Ok(Some(trial))
    }

    /// Replaces a trial's record.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, trial: &Trial) -> Result<(), TuneError> {
        let dir = self.trial_dir(trial.number);
        std::fs::create_dir_all(&dir).map_err(|source| TuneError::Io { path: dir.clone(), source })?;
        Ok(write_json(&dir.join(RECORD), trial)?)
    }
}

/// The next step: a trial, and the number of epochs until which it runs.
///
/// At each rung all trials that reached the previous one are ranked by its score, and one of `eta` continues; equal scores
/// go by number. A failed trial never continues; one that stopped early keeps its score.
pub fn next(spec: &Spec, trials: &[Trial], epochs: usize) -> Option<(usize, usize)> {
    let mut alive: Vec<&Trial> = trials.iter().collect();
    for rung in spec.rungs(epochs) {
        alive.retain(|t| t.failed.is_none());
        let reached = |t: &Trial| t.finished || t.rungs.iter().any(|r| r.epochs >= rung);
        if let Some(trial) = alive.iter().find(|t| !reached(t)) {
            return Some((trial.number, rung));
        }
        let score = |t: &Trial| {
            let reached = t.rungs.iter().find(|r| r.epochs >= rung).or(t.rungs.last());
            reached.map_or(f64::NEG_INFINITY, |r| r.score)
        };
        alive.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.number.cmp(&b.number)));
        alive.truncate(alive.len().div_ceil(spec.eta).max(1));
    }
    None
}

/// The trial with the best validation score among those that ran to their end.
pub fn best(trials: &[Trial]) -> Option<&Trial> {
    let done = trials.iter().filter(|t| t.finished && t.failed.is_none());
    let key = |t: &&Trial| t.score().unwrap_or(f64::NEG_INFINITY);
    done.max_by(|a, b| key(a).total_cmp(&key(b)).then(b.number.cmp(&a.number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Spec {
        let text =
            format!("base = \"b.toml\"\ntrials = 9\n{text}\n[space]\n\"seed\" = {{ integer = [1, 99] }}");
        Spec::parse(&text, Path::new("t.toml")).unwrap()
    }

    /// Works a study off; a trial's score is its number, more with more epochs. Trial 8 fails.
    fn work_off(spec: &Spec, epochs: usize) -> (Vec<Trial>, Vec<(usize, usize)>) {
        let mut trials: Vec<Trial> = (0..9).map(|n| Trial::new(n, BTreeMap::new(), String::new())).collect();
        let mut order = Vec::new();
        while let Some((n, until)) = next(spec, &trials, epochs) {
            order.push((n, until));
            assert!(order.len() < 100, "{order:?}");
            if n == 8 {
                trials[n].failed = Some("diverged".into());
            } else {
                trials[n].rungs.push(Rung { epochs: until, score: n as f64 + until as f64 / 100.0 });
                trials[n].finished = until == epochs;
            }
        }
        (trials, order)
    }

    #[test]
    fn a_third_goes_on_at_each_rung_and_a_failure_is_never_chosen() {
        let (trials, order) = work_off(&spec(""), 9);
        let until = |epochs: usize| order.iter().filter(|o| o.1 == epochs).map(|o| o.0).collect::<Vec<_>>();
        assert_eq!(until(1), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(until(3), [7, 6, 5]);
        assert_eq!(until(9), [7]);
        assert_eq!(best(&trials).unwrap().number, 7);
        assert_eq!(
            (trials[8].status(), trials[0].status(), trials[7].status()),
            ("FAILED", "given up", "finished")
        );
    }

    #[test]
    fn random_search_runs_every_trial_to_its_end() {
        let (trials, order) = work_off(&spec("method = \"random\""), 4);
        assert_eq!(order.len(), 9);
        assert_eq!(trials.iter().filter(|t| t.finished).count(), 8);
    }

    #[test]
    fn a_record_of_another_configuration_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let study = Study::new(home.path());
        assert_eq!(study.read(0, "a").unwrap(), None);
        let trial = Trial::new(0, BTreeMap::new(), "a".into());
        study.write(&trial).unwrap();
        assert_eq!(study.read(0, "a").unwrap(), Some(trial));
        assert!(matches!(study.read(0, "b"), Err(TuneError::OtherTrial { .. })));
    }
}

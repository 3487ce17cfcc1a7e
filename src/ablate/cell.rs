//! One training of a study, its directory, and where it stands.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StudyError;
use super::condition::Condition;
use crate::artefact::{Manifest, read_manifest, write_atomic, write_json};
use crate::compare::group::first_difference;
use crate::config::section::Fact;
use crate::config::{Config, has_fact, load};
use crate::eval::Report;
use crate::train::checkpoint;
use crate::train::run_dir::RunDir;

/// A condition under one seed.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Id of the condition.
    pub condition: String,
    pub seed: u64,
    /// The run directory.
    pub dir: PathBuf,
    pub config: Config,
    /// Judged from the full model of the same seed, without a training.
    pub quick: bool,
    /// A draw of hyper-parameters, not a figure of the study.
    trial: Option<usize>,
}

/// Where a cell stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Missing,
    /// Begun; its checkpoints go on.
    Unfinished,
    Complete,
    /// Its training ended in a failure that would only come again.
    Failed(String),
}

/// Beside the run directory of a training that failed.
#[derive(Serialize, Deserialize)]
struct Failed {
    reason: String,
    /// The configuration that failed; another one is tried anew.
    config: Config,
}

impl Cell {
    pub(super) fn new(
        root: &Path,
        condition: &Condition,
        config: &Config,
        seed: u64,
    ) -> Result<Self, StudyError> {
        Self::placed(root.join(&condition.id), format!("seed-{seed}"), condition, config, seed)
    }

    /// A draw of hyper-parameters for a condition.
    pub(super) fn trial(
        root: &Path,
        condition: &Condition,
        config: &Config,
        seed: u64,
        trial: usize,
    ) -> Result<Self, StudyError> {
        let folder = root.join(&condition.id).join("trials");
        let cell = Self::placed(folder, format!("trial-{trial:03}"), condition, config, seed)?;
        Ok(Self { trial: Some(trial), ..cell })
    }

    fn placed(
        folder: PathBuf,
        name: String,
        condition: &Condition,
        config: &Config,
        seed: u64,
    ) -> Result<Self, StudyError> {
        let mut config = config.clone();
        config.seed = seed;
        config.run.dir = folder;
        config.run.name = name;
        config.validate().map_err(|source| StudyError::Config { id: condition.id.clone(), source })?;
        let dir = config.run.dir.join(&config.run.name);
        let (condition, quick) = (condition.id.clone(), condition.is_quick());
        Ok(Self { condition, seed, dir, config, quick, trial: None })
    }

    /// `S-text seed 1`, `S-text trial 0`
    pub fn name(&self) -> String {
        match self.trial {
            Some(trial) => format!("{} trial {trial}", self.condition),
            None => format!("{} seed {}", self.condition, self.seed),
        }
    }

    /// Where the cell's configuration lies before its run exists.
    pub fn config_path(&self) -> PathBuf {
        self.path("toml")
    }

    /// The output of the training.
    pub fn log_path(&self) -> PathBuf {
        self.path("log")
    }

    fn failed_path(&self) -> PathBuf {
        self.path("failed.json")
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.config.run.dir.join(format!("{}.{ending}", self.config.run.name))
    }

    /// Reads the state from the directory. `dataset` is the content hash of the study's data set.
    ///
    /// # Errors
    /// The directory holds a run that was made with other settings or data.
    pub fn state(&self, dataset: Option<&str>) -> Result<State, StudyError> {
        let run = RunDir::new(&self.dir);
        if let Ok(text) = std::fs::read_to_string(self.failed_path())
            && let Ok(failed) = serde_json::from_str::<Failed>(&text)
            && self.difference(&failed.config)?.is_none()
        {
            return Ok(State::Failed(failed.reason));
        }
        if !run.config().is_file() {
            return Ok(State::Missing);
        }
        let then = load(&run.config(), &[])?.config;
        let other = |(field, left, right): (String, String, String)| {
            Err(StudyError::OtherSettings { dir: self.dir.clone(), field, left, right })
        };
        if let Some(difference) = self.difference(&then)? {
            return other(difference);
        }
        let Ok(text) = std::fs::read_to_string(run.report()) else { return Ok(State::Unfinished) };
        let Ok(report) = serde_json::from_str::<Report>(&text) else { return Ok(State::Unfinished) };
        if let Some(now) = dataset.filter(|&now| now != report.dataset) {
            return other(("the data set".into(), short(&report.dataset), short(now)));
        }
        Ok(State::Complete)
    }

    /// The first setting that matters in which another configuration differs.
    fn difference(&self, then: &Config) -> Result<Option<(String, String, String)>, StudyError> {
        // The seed is part of what a cell is.
        Ok(first_difference(&then.leaves()?, &self.config.leaves()?, |key| has_fact(key, Fact::Idle)))
    }

    /// Prepares the place of a training: the folder above the run exists, and the run directory of one that begins anew
    /// does not.
    ///
    /// # Errors
    /// Something lies there that is no run, or the folder can't be made.
    pub(super) fn make_room(&self, resume: bool) -> Result<(), StudyError> {
        if resume {
            return Ok(());
        }
        let folder = &self.config.run.dir;
        std::fs::create_dir_all(folder).map_err(crate::artefact::io_error(folder))?;
        // An empty directory would make the training choose another name.
        let _ = std::fs::remove_dir(&self.dir);
        if self.dir.exists() { Err(StudyError::NotARun { dir: self.dir.clone() }) } else { Ok(()) }
    }

    /// Writes the configuration that the training is started with.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write_config(&self) -> Result<PathBuf, StudyError> {
        std::fs::create_dir_all(&self.config.run.dir)
            .map_err(crate::artefact::io_error(&self.config.run.dir))?;
        let path = self.config_path();
        write_atomic(&path, self.config.to_toml()?.as_bytes())?;
        Ok(path)
    }

    /// Remembers a failure.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write_failure(&self, reason: &str) -> Result<(), StudyError> {
        let failed = Failed { reason: reason.to_owned(), config: self.config.clone() };
        Ok(write_json(&self.failed_path(), &failed)?)
    }

    /// Forgets a failure, so that the cell is tried again.
    pub fn forget_failure(&self) {
        // Absent is what is wanted.
        let _ = std::fs::remove_file(self.failed_path());
    }

    /// The newest checkpoint's manifest; absent for a cell without a training.
    pub fn manifest(&self) -> Option<Manifest> {
        let (_, path) = checkpoint::list(&RunDir::new(&self.dir).steps()).pop()?;
        read_manifest(&path, checkpoint::KIND, checkpoint::SCHEMA).ok()
    }
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

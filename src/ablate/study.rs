//! The study file: typed, with defaults, unknown keys refused.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::condition::{Condition, Preset};
use super::{Retune, StudyError};
use crate::compare::Options;
use crate::config::{Config, Dropped};
use crate::stats::Rule;
use crate::train::setup::load_fitting;

/// What is done with a run that a gate finds at fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFault {
    /// It counts as failed and has no figures.
    #[default]
    Fail,
    /// It keeps its figures, with a warning.
    Warn,
}

/// Gates that a study may relax. All others always hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateRules {
    /// Below popularity where the full model is above it.
    pub collapsed: OnFault,
    /// Best at the last evaluation before the limit of epochs: it had not reached its maximum.
    pub epoch_limit: OnFault,
}

/// A study as its file states it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Study {
    /// Name of the study's directory; empty takes the file's stem.
    pub name: String,
    /// Folder that holds it.
    pub dir: PathBuf,
    /// Configuration of the full model; empty with `data`: the recommended one.
    pub base: PathBuf,
    /// Data set in place of the base's `data.path`; views that it has no features of are left out of the full model.
    pub data: Option<PathBuf>,
    /// Overrides of the base, as `--set` has them.
    pub set: Vec<String>,
    /// Training seeds of every condition. One gives no verdict.
    pub seeds: Vec<u64>,
    /// Seeds of the full model against itself; default: the numbers after the largest of `seeds`.
    pub again_seeds: Vec<u64>,
    pub preset: Option<Preset>,
    /// Conditions beside those of the preset.
    pub conditions: Vec<String>,
    /// Conditions of the study's own making.
    pub condition: Vec<Condition>,
    /// Also judge the full model with each view hidden at inference.
    pub quick: bool,
    /// What the verdicts are about, of the ensemble on test.
    pub metric: String,
    /// Contrasts that the study declares; default: the structural removal of each view, or all that are trained
    /// where there is none. Holm's correction counts these and the A/A row; all others are exploratory.
    pub contrasts: Vec<String>,
    /// What counts as equal, as a share of the full model's figure.
    pub margin: f64,
    pub confidence: f64,
    /// With which the minimum detectable effect would be found.
    pub power: f64,
    /// Bootstrap resamples and sign flips.
    pub draws: usize,
    /// Seed of shuffles and noise.
    pub replace_seed: u64,
    /// Trainings at one time.
    pub jobs: usize,
    pub gates: GateRules,
    /// Draws hyper-parameters for every condition; default: those of the base for all.
    pub retune: Option<Retune>,
}

impl Default for Study {
    fn default() -> Self {
        Self {
            name: String::new(),
            dir: "checkpoints".into(),
            base: PathBuf::new(),
            data: None,
            set: Vec::new(),
            seeds: vec![1, 2, 3],
            again_seeds: Vec::new(),
            preset: None,
            conditions: Vec::new(),
            condition: Vec::new(),
            quick: false,
            metric: "ndcg@10".into(),
            contrasts: Vec::new(),
            margin: 0.02,
            confidence: 0.95,
            power: 0.8,
            draws: 10_000,
            replace_seed: 42,
            jobs: 1,
            gates: GateRules::default(),
            retune: None,
        }
    }
}

impl Study {
    /// Takes another number of draws of hyper-parameters; 0 keeps those of the base. `path` is the study's file.
    ///
    /// # Errors
    /// The study draws none.
    pub fn set_trials(&mut self, trials: usize, path: &Path) -> Result<(), StudyError> {
        match &mut self.retune {
            retune if trials == 0 => *retune = None,
            Some(retune) => retune.trials = trials,
            None => return Err(StudyError::NoRetune { path: path.to_owned() }),
        }
        Ok(())
    }

    /// The same study of another data set, in a directory of its own: its name gains the data set's.
    #[must_use]
    pub fn of(mut self, data: &Path) -> Self {
        if let Some(name) = data.file_name() {
            self.name = format!("{}-{}", self.name, name.to_string_lossy());
        }
        self.data = Some(data.to_owned());
        self
    }

    /// The full model's configuration, with the study's directory as the place of its runs.
    ///
    /// # Errors
    /// The base can't be loaded, finished runs teach in it or are what it starts from, or it trains on validation items.
    pub fn base(&self) -> Result<Config, StudyError> {
        Ok(self.base_and_dropped()?.0)
    }

    /// [`Self::base`], and what it left out for want of features.
    ///
    /// # Errors
    /// As [`Self::base`].
    pub fn base_and_dropped(&self) -> Result<(Config, Dropped), StudyError> {
        let path = Some(self.base.as_path()).filter(|path| !path.as_os_str().is_empty());
        let (loaded, dropped) = load_fitting(path, &self.set, self.data.as_deref())?;
        let mut base = loaded.config;
        self.check_teachers(&base)?;
        base.check_compared()?;
        base.run.dir = self.root();
        Ok((base, dropped))
    }

    /// A condition changes what its own model reads, and nothing of a model that is trained already.
    fn check_teachers(&self, base: &Config) -> Result<(), StudyError> {
        let teachers = &base.objective.distill.teachers;
        if teachers.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = teachers.iter().map(|teacher| format!("`{}`", teacher.name)).collect();
        Err(StudyError::Invalid {
            path: self.base.clone(),
            key: "objective.distill.teachers".into(),
            reason: format!(
                "has {}: what a condition takes away or shuffles comes back by a finished run that reads it, and all \
                 seeds would learn from the same one",
                names.join(", ")
            ),
            hint: "study the model without them: remove them and their pairs, e.g. set = [\"objective.distill.teachers=[]\", \
                   \"objective.distill.pairs=[]\"]"
                .into(),
        })
    }

    /// The study's directory.
    pub fn root(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Seeds of the full model against itself.
    pub fn seeds_again(&self) -> Vec<u64> {
        if !self.again_seeds.is_empty() {
            return self.again_seeds.clone();
        }
        let last = self.seeds.iter().copied().max().unwrap_or(0);
        (1..=self.seeds.len() as u64).map(|n| last + n).collect()
    }

    pub(super) fn options(&self) -> Result<Options, StudyError> {
        let rule = Rule { confidence: self.confidence, margin: self.margin, power: self.power };
        Ok(Options { metric: self.metric.parse()?, rule, draws: self.draws, ..Options::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_of_another_data_set_has_a_directory_of_its_own() {
        let study = Study { name: "recipe".into(), ..Study::default() };
        let own = study.clone().of(Path::new("data/beauty-chosen/"));
        assert_eq!(own.root(), Path::new("checkpoints/recipe-beauty-chosen"));
        assert_eq!(own.data.as_deref(), Some(Path::new("data/beauty-chosen/")));
        assert_ne!(own.root(), study.root());
    }
}

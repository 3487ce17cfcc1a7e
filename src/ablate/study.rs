//! The study file: typed, with defaults, unknown keys refused.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::condition::{Condition, Preset};
use super::{Retune, StudyError};
use crate::compare::{Metric, Options};
use crate::config::{Config, load, nearest, one_line};
use crate::stats::Rule;

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
    /// Configuration of the full model.
    pub base: PathBuf,
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
    /// Reads a study file.
    ///
    /// # Errors
    /// It can't be read, is not TOML, has an unknown key, or a value that can't be meant.
    pub fn load(path: &Path) -> Result<Self, StudyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| StudyError::Read { path: path.to_owned(), source })?;
        let mut study: Self = toml::from_str(&text).map_err(|e| malformed(path, &text, &e))?;
        if study.name.is_empty() {
            study.name =
                path.file_stem().map_or_else(|| "study".into(), |s| s.to_string_lossy().into_owned());
        }
        study.check(path)?;
        Ok(study)
    }

    fn check(&self, path: &Path) -> Result<(), StudyError> {
        let refuse = |key: &str, reason: String, hint: &str| {
            let (key, hint) = (key.to_owned(), hint.to_owned());
            Err(StudyError::Invalid { path: path.to_owned(), key, reason, hint })
        };
        if self.base.as_os_str().is_empty() {
            return refuse(
                "base",
                "is missing".into(),
                "name the full model, e.g. base = \"configs/quickstart.toml\"",
            );
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.name.starts_with('.') || !self.name.chars().all(fits) {
            return refuse(
                "name",
                format!("= {:?} can't be a folder", self.name),
                "use letters, digits, `_`, `-`",
            );
        }
        if self.seeds.is_empty() {
            return refuse("seeds", "is empty".into(), "three seeds give a verdict: seeds = [1, 2, 3]");
        }
        let twice =
            |seeds: &[u64]| (1..seeds.len()).find(|&i| seeds[..i].contains(&seeds[i])).map(|i| seeds[i]);
        if let Some(seed) = twice(&self.seeds) {
            return refuse("seeds", format!("names {seed} twice"), "the same seed twice is no second sample");
        }
        if let Some(seed) = self.again_seeds.iter().find(|seed| self.seeds.contains(seed)) {
            return refuse(
                "again_seeds",
                format!("shares {seed} with seeds"),
                "choose seeds of their own, or none",
            );
        }
        if let Some(seed) = twice(&self.again_seeds) {
            return refuse("again_seeds", format!("names {seed} twice"), "choose other seeds, or none");
        }
        if self.metric.parse::<Metric>().is_err() {
            return refuse(
                "metric",
                format!("= {:?} is not a metric", self.metric),
                "use recall@K, ndcg@K or mrr@K",
            );
        }
        let inside = |key: &str, value: f64, low: f64| {
            if value > low && value < 1.0 {
                return Ok(());
            }
            refuse(key, format!("= {value} is out of range"), &format!("use a value between {low} and 1"))
        };
        inside("margin", self.margin, 0.0)?;
        inside("confidence", self.confidence, 0.5)?;
        inside("power", self.power, 0.5)?;
        if !(2..=10_000_000).contains(&self.draws) {
            return refuse("draws", format!("= {} is out of range", self.draws), "use 2 to 10000000");
        }
        if self.jobs == 0 || self.jobs > 1024 {
            return refuse(
                "jobs",
                format!("= {} is out of range", self.jobs),
                "1 trains one cell after the other",
            );
        }
        if self.replace_seed > 1 << 62 {
            return refuse(
                "replace_seed",
                format!("= {} is too large", self.replace_seed),
                "use a small number",
            );
        }
        if let Some(reason) = self.retune.as_ref().and_then(Retune::fault) {
            return refuse("retune", reason, "see `[retune]` in configs/studies/quickstart.toml");
        }
        if self.preset.is_none() && self.conditions.is_empty() && self.condition.is_empty() && !self.quick {
            return refuse(
                "preset",
                "is missing, and there are no conditions".into(),
                "add preset = \"seed\"",
            );
        }
        Ok(())
    }

    /// The full model's configuration, with the study's directory as the place of its runs.
    ///
    /// # Errors
    /// The base can't be loaded.
    pub fn base(&self) -> Result<Config, StudyError> {
        let mut base = load(&self.base, &self.set)?.config;
        base.run.dir = self.root();
        Ok(base)
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

/// The TOML reader's message with its place; a misspelt key or word gets the nearest known one.
fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> StudyError {
    let place = error.span().map_or_else(String::new, |span| {
        let before = &text[..span.start.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!(":{line}:{column}")
    });
    let message = one_line(error.message());
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let listed = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let (reason, hint) = match quoted.split_first() {
        Some((given, known)) if listed => {
            let what = if message.starts_with("unknown field") { "unknown key" } else { "unknown word" };
            let hint = match nearest(given, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            (format!("{what} `{given}`"), Some(hint))
        }
        _ => (message.clone(), None),
    };
    StudyError::Malformed { path: path.to_owned(), place, reason, hint }
}

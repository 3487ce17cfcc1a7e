//! A study's file `TUNE.toml`: the base configuration, the search space and the method.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TuneError;
use crate::config::has_fact;
use crate::config::section::Fact;
use crate::rng::{mix64, unit};

/// A study as its file describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Configuration that the trials start from, relative to the current directory; default: the recommended one.
    #[serde(default)]
    pub base: Option<PathBuf>,
    /// Data set in place of the base's `data.path`; views that it has no features of are left out of the base.
    #[serde(default)]
    pub data: Option<PathBuf>,
    /// Overrides of the base for all trials, in the syntax of `--set`.
    #[serde(default)]
    pub set: Vec<String>,
    /// Folder of the study; default: `checkpoints/<stem of the file>`.
    #[serde(default)]
    pub dir: Option<PathBuf>,
    #[serde(default)]
    pub method: Method,
    /// Number of configurations that are drawn.
    pub trials: usize,
    /// Seed of the draws.
    #[serde(default = "one")]
    pub seed: u64,
    /// `halving`: epochs after which the trials are first compared.
    #[serde(default = "one_epoch")]
    pub min_epochs: usize,
    /// `halving`: one of `eta` trials continues, for `eta` times the epochs.
    #[serde(default = "three")]
    pub eta: usize,
    pub space: Space,
}

/// The range of each searched key, by dotted configuration key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Space(pub BTreeMap<String, Range>);

fn one() -> u64 {
    1
}

fn one_epoch() -> usize {
    1
}

fn three() -> usize {
    3
}

/// When trials end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Every trial runs to its end.
    Random,
    /// Successive halving: the better ones continue (Jamieson and Talwalkar 2016), synchronously.
    #[default]
    Halving,
}

/// The values of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Range {
    Uniform([f64; 2]),
    /// The logarithm is uniform; both ends above 0.
    LogUniform([f64; 2]),
    /// Both ends included.
    Integer([i64; 2]),
    Choice(Vec<toml::Value>),
}

impl Range {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Uniform([low, high]) if low < high && low.is_finite() && high.is_finite() => Ok(()),
            Self::LogUniform([low, high]) if 0.0 < *low && low < high && high.is_finite() => Ok(()),
            Self::Integer([low, high]) if low <= high && high.checked_sub(*low).is_some() => Ok(()),
            Self::Choice(values) if !values.is_empty() => Ok(()),
            Self::Uniform(_) => Err("uniform needs [low, high] with low < high".into()),
            Self::LogUniform(_) => Err("log_uniform needs [low, high] with 0 < low < high".into()),
            Self::Integer(_) => Err("integer needs [low, high] with low <= high".into()),
            Self::Choice(_) => Err("choice needs at least one value".into()),
        }
    }

    /// The value at quantile `u` in [0, 1), in the syntax of `--set`. Numbers are rounded to five digits, so that a
    /// configuration can be read and typed.
    fn quantile(&self, u: f64) -> String {
        let rounded = |value: f64| format!("{value:.4e}").parse().unwrap_or(value);
        match self {
            Self::Uniform([low, high]) => real(rounded(low + u * (high - low))),
            Self::LogUniform([low, high]) => real(rounded((low.ln() + u * (high / low).ln()).exp())),
            Self::Integer([low, high]) => {
                let count = (high - low) as f64 + 1.0;
                low.saturating_add((u * count) as i64).min(*high).to_string()
            }
            Self::Choice(values) => {
                values[((u * values.len() as f64) as usize).min(values.len() - 1)].to_string()
            }
        }
    }
}

/// A number that TOML reads as a float.
fn real(value: f64) -> String {
    format!("{value:?}")
}

impl Space {
    /// Checks the keys and their ranges.
    ///
    /// # Errors
    /// There is no key, a range is empty, or a key would make trials incomparable.
    pub fn check(&self) -> Result<(), String> {
        if self.0.is_empty() {
            return Err("[space] names no key".into());
        }
        for (key, range) in &self.0 {
            range.check().map_err(|reason| format!("space.\"{key}\": {reason}"))?;
            if has_fact(key, Fact::Unsearched) {
                return Err(format!("`{key}` can't be searched: trials would not be comparable"));
            }
        }
        Ok(())
    }

    /// Draws a trial's values by key, as a function of (seed, trial, key), so that more trials leave the first ones unchanged.
    pub fn draw(&self, seed: u64, trial: usize) -> BTreeMap<String, String> {
        let value = |(key, range): (&String, &Range)| {
            let name = key.bytes().fold(seed, |hash, byte| mix64(hash ^ u64::from(byte)));
            let bits = mix64(mix64(name) ^ trial as u64);
            (key.clone(), range.quantile(unit(bits)))
        };
        self.0.iter().map(value).collect()
    }
}

impl Spec {
    /// Reads and checks a study's file.
    ///
    /// # Errors
    /// The file can't be read, is not TOML of this form, or a range is empty.
    pub fn load(path: &Path) -> Result<Self, TuneError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TuneError::Io { path: path.to_owned(), source })?;
        let mut spec = Self::parse(&text, path)?;
        if spec.dir.is_none() {
            let stem = path.file_stem().map_or_else(|| "tune".into(), |s| s.to_string_lossy().into_owned());
            spec.dir = Some(Path::new("checkpoints").join(stem));
        }
        Ok(spec)
    }

    /// [`Spec::load`] from a text; `path` is for messages.
    ///
    /// # Errors
    /// As [`Spec::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, TuneError> {
        let wrong = |reason: String| TuneError::Spec { path: path.to_owned(), reason };
        let spec: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
            wrong(format!("line {line}: {}", e.message().replace('\n', " ")))
        })?;
        if spec.trials == 0 || spec.trials > 10_000 {
            return Err(wrong(format!("trials = {} is not between 1 and 10000", spec.trials)));
        }
        if spec.base.is_none() && spec.data.is_none() {
            let ways = "name the configuration to start from, or with data = \"DIR\" a data set for the recommended one";
            return Err(wrong(format!("`base` is missing: {ways}")));
        }
        if spec.eta < 2 || spec.min_epochs == 0 {
            return Err(wrong("eta must be 2 or more, min_epochs 1 or more".into()));
        }
        spec.space.check().map_err(wrong)?;
        Ok(spec)
    }

    /// [`Space::draw`] under the study's seed.
    pub fn draw(&self, trial: usize) -> BTreeMap<String, String> {
        self.space.draw(self.seed, trial)
    }

    /// Numbers of epochs after which trials are compared, ending with `epochs`, the whole training.
    pub fn rungs(&self, epochs: usize) -> Vec<usize> {
        let mut rungs = Vec::new();
        if self.method == Method::Halving {
            let mut rung = self.min_epochs;
            while rung < epochs {
                rungs.push(rung);
                rung = rung.saturating_mul(self.eta);
            }
        }
        rungs.push(epochs);
        rungs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(space: &str) -> Result<Spec, TuneError> {
        Spec::parse(&format!("base = \"b.toml\"\ntrials = 9\n{space}"), Path::new("t.toml"))
    }

    #[test]
    fn draws_stay_in_their_ranges_and_do_not_depend_on_the_number_of_trials() {
        let text = "[space]\n\"optim.lr\" = { log_uniform = [1e-4, 1e-2] }\n\"model.dropout\" = { uniform = [0.0, 0.5] }\n\
                    \"model.width\" = { choice = [16, 32] }\n\"data.max_seq_len\" = { integer = [5, 7] }";
        let spec = spec(text).unwrap();
        let mut low = 0;
        let mut seen = std::collections::BTreeSet::new();
        for trial in 0..300 {
            let drawn = spec.draw(trial);
            let number = |key: &str| drawn[key].parse::<f64>().unwrap();
            assert!((1e-4..=1e-2).contains(&number("optim.lr")) && number("model.dropout") < 0.5);
            low += usize::from(number("optim.lr") < 1e-3);
            seen.insert((drawn["model.width"].clone(), drawn["data.max_seq_len"].clone()));
        }
        assert!((110..190).contains(&low), "half of the draws lie below the geometric mean: {low}");
        assert_eq!(seen.len(), 6);
        let more = Spec { trials: 400, ..spec.clone() };
        assert_eq!(more.draw(3), spec.draw(3));
        assert_ne!(Spec { seed: 2, ..spec.clone() }.draw(3), spec.draw(3));
    }

    #[test]
    fn rungs_grow_by_eta_and_end_with_the_whole_training() {
        let spec = spec("[space]\n\"seed\" = { integer = [1, 9] }").unwrap();
        assert_eq!(spec.rungs(12), [1, 3, 9, 12]);
        assert_eq!(spec.rungs(1), [1]);
        assert_eq!(Spec { method: Method::Random, ..spec }.rungs(12), [12]);
    }

    #[test]
    fn nonsense_is_refused_by_its_name() {
        let refused = |space: &str| spec(space).unwrap_err().to_string();
        assert!(refused("[space]\n\"optim.lr\" = { log_uniform = [0.0, 1.0] }").contains("optim.lr"));
        assert!(refused("[space]\n\"train.epochs\" = { integer = [1, 2] }").contains("comparable"));
        assert!(refused("[space]\n\"optim.lr\" = { normal = [0.0, 1.0] }").contains("line 4"));
        assert!(refused("[space]").contains("names no key"));
        assert!(refused("method = \"grid\"").contains("line 3"));
    }
}

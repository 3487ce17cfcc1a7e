//! What every system is opened with: configuration, data set and device.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use serde::de::DeserializeOwned;

use crate::artefact;
use crate::config::{
    Config, ConfigError, DataConfig, Dropped, Loaded, ViewConfig, Windows, load, load_on, load_recommended,
    one_line,
};
use crate::data::{Choice, DataError, Dataset, Part, disk};
use crate::eval::{Evaluation, HiddenTargets, Named, Rules, ScoreError, Scorer, evaluate_under};
use crate::features::{FeatureError, FeatureStore};
use crate::objective::TermError;
use crate::tensors::TensorsError;

/// Why a system can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("view `{view}`: {source}")]
    Features { view: String, source: FeatureError },
    #[error("the configuration names no data set")]
    NoData,
    #[error("no training sequence has {0} items or more")]
    NoWindows(usize),
    #[error("the training part of the data set has nothing to train on")]
    NoSamples,
    #[error("view `{view}` starts from `{other}`, whose features are {found} wide instead of {expected}")]
    InitWidth { view: String, other: String, found: usize, expected: usize },
    #[error("what was counted can't be kept: {0}")]
    Kept(#[from] TensorsError),
    #[error(transparent)]
    Term(#[from] TermError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("there is no system `{kind}`")]
    Unknown { kind: String, known: Vec<String> },
    #[error("`{key}` {reason}")]
    Settings { key: String, reason: String, hint: Option<String> },
    /// A finished run can't teach, whatever else the configuration says.
    #[error("`{key}` {reason}")]
    Teacher { key: String, reason: String, hint: String },
}

impl SystemError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Data(e) => e.hint(),
            Self::Features { source, .. } => source.hint(),
            Self::NoData => {
                Some("set data.path to a directory made by `codistill prepare` or `synth`".into())
            }
            Self::NoSamples => Some("prepare with longer sequences".into()),
            Self::NoWindows(_) => Some("lower data.min_train_len, or prepare with longer sequences".into()),
            Self::InitWidth { .. } => Some("list views of one width in init_views".into()),
            Self::Kept(_) => Some("make room for it beside the checkpoints of the run".into()),
            Self::Term(e) => e.hint(),
            Self::Config(e) => e.hint(),
            Self::Unknown { known, .. } => Some(format!("systems: {}", known.join(", "))),
            Self::Settings { hint, .. } => hint.clone(),
            Self::Teacher { hint, .. } => Some(hint.clone()),
        }
    }

    /// Whether something is wrong with what a training reads: it goes on once that is there, with the same settings.
    pub fn is_of_inputs(&self) -> bool {
        match self {
            Self::Data(_)
            | Self::Features { .. }
            | Self::NoData
            | Self::NoSamples
            | Self::NoWindows(_)
            | Self::Teacher { .. } => true,
            Self::InitWidth { .. }
            | Self::Kept(_)
            | Self::Term(_)
            | Self::Config(_)
            | Self::Unknown { .. }
            | Self::Settings { .. } => false,
        }
    }
}

/// Where a run that teaches lies now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeacherPlace {
    /// Run directory.
    pub run: PathBuf,
    /// Content hash of the checkpoint that taught before, if the run has it still; else its best one teaches.
    pub taught: Option<String>,
}

/// Configuration, data set and device of a training or an evaluation.
pub struct Setup {
    pub config: Config,
    /// The data as the run's own configuration names it: `config` says where it lies now.
    pub named: DataConfig,
    /// Inputs of a trained run that are not those of its training, in words.
    pub accepted: Vec<String>,
    /// Whether changed inputs are accepted, those of teachers among them.
    pub accepts_changed: bool,
    /// The named protocol that targets are ranked under; absent: the rules of `config`.
    pub protocol: Option<Named>,
    /// Where the runs that teach lie now, by their names as teachers; those of a new training lie where `config` says.
    pub teachers: BTreeMap<String, TeacherPlace>,
    /// The run that was opened, where what it counted may lie; none for a new training.
    pub run: Option<PathBuf>,
    pub dataset: Dataset,
    /// Plain device; the trained model lives on its autodiff twin.
    pub device: Device,
}

impl Setup {
    /// Opens the data set that `config` names; `config.data.path` is set.
    ///
    /// # Errors
    /// The data set is absent or damaged, or lacks an item that is to be held out.
    pub fn open(config: Config, device: &Device) -> Result<Self, SystemError> {
        let path = config.data.path.clone().ok_or(SystemError::NoData)?;
        let mut dataset = Dataset::open(&path)?;
        if let Some(cold) = &config.data.cold {
            dataset.hold_out(cold)?;
        }
        dataset.train_on(config.data.train_parts);
        let (named, device) = (config.data.clone(), device.clone());
        let (accepted, protocol, teachers) = (Vec::new(), None, BTreeMap::new());
        let run = None;
        Ok(Self { config, named, accepted, accepts_changed: false, protocol, teachers, run, dataset, device })
    }

    /// The settings of a system that keeps them in `[system.settings]`.
    ///
    /// # Errors
    /// One is missing, unknown or of another type.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, SystemError> {
        self.config.system.settings.clone().try_into().map_err(|e: toml::de::Error| SystemError::Settings {
            key: "system.settings".into(),
            reason: one_line(e.message()),
            hint: Some(format!("they are those of the system `{}`", self.config.system.kind)),
        })
    }

    /// B: windows per micro-batch, as `train.batch_users` says or, where that is 0, by the length of the training histories.
    pub fn batch_users(&self) -> usize {
        match self.config.train.batch_users {
            0 => batch_users(&self.dataset, &self.config.data),
            stated => stated,
        }
    }

    /// The configuration as checkpoints keep it.
    pub fn named_config(&self) -> Config {
        Config { data: self.named.clone(), ..self.config.clone() }
    }

    /// Targets of `part` that the history rule takes from their own candidates.
    pub fn hidden_targets(&self, part: Part) -> HiddenTargets {
        HiddenTargets::count(&self.dataset, part, self.config.eval.history, self.config.data.max_seq_len)
    }

    /// How targets are ranked, where the items of `choice`, or all, are candidates.
    pub fn rules<'a>(&'a self, choice: Option<&'a Choice>) -> Rules<'a> {
        let (eval, max_seq_len) = (&self.config.eval, self.config.data.max_seq_len);
        Rules { eval, max_seq_len, named: self.protocol.as_ref(), choice }
    }

    /// Metrics of any scorer under [`Self::rules`], where the items of `choice`, or all, are candidates.
    ///
    /// # Errors
    /// The scorer failed, or `part` has no targets among the candidates.
    pub fn evaluate(
        &self,
        scorer: &mut dyn Scorer,
        part: Part,
        choice: Option<&Choice>,
    ) -> Result<Evaluation, ScoreError> {
        evaluate_under(scorer, &self.dataset, part, &self.rules(choice), &mut |_| {})
    }
}

/// As many windows as hold about [`BATCH_INPUTS`] inputs: the candidates of an in-batch softmax, and its cost, follow these.
fn batch_users(dataset: &Dataset, data: &DataConfig) -> usize {
    let lengths = (0..dataset.sequences.users()).map(|user| dataset.sequences.train_of(user).len());
    let (mut inputs, mut windows) = (0, 0);
    for length in lengths.filter(|&length| length >= data.min_train_len.max(2)) {
        let all = length - 1;
        match data.windows {
            Windows::Last => (inputs, windows) = (inputs + all.min(data.max_seq_len), windows + 1),
            Windows::All => (inputs, windows) = (inputs + all, windows + all.div_ceil(data.max_seq_len)),
        }
    }
    let fitting = (BATCH_INPUTS * windows).checked_div(inputs).unwrap_or(BATCH_USERS.1);
    fitting.clamp(BATCH_USERS.0, BATCH_USERS.1)
}

const BATCH_INPUTS: usize = 1024;
/// Fewest and most windows of a batch whose size follows the data.
const BATCH_USERS: (usize, usize) = (16, 128);

/// The data set on disk of a setup that holds items out: interactions with them, which the model was not told of, are
/// known there alone. Absent where nothing is held out.
///
/// # Errors
/// It can't be read.
pub fn whole_dataset(setup: &Setup) -> Result<Option<Dataset>, SystemError> {
    let data = &setup.config.data;
    let path = data.path.as_ref().filter(|_| data.cold.is_some());
    Ok(path.map(|path| Dataset::open(path)).transpose()?)
}

/// Feature stores of these items that lie beside the data set, by name.
pub fn content_stores(setup: &Setup) -> Vec<(String, Arc<FeatureStore>)> {
    let Some(path) = &setup.config.data.path else { return Vec::new() };
    let entries = std::fs::read_dir(path.join("features")).into_iter().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let open = |name: String| {
        let store = FeatureStore::open(&feature_dir(path, &name)).ok()?;
        store.check_items(&setup.dataset).ok()?;
        Some((name, Arc::new(store)))
    };
    names.into_iter().filter_map(open).collect()
}

/// Views of `config` that have no feature store beside its data set. A store that `data.features` names is not looked
/// for: a path that somebody wrote is meant, and one that leads nowhere is an error when it is opened.
///
/// # Errors
/// `data.path` is no data set, of which nothing could be said.
pub fn absent_views(config: &Config) -> Result<Vec<String>, SystemError> {
    let path = config.data.path.as_ref().ok_or(SystemError::NoData)?;
    artefact::read_manifest(path, disk::KIND, disk::SCHEMA).map_err(DataError::from)?;
    let lacks = |view: &&ViewConfig| {
        let name = view.store();
        view.kind.reads_features()
            && !config.data.features.contains_key(name)
            && !feature_dir(path, name).exists()
    };
    Ok(config.model.views.iter().filter(lacks).map(|view| view.name.clone()).collect())
}

/// A configuration as it stands in `path`, with `sets`; on the data set `data` where that is given: then without the views
/// that it has no features of, which stand beside it, and without a file it is the recommended one.
///
/// # Errors
/// As [`load`] and [`absent_views`]; there is neither a file nor a data set, or nothing is left of the
/// model.
pub fn load_fitting(
    path: Option<&Path>,
    sets: &[String],
    data: Option<&Path>,
) -> Result<(Loaded, Dropped), SystemError> {
    let mut loaded = match (path, data) {
        (Some(path), Some(data)) => load_on(path, sets, data)?,
        (None, Some(data)) => load_recommended(sets, data)?,
        (path, None) => return Ok((load(path.ok_or(SystemError::NoData)?, sets)?, Dropped::default())),
    };
    let absent = absent_views(&loaded.config)?;
    let dropped = loaded.drop_views(&absent)?;
    Ok((loaded, dropped))
}

/// Where the features of a `tokens` view lie; none for an ID view or without a data set.
pub fn store_dir(config: &Config, view: &ViewConfig) -> Option<PathBuf> {
    let name = Some(view.store()).filter(|name| !name.is_empty())?;
    let listed = config.data.features.get(name).cloned();
    listed.or_else(|| Some(feature_dir(config.data.path.as_ref()?, name)))
}

/// Where the feature store `name` of a data set lies by default.
pub fn feature_dir(dataset_dir: &Path, name: &str) -> PathBuf {
    dataset_dir.join("features").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixtures::{dataset, leave_one_out};

    #[test]
    fn batches_hold_about_as_many_inputs_whatever_the_histories_are() {
        let long: Vec<u32> = (1..=101).cycle().take(103).collect();
        let data = dataset(101, &leave_one_out(&[&long, &long]));
        let config = |windows, max_seq_len| DataConfig { max_seq_len, windows, ..DataConfig::default() };
        // 100 inputs a user: one window of 100, two of 50, or the last 20 alone.
        assert_eq!(batch_users(&data, &config(Windows::All, 100)), 16);
        assert_eq!(batch_users(&data, &config(Windows::All, 50)), 20);
        assert_eq!(batch_users(&data, &config(Windows::Last, 20)), 51);
        let short = dataset(9, &leave_one_out(&[&[1, 2, 3, 4, 5], &[5, 6, 7]]));
        assert_eq!(batch_users(&short, &config(Windows::All, 50)), 128);
    }
}

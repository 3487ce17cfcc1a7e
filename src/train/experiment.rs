//! A configuration with everything that it names opened: data set, feature stores, sampler, shapes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;

use super::batch::{Sampler, SamplerOptions};
use super::checkpoint::Parents;
use super::inputs::Change;
use super::windows::{Cut, Unread};
use crate::artefact;
use crate::config::{Config, DataConfig, ViewConfig, ViewKind};
use crate::data::{Choice, DataError, Dataset, Part, disk};
use crate::eval::baseline::ContentView;
use crate::eval::{Evaluation, HiddenTargets, ScoreError, Scorer, evaluate_among};
use crate::features::{FeatureError, FeatureStore};
use crate::model::{DataShape, Recommender, ViewSource};
use crate::nn::Init;
use crate::ops::Noise;
use crate::recommend::{CatalogueVectors, ModelScorer};

/// Why an experiment can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("view `{view}`: {source}")]
    Features { view: String, source: FeatureError },
    #[error("the configuration names no data set")]
    NoData,
    #[error("no training sequence has {0} items or more")]
    NoWindows(usize),
    #[error("view `{view}` starts from `{other}`, whose features are {found} wide instead of {expected}")]
    InitWidth { view: String, other: String, found: usize, expected: usize },
}

impl ExperimentError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Data(e) => e.hint(),
            Self::Features { source, .. } => source.hint(),
            Self::NoData => {
                Some("set data.path to a directory made by `codistill prepare` or `synth`".into())
            }
            Self::NoWindows(_) => Some("lower data.min_train_len, or prepare with longer sequences".into()),
            Self::InitWidth { .. } => Some("list views of one width in init_views".into()),
        }
    }
}

/// Everything a training or an evaluation reads.
pub struct Experiment {
    pub config: Config,
    /// The data as the run's own configuration names it: `config` says where it lies now.
    pub named: DataConfig,
    /// Inputs of a trained run that are not those of its training.
    pub accepted: Vec<Change>,
    pub dataset: Dataset,
    pub views: Vec<Option<ViewSource>>,
    pub shape: DataShape,
    pub parents: Parents,
    pub sampler: Sampler,
    /// Plain device; the trained model lives on its autodiff twin.
    pub device: Device,
}

impl Experiment {
    /// Opens what `config` names; `config.data.path` is set.
    ///
    /// # Errors
    /// The data set or a feature store is absent, damaged, or belongs to other items.
    pub fn open(config: Config, device: &Device) -> Result<Self, ExperimentError> {
        let path = config.data.path.clone().ok_or(ExperimentError::NoData)?;
        let mut dataset = Dataset::open(&path)?;
        if let Some(cold) = &config.data.cold {
            dataset.hold_out(cold)?;
        }
        let mut views = Vec::new();
        let mut parents = Parents { dataset: dataset.hash.clone(), features: BTreeMap::new() };
        for view in &config.model.views {
            let source = open_view(&config, view, &path, &dataset)?;
            if let Some(source) = &source {
                parents.features.insert(view.name.clone(), source.store.hash().to_owned());
            }
            views.push(source);
        }
        let widths = views.iter().map(|v| v.as_ref().map_or(0, |v| v.store.width())).collect();
        let shape = DataShape {
            items: dataset.items.count(),
            max_seq_len: config.data.max_seq_len,
            feature_widths: widths,
        };
        check_init_widths(&config, &shape)?;
        let options = SamplerOptions {
            seed: config.seed,
            batch_users: config.train.batch_users,
            max_seq_len: config.data.max_seq_len,
            min_train_len: config.data.min_train_len,
            windows: config.data.windows,
            objective: config.objective.clone(),
            savings: config.train.savings.clone(),
        };
        let mut sampler = Sampler::new(&dataset.sequences, shape.items, views.clone(), &options);
        if config.data.cold.is_some() {
            // A negative is training too: it would teach that new items are never the answer.
            let cold: Vec<bool> = dataset.train_counts().iter().map(|&n| n == 0).collect();
            sampler = sampler.sparing(&cold);
        }
        if sampler.windows().is_empty() {
            return Err(ExperimentError::NoWindows(config.data.min_train_len.max(2)));
        }
        let (named, accepted, device) = (config.data.clone(), Vec::new(), device.clone());
        Ok(Self { config, named, accepted, dataset, views, shape, parents, sampler, device })
    }

    /// The configuration as checkpoints keep it.
    pub fn named_config(&self) -> Config {
        Config { data: self.named.clone(), ..self.config.clone() }
    }

    /// Training events of each item that some window reads, I + 1 entries: an item with none has an ID vector that
    /// was never trained.
    pub fn trained_counts(&self) -> &[u32] {
        self.sampler.trained()
    }

    /// Training events that no window reads.
    pub fn unread(&self) -> Unread {
        Unread::of(&self.dataset.sequences, self.shape.items, Cut::of(&self.config.data))
    }

    /// Targets of `part` that the history rule takes from their own candidates.
    pub fn hidden_targets(&self, part: Part) -> HiddenTargets {
        HiddenTargets::of(&self.dataset, part, self.config.eval.history, self.config.data.max_seq_len)
    }

    /// Reads every feature store once and compares it with its hashes, which opening leaves out.
    ///
    /// # Errors
    /// A store is not what was written.
    pub fn verify_features(&self) -> Result<(), ExperimentError> {
        for (view, source) in self.config.model.views.iter().zip(&self.views) {
            if let Some(source) = source {
                let wrap = |source| ExperimentError::Features { view: view.name.clone(), source };
                source.store.verify().map_err(wrap)?;
            }
        }
        Ok(())
    }

    /// A model with fresh weights on the autodiff device: a pure function of the seed and the shapes.
    pub fn new_model(&self) -> Recommender {
        let mut init = Init::new(Noise::key(self.config.seed, 0, 0, 0), &self.device.clone().autodiff());
        let first_tokens = |view: usize| self.first_tokens(view);
        Recommender::new(
            &self.config.model,
            &self.config.train.savings,
            &self.shape,
            &first_tokens,
            &mut init,
        )
    }

    /// `[I + 1, F]` first token of every item in view `view`, zero where it is missing.
    fn first_tokens(&self, view: usize) -> Vec<f32> {
        let Some(source) = &self.views[view] else { return Vec::new() };
        let width = source.store.width();
        let mut all = vec![0.0; (self.shape.items + 1) * width];
        for (item, row) in all.chunks_exact_mut(width).enumerate().skip(1) {
            if source.store.length(item as u32) > 0 {
                source.store.gather_into(item as u32, 1, row);
            }
        }
        all
    }

    /// Content features of the items: those of the model's views; of a model without any, whatever stores of
    /// these items lie beside the data set.
    pub fn content(&self) -> Vec<ContentView> {
        let views = self.config.model.views.iter().zip(&self.views);
        let own: Vec<ContentView> = views
            .filter_map(|(view, source)| {
                let store = Arc::clone(&source.as_ref()?.store);
                Some(ContentView { name: view.name.clone(), store })
            })
            .collect();
        let Some(path) = self.config.data.path.as_ref().filter(|_| own.is_empty()) else { return own };
        let mut names: Vec<String> = std::fs::read_dir(path.join("features"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        let open = |name: String| {
            let store = FeatureStore::open(&feature_dir(path, &name)).ok()?;
            store.check_items(&self.dataset).ok()?;
            Some(ContentView { name, store: Arc::new(store) })
        };
        names.into_iter().filter_map(open).collect()
    }

    /// Items that no `tokens` view of the model covers.
    pub fn items_without_modality(&self) -> usize {
        let stores: Vec<_> = self.views.iter().flatten().collect();
        if stores.is_empty() {
            return 0;
        }
        (1..=self.shape.items as u32).filter(|&i| stores.iter().all(|v| v.store.length(i) == 0)).count()
    }

    /// Item vectors of the whole catalogue under a plain model.
    pub fn catalogue(&self, model: &Recommender) -> CatalogueVectors {
        let batch = self.config.eval.item_batch;
        CatalogueVectors::encode(model, &self.views, self.shape.items, batch, &self.device)
    }

    /// Metrics of a plain model on the targets of `part`.
    ///
    /// # Errors
    /// The scorer failed, or `part` has no targets.
    pub fn evaluate_model(&self, model: &Recommender, part: Part) -> Result<Evaluation, ScoreError> {
        self.evaluate_model_among(model, part, None)
    }

    /// [`Self::evaluate_model`] where only the items of `choice` are candidates.
    ///
    /// # Errors
    /// As there; no target is a candidate.
    pub fn evaluate_model_among(
        &self,
        model: &Recommender,
        part: Part,
        choice: Option<&Choice>,
    ) -> Result<Evaluation, ScoreError> {
        let vectors = self.catalogue(model);
        let s = self.config.data.max_seq_len;
        let mut scorer = ModelScorer::new(model, &vectors, Some(&self.dataset), s, &self.device);
        self.evaluate_scorer_among(&mut scorer, part, choice)
    }

    /// Metrics of any scorer under this experiment's protocol.
    ///
    /// # Errors
    /// The scorer failed, or `part` has no targets.
    pub fn evaluate_scorer(&self, scorer: &mut dyn Scorer, part: Part) -> Result<Evaluation, ScoreError> {
        self.evaluate_scorer_among(scorer, part, None)
    }

    /// [`Self::evaluate_scorer`] where only the items of `choice` are candidates.
    ///
    /// # Errors
    /// As there; no target is a candidate.
    pub fn evaluate_scorer_among(
        &self,
        scorer: &mut dyn Scorer,
        part: Part,
        choice: Option<&Choice>,
    ) -> Result<Evaluation, ScoreError> {
        let (eval, s) = (&self.config.eval, self.config.data.max_seq_len);
        evaluate_among(scorer, &self.dataset, part, eval, s, choice, &mut |_| {})
    }
}

fn open_view(
    config: &Config,
    view: &ViewConfig,
    dataset_dir: &Path,
    dataset: &Dataset,
) -> Result<Option<ViewSource>, ExperimentError> {
    if view.kind == ViewKind::Id {
        return Ok(None);
    }
    let wrap = |source| ExperimentError::Features { view: view.name.clone(), source };
    let name = view.store();
    let dir = config.data.features.get(name).cloned().unwrap_or_else(|| feature_dir(dataset_dir, name));
    let store = FeatureStore::open(&dir).map_err(wrap)?;
    store.check_items(dataset).map_err(wrap)?;
    let store = match view.replace {
        Some(replace) => store.replaced(replace, config.seed),
        None => store,
    };
    let most = if view.max_tokens == 0 { store.tokens() } else { view.max_tokens.min(store.tokens()) };
    Ok(Some(ViewSource { store: Arc::new(store), max_tokens: most }))
}

/// Views of `config` that have no feature store beside its data set. A store that `data.features` names is not looked
/// for: a path that somebody wrote is meant, and one that leads nowhere is an error when it is opened.
///
/// # Errors
/// `data.path` is no data set, of which nothing could be said.
pub fn absent_views(config: &Config) -> Result<Vec<String>, ExperimentError> {
    let path = config.data.path.as_ref().ok_or(ExperimentError::NoData)?;
    artefact::read_manifest(path, disk::KIND, disk::SCHEMA).map_err(DataError::from)?;
    let lacks = |view: &&ViewConfig| {
        let name = view.store();
        view.kind == ViewKind::Tokens
            && !config.data.features.contains_key(name)
            && !feature_dir(path, name).exists()
    };
    Ok(config.model.views.iter().filter(lacks).map(|view| view.name.clone()).collect())
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

fn check_init_widths(config: &Config, shape: &DataShape) -> Result<(), ExperimentError> {
    for view in &config.model.views {
        let mut widths = config
            .model
            .views
            .iter()
            .zip(&shape.feature_widths)
            .filter(|(other, _)| view.init_views.contains(&other.name));
        let Some((_, &expected)) = widths.next() else { continue };
        if let Some((other, &found)) = widths.find(|(_, width)| **width != expected) {
            let (view, other) = (view.name.clone(), other.name.clone());
            return Err(ExperimentError::InitWidth { view, other, found, expected });
        }
    }
    Ok(())
}

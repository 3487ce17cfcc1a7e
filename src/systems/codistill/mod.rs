//! The program's own system: branches over views of an item, trained together.
//!
//! Its configuration is the sections `model`, `objective` and the windows of `data`. SASRec is one ID branch; late fusion
//! three branches; ODMT three branches, the ID-aware tower and distillation between them.
//!
//! Reading order: [`windows`] (which events are trained on), [`negatives`], [`masked`] (histories that are read without a
//! view), [`batch`], [`teacher`] (finished runs that teach), `remembered` (what a memory teaches), [`step`] (forward and
//! losses).

pub mod batch;
pub mod masked;
pub mod negatives;
mod remembered;
pub mod step;
pub mod teacher;
mod views;
pub mod windows;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use burn::module::Module;

use crate::config::{IdTable, MemoryConfig, ObjectiveKind, TrainParts};
use crate::data::Part;
use crate::eval::baseline::ContentView;
use crate::eval::{Evaluation, ScoreError, Scorer};
use crate::export::weights;
use crate::features::FeatureStore;
use crate::memory::Memory;
use crate::memory::disk::{self, Key};
use crate::model::{DataShape, Recommender, ViewSource};
use crate::nn::Init;
use crate::objective::Objective;
use crate::ops::Noise;
use crate::params::{self, Values};
use crate::recommend::{CatalogueVectors, ModelScorer, ensemble};
use crate::train::losses::Losses;
use crate::train::setup::{Setup, SystemError};
use crate::train::system::{BatchSize, Learner, Notices, Phase, Place, System, TeacherRun, Unused};
pub use batch::{Batch, Sampler, SamplerOptions};
use masked::HistoryDropout;
pub use step::{Dropout, Step};
pub use teacher::Teacher;
use windows::{Cut, Unread};

/// Branches over views, opened on a data set.
pub struct CoDistill {
    pub setup: Arc<Setup>,
    /// Feature stores of the views, in their order; none for an ID view.
    pub views: Vec<Option<ViewSource>>,
    pub shape: DataShape,
    /// Opened when a training is made, and by nothing else.
    teachers: OnceLock<Vec<Arc<Teacher>>>,
    memory: OnceLock<Arc<Memory>>,
    /// Made when a training asks for it.
    sampler: OnceLock<Sampler>,
    step: OnceLock<Step>,
}

impl CoDistill {
    /// Cuts the training windows and makes batches of them.
    pub fn sampler(&self) -> &Sampler {
        self.sampler.get_or_init(|| {
            let config = &self.setup.config;
            let options = SamplerOptions {
                seed: config.seed,
                batch_users: self.setup.batch_users(),
                max_seq_len: config.data.max_seq_len,
                min_train_len: config.data.min_train_len,
                windows: config.data.windows,
                objective: config.objective.clone(),
                savings: config.train.savings.clone(),
            };
            let dataset = &self.setup.dataset;
            let sampler = Sampler::new(&dataset.sequences, self.shape.items, self.views.clone(), &options)
                .with_history_dropout(HistoryDropout::new(&config.model))
                .with_memory(config.memory_teaches().then(|| self.memory()).flatten());
            if config.data.cold.is_none() {
                return sampler;
            }
            // A negative is training too: it would teach that new items are never the answer.
            let held_out: Vec<bool> = dataset.train_counts().iter().map(|&n| n == 0).collect();
            sampler.excluding(&held_out)
        })
    }

    /// Forward pass and losses of the configuration. Its teachers are those that [`System::open_teachers`] has opened
    /// before.
    ///
    /// # Panics
    /// Never: the terms of the objective were checked when the system was opened.
    pub fn step(&self) -> &Step {
        self.step.get_or_init(|| {
            let config = &self.setup.config;
            let names: Vec<String> = config.model.branches.iter().map(|b| b.name.clone()).collect();
            let objective = Objective::new(&config.objective, &names, self.sampler().drawable());
            let device = self.setup.device.clone().autodiff();
            let dropout = Dropout { elements: config.model.dropout, item_vectors: config.model.item_dropout };
            let objective = objective.extended(&config.objective.terms).expect("checked when it was opened");
            Step::new(objective, &device, dropout, config.train.savings.length_groups)
                .with_row_sparse(config.optim.id_table == IdTable::RowSparse)
                .with_eligible(self.sampler().eligible().cloned())
                .with_teachers(self.teachers.get().cloned().unwrap_or_default())
        })
    }

    /// What the training part tells by counting: as the run keeps it, or counted when it is first asked for; absent where the
    /// configuration has none.
    pub fn memory(&self) -> Option<Arc<Memory>> {
        let config = self.setup.config.model.memory.as_ref()?;
        let kept = || disk::open(&self.setup.run.as_ref()?.join(disk::FOLDER), &self.memory_key(config));
        let memory = self.memory.get_or_init(|| Arc::new(kept().unwrap_or_else(|| self.count(config))));
        Some(Arc::clone(memory))
    }

    fn count(&self, config: &MemoryConfig) -> Memory {
        let sequences = &self.setup.dataset.sequences;
        let train = |user| sequences.train_of(user);
        Memory::count(config, sequences.users(), self.shape.items, train, &self.content())
    }

    /// A warning for each view that is too large for a memory to look for items alike by it.
    fn views_without_neighbours(&self) -> Vec<String> {
        let items = self.shape.items;
        let is_too_much = |store: &FeatureStore| {
            (items as f64).powi(2) * store.width() as f64 > crate::memory::content::MOST_WORK
        };
        let asks = self.setup.config.model.memory.as_ref().is_some_and(|memory| memory.content);
        let views = self.features().into_iter().filter(|(_, store)| asks && is_too_much(store));
        let line = |view: &str| {
            format!(
                "the memory doesn't look for items alike by {view}: {items} items are too many; model.memory.content=false \
                 leaves all views out"
            )
        };
        views.map(|(view, _)| line(view)).collect()
    }

    fn memory_key(&self, config: &MemoryConfig) -> Key {
        let features = self.features().into_iter();
        let features = features.map(|(view, store)| (view.to_owned(), store.hash().to_owned())).collect();
        let dataset = &self.setup.dataset;
        // The hash says what was read and not which part of it is counted.
        let counted = match dataset.trained_on.parts {
            TrainParts::Train => dataset.hash.clone(),
            more => format!("{}+{}", dataset.hash, more.word()),
        };
        Key::new(config, &counted, &features)
    }

    /// The views with features.
    pub(crate) fn content(&self) -> Vec<ContentView> {
        let features = self.features().into_iter();
        features.map(|(name, store)| ContentView { name: name.to_owned(), store: store.clone() }).collect()
    }

    /// Training events of each item that some window reads, I + 1 entries: an item with none has an ID vector that
    /// was never trained.
    pub fn window_counts(&self) -> &[u32] {
        self.sampler().window_counts()
    }

    /// Training events that no window reads.
    pub fn unread(&self) -> Unread {
        Unread::new(&self.setup.dataset.sequences, self.shape.items, Cut::new(&self.setup.config.data))
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

    /// The same system, in which the items of which `hidden` is true (I + 1 entries) lack a view: each entry is the view's
    /// number and its items. For judging: a training of it would be another one.
    #[must_use]
    pub fn hiding(&self, hidden: &[(usize, Vec<bool>)]) -> Self {
        let mut views = self.views.clone();
        for (view, items) in hidden {
            if let Some(source) = &mut views[*view] {
                source.store = Arc::new(source.store.hiding(items));
            }
        }
        let (setup, shape) = (Arc::clone(&self.setup), self.shape.clone());
        let (teachers, memory) = (OnceLock::new(), OnceLock::new());
        let (sampler, step) = (OnceLock::new(), OnceLock::new());
        let poorer = Self { setup, views, shape, teachers, memory, sampler, step };
        if let (Some(own), Some(config)) = (self.memory(), &self.setup.config.model.memory) {
            let names = hidden.iter().map(|(view, _)| self.setup.config.model.views[*view].name.as_str());
            let names: Vec<&str> = names.collect();
            poorer.memory.get_or_init(|| Arc::new(own.with_content(config, &poorer.content(), &names)));
        }
        poorer
    }

    /// Items that no `tokens` view of the model covers.
    pub fn items_without_content(&self) -> usize {
        let stores: Vec<_> = self.views.iter().flatten().collect();
        if stores.is_empty() {
            return 0;
        }
        (1..=self.shape.items as u32).filter(|&i| stores.iter().all(|v| v.store.length(i) == 0)).count()
    }

    /// Item vectors of the whole catalogue under a plain model.
    pub fn catalogue(&self, model: &Recommender) -> CatalogueVectors {
        let batch = self.setup.config.eval.item_batch;
        CatalogueVectors::encode(model, &self.views, self.shape.items, batch, &self.setup.device)
    }

    /// Metrics of any scorer under this configuration's protocol, the whole catalogue as candidates.
    ///
    /// # Errors
    /// The scorer failed, or `part` has no targets.
    pub fn evaluate_scorer(&self, scorer: &mut dyn Scorer, part: Part) -> Result<Evaluation, ScoreError> {
        self.setup.evaluate(scorer, part, None)
    }
}

impl Learner for CoDistill {
    type Model = Recommender;
    type Batch = Batch;

    fn losses(&self, model: &Recommender, batch: &Batch, phase: Phase<'_>) -> Losses {
        self.step().losses(model, batch, phase)
    }
}

impl System for CoDistill {
    fn open(setup: Setup) -> Result<Self, SystemError> {
        let (views, shape) = views::open(&setup.config, &setup.dataset)?;
        let objective = Objective::new(&setup.config.objective, &[], shape.items);
        let objective = objective.extended(&setup.config.objective.terms)?;
        let reads = objective.further_terms_read_catalogue().enumerate();
        reads
            .filter(|(_, reads)| *reads)
            .try_for_each(|(place, _)| setup.config.check_catalogue_term(place))?;
        let (teachers, memory) = (OnceLock::new(), OnceLock::new());
        let (sampler, step) = (OnceLock::new(), OnceLock::new());
        Ok(Self { setup: Arc::new(setup), views, shape, teachers, memory, sampler, step })
    }

    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn features(&self) -> Vec<(&str, &Arc<FeatureStore>)> {
        let views = self.setup.config.model.views.iter().zip(&self.views);
        views.filter_map(|(view, source)| Some((view.name.as_str(), &source.as_ref()?.store))).collect()
    }

    fn keep(&self, run: &Path) -> Result<(), SystemError> {
        let Some((config, memory)) = self.setup.config.model.memory.as_ref().zip(self.memory()) else {
            return Ok(());
        };
        let (dir, key) = (run.join(disk::FOLDER), self.memory_key(config));
        if disk::open(&dir, &key).is_none() {
            disk::write(&dir, &memory, &key)?;
        }
        Ok(())
    }

    fn check_samples(&self) -> Result<(), SystemError> {
        if self.samples() == 0 {
            return Err(SystemError::NoWindows(self.setup.config.data.min_train_len.max(2)));
        }
        Ok(())
    }

    fn notices(&self) -> Notices {
        let unread = self.unread();
        let mut warnings = Vec::new();
        let bare = self.items_without_content();
        if bare > 0 {
            warnings.push(format!(
                "{bare} items have no content features at all; learned missing tokens stand in for them"
            ));
        }
        warnings.extend(unread.warnings());
        warnings.extend(self.views_without_neighbours());
        warnings.extend(self.teachers.get().into_iter().flatten().flat_map(|teacher| teacher.warnings()));
        Notices { warnings, notes: unread.note().into_iter().collect() }
    }

    fn unused(&self) -> Unused {
        let unread = self.unread();
        Unused {
            items_without_content: self.items_without_content(),
            items: unread.items(),
            events_share: unread.share(),
        }
    }

    fn open_teachers(&self) -> Result<(), SystemError> {
        if self.teachers.get().is_none() {
            let teachers = Teacher::open_all(&self.setup)?;
            self.teachers.get_or_init(|| teachers.into_iter().map(Arc::new).collect());
        }
        Ok(())
    }

    fn teachers(&self) -> Vec<TeacherRun> {
        self.teachers.get().into_iter().flatten().map(|teacher| teacher.run.clone()).collect()
    }

    fn new_model(&self) -> Recommender {
        let config = &self.setup.config;
        let device = self.setup.device.clone().autodiff();
        let mut init = Init::new(Noise::key(config.seed, 0, 0, 0), &device);
        let first_tokens = |view: usize| self.first_tokens(view);
        Recommender::new(&config.model, &config.train.savings, &self.shape, &first_tokens, &mut init)
    }

    fn terms(&self) -> Vec<String> {
        self.step().objective().names()
    }

    fn samples(&self) -> usize {
        self.sampler().windows().len()
    }

    fn samples_name(&self) -> &'static str {
        "windows"
    }

    fn batch(&self, order: &[u32], place: Place) -> Batch {
        self.sampler().batch(order, place.epoch, place.index)
    }

    fn size(&self, batch: &Batch) -> BatchSize {
        BatchSize {
            items: batch.block.items.len()
                + batch.masked.iter().map(|masked| masked.block.items.len()).sum::<usize>(),
            positions: batch.histories.positions(),
            samples: batch.histories.count(),
        }
    }

    fn memory(&self, batch: &Batch, parameters: usize) -> u64 {
        memory_estimate(self, batch, parameters)
    }

    fn export_names(&self, parameters: BTreeMap<String, Values>) -> BTreeMap<String, Values> {
        weights::to_authors(&parameters)
    }

    fn item_vectors(&self, model: &Recommender) -> Vec<(String, Values)> {
        let branches = self.setup.config.model.branches.iter().zip(self.catalogue(model).branches);
        let vectors = branches.map(|(branch, x_vd)| {
            let shape = x_vd.dims().to_vec();
            (branch.name.clone(), Values { shape, values: params::host(x_vd) })
        });
        vectors.collect()
    }

    fn fitted(&self, mut model: Recommender) -> Result<Recommender, ScoreError> {
        if let Some(ensemble) = model.ensemble.take() {
            let plain = model.valid();
            let (dataset, s) = (&self.setup.dataset, self.setup.config.data.max_seq_len);
            let (vectors, device) = (self.catalogue(&plain), &self.setup.device);
            let mut scorer = ModelScorer::new(&plain, vectors, self.memory(), None, s, device);
            let weights = ensemble::fit(&mut scorer, dataset);
            model.ensemble = Some(match weights {
                Some(weights) => ensemble.with(weights),
                None => ensemble,
            });
        }
        Ok(model)
    }

    fn scorer<'a>(&'a self, model: &'a Recommender) -> Box<dyn Scorer + 'a> {
        let s = self.setup.config.data.max_seq_len;
        let (dataset, device) = (Some(&self.setup.dataset), &self.setup.device);
        Box::new(ModelScorer::new(model, self.catalogue(model), self.memory(), dataset, s, device))
    }
}

/// Bytes of parameters with gradient and optimiser state, and of the activations kept for the backward
/// pass of one micro-batch: a count of the tensors of the forward pass, not a measurement.
fn memory_estimate(system: &CoDistill, batch: &Batch, parameters: usize) -> u64 {
    let model = &system.setup.config.model;
    let d = model.width as u64;
    let per_token = 30 * d;
    let blocks = model.tower.as_ref().map_or(0, |t| t.blocks as u64);
    let heads = model.tower.as_ref().map_or(1, |t| t.heads as u64);
    let blocks_of_items =
        std::iter::once(&batch.block).chain(batch.masked.iter().map(|masked| &masked.block));
    let tower: u64 = blocks_of_items
        .flat_map(|block| &block.groups)
        .map(|group| {
            let tokens: u64 =
                1 + (0..model.views.len()).filter_map(|v| group.view(v)).map(|t| t.count as u64).sum::<u64>();
            group.count as u64 * blocks * (tokens * per_token + 4 * heads * tokens * tokens)
        })
        .sum();
    let longest = batch.histories.longest();
    let places = (batch.histories.count() * longest) as u64;
    let encoders = model.branches.len() as u64 * places * 2 * (per_token + 8 * longest as u64);
    let columns = match (&batch.drawn, system.setup.config.objective.kind) {
        (Some(drawn), _) => 1 + drawn.count,
        (None, ObjectiveKind::Full) => system.setup.config.objective.chunk_items.min(system.shape.items),
        (None, _) => batch.block.items.len(),
    };
    let distill = &system.setup.config.objective.distill;
    let run_pairs = distill.pairs.iter().filter(|pair| distill.run(&pair.teacher).is_some()).count();
    let logits =
        8 * (model.branches.len() + run_pairs) as u64 * (batch.histories.positions() * columns) as u64;
    let teachers: u64 = system.teachers.get().into_iter().flatten().map(|teacher| teacher.entries()).sum();
    4 * (4 * parameters as u64 + tower + encoders + logits + teachers)
}

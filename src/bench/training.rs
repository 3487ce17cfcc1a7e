//! Training steps of a workload: batch assembly, gradients, clipping, update.
//!
//! The steps are those of the trainer, but a batch is assembled when its step begins, not while the one before
//! runs: contenders without a background thread are compared with the same work.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;

use super::disk::{IMAGE, Loaded, TEXT};
use super::flops::{self, Content, Flops};
use super::workload::{BRANCHES, Kind, Workload};
use super::{BenchError, Steps};
use crate::config::section::Fact;
use crate::config::{
    BranchConfig, Config, DataConfig, DistillConfig, DistillPair, ENSEMBLE, EncoderConfig, EvalConfig,
    IdTable, MemoryConfig, ModelConfig, ObjectiveConfig, ObjectiveKind, OptimConfig, SasrecConfig,
    TokensRead, TowerConfig, TrainConfig, ViewConfig, ViewKind, Windows, has_fact, keys_with, parse,
};
use crate::data::{Part, Sequences};
use crate::eval::baseline::ContentView;
use crate::features::FeatureStore;
use crate::memory::Memory;
use crate::model::{DataShape, Recommender, ViewSource};
use crate::nn::Init;
use crate::objective::Objective;
use crate::ops::Noise;
use crate::params;
use crate::systems::codistill::batch::{Sampler, SamplerOptions};
use crate::systems::codistill::step::{Dropout, Step};
use crate::train::optim::{AdamW, learning_rate};
use crate::train::setup::store_dir;
use crate::train::system::Phase;
use crate::train::update::{Rates, update};

/// One timed step, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepTime {
    /// Number of the timed step, from 0; warm-ups are not counted.
    pub index: usize,
    /// Batch assembly (with gathering features), forward, backward, clipping and update.
    pub seconds: f64,
    pub batch_seconds: f64,
    /// Forward and backward.
    pub gradient_seconds: f64,
    /// Clipping and AdamW.
    pub update_seconds: f64,
    pub loss: f64,
    pub flops: Flops,
    /// Distinct items and real positions of the batch.
    pub items: usize,
    pub positions: usize,
}

/// A training workload, ready to run.
pub struct Training {
    workload: Workload,
    config: Config,
    views: Vec<Option<ViewSource>>,
    sampler: Sampler,
    /// Absent while a step has taken it to write to it in place.
    model: Option<Recommender>,
    optimizer: AdamW,
    step: Step,
    device: Device,
}

impl Training {
    /// `sets` are `key=value` of the configuration, as `train --set` takes them; `device` is a plain device.
    ///
    /// # Errors
    /// A set is refused, or the workload's directory is damaged.
    pub fn new(loaded: &Loaded, sets: &[String], device: &Device) -> Result<Self, BenchError> {
        let workload = loaded.workload.clone();
        let config = config(&workload, &loaded.dir, sets)?;
        let views = open_views(&config)?;
        let windows = loaded.windows()?;
        let memory = config.model.memory.as_ref().filter(|_| config.memory_teaches());
        let memory =
            memory.map(|settings| Arc::new(memory_of(&workload, settings, &config, &views, &windows)));
        let sampler = sampler(&workload, &config, views.clone(), &windows).with_memory(memory);
        let widths = views.iter().map(|v| v.as_ref().map_or(0, |v| v.store.width())).collect();
        let autodiff = device.clone().autodiff();
        let model = fresh_model(&workload, &config, widths, &autodiff);
        let names: Vec<String> = config.model.branches.iter().map(|b| b.name.clone()).collect();
        let objective = Objective::new(&config.objective, &names, workload.items);
        let objective = objective.extended(&config.objective.terms)?;
        let dropout = Dropout { elements: config.model.dropout, item_vectors: config.model.item_dropout };
        let step = Step::new(objective, &autodiff, dropout, config.train.savings.length_groups);
        let step = step.with_row_sparse(config.optim.id_table == IdTable::RowSparse);
        let mut parameters = Vec::new();
        params::for_each(&model, &mut |name, _, _| parameters.push(name));
        let optimizer = AdamW::grouped(&config.optim, &parameters)?;
        let model = Some(model);
        Ok(Self { workload, config, views, sampler, model, optimizer, step, device: device.clone() })
    }

    /// Trainable numbers of the model.
    pub fn parameters(&self) -> usize {
        self.model.as_ref().map_or(0, parameter_count)
    }

    /// Runs the steps; `on_step` is told of every timed one.
    ///
    /// # Errors
    /// The training diverged, or the device failed.
    pub fn run(
        &mut self,
        steps: Steps,
        on_step: &mut dyn FnMut(&StepTime) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let total = steps.warmup + steps.timed;
        steps.run(|index, done| self.step(index, done, total), on_step)
    }

    /// `index` picks the batch; `done` of `total` steps came before.
    fn step(&mut self, index: usize, done: usize, total: usize) -> Result<StepTime, BenchError> {
        let first = index % self.workload.batches * self.workload.users;
        let windows = &self.sampler.windows()[first..first + self.workload.users];
        let start = Instant::now();
        let seconds = || start.elapsed().as_secs_f64();
        let batch = self.sampler.assemble(windows, Noise::key(self.config.seed, 1, done as u64, 0));
        let batch_seconds = seconds();
        let lr = learning_rate(&self.config.optim, self.config.optim.lr, done as u64, total as u64);
        let frozen = BTreeSet::new();
        let rates = Rates { lr, clip_norm: self.config.optim.clip_norm, frozen: &frozen };
        // The model comes back unless the step panics.
        let Some(model) = self.model.take() else {
            return Err(BenchError::Device("the model is lost".into()));
        };
        let batches = std::slice::from_ref(&batch);
        let (model, found) = update(&self.step, &mut self.optimizer, model, batches, Phase::whole(1), rates);
        self.model = Some(model);
        let gradient_seconds = (found.gradients_at - start).as_secs_f64() - batch_seconds;
        let loss = found.losses[0].total;
        if !found.is_finite() {
            return Err(BenchError::Diverged { loss, step: done });
        }
        self.device.sync().map_err(|e| BenchError::Device(format!("{e:?}")))?;
        let all = seconds();
        let content = Content::new(&batch, windows, &self.views);
        let flops = Flops {
            reference: flops::reference(&self.workload),
            ours: flops::reduced(&self.workload, &content),
        };
        Ok(StepTime {
            index,
            seconds: all,
            batch_seconds,
            gradient_seconds,
            update_seconds: all - gradient_seconds - batch_seconds,
            loss,
            flops,
            items: batch.block.items.len(),
            positions: batch.histories.positions(),
        })
    }
}

/// The model of `config` before its first step.
pub(super) fn fresh_model(
    workload: &Workload,
    config: &Config,
    feature_widths: Vec<usize>,
    device: &Device,
) -> Recommender {
    let shape = DataShape { items: workload.items, max_seq_len: workload.positions, feature_widths };
    let mut init = Init::new(Noise::key(config.seed, 0, 0, 0), device);
    Recommender::new(&config.model, &config.train.savings, &shape, &|_| Vec::new(), &mut init)
}

pub(super) fn parameter_count(model: &Recommender) -> usize {
    let mut count = 0;
    params::for_each(model, &mut |_, shape, _| count += shape.iter().product::<usize>());
    count
}

/// ln p of every item as the sampler counts it over `windows`, `[I + 1]`; entry 0 is 0.
pub(super) fn log_popularity(workload: &Workload, windows: &[Vec<u32>]) -> Vec<f32> {
    let config = defaults(workload, Path::new("."));
    let views = vec![None; config.model.views.len()];
    sampler(workload, &config, views, windows).log_popularity().to_vec()
}

fn sampler(
    workload: &Workload,
    config: &Config,
    views: Vec<Option<ViewSource>>,
    windows: &[Vec<u32>],
) -> Sampler {
    let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
    for window in windows {
        sequences.items.extend_from_slice(window);
        sequences.offsets.push(sequences.items.len());
    }
    sequences.times = vec![0; sequences.items.len()];
    sequences.parts = vec![Part::Train; sequences.items.len()];
    let options = SamplerOptions {
        seed: config.seed,
        batch_users: workload.users,
        max_seq_len: workload.positions,
        // Every row is a window, so that batch k is rows k·B..(k+1)·B.
        min_train_len: 2,
        windows: Windows::Last,
        objective: config.objective.clone(),
        savings: config.train.savings.clone(),
    };
    Sampler::new(&sequences, workload.items, views, &options)
}

/// What the windows tell, as the training part tells it in a training.
fn memory_of(
    workload: &Workload,
    settings: &MemoryConfig,
    config: &Config,
    views: &[Option<ViewSource>],
    windows: &[Vec<u32>],
) -> Memory {
    let named = config.model.views.iter().zip(views);
    let content = named.filter_map(|(view, source)| {
        let store = Arc::clone(&source.as_ref()?.store);
        Some(ContentView { name: view.name.clone(), store })
    });
    let content: Vec<ContentView> = content.collect();
    Memory::count(settings, windows.len(), workload.items, |user| &windows[user], &content)
}

fn open_views(config: &Config) -> Result<Vec<Option<ViewSource>>, BenchError> {
    let open = |view: &ViewConfig| {
        if !view.kind.reads_features() {
            return Ok(None);
        }
        let dir = store_dir(config, view).unwrap_or_default();
        let store = FeatureStore::open(&dir)?;
        let max_tokens = store.tokens();
        Ok(Some(ViewSource { store: Arc::new(store), max_tokens }))
    };
    config.model.views.iter().map(open).collect()
}

/// Whether a training or a ranking reads a key of the configuration.
fn is_read(key: &str) -> bool {
    has_fact(key, Fact::Benched) || has_fact(key, Fact::Workload)
}

/// The configuration that trains or judges `workload`, whose directory is `dir`, after `sets`.
///
/// # Errors
/// A set is refused, would do nothing, or makes another workload; the shapes make no model.
pub fn config(workload: &Workload, dir: &Path, sets: &[String]) -> Result<Config, BenchError> {
    let text = defaults(workload, dir).to_toml()?;
    let config = parse(&text, Path::new(&workload.name), sets)?.config;
    for set in sets {
        let key = set.split('=').next().unwrap_or_default().trim();
        if !is_read(key) {
            return Err(BenchError::Idle { set: set.clone(), read: keys_with(is_read).join(", ") });
        }
        if has_fact(key, Fact::Workload) {
            return Err(BenchError::Fixed(set.clone()));
        }
    }
    let taught = config.objective.distill.teachers.first();
    let remembers = |set: &&String| set.trim_start().starts_with("model.memory");
    if let Some(set) = sets.iter().find(remembers).filter(|_| !config.memory_teaches()) {
        return Err(BenchError::Mute(set.clone()));
    }
    if let Some(set) = sets.iter().find(|set| taught.is_some() && set.trim_start().starts_with("objective")) {
        return Err(BenchError::Taught(set.clone()));
    }
    Ok(config)
}

fn defaults(workload: &Workload, dir: &Path) -> Config {
    let odmt = workload.kind == Kind::Odmt;
    let branches = workload.branches().iter().map(|&name| BranchConfig {
        name: name.into(),
        // Without a tower all of them read the ID view.
        view: if odmt { name } else { BRANCHES[0] }.into(),
        tokens: TokensRead::First,
        item_mlp: odmt,
        encoder: EncoderConfig::Sasrec(SasrecConfig {
            blocks: workload.encoder_blocks,
            heads: workload.encoder_heads,
        }),
    });
    let tower =
        TowerConfig { blocks: workload.tower_blocks, heads: workload.tower_heads, ..TowerConfig::default() };
    let model = ModelConfig {
        width: workload.width,
        dropout: workload.dropout,
        layer_norm_eps: workload.layer_norm_eps,
        views: views(workload),
        tower: odmt.then_some(tower),
        branches: branches.collect(),
        ..ModelConfig::default()
    };
    Config {
        seed: workload.seed,
        data: DataConfig {
            path: Some(dir.to_owned()),
            // Given vectors have no positions; a model has one at least.
            max_seq_len: workload.positions.max(1),
            ..DataConfig::default()
        },
        model,
        objective: objective(workload),
        optim: OptimConfig {
            lr: workload.lr,
            weight_decay: workload.weight_decay,
            clip_norm: workload.clip_norm,
            ..OptimConfig::default()
        },
        // The fewest that a training takes, where none is.
        train: TrainConfig { batch_users: workload.users.max(2), ..TrainConfig::default() },
        // The figures asked for, and lists no longer than they need.
        eval: EvalConfig { ks: vec![10], ..EvalConfig::default() },
        ..Config::default()
    }
}

fn views(workload: &Workload) -> Vec<ViewConfig> {
    let odmt = workload.kind == Kind::Odmt;
    let view = |name: &str, kind, width| ViewConfig {
        width,
        // SASRec's table is its item vectors.
        project: odmt,
        ..ViewConfig::new(name, kind)
    };
    if odmt {
        // The authors' token order: text, image, ID.
        vec![
            view(TEXT, ViewKind::Tokens, 0),
            view(IMAGE, ViewKind::Tokens, 0),
            view(BRANCHES[0], ViewKind::Id, workload.feature_width),
        ]
    } else {
        vec![view(BRANCHES[0], ViewKind::Id, 0)]
    }
}

fn objective(workload: &Workload) -> ObjectiveConfig {
    let kind = if workload.kind == Kind::Odmt { ObjectiveKind::InBatch } else { ObjectiveKind::Full };
    if workload.distill_weight == 0.0 {
        return ObjectiveConfig { kind, ..ObjectiveConfig::default() };
    }
    let pair =
        |student: &str, teacher: &str| DistillPair { student: student.into(), teacher: teacher.into() };
    let [id, text, image] = BRANCHES;
    let distill = DistillConfig {
        pairs: vec![pair(text, id), pair(image, id), pair(id, ENSEMBLE)],
        temperature: workload.temperature,
        // Below 1 it is a constant weight.
        alpha: workload.distill_weight,
        ..DistillConfig::default()
    };
    ObjectiveConfig { kind, distill, ..ObjectiveConfig::default() }
}

//! The authors' numbers (`tests/fixtures/`), and a model and batches made from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Device;
use codistill::config::{
    BranchConfig, DistillConfig, DistillPair, EncoderConfig, IdVisibility, ModelConfig, ObjectiveConfig,
    SavingsConfig, TowerConfig, ViewConfig, ViewKind, Windows,
};
use codistill::data::{Part, Sequences};
use codistill::export::weights::from_authors;
use codistill::features::{FeatureStore, Precision, StoreWriter};
use codistill::model::{DataShape, Recommender, ViewSource};
use codistill::nn::Init;
use codistill::objective::Objective;
use codistill::params::{self, Values};
use codistill::systems::codistill::batch::{Batch, Sampler, SamplerOptions};
use codistill::systems::codistill::step::{Dropout, Step};
use safetensors::{Dtype, SafeTensors};

/// S of the fixtures.
pub const POSITIONS: usize = 5;
/// I of the fixtures.
pub const ITEMS: usize = 40;

/// One safetensors file of numbers.
pub struct Numbers(BTreeMap<String, Values>);

impl Numbers {
    pub fn load(name: &str) -> Self {
        let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let all = file.tensors().into_iter().map(|(name, tensor)| {
            let data = tensor.data();
            let values = match tensor.dtype() {
                Dtype::F32 => data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
                Dtype::F64 => {
                    data.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap()) as f32).collect()
                }
                Dtype::I64 => {
                    data.chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect()
                }
                Dtype::U8 => data.iter().map(|&b| f32::from(b)).collect(),
                other => panic!("{name}: {other:?}"),
            };
            (name, Values { shape: tensor.shape().to_vec(), values })
        });
        Self(all.collect())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn get(&self, name: &str) -> &[f32] {
        &self.0.get(name).unwrap_or_else(|| panic!("the fixture lacks {name}")).values
    }

    pub fn scalar(&self, name: &str) -> f64 {
        f64::from(self.get(name)[0])
    }

    pub fn ints(&self, name: &str) -> Vec<usize> {
        self.get(name).iter().map(|&v| v as usize).collect()
    }

    /// Everything behind a prefix, by the rest of its name.
    pub fn below(&self, prefix: &str) -> BTreeMap<String, Values> {
        let rest = |(name, v): (&String, &Values)| Some((name.strip_prefix(prefix)?.to_owned(), v.clone()));
        self.0.iter().filter_map(rest).collect()
    }
}

/// Which model of the fixtures.
#[derive(Clone)]
pub struct Case {
    pub id_visible: IdVisibility,
    pub blocks: usize,
    pub alpha: f64,
    pub temperature: f64,
    pub savings: SavingsConfig,
}

impl Case {
    pub fn main(savings: SavingsConfig) -> Self {
        Self { id_visible: IdVisibility::Itself, blocks: 2, alpha: 20.0, temperature: 0.3, savings }
    }

    pub fn model_config(&self) -> ModelConfig {
        let view = |name: &str, kind, width| ViewConfig { width, ..ViewConfig::new(name, kind) };
        let branch = |name: &str| BranchConfig {
            name: name.into(),
            view: name.into(),
            tokens: codistill::config::TokensRead::First,
            item_mlp: true,
            encoder: EncoderConfig::default(),
        };
        ModelConfig {
            width: 16,
            dropout: 0.0,
            item_dropout: 0.0,
            layer_norm_eps: 1e-6,
            views: vec![
                view("text", ViewKind::Tokens, 0),
                view("image", ViewKind::Tokens, 0),
                view("id", ViewKind::Id, 24),
            ],
            tower: Some(TowerConfig { blocks: self.blocks, heads: self.blocks, id_visible: self.id_visible }),
            branches: ["id", "text", "image"].map(branch).to_vec(),
            ..ModelConfig::default()
        }
    }

    pub fn objective_config(&self) -> ObjectiveConfig {
        let pair =
            |student: &str, teacher: &str| DistillPair { student: student.into(), teacher: teacher.into() };
        ObjectiveConfig {
            distill: DistillConfig {
                pairs: vec![pair("text", "id"), pair("image", "id"), pair("id", "ensemble")],
                temperature: self.temperature,
                alpha: self.alpha,
                ..DistillConfig::default()
            },
            ..ObjectiveConfig::default()
        }
    }
}

/// The fixtures' features, weights and batches, ready to run.
pub struct World {
    pub main: Numbers,
    pub extra: Numbers,
    stores: [ViewSource; 2],
    // Keeps the feature stores on disk.
    _home: tempfile::TempDir,
}

impl World {
    pub fn load() -> Self {
        let main = Numbers::load("odmt_parity_v1.safetensors");
        let extra = Numbers::load("odmt_parity_extra.safetensors");
        let home = tempfile::tempdir().unwrap();
        let lengths = main.ints("in.text_len");
        let text = store(&home.path().join("text"), main.get("in.t_feat"), 4, |item| lengths[item]);
        let image = store(&home.path().join("image"), main.get("in.v_feat"), 3, |_| 3);
        let source = |store: FeatureStore, max_tokens| ViewSource { store: Arc::new(store), max_tokens };
        Self { main, extra, stores: [source(text, 4), source(image, 3)], _home: home }
    }

    pub fn views(&self) -> Vec<Option<ViewSource>> {
        vec![Some(self.stores[0].clone()), Some(self.stores[1].clone()), None]
    }

    /// The fixtures' weights in our model; `replace` takes weights of a variant.
    pub fn model(&self, case: &Case, replace: &str, device: &Device) -> Recommender {
        let shape = DataShape { items: ITEMS, max_seq_len: POSITIONS, feature_widths: vec![24, 24, 0] };
        let mut init = Init::new(1, device);
        let model = Recommender::new(&case.model_config(), &case.savings, &shape, &|_| Vec::new(), &mut init);
        let mut weights = params::read(&model);
        let names: Vec<String> = weights.keys().cloned().collect();
        let mut theirs = self.main.below("w.");
        theirs.extend(self.extra.below(replace));
        let loaded = from_authors(&theirs, &names);
        // Only what the authors' model lacks may keep its own start.
        for name in &names {
            assert!(loaded.contains_key(name) || name.ends_with("missing"), "{name} is not in the fixture");
        }
        weights.extend(loaded.into_iter().filter(|(name, _)| names.contains(name)));
        params::write(model, weights).unwrap()
    }

    pub fn step(case: &Case, device: &Device) -> Step {
        let branches = ["id", "text", "image"].map(String::from);
        Step::new(
            Objective::new(&case.objective_config(), &branches, ITEMS),
            device,
            Dropout::default(),
            case.savings.length_groups,
        )
    }

    /// The last windows of left-padded `[B, S + 1]` item ids.
    pub fn sampler(&self, ids: &[usize], case: &Case) -> Sampler {
        let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
        for user in ids.chunks(POSITIONS + 1) {
            sequences.items.extend(user.iter().filter(|&&i| i > 0).map(|&i| i as u32));
            sequences.offsets.push(sequences.items.len());
        }
        sequences.times = vec![0; sequences.items.len()];
        sequences.parts = vec![Part::Train; sequences.items.len()];
        let options = SamplerOptions {
            seed: 1,
            batch_users: 64,
            max_seq_len: POSITIONS,
            min_train_len: 2,
            windows: Windows::Last,
            objective: ObjectiveConfig::default(),
            savings: case.savings.clone(),
        };
        Sampler::new(&sequences, ITEMS, self.views(), &options)
    }

    /// The batch of all windows, popularity from the fixture.
    pub fn batch(&self, ids: &[usize], case: &Case) -> Batch {
        let sampler = self.sampler(ids, case);
        let mut batch = sampler.assemble(sampler.windows(), 0);
        let p = self.main.get("in.pop_prob");
        let log_p = batch.block.items.iter().map(|&i| p[i as usize].ln()).collect();
        Arc::make_mut(&mut batch.candidates).log_popularity = log_p;
        batch
    }
}

fn store(
    dir: &std::path::Path,
    values: &[f32],
    tokens: usize,
    length: impl Fn(usize) -> usize,
) -> FeatureStore {
    let width = values.len() / (ITEMS + 1) / tokens;
    let mut writer = StoreWriter::create(dir, ITEMS, tokens, width, Precision::F32).unwrap();
    for (item, row) in values.chunks(tokens * width).enumerate().skip(1) {
        writer.push(item as u32, &row[..length(item) * width]).unwrap();
    }
    writer.finish(serde_json::json!({})).unwrap();
    FeatureStore::open(dir).unwrap()
}

/// Every way of skipping work, and none.
pub fn all_savings() -> Vec<(&'static str, SavingsConfig)> {
    let of = |distinct_items, length_groups, readout_queries| SavingsConfig {
        distinct_items,
        length_groups,
        readout_queries,
    };
    vec![
        ("no savings", of(false, 1, false)),
        ("distinct items", of(true, 1, false)),
        ("length groups", of(false, 4, false)),
        ("readout queries", of(false, 1, true)),
        ("all savings", of(true, 4, true)),
    ]
}

pub fn device() -> Device {
    Device::flex().autodiff()
}

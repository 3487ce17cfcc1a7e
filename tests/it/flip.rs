//! No stage reads validation or test interactions: with every one of them another item, weights and tables stay
//! the same to the bit (docs/studies.md, section 2).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device;
use codistill::config::{self, SynthConfig};
use codistill::data::{Dataset, Part, write_dataset};
use codistill::eval::baseline::{ItemKnn, Popularity, RecentPopularity, Terms, Transitions};
use codistill::eval::{Evaluation, Scorer};
use codistill::params;
use codistill::probe::agreement::Behaviour;
use codistill::synth;
use codistill::systems::CoDistill;
use codistill::train::trainer::{Observer, StepReport};
use codistill::train::{Setup, System, Trainer, Training};

struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: &StepReport) {}
    fn epoch(&mut self, _: usize, _: u64, _: f64) {}
    fn evaluated(&mut self, _: usize, _: u64, _: &Evaluation, _: bool) {}
    fn saved(&mut self, _: u64, _: &Path) {}
}

/// Every interaction outside the training part becomes another item.
fn flipped(dataset: &Dataset) -> Dataset {
    let mut other = dataset.clone();
    let n = dataset.items.count() as u32;
    for (item, part) in other.sequences.items.iter_mut().zip(&dataset.sequences.parts) {
        if *part != Part::Train {
            *item = (*item + n / 2) % n + 1;
        }
    }
    let same = |(a, b): &(&u32, &u32)| a == b;
    let kept = dataset.sequences.items.iter().zip(&other.sequences.items).filter(same).count();
    let trained = dataset.sequences.parts.iter().filter(|&&p| p == Part::Train).count();
    assert_eq!(kept, trained, "every held-out item changed");
    other
}

/// What a training and the baselines make of a data set.
struct Made {
    /// Bits of the final weights by name.
    weights: BTreeMap<String, Vec<u32>>,
    /// Final validation figure, which must change.
    valid: f64,
    /// Bits of the baselines' scores for every validation target.
    baselines: Vec<Vec<u32>>,
}

fn make(dir: &Path, config: &str, sets: &[&str]) -> Made {
    let data = format!("data.path={}", dir.display());
    let common =
        ["model.width=8", "train.batch_users=16", "train.epochs=2", "train.patience=0", "data.synth=none"];
    let sets: Vec<String> =
        common.iter().chain(sets).map(|s| (*s).to_owned()).chain(std::iter::once(data)).collect();
    let config = config::parse(config, Path::new("flip.toml"), &sets).unwrap().config;
    let system = CoDistill::open(Setup::open(config, &Device::flex()).unwrap()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(&system).unwrap();
    trainer.run(scratch.path(), &mut Silent, &AtomicBool::new(false)).unwrap();
    let model = trainer.model().clone().valid();
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let weights = params::read(&model).into_iter().map(|(name, v)| (name, bits(&v.values))).collect();
    let evaluation = system.evaluate(&model, Part::Valid, None).unwrap();
    let valid = evaluation.scored[0].metrics["mrr@50"];
    let dataset = &system.setup.dataset;
    // Only the histories of the targets are asked for, and those of validation targets are training.
    let targets = dataset.targets(Part::Valid);
    let mut scorers: Vec<Box<dyn Scorer>> = vec![
        Box::new(Popularity::new(dataset, Terms::default())),
        Box::new(RecentPopularity::new(dataset, Terms::default())),
        Box::new(Transitions::new(dataset, Terms::default())),
        Box::new(ItemKnn::new(dataset, Terms::default())),
    ];
    let baselines = scorers.iter_mut().map(|scorer| {
        let mut out = vec![Vec::new()];
        scorer.score(&targets, &mut out).unwrap();
        bits(&out[0])
    });
    Made { weights, valid, baselines: baselines.collect() }
}

#[test]
fn training_and_baselines_do_not_read_validation_or_test_interactions() {
    let home = tempfile::tempdir().unwrap();
    let world = SynthConfig { users: 120, items: 80, ..SynthConfig::default() };
    let drawn = synth::generate(&world).unwrap();
    let other = flipped(&drawn.dataset);
    let nothing = serde_json::json!({});
    let mut dirs = Vec::new();
    for (name, dataset) in [("as-it-was", &drawn.dataset), ("flipped", &other)] {
        let dir = home.path().join(name);
        let hash = write_dataset(&dir, dataset, &nothing, nothing.clone()).unwrap();
        drawn.write_beside(&dir, &hash).unwrap();
        dirs.push(dir);
    }
    assert_eq!(drawn.dataset.train_counts(), other.train_counts());
    let eligible = |dataset: &Dataset| Behaviour::new(dataset, 10).eligible;
    assert_eq!(eligible(&drawn.dataset), eligible(&other));
    let odmt = include_str!("../../configs/quickstart.toml");
    let sasrec = include_str!("../../configs/sasrec.toml");
    let drawn_negatives =
        ["objective.kind=sampled", "objective.negatives.draw=popularity", "objective.negatives.count=16"];
    for (config, sets) in [(odmt, &[][..]), (sasrec, &drawn_negatives[..])] {
        let [a, b] = [make(&dirs[0], config, sets), make(&dirs[1], config, sets)];
        assert!(a.weights == b.weights, "weights depend on held-out interactions");
        assert!(a.baselines == b.baselines, "a baseline depends on held-out interactions");
        assert_ne!(a.valid, b.valid, "the validation figures must notice other targets");
    }
}

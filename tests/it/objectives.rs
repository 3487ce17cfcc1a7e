//! Objectives over drawn items and over the whole catalogue, on a small model end to end.

use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use codistill::config::{
    BranchConfig, DistillConfig, DistillPair, Draw, EncoderConfig, Gru4recConfig, ModelConfig,
    NegativesConfig, ObjectiveConfig, ObjectiveKind, SasrecConfig, SavingsConfig, Shared, ViewConfig,
    ViewKind, Windows,
};
use codistill::data::{ItemId, Part, Sequences};
use codistill::model::{Column, DataShape, Recommender};
use codistill::nn::Init;
use codistill::objective::kernels::drawn::Drawn;
use codistill::objective::kernels::losses::Candidates;
use codistill::objective::{BLOCKED, Objective, gbce};
use codistill::params;
use codistill::recommend::{CatalogueVectors, ModelScorer};
use codistill::systems::codistill::batch::{Batch, Sampler, SamplerOptions};
use codistill::systems::codistill::negatives::NegativeSampler;
use codistill::systems::codistill::step::{Dropout, Step};
use codistill::train::losses::LossValues;
use codistill::train::system::Phase;

use crate::program::{path, run, tiny};

pub const ITEMS: usize = 23;
const POSITIONS: usize = 6;

/// An ID view, mapped or raw, and a branch with a small SASRec.
pub fn model_config(mapped: bool) -> ModelConfig {
    ModelConfig {
        width: 8,
        dropout: 0.0,
        views: vec![ViewConfig {
            width: if mapped { 5 } else { 0 },
            project: mapped,
            ..ViewConfig::new("id", ViewKind::Id)
        }],
        branches: vec![BranchConfig {
            name: "id".into(),
            view: "id".into(),
            tokens: codistill::config::TokensRead::First,
            item_mlp: mapped,
            encoder: EncoderConfig::Sasrec(SasrecConfig { blocks: 1, heads: 2 }),
        }],
        ..ModelConfig::default()
    }
}

pub fn model(mapped: bool) -> Recommender {
    let shape = DataShape { items: ITEMS, max_seq_len: POSITIONS, feature_widths: vec![0] };
    let mut init = Init::new(3, &Device::flex().autodiff());
    let none = |_| Vec::new();
    let model = Recommender::new(&model_config(mapped), &SavingsConfig::default(), &shape, &none, &mut init);
    // Scores of a fresh table are all near 0, where most mistakes do not show.
    params::map(model, &mut |name, _, value| if name.ends_with("table") { value * 6.0 } else { value })
}

fn sequences() -> Sequences {
    let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
    for user in 0..9usize {
        let length = 2 + user % 6;
        sequences.items.extend((0..length).map(|i| 1 + ((user * user + i * 7) % (ITEMS - 2)) as u32));
        sequences.offsets.push(sequences.items.len());
    }
    sequences.times = vec![0; sequences.items.len()];
    sequences.parts = vec![Part::Train; sequences.items.len()];
    sequences
}

fn objective(kind: ObjectiveKind, negatives: NegativesConfig) -> ObjectiveConfig {
    ObjectiveConfig { kind, negatives, chunk_items: 5, ..ObjectiveConfig::default() }
}

pub fn sampler(objective: &ObjectiveConfig) -> Sampler {
    let options = SamplerOptions {
        seed: 4,
        batch_users: 9,
        max_seq_len: POSITIONS,
        min_train_len: 2,
        windows: Windows::All,
        objective: objective.clone(),
        savings: SavingsConfig::default(),
    };
    Sampler::new(&sequences(), ITEMS, vec![None], &options)
}

pub fn batch(objective: &ObjectiveConfig) -> Batch {
    let sampler = sampler(objective);
    sampler.batch(&sampler.order(1), 1, 0)
}

pub fn step(objective: &ObjectiveConfig, length_groups: usize) -> Step {
    let objective = Objective::new(objective, &["id".to_owned()], ITEMS);
    Step::new(objective, &Device::flex().autodiff(), Dropout::default(), length_groups)
}

fn negatives(count: usize, draw: Draw, shared: Shared, log_q: bool) -> NegativesConfig {
    NegativesConfig { count, draw, shared, log_q, ..NegativesConfig::default() }
}

/// Every objective with its variants.
pub fn all() -> Vec<ObjectiveConfig> {
    vec![
        objective(ObjectiveKind::InBatch, NegativesConfig::default()),
        objective(ObjectiveKind::Sampled, negatives(11, Draw::Uniform, Shared::User, false)),
        objective(ObjectiveKind::Sampled, negatives(40, Draw::Mixed, Shared::Batch, true)),
        objective(ObjectiveKind::Sampled, negatives(7, Draw::Popularity, Shared::User, true)),
        objective(ObjectiveKind::Full, NegativesConfig::default()),
        objective(ObjectiveKind::Gbce, negatives(9, Draw::Uniform, Shared::User, false)),
    ]
}

#[test]
fn gradients_of_every_objective_equal_finite_differences() {
    for objective in all() {
        for mapped in [false, true] {
            let (model, batch, step) = (model(mapped), batch(&objective), step(&objective, 4));
            let (_, grads) = step.gradients(&model, &batch, 1);
            for (name, grad) in &grads {
                let grad = params::host(grad.values());
                let direction: Vec<f32> =
                    (0..grad.len()).map(|i| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0).collect();
                let moved = |by: f32| -> f64 {
                    let mut values = params::read(&model);
                    let entries = &mut values.get_mut(name).unwrap().values;
                    entries.iter_mut().zip(&direction).for_each(|(v, d)| *v += by * d);
                    let model = params::write(model.clone(), values).unwrap();
                    f64::from(params::host(step.losses(&model, &batch, Phase::whole(1)).total.inner())[0])
                };
                let slope = (moved(1e-3) - moved(-1e-3)) / 2e-3;
                let expected: f64 = grad.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
                let gap = (slope - expected).abs();
                assert!(gap < 0.02 * expected.abs().max(0.1), "{objective:?} {name}: {slope} {expected}");
            }
        }
    }
}

/// Loss of every row over the columns of `scores`, in f64, and their mean.
fn mean_loss(batch: &Batch, scores: &[f32], objective: &ObjectiveConfig) -> f64 {
    let drawn = batch.drawn.as_ref().unwrap();
    let width = 1 + drawn.count;
    let items = &batch.block.items;
    let groups: Vec<usize> = drawn.groups().collect();
    let beta = gbce::positive_power(drawn.count, ITEMS, objective.calibration);
    let mut counts = [0u64; ITEMS + 1];
    sequences().items.iter().for_each(|&item| counts[item as usize] += 1);
    let probabilities = NegativeSampler::new(&objective.negatives, &counts);
    let rows = scores.chunks(width).enumerate().map(|(row, scores)| {
        let label = items[drawn.labels[row] as usize];
        let negatives: Vec<(f64, f64)> = drawn
            .group(groups[row])
            .iter()
            .map(|&place| items[place as usize])
            .zip(&scores[1..])
            .filter(|&(item, _)| item != label)
            .map(|(item, &score)| {
                let q = probabilities.probability(ItemId(item));
                let weight = if objective.negatives.log_q { 1.0 / (drawn.count as f64 * q) } else { 1.0 };
                (weight, f64::from(score))
            })
            .collect();
        let right = f64::from(scores[0]);
        let softplus = |x: f64| x.exp().ln_1p();
        if objective.kind == ObjectiveKind::Gbce {
            let wrong: f64 = negatives.iter().map(|&(_, s)| softplus(s)).sum();
            return (beta * softplus(-right) + wrong) / width as f64;
        }
        let total: f64 = negatives.iter().map(|&(w, s)| w * s.exp()).sum();
        (right.exp() + total).ln() - right
    });
    let all: Vec<f64> = rows.collect();
    all.iter().sum::<f64>() / all.len() as f64
}

#[test]
fn losses_over_drawn_items_equal_their_formulas_in_f64() {
    for objective in all() {
        let (model, batch, step) = (model(false), batch(&objective), step(&objective, 4));
        if batch.drawn.is_none() {
            continue;
        }
        let scores = params::host(step.scores(&model, &batch).inner());
        let expected = mean_loss(&batch, &scores, &objective);
        let found = f64::from(params::host(step.losses(&model, &batch, Phase::whole(1)).total.inner())[0]);
        assert!((found - expected).abs() < 1e-5 * expected.max(1.0), "{objective:?}: {found} {expected}");
        let some_hit = (0..batch.drawn.as_ref().unwrap().labels.len() * 2).any(|i| {
            batch.candidates.log_weight.get(i * 7 % batch.candidates.log_weight.len()) == Some(&BLOCKED)
        });
        // The larger draws do hit right answers, so that leaving them out is tested.
        assert!(some_hit || objective.negatives.count < 40);
    }
}

/// A SASRec and a GRU4Rec over one table that teach each other.
fn two_students(kind: ObjectiveKind) -> (Recommender, Step, Batch) {
    let mut config = model_config(true);
    config.branches.push(BranchConfig {
        name: "gru".into(),
        view: "id".into(),
        tokens: codistill::config::TokensRead::First,
        item_mlp: false,
        encoder: EncoderConfig::Gru4rec(Gru4recConfig { layers: 1 }),
    });
    let pair =
        |student: &str, teacher: &str| DistillPair { student: student.into(), teacher: teacher.into() };
    let pairs = vec![pair("gru", "id"), pair("id", "ensemble")];
    let distill = DistillConfig { pairs, alpha: 0.8, ..DistillConfig::default() };
    let objective = ObjectiveConfig { distill, ..objective(kind, NegativesConfig::default()) };
    let shape = DataShape { items: ITEMS, max_seq_len: POSITIONS, feature_widths: vec![0] };
    let mut init = Init::new(3, &Device::flex().autodiff());
    let model = Recommender::new(&config, &SavingsConfig::default(), &shape, &|_| Vec::new(), &mut init);
    let scale = |name: &str| if name.ends_with("table") { 6.0 } else { 1.0 };
    let model = params::map(model, &mut |name, _, value| value * scale(name));
    let batch = batch(&objective);
    let names = ["id", "gru"].map(String::from);
    let step = Step::new(
        Objective::new(&objective, &names, ITEMS),
        &Device::flex().autodiff(),
        Dropout::default(),
        4,
    );
    (model, step, batch)
}

#[test]
fn students_of_the_whole_catalogue_learn_what_a_batch_of_all_items_would_teach() {
    let (model, full, batch) = two_students(ObjectiveKind::Full);
    let (_, in_batch, mut all_items) = two_students(ObjectiveKind::InBatch);
    // Where every item has a column, it is one less than its number.
    let column_of_all = |column: u32| all_items.block.items[column as usize] - 1;
    all_items.histories = all_items.histories.map(|column| Column(column_of_all(column.0)));
    let labels: Vec<u32> = all_items.candidates.labels.iter().map(|&l| column_of_all(l)).collect();
    all_items.block = codistill::model::ItemBlock::build((1..=ITEMS as u32).collect(), &[None], 1);
    all_items.candidates = Arc::new(Candidates {
        log_popularity: vec![0.0; ITEMS],
        log_weight: vec![0.0; labels.len() * ITEMS],
        labels,
    });
    let (losses, grads) = full.gradients(&model, &batch, 1);
    let (expected, expected_grads) = in_batch.gradients(&model, &all_items, 1);
    assert_eq!((losses.parts_named("distill/").len(), losses.figure("distill_weight")), (2, Some(0.8)));
    let values = |l: &LossValues| [vec![l.total], l.parts_named("")].concat();
    for (a, b) in values(&losses).iter().zip(values(&expected)) {
        assert!((a - b).abs() < 1e-5 * b.abs(), "{losses:?} {expected:?}");
    }
    assert_eq!(grads.keys().collect::<Vec<_>>(), expected_grads.keys().collect::<Vec<_>>());
    for (name, expected) in expected_grads {
        let pairs = params::host(grads[&name].values()).into_iter().zip(params::host(expected.values()));
        pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{name}: {a} {b}"));
    }
}

#[test]
fn corrected_sampling_of_every_item_once_is_the_full_softmax() {
    let full = objective(ObjectiveKind::Full, NegativesConfig::default());
    for shared in [Shared::User, Shared::Batch] {
        let sampled = objective(ObjectiveKind::Sampled, negatives(ITEMS, Draw::Uniform, shared, true));
        let mut batch_all = batch(&sampled);
        let drawn = batch_all.drawn.clone().unwrap();
        // Each item once in place of the draws; the block must hold them all.
        let items: Vec<u32> = (1..=ITEMS as u32).collect();
        let item_of = |column: u32| batch_all.block.items[column as usize];
        let by_item = Drawn {
            labels: drawn.labels.iter().map(|&label| ItemId(item_of(label))).collect(),
            negatives: items.repeat(drawn.group_rows.len()).into_iter().map(ItemId).collect(),
            count: drawn.count,
            group_rows: drawn.group_rows.clone(),
        };
        batch_all.histories = batch_all.histories.map(|column| Column(item_of(column.0) - 1));
        batch_all.block = codistill::model::ItemBlock::build(items.clone(), &[None], 1);
        let weights = NegativeSampler::new(&sampled.negatives, &[1; ITEMS + 1]).log_weights(&by_item);
        Arc::make_mut(&mut batch_all.candidates).log_weight = weights;
        let columns = |items: &[ItemId]| items.iter().map(|item| item.0 - 1).collect();
        batch_all.drawn = Some(Arc::new(Drawn {
            labels: columns(&by_item.labels),
            negatives: columns(&by_item.negatives),
            count: by_item.count,
            group_rows: by_item.group_rows,
        }));

        let model = model(true);
        let (of_sampled, grads_sampled) = step(&sampled, 4).gradients(&model, &batch_all, 1);
        let (of_full, grads_full) = step(&full, 4).gradients(&model, &batch(&full), 1);
        assert!((of_sampled.total - of_full.total).abs() < 1e-5, "{} {}", of_sampled.total, of_full.total);
        for (name, expected) in grads_full {
            let pairs =
                params::host(grads_sampled[&name].values()).into_iter().zip(params::host(expected.values()));
            pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{shared:?} {name}: {a} {b}"));
        }
    }
}

#[test]
fn grouping_histories_by_length_changes_no_score() {
    for objective in all() {
        let (model, batch) = (model(false), batch(&objective));
        let scores = |groups| params::host(step(&objective, groups).scores(&model, &batch).inner());
        if objective.kind == ObjectiveKind::Full {
            continue;
        }
        for (a, b) in scores(1).iter().zip(scores(4)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
    let model = model(true).valid();
    let vectors = CatalogueVectors::encode(&model, &[None], ITEMS, 10, &Device::flex());
    let scorer = ModelScorer::new(&model, &vectors, None, None, POSITIONS, &Device::flex());
    let histories: [&[u32]; 5] = [&[3, 4], &[], &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[5], &[9, 8, 7, 6, 5, 4]];
    let together = &scorer.score_histories(&histories)[0];
    for (history, ours) in histories.iter().zip(together.chunks(ITEMS + 1)) {
        let alone = &scorer.score_histories(&[*history])[0];
        ours.iter().zip(alone).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{history:?}: {a} {b}"));
    }
}

#[test]
fn batches_are_a_pure_function_of_seed_epoch_and_number() {
    for objective in all() {
        let (one, other) = (sampler(&objective), sampler(&objective));
        assert_eq!(one.batch(&one.order(2), 2, 0), other.batch(&other.order(2), 2, 0));
        if let Some(drawn) = one.batch(&one.order(2), 2, 0).drawn {
            let next = one.batch(&one.order(2), 3, 0).drawn.unwrap();
            assert_ne!(drawn.negatives, next.negatives, "another epoch draws others");
        }
    }
}

/// Arguments of a tiny SASRec training with an objective.
fn sasrec(dir: &Path, objective: &[&str]) -> Vec<String> {
    let sets = [objective, &["train.epochs=3", "train.checkpoint_steps=2", "train.keep=100"]].concat();
    let mut args = tiny(dir, &sets);
    args[1] = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sasrec.toml").into();
    args
}

#[test]
fn runs_cut_in_the_middle_of_an_epoch_resume_to_the_same_bits() {
    let students = r#"model.branches=[
        { name = "id", view = "id", item_mlp = false }, { name = "gru", view = "id", encoder = { kind = "gru4rec" } }
    ]"#;
    let pairs = r#"objective.distill.pairs=[{ student = "id", teacher = "gru" }, { student = "gru", teacher = "ensemble" }]"#;
    for objective in [
        &[r#"objective={ kind = "sampled", negatives = { draw = "mixed", log_q = true } }"#][..],
        &[r#"objective={ kind = "gbce" }"#],
        &[r#"objective={ kind = "full", chunk_items = 33 }"#],
        &["objective.kind=full", students, pairs],
        &["optim.id_table=row_sparse"],
    ] {
        let home = tempfile::tempdir().unwrap();
        run(&sasrec(home.path(), objective)).fine();
        let run_dir = home.path().join("sasrec");
        let mut steps: Vec<_> =
            std::fs::read_dir(run_dir.join("steps")).unwrap().map(|e| e.unwrap().path()).collect();
        steps.sort();
        let last = steps.last().unwrap().clone();
        let read =
            || ["model.safetensors", "optimizer.safetensors"].map(|f| std::fs::read(last.join(f)).unwrap());
        let expected = read();
        let kept = steps.iter().position(|s| s.ends_with("step-00000010")).unwrap();
        steps[kept + 1..].iter().for_each(|s| std::fs::remove_dir_all(s).unwrap());
        run(&["train", "--resume", path(&run_dir)]).fine();
        assert!(read() == expected, "{objective:?}");
    }
}

#[test]
fn a_model_of_many_views_trains_on_drawn_items_and_refuses_the_catalogue() {
    let home = tempfile::tempdir().unwrap();
    // Distillation pairs and tower stay as they are.
    run(&tiny(home.path(), &["objective.kind=sampled", "objective.negatives.count=20"])).fine();
    let report = std::fs::read_to_string(home.path().join("quickstart/report.json")).unwrap();
    assert!(report.contains("ndcg@10"));
    run(&tiny(&home.path().join("b"), &["objective.kind=full", "objective.distill.pairs=[]"]))
        .refused("the item tower over the whole catalogue", "sampled");
}

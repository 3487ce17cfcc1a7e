//! Finished runs as teachers: what they teach, that a training goes on with the same one ([`resumed`]), and who can be none
//! ([`refused`]).

mod refused;
mod resumed;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use codistill::config::{
    self, BranchConfig, DistillConfig, DistillPair, Divergence, EncoderConfig, Gru4recConfig,
    NegativesConfig, NextitnetConfig, ObjectiveConfig, ObjectiveKind, SasrecConfig, SavingsConfig, Shared,
    TeacherConfig,
};
use codistill::data::Part;
use codistill::model::{DataShape, Recommender};
use codistill::nn::Init;
use codistill::objective::Objective;
use codistill::params;
use codistill::recommend::{CatalogueVectors, ModelScorer};
use codistill::run::{OpenOptions, Run};
use codistill::systems::CoDistill;
use codistill::systems::codistill::batch::Batch;
use codistill::systems::codistill::step::{Dropout, Step};
use codistill::systems::codistill::teacher::Teacher;
use codistill::train::losses::LossValues;
use codistill::train::system::{self, Phase, Place, TeacherRun};
use codistill::train::{Setup, System};
use serde_json::Value;

use crate::objectives::{ITEMS, batch, model_config};
use crate::program::{self, dataset, path, run, tiny};

/// S of the teachers: more than the students'.
const POSITIONS: usize = 9;
const ALPHA: f64 = 0.8;

fn branch(name: &str, encoder: EncoderConfig) -> BranchConfig {
    BranchConfig {
        name: name.into(),
        view: "id".into(),
        tokens: codistill::config::TokensRead::First,
        item_mlp: false,
        encoder,
    }
}

fn gru() -> EncoderConfig {
    EncoderConfig::Gru4rec(Gru4recConfig { layers: 1 })
}

/// A model of `width` over one table, with scores that are not all near 0.
fn recommender(width: usize, positions: usize, branches: Vec<BranchConfig>, device: &Device) -> Recommender {
    let mut config = model_config(true);
    (config.width, config.branches) = (width, branches);
    let shape = DataShape { items: ITEMS, max_seq_len: positions, feature_widths: vec![0] };
    let mut init = Init::new(width as u64, device);
    let model = Recommender::new(&config, &SavingsConfig::default(), &shape, &|_| Vec::new(), &mut init);
    params::map(model, &mut |name, _, value| if name.ends_with("table") { value * 6.0 } else { value })
}

/// A teacher, and the same model with its vectors for `recommend`.
fn teacher(branches: Vec<BranchConfig>) -> (Arc<Teacher>, Recommender, CatalogueVectors) {
    let device = Device::flex();
    let model = recommender(6, POSITIONS, branches, &device.clone().autodiff()).valid();
    let vectors = CatalogueVectors::encode(&model, &[None], ITEMS, 10, &device);
    let run = TeacherRun { name: "big".into(), run: "big".into(), step: 1, hash: String::new() };
    (Arc::new(Teacher::new(run, model.clone(), vectors.clone())), model, vectors)
}

fn student() -> Recommender {
    let id = EncoderConfig::Sasrec(SasrecConfig { blocks: 1, heads: 2 });
    recommender(8, 6, vec![branch("id", id), branch("gru", gru())], &Device::flex().autodiff())
}

fn objective(kind: ObjectiveKind, divergence: Divergence, pairs: &[(&str, &str)]) -> ObjectiveConfig {
    let pair =
        |&(student, teacher): &(&str, &str)| DistillPair { student: student.into(), teacher: teacher.into() };
    let negatives = match kind {
        ObjectiveKind::Sampled => {
            NegativesConfig { count: 7, shared: Shared::User, ..NegativesConfig::default() }
        }
        _ => NegativesConfig::default(),
    };
    let distill = DistillConfig {
        pairs: pairs.iter().map(pair).collect(),
        teachers: vec![TeacherConfig { name: "big".into(), run: "big".into() }],
        temperature: 0.7,
        alpha: ALPHA,
        divergence,
        ..DistillConfig::default()
    };
    ObjectiveConfig { kind, negatives, distill, ..ObjectiveConfig::default() }
}

fn step(objective: &ObjectiveConfig, dropout: Dropout) -> Step {
    let names = ["id", "gru"].map(String::from);
    Step::new(Objective::new(objective, &names, ITEMS), &Device::flex().autodiff(), dropout, 4)
}

/// The items up to every row.
fn histories(batch: &Batch) -> Vec<Vec<u32>> {
    let items = batch.histories.map(|column| batch.block.items[column.0 as usize]);
    let windows = (0..items.count()).map(|window| items.history(window));
    windows.flat_map(|window| (1..=window.len()).map(|end| window[..end].to_vec())).collect()
}

/// The items of every row's columns.
fn candidates(batch: &Batch) -> Vec<Vec<u32>> {
    let item = |&place: &u32| batch.block.items[place as usize];
    match &batch.drawn {
        None => vec![batch.block.items.clone(); batch.histories.positions()],
        Some(drawn) => {
            let rows = drawn.labels.iter().zip(drawn.groups());
            rows.map(|(label, group)| std::iter::once(label).chain(drawn.group(group)).map(item).collect())
                .collect()
        }
    }
}

/// The teacher's scores of the rows' candidates, as `recommend` has them: every history for itself.
fn recommended(batch: &Batch, model: &Recommender, vectors: &CatalogueVectors) -> Vec<Vec<f64>> {
    let histories = histories(batch);
    let positions = POSITIONS.max(histories.iter().map(Vec::len).max().unwrap_or_default());
    let scorer = ModelScorer::new(model, vectors, None, None, positions, &Device::flex());
    let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
    let scores = scorer.score_histories(&histories).swap_remove(0);
    let rows = scores.chunks(vectors.branches[0].dims()[0]).zip(candidates(batch));
    rows.map(|(row, items)| items.iter().map(|&item| f64::from(row[item as usize])).collect()).collect()
}

/// tau² · mean over rows of Σ P (-ln Q/w), or of Σ P ln(P/Q), in f64.
fn distilled(batch: &Batch, config: &DistillConfig, student: &[f32], teacher: &[Vec<f64>]) -> f64 {
    let width = teacher[0].len();
    let weights = batch.candidates.log_weight.chunks(width).map(|row| row.iter().map(|&w| f64::from(w)));
    let popularity: Vec<f64> = batch.candidates.log_popularity.iter().map(|&p| f64::from(p)).collect();
    let log_softmax = |scores: &mut dyn Iterator<Item = f64>, weights: &[f64]| -> Vec<f64> {
        let scores = scores.zip(&popularity).zip(weights);
        let z: Vec<f64> = scores.map(|((score, p), w)| (score - p) / config.temperature + w).collect();
        let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let norm = most + z.iter().map(|z| (z - most).exp()).sum::<f64>().ln();
        z.iter().map(|z| z - norm).collect()
    };
    let rows = student.chunks(width).zip(teacher).zip(weights).map(|((student, teacher), weights)| {
        let weights: Vec<f64> = weights.collect();
        let log_q = log_softmax(&mut student.iter().map(|&s| f64::from(s)), &weights);
        let log_p = log_softmax(&mut teacher.iter().copied(), &weights);
        let each = log_p.iter().zip(&log_q).zip(&weights).filter(|((p, _), _)| p.exp() > 0.0);
        each.map(|((p, q), w)| {
            let own = if config.divergence == Divergence::Kl { p - w } else { 0.0 };
            p.exp() * (own - (q - w))
        })
        .sum::<f64>()
    });
    let all: Vec<f64> = rows.collect();
    config.temperature.powi(2) * all.iter().sum::<f64>() / all.len() as f64
}

fn part(losses: &LossValues, name: &str) -> f64 {
    let found = losses.parts.iter().find(|(tag, _)| tag == name);
    found.unwrap_or_else(|| panic!("no {name} in {losses:?}")).1
}

#[test]
fn a_run_teaches_the_scores_that_it_would_recommend_by() {
    // Neither counts positions, so that a row within a window is a history of its own.
    let next = EncoderConfig::Nextitnet(NextitnetConfig { kernel: 2, dilations: vec![1, 2] });
    let (teacher, model, vectors) = teacher(vec![branch("gru", gru()), branch("next", next)]);
    let pairs = [("gru", "id"), ("id", "big"), ("id", "ensemble"), ("gru", "big")];
    for kind in [ObjectiveKind::InBatch, ObjectiveKind::Sampled] {
        for divergence in [Divergence::CrossEntropy, Divergence::Kl] {
            let objective = objective(kind, divergence, &pairs);
            let (student, batch) = (student(), batch(&objective));
            let step = step(&objective, Dropout::default()).with_teachers(vec![Arc::clone(&teacher)]);
            let scores = params::host(step.scores(&student, &batch).inner());
            let expected = recommended(&batch, &model, &vectors);
            let (losses, _) = step.gradients(&student, &batch, 1);
            let of_branch = scores.chunks(scores.len() / 2);
            for (name, scores) in ["id", "gru"].into_iter().zip(of_branch) {
                let expected = distilled(&batch, &objective.distill, scores, &expected);
                let found = part(&losses, &format!("distill/{name}_from_big"));
                let gap = (found - expected).abs();
                assert!(
                    expected > 1e-3 && gap < 1e-5 * expected.max(1.0),
                    "{kind:?} {divergence:?} {name}: {found} {expected}"
                );
            }
            let sum = |of: &str| losses.parts_named(of).iter().sum::<f64>();
            assert_eq!(losses.parts_named("distill/").len(), 4);
            let total = sum("loss/") + ALPHA * sum("distill/");
            assert!((losses.total - total).abs() < 1e-5 * total, "{} {total}", losses.total);
            assert_eq!(losses.figure("distill_weight"), Some(ALPHA));
        }
    }
}

#[test]
fn a_teacher_with_positions_reads_a_window_in_one_pass_and_its_end_as_recommend_does() {
    let sasrec = EncoderConfig::Sasrec(SasrecConfig { blocks: 2, heads: 2 });
    let (teacher, model, vectors) = teacher(vec![branch("id", sasrec)]);
    let objective = objective(ObjectiveKind::InBatch, Divergence::Kl, &[("id", "big")]);
    let batch = batch(&objective);
    let found = params::host(teacher.scores(&batch));
    let expected = recommended(&batch, &model, &vectors);
    assert_equal_ends(&batch, &found, &expected);
}

/// Asserts that scores of all rows are the expected ones where a window ends.
fn assert_equal_ends(batch: &Batch, found: &[f32], expected: &[Vec<f64>]) {
    let width = batch.block.items.len();
    assert_eq!(found.len(), batch.histories.positions() * width);
    let lengths = batch.histories.lengths();
    let ends = lengths.iter().flat_map(|&length| (1..=length).map(move |position| position == length));
    for ((found, expected), _) in found.chunks(width).zip(expected).zip(ends).filter(|(_, end)| *end) {
        for (a, b) in found.iter().zip(expected) {
            assert!((f64::from(*a) - b).abs() < 1e-5 * b.abs().max(1.0), "{a} {b}");
        }
    }
}

#[test]
fn each_of_two_runs_teaches_its_own_pairs() {
    let next = EncoderConfig::Nextitnet(NextitnetConfig { kernel: 2, dilations: vec![1] });
    let runs = [teacher(vec![branch("gru", gru())]), teacher(vec![branch("next", next)])];
    let pairs = [("id", "late"), ("gru", "big"), ("gru", "late")];
    let mut objective = objective(ObjectiveKind::InBatch, Divergence::Kl, &pairs);
    objective.distill.teachers.push(TeacherConfig { name: "late".into(), run: "late".into() });
    let (student, batch) = (student(), batch(&objective));
    let teachers = runs.iter().map(|(teacher, ..)| Arc::clone(teacher)).collect();
    let step = step(&objective, Dropout::default()).with_teachers(teachers);
    let scores = params::host(step.scores(&student, &batch).inner());
    let (losses, _) = step.gradients(&student, &batch, 1);
    for (student, teacher) in pairs {
        let (_, model, vectors) = &runs[usize::from(teacher == "late")];
        let of_branch = scores.chunks(scores.len() / 2).nth(usize::from(student == "gru")).unwrap();
        let expected = recommended(&batch, model, vectors);
        let expected = distilled(&batch, &objective.distill, of_branch, &expected);
        let found = part(&losses, &format!("distill/{student}_from_{teacher}"));
        assert!(
            (found - expected).abs() < 1e-5 * expected.max(1.0),
            "{student} {teacher}: {found} {expected}"
        );
    }
}

#[test]
fn what_the_branches_compute_is_the_same_to_the_bit_with_a_teacher_and_without() {
    let (teacher, ..) = teacher(vec![branch("gru", gru())]);
    let dropout = Dropout { elements: 0.3, item_vectors: 0.2 };
    let pairs = [("gru", "id"), ("id", "ensemble"), ("id", "big")];
    let with = objective(ObjectiveKind::InBatch, Divergence::CrossEntropy, &pairs);
    let mut without = objective(ObjectiveKind::InBatch, Divergence::CrossEntropy, &pairs[..2]);
    without.distill.teachers.clear();
    let (student, batch) = (student(), batch(&with));
    let (taught, _) = step(&with, dropout).with_teachers(vec![teacher]).gradients(&student, &batch, 3);
    let (alone, _) = step(&without, dropout).gradients(&student, &batch, 3);
    for (name, value) in &alone.parts {
        assert_eq!(part(&taught, name).to_bits(), value.to_bits(), "{name}");
    }
    // A stage leaves a run out by the name that all pairs go by; then nobody asks for the teacher.
    let terms = ["in_batch".to_owned()];
    let phase = Phase { epoch: 3, terms: Some(&terms) };
    assert_eq!(step(&with, dropout).objective().names(), ["in_batch", "distill"]);
    let (left_out, _) = system::gradients(&step(&with, dropout), &student, &batch, phase);
    assert!(left_out.read().parts_named("distill/").is_empty());
}

/// Arguments of a tiny SASRec training, `name` its run in `home`.
fn sasrec(home: &Path, name: &str, more: &[&str]) -> Vec<String> {
    program::sasrec(home, name, 4, more)
}

/// A setting by which the branch `id` learns from the run at `from`.
fn taught(from: &Path) -> String {
    format!(
        r#"objective.distill={{ alpha = 0.9, temperature = 1.0, pairs = [{{ student = "id", teacher = "big" }}], teachers = [{{ name = "big", run = "{}" }}] }}"#,
        from.display()
    )
}

/// A finished teacher of three branches in `home`.
fn big(home: &Path) -> PathBuf {
    let sets = ["run.name=big", "train.epochs=8", "optim.lr=5e-3", "objective.distill.alpha=0.5"];
    run(&tiny(home, &sets)).fine();
    home.join("big")
}

/// Rows of `metrics.jsonl` that have `tag`, by epoch.
fn logged(run_dir: &Path, tag: &str) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<BTreeMap<String, Value>>(line).unwrap());
    rows.filter_map(|row| Some((row["epoch"].as_u64()?, row.get(tag)?.as_f64()?))).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let all: Vec<f64> = values.collect();
    all.iter().sum::<f64>() / all.len() as f64
}

/// Ensemble scores of all items for the test targets.
fn scores(run_dir: &Path) -> Vec<Vec<f32>> {
    let options = OpenOptions { device: "cpu".into(), ..OpenOptions::default() };
    let run = Run::open(run_dir, &options).unwrap();
    let dataset = &run.model.setup().dataset;
    let targets = dataset.targets(Part::Test);
    let mut scorer = run.model.scorer();
    let mut out = vec![Vec::new(); scorer.names().len()];
    scorer.score(&targets, &mut out).unwrap();
    out.swap_remove(0).chunks(dataset.items.count() + 1).map(|row| row[1..].to_vec()).collect()
}

/// Mean over users of the correlation of two runs' scores.
fn agreement(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let centred = |row: &[f32]| -> Vec<f64> {
        let mean = mean(row.iter().map(|&x| f64::from(x)));
        row.iter().map(|&x| f64::from(x) - mean).collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    mean(a.iter().zip(b).map(|(a, b)| {
        let (a, b) = (centred(a), centred(b));
        dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
    }))
}

#[test]
fn a_student_comes_closer_to_its_teacher_and_is_used_without_it() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let teacher = big(home);
    let of_teacher = scores(&teacher);
    let taught = taught(&teacher);
    let plan = run(&[&sasrec(home, "student", &[&taught])[..], &["--dry-run".into()]].concat()).fine();
    let named = format!("taught by              big ({}, step ", teacher.display());
    assert!(plan.stdout.contains(&named), "{}", plan.stdout);
    let said = run(&sasrec(home, "student", &[&taught])).fine();
    assert!(
        said.stderr.contains(&format!("; taught by big ({}, step ", teacher.display())),
        "{}",
        said.stderr
    );
    run(&sasrec(home, "alone", &[])).fine();
    let parts = logged(&home.join("student"), "train/distill/id_from_big");
    let of_epoch = |n: u64| mean(parts.iter().filter(|(epoch, _)| *epoch == n).map(|(_, value)| *value));
    assert!(of_epoch(4) < of_epoch(1), "{parts:?}");
    assert!(logged(&home.join("student"), "train/distill_weight").iter().all(|(_, weight)| *weight == 0.9));

    // Whatever a trained model is used for, it has learned what there was to learn.
    fs::rename(&teacher, home.join("elsewhere")).unwrap();
    let close = |name: &str| agreement(&of_teacher, &scores(&home.join(name)));
    let (student, alone) = (close("student"), close("alone"));
    assert!(student > alone + 0.05, "{student} {alone}");
    let student = home.join("student");
    let student = path(&student);
    run(&["evaluate", student, "--device", "cpu"]).fine();
    run(&["recommend", student, "--user", "u1", "--device", "cpu"]).fine();
    run(&["export", student, "-o", path(&home.join("out")), "--device", "cpu"]).fine();
    let card = fs::read_to_string(home.join("out").join("README.md")).unwrap();
    assert!(card.contains("| taught by | big `"), "{card}");
    run(&["compare", student, path(&home.join("alone")), "--draws", "50"]).fine();
    run(&["inspect", student, "item", "i1", "--device", "cpu"]).fine();
}

#[test]
fn a_stage_without_distillation_asks_no_teacher() {
    let home = tempfile::tempdir().unwrap();
    let teacher = big(home.path());
    let stages = r#"train.stages=[{ epochs = 1, terms = ["in_batch"] }, {}]"#;
    run(&sasrec(home.path(), "student", &[&taught(&teacher), stages, "train.epochs=1"])).fine();
    let epochs: Vec<u64> = logged(&home.path().join("student"), "train/distill/id_from_big")
        .iter()
        .map(|(epoch, _)| *epoch)
        .collect();
    assert!(!epochs.is_empty() && epochs.iter().all(|&epoch| epoch == 2), "{epochs:?}");
}

#[test]
fn a_run_with_a_tower_over_content_teaches_what_it_would_recommend_by() {
    let home = tempfile::tempdir().unwrap();
    let big = big(home.path());
    let data = format!("data.path={}", dataset(home.path()).display());
    let taught = taught(&big);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sasrec.toml");
    let sets = ["data.synth=none", &data, &taught, "train.batch_users=16"].map(str::to_owned);
    let config = config::load(Path::new(file), &sets).unwrap().config;
    let student = CoDistill::open(Setup::open(config, &Device::flex()).unwrap()).unwrap();
    let teacher = Teacher::open_all(student.setup()).unwrap().remove(0);
    let options = OpenOptions { device: "cpu".into(), ..OpenOptions::default() };
    let run = Run::open(&big, &options).unwrap();
    assert!(run.checkpoint.config.model.tower.is_some() && run.model.features().len() == 2);
    let fitted = run.codistill().unwrap();
    let batch = student.batch(&student.order(1), Place { epoch: 1, index: 0 });
    let expected = recommended(&batch, &fitted.model, &fitted.system.catalogue(&fitted.model));
    assert_equal_ends(&batch, &params::host(teacher.scores(&batch)), &expected);
}

#[test]
fn held_out_items_are_no_matter_where_teacher_and_student_hold_out_the_same() {
    let home = tempfile::tempdir().unwrap();
    let train = |sets: &[&str]| run(&tiny(home.path(), &[&["data.cold.share=0.2"], sets].concat())).fine();
    train(&["run.name=big"]);
    train(&["run.name=student", &taught(&home.path().join("big"))]);
    assert!(!logged(&home.path().join("student"), "train/distill/id_from_big").is_empty());
}

#[test]
fn an_imported_run_teaches_as_the_one_it_came_from() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let big = big(home);
    run(&["export", path(&big), "-o", path(&home.join("out")), "--device", "cpu"]).fine();
    let (config, weights) = (big.join("config.toml"), home.join("out/weights.safetensors"));
    run(&["import", path(&config), path(&weights), "--set", "run.name=imported"]).fine();
    let parts = |name: &str, from: &Path| {
        run(&sasrec(home, name, &[&taught(from), "train.epochs=1"])).fine();
        logged(&home.join(name), "train/distill/id_from_big")
    };
    assert_eq!(parts("a", &big), parts("b", &home.join("imported")));
}

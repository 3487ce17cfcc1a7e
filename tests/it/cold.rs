//! Items held out of all training, against the same items trained on.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device;
use codistill::config::{self, ColdConfig, Config, SynthConfig};
use codistill::data::{Dataset, Part, write_dataset};
use codistill::embed::store::{Change, Head, Writer};
use codistill::embed::{ColdId, ColdRule, EmbedError, Embedder, encode};
use codistill::eval::cold::OwnKind;
use codistill::eval::content::ContentNearest;
use codistill::eval::{ColdReport, Evaluation};
use codistill::features::{Precision, StoreWriter, item_ids_hash};
use codistill::model::Recommender;
use codistill::params;
use codistill::recommend::{Calibration, Mixed, MixedScorer};
use codistill::run::{Lists, OpenOptions, Run};
use codistill::synth::{self, ViewRows, World};
use codistill::systems::CoDistill;
use codistill::train::system::Place;
use codistill::train::trainer::{Observer, StepReport};
use codistill::train::{Setup, System, Trainer, Training};

use crate::program::{dataset, path, run, tiny};

struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: &StepReport) {}
    fn epoch(&mut self, _: usize, _: u64, _: f64) {}
    fn evaluated(&mut self, _: usize, _: u64, _: &Evaluation, _: bool) {}
    fn saved(&mut self, _: u64, _: &Path) {}
}

/// Text and image decide, the crowd knows something of its own; thirty interactions an item.
fn world(seed: u64) -> SynthConfig {
    SynthConfig {
        seed,
        users: 1500,
        items: 500,
        min_len: 8,
        max_len: 12,
        latent: 4,
        w_text: 3.0,
        w_image: 3.0,
        w_collab: 1.5,
        drift: 0.0,
        missing_text: 0.0,
        missing_image: 0.0,
        label_noise: 0.0,
        feature_width: 12,
        text_tokens: 4,
        image_tokens: 3,
        token_noise: 0.2,
        distractors: 0.0,
        ..SynthConfig::default()
    }
}

fn config(data: &Path, seed: u64, more: &[String]) -> Config {
    let mut sets = vec![
        format!("data.path={}", data.display()),
        format!("seed={seed}"),
        "model.width=16".into(),
        "train.batch_users=64".into(),
        "train.epochs=20".into(),
        "train.eval_every=20".into(),
        "optim.lr=5e-3".into(),
        "model.dropout=0".into(),
        "objective.distill.alpha=0.2".into(),
        "objective.distill.teacher=detached".into(),
        "eval.ks=[10]".into(),
    ];
    sets.extend_from_slice(more);
    let text = include_str!("../../configs/quickstart.toml");
    config::parse(text, Path::new("quickstart.toml"), &sets).unwrap().config
}

fn train(config: Config) -> (CoDistill, Recommender) {
    let scratch = tempfile::tempdir().unwrap();
    let system = CoDistill::open(Setup::open(config, &Device::flex()).unwrap()).unwrap();
    let mut trainer = Trainer::new(&system).unwrap();
    trainer.run(scratch.path(), &mut Silent, &AtomicBool::new(false)).unwrap();
    let model = trainer.model().clone().valid();
    (system, model)
}

fn judged(
    system: &CoDistill,
    model: &Recommender,
    rule: ColdId,
    calibration: Calibration,
) -> (Evaluation, ColdReport) {
    let rule = ColdRule::fit(system, model, rule, 20).unwrap();
    let (vectors, encoded) = encode::catalogue(system, model, &rule);
    let counts = system.setup.dataset.train_counts();
    let trained = counts[1..].iter().map(|&n| n > 0).collect();
    let mixed = Mixed::from_vectors(vectors, trained, encoded.live, vec![true; counts.len() - 1]);
    let s = system.setup.config.data.max_seq_len;
    let dataset = Some(&system.setup.dataset);
    let mut scorer =
        MixedScorer::new(model, &mixed, system.memory(), dataset, s, calibration, &system.setup.device);
    let all = system.evaluate_scorer(&mut scorer, Part::Test).unwrap();
    let mut own = OwnKind { inner: &mut scorer, trained: &counts };
    let own = system.evaluate_scorer(&mut own, Part::Test).unwrap();
    let report = ColdReport::new("", &all, &own, &counts);
    (all, report)
}

/// Recall@10 of cold targets by untrained likeness of content.
fn nearest_content(system: &CoDistill) -> f64 {
    let stores: Vec<_> = system.views.iter().flatten().map(|view| view.store.as_ref()).collect();
    let mut nearest = ContentNearest::new(&system.setup.dataset, &stores);
    let found = system.evaluate_scorer(&mut nearest, Part::Test).unwrap();
    let counts = system.setup.dataset.train_counts();
    ColdReport::new("", &found, &found, &counts).scored[0].cold["recall@10"]
}

/// The view's features with every item's row at another item.
fn shuffled(world: &World, rows: &ViewRows, dest: &Path) {
    let items = world.dataset.items.count();
    let mut writer = StoreWriter::create(dest, items, rows.tokens(), rows.width(), Precision::F16).unwrap();
    for item in 1..=items {
        // 233 and 500 have no common divisor: every row moves, none is lost.
        writer.push(item as u32, &rows.row(((item * 233 + 71) % items) as u32 + 1)).unwrap();
    }
    let ids = item_ids_hash(&world.dataset.items.ids);
    writer.finish(serde_json::json!({ "item_ids_sha256": ids })).unwrap();
}

fn drawn(home: &Path, seed: u64) -> (World, std::path::PathBuf) {
    let data = home.join(format!("data-{seed}"));
    let world = synth::generate(&world(seed)).unwrap();
    let nothing = serde_json::json!({});
    let hash = write_dataset(&data, &world.dataset, &nothing, nothing.clone()).unwrap();
    world.write_beside(&data, &hash).unwrap();
    (world, data)
}

#[test]
fn new_items_come_half_as_far_as_the_same_items_trained_on_and_by_their_content_alone() {
    let home = tempfile::tempdir().unwrap();
    let held = "data.cold={ share = 0.15, seed = 3 }".to_owned();
    for seed in [1, 2] {
        let (world, data) = drawn(home.path(), seed);
        let (system, model) = train(config(&data, seed, std::slice::from_ref(&held)));
        let cold: Vec<bool> = system.setup.dataset.train_counts().iter().map(|&n| n == 0).collect();
        assert!(cold.iter().filter(|&&c| c).count() >= 75);

        // The same items and test targets, trained on.
        let (warm_world, warm_model) = train(config(&data, seed, &[]));
        let all = warm_world.evaluate(&warm_model, Part::Test, None).unwrap();
        let rows = all.scored[0].rows.iter().filter(|row| cold[row.item as usize]);
        let found: Vec<bool> = rows.map(|row| row.rank <= 10.0).collect();
        let warm = found.iter().filter(|&&f| f).count() as f64 / found.len() as f64;

        println!("seed {seed}: the same {} targets trained on: recall@10 {warm:.4}", found.len());
        let content = nearest_content(&system);
        println!("nearest content: recall@10 {content:.4} of the cold targets");
        println!("rule   calibration  cold    warm    cold/cold  share   true");
        let mut reached = Vec::new();
        for rule in [ColdId::Drop, ColdId::Ridge] {
            for calibration in [Calibration::Zscore, Calibration::Impute, Calibration::Off] {
                let (_, report) = judged(&system, &model, rule, calibration);
                let s = &report.scored[0];
                let of = |figures: &std::collections::BTreeMap<String, f64>| figures["recall@10"];
                println!(
                    "{rule:5?}  {calibration:11?}  {:.4}  {:.4}  {:.4}     {:.4}  {:.4}",
                    of(&s.cold),
                    of(&s.warm),
                    of(&s.cold_among_cold),
                    s.share[&10],
                    report.true_share()
                );
                if calibration == Calibration::Zscore {
                    let ratio = s.share[&10] / report.true_share();
                    assert!((0.5..=2.0).contains(&ratio), "{rule:?}: {ratio}");
                    assert!(of(&s.cold) >= 0.5 * warm, "{rule:?}: {} of {warm}", of(&s.cold));
                    assert!(of(&s.cold) > content, "{rule:?}: {} of {content}", of(&s.cold));
                    reached.push(of(&s.cold_among_cold));
                }
            }
        }

        let (text, image) = (home.path().join(format!("t{seed}")), home.path().join(format!("i{seed}")));
        shuffled(&world, &world.text, &text);
        shuffled(&world, &world.image, &image);
        let moved = [
            held.clone(),
            format!("data.features.text={}", text.display()),
            format!("data.features.image={}", image.display()),
        ];
        let (system, model) = train(config(&data, seed, &moved));
        let (_, report) = judged(&system, &model, ColdId::Drop, Calibration::Zscore);
        let found = report.scored[0].cold_among_cold["recall@10"];
        let chance = 10.0 / report.cold_items as f64;
        let error = (chance * (1.0 - chance) / report.cold_targets as f64).sqrt();
        println!("shuffled: {found:.4} among cold items, chance {chance:.4} ± {error:.4}");
        assert!((found - chance).abs() < 3.5 * error, "{found} against {chance} ± {error}");
        assert!(reached.iter().all(|&r| r > chance + 3.5 * error), "{reached:?} against {chance}");
    }
}

#[test]
fn cold_items_are_no_negatives_either() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let small = SynthConfig { users: 120, items: 100, ..world(5) };
    let world = synth::generate(&small).unwrap();
    let nothing = serde_json::json!({});
    let hash = write_dataset(&data, &world.dataset, &nothing, nothing.clone()).unwrap();
    world.write_beside(&data, &hash).unwrap();
    let open = |kind: &str, draw: &str, cold: bool| {
        let mut sets = vec![
            format!("objective.kind={kind}"),
            format!("objective.negatives={{ count = 64, draw = \"{draw}\" }}"),
            "objective.distill.pairs=[]".into(),
        ];
        sets.extend(cold.then(|| "data.cold={ share = 0.3, seed = 3 }".to_owned()));
        CoDistill::open(Setup::open(config(&data, 1, &sets), &Device::flex()).unwrap()).unwrap()
    };
    // Items that the batches of an epoch encode: histories, answers and negatives.
    let encoded = |system: &CoDistill| {
        let sampler = system.sampler();
        let order = sampler.order(1);
        let mut seen = vec![false; 101];
        for index in 0..sampler.batches() {
            sampler.batch(&order, 1, index).block.items.iter().for_each(|&item| seen[item as usize] = true);
        }
        seen
    };
    for (kind, draw) in [("sampled", "uniform"), ("sampled", "mixed"), ("gbce", "uniform"), ("gbce", "mixed")]
    {
        let held = open(kind, draw, true);
        let counts = held.setup.dataset.train_counts();
        let cold = (1..=100).filter(|&item| counts[item] == 0).count();
        assert!(cold >= 30 && held.sampler().drawable() == 100 - cold, "{kind} {draw}: {cold}");
        let seen = encoded(&held);
        assert!((1..=100).all(|item| seen[item] == (counts[item] > 0)), "{kind} {draw}");
        // Nothing is spared where nothing is held out.
        let whole = open(kind, draw, false);
        assert_eq!(whole.sampler().drawable(), 100);
    }
}

#[test]
fn the_full_softmax_gives_cold_items_no_gradient() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let small = SynthConfig { users: 120, items: 100, ..world(5) };
    let world = synth::generate(&small).unwrap();
    let nothing = serde_json::json!({});
    let hash = write_dataset(&data, &world.dataset, &nothing, nothing.clone()).unwrap();
    world.write_beside(&data, &hash).unwrap();
    let text = include_str!("../../configs/sasrec.toml");
    let gradients = |sets: &[&str]| {
        let path = format!("data.path={}", data.display());
        let sets: Vec<String> =
            [path.as_str(), "objective.kind=full"].iter().chain(sets).map(ToString::to_string).collect();
        let config = config::parse(text, Path::new("sasrec.toml"), &sets).unwrap().config;
        let system = CoDistill::open(Setup::open(config, &Device::flex()).unwrap()).unwrap();
        let batch = system.batch(&system.order(1), Place { epoch: 1, index: 0 });
        let (losses, gradients) = system.step().gradients(&system.new_model(), &batch, 1);
        let rows = params::host(gradients["views.id.table"].values());
        let moved: Vec<bool> =
            rows.chunks(rows.len() / 101).map(|row| row.iter().any(|&g| g != 0.0)).collect();
        (losses.total, moved, system.setup.dataset.train_counts())
    };
    let (whole, moved, _) = gradients(&[]);
    assert!(moved[1..].iter().all(|&moved| moved) && !moved[0]);
    let (held, moved, counts) = gradients(&["data.cold={ share = 0.3, seed = 3 }"]);
    let cold = counts[1..].iter().filter(|&&count| count == 0).count();
    assert!(cold >= 30, "{cold}");
    assert!((1..=100).all(|item| moved[item] == (counts[item] > 0)), "{moved:?}");
    // A fresh model knows nothing: it chooses among fewer items.
    let fewer = (100.0 / (100 - cold) as f64).ln();
    assert!((whole - held - fewer).abs() < 0.1, "{whole} {held} {fewer}");
}

#[test]
fn held_out_items_that_a_user_had_are_not_recommended_again() {
    let home = tempfile::tempdir().unwrap();
    run(&tiny(home.path(), &["data.cold={ share = 0.3, seed = 3 }", "train.epochs=1"])).fine();
    let whole = Dataset::open(&dataset(home.path())).unwrap();
    let mut told = whole.clone();
    told.hold_out(&ColdConfig { share: 0.3, seed: 3, ..ColdConfig::default() }).unwrap();
    let run_dir = home.path().join("quickstart");
    let said = run(&["recommend", path(&run_dir), "--all", "-k", "80", "--device", "cpu", "--json"]).fine();
    let mut held_out = 0;
    for (u, line) in said.stdout.lines().enumerate() {
        let list: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(list["user"], whole.users[u].as_str());
        let listed: HashSet<&str> =
            list["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect();
        let had = whole.sequences.items_of(u);
        held_out += had.len() - told.sequences.items_of(u).len();
        for &item in had {
            let id = whole.items.ids[item as usize].as_str();
            assert!(!listed.contains(id), "{} had {id}", whole.users[u]);
        }
        let distinct: HashSet<u32> = had.iter().copied().collect();
        assert_eq!(listed.len(), whole.items.count() - distinct.len());
    }
    assert!(held_out > 100, "{held_out} interactions are held out");
    // The same through the library.
    let options = OpenOptions { device: "cpu".into(), ..OpenOptions::default() };
    let lists = Lists::new(Run::open(&run_dir, &options).unwrap()).unwrap();
    for (u, user) in whole.users.iter().enumerate() {
        let listed = lists.recommend(user, 80).unwrap();
        let had = whole.sequences.items_of(u).iter().map(|&item| whole.items.ids[item as usize].as_str());
        let had: HashSet<&str> = had.collect();
        assert!(listed.iter().all(|entry| !had.contains(entry.item)), "{user}");
        assert!(listed.is_empty() || listed.len() == 80 - had.len(), "{user}: {}", listed.len());
    }
}

#[test]
fn a_model_without_content_is_refused_with_held_out_items_before_it_is_trained() {
    let home = tempfile::tempdir().unwrap();
    let dir = format!("run.dir={}", path(home.path()));
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sasrec.toml");
    let small = ["data.synth.users=60", "data.synth.items=40", "data.cold.share=0.2", &dir];
    for dry in [&[][..], &["--dry-run"]] {
        let sets = small.iter().flat_map(|set| ["--set", set]);
        let args: Vec<&str> = ["train", config, "--device", "cpu"].into_iter().chain(sets).collect();
        run(&[&args, dry].concat()).refused("no branch that works without an ID vector", "text or image");
        assert!(!home.path().join("sasrec").exists());
    }
}

#[test]
fn the_canary_stops_vectors_of_another_space() {
    let home = tempfile::tempdir().unwrap();
    let (_, data) = drawn(home.path(), 4);
    // Weak on purpose: raw features then find more than half of what the model finds.
    let weak = ["train.epochs=8".to_owned(), "train.eval_every=8".to_owned()];
    let (system, model) = train(config(&data, 4, &weak));
    let embedder = Embedder { system: &system, model: &model, hash: "hash" };
    let right = embedder.build(&home.path().join("right"), ColdId::Drop, 20).unwrap();
    assert!(right.head.canary.recall() > 0.05 && !right.head.canary.is_blind(500));
    assert!(embedder.open(&home.path().join("right")).is_ok());

    // The same hashes, but an index of raw features where vectors belong.
    let raw: Vec<f32> = {
        let store = &system.views[1].as_ref().unwrap().store;
        let row = |item: u32| {
            let mut token = vec![0.0; store.width()];
            store.gather_into(item, 1, &mut token);
            token.resize(right.description.width, 0.0);
            token
        };
        (1..=500).flat_map(row).collect()
    };
    let wrong = home.path().join("wrong");
    let writer = Writer::create(&wrong).unwrap();
    let change =
        Change { rows: right.rows.clone(), vectors: vec![raw; right.vectors.len()], deleted: Vec::new() };
    let head = Head { ..right.head.clone() };
    writer.write_whole(writer.draft(1).unwrap(), right.description.clone(), &head, change).unwrap();
    drop(writer);
    let refused = embedder.open(&wrong);
    let by_canary = matches!(refused, Err(EmbedError::Canary { .. } | EmbedError::CanaryScores { .. }));
    assert!(by_canary, "{:?}", refused.map(|s| s.description));
}

//! Planted truth: a signal that lies in one view only is lost with that view, and with no other.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device;
use codistill::config::{self, Config, SynthConfig};
use codistill::data::{Part, write_dataset};
use codistill::eval::Evaluation;
use codistill::eval::baseline::{Popularity, Terms};
use codistill::synth;
use codistill::systems::CoDistill;
use codistill::train::trainer::{Observer, StepReport};
use codistill::train::{Setup, System, Trainer, Training};

const SEEDS: [u64; 4] = [1, 2, 3, 4];
const VIEWS: [&str; 3] = ["id", "text", "image"];
/// By then the whole model has learned the signal: at once from content, later from who took what.
const EPOCHS_OF_CONTENT: usize = 8;
const EPOCHS_OF_THE_CROWD: usize = 16;
const METRIC: &str = "recall@10";
/// Share of what the whole model has above popularity that may be left without the view of the signal, in any
/// world.
const LEFT: f64 = 0.4;
/// Share that must be left without another view, in the mean over the worlds of a signal: how far so few steps
/// get differs more between two such models than between two worlds.
const KEPT: f64 = 0.7;

struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: &StepReport) {}
    fn epoch(&mut self, _: usize, _: u64, _: f64) {}
    fn evaluated(&mut self, _: usize, _: u64, _: &Evaluation, _: bool) {}
    fn saved(&mut self, _: u64, _: &Path) {}
}

/// A world in which only `view` tells what users like.
///
/// Text and image signal: three training interactions an item, too few for an ID table to find it by itself.
/// Collaborative signal: fifty an item, and features that most items lack and that are a single
/// number, so that they can't serve as an ID.
fn world(view: &str, seed: u64) -> SynthConfig {
    let weight = |of: &str, w: f64| if of == view { w } else { 0.0 };
    let collaborative = view == "id";
    SynthConfig {
        seed,
        users: if collaborative { 1500 } else { 500 },
        items: if collaborative { 200 } else { 1500 },
        min_len: 8,
        max_len: 12,
        latent: if collaborative { 2 } else { 4 },
        w_text: weight("text", 6.0),
        w_image: weight("image", 6.0),
        w_collab: weight("id", 4.0),
        w_repeat: 0.0,
        popularity: 0.0,
        redundancy: 0.0,
        drift: 0.0,
        missing_text: if collaborative { 0.8 } else { 0.0 },
        missing_image: if collaborative { 0.8 } else { 0.0 },
        label_noise: 0.0,
        feature_width: if collaborative { 1 } else { 12 },
        text_tokens: if collaborative { 1 } else { 4 },
        image_tokens: if collaborative { 1 } else { 3 },
        token_noise: if collaborative { 0.0 } else { 0.2 },
        distractors: 0.0,
        ..SynthConfig::default()
    }
}

/// The quick start at a small size, without the view, branch and pairs called `without`.
fn model(data: &Path, seed: u64, epochs: usize, without: Option<&str>) -> Config {
    let sets = [
        format!("data.path={}", data.display()),
        format!("seed={seed}"),
        "model.width=16".into(),
        "train.batch_users=32".into(),
        format!("train.epochs={epochs}"),
        format!("train.eval_every={epochs}"),
        "optim.lr=5e-3".into(),
        // So few steps: no noise, and the teachers at hand from the first epoch. With live
        // teachers and blind students the whole model learnt slower here (one run each), which is not what
        // this test is about.
        "model.dropout=0".into(),
        "objective.distill.alpha=0.2".into(),
        "objective.distill.teacher=detached".into(),
        "eval.ks=[10]".into(),
    ];
    let text = include_str!("../../configs/quickstart.toml");
    let mut config = config::parse(text, Path::new("quickstart.toml"), &sets).unwrap().config;
    if let Some(gone) = without {
        config.model.views.retain(|view| view.name != gone);
        config.model.branches.retain(|branch| branch.view != gone);
        config.objective.distill.pairs.retain(|pair| pair.student != gone && pair.teacher != gone);
    }
    config.validate().unwrap();
    config
}

/// Test recall of the trained ensemble, and of popularity.
fn measure(config: Config, scratch: &Path) -> (f64, f64) {
    let system = CoDistill::open(Setup::open(config, &Device::flex()).unwrap()).unwrap();
    let mut trainer = Trainer::new(&system).unwrap();
    trainer.run(scratch, &mut Silent, &AtomicBool::new(false)).unwrap();
    let evaluation = system.evaluate(&trainer.model().clone().valid(), Part::Test, None).unwrap();
    let mut popular = Popularity::new(&system.setup.dataset, Terms::default());
    let popular = system.evaluate_scorer(&mut popular, Part::Test).unwrap();
    (evaluation.metrics()[&format!("ensemble/{METRIC}")], popular.scored[0].metrics[METRIC])
}

#[test]
fn knocking_out_the_view_with_the_signal_destroys_the_result() {
    let home = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    println!("{METRIC:8} seed popular   whole   no id no text no image");
    for signal in VIEWS {
        let epochs = if signal == "id" { EPOCHS_OF_THE_CROWD } else { EPOCHS_OF_CONTENT };
        let mut kept = [0.0; 3];
        for seed in SEEDS {
            let config = world(signal, seed);
            let data = home.path().join(format!("{signal}-{seed}"));
            let drawn = synth::generate(&config).unwrap();
            let nothing = serde_json::json!({});
            let hash = write_dataset(&data, &drawn.dataset, &nothing, nothing.clone()).unwrap();
            drawn.write_beside(&data, &hash).unwrap();

            let recall = |without: Option<&str>| {
                let scratch = tempfile::tempdir().unwrap();
                measure(model(&data, seed, epochs, without), scratch.path())
            };
            let (whole, popular) = recall(None);
            let knocked = VIEWS.map(|view| recall(Some(view)).0);
            let [id, text, image] = knocked;
            println!("{signal:9} {seed:3}  {popular:.4}  {whole:.4}  {id:.4}  {text:.4}   {image:.4}");
            let above = whole - popular;
            let mut wrong = Vec::new();
            if whole < 2.0 * popular {
                wrong.push(format!("the whole model has only {whole:.4}"));
            }
            for ((view, value), kept) in VIEWS.iter().zip(knocked).zip(&mut kept) {
                let share = (value - popular) / above;
                *kept += share / SEEDS.len() as f64;
                if *view == signal && share > LEFT {
                    wrong.push(format!("{value:.4} without {view}"));
                }
            }
            failures.extend(wrong.into_iter().map(|what| format!("signal {signal}, seed {seed}: {what}")));
        }
        let little = VIEWS.iter().zip(kept).filter(|(view, kept)| **view != signal && *kept < KEPT);
        failures.extend(little.map(|(view, kept)| format!("signal {signal}: {kept:.2} left without {view}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

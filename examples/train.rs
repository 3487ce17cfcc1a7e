//! Trains SASRec on generated users and items, and prints its test figures beside popularity.
//!
//!     cargo run --release --example train -- DIR
//!
//! The data set and the run are made in DIR. `examples/recommend.rs` opens that run.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use codistill::config::parse;
use codistill::data::{Part, write_dataset};
use codistill::device;
use codistill::eval::Evaluation;
use codistill::eval::baseline::Popularity;
use codistill::synth;
use codistill::train::inputs::Inputs;
use codistill::train::run_dir::{RunDir, Which};
use codistill::train::trainer::{Observer, StepReport};
use codistill::train::{Experiment, Trainer};

/// What `configs/sasrec.toml` says, smaller.
const CONFIG: &str = r#"
[data]
max_seq_len = 12
synth = { users = 400, items = 200 }

[model]
width = 16
views = [{ name = "id", kind = "id", project = false }]

[[model.branches]]
name = "id"
view = "id"
item_mlp = false
encoder = { kind = "sasrec", blocks = 1, heads = 1 }

[optim]
lr = 3e-3

[train]
batch_users = 16
epochs = 8
"#;

/// Prints a line for each evaluation.
struct Printer;

impl Observer for Printer {
    fn step(&mut self, _: &StepReport) {}
    fn epoch(&mut self, _: usize, _: u64, _: f64) {}
    fn evaluated(&mut self, epoch: usize, _: u64, evaluation: &Evaluation, _: bool) {
        println!("epoch {epoch}: validation ndcg@10 {:.4}", evaluation.scored[0].metrics["ndcg@10"]);
    }
    fn saved(&mut self, _: u64, _: &Path) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("name a folder for the data set and the run")?);
    let mut loaded = parse(CONFIG, Path::new("train.rs"), &[])?;

    let world = synth::generate(loaded.config.data.synth.as_ref().ok_or("no [data.synth]")?)?;
    let data = dir.join("data");
    let hash = write_dataset(&data, &world.dataset, &serde_json::json!({}), serde_json::json!({}))?;
    world.write_beside(&data, &hash)?;
    loaded.config.data.path = Some(data);

    let device = device::open("cpu")?;
    let experiment = Experiment::open(loaded.config.clone(), &device.device)?;
    let run = RunDir::create(&dir, "run", &loaded.config.to_toml()?, "{}")?;
    Inputs::of(&experiment, &run.root)?.write(&run)?;
    let mut trainer = Trainer::new(&experiment, &run.steps());
    trainer.run(&mut Printer, &AtomicBool::new(false))?;

    let (path, best) = run.checkpoint(&Which::Best)?;
    let model = best.restore(&path, trainer.model().clone())?.valid();
    let own = experiment.evaluate_model(&model, Part::Test)?;
    let popularity = experiment.evaluate_scorer(&mut Popularity::new(&experiment.dataset), Part::Test)?;
    for (name, evaluation) in [("SASRec", own), ("popularity", popularity)] {
        let metrics = &evaluation.scored[0].metrics;
        println!("{name}: recall@10 {:.4}, ndcg@10 {:.4}", metrics["recall@10"], metrics["ndcg@10"]);
    }
    println!("{}", run.root.display());
    Ok(())
}

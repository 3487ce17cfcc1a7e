//! Trains SASRec on generated users and items, and prints its test figures beside baselines.
//!
//!     cargo run --release --example train -- DIR
//!
//! The data set and the run are made in DIR. `examples/recommend.rs` opens that run.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use codistill::config::parse;
use codistill::data::{Part, write_dataset};
use codistill::eval::Evaluation;
use codistill::judge::final_report;
use codistill::train::Setup;
use codistill::train::run_dir::{RunDir, Which};
use codistill::train::trainer::{Observer, StepReport};
use codistill::{device, synth, systems};

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
    let system = systems::open(Setup::open(loaded.config.clone(), &device.device)?)?;
    let run = RunDir::create(&dir, "run", &loaded.config.to_toml()?, "{}")?;
    system.inputs(&run.root)?.write(&run)?;
    system.training(&run.steps())?.run(&mut Printer, &AtomicBool::new(false))?;

    let (path, best) = run.checkpoint(&Which::Best)?;
    let report = final_report(system.fitted(&path, &best)?.as_ref(), Part::Test, Some(&run))?;
    println!("{}{}", report.table(), run.root.display());
    Ok(())
}

//! Trains SASRec on generated users and items, and prints its test figures beside baselines.
//!
//!     cargo run --release --example train -- DIR
//!
//! The data set and the run are made in DIR. `examples/recommend.rs` opens that run.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use codistill::config::parse;
use codistill::run::train;

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

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("name a folder for the data set and the run")?;
    let sets = [format!("run.dir={dir}"), "run.name=run".into(), "device=cpu".into()];
    let config = parse(CONFIG, Path::new("train.rs"), &sets)?.config;
    // Another thread may set the flag: then the training saves and ends.
    let finished = train(config, &AtomicBool::new(false))?;
    finished.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let report = finished.report.ok_or("the training was stopped")?;
    println!("{}{}", report.table(), finished.dir.root.display());
    Ok(())
}

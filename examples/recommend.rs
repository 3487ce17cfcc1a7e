//! Opens a run and lists the best five items for a user of its data set.
//!
//!     cargo run --release --example recommend -- RUN USER

use std::error::Error;
use std::path::PathBuf;

use burn::module::Module;
use codistill::device;
use codistill::recommend::{History, Listing, ModelScorer, top_k};
use codistill::train::inputs::{self, Asked};
use codistill::train::run_dir::{RunDir, Which};

fn main() -> Result<(), Box<dyn Error>> {
    let [run, user] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "give RUN and USER")?;
    let run = RunDir::at(&PathBuf::from(run));
    let device = device::open("cpu")?.device;

    let (path, checkpoint) = run.checkpoint(&Which::Best)?;
    // Refuses where the data set or its features are not those of the training.
    let (experiment, _) =
        inputs::open(&run.root, checkpoint.config.clone(), &checkpoint.parents, &Asked::default(), &device)?;
    let model = checkpoint.restore(&path, experiment.new_model())?.valid();
    let vectors = experiment.catalogue(&model);
    let scorer = ModelScorer::new(&model, &vectors, None, experiment.config.data.max_seq_len, &device);

    let dataset = &experiment.dataset;
    let number = dataset.users.iter().position(|id| *id == user).ok_or("no such user")?;
    let history = History { user, items: dataset.sequences.items_of(number).to_vec() };
    for entry in &top_k(&scorer, &[history], &Listing::best(5))[0] {
        let item = entry.item as usize;
        println!("{:.4}  {}  {}", entry.score, dataset.items.ids[item], dataset.items.titles[item]);
    }
    Ok(())
}

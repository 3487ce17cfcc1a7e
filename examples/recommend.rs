//! Opens a run and lists the best five items for a user of its data set.
//!
//!     cargo run --release --example recommend -- RUN USER

use std::error::Error;
use std::path::Path;

use codistill::recommend::{History, Listing, ModelScorer, top_k};
use codistill::run::{OpenOptions, Run};

fn main() -> Result<(), Box<dyn Error>> {
    let [root, user] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "give RUN and USER")?;
    // Refuses where the data set or its features are not those of the training.
    let run = Run::open(Path::new(&root), &OpenOptions { device: "cpu".into(), ..OpenOptions::default() })?;
    let (fitted, setup) = (run.codistill()?, run.model.setup());
    let (vectors, positions) = (fitted.system.catalogue(&fitted.model), setup.config.data.max_seq_len);
    let scorer = ModelScorer::new(&fitted.model, &vectors, None, positions, &run.device.device);

    let dataset = &setup.dataset;
    let number = dataset.users.iter().position(|id| *id == user).ok_or("no such user")?;
    let history = History { user, items: dataset.sequences.items_of(number).to_vec() };
    for entry in &top_k(&scorer, &[history], &Listing::best(5))[0] {
        let item = entry.item as usize;
        println!("{:.4}  {}  {}", entry.score, dataset.items.ids[item], dataset.items.titles[item]);
    }
    Ok(())
}

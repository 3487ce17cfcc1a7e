//! `codistill export`

use std::path::PathBuf;

use burn::module::Module;
use clap::Args;

use super::setup::{InputArgs, open_run};
use super::{Exit, Failure, Terminal};
use crate::eval::Report;
use crate::export::card::{self, Features};
use crate::export::{self, Export};
use crate::train::run_dir::Which;

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  codistill export checkpoints/quickstart --output exports/quickstart")]
pub struct ExportArgs {
    /// Run directory.
    run: PathBuf,
    /// Directory to make.
    #[arg(long, short)]
    output: PathBuf,
    /// best, last or the number of a step.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    #[command(flatten)]
    inputs: InputArgs,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub fn run(args: &ExportArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let trained = open_run(&args.run, &args.checkpoint, &args.inputs, &args.device, terminal)?;
    let checkpoint = &trained.checkpoint;
    // Figures belong to the best checkpoint only.
    let report: Option<Report> = match args.checkpoint {
        Which::Best => std::fs::read_to_string(trained.run.report())
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok()),
        _ => None,
    };
    let experiment = &trained.experiment;
    let views = experiment.config.model.views.iter().zip(&experiment.views);
    let features: Vec<Features<'_>> = views
        .filter_map(|(view, source)| {
            let store = &source.as_ref()?.store;
            let (hash, tokens, width) = (store.hash(), store.tokens(), store.width());
            Some(Features { view: &view.name, hash, tokens, width, about: store.about() })
        })
        .collect();
    let card = card::render(
        &checkpoint.config,
        &checkpoint.parents,
        &features,
        &checkpoint.state,
        report.as_ref(),
        trained.model.num_params(),
    );
    let vectors = trained.experiment.catalogue(&trained.model);
    let export = Export {
        config: &checkpoint.config,
        model: &trained.model,
        vectors: &vectors,
        items: &trained.experiment.dataset.items,
        card: &card,
        parents: serde_json::to_value(&checkpoint.parents).unwrap_or_default(),
    };
    export::write(&args.output, &export)?;
    terminal.say(format!(
        "{}: weights, item vectors and model card of {}",
        args.output.display(),
        trained.path.display()
    ));
    Ok(Exit::Done)
}

//! `codistill import`

use std::path::PathBuf;

use clap::Args;

use super::setup::{open_device, tell_taken};
use super::{Exit, Failure, Terminal};
use codistill::artefact::json_text;
use codistill::config::{Loaded, load};
use codistill::export::import_weights;
use codistill::systems::CoDistill;
use codistill::train::checkpoint::{self, RunState};
use codistill::train::inputs::Inputs;
use codistill::train::run_dir::RunDir;
use codistill::train::{AdamW, Setup, System};

#[derive(Debug, Args)]
#[command(after_help = "\
The run directory has one checkpoint, at step 0: evaluate it, recommend with it, or go on with \
`train --resume`.

Example:
  codistill import configs/odmt-arts.toml weights.safetensors --set data.path=data/arts")]
pub struct ImportArgs {
    /// Configuration of the model.
    config: PathBuf,
    /// Weights under the authors' names, as safetensors.
    weights: PathBuf,
    /// Override a value of the configuration.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

pub fn run(args: &ImportArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let Loaded { mut config, origins, .. } = load(&args.config, &args.sets)?;
    super::setup::ensure_data(&mut config, terminal)?;
    let device = open_device("cpu", terminal)?;
    let system = CoDistill::open(Setup::open(config, &device.device)?)?;
    let (model, kept) = import_weights(system.new_model(), &args.weights)?;
    for name in kept {
        terminal.warn(format!("the weights lack {name}; it keeps its random start"));
    }
    let config = &system.setup.config;
    let origins = json_text("the origins of the values", &origins)?;
    let run = RunDir::create(&config.run.dir, &config.run.name, &config.to_toml()?, &origins)?;
    Inputs::new(&system, &run.root)?.write(&run)?;
    let state = RunState { epoch: 1, ..RunState::default() };
    let optimizer = AdamW::new(&config.optim);
    checkpoint::save(&run.steps(), config, &system.parents(), &state, &model, &optimizer)?;
    terminal.say(format!("{}: {} imported", run.root.display(), args.weights.display()));
    if tell_taken(&run, &config.run, terminal) {
        terminal.say(run.root.display().to_string());
    }
    Ok(Exit::Done)
}

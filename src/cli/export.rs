//! `codistill export`

use std::path::PathBuf;

use clap::Args;

use super::setup::{InputArgs, open_any_run};
use super::{Exit, Failure, Terminal};
use codistill::run::Protocol;
use codistill::train::run_dir::Which;

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
    let protocol = Protocol::default();
    let run = open_any_run(&args.run, &args.checkpoint, &args.inputs, &args.device, &protocol, terminal)?;
    run.export(&args.output)?;
    let (output, path) = (args.output.display(), run.path.display());
    terminal.say(format!("{output}: weights, item vectors and model card of {path}"));
    Ok(Exit::Done)
}

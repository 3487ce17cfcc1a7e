//! `codistill synth`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Failure, Terminal};
use codistill::artefact::{Makes, may_make};
use codistill::config::{load, parse};
use codistill::synth;

/// The quick start's configuration, so that `synth` works anywhere.
const QUICKSTART: &str = include_str!("../../configs/quickstart.toml");

#[derive(Debug, Args)]
pub struct SynthArgs {
    /// Dataset directory to make.
    #[arg(long, short)]
    output: PathBuf,
    /// Configuration whose `[data.synth]` is used; default: the one of the quick start.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Override a parameter, e.g. `users=5000` or `w_image=0`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

pub fn run(args: &SynthArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let sets: Vec<String> = args.sets.iter().map(|s| format!("data.synth.{s}")).collect();
    let loaded = match &args.config {
        Some(path) => load(path, &sets)?,
        None => parse(QUICKSTART, Path::new("quickstart.toml"), &sets)?,
    };
    let Some(world) = loaded.config.data.synth else {
        // Only a file that was named lacks the table: the quick start's has it.
        let file = args.config.as_deref().unwrap_or(Path::new("the configuration")).display();
        return Err(Failure::user(
            format!("{file} has no [data.synth], so it describes no data set to generate"),
            "add the table, name another --config, or leave it out for the quick start's world",
        ));
    };
    may_make(&args.output, Makes::Other)?;
    let hash = synth::write(&world, &args.output)?;
    terminal.say(format!(
        "{}: {} users, {} items, planted truth beside it",
        args.output.display(),
        world.users,
        world.items
    ));
    if terminal.json {
        terminal.data_json(&serde_json::json!({"path": args.output, "hash": hash, "config": world}))?;
    }
    Ok(Exit::Done)
}

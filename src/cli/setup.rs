//! From a configuration or a run directory to ready objects.

use std::path::{Path, PathBuf};
use std::time::Duration;

use burn::module::Module;
use clap::Args;

use super::{Failure, Terminal, synth};
use crate::config::Config;
use crate::data::Part;
use crate::device::{self, Opened};
use crate::lock::DirLock;
use crate::model::Recommender;
use crate::train::Experiment;
use crate::train::checkpoint::{Checkpoint, Parents};
use crate::train::inputs::{self, Asked};
use crate::train::run_dir::{RunDir, Which};

/// Makes sure that `config.data.path` is set, generating the planted data set where the configuration
/// describes one. It is a pure function of its parameters, so that one made before is used again.
pub fn ensure_data(config: &mut Config, terminal: &Terminal) -> Result<(), Failure> {
    if config.data.path.is_some() {
        return Ok(());
    }
    let Some(world) = &config.data.synth else { return Ok(()) };
    let path = config.run.dir.join("data").join(format!("synth-{}", fingerprint(world)));
    if !path.join("truth").exists() {
        // Without truth the directory was left by a kill between the data set and what stands beside it.
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(|e| Failure::io(&path, &e))?;
        }
        terminal.say(format!("generating {} users x {} items with planted truth", world.users, world.items));
        synth::generate(world, &path)?;
    }
    config.data.path = Some(path);
    Ok(())
}

/// Twelve hexadecimal digits that tell one set of parameters from another.
fn fingerprint(world: &crate::config::SynthConfig) -> String {
    use sha2::{Digest, Sha256};
    let text = format!("{world:?} {}", env!("CARGO_PKG_VERSION"));
    Sha256::digest(text.as_bytes()).iter().take(6).map(|b| format!("{b:02x}")).collect()
}

/// Opens a device by its flag; Burn's own default follows it, which optimiser records would otherwise ignore.
pub fn open_device(flag: &str, terminal: &Terminal) -> Result<Opened, Failure> {
    let opened = device::open(flag)?;
    terminal.detail(format!("device {}: {}", opened.flag, opened.name));
    Ok(opened)
}

/// Where the inputs of a run are, and what to do where they changed.
#[derive(Clone, Debug, Default, Args)]
pub struct InputArgs {
    /// Dataset directory, if it has moved.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Go on where the data set or the features are not those that the run was trained on.
    #[arg(long)]
    accept_changed: bool,
}

impl InputArgs {
    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        self.data.is_none() && !self.accept_changed
    }

    pub fn asked(&self) -> Asked {
        Asked { data: self.data.clone(), accept_changed: self.accept_changed }
    }
}

/// A finished or running training, opened for use.
pub struct Trained {
    pub run: RunDir,
    pub checkpoint: Checkpoint,
    pub path: PathBuf,
    pub experiment: Experiment,
    /// Plain model with the checkpoint's weights.
    pub model: Recommender,
    pub device: Opened,
}

/// Opens a run directory at the chosen checkpoint, with the inputs that it was trained on.
pub fn open_run(
    root: &Path,
    which: &Which,
    inputs: &InputArgs,
    device: &str,
    terminal: &Terminal,
) -> Result<Trained, Failure> {
    let run = RunDir::at(root);
    let (path, checkpoint) = run.checkpoint(which)?;
    let device = open_device(device, terminal)?;
    let experiment =
        open_inputs(root, checkpoint.config.clone(), &checkpoint.parents, inputs, &device, terminal)?;
    let model = checkpoint.restore(&path, experiment.new_model())?.valid();
    Ok(Trained { run, checkpoint, path, experiment, model, device })
}

/// Opens what the run at `root` was trained on, and tells what was accepted or can't be checked.
pub fn open_inputs(
    root: &Path,
    config: Config,
    parents: &Parents,
    inputs: &InputArgs,
    device: &Opened,
    terminal: &Terminal,
) -> Result<Experiment, Failure> {
    let (experiment, found) = inputs::open(root, config, parents, &inputs.asked(), &device.device)?;
    tell_inputs(&found, terminal);
    Ok(experiment)
}

/// What was accepted or can't be checked.
pub fn tell_inputs(found: &inputs::Found, terminal: &Terminal) {
    found.warnings().iter().for_each(|warning| terminal.warn(warning));
    found.notes().iter().for_each(|note| terminal.say(format!("note: {note}")));
}

/// Locks a directory that `command` is about to change, waiting at most `patience` for another one to end.
pub fn lock(dir: &Path, command: &str, patience: Duration, terminal: &Terminal) -> Result<DirLock, Failure> {
    let lock = DirLock::take_within(dir, command, patience)?;
    if let Some(warning) = lock.warning() {
        terminal.warn(warning);
    }
    Ok(lock)
}

/// `valid` or `test`.
pub fn parse_part(text: &str) -> Result<Part, String> {
    match text {
        "valid" => Ok(Part::Valid),
        "test" => Ok(Part::Test),
        _ => Err("use valid or test".into()),
    }
}

pub fn part_name(part: Part) -> &'static str {
    if part == Part::Valid { "valid" } else { "test" }
}

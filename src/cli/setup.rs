//! From a configuration or a run directory to ready objects.

use std::path::{Path, PathBuf};

use burn::module::Module;

use super::{Failure, Terminal, synth};
use crate::config::Config;
use crate::data::Part;
use crate::device::{self, Opened};
use crate::model::Recommender;
use crate::train::Experiment;
use crate::train::checkpoint::Checkpoint;
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

/// Opens a run directory at the chosen checkpoint; `data` moves the data set.
pub fn open_run(
    root: &Path,
    which: &Which,
    data: Option<&Path>,
    device: &str,
    terminal: &Terminal,
) -> Result<Trained, Failure> {
    let run = RunDir::at(root);
    let (path, checkpoint) = run.checkpoint(which)?;
    let mut config = checkpoint.config.clone();
    if let Some(data) = data {
        config.data.path = Some(data.to_owned());
    }
    let device = open_device(device, terminal)?;
    let experiment = Experiment::open(config, &device.device)?;
    if experiment.parents.dataset != checkpoint.parents.dataset {
        terminal
            .warn("this is not the data set the model was trained on; its item vectors may mean other items");
    }
    let model = checkpoint.restore(&path, experiment.new_model())?.valid();
    Ok(Trained { run, checkpoint, path, experiment, model, device })
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

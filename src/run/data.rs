//! Generated data sets of configurations that describe one instead of naming a directory.

use std::path::PathBuf;

use tempfile::TempDir;

use super::RunError;
use crate::artefact::io_error;
use crate::config::{Config, SynthConfig};
use crate::synth;

/// What [`generate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// The configuration names a data set, or nothing describes one.
    Nothing,
    /// The same world was generated before.
    Found,
    Made,
}

/// Makes sure that `config.data.path` is set, generating the planted data set where the configuration describes one. It is a
/// pure function of its parameters, so that one made before is used again. `before` is called before the work.
///
/// # Errors
/// It can't be written.
pub fn generate(config: &mut Config, before: &mut dyn FnMut(&SynthConfig)) -> Result<Generated, RunError> {
    let Some(path) = place(config) else { return Ok(Generated::Nothing) };
    let Some(world) = &config.data.synth else { return Ok(Generated::Nothing) };
    let mut done = Generated::Found;
    if !path.join("truth").exists() {
        // Without truth the directory was left by a kill between the data set and what stands beside it.
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(io_error(&path))?;
        }
        before(world);
        synth::write(world, &path)?;
        done = Generated::Made;
    }
    config.data.path = Some(path);
    Ok(done)
}

/// As [`generate`], but writes nothing that stays: what would be generated lies in the folder that is returned, and goes with
/// it.
///
/// # Errors
/// As [`generate`].
pub fn borrow(
    config: &mut Config,
    before: &mut dyn FnMut(&SynthConfig),
) -> Result<Option<TempDir>, RunError> {
    if place(config).is_none_or(|path| path.join("truth").exists()) {
        generate(config, before)?;
        return Ok(None);
    }
    let temporary = std::env::temp_dir();
    let scratch = tempfile::tempdir().map_err(io_error(&temporary))?;
    let own = std::mem::replace(&mut config.run.dir, scratch.path().to_owned());
    generate(config, before)?;
    config.run.dir = own;
    Ok(Some(scratch))
}

/// Sets `config.data.path` as [`generate`] would, and generates nothing.
pub fn name(config: &mut Config) {
    if let Some(path) = place(config) {
        config.data.path = Some(path);
    }
}

/// Where the data set that `config` describes lies; absent where it names one, or describes none.
fn place(config: &Config) -> Option<PathBuf> {
    let world = config.data.synth.as_ref().filter(|_| config.data.path.is_none())?;
    Some(config.run.dir.join("data").join(format!("synth-{}", synth::fingerprint(world))))
}

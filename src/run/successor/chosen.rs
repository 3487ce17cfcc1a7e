//! The checkpoint that a finished run chose, and how long it was trained.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::SuccessorError;
use crate::config::{Config, Origin, StageConfig, TrainConfig};
use crate::train::checkpoint::{Checkpoint, RunState};
use crate::train::inputs::{Input, Inputs};
use crate::train::run_dir::{RunDir, Which};

/// The best checkpoint of a run that has ended; the last one of a run without validation.
pub struct Chosen {
    pub run: RunDir,
    /// Directory of the checkpoint.
    pub path: PathBuf,
    pub checkpoint: Checkpoint,
}

impl Chosen {
    /// Opens the run directory `root`.
    ///
    /// # Errors
    /// It is no run, or its training has not ended.
    pub fn open(root: &Path) -> Result<Self, SuccessorError> {
        let run = RunDir::new(root);
        let (_, last, _) = run.latest()?;
        let RunState { finished, epoch, step, .. } = last.state;
        if !finished && !last.state.is_imported() {
            let how = format!("its newest checkpoint is of epoch {epoch}, step {step}");
            return Err(SuccessorError::Unfinished { run: root.to_owned(), how });
        }
        let (path, checkpoint) = run.checkpoint(&Which::Best)?;
        Ok(Self { run, path, checkpoint })
    }

    /// Epochs of the last stage that the checkpoint has seen, and optimiser steps of one of them.
    ///
    /// Validation stands at the end of epochs, so that the chosen number of them is a whole one.
    ///
    /// # Errors
    /// The run was imported.
    pub fn epochs(&self) -> Result<(usize, u64), SuccessorError> {
        let state = &self.checkpoint.state;
        if state.is_imported() {
            return Err(SuccessorError::Imported { run: self.run.root.clone() });
        }
        let epochs = (state.epoch - 1 - state.earlier_epochs).max(1);
        Ok((epochs, (state.step - state.earlier_steps) / epochs as u64))
    }

    /// Ends the trainings of `config`, which is this run's, where the checkpoint was: each stage has the epochs that it had
    /// here, on its own schedule.
    ///
    /// # Errors
    /// The run was imported, or several earlier stages ended early.
    pub fn limit(&self, config: &mut TrainConfig) -> Result<(), SuccessorError> {
        let (epochs, _) = self.epochs()?;
        let is_known = limit(config, epochs, self.checkpoint.state.earlier_epochs);
        if is_known { Ok(()) } else { Err(SuccessorError::Stages { run: self.run.root.clone() }) }
    }

    /// The run whose weights this one started from, where it lay then.
    ///
    /// # Errors
    /// `inputs.json` can't be read.
    pub fn parent(&self) -> Result<Option<Input>, SuccessorError> {
        Ok(Inputs::read(&self.run)?.and_then(|inputs| inputs.start.parent))
    }

    /// The run itself, as what another training takes weights from.
    ///
    /// # Errors
    /// The path can't be made absolute.
    pub fn input(&self) -> Result<Input, SuccessorError> {
        Ok(Input::new(&self.run.root, &self.checkpoint.hash)?)
    }

    /// Where the values of `config` come from, which was made of this run's with `sets`: what the run says of them, and
    /// [`Origin::Run`] of those that were changed.
    ///
    /// # Errors
    /// A configuration can't be written.
    pub fn origins(
        &self,
        config: &Config,
        sets: &[String],
    ) -> Result<BTreeMap<String, Origin>, SuccessorError> {
        let text = std::fs::read_to_string(self.run.origins()).unwrap_or_default();
        // Of an imported run nothing is known.
        let recorded: BTreeMap<String, Origin> = serde_json::from_str(&text).unwrap_or_default();
        let (then, now) = (self.checkpoint.config.leaves()?, config.leaves()?);
        let origin = |(key, value): (String, String)| {
            let is_set = sets.iter().any(|set| set.split('=').next() == Some(key.as_str()));
            let own = recorded.get(&key).copied().unwrap_or(Origin::Default);
            let is_same = then.get(&key) == Some(&value);
            (
                key,
                if is_set {
                    Origin::Set
                } else if is_same {
                    own
                } else {
                    Origin::Run
                },
            )
        };
        Ok(now.into_iter().map(origin).collect())
    }

    /// The configuration of the training, with `name` and the folder of this run as the place of another one.
    pub fn config(&self, name: Option<&str>, ending: &str) -> Config {
        let mut config = self.checkpoint.config.clone();
        config.run.name = name.map_or_else(|| format!("{}-{ending}", config.run.name), str::to_owned);
        let folder = self.run.root.parent().filter(|folder| !folder.as_os_str().is_empty());
        config.run.dir = folder.map_or_else(|| ".".into(), Path::to_owned);
        config
    }
}

/// Where a run lies that a configuration names: where it was, unless it has moved along with the training.
pub(super) fn place<'a>(named: &'a Path, recorded: Option<&'a Input>) -> &'a Path {
    recorded.map(|run| run.path.as_path()).filter(|path| path.exists()).unwrap_or(named)
}

/// Ends the last stage after `epochs`, and those before it after `earlier_epochs` together; whether that tells how long each
/// of them was.
fn limit(config: &mut TrainConfig, epochs: usize, earlier_epochs: usize) -> bool {
    config.stop_after = if epochs == config.epochs { 0 } else { epochs };
    let Some((_, earlier)) = config.stages.split_last_mut() else { return true };
    let planned: usize = earlier.iter().map(StageConfig::trained_epochs).sum();
    match earlier {
        _ if planned == earlier_epochs => true,
        [only] => {
            only.stop_after = earlier_epochs;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_end_where_they_did_as_far_as_that_is_known() {
        let stages = |epochs: &[usize]| TrainConfig {
            epochs: 9,
            stages: epochs.iter().map(|&epochs| StageConfig { epochs, ..StageConfig::default() }).collect(),
            ..TrainConfig::default()
        };
        let stops = |mut config: TrainConfig, epochs, earlier| {
            let known = limit(&mut config, epochs, earlier);
            let stages: Vec<usize> = config.stages.iter().map(|stage| stage.stop_after).collect();
            known.then_some((config.stop_after, stages))
        };
        assert_eq!(stops(stages(&[]), 9, 0), Some((0, vec![])));
        assert_eq!(stops(stages(&[]), 4, 0), Some((4, vec![])));
        assert_eq!(stops(stages(&[3, 0]), 4, 3), Some((4, vec![0, 0])));
        assert_eq!(stops(stages(&[3, 0]), 4, 2), Some((4, vec![2, 0])));
        assert_eq!(stops(stages(&[3, 5, 0]), 9, 8), Some((0, vec![0, 0, 0])));
        assert_eq!(stops(stages(&[3, 5, 0]), 9, 7), None);
    }
}

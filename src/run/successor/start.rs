//! What a training takes from finished runs before its first step.

use std::collections::BTreeMap;
use std::path::Path;

use super::chosen::{Chosen, place};
use super::error::SuccessorError;
use super::warm::{Warm, warm_start};
use crate::model::ensemble::WEIGHTS;
use crate::systems::AnySystem;
use crate::train::Training;
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::inputs::{Input, Start};
use crate::train::run_dir::RunDir;

/// What a training took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Started {
    /// Absent where it begins with random weights.
    pub warm: Option<Warm>,
    /// The runs, for `inputs.json`.
    pub start: Start,
}

impl Started {
    /// What was taken over, a line each.
    pub fn notes(&self) -> Vec<String> {
        let fitted = self.start.fitted_by.iter();
        let fitted =
            fitted.map(|run| format!("the ensemble's weights are those that {} fitted", run.path.display()));
        self.warm.iter().flat_map(Warm::notes).chain(fitted).collect()
    }

    /// What makes figures other than they seem, a line each.
    pub fn warnings(&self) -> Vec<String> {
        self.warm.iter().flat_map(Warm::warnings).collect()
    }
}

/// Gives `training`, a fresh one of `system`, what its configuration takes from finished runs: all weights of `train.parent`,
/// the ensemble's of `train.fitted_by`. `recorded` are the checkpoints that an earlier start of the same training took.
///
/// # Errors
/// As [`warm_start`]; or a run has not ended, has fitted nothing, or has lost the checkpoint.
pub fn start(
    system: &dyn AnySystem,
    training: &mut dyn Training,
    recorded: &Start,
) -> Result<Started, SuccessorError> {
    let warm = warm_start(system, training, recorded.parent.as_ref())?;
    let fitted_by = match &system.setup().config.train.fitted_by {
        Some(named) => Some(take_fitted(named, training, recorded.fitted_by.as_ref())?),
        None => None,
    };
    let parent = warm.as_ref().map(|warm| warm.parent.clone());
    Ok(Started { warm, start: Start { parent, fitted_by } })
}

fn take_fitted(
    named: &Path,
    training: &mut dyn Training,
    recorded: Option<&Input>,
) -> Result<Input, SuccessorError> {
    let root = place(named, recorded);
    let checkpoint = match recorded {
        None => Chosen::open(root)?.checkpoint,
        Some(recorded) => kept(root, recorded)?,
    };
    let Some(weights) = checkpoint.params.get(WEIGHTS) else {
        return Err(SuccessorError::NothingFitted { run: root.to_owned() });
    };
    training.take_fitted(BTreeMap::from([(WEIGHTS.to_owned(), weights.clone())])).map_err(Box::new)?;
    Ok(Input::new(root, &checkpoint.hash)?)
}

fn kept(root: &Path, recorded: &Input) -> Result<Checkpoint, SuccessorError> {
    let path = RunDir::new(root).kept(&recorded.hash);
    let path = path.ok_or_else(|| SuccessorError::StartGone { parent: root.to_owned() })?;
    Ok(checkpoint::load(&path)?)
}

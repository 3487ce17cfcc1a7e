//! A training with all that a finished run chose, on more interactions.
//!
//! It has as many epochs as the chosen checkpoint: every interaction is seen as often as it was, and the optimiser takes
//! more steps in the proportion in which there are more samples. Learning rate and warm-up are the same functions of the
//! share of the schedule that is done, and the schedule breaks off where the chosen training did.

use std::sync::Arc;

use burn::tensor::Device;

use super::chosen::Chosen;
use super::error::SuccessorError;
use crate::config::{Config, EnsembleWeights, TrainParts};
use crate::systems::{self, AnySystem};
use crate::train::inputs::{self, Asked, Found, Input, Start};
use crate::train::setup::Setup;

/// A refit that is ready to be trained.
pub struct Refit {
    pub system: Arc<dyn AnySystem>,
    /// What was found about the inputs of the run.
    pub found: Found,
    /// What it takes weights from: the run that the finished one started from, and the finished one where it fitted the weights
    /// of the ensemble.
    pub start: Start,
}

/// What a refit of `chosen` on `parts` is trained as; `config` is the run's with another place ([`Chosen::config`]).
///
/// # Errors
/// The run was imported, its inputs are absent or changed, or they can't be trained on in that way.
pub fn refit(
    chosen: &Chosen,
    mut config: Config,
    parts: TrainParts,
    asked: &Asked,
    device: &Device,
) -> Result<Refit, SuccessorError> {
    let (_, steps_then) = chosen.epochs()?;
    chosen.limit(&mut config.train)?;
    config.data.train_parts = parts;
    config.train.patience = 0;
    let is_fitted = config.model.ensemble.weights == EnsembleWeights::Fitted;
    let fitted_by = if is_fitted { Some(chosen.input()?) } else { None };
    let start = Start { parent: chosen.parent()?, fitted_by };
    let path = |run: &Option<Input>| run.as_ref().map(|run| run.path.clone());
    (config.train.parent, config.train.fitted_by) = (path(&start.parent), path(&start.fitted_by));
    config.validate()?;
    let warmup = config.optim.warmup_steps as u64;
    let parents = &chosen.checkpoint.parents;
    let (mut setup, found) = inputs::open(&chosen.run.root, config, parents, asked, device)?;
    // A new run names its inputs by where they lie now.
    setup.named = setup.config.data.clone();
    // What the old run counted is of fewer interactions.
    setup.run = None;
    let mut system = systems::open(setup)?;
    if warmup > 0 {
        let steps_now = system.ended_training().map_err(Box::new)?.epoch_steps();
        let mut config = system.setup().config.clone();
        config.optim.warmup_steps = scaled(warmup, steps_now, steps_then) as usize;
        let accepted = system.setup().accepted.clone();
        let (accepts_changed, teachers) = (asked.accept_changed, found.teachers.clone());
        system =
            systems::open(Setup { accepted, accepts_changed, teachers, ..Setup::open(config, device)? })?;
    }
    Ok(Refit { system, found, start })
}

/// So many of `now` steps as `steps` are of `then`, to the nearest and at least one.
fn scaled(steps: u64, now: u64, then: u64) -> u64 {
    let then = then.max(1);
    ((steps * now + then / 2) / then).max(1)
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn a_warm_up_keeps_its_share_of_an_epoch() {
        assert_eq!(scaled(10, 30, 20), 15);
        assert_eq!(scaled(3, 31, 30), 3);
        assert_eq!(scaled(5, 13, 10), 7);
        assert_eq!(scaled(1, 1, 9), 1);
        assert_eq!(scaled(8, 20, 20), 8);
    }
}

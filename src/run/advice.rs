//! What to try after a training that learned less than counting tells.

use crate::config::{Config, Windows};
use crate::data::Dataset;
use crate::eval::Report;
use crate::systems::codistill::windows::{Cut, Unread};
use crate::train::checkpoint::RunState;

/// One line for a model that stays below a baseline that trains nothing; none for one that is above them all.
///
/// `run` is the run directory, as the command that goes on names it.
pub fn advise(
    config: &Config,
    dataset: &Dataset,
    state: &RunState,
    report: &Report,
    run: &str,
) -> Option<String> {
    let metric = &config.train.metric;
    let (baseline, figure, model) = report.unbeaten_baseline(metric)?;
    let mut ways = Vec::new();
    // The last evaluation is the best one: the training was cut off while it still learned.
    if state.best.is_some_and(|(_, step)| step == state.step) {
        let epochs = config.train.epochs * 2;
        ways.push(format!("more epochs (`codistill train --resume {run} --set train.epochs={epochs}`)"));
    }
    let unread = Unread::new(&dataset.sequences, dataset.items.count(), Cut::new(&config.data)).share();
    if config.data.windows == Windows::Last && unread > UNREAD {
        ways.push(format!(
            "data.windows=all ({:.0} % of the training interactions stand in no window)",
            100.0 * unread
        ));
    }
    let lr = config.optim.lr;
    ways.push(format!(
        "another optim.lr than {lr:e}, e.g. {:.0e} and {:.0e}, or `codistill tune`",
        lr * 3.0,
        lr / 3.0
    ));
    Some(format!(
        "the model is not above {baseline}, which trains nothing: test {metric} {model:.4} against {figure:.4}; try {}",
        ways.join(", ")
    ))
}

/// Share of training interactions outside all windows from which on it is worth a word.
const UNREAD: f64 = 0.1;

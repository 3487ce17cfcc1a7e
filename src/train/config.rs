//! Settings of a run's place and of the training loop, and their rules.

use std::path::PathBuf;

use crate::config::rules::{Checked, check_minimum, check_name, invalid, positive};
use crate::{choice, section};

section! {
    /// Where the run's files go.
    #[facts(KeptOnResume, Unsearched, Idle)]
    pub struct RunConfig {
        /// Name of the run and of its directory: up to 64 letters a-z, digits, `.`, `_` or `-`. Empty: the stem of
        /// the configuration file.
        pub name: String = String::new(),
        /// Folder that holds the run directories, relative to the current directory.
        pub dir: PathBuf = "checkpoints".into(),
    }
}

choice! {
    /// Whose figures have to stop rising before a training ends early.
    pub enum PatienceOf {
        /// `metric` alone.
        Metric = "metric",
        /// `metric` and the same figure of every branch: an ensemble that a memory carries stands still for a while, and rises
        /// once its branches have learned what the memory does not know.
        Branches = "branches",
    }
}

section! {
    /// The training loop.
    pub struct TrainConfig {
        /// B: windows (users) per micro-batch, from 2 on; 0: as many, from 16 to 128, as hold about 1024 inputs by the mean
        /// length of the data set's windows. In-batch negatives come from the micro-batch alone.
        pub batch_users: usize = 128,
        /// Micro-batches whose gradients are averaged before one optimiser step, from 1 on. ODMT's two GPUs are 2.
        pub accumulate: usize = 1,
        /// Passes over the training windows, from 1 on.
        #[facts(Resumable, Unsearched, Unlisted)]
        pub epochs: usize = 30,
        /// Epochs after which the training ends, though the schedule of the learning rate goes on to `epochs`; `train --refit`
        /// sets it to those of the chosen checkpoint. 0: with the schedule.
        #[facts(Resumable, Unsearched, Unlisted)]
        #[serde(skip_serializing_if = "is_zero")]
        pub stop_after: usize = 0,
        /// The model is evaluated on the validation part every so many epochs, from 1 on, and always after the last.
        #[facts(Unlisted)]
        pub eval_every: usize = 1,
        /// Training stops after so many evaluations without a better `metric`; 0 never stops early.
        #[facts(Resumable, Unlisted)]
        pub patience: usize = 5,
        /// What `patience` waits for.
        #[facts(Resumable, Unlisted)]
        pub patience_of: PatienceOf = PatienceOf::Metric,
        /// Validation figure that picks the best checkpoint: a branch or `ensemble`, then `recall`, `ndcg` or `mrr`
        /// at a cut-off of `eval.ks`, e.g. `ensemble/ndcg@10`.
        #[facts(Unsearched)]
        pub metric: String = "ensemble/ndcg@10".into(),
        /// Checkpoints are also written every so many optimiser steps; 0 writes them after epochs only.
        #[facts(Resumable, Idle)]
        pub checkpoint_steps: usize = 0,
        /// Checkpoints kept besides the best one, from 1 on.
        #[facts(Resumable, Idle)]
        pub keep: usize = 2,
        /// Batches prepared ahead of the step that runs; 0 counts as 1.
        #[facts(Resumable, Idle)]
        pub prefetch: usize = 2,
        /// Work that need not be done.
        pub savings: SavingsConfig = SavingsConfig::default(),
        /// Finished run whose weights the training starts from, relative to the current directory; `train --continue` sets it.
        /// Items keep their ID vectors by their ids. Absent: random weights.
        #[facts(Unsearched, Unlisted)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub parent: Option<PathBuf> = None,
        /// Finished run whose fitted weights of the ensemble are taken where there is no validation part to fit them on,
        /// relative to the current directory; `train --refit` sets it.
        #[facts(Unsearched, Unlisted)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub fitted_by: Option<PathBuf> = None,
        /// Stages of the training, one after the other. Without any, there is one in which everything learns.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub stages: Vec<StageConfig> = Vec::new(),
    }
}

section! {
    /// A stage of the training: some epochs in which some parameters stay as they are and some loss terms count.
    pub struct StageConfig {
        /// Name in messages; empty: its number.
        pub name: String = String::new(),
        /// Epochs of the stage, from 1 on. The last stage has `train.epochs` and states none.
        pub epochs: usize = 0,
        /// Epochs after which the stage ends, though its schedule goes on to `epochs`; 0: with the schedule. The last stage has
        /// `train.stop_after` and states none.
        #[serde(skip_serializing_if = "is_zero")]
        pub stop_after: usize = 0,
        /// Patterns of the names of parameters that stay as they are, e.g. `views.*`; `*` stands for any characters.
        pub freeze: Vec<String> = Vec::new(),
        /// Loss terms that count, e.g. `in_batch` without `distill`; empty: all of them.
        pub terms: Vec<String> = Vec::new(),
        /// Learning rate in place of `optim.lr`. Each stage has warm-up and schedule of its own.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub lr: Option<f64> = None,
    }
}

section! {
    /// Work that need not be done. Without dropout the result stays as it is, up to rounding; with dropout, the copies of an
    /// item share one mask under `distinct_items`, so that each has the same expectation and their joint distribution
    /// differs. It is switched off to check that.
    #[facts(Benched, Unlisted)]
    pub struct SavingsConfig {
        /// Each distinct item of a batch is encoded once. Off: once per occurrence, each with dropout of its own, as
        /// ODMT's authors do.
        pub distinct_items: bool = true,
        /// Items are grouped by token count, and histories by length, into at most so many dense groups, from 1 on;
        /// 1 pads all of them to the longest.
        pub length_groups: usize = 4,
        /// The last block of the tower computes only the tokens that branches read.
        pub readout_queries: bool = true,
    }
}

fn check_stop(key: &str, stop_after: usize, epochs: usize) -> Checked {
    if stop_after <= epochs {
        return Ok(());
    }
    let reason = format!("= {stop_after} lies behind the {epochs} epochs of the schedule");
    Err(invalid(key, reason).with_hint("raise the epochs, or set it to 0 to end with them"))
}

impl RunConfig {
    pub(crate) fn validate(&self) -> Checked {
        if !self.name.is_empty() {
            check_name("run.name", &self.name, "._-")?;
        }
        if self.dir.as_os_str().is_empty() {
            return Err(invalid("run.dir", "is empty").with_hint("write \".\" for the current directory"));
        }
        Ok(())
    }
}

/// For what is written only where it says something.
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Epochs of a stage whose schedule has `epochs`, where it may end before.
pub(crate) fn trained_epochs(epochs: usize, stop_after: usize) -> usize {
    if stop_after == 0 { epochs } else { epochs.min(stop_after) }
}

impl StageConfig {
    /// Epochs of the stage, unless it is the last one.
    pub(crate) fn trained_epochs(&self) -> usize {
        trained_epochs(self.epochs, self.stop_after)
    }
}

impl TrainConfig {
    /// Epochs of the last stage, or of the whole training where there is one.
    pub fn last_epochs(&self) -> usize {
        trained_epochs(self.epochs, self.stop_after)
    }

    /// Epochs of all stages together.
    pub fn total_epochs(&self) -> usize {
        // The last stage states none: its epochs are `epochs`.
        self.last_epochs() + self.stages.iter().map(StageConfig::trained_epochs).sum::<usize>()
    }

    pub(crate) fn validate(&self) -> Checked {
        // One user alone has no negatives: everything in its batch is its own history.
        if self.batch_users != 0 {
            check_minimum("train.batch_users", self.batch_users, 2)?;
        }
        check_minimum("train.accumulate", self.accumulate, 1)?;
        check_minimum("train.epochs", self.epochs, 1)?;
        check_stop("train.stop_after", self.stop_after, self.epochs)?;
        check_minimum("train.eval_every", self.eval_every, 1)?;
        check_minimum("train.keep", self.keep, 1)?;
        check_minimum("train.savings.length_groups", self.savings.length_groups, 1)?;
        for (key, run) in [("train.parent", &self.parent), ("train.fitted_by", &self.fitted_by)] {
            if run.as_ref().is_some_and(|run| run.as_os_str().is_empty()) {
                return Err(invalid(key, "is empty").with_hint("remove it, or name a run directory"));
            }
        }
        self.check_stages()
    }

    fn check_stages(&self) -> Checked {
        let last = self.stages.len().saturating_sub(1);
        for (n, stage) in self.stages.iter().enumerate() {
            let key = |key: &str| format!("train.stages.{n}.{key}");
            if n < last {
                check_minimum(&key("epochs"), stage.epochs, 1)?;
                check_stop(&key("stop_after"), stage.stop_after, stage.epochs)?;
            } else if stage.stop_after > 0 {
                return Err(invalid(
                    &key("stop_after"),
                    "does nothing: the last stage ends as the training does",
                )
                .with_hint("set train.stop_after"));
            } else if stage.epochs > 0 {
                return Err(invalid(
                    &key("epochs"),
                    "does nothing: the last stage has the epochs of the training",
                )
                .with_hint("set train.epochs"));
            }
            if let Some(lr) = stage.lr {
                positive(&key("lr"), lr)?;
            }
        }
        Ok(())
    }
}

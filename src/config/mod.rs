//! What a run is: all sections of the configuration together, and where each value comes from.
//!
//! A section lives with the module that reads it (`train/config.rs`, `model/config.rs` and so on), with its defaults,
//! its rules and the facts of its keys; [`section`] says how one is written. Here they are put together, read from a
//! file with what the command line changes, and checked against each other.
//!
//! A file states only what differs from the defaults. Unknown keys are errors. Branches, views and
//! distillation pairs are lists: one ID branch without tower and pairs *is* SASRec; three branches
//! without tower are late fusion; three branches, tower and pairs are ODMT.
//!
//! Reading order: `section`, then `load` (file → [`Config`]) with `keys` (which exist) and `sets` (`--set`),
//! `validate` over `rules`, `facts` (which keys a command may change), `reduce`.

mod error;
mod facts;
mod keys;
mod leaves;
mod load;
mod nearest;
mod reduce;
pub(crate) mod rules;
pub mod section;
mod sets;
mod validate;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod schema;

pub(crate) use error::one_line;
pub use error::{ConfigError, Place};
pub use facts::{has_fact, keys_with};
pub use leaves::{Leaves, flatten};
pub use load::{Loaded, Origin, RECOMMENDED_NAME, load, load_on, load_recommended, parse};
pub(crate) use nearest::nearest;
pub use reduce::Dropped;

pub use crate::data::config::{ColdConfig, ColdId, DataConfig, TrainParts, Windows};
pub use crate::eval::config::{EvalConfig, HistoryRule, METRICS, TieRule};
pub use crate::features::config::{Replace, ReplaceKind};
pub use crate::memory::config::MemoryConfig;
pub use crate::model::config::{
    BranchConfig, ENSEMBLE, EnsembleConfig, EnsembleWeights, IdVisibility, ModelConfig, TokensRead,
    TowerConfig,
};
pub use crate::model::encoder::{EncoderConfig, Gru4recConfig, NextitnetConfig, SasrecConfig};
pub use crate::model::view::{IdInit, ViewConfig, ViewKind};
pub use crate::monitor::config::MonitorConfig;
pub use crate::objective::config::{
    Draw, NegativesConfig, ObjectiveConfig, ObjectiveKind, Shared, TermConfig,
};
pub use crate::objective::distill_config::{DistillConfig, DistillPair, Divergence, Teacher, TeacherConfig};
pub use crate::synth::config::SynthConfig;
pub use crate::systems::config::SystemConfig;
pub use crate::train::config::{PatienceOf, RunConfig, SavingsConfig, StageConfig, TrainConfig};
pub use crate::train::optim_config::{Decay, GroupConfig, IdTable, OptimConfig, Schedule};

crate::section! {
    /// The whole configuration of one training run.
    pub struct Config {
        /// Seed of every random draw, up to 2⁶³ - 1: each is a function of it, the epoch and the step.
        #[facts(Replicate, Benched)]
        pub seed: u64 = 1,
        /// `auto`, `cpu`, `wgpu` or `wgpu:N` with the number of a GPU; `--device` overrides it. `auto` takes a GPU
        /// where there is one.
        #[facts(KeptOnResume, Unsearched, Idle)]
        pub device: String = "auto".into(),
        /// Where the run's files go.
        pub run: RunConfig = RunConfig::default(),
        /// Which system is trained.
        #[serde(skip_serializing_if = "SystemConfig::is_default")]
        pub system: SystemConfig = SystemConfig::default(),
        /// Which data set, and how sequences are cut from it.
        pub data: DataConfig = DataConfig::default(),
        /// Views of an item, the tower that mixes them, and the branches that learn from them.
        #[facts(Workload)]
        pub model: ModelConfig = ModelConfig::default(),
        /// What every branch is trained on, and what branches teach each other.
        pub objective: ObjectiveConfig = ObjectiveConfig::default(),
        /// The optimiser.
        pub optim: OptimConfig = OptimConfig::default(),
        /// The training loop.
        pub train: TrainConfig = TrainConfig::default(),
        /// How models are judged.
        pub eval: EvalConfig = EvalConfig::default(),
        /// What is watched while a training runs.
        pub monitor: MonitorConfig = MonitorConfig::default(),
    }
}

//! What are text, pictures and IDs worth? A study of conditions, each the base configuration with something
//! taken away or replaced, trained under the same seeds on the same split (docs/studies.md, section 4).
//!
//! Three removals are told apart: *tokens* (features replaced, the branch kept: `X`, `N`, `K`), *branch* (`B`,
//! tokens kept), and *both* (`S`, the honest "modality removed", on which verdicts rest).
//!
//! Reading order: [`study`] (the file), [`condition`] and [`edit`] (what a condition does to a configuration), [`plan`],
//! [`cell`] (one training of the study, and where it stands), [`retune`] (hyper-parameters of each condition), [`knockout`] (conditions without a training),
//! [`gates`] (what makes a run a failure instead of a number), [`verdict`], [`report`], [`run()`] (a plan to its report, its
//! cells trained by a [`launch::Launcher`]), [`across`] (several studies). Figures, tests and pages are those of
//! [`crate::compare`].

pub mod across;
pub mod cell;
pub mod condition;
pub mod edit;
mod error;
pub mod gates;
pub mod knockout;
pub mod launch;
mod load;
pub mod plan;
pub mod report;
pub mod retune;
pub mod run;
#[cfg(test)]
mod run_tests;
pub mod study;
pub mod verdict;

pub use cell::{Cell, State};
pub use condition::{Condition, Preset, Views};
pub use error::StudyError;
pub use launch::{Ended, Job, Launcher, Processes};
pub use plan::Plan;
pub use retune::Retune;
pub use run::{Event, Outcome, Request, run};
pub use study::{OnFault, Study};

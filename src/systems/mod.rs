//! Trainable systems, and the registry that finds them by the `system.kind` of a configuration.
//!
//! A system is one file or folder here that implements [`System`], and one line in `BUILT_IN`. A program that uses the
//! library adds its own with [`register`]; training, resuming, evaluation and export then work as for the others.

pub mod codistill;
pub mod config;

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use burn::module::Module;

pub use self::codistill::CoDistill;
use crate::data::{Choice, Part};
use crate::eval::{Evaluation, ScoreError, Scorer};
use crate::features::FeatureStore;
use crate::params::{self, Values};
use crate::train::checkpoint::{Checkpoint, CheckpointError};
use crate::train::inputs::{Inputs, InputsError};
use crate::train::setup::{Setup, SystemError};
use crate::train::system::{Notices, System, TeacherRun, Unused};
use crate::train::trainer::{TrainError, Trainer, Training};

/// A registered system.
#[derive(Clone, Copy)]
struct Entry {
    kind: &'static str,
    open: fn(Setup) -> Result<Arc<dyn AnySystem>, SystemError>,
}

const fn entry<S: System>(kind: &'static str) -> Entry {
    Entry { kind, open: |setup| Ok(Arc::new(Opened::<S> { system: Arc::new(S::open(setup)?) })) }
}

/// The systems of this crate: one line each.
const BUILT_IN: [Entry; 1] = [entry::<CoDistill>("codistill")];

static REGISTERED: RwLock<Vec<Entry>> = RwLock::new(Vec::new());

/// Makes `S` the system of configurations with `system.kind = kind`, in this process. A later registration of the same
/// kind takes the place of an earlier one.
pub fn register<S: System>(kind: &'static str) {
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    registered.retain(|entry| entry.kind != kind);
    registered.push(entry::<S>(kind));
}

/// Opens the system that `setup.config.system` names.
///
/// # Errors
/// There is none of that kind, or it can't be opened.
pub fn open(setup: Setup) -> Result<Arc<dyn AnySystem>, SystemError> {
    let kind = &setup.config.system.kind;
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner).clone();
    let mut all = registered.into_iter().chain(BUILT_IN);
    let Some(entry) = all.find(|entry| entry.kind == kind) else {
        let (kind, known) = (kind.clone(), kinds());
        return Err(SystemError::Unknown { kind, known });
    };
    (entry.open)(setup)
}

/// The kinds of all systems that there are.
pub fn kinds() -> Vec<String> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    let mut kinds: Vec<String> =
        registered.iter().chain(&BUILT_IN).map(|entry| entry.kind.to_owned()).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// A system whose type is known at run time only.
pub trait AnySystem: Send + Sync {
    /// The [`System`] itself, for code that needs a certain one.
    fn as_any(&self) -> &dyn Any;

    fn setup(&self) -> &Setup;

    /// A fresh training. Nothing is written before it runs.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    fn training<'a>(&'a self) -> Result<Box<dyn Training + 'a>, TrainError>;

    /// A training that is to be resumed though nothing is left of it.
    ///
    /// # Errors
    /// As [`Trainer::ended`].
    fn ended_training<'a>(&'a self) -> Result<Box<dyn Training + 'a>, TrainError>;

    /// The model with the parameters of `checkpoint`, which lies at `path`.
    ///
    /// # Errors
    /// They don't fit.
    fn fitted(&self, path: &Path, checkpoint: &Checkpoint) -> Result<Box<dyn AnyFitted>, CheckpointError>;

    /// What the system, whose run lies at `run`, reads and where; teachers among it once a training was made.
    ///
    /// # Errors
    /// As [`Inputs::new`].
    fn inputs(&self, run: &Path) -> Result<Inputs, InputsError>;

    /// As [`System::keep`].
    ///
    /// # Errors
    /// It can't be written.
    fn keep(&self, run: &Path) -> Result<(), SystemError>;

    /// Reads every feature store once and compares it with its hashes.
    ///
    /// # Errors
    /// A store is not what was written.
    fn verify_features(&self) -> Result<(), SystemError>;

    /// What a training can't learn from these data.
    fn notices(&self) -> Notices;

    /// How much of the data a training makes no use of.
    fn unused(&self) -> Unused;

    /// Samples of an epoch and what they are called.
    fn samples(&self) -> (usize, &'static str);

    /// Runs that teach, once a training was made.
    fn teachers(&self) -> Vec<TeacherRun>;
}

/// What a user should know before a training of `system`: what it can't learn from its data, or be judged by.
pub fn notices(system: &dyn AnySystem) -> Notices {
    let mut notices = system.notices();
    notices.warnings.extend(system.setup().hidden_targets(Part::Valid).warning());
    notices
}

/// A trained model with its system, whose type is known at run time only.
pub trait AnyFitted: Send {
    /// The [`Fitted`] itself, for code that needs a certain system.
    fn as_any(&self) -> &dyn Any;

    /// The [`Fitted`] itself, to keep.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;

    fn setup(&self) -> &Setup;

    /// Scores of the model.
    fn scorer(&self) -> Box<dyn Scorer + '_>;

    /// Metrics on the targets of `part`, where the items of `choice`, or all, are candidates.
    ///
    /// # Errors
    /// The scorer failed, or `part` has no targets among the candidates.
    fn evaluate(&self, part: Part, choice: Option<&Choice>) -> Result<Evaluation, ScoreError>;

    /// Entries of all parameters.
    fn parameters(&self) -> usize;

    /// Parameters as they are exported, by name.
    fn weights(&self) -> BTreeMap<String, Values>;

    /// Vectors of all items, `[I + 1, D]` with padding first, by the name of what makes them.
    fn item_vectors(&self) -> Vec<(String, Values)>;

    /// Feature stores that the model reads, by view.
    fn features(&self) -> Vec<(&str, &Arc<FeatureStore>)>;
}

/// A trained model with its system.
pub struct Fitted<S: System> {
    pub system: Arc<S>,
    /// On the plain device.
    pub model: S::Model,
}

/// [`AnySystem`] of one type.
struct Opened<S: System> {
    system: Arc<S>,
}

impl<S: System> AnySystem for Opened<S> {
    fn as_any(&self) -> &dyn Any {
        self.system.as_ref()
    }

    fn setup(&self) -> &Setup {
        self.system.setup()
    }

    fn training<'a>(&'a self) -> Result<Box<dyn Training + 'a>, TrainError> {
        Ok(Box::new(Trainer::new(self.system.as_ref())?))
    }

    fn ended_training<'a>(&'a self) -> Result<Box<dyn Training + 'a>, TrainError> {
        Ok(Box::new(Trainer::ended(self.system.as_ref())?))
    }

    fn fitted(&self, path: &Path, checkpoint: &Checkpoint) -> Result<Box<dyn AnyFitted>, CheckpointError> {
        let model = checkpoint.restore(path, self.system.new_model())?.valid();
        Ok(Box::new(Fitted { system: Arc::clone(&self.system), model }))
    }

    fn inputs(&self, run: &Path) -> Result<Inputs, InputsError> {
        Inputs::new(self.system.as_ref(), run)
    }

    fn keep(&self, run: &Path) -> Result<(), SystemError> {
        self.system.keep(run)
    }

    fn verify_features(&self) -> Result<(), SystemError> {
        self.system.verify_features()
    }

    fn notices(&self) -> Notices {
        self.system.notices()
    }

    fn unused(&self) -> Unused {
        self.system.unused()
    }

    fn samples(&self) -> (usize, &'static str) {
        (self.system.samples(), self.system.samples_name())
    }

    fn teachers(&self) -> Vec<TeacherRun> {
        self.system.teachers()
    }
}

impl<S: System> AnyFitted for Fitted<S> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn setup(&self) -> &Setup {
        self.system.setup()
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        self.system.scorer(&self.model)
    }

    fn evaluate(&self, part: Part, choice: Option<&Choice>) -> Result<Evaluation, ScoreError> {
        self.system.evaluate(&self.model, part, choice)
    }

    fn parameters(&self) -> usize {
        self.model.num_params()
    }

    fn weights(&self) -> BTreeMap<String, Values> {
        self.system.export_names(params::read(&self.model))
    }

    fn item_vectors(&self) -> Vec<(String, Values)> {
        self.system.item_vectors(&self.model)
    }

    fn features(&self) -> Vec<(&str, &Arc<FeatureStore>)> {
        self.system.features()
    }
}

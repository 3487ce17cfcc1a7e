//! What the trainer asks of a system.
//!
//! A system is a model with all that it learns from. The trainer, the optimiser, checkpoints and evaluation know it by
//! these traits alone, so that a further system is one file under `systems` and one line in its registry.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::checkpoint::Parents;
use super::gradients::{Gradient, Gradients, RowGradient};
use super::losses::{DeviceLosses, Losses};
pub use super::phase::Phase;
use super::setup::{Setup, SystemError};
use crate::data::{Choice, Part};
use crate::eval::{Evaluation, ScoreError, Scorer};
use crate::features::FeatureStore;
use crate::ops::Noise;
use crate::params::{self, Values};

/// The place of a micro-batch in a run. With the seed it decides all that is random about the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub epoch: usize,
    /// From 0, within the epoch. Where several processes train together, this is step × processes + rank.
    pub index: usize,
}

/// Something with losses: all that an optimiser step needs to know.
pub trait Learner {
    type Model: Module;
    type Batch;

    /// Losses of a micro-batch.
    fn losses(&self, model: &Self::Model, batch: &Self::Batch, phase: Phase<'_>) -> Losses;
}

/// Losses of a micro-batch and the gradients of their total, without waiting for the device.
pub fn gradients<L: Learner>(
    learner: &L,
    model: &L::Model,
    batch: &L::Batch,
    phase: Phase<'_>,
) -> (DeviceLosses, Gradients) {
    let mut losses = learner.losses(model, batch, phase);
    let mut grads = losses.total.backward();
    let dense = params::gradients(model, &mut grads).into_iter();
    let mut found: Gradients = dense.map(|(name, grad)| (name, Gradient::Dense(grad))).collect();
    for rows in std::mem::take(&mut losses.rows) {
        if let Some(values) = rows.values.grad_remove(&mut grads) {
            found.insert(rows.table, Gradient::Rows(RowGradient { rows: rows.rows, values }));
        }
    }
    (DeviceLosses::new(losses.total.clone(), losses), found)
}

/// How much a micro-batch holds, for speeds and plans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchSize {
    /// Items that are encoded.
    pub items: usize,
    /// Inputs that are not padding.
    pub positions: usize,
    /// Samples: windows of users, pairs, rows of a table.
    pub samples: usize,
}

impl std::iter::Sum for BatchSize {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), |sum, size| Self {
            items: sum.items + size.items,
            positions: sum.positions + size.positions,
            samples: sum.samples + size.samples,
        })
    }
}

/// The numbers below `samples` in the order of `epoch`: a pure function of (seed, epoch).
pub fn shuffled(samples: usize, seed: u64, epoch: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..samples as u32).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(Noise::key(seed, epoch as u64, u64::MAX, 0)));
    order
}

/// What a user should know of a data set before a training on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    pub warnings: Vec<String>,
    pub notes: Vec<String>,
}

/// A finished run whose model teaches in a training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TeacherRun {
    /// Its name in the configuration.
    pub name: String,
    /// Run directory.
    pub run: PathBuf,
    /// Optimiser step of the checkpoint that teaches: its best one when the training began.
    pub step: u64,
    /// Content hash of that checkpoint.
    pub hash: String,
}

impl fmt::Display for TeacherRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, step {})", self.name, self.run.display(), self.step)
    }
}

/// What a training makes no use of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unused {
    /// Items without any content features.
    pub items_without_content: usize,
    /// Items with training events of which no sample reads one.
    pub items: usize,
    /// Share of the training events that no sample reads.
    pub events_share: f64,
}

/// A trainable system, opened on a data set.
pub trait System: Learner<Batch: Send> + Sized + Send + Sync + 'static {
    /// Opens the system that `setup.config` describes.
    ///
    /// # Errors
    /// The configuration does not fit the data, or something that it names can't be read.
    fn open(setup: Setup) -> Result<Self, SystemError>;

    /// Data set, configuration and device.
    fn setup(&self) -> &Setup;

    /// Feature stores that the system reads, by the view that reads them. Checkpoints record their hashes.
    fn features(&self) -> Vec<(&str, &Arc<FeatureStore>)> {
        Vec::new()
    }

    /// Opens the runs that teach in a training, which a trained model needs no longer. The trainer asks before it asks
    /// for anything of a training.
    ///
    /// # Errors
    /// One is no finished run, or can't teach this system.
    fn open_teachers(&self) -> Result<(), SystemError> {
        Ok(())
    }

    /// The runs that [`Self::open_teachers`] has opened. Checkpoints record their hashes.
    fn teachers(&self) -> Vec<TeacherRun> {
        Vec::new()
    }

    /// A model with fresh weights on the device's autodiff twin: a pure function of the seed and the shapes.
    fn new_model(&self) -> Self::Model;

    /// Keeps in the directory `run` what was counted for a training and would else be counted each time the run is opened.
    ///
    /// # Errors
    /// It can't be written.
    fn keep(&self, _run: &Path) -> Result<(), SystemError> {
        Ok(())
    }

    /// Samples of an epoch.
    fn samples(&self) -> usize;

    /// What [`Self::samples`] counts, in the plural.
    fn samples_name(&self) -> &'static str {
        "samples"
    }

    /// Micro-batches of an epoch; the last may be short.
    fn batches(&self) -> usize {
        self.samples().div_ceil(self.setup().batch_users())
    }

    /// The order of the samples in `epoch`: a pure function of (seed, epoch).
    fn order(&self, epoch: usize) -> Vec<u32> {
        shuffled(self.samples(), self.setup().config.seed, epoch)
    }

    /// The micro-batch at `place` of an epoch whose order is given: a pure function of (seed, place).
    fn batch(&self, order: &[u32], place: Place) -> Self::Batch;

    /// Names of the loss terms, which a stage of the training may choose from.
    fn terms(&self) -> Vec<String> {
        Vec::new()
    }

    /// What is in a micro-batch.
    fn size(&self, batch: &Self::Batch) -> BatchSize;

    /// Bytes that a training step needs for a model of so many parameters, if the system can tell.
    fn memory(&self, _batch: &Self::Batch, parameters: usize) -> u64 {
        // Values, gradients and two moments.
        4 * 4 * parameters as u64
    }

    /// Parameters under the names that an export has for them.
    fn export_names(&self, parameters: BTreeMap<String, Values>) -> BTreeMap<String, Values> {
        parameters
    }

    /// Vectors of all items under a trained model, `[I + 1, D]` with padding first, by the name of what makes them. None
    /// where the system has no such vectors.
    fn item_vectors(&self, _model: &Self::Model) -> Vec<(String, Values)> {
        Vec::new()
    }

    /// Scores of a trained model, whose parameters lie on the plain device.
    fn scorer<'a>(&'a self, model: &'a Self::Model) -> Box<dyn Scorer + 'a>;

    /// The model with all that is fitted on the validation part instead of trained. The trainer asks before it judges a model
    /// there; validation figures must stay honest all the same.
    ///
    /// # Errors
    /// The model can't be scored.
    fn fitted(&self, model: Self::Model) -> Result<Self::Model, ScoreError> {
        Ok(model)
    }

    /// Metrics of a trained model on the targets of `part`, where the items of `choice`, or all, are candidates.
    ///
    /// # Errors
    /// The scorer failed, or `part` has no targets among the candidates.
    fn evaluate(
        &self,
        model: &Self::Model,
        part: Part,
        choice: Option<&Choice>,
    ) -> Result<Evaluation, ScoreError> {
        self.setup().evaluate(self.scorer(model).as_mut(), part, choice)
    }

    /// Fails where there is nothing to train on; a trained model can be used all the same.
    ///
    /// # Errors
    /// No sample can be made of the training part.
    fn check_samples(&self) -> Result<(), SystemError> {
        if self.samples() == 0 { Err(SystemError::NoSamples) } else { Ok(()) }
    }

    /// What a training can't learn from these data.
    fn notices(&self) -> Notices {
        Notices::default()
    }

    /// How much of the data a training makes no use of.
    fn unused(&self) -> Unused {
        Unused::default()
    }

    /// Hashes of all that the system reads.
    fn parents(&self) -> Parents {
        let features = self.features();
        let hashes = features.into_iter().map(|(view, store)| (view.to_owned(), store.hash().to_owned()));
        let teachers = self.teachers().into_iter().map(|teacher| (teacher.name, teacher.hash));
        Parents {
            dataset: self.setup().dataset.hash.clone(),
            features: hashes.collect(),
            teachers: teachers.collect(),
            start: None,
        }
    }

    /// Reads every feature store once and compares it with its hashes, which opening leaves out.
    ///
    /// # Errors
    /// A store is not what was written.
    fn verify_features(&self) -> Result<(), SystemError> {
        for (view, store) in self.features() {
            store.verify().map_err(|source| SystemError::Features { view: view.to_owned(), source })?;
        }
        Ok(())
    }
}

//! Trains, opens and serves runs: the entry points of programs.
//!
//! [`train`] makes a run from a configuration; [`Run::open`] opens one, [`crate::judge::judge`] judges it, [`Lists`] answers
//! requests with it, [`Run::export`] writes its weights for other programs.

pub mod advice;
pub mod data;
mod hparams;
mod lists;
pub mod plan;
mod session;
mod show;
pub mod successor;
pub mod watch;

use std::path::{Path, PathBuf};

use crate::artefact::ArtefactError;
use crate::config::{ConfigError, HistoryRule, TieRule};
use crate::device::{self, DeviceError, Opened};
use crate::eval::{Named, Report};
use crate::export::card::{self, Features};
use crate::export::{self, Export, ExportError};
use crate::judge::JudgeError;
use crate::lock::LockError;
use crate::synth::SynthError;
use crate::systems::{self, AnyFitted, CoDistill, Fitted};
use crate::train::checkpoint::{Checkpoint, CheckpointError};
use crate::train::inputs::{self, Asked, Found, InputsError};
use crate::train::run_dir::{RunDir, Which};
use crate::train::{Setup, SystemError, TrainError};

pub use lists::{Entry, ListError, Lists};
pub use session::{Finished, Judged, Session, train};
pub use successor::SuccessorError;

/// Why a run can't be trained, opened or used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The directory is no run, or its checkpoint is absent, damaged or doesn't fit its configuration; or a run or
    /// checkpoint can't be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Data set or features of a trained run are absent, damaged or other ones than it was trained on.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// The configuration does not fit its data, or names a system or term that this program lacks.
    #[error(transparent)]
    System(#[from] SystemError),
    /// There is no such device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Synth(#[from] SynthError),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// The run that a training starts from can't be started from.
    #[error(transparent)]
    Successor(#[from] successor::error::SuccessorError),
    #[error("{run} has item vectors that are no finite numbers")]
    NotFinite { run: PathBuf },
    #[error("{run} has item vectors of {width} entries; lists are ranked for at most {most}")]
    TooWide { run: PathBuf, width: usize, most: usize },
    #[error("{run} was trained by the system `{kind}`, which has no item and user vectors")]
    NoVectors { run: PathBuf, kind: String },
}

impl RunError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Checkpoint(e) => e.hint(),
            Self::Inputs(e) => e.hint(),
            Self::System(e) => e.hint(),
            Self::Device(e) => e.hint(),
            Self::Config(e) => e.hint(),
            Self::Synth(e) => e.hint(),
            Self::Artefact(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::Train(e) => e.hint(),
            Self::Judge(e) => e.hint(),
            Self::Successor(e) => e.hint(),
            Self::NotFinite { .. } => Some("take an earlier checkpoint: the training diverged".into()),
            Self::TooWide { .. } => Some("lower model.width; `evaluate` ranks any width".into()),
            Self::NoVectors { .. } => Some(
                "`evaluate` and `export` take runs of any system, this command those of `codistill`".into(),
            ),
        }
    }
}

/// Rules of evaluation in place of the run's own; what is absent or empty stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Protocol {
    /// A protocol by name, whose history rule and ties stand before `history` and `ties`.
    pub named: Option<Named>,
    /// Cut-offs.
    pub ks: Vec<usize>,
    pub history: Option<HistoryRule>,
    pub ties: Option<TieRule>,
}

impl Protocol {
    fn apply(&self, setup: &mut Setup) {
        let eval = &mut setup.config.eval;
        if !self.ks.is_empty() {
            eval.ks.clone_from(&self.ks);
        }
        eval.history = self.history.unwrap_or(eval.history);
        eval.ties = self.ties.unwrap_or(eval.ties);
        if let Some(named) = self.named {
            (eval.history, eval.ties) = (named.history, named.ties);
        }
        setup.protocol = self.named;
    }
}

/// How a run is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Default: the best on validation.
    pub checkpoint: Which,
    /// Where its inputs lie, and whether changed ones are accepted.
    pub inputs: Asked,
    /// `auto`, `cpu` or `wgpu[:N]`. Default: `auto`, whatever the run was trained on.
    pub device: String,
    pub protocol: Protocol,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            checkpoint: Which::Best,
            inputs: Asked::default(),
            device: "auto".into(),
            protocol: Protocol::default(),
        }
    }
}

/// A trained run with its model and everything that the model reads.
pub struct Run {
    pub dir: RunDir,
    which: Which,
    /// The checkpoint that was chosen.
    pub checkpoint: Checkpoint,
    /// The directory of that checkpoint, `<run>/steps/step-N`.
    pub path: PathBuf,
    pub model: Box<dyn AnyFitted>,
    /// What was accepted or can't be checked about its inputs.
    pub found: Found,
    pub device: Opened,
}

impl Run {
    /// Opens the run directory `root` with the inputs that it was trained on.
    ///
    /// Every byte of its data set and feature stores is read once and compared with their hashes: this takes as long as
    /// reading the features from disk. No lock is taken, and nothing is written; what a training that still runs saves later
    /// is not seen.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use codistill::run::{OpenOptions, Run};
    /// use codistill::train::run_dir::Which;
    ///
    /// # let home = tempfile::tempdir()?;
    /// # let text = std::fs::read_to_string("configs/quickstart.toml")?;
    /// # let sets = [format!("run.dir={}", home.path().display()), "device=cpu".into(), "data.synth.users=120".into(),
    /// #     "data.synth.items=80".into(), "model.width=8".into(), "train.epochs=1".into()];
    /// # let config = codistill::config::parse(&text, "quickstart.toml".as_ref(), &sets)?.config;
    /// # let run_dir = codistill::run::train(config, &false.into())?.dir.root;
    /// let options = OpenOptions { checkpoint: Which::Last, device: "cpu".into(), ..OpenOptions::default() };
    /// let run = Run::open(&run_dir, &options)?;
    /// assert!(run.checkpoint.state.finished);
    /// run.found.warnings().iter().for_each(|warning| eprintln!("{warning}"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`RunError::Checkpoint`]: `root` is no run, or its checkpoint is absent, damaged or doesn't fit its configuration.
    /// - [`RunError::Inputs`]: the data set or a feature store is absent, damaged or not what the run was trained on, and
    ///   [`Asked::accept_changed`] is not set.
    /// - [`RunError::System`]: the run's system or a term of its objective is not registered in this program.
    /// - [`RunError::Device`]: there is no such device.
    pub fn open(root: &Path, options: &OpenOptions) -> Result<Self, RunError> {
        let dir = RunDir::new(root);
        let (path, checkpoint) = dir.checkpoint(&options.checkpoint)?;
        let device = device::open(&options.device)?;
        let (config, parents) = (checkpoint.config.clone(), &checkpoint.parents);
        let (mut setup, found) = inputs::open(root, config, parents, &options.inputs, &device.device)?;
        options.protocol.apply(&mut setup);
        let model = systems::open(setup)?.fitted(&path, &checkpoint)?;
        Ok(Self { dir, which: options.checkpoint.clone(), checkpoint, path, model, found, device })
    }

    /// Writes weights, item vectors and a model card to the new directory `dest`.
    ///
    /// # Errors
    /// It exists or can't be written.
    pub fn export(&self, dest: &Path) -> Result<(), ExportError> {
        let Self { dir, checkpoint, model, .. } = self;
        // Figures belong to the best checkpoint only.
        let report =
            (self.which == Which::Best).then(|| std::fs::read_to_string(dir.report()).ok()).flatten();
        let report: Option<Report> = report.and_then(|text| serde_json::from_str(&text).ok());
        let features = model.features();
        let features: Vec<Features<'_>> = features
            .iter()
            .map(|(view, store)| {
                let (hash, tokens, width) = (store.hash(), store.tokens(), store.width());
                Features { view, hash, tokens, width, about: store.about() }
            })
            .collect();
        let (config, parents) = (&checkpoint.config, &checkpoint.parents);
        let parameters = model.parameters();
        let card = card::render(config, parents, &features, &checkpoint.state, report.as_ref(), parameters);
        let items = &model.setup().dataset.items;
        let (weights, vectors) = (model.weights(), model.item_vectors());
        let memory = self.codistill().ok().and_then(|fitted| fitted.system.memory());
        export::write(dest, &Export { config, weights, vectors, memory, items, card: &card, parents })
    }

    /// The run's model and system where this is [`CoDistill`], whose items and users have vectors.
    ///
    /// # Errors
    /// It is another system.
    pub fn codistill(&self) -> Result<&Fitted<CoDistill>, RunError> {
        self.model.as_any().downcast_ref().ok_or_else(|| RunError::NoVectors {
            run: self.dir.root.clone(),
            kind: self.checkpoint.config.system.kind.clone(),
        })
    }
}

//! Checkpoints: directories that hold everything a run needs to go on to the same bits.
//!
//! `model.safetensors` (parameters), `optimizer.safetensors` (moments), `state.json` (place in the run),
//! `config.json`, and the manifest with all hashes last.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::optim::{AdamW, Moments};
use crate::artefact::{self, ArtefactError, Staging, io_error};
use crate::config::{Config, TrainConfig};
use crate::params::{self, ParamsError, Values};
use crate::tensors::{self, TensorsError};

pub(crate) const KIND: &str = "codistill/checkpoint";
pub(crate) const SCHEMA: u32 = 1;
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const CONFIG: &str = "config.json";

/// Why a checkpoint can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Tensors(#[from] TensorsError),
    #[error("{path}: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error("{dir}: {source}")]
    Params { dir: PathBuf, source: ParamsError },
    #[error("no readable checkpoint in {dir}{}", problems.iter().map(|p| format!("\n  {p}")).collect::<String>())]
    None { dir: PathBuf, problems: Vec<String> },
}

impl CheckpointError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Artefact(ArtefactError::Damaged { .. }) => {
                Some("the file changed after it was written; use an older checkpoint of the run".into())
            }
            Self::Artefact(e @ ArtefactError::Inside { .. }) => e.hint(),
            Self::Params { .. } => Some("the weights belong to another model configuration".into()),
            Self::None { .. } => Some("give a run directory that holds a `steps` folder".into()),
            _ => None,
        }
    }
}

/// The place of a run between two optimiser steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Epoch that is running, from 1.
    pub epoch: usize,
    /// Next micro-batch of that epoch.
    pub batch: usize,
    /// Optimiser steps done.
    pub step: u64,
    /// Number of the stage that is running, from 0.
    #[serde(default)]
    pub stage: usize,
    /// Epochs and optimiser steps of the stages before it.
    #[serde(default)]
    pub earlier_epochs: usize,
    #[serde(default)]
    pub earlier_steps: u64,
    /// Best value of the chosen metric, and the step that reached it.
    pub best: Option<(f64, u64)>,
    /// Best value of each figure that `train.patience_of` waits for; empty where it is the metric alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub foremost: BTreeMap<String, f64>,
    /// Evaluations since one of these rose.
    pub stale: usize,
    /// Sum of micro-batch losses of this epoch, for its mean.
    pub loss_sum: f64,
    /// The training has reached its end.
    pub finished: bool,
    /// Latest validation metrics.
    pub metrics: BTreeMap<String, f64>,
}

impl RunState {
    /// Whether a training with these settings has nothing left to do: its last stage has had all its epochs, or `patience`
    /// ended it.
    pub fn is_done(&self, train: &TrainConfig) -> bool {
        let stale = train.patience > 0 && self.stale >= train.patience;
        let is_last_stage = self.stage + 1 >= train.stages.len();
        is_last_stage && (stale || self.epoch > self.earlier_epochs + train.last_epochs())
    }

    /// Whether `codistill import` made it: a training saves nothing before its first step.
    pub fn is_imported(&self) -> bool {
        self.step == 0
    }
}

/// Content hashes of what the run reads; whatever opens it must find the same ([`super::inputs`]). An empty hash
/// was not recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parents {
    pub dataset: String,
    /// Feature store hash by view.
    pub features: BTreeMap<String, String>,
    /// Hash of the checkpoint of each run that teaches, by its name as a teacher.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub teachers: BTreeMap<String, String>,
    /// Hash of another run's checkpoint whose weights the training started from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
}

/// A checkpoint on the host.
pub struct Checkpoint {
    /// Content hash: what was made with these weights names it.
    pub hash: String,
    pub config: Config,
    pub parents: Parents,
    pub state: RunState,
    pub params: BTreeMap<String, Values>,
    moments: BTreeMap<String, (Vec<f32>, Vec<f32>, u64)>,
}

/// Writes a checkpoint directory atomically and returns its path, `<dir>/step-<n>`.
///
/// # Errors
/// Any I/O failure; nothing is then left behind.
pub fn save<M: Module>(
    dir: &Path,
    config: &Config,
    parents: &Parents,
    state: &RunState,
    model: &M,
    optimizer: &AdamW,
) -> Result<PathBuf, CheckpointError> {
    let path = dir.join(format!("step-{:08}", state.step));
    if path.exists() {
        // A run that went on from an older checkpoint comes by again; the newer one was damaged.
        artefact::remove(&path)?;
    }
    let staging = Staging::create(&path)?;
    tensors::write(&staging.path(MODEL), &params::read(model))?;
    let mut moments = BTreeMap::new();
    let mut updates = BTreeMap::new();
    for (name, m) in &optimizer.state {
        for (kind, tensor) in [("first", &m.first), ("second", &m.second)] {
            let values = params::host(tensor.clone());
            moments.insert(format!("{kind}.{name}"), Values { shape: vec![values.len()], values });
        }
        updates.insert(name.clone(), m.updates);
    }
    tensors::write(&staging.path(OPTIMIZER), &moments)?;
    write_json(&staging.path(STATE), &(state, &updates))?;
    write_json(&staging.path(CONFIG), config)?;
    let about = serde_json::json!({ "step": state.step, "epoch": state.epoch, "parents": parents });
    staging.commit(KIND, SCHEMA, about)?;
    Ok(path)
}

/// Reads a checkpoint directory, all hashes checked.
///
/// # Errors
/// A file is missing, damaged or malformed.
pub fn load(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let manifest = artefact::verify(path, KIND, SCHEMA)?;
    // What is not recorded can't be checked, and is said to be so where the inputs are opened.
    let parents = match &manifest.about["parents"] {
        serde_json::Value::Null => Parents::default(),
        parents => serde_json::from_value(parents.clone())
            .map_err(|e| malformed(&path.join(artefact::MANIFEST), e))?,
    };
    let (state, updates): (RunState, BTreeMap<String, u64>) = read_json(&path.join(STATE))?;
    let mut raw = tensors::read(&path.join(OPTIMIZER))?;
    let mut moments = BTreeMap::new();
    for (name, count) in updates {
        let mut take = |kind: &str| {
            let key = format!("{kind}.{name}");
            raw.remove(&key).ok_or_else(|| malformed(&path.join(OPTIMIZER), format!("{key} is missing")))
        };
        let (first, second) = (take("first")?.values, take("second")?.values);
        moments.insert(name, (first, second, count));
    }
    Ok(Checkpoint {
        hash: manifest.content_hash(),
        config: read_json(&path.join(CONFIG))?,
        parents,
        state,
        params: tensors::read(&path.join(MODEL))?,
        moments,
    })
}

/// Content hash of a checkpoint as its manifest has it; none where that can't be read.
pub fn hash(path: &Path) -> Option<String> {
    Some(artefact::read_manifest(path, KIND, SCHEMA).ok()?.content_hash())
}

/// What the manifest of a checkpoint says it was trained on; none where it says nothing.
pub fn parents(path: &Path) -> Option<Parents> {
    let manifest = artefact::read_manifest(path, KIND, SCHEMA).ok()?;
    serde_json::from_value(manifest.about["parents"].clone()).ok()
}

impl Checkpoint {
    /// Puts the parameters into `model`.
    ///
    /// # Errors
    /// They don't fit.
    pub fn restore<M: Module>(&self, path: &Path, model: M) -> Result<M, CheckpointError> {
        params::write(model, self.params.clone())
            .map_err(|source| CheckpointError::Params { dir: path.to_owned(), source })
    }

    /// The optimiser's state on the (plain) device.
    pub fn moments(&self, device: &Device) -> BTreeMap<String, Moments> {
        let tensor =
            |values: &[f32]| Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), device);
        self.moments
            .iter()
            .map(|(name, (first, second, updates))| {
                let moments = Moments { first: tensor(first), second: tensor(second), updates: *updates };
                (name.clone(), moments)
            })
            .collect()
    }
}

/// Checkpoint folders of `dir`, oldest first.
pub fn list(dir: &Path) -> Vec<(u64, PathBuf)> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let step = path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()?;
            Some((step, path))
        })
        .collect();
    found.sort();
    found
}

/// The newest checkpoint of `dir` that reads whole, and what was wrong with newer ones.
///
/// # Errors
/// None does.
pub fn latest(dir: &Path) -> Result<(PathBuf, Checkpoint, Vec<String>), CheckpointError> {
    let mut problems = Vec::new();
    for (_, path) in list(dir).into_iter().rev() {
        match load(&path) {
            Ok(checkpoint) => return Ok((path, checkpoint, problems)),
            Err(e) => problems.push(e.to_string()),
        }
    }
    Err(CheckpointError::None { dir: dir.to_owned(), problems })
}

fn malformed(path: &Path, reason: impl ToString) -> CheckpointError {
    CheckpointError::Malformed { path: path.to_owned(), reason: reason.to_string() }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CheckpointError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| malformed(path, e))?;
    fs::write(path, text).map_err(io_error(path))?;
    Ok(())
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, CheckpointError> {
    let text = fs::read_to_string(path).map_err(io_error(path))?;
    serde_json::from_str(&text).map_err(|e| malformed(path, e))
}

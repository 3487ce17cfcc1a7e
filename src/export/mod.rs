//! Export of a model: weights for PyTorch, item vectors with their ids, a model card.

pub mod card;
pub mod weights;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::artefact::{ArtefactError, Makes, Staging, io_error, may_make};
use crate::config::Config;
use crate::data::Items;
use crate::memory::{Memory, disk};
use crate::model::Recommender;
use crate::params::{self, Values};
use crate::tensors::{self, TensorsError};
use crate::train::checkpoint::Parents;

/// Kind and layout version of an export in its manifest.
pub const KIND: &str = "codistill/export";
pub const SCHEMA: u32 = 1;
/// File of the weights under the authors' names.
pub const WEIGHTS: &str = "weights.safetensors";
/// Lists of a memory.
const MEMORY: &str = "memory.safetensors";

/// Why an export can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Tensors(#[from] TensorsError),
    #[error("{path}: {reason}")]
    Unfit { path: PathBuf, reason: String },
}

impl ExportError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Artefact(ArtefactError::Exists(_)) => Some("choose another --output".into()),
            Self::Artefact(e @ ArtefactError::Inside { .. }) => e.hint(),
            Self::Unfit { .. } => {
                Some("the configuration must describe the model that the weights were trained with".into())
            }
            _ => None,
        }
    }
}

/// Contents of an export.
pub struct Export<'a> {
    pub config: &'a Config,
    /// Parameters under the names of the export.
    pub weights: BTreeMap<String, Values>,
    /// Vectors of all items, `[I + 1, D]`, by the name of what makes them.
    pub vectors: Vec<(String, Values)>,
    /// What counts beside the branches, where something does.
    pub memory: Option<Arc<Memory>>,
    pub items: &'a Items,
    /// The model card, Markdown.
    pub card: &'a str,
    /// Hashes of the model's training inputs.
    pub parents: &'a Parents,
}

/// Writes the export directory `dest`.
///
/// # Errors
/// It exists or can't be written.
pub fn write(dest: &Path, export: &Export<'_>) -> Result<(), ExportError> {
    may_make(dest, Makes::Other)?;
    let staging = Staging::create(dest)?;
    tensors::write(&staging.path(WEIGHTS), &export.weights)?;
    for (name, values) in &export.vectors {
        let npy = staging.path(&format!("items.{name}.npy"));
        fs::write(&npy, npy_bytes(values)).map_err(io_error(&npy))?;
        let safe = staging.path(&format!("items.{name}.safetensors"));
        tensors::write(&safe, &[("vectors".to_owned(), values.clone())].into())?;
    }
    if let Some(memory) = &export.memory {
        disk::write_file(&staging.path(MEMORY), memory)?;
    }
    staging.write_json("items.json", &json!({"ids": export.items.ids}))?;
    staging.write_json("config.json", export.config)?;
    staging.write("README.md", export.card)?;
    staging.commit(KIND, SCHEMA, json!({"parents": export.parents}))?;
    Ok(())
}

/// Loads weights with the authors' names (or those of our export) into `model`.
///
/// Parameters that the file lacks keep their initial values only if the authors' model does not have them; their names
/// are returned.
///
/// # Errors
/// The file is unreadable, lacks a parameter, or holds others or other shapes.
pub fn import_weights(model: Recommender, path: &Path) -> Result<(Recommender, Vec<String>), ExportError> {
    let theirs = tensors::read(path)?;
    let own = params::read(&model);
    let names: Vec<String> = own.keys().cloned().collect();
    let mut loaded = weights::from_authors(&theirs, &names);
    let mut kept = Vec::new();
    for (name, values) in own {
        if !loaded.contains_key(&name) && weights::authors_name(&name).starts_with(weights::OWN_PREFIX) {
            kept.push(name.clone());
            loaded.insert(name, values);
        }
    }
    let model = params::write(model, loaded)
        .map_err(|e| ExportError::Unfit { path: path.to_owned(), reason: e.to_string() })?;
    Ok((model, kept))
}

/// A float32 array in NumPy's format, version 1.
fn npy_bytes(values: &Values) -> Vec<u8> {
    let shape: Vec<String> = values.shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}{comma}), }}", shape.join(", "));
    // Magic, version and length take 10 bytes; data begin at a multiple of 64.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    values.values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
    bytes
}

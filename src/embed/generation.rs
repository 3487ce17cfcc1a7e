//! A generation of a store on disk: its changes and its metadata.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::canary::Canary;
use super::cold::ColdRule;
use super::encode::Encoded;
use super::{EmbedError, NewItem};
use crate::artefact::{self, ArtefactError, Staging, json_line, json_value};
use crate::memory::Alike;
use crate::tensors;
use crate::tensors::Values;

/// Kind and layout version of a generation in its manifest.
pub const KIND: &str = "codistill/vectors";
pub const SCHEMA: u32 = 1;

const VECTORS: &str = "vectors.safetensors";
pub(super) const ROWS: &str = "rows.json";

/// A generation's description in its manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    pub generation: u32,
    /// Content hash of the previous generation; absent for one that is complete by itself.
    pub parent: Option<String>,
    /// Content hash of the checkpoint that made the vectors.
    pub model: String,
    /// Content hash of the data set whose numbering the first rows follow.
    pub dataset: String,
    /// Content hashes of the features behind the catalogue's vectors, by view; absent in older stores.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, String>,
    pub branches: Vec<String>,
    /// D
    pub width: usize,
    /// Number of rows in this generation.
    pub rows: usize,
    pub deleted: usize,
}

/// What stays the same over all generations of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// I: the first rows are the data set's items in their order.
    pub catalogue: usize,
    pub rule: ColdRule,
    pub canary: Canary,
}

/// An item of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub id: String,
    pub title: String,
    pub category: String,
    pub image: String,
    /// Values of the columns that the data set keeps, for appended items; the data set has those of the catalogue.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, String>,
    /// Whether training read interactions of the item, so that it has an ID vector of its own.
    pub trained: bool,
    /// Whether it has a vector in each branch.
    pub live: Vec<bool>,
    /// Token views that it lacks.
    #[serde(default)]
    pub missing: Vec<String>,
    /// What of the catalogue an appended item is like, where the model has a memory that asks for it.
    #[serde(default, skip_serializing_if = "Alike::is_empty")]
    pub alike: Alike,
    /// Number of the generation that wrote it.
    pub generation: u32,
    /// Whether it is a candidate. Deleted items may still occur in histories.
    #[serde(default = "yes")]
    pub offered: bool,
}

fn yes() -> bool {
    true
}

/// The changes of a generation.
#[derive(Default)]
pub struct Change {
    pub rows: Vec<Row>,
    /// Vectors of each branch, `[rows, D]`.
    pub vectors: Vec<Vec<f32>>,
    pub deleted: Vec<String>,
}

/// Rows and deletions in the file.
#[derive(Serialize, Deserialize)]
struct StoredRows {
    rows: Vec<Row>,
    deleted: Vec<String>,
}

impl Change {
    /// The change that adds or replaces encoded items.
    pub fn new(items: &[NewItem], known: &[Option<u32>], encoded: Encoded) -> Self {
        let each = items.iter().zip(known).zip(encoded.live).zip(encoded.missing).zip(encoded.alike);
        let rows = each.map(|((((item, known), live), missing), alike)| Row {
            id: item.id.clone(),
            title: item.title.clone(),
            category: item.category.clone(),
            kept: item.kept.clone(),
            image: item.image.clone(),
            trained: known.is_some(),
            live,
            missing,
            alike,
            generation: 0,
            offered: true,
        });
        Self { rows: rows.collect(), vectors: encoded.branches, deleted: Vec::new() }
    }
}

/// Writes files and manifest. New rows get the generation's number.
pub(super) fn commit(
    staging: Staging,
    generation: u32,
    description: Description,
    mut change: Change,
) -> Result<(Description, String, Change), EmbedError> {
    for row in change.rows.iter_mut().filter(|row| row.generation == 0) {
        row.generation = generation;
    }
    let description =
        Description { generation, rows: change.rows.len(), deleted: change.deleted.len(), ..description };
    let named = description.branches.iter().zip(&change.vectors);
    let tensors = named.map(|(branch, values)| {
        let shape = vec![change.rows.len(), description.width];
        (format!("branch.{branch}"), Values { shape, values: values.clone() })
    });
    // No file for an empty tensor.
    if !change.rows.is_empty() {
        tensors::write(&staging.path(VECTORS), &tensors.collect())?;
    }
    let stored = StoredRows { rows: change.rows, deleted: change.deleted };
    staging.write(ROWS, &json_line(ROWS, &stored)?)?;
    let manifest = staging.commit(KIND, SCHEMA, json_value("the manifest", &description)?)?;
    let change = Change { rows: stored.rows, vectors: change.vectors, deleted: stored.deleted };
    Ok((description, manifest.content_hash(), change))
}

/// A generation, read and verified.
pub(super) struct Generation {
    pub description: Description,
    pub hash: String,
    pub change: Change,
}

impl Generation {
    pub fn read(dir: &Path) -> Result<Self, EmbedError> {
        let manifest = artefact::verify(dir, KIND, SCHEMA)?;
        let path = dir.join(artefact::MANIFEST);
        let malformed = |path: &Path, reason: String| EmbedError::Malformed { path: path.to_owned(), reason };
        let description: Description =
            serde_json::from_value(manifest.about.clone()).map_err(|e| malformed(&path, e.to_string()))?;
        let path = dir.join(ROWS);
        let stored: StoredRows = read_json(&path)?;
        if stored.rows.len() != description.rows || stored.deleted.len() != description.deleted {
            return Err(malformed(&path, "another number of rows than the manifest says".into()));
        }
        if stored.rows.iter().any(|row| row.live.len() != description.branches.len()) {
            return Err(malformed(&path, "a row knows another number of branches".into()));
        }
        let path = dir.join(VECTORS);
        let mut tensors = if stored.rows.is_empty() { BTreeMap::default() } else { tensors::read(&path)? };
        let mut vectors = Vec::with_capacity(description.branches.len());
        for branch in &description.branches {
            let found = tensors.remove(&format!("branch.{branch}"));
            let shape = [stored.rows.len(), description.width];
            match found {
                Some(values) if values.shape == shape => vectors.push(values.values),
                None if stored.rows.is_empty() => vectors.push(Vec::new()),
                found => {
                    let found = found.map_or("absent".into(), |v| format!("{:?}", v.shape));
                    return Err(malformed(&path, format!("branch {branch} is {found}, not {shape:?}")));
                }
            }
        }
        let change = Change { rows: stored.rows, vectors, deleted: stored.deleted };
        Ok(Self { description, hash: manifest.content_hash(), change })
    }
}

pub(super) fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, EmbedError> {
    let text = fs::read_to_string(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => EmbedError::Artefact(ArtefactError::Damaged {
            path: path.to_owned(),
            reason: "it is missing".into(),
        }),
        _ => EmbedError::Io { path: path.to_owned(), source },
    })?;
    serde_json::from_str(&text)
        .map_err(|e| EmbedError::Malformed { path: path.to_owned(), reason: e.to_string() })
}

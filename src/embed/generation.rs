//! One generation on disk: what it changes, and what it says of itself.

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
use crate::tensors;
use crate::tensors::Values;

/// Manifest kind and layout version of a generation.
pub const KIND: &str = "codistill/vectors";
pub const SCHEMA: u32 = 1;

const VECTORS: &str = "vectors.safetensors";
pub(super) const ROWS: &str = "rows.json";

/// What a generation says of itself in its manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    pub generation: u32,
    /// Content hash of the generation before it; none where it stands alone.
    pub parent: Option<String>,
    /// Content hash of the checkpoint that made the vectors.
    pub model: String,
    /// Content hash of the data set whose numbering the first rows follow.
    pub dataset: String,
    /// Content hash of the features that went into the catalogue's vectors, by view; older stores do not say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, String>,
    pub branches: Vec<String>,
    /// D
    pub width: usize,
    /// Rows and deletions of this generation.
    pub rows: usize,
    pub deleted: usize,
}

/// What holds for a store as long as it lives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// I: the first rows are the data set's items in their order.
    pub catalogue: usize,
    pub rule: ColdRule,
    pub canary: Canary,
}

/// An item of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub id: String,
    pub title: String,
    pub category: String,
    pub image: String,
    /// Of an appended item, values of the columns that the data set keeps; the catalogue's own stand there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, String>,
    /// Training read interactions of the item: it has an ID vector of its own.
    pub trained: bool,
    /// Per branch, whether it has a vector.
    pub live: Vec<bool>,
    /// Token views of which it has no features.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Generation that wrote it.
    pub generation: u32,
    /// Still a candidate. What was deleted may stand in histories.
    #[serde(default = "yes")]
    pub offered: bool,
}

fn yes() -> bool {
    true
}

/// What a generation changes.
#[derive(Default)]
pub struct Change {
    pub rows: Vec<Row>,
    /// `[rows, D]` per branch.
    pub vectors: Vec<Vec<f32>>,
    pub deleted: Vec<String>,
}

/// Rows and deletions as they lie on disk.
#[derive(Serialize, Deserialize)]
struct StoredRows {
    rows: Vec<Row>,
    deleted: Vec<String>,
}

impl Change {
    /// Rows for encoded items.
    pub fn of(items: &[NewItem], known: &[Option<u32>], encoded: Encoded) -> Self {
        let each = items.iter().zip(known).zip(encoded.live).zip(encoded.missing);
        let rows = each.map(|(((item, known), live), missing)| Row {
            id: item.id.clone(),
            title: item.title.clone(),
            category: item.category.clone(),
            kept: item.kept.clone(),
            image: item.image.clone(),
            trained: known.is_some(),
            live,
            missing,
            generation: 0,
            offered: true,
        });
        Self { rows: rows.collect(), vectors: encoded.branches, deleted: Vec::new() }
    }
}

/// Writes files and manifest; the rows get the generation's number where they are new.
pub(super) fn commit(
    staging: Staging,
    generation: u32,
    about: About,
    mut change: Change,
) -> Result<(About, String, Change), EmbedError> {
    for row in change.rows.iter_mut().filter(|row| row.generation == 0) {
        row.generation = generation;
    }
    let about = About { generation, rows: change.rows.len(), deleted: change.deleted.len(), ..about };
    let named = about.branches.iter().zip(&change.vectors);
    let tensors = named.map(|(branch, values)| {
        let shape = vec![change.rows.len(), about.width];
        (format!("branch.{branch}"), Values { shape, values: values.clone() })
    });
    // An empty tensor file is not worth its bytes.
    if !change.rows.is_empty() {
        tensors::write(&staging.path(VECTORS), &tensors.collect())?;
    }
    let stored = StoredRows { rows: change.rows, deleted: change.deleted };
    staging.write(ROWS, &json_line(ROWS, &stored)?)?;
    let manifest = staging.commit(KIND, SCHEMA, json_value("the manifest", &about)?)?;
    let change = Change { rows: stored.rows, vectors: change.vectors, deleted: stored.deleted };
    Ok((about, manifest.content_hash(), change))
}

/// One generation, read and checked.
pub(super) struct Generation {
    pub about: About,
    pub hash: String,
    pub change: Change,
}

impl Generation {
    pub fn read(dir: &Path) -> Result<Self, EmbedError> {
        let manifest = artefact::verify(dir, KIND, SCHEMA)?;
        let path = dir.join(artefact::MANIFEST);
        let malformed = |path: &Path, reason: String| EmbedError::Malformed { path: path.to_owned(), reason };
        let about: About =
            serde_json::from_value(manifest.about.clone()).map_err(|e| malformed(&path, e.to_string()))?;
        let path = dir.join(ROWS);
        let stored: StoredRows = read_json(&path)?;
        if stored.rows.len() != about.rows || stored.deleted.len() != about.deleted {
            return Err(malformed(&path, "another number of rows than the manifest says".into()));
        }
        if stored.rows.iter().any(|row| row.live.len() != about.branches.len()) {
            return Err(malformed(&path, "a row knows another number of branches".into()));
        }
        let path = dir.join(VECTORS);
        let mut tensors = if stored.rows.is_empty() { BTreeMap::default() } else { tensors::read(&path)? };
        let mut vectors = Vec::with_capacity(about.branches.len());
        for branch in &about.branches {
            let found = tensors.remove(&format!("branch.{branch}"));
            let shape = [stored.rows.len(), about.width];
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
        Ok(Self { about, hash: manifest.content_hash(), change })
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

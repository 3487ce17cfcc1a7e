//! The truth behind a synthetic data set, which models don't see and evaluation uses.

use std::fs::{self, File};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use super::SynthError;
use super::catalogue::Catalogue;
use crate::artefact::{self, Staging};
use crate::config::SynthConfig;
use crate::features::header::Header;
use crate::tensors::write_views;

/// Kind of the artefact in its manifest.
const KIND: &str = "codistill/truth";
const SCHEMA_VERSION: u32 = 1;
const FILE: &str = "truth.safetensors";

/// The probabilities behind a synthetic data set, at its validation and test targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    config: SynthConfig,
    catalogue: Catalogue,
    /// `[U, 2, 3q]`, see `walk`.
    preferences: Vec<f32>,
    /// `[U, 2]`
    positions: Vec<u32>,
}

impl Truth {
    pub(super) fn new(
        config: SynthConfig,
        catalogue: Catalogue,
        preferences: Vec<f32>,
        positions: Vec<u32>,
    ) -> Self {
        Self { config, catalogue, preferences, positions }
    }

    /// I, without padding.
    pub fn items(&self) -> usize {
        self.catalogue.items()
    }

    pub fn users(&self) -> usize {
        self.positions.len() / 2
    }

    /// Whether `item` occurs as a test target only.
    pub fn is_new(&self, item: u32) -> bool {
        self.catalogue.new.get(item as usize).copied().unwrap_or(false)
    }

    /// Writes to `out` `[I + 1]` the log-probability of each item to come next for `user` at `position`, given the
    /// history, without label noise and up to a constant. It is `-inf` for padding, items of the history, and new items
    /// at a validation target.
    ///
    /// # Errors
    /// The position is neither the user's validation nor its test target, or the history holds an item that
    /// is not in the catalogue.
    ///
    /// # Panics
    /// When `out` does not have I + 1 entries.
    pub fn scores(
        &self,
        user: u32,
        position: u32,
        history: &[u32],
        out: &mut [f32],
    ) -> Result<(), SynthError> {
        assert_eq!(out.len(), self.items() + 1, "one score per item and one for padding");
        let unknown = SynthError::Position { user, position };
        let kept = self.positions.chunks_exact(2).nth(user as usize);
        let Some(slot) = kept.and_then(|kept| kept.iter().position(|&p| p == position)) else {
            return Err(unknown);
        };
        if history.len() != position as usize || history.iter().any(|&i| i as usize > self.items()) {
            return Err(unknown);
        }
        let n = 3 * self.config.latent;
        let preference = &self.preferences[(2 * user as usize + slot) * n..][..n];
        self.catalogue.utilities(&self.config, preference, history, slot == 1, out);
        Ok(())
    }

    /// Writes the truth as an artefact of its own.
    ///
    /// # Errors
    /// `dest` exists, or any I/O failure.
    pub fn save(&self, dest: &Path, dataset_hash: &str) -> Result<(), SynthError> {
        let (rows, n, users) = (self.items() + 1, 3 * self.config.latent, self.users());
        let new: Vec<u8> = self.catalogue.new.iter().map(|&b| u8::from(b)).collect();
        let tensors = [
            ("latents", Dtype::F32, vec![n, rows], bytemuck::cast_slice(&self.catalogue.latents)),
            ("log_popularity", Dtype::F32, vec![rows], bytemuck::cast_slice(&self.catalogue.log_popularity)),
            ("preferences", Dtype::F32, vec![users, 2, n], bytemuck::cast_slice(&self.preferences)),
            // Numbers far below 2^31, in the type that every reader supports.
            ("themes", Dtype::I32, vec![rows], bytemuck::cast_slice(&self.catalogue.themes)),
            ("positions", Dtype::I32, vec![users, 2], bytemuck::cast_slice(&self.positions)),
            ("new", Dtype::U8, vec![rows], &new[..]),
        ];
        let staging = Staging::create(dest)?;
        let path = staging.path(FILE);
        let fail = |reason: String| SynthError::Truth { path: path.clone(), reason };
        let mut views = Vec::new();
        for (name, dtype, shape, bytes) in tensors {
            let view = TensorView::new(dtype, shape, bytes).map_err(|e| fail(e.to_string()))?;
            views.push((name.to_owned(), view));
        }
        write_views(&path, views).map_err(|e| fail(e.to_string()))?;
        let about = json!({ "dataset": dataset_hash, "synth": self.config });
        staging.commit(KIND, SCHEMA_VERSION, about)?;
        Ok(())
    }

    /// Reads the artefact of [`Truth::save`] after checking its hashes.
    ///
    /// # Errors
    /// There is no truth, or it is damaged.
    pub fn load(dir: &Path) -> Result<Self, SynthError> {
        let manifest = artefact::verify(dir, KIND, SCHEMA_VERSION)?;
        let path = dir.join(FILE);
        let fail = |reason: String| SynthError::Truth { path: path.clone(), reason };
        let io = |source| SynthError::Io { path: path.clone(), source };
        let config = manifest.about.get("synth").cloned().unwrap_or_default();
        let config: SynthConfig =
            serde_json::from_value(config).map_err(|e| fail(format!("parameters: {e}")))?;
        config.validate()?;
        let header = Header::read(&path, &mut File::open(&path).map_err(io)?)?;
        let bytes = fs::read(&path).map_err(io)?;
        let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
            let place = header.place(name).filter(|p| p.dtype == dtype && p.shape == shape);
            let found = place.and_then(|p| bytes.get(p.start as usize..)?.get(..p.bytes as usize));
            found.ok_or_else(|| fail(format!("no {dtype:?} tensor {name:?} of shape {shape:?}")))
        };
        let floats = |name: &str, shape: &[usize]| -> Result<Vec<f32>, SynthError> {
            Ok(words(tensor(name, Dtype::F32, shape)?).map(f32::from_le_bytes).collect())
        };
        let numbers = |name: &str, shape: &[usize]| -> Result<Vec<u32>, SynthError> {
            Ok(words(tensor(name, Dtype::I32, shape)?).map(u32::from_le_bytes).collect())
        };
        let (rows, n, users) = (config.items + 1, 3 * config.latent, config.users);
        let catalogue = Catalogue {
            latents: floats("latents", &[n, rows])?,
            log_popularity: floats("log_popularity", &[rows])?,
            themes: numbers("themes", &[rows])?,
            new: tensor("new", Dtype::U8, &[rows])?.iter().map(|&b| b != 0).collect(),
        };
        let preferences = floats("preferences", &[users, 2, n])?;
        let positions = numbers("positions", &[users, 2])?;
        Ok(Self { config, catalogue, preferences, positions })
    }
}

/// The little-endian 4-byte words of a tensor.
fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]])
}

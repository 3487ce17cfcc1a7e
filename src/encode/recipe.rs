//! What an encoder is asked to do, and what a store records of it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::families::{Family, Modality};
use super::picture::{Bounds, Preprocessing};
use super::tower::{Output, Pool};

/// What the user asks for; everything absent follows from the encoder. A store's manifest holds it under `settings`,
/// so that items which come later are encoded alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// A folder, an `.onnx` file, a hub name, or `tfidf[:WIDTH]`.
    pub encoder: String,
    /// The states of all tokens instead of one vector.
    pub tokens: Option<bool>,
    /// Hidden state: 0 enters the first block, n leaves the n-th, -1 leaves the last.
    pub layer: Option<i64>,
    /// Apply the model's final norm.
    pub final_norm: Option<bool>,
    pub pool: Option<Pool>,
    /// Scale pooled vectors to length 1.
    pub unit: Option<bool>,
    /// Longest text in tokens, special ones included.
    pub max_tokens: Option<usize>,
    /// A preset's name or a `preprocessor_config.json`.
    pub preprocess: Option<String>,
    /// Side of the picture in pixels, for presets.
    pub side: Option<u32>,
    /// The published extraction of ODMT: 30 text tokens, all picture tokens, mean and deviation 0.5.
    pub odmt: bool,
    /// Tensor of an ONNX file with several outputs.
    pub onnx_output: Option<String>,
    /// `tokenizer.json` of an ONNX text encoder; default: beside it.
    pub tokenizer: Option<PathBuf>,
    /// What a picture may cost.
    pub bounds: Bounds,
}

impl Settings {
    /// The settings that a store was made with, if it was made here.
    pub fn of(about: &Value) -> Option<Self> {
        serde_json::from_value(about.get("settings")?.clone()).ok()
    }

    /// The same with paths that hold from every folder.
    pub fn anchored(&self) -> Self {
        let whole = |text: &String| match std::path::absolute(text) {
            Ok(path) if path.exists() => path.display().to_string(),
            _ => text.clone(),
        };
        Self {
            encoder: whole(&self.encoder),
            preprocess: self.preprocess.as_ref().map(whole),
            tokenizer: self.tokenizer.as_ref().map(|path| std::path::absolute(path).unwrap_or(path.clone())),
            ..self.clone()
        }
    }
}

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    Native(Family),
    Onnx,
    Tfidf,
}

/// Everything that a feature depends on but its input; a store's manifest holds it under `recipe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    pub modality: Modality,
    pub engine: Engine,
    /// SHA-256 of the weights; of the table, for TF-IDF.
    pub weights_sha256: String,
    /// SHA-256 of `config.json`, which says how the weights are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<String>,
    /// SHA-256 of the tokenizer's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    pub output: Output,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onnx_output: Option<String>,
    /// Most tokens of an item in the store.
    pub tokens: usize,
    /// Width of a token.
    pub width: usize,
    /// Longest text in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// What a picture may cost; a wider bound lets more pictures in.
    pub bounds: Bounds,
}

impl Recipe {
    /// The recipe that a store was made with, if it was made here.
    pub fn of(about: &Value) -> Option<Self> {
        serde_json::from_value(about.get("recipe")?.clone()).ok()
    }

    /// SHA-256 over all of it.
    pub fn fingerprint(&self) -> String {
        // A struct of numbers and strings always has a JSON form.
        let text = serde_json::to_string(self).unwrap_or_default();
        Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The first field in which the two differ.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let (a, b) = (serde_json::to_value(self).ok()?, serde_json::to_value(other).ok()?);
        let (a, b) = (a.as_object()?, b.as_object()?);
        let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
        let shown = |v: Option<&Value>| v.map_or("nothing".to_owned(), Value::to_string);
        keys.filter(|key| a.get(*key) != b.get(*key))
            .map(|key| format!("{key}: {} instead of {}", shown(a.get(key)), shown(b.get(key))))
            .next()
    }
}

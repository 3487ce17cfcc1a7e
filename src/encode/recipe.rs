//! Settings of an encoder, and the recipe that a store records.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::EncodeError;
use super::families::{Family, Modality};
use super::picture::{Bounds, Preprocessing};
use super::pool::Pool;
use super::tower::Output;
use crate::artefact::{json_line, json_value};
use crate::hex::hex;

/// Settings by the user; the encoder determines absent ones. A store's manifest holds them under `settings`, so that
/// later items are encoded alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// A folder, an `.onnx` file, a hub name, or `tfidf[:WIDTH]`.
    pub encoder: String,
    /// Whether to store all tokens' states instead of one vector.
    pub tokens: Option<bool>,
    /// Hidden state: 0 is the input of the first block, n the output of the n-th, -1 that of the last.
    pub layer: Option<i64>,
    /// Whether to apply the model's final norm.
    pub final_norm: Option<bool>,
    pub pool: Option<Pool>,
    /// Whether to scale pooled vectors to length 1.
    pub unit: Option<bool>,
    /// Longest text in tokens, special ones included.
    pub max_tokens: Option<usize>,
    /// Prompt before every text, instead of the encoder's default.
    pub prompt: Option<String>,
    /// A preset's name or a `preprocessor_config.json`.
    pub preprocess: Option<String>,
    /// Side of the picture in pixels, for presets.
    pub side: Option<u32>,
    /// The extraction of ODMT (docs/odmt.md, section 5.3): 30 text tokens, all picture tokens, mean and deviation 0.5.
    pub odmt: bool,
    /// Tensor of an ONNX file with several outputs.
    pub onnx_output: Option<String>,
    /// `tokenizer.json` of an ONNX text encoder (default: in its folder).
    pub tokenizer: Option<PathBuf>,
    /// Limits of a picture.
    pub bounds: Bounds,
}

impl Settings {
    /// The settings in a store's manifest, if it was encoded by this program.
    pub fn from_manifest(manifest: &Value) -> Option<Self> {
        serde_json::from_value(manifest.get("settings")?.clone()).ok()
    }

    /// The settings with absolute paths.
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

/// The computing back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    Native(Family),
    Onnx,
    Tfidf,
}

/// Everything except the input that a feature depends on. A store's manifest holds it under `recipe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    pub modality: Modality,
    pub engine: Engine,
    /// SHA-256 of the weights, or of TF-IDF's table.
    pub weights_sha256: String,
    /// SHA-256 of `config.json`, which determines how the weights are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<String>,
    /// SHA-256 of the tokenizer's file and of changes by other settings.
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
    /// Prompt before every text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Whether texts are lowercased before tokenisation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lowercase: bool,
    /// Modules after the pooling, with the hashes of their weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// Limits of a picture; wider ones accept more pictures.
    pub bounds: Bounds,
}

/// The settings that were not given, and follow from the encoder's files or defaults.
pub fn found_out(settings: &Settings, recipe: &Recipe) -> Vec<&'static str> {
    let text = recipe.modality == Modality::Text;
    let native = matches!(recipe.engine, Engine::Native(_));
    let pooled = recipe.output.pool.is_some();
    let absent = [
        ("output", settings.tokens.is_none() && recipe.engine != Engine::Tfidf),
        ("layer", settings.layer.is_none() && native),
        ("norm", settings.final_norm.is_none() && native),
        ("pool", settings.pool.is_none() && pooled && recipe.engine != Engine::Tfidf),
        ("unit", settings.unit.is_none() && pooled && recipe.engine != Engine::Tfidf),
        ("max-tokens", settings.max_tokens.is_none() && text && recipe.max_tokens.is_some()),
        ("prompt", settings.prompt.is_none() && recipe.prompt.is_some()),
        ("preprocess", settings.preprocess.is_none() && !text),
    ];
    absent.into_iter().filter(|(_, found)| *found && !settings.odmt).map(|(name, _)| name).collect()
}

impl Recipe {
    /// A recipe with only model and output set.
    pub(super) fn new(modality: Modality, engine: Engine, weights_sha256: String, output: Output) -> Self {
        Self {
            modality,
            engine,
            weights_sha256,
            config_sha256: None,
            tokenizer_sha256: None,
            preprocessing: None,
            output,
            onnx_output: None,
            tokens: 1,
            width: 1,
            max_tokens: None,
            prompt: None,
            lowercase: false,
            modules: Vec::new(),
            bounds: Bounds::default(),
        }
    }

    /// The recipe in a store's manifest, if it was encoded by this program.
    pub fn from_manifest(manifest: &Value) -> Option<Self> {
        serde_json::from_value(manifest.get("recipe")?.clone()).ok()
    }

    /// Description of how an input becomes its vector or states.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some(most) = self.max_tokens {
            parts.push(format!("texts of up to {most} tokens"));
        }
        if let Some(prompt) = &self.prompt {
            let pooled = if self.output.skip > 0 { ", which is not pooled" } else { "" };
            parts.push(format!("behind the prompt {prompt:?}{pooled}"));
        }
        if let Some(preprocessing) = &self.preprocessing {
            parts.push(format!("pictures of {0} x {0} pixels", preprocessing.side));
        }
        match &self.output.pool {
            None => parts.push("states of all tokens".into()),
            Some(pools) if self.engine != Engine::Tfidf => {
                let names: Vec<&str> = pools.modes().iter().map(|pool| pool.name()).collect();
                let projected = if self.output.projection { ", projected" } else { "" };
                let unit = if self.output.unit { ", of length 1" } else { "" };
                parts.push(format!("pooled by {}{projected}{unit}", names.join(" and ")));
            }
            Some(_) => {}
        }
        // Hashes are left to the manifest.
        parts.extend(
            self.modules.iter().filter_map(|module| module.split(", sha256").next()).map(str::to_owned),
        );
        parts.join("; ")
    }

    /// The whole recipe on one line.
    ///
    /// # Errors
    /// It has no JSON form.
    pub fn json(&self) -> Result<String, EncodeError> {
        Ok(json_line("a recipe", self)?)
    }

    /// SHA-256 of the whole recipe.
    ///
    /// # Errors
    /// It has no JSON form: the hash of nothing would be that of every such recipe.
    pub fn fingerprint(&self) -> Result<String, EncodeError> {
        Ok(hex(Sha256::digest(self.json()?)))
    }

    /// The first field in which the two differ.
    ///
    /// # Errors
    /// One of them has no JSON form.
    pub fn difference(&self, other: &Self) -> Result<Option<String>, EncodeError> {
        let (a, b) = (json_value("a recipe", self)?, json_value("a recipe", other)?);
        let fields = |recipe: &Value| recipe.as_object().cloned().unwrap_or_default();
        let (a, b) = (fields(&a), fields(&b));
        let mut keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
        let shown = |v: Option<&Value>| v.map_or("nothing".to_owned(), Value::to_string);
        Ok(keys
            .find(|key| a.get(*key) != b.get(*key))
            .map(|key| format!("{key}: {} instead of {}", shown(a.get(key)), shown(b.get(key)))))
    }
}

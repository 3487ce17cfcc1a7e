//! The native architectures: their `config.json` and the names of their weights.

use std::path::Path;

use burn::tensor::Device;
use serde_json::Value;

use super::EncodeError;
use super::error::{io_error, malformed};
use super::layers::{Activation, Block, BlockNames, Dims, Linear, Norm};
use super::tower::{Embedding, Tower};
use super::weights::{self, Weights};

/// Limit of widths, depths and other sizes, far above those of real models.
const MOST: u64 = 1 << 24;

/// The inputs of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    Text,
    Image,
}

impl Modality {
    /// The name in recipes and options: `text` or `image`.
    pub fn name(self) -> &'static str {
        if self == Self::Text { "text" } else { "image" }
    }

    /// The word for one input in messages.
    pub fn input(self) -> &'static str {
        if self == Self::Text { "text" } else { "picture" }
    }
}

/// A native architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    Bert,
    Vit,
    ClipText,
    ClipVision,
}

/// A tower with its configuration of inputs.
pub(super) struct Loaded {
    pub family: Family,
    pub tower: Tower,
    /// Longest text in tokens, or side of a picture in pixels.
    pub input_size: usize,
    /// Number of rows of the word table.
    pub vocabulary: usize,
}

/// A `config.json` whose numbers are checked against bounds.
struct Config<'a> {
    path: &'a Path,
    root: &'a Value,
}

impl Config<'_> {
    fn number(&self, key: &str, default: Option<usize>) -> Result<usize, EncodeError> {
        match (self.root.get(key).filter(|v| !v.is_null()), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(malformed(self.path, format!("no {key:?}"))),
            (Some(value), _) => value
                .as_u64()
                .filter(|n| (1..=MOST).contains(n))
                .map(|n| n as usize)
                .ok_or_else(|| malformed(self.path, format!("{key:?} is {value}, not 1 to {MOST}"))),
        }
    }

    /// Width, heads and other sizes, whose keys all families share.
    fn dims(&self, eps: f64, activation: &str) -> Result<Dims, EncodeError> {
        let width = self.number("hidden_size", None)?;
        let heads = self.number("num_attention_heads", None)?;
        if width % heads != 0 {
            let reason = format!("hidden_size {width} is no multiple of num_attention_heads {heads}");
            return Err(malformed(self.path, reason));
        }
        let inner = self.number("intermediate_size", None)?;
        let eps = self.root.get("layer_norm_eps").and_then(Value::as_f64).unwrap_or(eps);
        let name = self.root.get("hidden_act").and_then(Value::as_str).unwrap_or(activation);
        let activation = Activation::named(name).ok_or_else(|| EncodeError::Unsupported {
            path: self.path.to_owned(),
            what: format!("hidden_act {name:?}"),
            hint: "export the model as ONNX and give the .onnx file".into(),
        })?;
        Ok(Dims { width, heads, inner, eps, activation })
    }
}

/// Reads `config.json` and `model.safetensors` of `folder` for `modality`.
pub(super) fn load(folder: &Path, modality: Modality, device: &Device) -> Result<Loaded, EncodeError> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(io_error(&path))?;
    let root: Value = serde_json::from_str(&text).map_err(|e| malformed(&path, e))?;
    let kind = root.get("model_type").and_then(Value::as_str).unwrap_or("").to_owned();
    let mut weights = Weights::open(&weights::files(folder)?, device)?;
    let config = Config { path: &path, root: &root };
    let wrong = |reads: &'static str| EncodeError::WrongModality {
        path: path.clone(),
        family: kind.clone(),
        reads,
        asked: modality.name(),
    };
    match (kind.as_str(), modality) {
        ("bert", Modality::Text) => bert(&config, weights, device),
        ("vit", Modality::Image) => vit(&config, weights, device),
        ("clip_text_model", Modality::Text) => clip_text(&config, weights, device),
        ("clip_vision_model", Modality::Image) => clip_vision(&config, weights, device),
        ("clip", _) => {
            let (part, other) = match modality {
                Modality::Text => ("text_config", "vision"),
                Modality::Image => ("vision_config", "text"),
            };
            let mut inner = root.get(part).cloned().unwrap_or_default();
            // Both towers project to the width of the whole model.
            if let (Some(object), Some(width)) = (inner.as_object_mut(), root.get("projection_dim")) {
                object.insert("projection_dim".into(), width.clone());
            }
            clip_defaults(&mut inner, modality);
            weights.ignore(&format!("{other}_model."));
            weights.ignore(if modality == Modality::Text {
                "visual_projection."
            } else {
                "text_projection."
            });
            weights.ignore("logit_scale");
            let config = Config { path: &path, root: &inner };
            match modality {
                Modality::Text => clip_text(&config, weights, device),
                Modality::Image => clip_vision(&config, weights, device),
            }
        }
        ("bert" | "clip_text_model", Modality::Image) => Err(wrong("text")),
        ("vit" | "clip_vision_model", Modality::Text) => Err(wrong("image")),
        (other, _) => Err(EncodeError::Unsupported {
            path: path.clone(),
            what: format!("model_type {other:?} is not native (bert, vit, clip are)"),
            hint: "export the model as ONNX and give the .onnx file".into(),
        }),
    }
}

/// Defaults of older CLIP files, which omit what equals the library's ViT-B/32.
fn clip_defaults(inner: &mut Value, modality: Modality) {
    let defaults = match modality {
        Modality::Text => serde_json::json!({"hidden_size": 512, "intermediate_size": 2048,
            "num_hidden_layers": 12, "num_attention_heads": 8, "vocab_size": 49408,
            "max_position_embeddings": 77}),
        Modality::Image => serde_json::json!({"hidden_size": 768, "intermediate_size": 3072,
            "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224, "patch_size": 32}),
    };
    if !inner.is_object() {
        *inner = serde_json::json!({});
    }
    if let (Some(inner), Value::Object(defaults)) = (inner.as_object_mut(), defaults) {
        for (key, value) in defaults {
            inner.entry(key).or_insert(value);
        }
    }
}

const BERT: BlockNames = BlockNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    feed_forward_norm: "output.LayerNorm",
    norm_first: false,
};

const VIT: BlockNames = BlockNames {
    query: "attention.attention.query",
    key: "attention.attention.key",
    value: "attention.attention.value",
    output: "attention.output.dense",
    attention_norm: "layernorm_before",
    up: "intermediate.dense",
    down: "output.dense",
    feed_forward_norm: "layernorm_after",
    norm_first: true,
};

const CLIP: BlockNames = BlockNames {
    query: "self_attn.q_proj",
    key: "self_attn.k_proj",
    value: "self_attn.v_proj",
    output: "self_attn.out_proj",
    attention_norm: "layer_norm1",
    up: "mlp.fc1",
    down: "mlp.fc2",
    feed_forward_norm: "layer_norm2",
    norm_first: true,
};

fn blocks(
    w: &mut Weights,
    config: &Config,
    prefix: &str,
    names: &BlockNames,
    dims: Dims,
) -> Result<Vec<Block>, EncodeError> {
    let depth = config.number("num_hidden_layers", None)?;
    if depth > 1000 {
        return Err(malformed(config.path, format!("\"num_hidden_layers\" is {depth}")));
    }
    (0..depth).map(|n| Block::read(w, &format!("{prefix}.{n}"), names, dims)).collect()
}

fn bert(config: &Config, mut w: Weights, device: &Device) -> Result<Loaded, EncodeError> {
    if let Some(kind) = config.root.get("position_embedding_type").and_then(Value::as_str)
        && kind != "absolute"
    {
        return Err(malformed(config.path, format!("position_embedding_type {kind:?} is not supported")));
    }
    let dims = config.dims(1e-12, "gelu")?;
    let d = dims.width;
    let vocabulary = config.number("vocab_size", None)?;
    let positions = config.number("max_position_embeddings", Some(512))?;
    let segments = config.number("type_vocab_size", Some(2))?;
    w.choose_prefix(&["", "bert."], "embeddings.word_embeddings.weight");
    let word_vd = w.take("embeddings.word_embeddings.weight", [vocabulary, d])?;
    let position_td = w.take("embeddings.position_embeddings.weight", [positions, d])?;
    let segment = w.take("embeddings.token_type_embeddings.weight", [segments, d])?;
    let segment_d = Some(segment.narrow(0, 0, 1).flatten::<1>(0, 1));
    let norm = Some(Norm::read(&mut w, "embeddings.LayerNorm", d, dims.eps)?);
    let blocks = blocks(&mut w, config, "encoder.layer", &BERT, dims)?;
    for head in ["pooler.", "bert.pooler.", "cls.", "embeddings.position_ids", "bert.embeddings.position_ids"]
    {
        w.ignore(head);
    }
    w.finish()?;
    let embedding = Embedding::Text { word_vd, position_td, segment_d, norm };
    let tower = Tower {
        embedding,
        blocks,
        final_norm: None,
        projection: None,
        causal: false,
        heads: dims.heads,
        width: d,
        projected: d,
        end_id: None,
        device: device.clone(),
    };
    Ok(Loaded { family: Family::Bert, tower, input_size: positions, vocabulary })
}

/// Patch and token counts of a square picture.
fn patches(config: &Config) -> Result<(usize, usize, usize), EncodeError> {
    let side = config.number("image_size", Some(224))?;
    let patch = config.number("patch_size", Some(16))?;
    if side > 4096 || patch > side || config.number("num_channels", Some(3))? != 3 {
        let reason = format!("pictures of {side} pixels in patches of {patch}, or not 3 channels");
        return Err(malformed(config.path, reason));
    }
    Ok((side, patch, (side / patch).pow(2) + 1))
}

fn vit(config: &Config, mut w: Weights, device: &Device) -> Result<Loaded, EncodeError> {
    let dims = config.dims(1e-12, "gelu")?;
    let d = dims.width;
    let (side, patch, tokens) = patches(config)?;
    w.choose_prefix(&["", "vit."], "embeddings.cls_token");
    let class = w.take("embeddings.cls_token", [1, 1, d])?;
    let position = w.take("embeddings.position_embeddings", [1, tokens, d])?;
    let patch_dcpp = w.take("embeddings.patch_embeddings.projection.weight", [d, 3, patch, patch])?;
    let bias_d = Some(w.take("embeddings.patch_embeddings.projection.bias", [d])?);
    let blocks = blocks(&mut w, config, "encoder.layer", &VIT, dims)?;
    let final_norm = Some(Norm::read(&mut w, "layernorm", d, dims.eps)?);
    for head in ["pooler.", "vit.pooler.", "classifier."] {
        w.ignore(head);
    }
    w.finish()?;
    let embedding = Embedding::Picture {
        patch_dcpp,
        bias_d,
        class_d: class.flatten::<1>(0, 2),
        position_td: position.squeeze_dim(0),
        patch,
        norm: None,
    };
    let tower = Tower {
        embedding,
        blocks,
        final_norm,
        projection: None,
        causal: false,
        heads: dims.heads,
        width: d,
        projected: d,
        end_id: None,
        device: device.clone(),
    };
    Ok(Loaded { family: Family::Vit, tower, input_size: side, vocabulary: 0 })
}

/// Reads the projection, which files of the bare tower lack.
fn projection(
    w: &mut Weights,
    config: &Config,
    name: &str,
    width: usize,
) -> Result<(Option<Linear>, usize), EncodeError> {
    if !w.has(&format!("{name}.weight")) {
        return Ok((None, width));
    }
    let projected = config.number("projection_dim", Some(512))?;
    Ok((Some(Linear::read_without_bias(w, name, width, projected)?), projected))
}

fn clip_text(config: &Config, mut w: Weights, device: &Device) -> Result<Loaded, EncodeError> {
    let dims = config.dims(1e-5, "quick_gelu")?;
    let d = dims.width;
    let vocabulary = config.number("vocab_size", Some(49_408))?;
    let positions = config.number("max_position_embeddings", Some(77))?;
    let prefix = w.prefix_of(&["text_model.", ""], "embeddings.token_embedding.weight");
    let word_vd = w.take(&format!("{prefix}embeddings.token_embedding.weight"), [vocabulary, d])?;
    let position_td = w.take(&format!("{prefix}embeddings.position_embedding.weight"), [positions, d])?;
    let blocks = blocks(&mut w, config, &format!("{prefix}encoder.layers"), &CLIP, dims)?;
    let final_norm = Some(Norm::read(&mut w, &format!("{prefix}final_layer_norm"), d, dims.eps)?);
    let (projection, projected) = projection(&mut w, config, "text_projection", d)?;
    w.ignore(&format!("{prefix}embeddings.position_ids"));
    w.finish()?;
    // The first releases state 2 here, which is not the end token; their reader uses the largest id.
    let end = config.root.get("eos_token_id").and_then(Value::as_u64).unwrap_or(49_407);
    let tower = Tower {
        embedding: Embedding::Text { word_vd, position_td, segment_d: None, norm: None },
        blocks,
        final_norm,
        projection,
        causal: true,
        heads: dims.heads,
        width: d,
        projected,
        end_id: (end != 2).then_some(end as u32),
        device: device.clone(),
    };
    Ok(Loaded { family: Family::ClipText, tower, input_size: positions, vocabulary })
}

fn clip_vision(config: &Config, mut w: Weights, device: &Device) -> Result<Loaded, EncodeError> {
    let dims = config.dims(1e-5, "quick_gelu")?;
    let d = dims.width;
    let (side, patch, tokens) = patches(config)?;
    let prefix = w.prefix_of(&["vision_model.", ""], "embeddings.class_embedding");
    let class_d = w.take(&format!("{prefix}embeddings.class_embedding"), [d])?;
    let patch_dcpp = w.take(&format!("{prefix}embeddings.patch_embedding.weight"), [d, 3, patch, patch])?;
    let position_td = w.take(&format!("{prefix}embeddings.position_embedding.weight"), [tokens, d])?;
    // The name is misspelt in the files.
    let norm = Some(Norm::read(&mut w, &format!("{prefix}pre_layrnorm"), d, dims.eps)?);
    let blocks = blocks(&mut w, config, &format!("{prefix}encoder.layers"), &CLIP, dims)?;
    let final_norm = Some(Norm::read(&mut w, &format!("{prefix}post_layernorm"), d, dims.eps)?);
    let (projection, projected) = projection(&mut w, config, "visual_projection", d)?;
    w.ignore(&format!("{prefix}embeddings.position_ids"));
    w.finish()?;
    let embedding = Embedding::Picture { patch_dcpp, bias_d: None, class_d, position_td, patch, norm };
    let tower = Tower {
        embedding,
        blocks,
        final_norm,
        projection,
        causal: false,
        heads: dims.heads,
        width: d,
        projected,
        end_id: None,
        device: device.clone(),
    };
    Ok(Loaded { family: Family::ClipVision, tower, input_size: side, vocabulary: 0 })
}

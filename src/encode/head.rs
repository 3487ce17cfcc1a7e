//! The modules of sentence-transformers folders after the pooling: dense layers, norms, unit length.
//!
//! They process one vector an input, and are computed on the host for native encoders and ONNX files alike.

use std::path::Path;

use burn::tensor::Device;
use rayon::prelude::*;
use serde_json::Value;

use super::EncodeError;
use super::error::malformed;
use super::tower::Encoded;
use super::weights::Weights;
use crate::artefact::hash_file;

/// Limit of widths.
const MOST: u64 = 1 << 20;
/// PyTorch's default eps, which the module does not change.
const NORM_EPS: f64 = 1e-5;

/// A module after the pooling.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Dense(Dense),
    Norm(LayerNorm),
    /// Scales to length 1.
    Unit,
    /// Keeps the first values.
    Truncate(usize),
}

/// The modules after the pooling, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    steps: Vec<Step>,
    /// Descriptions for the recipe: kind, shape and hash of each module.
    pub described: Vec<String>,
}

/// `activation(W x + b)`, plus `x` or `R x` with a residual connection.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    /// `[in, out]`
    weight: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
    residual: Residual,
    input: usize,
    output: usize,
}

#[derive(Clone, Debug)]
enum Residual {
    None,
    Same,
    /// `[in, out]`
    Mapped(Vec<f32>),
}

#[derive(Clone, Debug)]
pub(super) struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    Identity,
    Tanh,
    Relu,
    Sigmoid,
    Silu,
    Gelu,
}

impl Activation {
    /// The activation of the class that a Dense module's `activation_function` names.
    fn named(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("torch.nn.modules.")? {
            "linear.Identity" => Self::Identity,
            "activation.Tanh" => Self::Tanh,
            "activation.ReLU" => Self::Relu,
            "activation.Sigmoid" => Self::Sigmoid,
            "activation.SiLU" => Self::Silu,
            "activation.GELU" => Self::Gelu,
            _ => return None,
        })
    }

    fn apply(self, x: f32) -> f32 {
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        match self {
            Self::Identity => x,
            Self::Tanh => x.tanh(),
            Self::Relu => x.max(0.0),
            Self::Sigmoid => sigmoid(x),
            Self::Silu => x * sigmoid(x),
            Self::Gelu => {
                let x = f64::from(x);
                (0.5 * x * (1.0 + statrs::function::erf::erf(x / std::f64::consts::SQRT_2))) as f32
            }
        }
    }
}

impl Head {
    /// Appends scaling to length 1.
    pub fn push_unit(&mut self) {
        if matches!(self.steps.last(), Some(Step::Unit)) {
            return;
        }
        self.steps.push(Step::Unit);
        self.described.push("normalize".into());
    }

    /// Appends a truncation to the first `width` values.
    pub fn push_truncation(&mut self, width: usize) {
        self.steps.push(Step::Truncate(width));
        self.described.push(format!("truncate to {width}"));
    }

    /// Removes a final scaling to length 1.
    pub fn pop_unit(&mut self) {
        if matches!(self.steps.last(), Some(Step::Unit)) {
            self.steps.pop();
            self.described.pop();
        }
    }

    /// Removes an initial scaling, which the pooling can do itself. Returns whether there was one.
    pub fn take_first_unit(&mut self) -> bool {
        let first = matches!(self.steps.first(), Some(Step::Unit));
        if first {
            self.steps.remove(0);
            self.described.remove(0);
        }
        first
    }

    /// Appends the Dense module in `dir`.
    pub fn push_dense(&mut self, dir: &Path, config: &Value) -> Result<(), EncodeError> {
        let path = dir.join("config.json");
        let size = |key: &str| size(&path, config, key);
        let (input, output) = (size("in_features")?, size("out_features")?);
        let flag = |key: &str, default: bool| config.get(key).and_then(Value::as_bool).unwrap_or(default);
        let name = config.get("activation_function").and_then(Value::as_str);
        let name = name.unwrap_or("torch.nn.modules.activation.Tanh");
        let activation = Activation::named(name).ok_or_else(|| {
            unknown(&path, format!("activation_function {name:?} of a Dense module is not supported"))
        })?;
        let mut w = Weights::open(&[weights(dir)?], &Device::flex())?;
        let weight = w.values_transposed("linear.weight", input, output)?;
        let bias = if flag("bias", true) {
            w.values("linear.bias", &[output])?.unwrap_or_default()
        } else {
            vec![0.0; output]
        };
        let residual = match (flag("use_residual", false), input == output) {
            (false, _) => Residual::None,
            (true, true) => Residual::Same,
            (true, false) => Residual::Mapped(w.values_transposed("residual.weight", input, output)?),
        };
        w.finish()?;
        let (hash, _) = hash_file(&weights(dir)?)?;
        let kind = name.rsplit('.').next().unwrap_or(name);
        let suffix = if matches!(residual, Residual::None) { "" } else { ", residual" };
        self.described.push(format!("dense {input} to {output}, {kind}{suffix}, sha256 {hash}"));
        self.steps.push(Step::Dense(Dense { weight, bias, activation, residual, input, output }));
        Ok(())
    }

    /// Appends the LayerNorm module in `dir`.
    pub fn push_norm(&mut self, dir: &Path, config: &Value) -> Result<(), EncodeError> {
        let width = size(&dir.join("config.json"), config, "dimension")?;
        let mut w = Weights::open(&[weights(dir)?], &Device::flex())?;
        let weight = w.values("norm.weight", &[width])?.unwrap_or_default();
        let bias = w.values("norm.bias", &[width])?.unwrap_or_default();
        w.finish()?;
        let (hash, _) = hash_file(&weights(dir)?)?;
        self.described.push(format!("layer norm {width}, sha256 {hash}"));
        self.steps.push(Step::Norm(LayerNorm { weight, bias }));
        Ok(())
    }

    /// Width of the result for vectors of `width`, or the reason why the modules don't fit together.
    pub fn width(&self, width: usize) -> Result<usize, String> {
        let mut now = width;
        for step in &self.steps {
            let (takes, gives) = match step {
                Step::Dense(dense) => (dense.input, dense.output),
                Step::Norm(norm) => (norm.weight.len(), norm.weight.len()),
                Step::Unit => (now, now),
                Step::Truncate(width) => (now, now.min(*width)),
            };
            if takes != now {
                return Err(format!("a module takes vectors of {takes}, but gets those of {now}"));
            }
            now = gives;
        }
        Ok(now)
    }

    /// Applies the modules to the vector of each input.
    pub fn apply(&self, mut encoded: Encoded) -> Encoded {
        if self.steps.is_empty() {
            return encoded;
        }
        let rows = encoded.values.par_chunks(encoded.width.max(1));
        let done: Vec<Vec<f32>> = rows
            .map(|row| {
                self.steps.iter().fold(row.to_vec(), |mut row, step| match step {
                    Step::Dense(dense) => dense.apply(&row),
                    Step::Norm(norm) => norm.apply(&row),
                    Step::Unit => {
                        scale_to_unit(&mut row);
                        row
                    }
                    Step::Truncate(width) => {
                        row.truncate(*width);
                        row
                    }
                })
            })
            .collect();
        encoded.width = done.first().map_or(encoded.width, Vec::len);
        encoded.values = done.concat();
        encoded
    }
}

/// The file of a module's weights. Older folders hold them in a format that runs code when it is read, which is
/// refused.
fn weights(dir: &Path) -> Result<std::path::PathBuf, EncodeError> {
    let path = dir.join("model.safetensors");
    if path.exists() {
        return Ok(path);
    }
    Err(EncodeError::Unsupported {
        path: dir.to_owned(),
        what: "the module has no model.safetensors".into(),
        hint:
            "save the model again with a recent sentence-transformers, or name a --pool to have the encoder \
               without it"
                .into(),
    })
}

pub(super) fn unknown(path: &Path, what: String) -> EncodeError {
    EncodeError::Unsupported {
        path: path.to_owned(),
        what,
        hint: "name a --pool to have the encoder without the modules behind the pooling, or encode outside and use \
               `codistill features import`"
            .into(),
    }
}

fn size(path: &Path, config: &Value, key: &str) -> Result<usize, EncodeError> {
    let found = config.get(key).and_then(Value::as_u64).filter(|n| (1..=MOST).contains(n));
    found.map(|n| n as usize).ok_or_else(|| malformed(path, format!("no {key:?} of 1 to {MOST}")))
}

impl Dense {
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = self.bias.clone();
        add_product(&mut y, x, &self.weight);
        y.iter_mut().for_each(|y| *y = self.activation.apply(*y));
        match &self.residual {
            Residual::None => {}
            Residual::Same => y.iter_mut().zip(x).for_each(|(y, x)| *y += x),
            Residual::Mapped(map) => {
                let mut mapped = vec![0.0; y.len()];
                add_product(&mut mapped, x, map);
                y.iter_mut().zip(mapped).for_each(|(y, m)| *y += m);
            }
        }
        y
    }
}

/// Adds `x · map` to `y`, with `map` `[x.len(), y.len()]`.
fn add_product(y: &mut [f32], x: &[f32], map: &[f32]) {
    for (&x, row) in x.iter().zip(map.chunks_exact(y.len().max(1))) {
        for (y, &w) in y.iter_mut().zip(row) {
            *y += x * w;
        }
    }
}

impl LayerNorm {
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let n = x.len().max(1) as f64;
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / (variance + NORM_EPS).sqrt();
        let affine = self.weight.iter().zip(&self.bias);
        x.iter().zip(affine).map(|(&x, (&w, &b))| ((f64::from(x) - mean) * scale) as f32 * w + b).collect()
    }
}

/// Scales to length 1; a vector of zeros stays as it is.
pub(super) fn scale_to_unit(vector: &mut [f32]) {
    let norm = vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
}

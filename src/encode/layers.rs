//! The transformer blocks of BERT, ViT and CLIP, for inference.
//!
//! Unlike [`crate::nn::transformer`], they have biases everywhere, GELU, and norms before or after sublayers. They have
//! no dropout, and use the device's fused attention and norm, which have no gradient.
//!
//! Shapes: `B` inputs, `T` tokens, `D` width, `H` heads, `E` = D/H head width, `F` inner width.

use burn::tensor::activation::{gelu_approximate, relu, sigmoid};
use burn::tensor::module::{attention, layer_norm, linear};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Tensor};

use super::EncodeError;
use super::gelu::gelu;
use super::weights::Weights;
use crate::nn::map_rows;

/// Sizes that the blocks of a model share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dims {
    pub width: usize,
    pub heads: usize,
    pub inner: usize,
    pub eps: f64,
    pub activation: Activation,
}

/// The non-linearity of the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// GELU with the error function.
    Gelu,
    /// GELU with its tanh approximation.
    GeluTanh,
    /// x · sigmoid(1.702 x), as OpenAI trained CLIP.
    QuickGelu,
    Relu,
}

impl Activation {
    /// The activation with Hugging Face's name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Self::GeluTanh,
            "quick_gelu" => Self::QuickGelu,
            "relu" => Self::Relu,
            _ => return None,
        })
    }

    fn apply(self, x_btf: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Gelu => gelu(x_btf),
            Self::GeluTanh => gelu_approximate(x_btf),
            Self::QuickGelu => sigmoid(x_btf.clone() * 1.702) * x_btf,
            Self::Relu => relu(x_btf),
        }
    }
}

/// A linear map with bias.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    weight_io: Tensor<2>,
    bias_o: Option<Tensor<1>>,
}

impl Linear {
    pub fn read(w: &mut Weights, name: &str, input: usize, output: usize) -> Result<Self, EncodeError> {
        let weight_io = w.take_transposed(&format!("{name}.weight"), input, output)?;
        let bias_o = Some(w.take(&format!("{name}.bias"), [output])?);
        Ok(Self { weight_io, bias_o })
    }

    pub fn read_without_bias(
        w: &mut Weights,
        name: &str,
        input: usize,
        output: usize,
    ) -> Result<Self, EncodeError> {
        let weight_io = w.take_transposed(&format!("{name}.weight"), input, output)?;
        Ok(Self { weight_io, bias_o: None })
    }

    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        map_rows(x, |x_ri| linear(x_ri, self.weight_io.clone(), self.bias_o.clone()))
    }
}

/// Layer normalisation over the last axis.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    gamma_d: Tensor<1>,
    beta_d: Tensor<1>,
    eps: f64,
}

impl Norm {
    pub fn read(w: &mut Weights, name: &str, width: usize, eps: f64) -> Result<Self, EncodeError> {
        let gamma_d = w.take(&format!("{name}.weight"), [width])?;
        let beta_d = w.take(&format!("{name}.bias"), [width])?;
        Ok(Self { gamma_d, beta_d, eps })
    }

    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        layer_norm(x, self.gamma_d.clone(), Some(self.beta_d.clone()), self.eps)
    }
}

/// The names of a block's parts in a family.
pub(super) struct BlockNames {
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub output: &'static str,
    pub attention_norm: &'static str,
    pub up: &'static str,
    pub down: &'static str,
    pub feed_forward_norm: &'static str,
    /// Whether norms precede attention and feed-forward instead of following their residual sums.
    pub norm_first: bool,
}

/// Self-attention and feed-forward.
#[derive(Clone, Debug)]
pub(super) struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    feed_forward_norm: Norm,
    norm_first: bool,
    dims: Dims,
}

impl Block {
    /// Reads the block whose names begin with `prefix`.
    pub fn read(w: &mut Weights, prefix: &str, names: &BlockNames, dims: Dims) -> Result<Self, EncodeError> {
        let Dims { width: d, inner: f, eps, .. } = dims;
        let name = |part: &str| format!("{prefix}.{part}");
        Ok(Self {
            query: Linear::read(w, &name(names.query), d, d)?,
            key: Linear::read(w, &name(names.key), d, d)?,
            value: Linear::read(w, &name(names.value), d, d)?,
            output: Linear::read(w, &name(names.output), d, d)?,
            attention_norm: Norm::read(w, &name(names.attention_norm), d, eps)?,
            up: Linear::read(w, &name(names.up), d, f)?,
            down: Linear::read(w, &name(names.down), f, d)?,
            feed_forward_norm: Norm::read(w, &name(names.feed_forward_norm), d, eps)?,
            norm_first: names.norm_first,
            dims,
        })
    }

    /// # Shapes
    /// - x: `[B, T, D]`
    /// - padding: `[B, H, T, T]`, true where a key is padding
    /// - result: `[B, T, D]`
    pub fn forward(&self, x_btd: Tensor<3>, padding: Option<&Tensor<4, Bool>>, causal: bool) -> Tensor<3> {
        if self.norm_first {
            let y = x_btd.clone() + self.attend(self.attention_norm.forward(x_btd), padding, causal);
            y.clone() + self.feed(self.feed_forward_norm.forward(y))
        } else {
            let y = self.attention_norm.forward(x_btd.clone() + self.attend(x_btd, padding, causal));
            self.feed_forward_norm.forward(y.clone() + self.feed(y))
        }
    }

    fn attend(&self, x_btd: Tensor<3>, padding: Option<&Tensor<4, Bool>>, causal: bool) -> Tensor<3> {
        let [b, t, d] = x_btd.dims();
        let h = self.dims.heads;
        let split = |x: Tensor<3>| x.reshape([b, t, h, d / h]).swap_dims(1, 2);
        let q_bhte = split(self.query.forward(x_btd.clone()));
        let k_bhte = split(self.key.forward(x_btd.clone()));
        let v_bhte = split(self.value.forward(x_btd));
        let options = AttentionModuleOptions { scale: None, softcap: None, is_causal: causal };
        let read_bhte = attention(q_bhte, k_bhte, v_bhte, padding.cloned(), None, options);
        self.output.forward(read_bhte.swap_dims(1, 2).reshape([b, t, d]))
    }

    fn feed(&self, x_btd: Tensor<3>) -> Tensor<3> {
        self.down.forward(self.dims.activation.apply(self.up.forward(x_btd)))
    }
}

/// `[B, H, T, T]`, true where the key is padding after its input's `lengths` valid tokens; `None` if all are valid.
pub(super) fn padding_mask(
    lengths: &[usize],
    tokens: usize,
    heads: usize,
    device: &burn::tensor::Device,
) -> Option<Tensor<4, Bool>> {
    if lengths.iter().all(|&n| n == tokens) {
        return None;
    }
    let padded: Vec<bool> = lengths.iter().flat_map(|&n| (0..tokens).map(move |t| t >= n)).collect();
    let data = burn::tensor::TensorData::new(padded, [lengths.len(), 1, 1, tokens]);
    let mask = Tensor::<4, Bool>::from_data(data, device);
    Some(mask.expand([lengths.len(), heads, tokens, tokens]))
}

//! A student: item vectors from one view, and its own user encoder.
//!
//! Shapes: `N` items, `D` width.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::leaky_relu;

use super::encoder::{EncoderContext, UserEncoder};
use crate::config::{BranchConfig, ModelConfig};
use crate::nn::Init;
use crate::nn::init::Scheme;

/// Slope of the item map's LeakyReLU (docs/odmt.md, section 2.1).
const LEAKY_SLOPE: f64 = 0.01;

/// One student.
#[derive(Module, Debug)]
pub struct Branch {
    pub mlp: Option<ItemMlp>,
    pub encoder: UserEncoder,
}

/// The two-layer map behind the tower (docs/odmt.md, section 2.3).
#[derive(Module, Debug)]
pub struct ItemMlp {
    pub first: Linear,
    pub second: Linear,
}

impl Branch {
    pub fn new(branch: &BranchConfig, model: &ModelConfig, max_seq_len: usize, init: &mut Init) -> Self {
        let d = model.width;
        let mlp = branch.item_mlp.then(|| ItemMlp {
            first: init.linear(d, d, true, Scheme::Uniform),
            second: init.linear(d, d, true, Scheme::Uniform),
        });
        let context = EncoderContext { width: d, max_seq_len, layer_norm_eps: model.layer_norm_eps };
        Self { mlp, encoder: UserEncoder::new(&branch.encoder, context, init) }
    }

    /// # Shapes
    /// `[N, D] -> [N, D]`
    pub fn item_vectors(&self, x_nd: Tensor<2>) -> Tensor<2> {
        match &self.mlp {
            Some(mlp) => mlp.second.forward(leaky_relu(mlp.first.forward(x_nd), LEAKY_SLOPE)),
            None => x_nd,
        }
    }
}

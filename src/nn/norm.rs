//! Layer normalisation with biased variance, as PyTorch computes it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::Init;

/// `(x - mean) / sqrt(var + eps) * gamma + beta` over the last axis.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale `[d]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift `[d]`.
    pub beta: Param<Tensor<1>>,
    eps: f64,
}

impl LayerNorm {
    pub fn new(width: usize, eps: f64, init: &mut Init) -> Self {
        Self { gamma: init.constant([width], 1.0), beta: init.constant([width], 0.0), eps }
    }

    /// # Shapes
    /// `[.., d] -> [.., d]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let centred = x.clone() - x.mean_dim(D - 1);
        let variance = centred.clone().square().mean_dim(D - 1);
        let normed = centred / (variance + self.eps).sqrt();
        normed * self.gamma.val().unsqueeze() + self.beta.val().unsqueeze()
    }
}

//! Layer normalisation with biased variance, as PyTorch computes it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::Init;
use crate::ops::norm::layer_norm;
use crate::ops::use_kernels;

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

    /// What keeps the root from 0.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// # Shapes
    /// `[.., d] -> [.., d]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if use_kernels(&x.device()) {
            return layer_norm(x, self.gamma.val(), self.beta.val(), self.eps);
        }
        let centred = x.clone() - x.mean_dim(D - 1);
        let variance = centred.clone().square().mean_dim(D - 1);
        let normed = centred / (variance + self.eps).sqrt();
        normed * self.gamma.val().unsqueeze() + self.beta.val().unsqueeze()
    }
}

//! Linear maps and layer normalisation over the last axis.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::Init;
use crate::ops::norm::layer_norm;
use crate::ops::use_kernels;

/// `x W + b`, with all leading axes folded into rows: one matrix product forward and one for each gradient.
///
/// Burn's own map keeps the leading axes for most shapes. Its weight gradient is then one matrix for each of their
/// entries, summed afterwards, which cost a third of a training step.
///
/// # Shapes
/// `[.., D] -> [.., O]`
pub fn linear<const R: usize>(map: &Linear, x: Tensor<R>) -> Tensor<R> {
    map_rows(x, |x_rd| map.forward(x_rd))
}

/// Applies a map of rows, `[rows, D] -> [rows, O]`, to the last axis.
///
/// # Shapes
/// `[.., D] -> [.., O]`
pub fn map_rows<const R: usize>(x: Tensor<R>, map: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<R> {
    let mut shape = x.dims();
    let width = shape[R - 1];
    let rows = shape[..R - 1].iter().product::<usize>();
    let y_ro = map(x.reshape([rows, width]));
    [_, shape[R - 1]] = y_ro.dims();
    y_ro.reshape(shape)
}

/// `(x - mean) / sqrt(var + eps) * gamma + beta` over the last axis, with biased variance as in PyTorch.
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

    /// The constant under the root.
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

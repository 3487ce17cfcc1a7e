//! Dilated causal convolutions over a sequence (NextItNet, Yuan et al. 2019).
//!
//! Shapes: `B` sequences, `S` positions, `D` width, `K` kernel taps.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::init::Scheme;
use super::{Init, LayerNorm, linear};

/// A causal convolution, computed as one matrix product over K shifted copies of the input.
#[derive(Module, Debug)]
pub struct CausalConv {
    /// `[K·D, D]`; tap k reads the input `(K - 1 - k) · dilation` positions earlier.
    pub taps: Linear,
    kernel: usize,
    dilation: usize,
}

impl CausalConv {
    pub fn new(width: usize, kernel: usize, dilation: usize, init: &mut Init) -> Self {
        Self { taps: init.linear(kernel * width, width, true, Scheme::Uniform), kernel, dilation }
    }

    /// # Shapes
    /// `[B, S, D] -> [B, S, D]`
    pub fn forward(&self, x_bsd: Tensor<3>) -> Tensor<3> {
        let [b, s, d] = x_bsd.dims();
        let reach = (self.kernel - 1) * self.dilation;
        let padding = Tensor::<3>::zeros([b, reach, d], &x_bsd.device());
        let padded = Tensor::cat(vec![padding, x_bsd], 1);
        let shifted = (0..self.kernel).map(|k| padded.clone().narrow(1, k * self.dilation, s)).collect();
        linear(&self.taps, Tensor::cat(shifted, 2))
    }
}

/// Residual block: two convolutions, the second with doubled dilation, each with norm and ReLU.
#[derive(Module, Debug)]
pub struct ResidualConv {
    pub first: CausalConv,
    pub first_norm: LayerNorm,
    pub second: CausalConv,
    pub second_norm: LayerNorm,
}

impl ResidualConv {
    pub fn new(width: usize, kernel: usize, dilation: usize, eps: f64, init: &mut Init) -> Self {
        Self {
            first: CausalConv::new(width, kernel, dilation, init),
            first_norm: LayerNorm::new(width, eps, init),
            second: CausalConv::new(width, kernel, 2 * dilation, init),
            second_norm: LayerNorm::new(width, eps, init),
        }
    }

    /// Padding positions are set to 0 before each convolution, so that left padding is invisible.
    ///
    /// # Shapes
    /// - x: `[B, S, D]`
    /// - real: `[B, S, 1]`
    /// - result: `[B, S, D]`
    pub fn forward(&self, x_bsd: Tensor<3>, real_bs1: &Tensor<3>) -> Tensor<3> {
        let x = x_bsd * real_bs1.clone();
        let y = relu(self.first_norm.forward(self.first.forward(x.clone()))) * real_bs1.clone();
        x + relu(self.second_norm.forward(self.second.forward(y)))
    }
}

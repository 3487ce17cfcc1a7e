//! Gated recurrent units with PyTorch's equations and gate order (reset, update, new).
//!
//! Shapes: `B` sequences, `S` positions, `D` width.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, tanh};

use super::init::Scheme;
use super::{Init, linear};

/// One layer: `h_t = (1 - z) n + z h_(t-1)`.
#[derive(Module, Debug)]
pub struct GruLayer {
    /// `[D, 3D]`
    pub input: Linear,
    /// `[D, 3D]`
    pub hidden: Linear,
    width: usize,
}

impl GruLayer {
    pub fn new(width: usize, init: &mut Init) -> Self {
        // PyTorch draws every GRU weight within ±1/sqrt(hidden size).
        let mut gates = || init.linear(width, 3 * width, true, Scheme::Uniform);
        Self { input: gates(), hidden: gates(), width }
    }

    /// Positions where `real_bs1` is 0 leave the hidden state at 0, so that left padding is invisible.
    ///
    /// # Shapes
    /// - x: `[B, S, D]`
    /// - real: `[B, S, 1]`
    /// - result: `[B, S, D]`
    pub fn forward(&self, x_bsd: Tensor<3>, real_bs1: &Tensor<3>) -> Tensor<3> {
        let [b, s, d] = x_bsd.dims();
        let input_bsg = linear(&self.input, x_bsd.clone());
        let mut h_bd = Tensor::<2>::zeros([b, d], &x_bsd.device());
        let mut outputs = Vec::with_capacity(s);
        for t in 0..s {
            let input_bg = input_bsg.clone().narrow(1, t, 1).reshape([b, 3 * d]);
            let hidden_bg = self.hidden.forward(h_bd.clone());
            let gate = |x: &Tensor<2>, k: usize| x.clone().narrow(1, k * self.width, self.width);
            let reset = sigmoid(gate(&input_bg, 0) + gate(&hidden_bg, 0));
            let update = sigmoid(gate(&input_bg, 1) + gate(&hidden_bg, 1));
            let new = tanh(gate(&input_bg, 2) + reset * gate(&hidden_bg, 2));
            let next_bd = new.clone() + update * (h_bd - new);
            h_bd = next_bd * real_bs1.clone().narrow(1, t, 1).reshape([b, 1]);
            outputs.push(h_bd.clone().reshape([b, 1, d]));
        }
        Tensor::cat(outputs, 1)
    }
}

/// A stack of layers with an output map.
#[derive(Module, Debug)]
pub struct Gru {
    pub layers: Vec<GruLayer>,
    /// Output map, as in the published GRU4Rec re-implementations.
    pub output: Linear,
}

impl Gru {
    pub fn new(width: usize, layers: usize, init: &mut Init) -> Self {
        let layers = (0..layers).map(|_| GruLayer::new(width, init)).collect();
        Self { layers, output: init.linear(width, width, true, Scheme::XavierNormal) }
    }

    /// # Shapes
    /// As [`GruLayer::forward`].
    pub fn forward(&self, x_bsd: Tensor<3>, real_bs1: &Tensor<3>) -> Tensor<3> {
        let read = self.layers.iter().fold(x_bsd, |x, layer| layer.forward(x, real_bs1));
        linear(&self.output, read)
    }
}

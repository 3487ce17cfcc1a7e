//! The post-norm transformer block of ODMT (odmt.md 2.2), used by the item tower and by SASRec.
//!
//! Shapes: `N` sequences, `L` positions, `Q` query positions, `D` width, `H` heads, `E` = D/H head width.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, softmax};

use super::init::Scheme;
use super::{Init, LayerNorm, linear};
use crate::ops::Noise;

/// What a block needs to know.
#[derive(Clone, Copy, Debug)]
pub struct BlockConfig {
    pub width: usize,
    pub heads: usize,
    pub layer_norm_eps: f64,
    pub scheme: Scheme,
}

/// Attention and feed-forward, each followed by dropout, residual and norm.
#[derive(Module, Debug)]
pub struct Block {
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub output: Linear,
    pub attention_norm: LayerNorm,
    /// d -> 4d
    pub up: Linear,
    /// 4d -> d
    pub down: Linear,
    pub feed_forward_norm: LayerNorm,
    heads: usize,
}

impl Block {
    pub fn new(config: BlockConfig, init: &mut Init) -> Self {
        let BlockConfig { width: d, heads, layer_norm_eps: eps, scheme } = config;
        Self {
            query: init.linear(d, d, false, scheme),
            key: init.linear(d, d, false, scheme),
            value: init.linear(d, d, false, scheme),
            output: init.linear(d, d, false, scheme),
            attention_norm: LayerNorm::new(d, eps, init),
            up: init.linear(d, 4 * d, true, scheme),
            down: init.linear(4 * d, d, true, scheme),
            feed_forward_norm: LayerNorm::new(d, eps, init),
            heads,
        }
    }

    /// Every position is a query.
    ///
    /// # Shapes
    /// - x: `[N, L, D]`
    /// - mask: added to the scores, broadcastable to `[N, H, L, L]`
    /// - result: `[N, L, D]`
    pub fn forward(&self, x_nld: Tensor<3>, mask: Option<&Tensor<4>>, noise: &mut Noise) -> Tensor<3> {
        let [n, l, d] = x_nld.dims();
        let split = |x: Tensor<3>| x.reshape([n, l, self.heads, d / self.heads]).swap_dims(1, 2);
        let q_nhle = split(linear(&self.query, x_nld.clone()));
        let k_nhle = split(linear(&self.key, x_nld.clone()));
        let v_nhle = split(linear(&self.value, x_nld.clone()));
        let scores_nhll = q_nhle.matmul(k_nhle.swap_dims(2, 3));
        let weights_nhll = self.weights(scores_nhll, mask, noise);
        let read_nld = weights_nhll.matmul(v_nhle).swap_dims(1, 2).reshape([n, l, d]);
        self.finish(x_nld, read_nld, noise)
    }

    /// Only the positions in `x_nqd` are queries; all of `x_nld` are keys and values.
    ///
    /// The key and value maps move to the query side (odmt.md 10.4, saving 2): their products run over Q
    /// positions instead of L. Same result up to rounding.
    ///
    /// # Shapes
    /// - queries: `[N, Q, D]`, a selection of x's positions
    /// - x: `[N, L, D]`
    /// - mask: broadcastable to `[N, H, Q, L]`
    /// - result: `[N, Q, D]`
    pub fn forward_readout(
        &self,
        x_nqd: Tensor<3>,
        x_nld: Tensor<3>,
        mask: Option<&Tensor<4>>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        let [n, q, d] = x_nqd.dims();
        let [_, l, _] = x_nld.dims();
        let (h, e) = (self.heads, d / self.heads);
        // [N, Q, H, E] -> [H, N·Q, E]
        let by_head = |x: Tensor<3>| x.reshape([n * q, h, e]).swap_dims(0, 1);
        let q_hme = by_head(linear(&self.query, x_nqd.clone()));
        // W_K is [D, H·E]; as [H, E, D] it turns a query into a vector the raw tokens can be scored with.
        let key_hed = self.key.weight.val().reshape([d, h, e]).permute([1, 2, 0]);
        let probe_hmd = q_hme.matmul(key_hed);
        let probe_nrd = probe_hmd.reshape([h, n, q, d]).permute([1, 0, 2, 3]).reshape([n, h * q, d]);
        let scores_nrl = probe_nrd.matmul(x_nld.clone().swap_dims(1, 2));
        let weights = self.weights(scores_nrl.reshape([n, h, q, l]), mask, noise);
        let mixed_nrd = weights.reshape([n, h * q, l]).matmul(x_nld);
        let mixed_hmd = mixed_nrd.reshape([n, h, q, d]).swap_dims(0, 1).reshape([h, n * q, d]);
        let value_hde = self.value.weight.val().reshape([d, h, e]).swap_dims(0, 1);
        let read_nqd = mixed_hmd.matmul(value_hde).swap_dims(0, 1).reshape([n, q, d]);
        self.finish(x_nqd, read_nqd, noise)
    }

    fn weights(&self, scores: Tensor<4>, mask: Option<&Tensor<4>>, noise: &mut Noise) -> Tensor<4> {
        let [.., d] = self.query.weight.dims();
        let scaled = scores / ((d / self.heads) as f64).sqrt();
        let masked = match mask {
            Some(mask) => scaled + mask.clone(),
            None => scaled,
        };
        noise.dropout(softmax(masked, 3))
    }

    /// Output map, residuals, norms and feed-forward.
    fn finish(&self, x: Tensor<3>, read: Tensor<3>, noise: &mut Noise) -> Tensor<3> {
        let attended = noise.dropout(linear(&self.output, read));
        let y = self.attention_norm.forward(x + attended);
        let z = linear(&self.down, relu(linear(&self.up, y.clone())));
        let z = noise.dropout(z);
        self.feed_forward_norm.forward(y + z)
    }
}

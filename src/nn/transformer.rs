//! The post-norm transformer block of ODMT (docs/odmt.md, section 2.2), used by the item tower and by SASRec.
//!
//! Shapes: `N` sequences, `L` positions, `Q` query positions, `D` width, `H` heads, `E` = D/H head width.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor, TensorData};

use super::init::Scheme;
use super::{Init, LayerNorm, linear};
use crate::ops::feed_forward::{FeedForward, FeedForwardWeights, feed_forward};
use crate::ops::readout::{Readout, readout};
use crate::ops::rows::Rows;
use crate::ops::self_attention::{Added, AttentionWeights, Mask, SelfAttention, self_attention};
use crate::ops::{Noise, use_kernels};

/// Added to the score of a key that may not be read: the authors' value for user encoders. In f32 it swallows the score
/// (the next number is 64 away), so that a padded query, which has no readable key, weighs all keys alike. The item tower,
/// where every query can read itself, and the objective need no such value and have others.
const BLOCKED: f32 = -1e9;

/// Shape and initialisation of a block.
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

    /// The block's result at every position.
    ///
    /// # Shapes
    /// - x: `[N, L, D]`
    /// - rows: the real positions of `[N, L]`; the result is undefined at the others
    /// - result: `[N, L, D]`
    pub fn forward(&self, x_nld: Tensor<3>, rows: &Rows, mask: &Mask, noise: &mut Noise) -> Tensor<3> {
        if !use_kernels(&x_nld.device()) {
            return self.composed(x_nld, rows, mask, noise);
        }
        let layer = SelfAttention {
            rows: rows.clone(),
            heads: self.heads,
            mask: mask.clone(),
            weights: noise.draw(),
            output: noise.draw(),
            eps: self.attention_norm.eps() as f32,
        };
        let y_nld = self_attention(x_nld, self.attention_weights(), layer);
        self.fused_feed_forward(y_nld, rows.clone(), noise)
    }

    /// The block's result at the positions `queries`; all positions are keys and values.
    ///
    /// The key and value maps move to the query side (docs/odmt.md, section 7, saving 2): their products run over Q
    /// positions instead of L. Same result up to rounding.
    ///
    /// # Shapes
    /// - x: `[N, L, D]`
    /// - mask: added to the scores, `[N or 1, Q, L]`
    /// - result: `[N, Q, D]`
    pub fn forward_readout(
        &self,
        x_nld: Tensor<3>,
        queries: &[usize],
        mask: Option<&Added>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        if !use_kernels(&x_nld.device()) {
            return self.composed_readout(x_nld, queries, mask, noise);
        }
        let [items, tokens, _] = x_nld.dims();
        let layer = Readout {
            queries: queries.to_vec(),
            tokens,
            items,
            heads: self.heads,
            mask: mask.cloned(),
            weights: noise.draw(),
            output: noise.draw(),
            eps: self.attention_norm.eps() as f32,
        };
        let y_nqd = readout(x_nld, self.attention_weights(), layer);
        self.fused_feed_forward(y_nqd, Rows::all(items, queries.len()), noise)
    }

    fn attention_weights(&self) -> AttentionWeights<Tensor<2>, Tensor<1>> {
        AttentionWeights {
            query: self.query.weight.val(),
            key: self.key.weight.val(),
            value: self.value.weight.val(),
            output: self.output.weight.val(),
            gamma: self.attention_norm.gamma.val(),
            beta: self.attention_norm.beta.val(),
        }
    }

    fn fused_feed_forward(&self, y: Tensor<3>, rows: Rows, noise: &mut Noise) -> Tensor<3> {
        let weights = FeedForwardWeights {
            up: self.up.weight.val(),
            up_bias: bias(&self.up),
            down: self.down.weight.val(),
            down_bias: bias(&self.down),
            gamma: self.feed_forward_norm.gamma.val(),
            beta: self.feed_forward_norm.beta.val(),
        };
        let eps = self.feed_forward_norm.eps() as f32;
        feed_forward(y, weights, FeedForward { rows, draw: noise.draw(), eps })
    }

    /// [`Self::forward`] composed of tensor operations, for any device.
    fn composed(&self, x_nld: Tensor<3>, rows: &Rows, mask: &Mask, noise: &mut Noise) -> Tensor<3> {
        let [n, l, d] = x_nld.dims();
        let split = |x: Tensor<3>| x.reshape([n, l, self.heads, d / self.heads]).swap_dims(1, 2);
        let q_nhle = split(linear(&self.query, x_nld.clone()));
        let k_nhle = split(linear(&self.key, x_nld.clone()));
        let v_nhle = split(linear(&self.value, x_nld.clone()));
        let scores_nhll = q_nhle.matmul(k_nhle.swap_dims(2, 3));
        let mask = mask_tensor(mask, rows, &x_nld.device());
        let weights_nhll = self.weights(scores_nhll, mask, noise);
        let read_nld = weights_nhll.matmul(v_nhle).swap_dims(1, 2).reshape([n, l, d]);
        self.finish(x_nld, read_nld, noise)
    }

    /// [`Self::forward_readout`] composed of tensor operations, for any device.
    fn composed_readout(
        &self,
        x_nld: Tensor<3>,
        queries: &[usize],
        mask: Option<&Added>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        let read: Vec<Tensor<3>> = queries.iter().map(|&q| x_nld.clone().narrow(1, q, 1)).collect();
        let x_nqd = Tensor::cat(read, 1);
        let [n, q, d] = x_nqd.dims();
        let [_, l, _] = x_nld.dims();
        let (h, e) = (self.heads, d / self.heads);
        // [N, Q, H, E] -> [H, N·Q, E]
        let head_first = |x: Tensor<3>| x.reshape([n * q, h, e]).swap_dims(0, 1);
        let q_hme = head_first(linear(&self.query, x_nqd.clone()));
        // W_K is [D, H·E]; as [H, E, D] it turns a query into a vector the raw tokens can be scored with.
        let key_hed = self.key.weight.val().reshape([d, h, e]).permute([1, 2, 0]);
        let probe_hmd = q_hme.matmul(key_hed);
        let probe_nrd = probe_hmd.reshape([h, n, q, d]).permute([1, 0, 2, 3]).reshape([n, h * q, d]);
        let scores_nrl = probe_nrd.matmul(x_nld.clone().swap_dims(1, 2));
        let mask = mask.map(|added| added_tensor(added, &x_nld.device()));
        let weights = self.weights(scores_nrl.reshape([n, h, q, l]), mask, noise);
        let mixed_nrd = weights.reshape([n, h * q, l]).matmul(x_nld);
        let mixed_hmd = mixed_nrd.reshape([n, h, q, d]).swap_dims(0, 1).reshape([h, n * q, d]);
        let value_hde = self.value.weight.val().reshape([d, h, e]).swap_dims(0, 1);
        let read_nqd = mixed_hmd.matmul(value_hde).swap_dims(0, 1).reshape([n, q, d]);
        self.finish(x_nqd, read_nqd, noise)
    }

    fn weights(&self, scores: Tensor<4>, mask: Option<Tensor<4>>, noise: &mut Noise) -> Tensor<4> {
        let [.., d] = self.query.weight.dims();
        let scaled = scores / ((d / self.heads) as f64).sqrt();
        let masked = match mask {
            Some(mask) => scaled + mask,
            None => scaled,
        };
        noise.dropout(softmax(masked, 3))
    }

    /// The part of a block behind the attention: output map, residuals, norms and feed-forward.
    fn finish(&self, x: Tensor<3>, read: Tensor<3>, noise: &mut Noise) -> Tensor<3> {
        let attended = noise.dropout(linear(&self.output, read));
        let y = self.attention_norm.forward(x + attended);
        let z = linear(&self.down, relu(linear(&self.up, y.clone())));
        let z = noise.dropout(z);
        self.feed_forward_norm.forward(y + z)
    }
}

/// The bias of a map; zeros where it has none.
fn bias(map: &Linear) -> Tensor<1> {
    let [_, out] = map.weight.dims();
    match &map.bias {
        Some(bias) => bias.val(),
        None => Tensor::zeros([out], &map.weight.device()),
    }
}

/// The mask to add to the scores, `[N or 1, 1, L, L]`; `None` where every query attends to every key.
fn mask_tensor(mask: &Mask, rows: &Rows, device: &Device) -> Option<Tensor<4>> {
    match mask {
        Mask::Open => None,
        Mask::Added(added) => Some(added_tensor(added, device)),
        Mask::Causal => {
            let (n, l) = (rows.sequences, rows.positions);
            let causal: Vec<f32> = (0..l * l).map(|i| if i % l <= i / l { 0.0 } else { BLOCKED }).collect();
            let causal_11ll = Tensor::<4>::from_data(TensorData::new(causal, [1, 1, l, l]), device);
            // A padded query has no key left: its softmax is uniform, and its result is not read.
            let padding = (0..n).flat_map(|n| {
                let real = rows.range(n);
                (n * l..(n + 1) * l).map(move |row| if real.contains(&row) { 0.0 } else { BLOCKED })
            });
            let padding: Vec<f32> = padding.collect();
            let padding_n11l = Tensor::<4>::from_data(TensorData::new(padding, [n, 1, 1, l]), device);
            Some(causal_11ll + padding_n11l)
        }
    }
}

/// `[N or 1, 1, Q, L]`
fn added_tensor(added: &Added, device: &Device) -> Tensor<4> {
    let n = added.values.len() / (added.queries * added.keys).max(1);
    let shape = [n, 1, added.queries, added.keys];
    Tensor::from_data(TensorData::new(added.values.to_vec(), shape), device)
}

#[cfg(test)]
#[path = "transformer_tests.rs"]
mod tests;

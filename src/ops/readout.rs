//! The attention sublayer of the last tower block as one operation, computed only for the tokens that branches read
//! (docs/odmt.md, section 7, savings 1 and 2).
//!
//! Only these tokens are queries, and the key and value maps move to their side: a query becomes a *probe*, whose dot
//! products with the raw tokens are the scores, and the weighted mean of the raw tokens is mapped to a value. All heads
//! then share their keys and values, the tokens themselves.
//!
//! Shapes: `N` items, `L` tokens, `Q` tokens that are read, `D` width, `H` heads, `E` = D/H head width, `G` items of a chunk.

use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

use super::attention::{Head, InputGrads, Inputs, Reach, Work};
use super::dropout::Draw;
use super::gemm::{Mat, MatMut, add_product, product};
use super::residual::{Residual, ResidualGrads};
use super::rows::{Chunk, Rows, for_each_chunk};
use super::saved::Saved;
use super::self_attention::{Added, AttentionWeights};
use super::sublayer::{Kept, Layer, Output, cut_tensor, sublayer};

/// Hyper-parameters of the sublayer.
#[derive(Clone, Debug)]
pub struct Readout {
    /// `[Q]`: positions of the tokens that are read.
    pub queries: Vec<usize>,
    /// L
    pub tokens: usize,
    pub items: usize,
    pub heads: usize,
    /// Added to the scores, `[N or 1, Q, L]`.
    pub mask: Option<Added>,
    /// Dropout of the attention weights.
    pub weights: Draw,
    /// Dropout after the output map.
    pub output: Draw,
    pub eps: f32,
}

/// The sublayer's result at the tokens that are read. CPU only.
///
/// # Shapes
/// `[N, L, D] -> [N, Q, D]`
pub fn readout(x: Tensor<3>, w: AttentionWeights<Tensor<2>, Tensor<1>>, layer: Readout) -> Tensor<3> {
    sublayer(x, w.parameters(), Layer::Readout(layer))
}

/// The sublayer bound to its tensors.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    x: FlexTensor,
    w: AttentionWeights<FlexTensor, FlexTensor>,
    layer: Readout,
    d: usize,
}

/// Buffers of a chunk.
#[derive(Default)]
struct Scratch {
    /// Tokens that are read, `[G·Q, D]`.
    x: Vec<f32>,
    /// `[G·Q, H·E]`
    q: Vec<f32>,
    /// `[G·Q, H, D]`
    probe: Vec<f32>,
    /// Mixtures of tokens, `[G·Q, H, D]`.
    mixed: Vec<f32>,
    /// `[G·Q, H·E]`
    read: Vec<f32>,
    out: Vec<f32>,
    inverse: Vec<f32>,
    work: Work,
}

/// Buffers of the backward pass.
#[derive(Default)]
struct BackScratch {
    forward: Scratch,
    grad: Vec<f32>,
    d_out: Vec<f32>,
    d_read: Vec<f32>,
    d_q: Vec<f32>,
    d_mixed: Vec<f32>,
    d_probe: Vec<f32>,
    /// Gradient of an item's tokens as keys; [`InputGrads`] has keys and values apart.
    d_keys: Vec<f32>,
}

impl Bound {
    pub(super) fn new(tensors: [FlexTensor; 7], layer: Readout) -> Self {
        let [x, parameters @ ..] = tensors;
        let w = AttentionWeights::from_parameters(parameters);
        Self { x, d: w.width(), w, layer }
    }

    /// Rows of the result, all real.
    fn rows(&self) -> Rows {
        Rows::all(self.layer.items, self.layer.queries.len())
    }

    fn residual(&self) -> Residual<'_> {
        self.w.residual(self.layer.eps, self.layer.output)
    }

    /// Columns of head `h` of a `[D, H·E]` map, `[D, E]`.
    fn columns<'a>(&self, map: &'a FlexTensor, h: usize) -> Mat<'a> {
        let e = self.d / self.layer.heads;
        Mat::strided(&map.storage::<f32>()[h * e..], self.d, e, self.d)
    }

    /// All heads of item `n` at once: row `q · H + h` is query q of head h.
    fn heads<'a>(&'a self, n: usize) -> Head<impl Fn(usize) -> Reach<'a>> {
        let Readout { queries, tokens, heads, mask, weights, .. } = &self.layer;
        let queries = queries.len();
        let reach = move |row: usize| {
            let (q, h) = (row / heads, row % heads);
            Reach {
                first: ((n * heads + h) * queries + q) * tokens,
                keys: *tokens,
                added: mask.as_ref().map(|added| added.row(n, q)),
            }
        };
        Head { scale: 1.0 / ((self.d / heads) as f32).sqrt(), draw: *weights, reach }
    }

    /// Item `n`'s tokens, `[L, D]`.
    fn tokens(&self, n: usize) -> &[f32] {
        let size = self.layer.tokens * self.d;
        &self.x.storage::<f32>()[n * size..(n + 1) * size]
    }

    /// Fills the tokens that are read, their queries and probes.
    fn probes(&self, chunk: &Chunk, s: &mut Scratch) {
        let (d, heads, r) = (self.d, self.layer.heads, chunk.rows);
        let e = d / heads;
        s.x.clear();
        for n in chunk.sequences.clone() {
            let tokens = self.tokens(n);
            self.layer.queries.iter().for_each(|q| s.x.extend_from_slice(&tokens[q * d..(q + 1) * d]));
        }
        s.q.resize(r * d, 0.0);
        product(MatMut::new(&mut s.q, r, d), Mat::new(&s.x, r, d), self.w.square(&self.w.query), 1.0);
        s.probe.resize(r * heads * d, 0.0);
        for h in 0..heads {
            let q = Mat::strided(&s.q[h * e..], r, e, d);
            let probe = MatMut::strided(&mut s.probe[h * d..], r, d, heads * d);
            product(probe, q, self.columns(&self.w.key, h).t(), 1.0);
        }
    }

    pub(super) fn forward(&self, keep: bool) -> (FlexTensor, Kept) {
        let (d, heads, queries) = (self.d, self.layer.heads, self.layer.queries.len());
        let rows = self.rows();
        let mut result = Output::new(&rows, d, keep);
        let residual = self.residual();
        let chunks = rows.chunks(d);
        for_each_chunk(
            &chunks,
            result.outputs(),
            0,
            |chunk: &Chunk, [y, normed, inverse], _, s: &mut Scratch| {
                let r = chunk.rows;
                self.probes(chunk, s);
                s.mixed.resize(r * heads * d, 0.0);
                for (n, _, start) in rows.packed(chunk) {
                    let span = start * heads * d..(start + queries) * heads * d;
                    let inputs = self.inputs(n, &s.probe[span.clone()]);
                    let mixed = MatMut::new(&mut s.mixed[span], queries * heads, d);
                    self.heads(n).forward(&inputs, mixed, &mut s.work);
                }
                self.values(r, s);
                s.out.resize(r * d, 0.0);
                let output = self.w.square(&self.w.output);
                product(MatMut::new(&mut s.out, r, d), Mat::new(&s.read, r, d), output, 1.0);
                s.inverse.resize(r, 0.0);
                residual.forward(&rows, chunk, &mut s.x, &mut s.out, &mut s.inverse);
                y.copy_from_slice(&s.x);
                if keep {
                    normed.copy_from_slice(&s.out);
                    inverse.copy_from_slice(&s.inverse);
                }
            },
        );
        result.finish(Saved::none())
    }

    /// Attention inputs of an item: its probes and its tokens.
    fn inputs<'a>(&'a self, n: usize, probe: &'a [f32]) -> Inputs<'a> {
        let tokens = Mat::new(self.tokens(n), self.layer.tokens, self.d);
        let rows = self.layer.queries.len() * self.layer.heads;
        Inputs { q: Mat::new(probe, rows, self.d), k: tokens, v: tokens }
    }

    /// Maps the mixtures of tokens to each head's values.
    fn values(&self, r: usize, s: &mut Scratch) {
        let (d, heads) = (self.d, self.layer.heads);
        let e = d / heads;
        s.read.resize(r * d, 0.0);
        for h in 0..heads {
            let mixed = Mat::strided(&s.mixed[h * d..], r, d, heads * d);
            let read = MatMut::strided(&mut s.read[h * e..], r, e, d);
            product(read, mixed, self.columns(&self.w.value, h), 1.0);
        }
    }

    /// Gradients of all tensors, in the order of the operation's arguments.
    pub(super) fn backward(&self, kept: &Kept, grad: &[f32]) -> [FlexTensor; 7] {
        let (d, rows) = (self.d, self.rows());
        let Readout { tokens, items, .. } = self.layer;
        let mut d_x = vec![0.0f32; items * tokens * d];
        let sums = 4 * d * d + 2 * d;
        let outputs = [(d_x.as_mut_slice(), tokens * d)];
        let total =
            for_each_chunk(&rows.chunks(d), outputs, sums, |chunk, [d_x], sums, b: &mut BackScratch| {
                rows.pack(chunk, grad, d, &mut b.grad);
                self.chunk_backward(&rows, chunk, kept, d_x, sums, b);
            });
        let d_x = FlexTensor::from_data(TensorData::new(d_x, [items, tokens, d]));
        let mut rest = total.as_slice();
        let mut next = |shape: &[usize]| cut_tensor(&mut rest, shape);
        [d_x, next(&[d, d]), next(&[d, d]), next(&[d, d]), next(&[d, d]), next(&[d]), next(&[d])]
    }

    /// Fills `d_x`, the gradient of the tokens of the chunk's items.
    fn chunk_backward(
        &self,
        rows: &Rows,
        chunk: &Chunk,
        kept: &Kept,
        d_x: &mut [f32],
        sums: &mut [f32],
        b: &mut BackScratch,
    ) {
        let (d, heads, queries) = (self.d, self.layer.heads, self.layer.queries.len());
        let (r, e, tokens) = (chunk.rows, d / heads, self.layer.tokens);
        let (query_grad, sums) = sums.split_at_mut(d * d);
        let (key_grad, sums) = sums.split_at_mut(d * d);
        let (value_grad, sums) = sums.split_at_mut(d * d);
        let (output_grad, norm_grad) = sums.split_at_mut(d * d);
        let s = &mut b.forward;
        let grads = ResidualGrads { d_x: &mut b.grad, d_o: &mut b.d_out, sums: norm_grad };
        self.residual().backward(rows, chunk, (&kept.normed, &kept.inverse), grads);
        self.probes(chunk, s);
        let d_out = Mat::new(&b.d_out, r, d);
        b.d_read.resize(r * d, 0.0);
        product(MatMut::new(&mut b.d_read, r, d), d_out, self.w.square(&self.w.output).t(), 1.0);
        for buffer in [&mut s.mixed, &mut b.d_mixed, &mut b.d_probe] {
            buffer.resize(r * heads * d, 0.0);
        }
        for h in 0..heads {
            let d_read = Mat::strided(&b.d_read[h * e..], r, e, d);
            let d_mixed = MatMut::strided(&mut b.d_mixed[h * d..], r, d, heads * d);
            product(d_mixed, d_read, self.columns(&self.w.value, h).t(), 1.0);
        }
        for ((n, _, start), d_x) in rows.packed(chunk).zip(d_x.chunks_exact_mut(tokens * d)) {
            let span = start * heads * d..(start + queries) * heads * d;
            let inputs = self.inputs(n, &s.probe[span.clone()]);
            b.d_keys.clear();
            b.d_keys.resize(tokens * d, 0.0);
            let slopes = InputGrads {
                q: MatMut::new(&mut b.d_probe[span.clone()], queries * heads, d),
                k: MatMut::new(&mut b.d_keys, tokens, d),
                v: MatMut::new(d_x, tokens, d),
            };
            let d_mixed = Mat::new(&b.d_mixed[span.clone()], queries * heads, d);
            let mixed = MatMut::new(&mut s.mixed[span], queries * heads, d);
            self.heads(n).backward(&inputs, d_mixed, slopes, mixed, &mut s.work);
            d_x.iter_mut().zip(&b.d_keys).for_each(|(sum, g)| *sum += g);
        }
        self.values(r, s);
        add_product(MatMut::new(output_grad, d, d), Mat::new(&s.read, r, d).t(), d_out, 1.0);
        b.d_q.resize(r * d, 0.0);
        for h in 0..heads {
            let mixed = Mat::strided(&s.mixed[h * d..], r, d, heads * d);
            let d_read = Mat::strided(&b.d_read[h * e..], r, e, d);
            add_product(MatMut::strided(&mut value_grad[h * e..], d, e, d), mixed.t(), d_read, 1.0);
            let d_probe = Mat::strided(&b.d_probe[h * d..], r, d, heads * d);
            let q = Mat::strided(&s.q[h * e..], r, e, d);
            add_product(MatMut::strided(&mut key_grad[h * e..], d, e, d), d_probe.t(), q, 1.0);
            let d_q = MatMut::strided(&mut b.d_q[h * e..], r, e, d);
            product(d_q, d_probe, self.columns(&self.w.key, h), 1.0);
        }
        let d_q = Mat::new(&b.d_q, r, d);
        add_product(MatMut::new(query_grad, d, d), Mat::new(&s.x, r, d).t(), d_q, 1.0);
        add_product(MatMut::new(&mut b.grad, r, d), d_q, self.w.square(&self.w.query).t(), 1.0);
        let places = self.layer.queries.iter().map(|q| q * d);
        for (d_x, grad) in d_x.chunks_exact_mut(tokens * d).zip(b.grad.chunks_exact(queries * d)) {
            for (place, grad) in places.clone().zip(grad.chunks_exact(d)) {
                d_x[place..place + d].iter_mut().zip(grad).for_each(|(sum, g)| *sum += g);
            }
        }
    }
}

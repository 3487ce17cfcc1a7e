//! The self-attention sublayer of a transformer block as one operation: `LayerNorm(x + dropout(MHA(x) Wo))`
//! (docs/odmt.md, section 2.2).
//!
//! A thread takes a few sequences through the whole sublayer while they are in its cache. Queries, keys and values are
//! saved within a memory budget ([`super::saved`]); scores and probabilities never are. The backward pass recomputes
//! what it lacks.
//!
//! Shapes: `N` sequences, `L` positions, `D` width, `H` heads, `E` = D/H head width, `R` packed rows of a chunk.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

use super::attention::{Head, InputGrads, Inputs, Reach, Work};
use super::dropout::Draw;
use super::gemm::{Mat, MatMut, add_product, product};
use super::norm::Norm;
use super::residual::{Residual, ResidualGrads};
use super::rows::{Chunk, Rows, for_each_chunk};
use super::saved::Saved;
use super::sublayer::{Kept, Layer, Output, Parameter, cut_tensor, sublayer};

/// The keys that a query may attend to.
#[derive(Clone, Debug, PartialEq)]
pub enum Mask {
    /// All keys.
    Open,
    /// The query's own position and the real ones before it.
    Causal,
    /// All keys, with values added to the scores.
    Added(Added),
}

/// Values added to the scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    /// `[N or 1, Q, L]`
    pub values: Arc<Vec<f32>>,
    /// Whether each sequence has values of its own.
    pub sequence_specific: bool,
    /// Q
    pub queries: usize,
    /// L
    pub keys: usize,
}

impl Added {
    /// Scores added for query `query` of sequence `n`, `[L]`.
    #[inline(always)]
    pub fn row(&self, n: usize, query: usize) -> &[f32] {
        let n = if self.sequence_specific { n } else { 0 };
        let start = (n * self.queries + query) * self.keys;
        &self.values[start..start + self.keys]
    }
}

/// Hyper-parameters of the sublayer.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    /// Real rows; the others are 0 in the result. An additive mask requires that all rows are real.
    pub rows: Rows,
    pub heads: usize,
    pub mask: Mask,
    /// Dropout of the attention weights.
    pub weights: Draw,
    /// Dropout after the output map.
    pub output: Draw,
    pub eps: f32,
}

/// The sublayer's parameters.
#[derive(Clone, Debug)]
pub struct AttentionWeights<M, V> {
    /// `[D, D]`
    pub query: M,
    /// `[D, D]`
    pub key: M,
    /// `[D, D]`
    pub value: M,
    /// `[D, D]`
    pub output: M,
    /// `[D]`
    pub gamma: V,
    /// `[D]`
    pub beta: V,
}

impl AttentionWeights<Tensor<2>, Tensor<1>> {
    /// In the order of the operation's arguments.
    pub(super) fn parameters(self) -> [Parameter; 6] {
        let [query, key, value, output] =
            [self.query, self.key, self.value, self.output].map(Parameter::Matrix);
        let [gamma, beta] = [self.gamma, self.beta].map(Parameter::Vector);
        [query, key, value, output, gamma, beta]
    }
}

impl AttentionWeights<FlexTensor, FlexTensor> {
    /// In the order of the operation's arguments.
    pub(super) fn from_parameters([query, key, value, output, gamma, beta]: [FlexTensor; 6]) -> Self {
        Self { query, key, value, output, gamma, beta }
    }

    /// D
    pub(super) fn width(&self) -> usize {
        self.gamma.layout().num_elements()
    }

    /// One of the maps, `[D, D]`.
    pub(super) fn square<'a>(&self, map: &'a FlexTensor) -> Mat<'a> {
        Mat::new(map.storage(), self.width(), self.width())
    }

    /// What follows the output map: `draw` drops entries of its result.
    pub(super) fn residual(&self, eps: f32, draw: Draw) -> Residual<'_> {
        Residual { norm: Norm { gamma: self.gamma.storage(), beta: self.beta.storage(), eps }, draw }
    }
}

/// The sublayer's result; padded rows are 0. CPU only.
///
/// # Shapes
/// `[N, L, D] -> [N, L, D]`
pub fn self_attention(
    x: Tensor<3>,
    w: AttentionWeights<Tensor<2>, Tensor<1>>,
    layer: SelfAttention,
) -> Tensor<3> {
    sublayer(x, w.parameters(), Layer::SelfAttention(layer))
}

/// The sublayer bound to its tensors.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    x: FlexTensor,
    w: AttentionWeights<FlexTensor, FlexTensor>,
    layer: SelfAttention,
    d: usize,
}

/// Buffers of a chunk, `[R, D]` each.
#[derive(Default)]
struct Scratch {
    x: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// Results of the heads, concatenated.
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
    d_k: Vec<f32>,
    d_v: Vec<f32>,
}

impl Bound {
    pub(super) fn new(tensors: [FlexTensor; 7], layer: SelfAttention) -> Self {
        let [x, parameters @ ..] = tensors;
        let w = AttentionWeights::from_parameters(parameters);
        Self { x, d: w.width(), w, layer }
    }

    fn residual(&self) -> Residual<'_> {
        self.w.residual(self.layer.eps, self.layer.output)
    }

    fn shape(&self) -> [usize; 3] {
        [self.layer.rows.sequences, self.layer.rows.positions, self.d]
    }

    /// Head `h` of sequence `n`, whose real rows begin at position `skipped`.
    fn head<'a>(&'a self, n: usize, h: usize, real: usize) -> Head<impl Fn(usize) -> Reach<'a>> {
        let SelfAttention { rows, heads, mask, weights, .. } = &self.layer;
        let positions = rows.positions;
        let skipped = positions - real;
        let base = (n * heads + h) * positions;
        let reach = move |i: usize| Reach {
            first: (base + skipped + i) * positions + skipped,
            keys: if *mask == Mask::Causal { i + 1 } else { real },
            added: match mask {
                Mask::Added(added) => Some(added.row(n, i)),
                Mask::Open | Mask::Causal => None,
            },
        };
        Head { scale: 1.0 / ((self.d / heads) as f32).sqrt(), draw: *weights, reach }
    }

    /// Queries, keys and values of a chunk's rows.
    fn project(&self, s: &mut Scratch, rows: usize) {
        let d = self.d;
        let x = Mat::new(&s.x, rows, d);
        for (buffer, map) in [(&mut s.q, &self.w.query), (&mut s.k, &self.w.key), (&mut s.v, &self.w.value)] {
            buffer.resize(rows * d, 0.0);
            product(MatMut::new(buffer, rows, d), x, self.w.square(map), 1.0);
        }
    }

    pub(super) fn forward(&self, keep: bool) -> (FlexTensor, Kept) {
        let (rows, heads, d) = (&self.layer.rows, self.layer.heads, self.d);
        let e = d / heads;
        let x = self.x.storage::<f32>();
        let chunks = rows.chunks(d);
        let saved = if keep { Saved::reserve(&chunks, 3 * d) } else { Saved::none() };
        let mut result = Output::new(rows, d, keep);
        let residual = self.residual();
        for_each_chunk(
            &chunks,
            result.outputs(),
            0,
            |chunk: &Chunk, [y, normed, inverse], _, s: &mut Scratch| {
                let r = chunk.rows;
                rows.pack(chunk, x, d, &mut s.x);
                self.project(s, r);
                s.read.resize(r * d, 0.0);
                for (n, range, start) in rows.packed(chunk) {
                    let real = range.len();
                    let span = start * d..(start + real) * d;
                    for h in 0..heads {
                        let inputs = inputs([&s.q, &s.k, &s.v], span.start, h * e, real, e, d);
                        let read = MatMut::strided(&mut s.read[span.start + h * e..span.end], real, e, d);
                        self.head(n, h, real).forward(&inputs, read, &mut s.work);
                    }
                }
                s.out.resize(r * d, 0.0);
                let output = self.w.square(&self.w.output);
                product(MatMut::new(&mut s.out, r, d), Mat::new(&s.read, r, d), output, 1.0);
                s.inverse.resize(r, 0.0);
                residual.forward(rows, chunk, &mut s.x, &mut s.out, &mut s.inverse);
                rows.unpack(chunk, &s.x, d, y);
                if keep {
                    rows.unpack(chunk, &s.out, d, normed);
                    rows.unpack(chunk, &s.inverse, 1, inverse);
                    saved.store(chunk, [&mut s.q, &mut s.k, &mut s.v]);
                }
            },
        );
        result.finish(saved)
    }

    /// Gradients of all tensors, in the order of the operation's arguments.
    pub(super) fn backward(&self, kept: &Kept, grad: &[f32]) -> [FlexTensor; 7] {
        let (rows, d) = (&self.layer.rows, self.d);
        let x = self.x.storage::<f32>();
        let mut d_x = vec![0.0f32; x.len()];
        let sums = 4 * d * d + 2 * d;
        let outputs = [(d_x.as_mut_slice(), rows.positions * d)];
        let total =
            for_each_chunk(&rows.chunks(d), outputs, sums, |chunk, [d_x], sums, b: &mut BackScratch| {
                rows.pack(chunk, x, d, &mut b.forward.x);
                rows.pack(chunk, grad, d, &mut b.grad);
                self.chunk_backward(chunk, kept, sums, b);
                rows.unpack(chunk, &b.grad, d, d_x);
            });
        let d_x = FlexTensor::from_data(TensorData::new(d_x, self.shape()));
        let mut rest = total.as_slice();
        let mut next = |shape: &[usize]| cut_tensor(&mut rest, shape);
        [d_x, next(&[d, d]), next(&[d, d]), next(&[d, d]), next(&[d, d]), next(&[d]), next(&[d])]
    }

    /// Turns `b.grad` from the gradient of the chunk's results into that of its rows.
    fn chunk_backward(&self, chunk: &Chunk, kept: &Kept, sums: &mut [f32], b: &mut BackScratch) {
        let (rows, heads, d) = (&self.layer.rows, self.layer.heads, self.d);
        let (r, e) = (chunk.rows, d / heads);
        let (map_grads, sums) = sums.split_at_mut(3 * d * d);
        let (output_grad, norm_grad) = sums.split_at_mut(d * d);
        let s = &mut b.forward;
        let kept_rows = (kept.normed.as_slice(), kept.inverse.as_slice());
        let grads = ResidualGrads { d_x: &mut b.grad, d_o: &mut b.d_out, sums: norm_grad };
        self.residual().backward(rows, chunk, kept_rows, grads);
        let saved = kept.saved.get(chunk);
        if saved.is_none() {
            self.project(s, r);
        }
        let Scratch { x, q, k, v, read, work, .. } = s;
        let qkv: [&[f32]; 3] = match saved {
            Some([q, k, v]) => [q, k, v],
            _ => [q, k, v],
        };
        read.resize(r * d, 0.0);
        b.d_read.resize(r * d, 0.0);
        let d_out = Mat::new(&b.d_out, r, d);
        product(MatMut::new(&mut b.d_read, r, d), d_out, self.w.square(&self.w.output).t(), 1.0);
        b.d_q.resize(r * d, 0.0);
        for buffer in [&mut b.d_k, &mut b.d_v] {
            buffer.clear();
            buffer.resize(r * d, 0.0);
        }
        for (n, range, start) in rows.packed(chunk) {
            let real = range.len();
            for h in 0..heads {
                let inputs = inputs(qkv, start * d, h * e, real, e, d);
                let span = start * d + h * e..(start + real) * d;
                let slopes = InputGrads {
                    q: MatMut::strided(&mut b.d_q[span.clone()], real, e, d),
                    k: MatMut::strided(&mut b.d_k[span.clone()], real, e, d),
                    v: MatMut::strided(&mut b.d_v[span.clone()], real, e, d),
                };
                let d_read = Mat::strided(&b.d_read[span.clone()], real, e, d);
                let read = MatMut::strided(&mut read[span], real, e, d);
                self.head(n, h, real).backward(&inputs, d_read, slopes, read, work);
            }
        }
        add_product(MatMut::new(output_grad, d, d), Mat::new(read, r, d).t(), d_out, 1.0);
        let x = Mat::new(x, r, d);
        let maps = [(&self.w.query, &b.d_q), (&self.w.key, &b.d_k), (&self.w.value, &b.d_v)];
        for ((map, slope), map_grad) in maps.into_iter().zip(map_grads.chunks_exact_mut(d * d)) {
            let slope = Mat::new(slope, r, d);
            add_product(MatMut::new(map_grad, d, d), x.t(), slope, 1.0);
            add_product(MatMut::new(&mut b.grad, r, d), slope, self.w.square(map).t(), 1.0);
        }
    }
}

/// One head's queries, keys and values inside the packed ones: `rows` rows from entry `first` on, `e` columns from
/// `column` on.
fn inputs(qkv: [&[f32]; 3], first: usize, column: usize, rows: usize, e: usize, d: usize) -> Inputs<'_> {
    let [q, k, v] = qkv.map(|x| Mat::strided(&x[first + column..first + rows * d], rows, e, d));
    Inputs { q, k, v }
}

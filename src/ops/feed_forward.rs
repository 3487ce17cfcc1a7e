//! The feed-forward sublayer of a transformer block as one operation:
//! `LayerNorm(x + dropout(relu(x W1 + b1) W2 + b2))` (docs/odmt.md, section 2.2).
//!
//! A thread takes a few hundred rows through both maps while they are in its cache. Only the inner rows are saved, within
//! a memory budget ([`super::saved`]).
//!
//! Shapes: `N` sequences, `L` positions, `D` width, `F` inner width.

use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

use super::dropout::Draw;
use super::gemm::{Mat, MatMut, add_product, product};
use super::norm::Norm;
use super::residual::{Residual, ResidualGrads};
use super::rows::{Chunk, Rows, for_each_chunk};
use super::saved::Saved;
use super::simd;
use super::sublayer::{Kept, Layer, Output, Parameter, cut_tensor, sublayer};

/// Hyper-parameters of the sublayer.
#[derive(Clone, Debug)]
pub struct FeedForward {
    pub rows: Rows,
    pub draw: Draw,
    pub eps: f32,
}

/// The sublayer's parameters.
#[derive(Clone, Debug)]
pub struct FeedForwardWeights<M, V> {
    /// `[D, F]`
    pub up: M,
    /// `[F]`
    pub up_bias: V,
    /// `[F, D]`
    pub down: M,
    /// `[D]`
    pub down_bias: V,
    /// `[D]`
    pub gamma: V,
    /// `[D]`
    pub beta: V,
}

/// The sublayer's result; padded rows are 0. CPU only.
///
/// # Shapes
/// `[N, L, D] -> [N, L, D]`
pub fn feed_forward(
    x: Tensor<3>,
    w: FeedForwardWeights<Tensor<2>, Tensor<1>>,
    layer: FeedForward,
) -> Tensor<3> {
    let [up_bias, down_bias] = [w.up_bias, w.down_bias].map(Parameter::Vector);
    let [up, down] = [w.up, w.down].map(Parameter::Matrix);
    let [gamma, beta] = [w.gamma, w.beta].map(Parameter::Vector);
    sublayer(x, [up, up_bias, down, down_bias, gamma, beta], Layer::FeedForward(layer))
}

/// The sublayer bound to its tensors.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    x: FlexTensor,
    w: FeedForwardWeights<FlexTensor, FlexTensor>,
    layer: FeedForward,
    d: usize,
    f: usize,
}

/// Buffers of a chunk.
#[derive(Default)]
struct Scratch {
    x: Vec<f32>,
    /// `[R, F]`
    inner: Vec<f32>,
    /// `[R, D]`
    out: Vec<f32>,
    inverse: Vec<f32>,
}

impl Bound {
    pub(super) fn new(tensors: [FlexTensor; 7], layer: FeedForward) -> Self {
        let [x, up, up_bias, down, down_bias, gamma, beta] = tensors;
        let (d, f) = (gamma.layout().num_elements(), up_bias.layout().num_elements());
        let w = FeedForwardWeights { up, up_bias, down, down_bias, gamma, beta };
        Self { x, w, layer, d, f }
    }

    fn residual(&self) -> Residual<'_> {
        let norm = Norm { gamma: self.w.gamma.storage(), beta: self.w.beta.storage(), eps: self.layer.eps };
        Residual { norm, draw: self.layer.draw }
    }

    fn shape(&self) -> [usize; 3] {
        [self.layer.rows.sequences, self.layer.rows.positions, self.d]
    }

    /// `relu(x W1 + b1)` of a chunk's rows.
    fn inner(&self, rows: usize, x: &[f32], inner: &mut Vec<f32>) {
        inner.resize(rows * self.f, 0.0);
        let up = Mat::new(self.w.up.storage(), self.d, self.f);
        product(MatMut::new(inner, rows, self.f), Mat::new(x, rows, self.d), up, 1.0);
        let bias = &self.w.up_bias.storage::<f32>()[..self.f];
        simd::dispatch(
            #[inline(always)]
            || {
                for row in inner.chunks_exact_mut(self.f) {
                    for i in 0..row.len() {
                        let x = row[i] + bias[i];
                        // Not `max`, which would hide NaN.
                        row[i] = if x < 0.0 { 0.0 } else { x };
                    }
                }
            },
        );
    }

    pub(super) fn forward(&self, keep: bool) -> (FlexTensor, Kept) {
        let Self { layer: FeedForward { rows, .. }, d, f, .. } = self;
        let (d, f) = (*d, *f);
        let x = self.x.storage::<f32>();
        let chunks = rows.chunks(d);
        let saved = if keep { Saved::reserve(&chunks, f) } else { Saved::none() };
        let mut result = Output::new(rows, d, keep);
        let residual = self.residual();
        let down = Mat::new(self.w.down.storage(), f, d);
        let bias = self.w.down_bias.storage::<f32>();
        for_each_chunk(
            &chunks,
            result.outputs(),
            0,
            |chunk: &Chunk, [y, normed, inverse], _, s: &mut Scratch| {
                let n = chunk.rows;
                rows.pack(chunk, x, d, &mut s.x);
                self.inner(n, &s.x, &mut s.inner);
                s.out.clear();
                (0..n).for_each(|_| s.out.extend_from_slice(bias));
                add_product(MatMut::new(&mut s.out, n, d), Mat::new(&s.inner, n, f), down, 1.0);
                s.inverse.resize(n, 0.0);
                residual.forward(rows, chunk, &mut s.x, &mut s.out, &mut s.inverse);
                rows.unpack(chunk, &s.x, d, y);
                if keep {
                    rows.unpack(chunk, &s.out, d, normed);
                    rows.unpack(chunk, &s.inverse, 1, inverse);
                    saved.store(chunk, [&mut s.inner]);
                }
            },
        );
        result.finish(saved)
    }

    /// Gradients of all tensors, in the order of the operation's arguments.
    pub(super) fn backward(&self, kept: &Kept, grad: &[f32]) -> [FlexTensor; 7] {
        let Self { layer: FeedForward { rows, .. }, d, f, .. } = self;
        let (d, f) = (*d, *f);
        let x = self.x.storage::<f32>();
        let mut d_x = vec![0.0f32; x.len()];
        let residual = self.residual();
        let (up, down) = (Mat::new(self.w.up.storage(), d, f), Mat::new(self.w.down.storage(), f, d));
        let sums = 2 * d * f + f + 3 * d;
        let outputs = [(d_x.as_mut_slice(), rows.positions * d)];
        let total =
            for_each_chunk(&rows.chunks(d), outputs, sums, |chunk, [d_x], sums, s: &mut BackScratch| {
                let n = chunk.rows;
                let (up_grad, sums) = sums.split_at_mut(d * f);
                let (up_bias_grad, sums) = sums.split_at_mut(f);
                let (down_grad, sums) = sums.split_at_mut(f * d);
                let (down_bias_grad, norm_grad) = sums.split_at_mut(d);
                rows.pack(chunk, x, d, &mut s.x);
                rows.pack(chunk, grad, d, &mut s.grad);
                let grads = ResidualGrads { d_x: &mut s.grad, d_o: &mut s.d_out, sums: norm_grad };
                residual.backward(rows, chunk, (&kept.normed, &kept.inverse), grads);
                let inner = if let Some([inner]) = kept.saved.get(chunk) {
                    inner
                } else {
                    self.inner(n, &s.x, &mut s.inner);
                    &s.inner
                };
                let x = Mat::new(&s.x, n, d);
                let d_out = Mat::new(&s.d_out, n, d);
                add_product(MatMut::new(down_grad, f, d), Mat::new(inner, n, f).t(), d_out, 1.0);
                s.d_inner.resize(n * f, 0.0);
                product(MatMut::new(&mut s.d_inner, n, f), d_out, down.t(), 1.0);
                simd::dispatch(
                    #[inline(always)]
                    || {
                        add_columns(&s.d_out, down_bias_grad);
                        for (g, &h) in s.d_inner.iter_mut().zip(inner) {
                            *g = if h > 0.0 { *g } else { 0.0 };
                        }
                        add_columns(&s.d_inner, up_bias_grad);
                    },
                );
                let d_inner = Mat::new(&s.d_inner, n, f);
                add_product(MatMut::new(up_grad, d, f), x.t(), d_inner, 1.0);
                add_product(MatMut::new(&mut s.grad, n, d), d_inner, up.t(), 1.0);
                rows.unpack(chunk, &s.grad, d, d_x);
            });
        let d_x = FlexTensor::from_data(TensorData::new(d_x, self.shape()));
        let mut rest = total.as_slice();
        let mut next = |shape: &[usize]| cut_tensor(&mut rest, shape);
        [d_x, next(&[d, f]), next(&[f]), next(&[f, d]), next(&[d]), next(&[d]), next(&[d])]
    }
}

/// Buffers of the backward pass.
#[derive(Default)]
struct BackScratch {
    x: Vec<f32>,
    grad: Vec<f32>,
    /// `[R, F]`
    inner: Vec<f32>,
    /// `[R, F]`
    d_inner: Vec<f32>,
    d_out: Vec<f32>,
}

/// Adds every row of `values` to `sums`.
#[inline(always)]
fn add_columns(values: &[f32], sums: &mut [f32]) {
    for row in values.chunks_exact(sums.len()) {
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

//! Layer normalisation: row by row for the fused CPU kernels, and as an operation of its own.
//!
//! A composed body would take seven passes over the rows and keep four intermediate results.
//!
//! Shapes: `R` rows, `D` width.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::rows::add_up;
use super::simd;

/// Scale, shift and the constant under the root of one normalisation.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    pub gamma: &'a [f32],
    pub beta: &'a [f32],
    pub eps: f32,
}

impl Norm<'_> {
    /// Turns a row into `(x - mean) / sqrt(var + eps)` and returns `1 / sqrt(var + eps)`.
    #[inline(always)]
    pub fn normalise(&self, row: &mut [f32]) -> f32 {
        let d = row.len();
        let share = 1.0 / d as f32;
        let mean = simd::sum(
            [&row[..d]],
            #[inline(always)]
            |[x]| x,
        ) * share;
        for x in &mut *row {
            *x -= mean;
        }
        let variance = simd::sum(
            [&row[..d]],
            #[inline(always)]
            |[x]| x * x,
        ) * share;
        let inverse = 1.0 / (variance + self.eps).sqrt();
        for x in row {
            *x *= inverse;
        }
        inverse
    }

    /// `normed · gamma + beta`
    #[inline(always)]
    pub fn scale(&self, normed: &[f32], out: &mut [f32]) {
        let d = out.len();
        let (normed, gamma, beta) = (&normed[..d], &self.gamma[..d], &self.beta[..d]);
        for i in 0..d {
            out[i] = normed[i] * gamma[i] + beta[i];
        }
    }

    /// Turns `grad` from the gradient of the result into the gradient of the row before normalisation.
    ///
    /// The gradients of gamma and beta are added to `sums`, `[2 D]`.
    #[inline(always)]
    pub fn backward(&self, grad: &mut [f32], normed: &[f32], inverse: f32, sums: &mut [f32]) {
        let d = grad.len();
        let (normed, gamma) = (&normed[..d], &self.gamma[..d]);
        let (d_gamma, d_beta) = sums.split_at_mut(d);
        let d_beta = &mut d_beta[..d];
        for i in 0..d {
            d_gamma[i] += grad[i] * normed[i];
            d_beta[i] += grad[i];
            grad[i] *= gamma[i];
        }
        let share = 1.0 / d as f32;
        let mean = simd::sum(
            [&grad[..d]],
            #[inline(always)]
            |[x]| x,
        ) * share;
        let projection = simd::sum(
            [&grad[..d], normed],
            #[inline(always)]
            |[g, normed]| g * normed,
        ) * share;
        for i in 0..d {
            grad[i] = inverse * (grad[i] - mean - normed[i] * projection);
        }
    }
}

/// Layer normalisation over the last axis. CPU only.
///
/// # Shapes
/// `[.., D] -> [.., D]`
pub fn layer_norm<const R: usize>(x: Tensor<R>, gamma: Tensor<1>, beta: Tensor<1>, eps: f64) -> Tensor<R> {
    let (x, gamma, beta) = (x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NormOps>::layer_norm(x, gamma, beta, eps as f32))
}

/// The operation behind [`layer_norm`].
#[backend_extension(Flex, Autodiff)]
pub trait NormOps: Backend {
    /// See [`layer_norm`].
    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;
}

impl NormOps for Flex {
    fn layer_norm(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor, eps: f32) -> FlexTensor {
        forward(x, &gamma.to_contiguous(), &beta.to_contiguous(), eps, false).0
    }
}

impl<C: CheckpointStrategy> NormOps for Autodiff<Flex, C> {
    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        match NormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let gamma = gamma.into_primitive().to_contiguous();
                let beta = beta.into_primitive().to_contiguous();
                let (y, kept) = forward(x.into_primitive(), &gamma, &beta, eps, true);
                prep.finish((Arc::new(kept), gamma, eps), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::layer_norm(
                x.into_primitive(),
                gamma.into_primitive(),
                beta.into_primitive(),
                eps,
            )),
        }
    }
}

/// Normalised rows `[R, D]` and their inverse standard deviations `[R]`.
type Kept = (Vec<f32>, Vec<f32>);

#[derive(Debug)]
struct NormBackward;

impl Backward<Flex, 3> for NormBackward {
    type State = (Arc<Kept>, FlexTensor, f32);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [x_node, gamma_node, beta_node] = ops.parents;
        let grad = grads.consume::<Flex>(&ops.node);
        let (kept, gamma, eps) = ops.state;
        let (d_x, [d_gamma, d_beta]) = backward(grad, &kept, &gamma, eps);
        for (node, grad) in [(x_node, d_x), (gamma_node, d_gamma), (beta_node, d_beta)] {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, grad);
            }
        }
    }
}

/// Rows of a chunk; gradients of the parameters are partial sums over chunks.
const CHUNK_ROWS: usize = 256;

fn forward(x: FlexTensor, gamma: &FlexTensor, beta: &FlexTensor, eps: f32, keep: bool) -> (FlexTensor, Kept) {
    let norm = Norm { gamma: gamma.storage(), beta: beta.storage(), eps };
    let d = norm.gamma.len();
    let mut y = x.to_contiguous();
    drop(x);
    let rows = y.layout().num_elements() / d.max(1);
    let values = y.storage_mut::<f32>();
    let (mut normed, mut inverse) =
        if keep { (vec![0.0; rows * d], vec![0.0; rows]) } else { (Vec::new(), Vec::new()) };
    let normalise_row = |row: &mut [f32], kept: Option<(&mut [f32], &mut f32)>| {
        simd::dispatch(
            #[inline(always)]
            || {
                let scale = norm.normalise(row);
                if let Some((normed, inverse)) = kept {
                    *inverse = scale;
                    normed.copy_from_slice(row);
                }
                for i in 0..d {
                    row[i] = row[i] * norm.gamma[i] + norm.beta[i];
                }
            },
        );
    };
    if keep {
        let kept = normed.par_chunks_exact_mut(d).zip(&mut inverse);
        values.par_chunks_exact_mut(d).zip(kept).for_each(|(row, kept)| normalise_row(row, Some(kept)));
    } else {
        values.par_chunks_exact_mut(d).for_each(|row| normalise_row(row, None));
    }
    (y, (normed, inverse))
}

fn backward(
    grad: FlexTensor,
    (normed, inverse): &Kept,
    gamma: &FlexTensor,
    eps: f32,
) -> (FlexTensor, [FlexTensor; 2]) {
    let norm = Norm { gamma: gamma.storage(), beta: &[], eps };
    let d = norm.gamma.len();
    let mut d_x = grad.to_contiguous();
    drop(grad);
    let parts: Vec<Vec<f32>> = d_x
        .storage_mut::<f32>()
        .par_chunks_mut(CHUNK_ROWS * d)
        .zip(normed.par_chunks(CHUNK_ROWS * d))
        .zip(inverse.par_chunks(CHUNK_ROWS))
        .map(|((grad, normed), inverse)| {
            let mut sums = vec![0.0f32; 2 * d];
            simd::dispatch(
                #[inline(always)]
                || {
                    let rows = grad.chunks_exact_mut(d).zip(normed.chunks_exact(d));
                    for ((grad, normed), &inverse) in rows.zip(inverse) {
                        norm.backward(grad, normed, inverse, &mut sums);
                    }
                },
            );
            sums
        })
        .collect();
    let mut sums = add_up(parts, 2 * d);
    let d_beta = sums.split_off(d);
    let tensor = |values: Vec<f32>| FlexTensor::from_data(TensorData::new(values, [d]));
    (d_x, [tensor(sums), tensor(d_beta)])
}

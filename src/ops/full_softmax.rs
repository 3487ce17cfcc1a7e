//! Cross-entropy over the whole catalogue, its scores never stored.
//!
//! The catalogue is walked in chunks: forward keeps the logarithm of each row's normaliser, backward computes the
//! scores of a chunk again. Memory beyond the gradients is one chunk, `[R, C]` (burn.md 5).
//!
//! Shapes: `R` rows, `V` catalogue rows (row 0 is padding and no candidate), `D` width, `C` items of a chunk.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Int, Tensor, TensorData};
use burn_flex::FlexTensor;
use burn_flex::ops::matmul::matmul;
use rayon::prelude::*;

use super::{simd, use_kernels};

/// Right answers, and how the catalogue is walked.
#[derive(Clone, Debug, PartialEq)]
pub struct Walk {
    /// `[R]`: catalogue row of the right answer, at least 1.
    pub labels: Vec<u32>,
    /// C
    pub chunk: usize,
}

impl Walk {
    /// (first catalogue row, rows) of every chunk.
    fn chunks(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> {
        let chunk = self.chunk.max(1);
        (1..rows).step_by(chunk).map(move |start| (start, chunk.min(rows - start)))
    }
}

/// Mean over rows of `logsumexp_v <u_r, i_v> - <u_r, i_label>`, `[1]`.
///
/// # Shapes
/// - users: `[R, D]`
/// - items: `[V, D]`
pub fn full_softmax(users: Tensor<2>, items: Tensor<2>, walk: &Arc<Walk>) -> Tensor<1> {
    if use_kernels(&users.device()) {
        let (users, items) = (users.into_dispatch(), items.into_dispatch());
        return Tensor::from_dispatch(<Dispatch as FullOps>::full_softmax(users, items, walk.clone()));
    }
    composed(users, items, walk)
}

/// [`full_softmax`] out of tensor operations, on any device.
///
/// Autodiff would keep every chunk's scores. So the walk runs on plain tensors and makes the gradients right away;
/// they enter the graph as the slopes of a function that is linear in users and items and adds 0 to the value.
pub fn composed(users: Tensor<2>, items: Tensor<2>, walk: &Walk) -> Tensor<1> {
    if !users.is_autodiff() {
        return walk_plain(users, items, walk, false).0;
    }
    let (loss, slopes) = walk_plain(users.clone().inner(), items.clone().inner(), walk, true);
    let mut value = Tensor::from_inner(loss);
    if let Some([d_users, d_items]) = slopes {
        for (x, slope) in [(users, d_users), (items, d_items)] {
            let linear = (x * Tensor::from_inner(slope)).sum();
            value = value + linear.clone() - linear.detach();
        }
    }
    value
}

/// Loss `[1]`, and its gradients by users and items if asked for, all on the plain device.
fn walk_plain(
    users_rd: Tensor<2>,
    items_vd: Tensor<2>,
    walk: &Walk,
    slopes: bool,
) -> (Tensor<1>, Option<[Tensor<2>; 2]>) {
    let device = users_rd.device();
    let [r, d] = users_rd.dims();
    let [v, _] = items_vd.dims();
    let labels: Vec<i32> = walk.labels.iter().map(|&l| l as i32).collect();
    let label_r = Tensor::<1, Int>::from_data(TensorData::new(labels, [r]), &device);
    let labels_rd = items_vd.clone().select(0, label_r.clone());
    let scores = |(start, count): (usize, usize)| {
        users_rd.clone().matmul(items_vd.clone().narrow(0, start, count).transpose())
    };
    let mut max_r1 = Tensor::<2>::full([r, 1], f32::MIN, &device);
    let mut total_r1 = Tensor::<2>::zeros([r, 1], &device);
    for chunk in walk.chunks(v) {
        let z_rc = scores(chunk);
        let higher_r1 = max_r1.clone().max_pair(z_rc.clone().max_dim(1));
        let here_r1 = (z_rc - higher_r1.clone()).exp().sum_dim(1);
        total_r1 = total_r1 * (max_r1 - higher_r1.clone()).exp() + here_r1;
        max_r1 = higher_r1;
    }
    let norm_r1 = max_r1 + total_r1.log();
    let loss = (norm_r1.clone() - (users_rd.clone() * labels_rd.clone()).sum_dim(1)).mean();
    if !slopes {
        return (loss, None);
    }
    let share = 1.0 / r as f64;
    let mut d_users = labels_rd.neg();
    // Padding is no candidate.
    let mut d_items = vec![Tensor::<2>::zeros([1, d], &device)];
    for chunk in walk.chunks(v) {
        let p_rc = (scores(chunk) - norm_r1.clone()).exp();
        d_users = d_users + p_rc.clone().matmul(items_vd.clone().narrow(0, chunk.0, chunk.1));
        d_items.push(p_rc.transpose().matmul(users_rd.clone()));
    }
    let d_items = Tensor::cat(d_items, 0).select_assign(
        0,
        label_r,
        users_rd.neg(),
        burn::tensor::IndexingUpdateOp::Add,
    );
    (loss, Some([d_users * share, d_items * share]))
}

/// The operation behind [`full_softmax`].
#[backend_extension(Flex, Autodiff)]
pub trait FullOps: Backend {
    /// See [`full_softmax`].
    fn full_softmax(users: FloatTensor<Self>, items: FloatTensor<Self>, walk: Arc<Walk>)
    -> FloatTensor<Self>;
}

impl FullOps for Flex {
    fn full_softmax(users: FlexTensor, items: FlexTensor, walk: Arc<Walk>) -> FlexTensor {
        forward(&users.to_contiguous(), &items.to_contiguous(), &walk).0
    }
}

impl<C: CheckpointStrategy> FullOps for Autodiff<Flex, C> {
    fn full_softmax(
        users: FloatTensor<Self>,
        items: FloatTensor<Self>,
        walk: Arc<Walk>,
    ) -> FloatTensor<Self> {
        match FullBackward.prepare::<C>([users.node(), items.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let users = users.primitive().to_contiguous();
                let items = items.primitive().to_contiguous();
                let (loss, norms) = forward(&users, &items, &walk);
                prep.finish((users, items, Arc::new(norms), walk), loss)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::full_softmax(users.into_primitive(), items.into_primitive(), walk))
            }
        }
    }
}

#[derive(Debug)]
struct FullBackward;

impl Backward<Flex, 2> for FullBackward {
    type State = (FlexTensor, FlexTensor, Arc<Vec<f32>>, Arc<Walk>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [users_node, items_node] = ops.parents;
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (users, items, norms, walk) = ops.state;
        let [d_users, d_items] = backward(&users, &items, &norms, &walk, grad.storage::<f32>()[0]);
        if let Some(node) = users_node {
            grads.register::<Flex>(node.id, d_users);
        }
        if let Some(node) = items_node {
            grads.register::<Flex>(node.id, d_items);
        }
    }
}

/// Scores of a chunk, `[R, C]`.
fn scores(users: &FlexTensor, items: &FlexTensor, (start, count): (usize, usize)) -> FlexTensor {
    matmul(users.clone(), items.narrow(0, start, count).transpose(0, 1))
}

/// Loss `[1]` and the log-normaliser of every row.
fn forward(users: &FlexTensor, items: &FlexTensor, walk: &Walk) -> (FlexTensor, Vec<f32>) {
    let (r, d) = dims(users);
    let (v, _) = dims(items);
    // Highest score so far, and the sum of exponentials relative to it.
    let mut running = vec![(f32::MIN, 0.0f32); r];
    for chunk in walk.chunks(v) {
        let tile = scores(users, items, chunk);
        tile.storage::<f32>().par_chunks_exact(chunk.1).zip(&mut running).for_each(|(z, (max, total))| {
            simd::dispatch(
                #[inline(always)]
                || {
                    let higher = simd::max(z).max(*max);
                    let here = simd::sum(
                        z.len(),
                        #[inline(always)]
                        |i| simd::exp(z[i] - higher),
                    );
                    *total = *total * (*max - higher).exp() + here;
                    *max = higher;
                },
            );
        });
    }
    let norms: Vec<f32> = running.iter().map(|(max, total)| max + total.ln()).collect();
    let (users, items) = (users.storage::<f32>(), items.storage::<f32>());
    let losses = walk.labels.iter().enumerate().map(|(row, &label)| {
        let (user, item) = (&users[row * d..(row + 1) * d], &items[label as usize * d..][..d]);
        f64::from(norms[row]) - f64::from(simd::sum(d, |i| user[i] * item[i]))
    });
    let mean = losses.sum::<f64>() / r as f64;
    (FlexTensor::from_data(TensorData::new(vec![mean as f32], [1])), norms)
}

/// Gradients by users and items, times `grad`.
fn backward(
    users: &FlexTensor,
    items: &FlexTensor,
    norms: &[f32],
    walk: &Walk,
    grad: f32,
) -> [FlexTensor; 2] {
    let (r, d) = dims(users);
    let (v, _) = dims(items);
    let share = grad / r as f32;
    let mut d_users = vec![0.0f32; r * d];
    let mut d_items = vec![0.0f32; v * d];
    for (start, count) in walk.chunks(v) {
        let mut tile = scores(users, items, (start, count));
        tile.storage_mut::<f32>().par_chunks_exact_mut(count).zip(norms).zip(&walk.labels).for_each(
            |((z, &norm), &label)| {
                simd::dispatch(
                    #[inline(always)]
                    || {
                        for z in &mut *z {
                            *z = share * simd::exp(*z - norm);
                        }
                    },
                );
                if let Some(z) = (label as usize).checked_sub(start).and_then(|place| z.get_mut(place)) {
                    *z -= share;
                }
            },
        );
        let of_items = matmul(tile.transpose(0, 1), users.clone());
        d_items[start * d..(start + count) * d].copy_from_slice(&of_items.storage::<f32>()[..count * d]);
        let of_users = matmul(tile, items.narrow(0, start, count));
        d_users.iter_mut().zip(of_users.storage::<f32>()).for_each(|(sum, g)| *sum += g);
    }
    [
        FlexTensor::from_data(TensorData::new(d_users, [r, d])),
        FlexTensor::from_data(TensorData::new(d_items, [v, d])),
    ]
}

fn dims(x: &FlexTensor) -> (usize, usize) {
    let shape = x.layout().shape();
    (shape[0], shape[1])
}

#[cfg(test)]
#[path = "full_softmax_tests.rs"]
mod tests;

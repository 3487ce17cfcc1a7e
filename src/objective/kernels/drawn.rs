//! Scores of each row's label and of its drawn negatives.
//!
//! With negatives for each window, the composed body gathers them and multiplies padded batches. The CPU kernel
//! computes dot products row by row without copies.
//!
//! Shapes: `R` rows, `U` items, `D` width, `G` groups of rows that share negatives, `K` negatives of a group,
//! `L` rows of the largest group.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::ops::lookup::lookup;
use crate::ops::{simd, use_kernels};

/// The items that the rows are scored against: their columns among the batch's items, or another kind `T` of numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn<T = u32> {
    /// `[R]`: the right answers.
    pub labels: Vec<T>,
    /// `[G, K]`: the wrong ones.
    pub negatives: Vec<T>,
    /// K
    pub count: usize,
    /// `[G]`: number of consecutive rows that share a draw.
    pub group_rows: Vec<u32>,
}

impl<T> Drawn<T> {
    /// The group of every row.
    pub fn groups(&self) -> impl Iterator<Item = usize> + '_ {
        self.group_rows.iter().enumerate().flat_map(|(g, &rows)| std::iter::repeat_n(g, rows as usize))
    }

    /// Negatives of group `g`, `[K]`.
    pub fn group(&self, g: usize) -> &[T] {
        &self.negatives[g * self.count..(g + 1) * self.count]
    }
}

impl Drawn {
    /// What a row is scored against: the label, then the negatives.
    fn columns(&self, row: usize, group: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::once(&self.labels[row]).chain(self.group(group)).map(|&item| item as usize)
    }
}

/// Dot products of every row with its label (column 0) and its negatives.
///
/// # Shapes
/// - users: `[R, D]`
/// - items: `[U, D]`
/// - result: `[R, 1 + K]`
pub fn drawn_scores(users: Tensor<2>, items: Tensor<2>, drawn: &Arc<Drawn>) -> Tensor<2> {
    // One draw for all rows is a plain matrix product.
    if drawn.group_rows.len() > 1 && use_kernels(&users.device()) {
        let (users, items) = (users.into_dispatch(), items.into_dispatch());
        return Tensor::from_dispatch(<Dispatch as DrawnOps>::drawn_scores(users, items, drawn.clone()));
    }
    composed(users, items, drawn)
}

/// [`drawn_scores`] composed of tensor operations, for any device.
pub fn composed(users_rd: Tensor<2>, items_ud: Tensor<2>, drawn: &Drawn) -> Tensor<2> {
    let [r, d] = users_rd.dims();
    let (g, k) = (drawn.group_rows.len(), drawn.count);
    let longest = drawn.group_rows.iter().copied().max().unwrap_or(0) as usize;
    let labels_rd = lookup(items_ud.clone(), &drawn.labels);
    let label_r1 = (users_rd.clone() * labels_rd).sum_dim(1);
    let negatives_gkd = lookup(items_ud, &drawn.negatives).reshape([g, k, d]);
    // Rows of a group stand side by side; short groups repeat row 0, which is cut off again.
    let (mut places, mut real) = (vec![0u32; g * longest], Vec::with_capacity(r));
    let mut row = 0;
    for (group, &rows) in drawn.group_rows.iter().enumerate() {
        for i in 0..rows {
            places[group * longest + i as usize] = row;
            real.push((group * longest) as u32 + i);
            row += 1;
        }
    }
    let padded_gld = lookup(users_rd, &places).reshape([g, longest, d]);
    let scores_glk = padded_gld.matmul(negatives_gkd.swap_dims(1, 2));
    let scores_rk = lookup(scores_glk.reshape([g * longest, k]), &real);
    Tensor::cat(vec![label_r1, scores_rk], 1)
}

/// The operation behind [`drawn_scores`].
#[backend_extension(Flex, Autodiff)]
pub trait DrawnOps: Backend {
    /// See [`drawn_scores`].
    fn drawn_scores(
        users: FloatTensor<Self>,
        items: FloatTensor<Self>,
        drawn: Arc<Drawn>,
    ) -> FloatTensor<Self>;
}

impl DrawnOps for Flex {
    fn drawn_scores(users: FlexTensor, items: FlexTensor, drawn: Arc<Drawn>) -> FlexTensor {
        forward(&users.to_contiguous(), &items.to_contiguous(), &drawn)
    }
}

impl<C: CheckpointStrategy> DrawnOps for Autodiff<Flex, C> {
    fn drawn_scores(
        users: FloatTensor<Self>,
        items: FloatTensor<Self>,
        drawn: Arc<Drawn>,
    ) -> FloatTensor<Self> {
        match DrawnBackward.prepare::<C>([users.node(), items.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let users = users.primitive().to_contiguous();
                let items = items.primitive().to_contiguous();
                let scores = forward(&users, &items, &drawn);
                prep.finish((users, items, drawn), scores)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::drawn_scores(users.into_primitive(), items.into_primitive(), drawn))
            }
        }
    }
}

#[derive(Debug)]
struct DrawnBackward;

impl Backward<Flex, 2> for DrawnBackward {
    type State = (FlexTensor, FlexTensor, Arc<Drawn>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [users_node, items_node] = ops.parents;
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (users, items, drawn) = ops.state;
        let grad = grad.storage::<f32>();
        if let Some(node) = users_node {
            grads.register::<Flex>(node.id, users_gradient(&users, &items, &drawn, grad));
        }
        if let Some(node) = items_node {
            grads.register::<Flex>(node.id, items_gradient(&users, &items, &drawn, grad));
        }
    }
}

fn forward(users: &FlexTensor, items: &FlexTensor, drawn: &Drawn) -> FlexTensor {
    let (r, d) = dims(users);
    let width = 1 + drawn.count;
    let (users, items) = (users.storage::<f32>(), items.storage::<f32>());
    let groups: Vec<usize> = drawn.groups().collect();
    let mut scores = vec![0.0f32; r * width];
    scores.par_chunks_exact_mut(width).enumerate().for_each(|(row, out)| {
        let user = &users[row * d..(row + 1) * d];
        simd::dispatch(
            #[inline(always)]
            || {
                for (out, item) in out.iter_mut().zip(drawn.columns(row, groups[row])) {
                    let item = &items[item * d..(item + 1) * d];
                    *out = simd::sum(
                        [&user[..d], item],
                        #[inline(always)]
                        |[a, b]| a * b,
                    );
                }
            },
        );
    });
    FlexTensor::from_data(TensorData::new(scores, [r, width]))
}

fn users_gradient(users: &FlexTensor, items: &FlexTensor, drawn: &Drawn, grad: &[f32]) -> FlexTensor {
    let (r, d) = dims(users);
    let width = 1 + drawn.count;
    let items = items.storage::<f32>();
    let groups: Vec<usize> = drawn.groups().collect();
    let mut out = vec![0.0f32; r * d];
    out.par_chunks_exact_mut(d).enumerate().for_each(|(row, sum)| {
        let grad = &grad[row * width..(row + 1) * width];
        simd::dispatch(
            #[inline(always)]
            || {
                for (&g, item) in grad.iter().zip(drawn.columns(row, groups[row])) {
                    add_scaled(sum, g, &items[item * d..(item + 1) * d]);
                }
            },
        );
    });
    FlexTensor::from_data(TensorData::new(out, [r, d]))
}

/// Items of a task of [`items_gradient`]. One task sums an item over the rows in order, so that the result does not
/// depend on the number of threads.
const ITEMS_PER_TASK: usize = 512;

fn items_gradient(users: &FlexTensor, items: &FlexTensor, drawn: &Drawn, grad: &[f32]) -> FlexTensor {
    let (_, d) = dims(users);
    let (u, _) = dims(items);
    let width = 1 + drawn.count;
    let users = users.storage::<f32>();
    let mut out = vec![0.0f32; u * d];
    out.par_chunks_mut(ITEMS_PER_TASK * d).enumerate().for_each(|(task, out)| {
        let first = task * ITEMS_PER_TASK;
        let mine = first..first + out.len() / d;
        simd::dispatch(
            #[inline(always)]
            || {
                let mut add = |item: u32, row: usize, column: usize| {
                    let place = (item as usize - first) * d;
                    add_scaled(
                        &mut out[place..place + d],
                        grad[row * width + column],
                        &users[row * d..(row + 1) * d],
                    );
                };
                let mut row = 0;
                for (group, &rows) in drawn.group_rows.iter().enumerate() {
                    let end = row + rows as usize;
                    for (k, &item) in drawn.group(group).iter().enumerate() {
                        if mine.contains(&(item as usize)) {
                            (row..end).for_each(|row| add(item, row, 1 + k));
                        }
                    }
                    for row in row..end {
                        if mine.contains(&(drawn.labels[row] as usize)) {
                            add(drawn.labels[row], row, 0);
                        }
                    }
                    row = end;
                }
            },
        );
    });
    FlexTensor::from_data(TensorData::new(out, [u, d]))
}

#[inline(always)]
fn add_scaled(sum: &mut [f32], scale: f32, values: &[f32]) {
    for (s, &v) in sum.iter_mut().zip(values) {
        *s += scale * v;
    }
}

fn dims(x: &FlexTensor) -> (usize, usize) {
    let shape = x.layout().shape();
    (shape[0], shape[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::host;
    use burn::tensor::Device;
    use rand::{RngExt, SeedableRng};

    const D: usize = 19;
    const ITEMS: usize = 1100;

    fn case(groups: &[u32], count: usize) -> (Vec<f32>, Vec<f32>, Arc<Drawn>) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let rows: u32 = groups.iter().sum();
        let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random::<f32>() - 0.5).collect() };
        let (users, items) = (draw(rows as usize * D), draw(ITEMS * D));
        let mut item = || rng.random_range(0..ITEMS as u32);
        let labels = (0..rows).map(|_| item()).collect();
        let negatives = (0..groups.len() * count).map(|_| item()).collect();
        (users, items, Arc::new(Drawn { labels, negatives, count, group_rows: groups.to_vec() }))
    }

    fn tracked(values: &[f32]) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [values.len() / D, D]);
        Tensor::from_data(data, &Device::flex().autodiff()).require_grad()
    }

    /// Scores, and the gradients of `Σ weight · score`.
    fn run(kernel: bool, users: &[f32], items: &[f32], drawn: &Arc<Drawn>, weight: &[f32]) -> [Vec<f32>; 3] {
        let (users, items) = (tracked(users), tracked(items));
        let scores = if kernel {
            let (users, items) = (users.clone().into_dispatch(), items.clone().into_dispatch());
            Tensor::<2>::from_dispatch(<Dispatch as DrawnOps>::drawn_scores(users, items, drawn.clone()))
        } else {
            composed(users.clone(), items.clone(), drawn)
        };
        let weight = TensorData::new(weight.to_vec(), scores.dims());
        let weighted = scores.clone() * Tensor::from_data(weight, &scores.device());
        let grads = weighted.sum().backward();
        let grad = |x: &Tensor<2>| host(x.grad(&grads).unwrap());
        [host(scores.inner()), grad(&users), grad(&items)]
    }

    #[test]
    fn kernel_and_composed_body_equal_sums_in_f64() {
        for (groups, count) in [(&[3u32, 1, 5][..], 23), (&[6], 40), (&[1, 1], 1)] {
            let (users, items, drawn) = case(groups, count);
            let rows = users.len() / D;
            let width = 1 + count;
            let weight: Vec<f32> = (0..rows * width).map(|i| ((i * 37 % 11) as f32 - 5.0) / 7.0).collect();
            let mut expected =
                [vec![0.0f64; rows * width], vec![0.0f64; users.len()], vec![0.0f64; items.len()]];
            for (row, group) in drawn.groups().enumerate() {
                for (column, item) in drawn.columns(row, group).enumerate() {
                    let w = f64::from(weight[row * width + column]);
                    for i in 0..D {
                        let (u, v) = (f64::from(users[row * D + i]), f64::from(items[item * D + i]));
                        expected[0][row * width + column] += u * v;
                        expected[1][row * D + i] += w * v;
                        expected[2][item * D + i] += w * u;
                    }
                }
            }
            for kernel in [true, false] {
                let found = run(kernel, &users, &items, &drawn, &weight);
                for (found, expected) in found.iter().zip(&expected) {
                    for (f, e) in found.iter().zip(expected) {
                        assert!((f64::from(*f) - e).abs() < 2e-5, "kernel {kernel}: {f} {e}");
                    }
                }
            }
        }
    }
}

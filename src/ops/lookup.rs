//! Look-up of table rows whose numbers the host knows.
//!
//! On a GPU, Burn 0.22 sums the gradient of a look-up with one thread a column, which walks all look-ups in turn. Here the
//! host sorts the look-ups by row, and the gradient is gathered and summed in a few steps that are parallel over rows and
//! columns. Without atomic additions, the order of the sums is always the same.
//!
//! Shapes: `U` rows of the table, `N` look-ups, `D` width.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Device, IndexingUpdateOp, Int, Shape, Tensor, TensorData};

use super::use_kernels;

/// Most values that one step adds to one sum.
const FAN_IN: usize = 8;

/// `table[index]`, `[N, D]`.
///
/// # Shapes
/// - table: `[U, D]`
/// - index: `[N]`, below U
pub fn lookup(table: Tensor<2>, index: &[u32]) -> Tensor<2> {
    let device = table.device();
    if use_kernels(&device) {
        // The CPU's own gradient is one pass over the look-ups.
        return table.select(0, places(index, &device));
    }
    let index = Arc::new(index.to_vec());
    Tensor::from_dispatch(<Dispatch as LookupOps>::lookup(table.into_dispatch(), index))
}

/// Sum of the values of each row, `[rows, D]`: the backward pass of [`lookup`].
///
/// # Shapes
/// - values: `[N, D]`
/// - index: `[N]`, below `rows`
pub fn sum_by_row(values: Tensor<2>, index: &[u32], rows: usize) -> Tensor<2> {
    let device = values.device();
    if use_kernels(&device) {
        let [_, d] = values.dims();
        let zeros = Tensor::zeros([rows, d], &device);
        return zeros.select_assign(0, places(index, &device), values, IndexingUpdateOp::Add);
    }
    let plan = Arc::new(Plan::new(index, rows));
    Tensor::from_dispatch(<Dispatch as LookupOps>::sum_by_row(values.into_dispatch(), plan))
}

fn places(index: &[u32], device: &Device) -> Tensor<1, Int> {
    let index: Vec<i32> = index.iter().map(|&i| i as i32).collect();
    let n = index.len();
    Tensor::from_data(TensorData::new(index, [n]), device)
}

/// The steps that sum the values of N look-ups into the U rows that they read.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    sums: Vec<Sum>,
}

/// One step: each output is the sum of `width` inputs.
#[derive(Clone, Debug, PartialEq)]
struct Sum {
    /// `[outputs, width]`: numbers of inputs; the number of inputs itself stands for none.
    parts: Vec<u32>,
    width: usize,
}

impl Plan {
    fn new(index: &[u32], rows: usize) -> Self {
        // The look-ups of row r are `places[starts[r]..starts[r + 1]]`.
        let mut starts = vec![0; rows + 1];
        for &row in index {
            starts[row as usize + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut places = vec![0u32; index.len()];
        for (place, &row) in index.iter().enumerate() {
            places[next[row as usize]] = place as u32;
            next[row as usize] += 1;
        }
        let mut sums = Vec::new();
        let mut inputs = index.len() as u32;
        loop {
            let most = starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
            let last = most <= FAN_IN;
            let width = most.clamp(1, FAN_IN);
            let mut parts = Vec::new();
            let mut outputs = vec![0; rows + 1];
            for row in 0..rows {
                let own = &places[starts[row]..starts[row + 1]];
                let count = if last { 1 } else { own.len().div_ceil(width) };
                outputs[row + 1] = outputs[row] + count;
                parts.extend_from_slice(own);
                parts.resize(outputs[row + 1] * width, inputs);
            }
            sums.push(Sum { parts, width });
            if last {
                return Self { sums };
            }
            inputs = outputs[rows] as u32;
            places = (0..inputs).collect();
            starts = outputs;
        }
    }
}

/// The operation behind [`lookup`].
#[backend_extension(Cube: cfg(feature = "wgpu"), Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait LookupOps: Backend {
    /// See [`lookup`].
    #[fusion(default)]
    fn lookup(table: FloatTensor<Self>, index: Arc<Vec<u32>>) -> FloatTensor<Self> {
        select::<Self>(table, &index)
    }

    /// See [`sum_by_row`].
    #[fusion(default)]
    fn sum_by_row(values: FloatTensor<Self>, plan: Arc<Plan>) -> FloatTensor<Self> {
        plan.sums.iter().fold(values, |values, sum| add_up::<Self>(values, sum))
    }
}

impl LookupOps for Flex {}

#[cfg(feature = "wgpu")]
impl LookupOps for burn_wgpu::CubeBackend {}

impl<B: LookupOps, C: CheckpointStrategy> LookupOps for Autodiff<B, C> {
    fn lookup(table: FloatTensor<Self>, index: Arc<Vec<u32>>) -> FloatTensor<Self> {
        match LookupBackward.prepare::<C>([table.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let table = table.into_primitive();
                let [rows, _] = table.shape().dims();
                let found = select::<B>(table, &index);
                prep.finish((index, rows), found)
            }
            OpsKind::UnTracked(prep) => prep.finish(select::<B>(table.into_primitive(), &index)),
        }
    }
}

#[derive(Debug)]
struct LookupBackward;

impl<B: LookupOps> Backward<B, 1> for LookupBackward {
    /// The index and U; the plan is made only if a gradient is needed.
    type State = (Arc<Vec<u32>>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            let (index, rows) = ops.state;
            grads.register::<B>(node.id, B::sum_by_row(grad, Arc::new(Plan::new(&index, rows))));
        }
    }
}

/// `[inputs, D] -> [outputs, D]`
fn add_up<B: Backend>(values: FloatTensor<B>, sum: &Sum) -> FloatTensor<B> {
    let [inputs, d] = values.shape().dims();
    let outputs = sum.parts.len() / sum.width;
    // A row of zeros stands for an absent input.
    let values = if sum.parts.contains(&(inputs as u32)) {
        let zeros = B::float_zeros(Shape::new([1, d]), &values.device(), values.dtype().into());
        B::float_cat(vec![values, zeros], 0)
    } else {
        values
    };
    let parts = select::<B>(values, &sum.parts);
    if sum.width == 1 {
        return parts;
    }
    let parts = B::float_reshape(parts, Shape::new([outputs, sum.width, d]));
    B::float_reshape(B::float_sum_dim(parts, 1), Shape::new([outputs, d]))
}

fn select<B: Backend>(table: FloatTensor<B>, index: &[u32]) -> FloatTensor<B> {
    let index: Vec<i32> = index.iter().map(|&i| i as i32).collect();
    let n = index.len();
    let index = B::int_from_data(TensorData::new(index, [n]), &table.device());
    B::float_select(table, 0, index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;
    use proptest::prelude::*;

    /// Values and the gradient of a weighted sum, by the operation and by Burn's own look-up.
    fn both(index: &[u32], rows: usize, d: usize) -> [(Vec<f32>, Vec<f32>); 2] {
        let device = Device::flex().autodiff();
        // Whole numbers, so that sums in any order are the same.
        let whole =
            |shape| Tensor::<2>::random(shape, Distribution::Uniform(-50.0, 50.0), &device).inner().round();
        let (table, weights) = (whole([rows, d]), whole([index.len(), d]));
        [true, false].map(|ours| {
            let table = Tensor::<2>::from_inner(table.clone()).require_grad();
            let found: Tensor<2> = if ours {
                let index = Arc::new(index.to_vec());
                Tensor::from_dispatch(<Dispatch as LookupOps>::lookup(table.clone().into_dispatch(), index))
            } else {
                table.clone().select(0, places(index, &device))
            };
            let weighted = (found.clone() * Tensor::from_inner(weights.clone())).sum();
            let grad = table.grad(&weighted.backward()).unwrap();
            (crate::tensors::host(found.inner()), crate::tensors::host(grad))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn rows_and_their_gradient_equal_those_of_the_plain_look_up(
            seed in prop::collection::vec(0u32..1000, 1..400), rows in 1usize..60, d in 1usize..5, skew in 1u32..60,
        ) {
            let index: Vec<u32> = seed.iter().map(|i| i % skew % rows as u32).collect();
            let [ours, plain] = both(&index, rows, d);
            prop_assert_eq!(ours, plain);
        }
    }

    #[test]
    fn a_row_read_very_often_is_summed_in_logarithmically_many_steps() {
        let plan = Plan::new(&[3; 1000], 5);
        assert_eq!(plan.sums.len(), 4);
        assert!(plan.sums.iter().all(|sum| sum.width <= FAN_IN));
        // Distinct rows are placed, and nothing is added.
        assert_eq!(Plan::new(&[4, 0, 2], 5).sums, [Sum { parts: vec![1, 3, 2, 3, 0], width: 1 }]);
    }
}

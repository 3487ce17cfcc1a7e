//! Gradients as values: their sum of squares, and gradients computed beforehand that enter the graph.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{cpu_handle, simd, use_kernels};

/// Entries of a chunk, summed in f32. The chunks' sums are added in f64 and in order, so that the result does not depend
/// on the number of threads.
const CHUNK: usize = 1 << 14;

/// Sum of the squares of all entries. CPU only.
pub fn square_sum(x: Tensor<1>) -> f64 {
    let x = cpu_handle(x);
    let chunk_sum = |values: &[f32]| {
        simd::dispatch(
            #[inline(always)]
            || {
                simd::sum(
                    [values],
                    #[inline(always)]
                    |[x]| x * x,
                )
            },
        )
    };
    let sums: Vec<f32> = x.storage::<f32>().par_chunks(CHUNK).map(chunk_sum).collect();
    sums.into_iter().map(f64::from).sum()
}

/// A zero, `[1]`, whose gradient with respect to `x` is `gradient`.
///
/// # Shapes
/// - gradient: that of x, without autodiff
pub fn gradient_term<const D: usize>(x: Tensor<D>, gradient: Tensor<D>) -> Tensor<1> {
    let gradient = Tensor::from_inner(gradient);
    if use_kernels(&x.device()) {
        let out = <Dispatch as GradientOps>::gradient_term(x.into_dispatch(), gradient.into_dispatch());
        return Tensor::from_dispatch(out);
    }
    let linear = (x * gradient).sum();
    linear.clone() - linear.detach()
}

/// The operation behind [`gradient_term`].
#[backend_extension(Flex, Autodiff)]
pub trait GradientOps: Backend {
    /// See [`gradient_term`].
    fn gradient_term(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl GradientOps for Flex {
    fn gradient_term(x: FlexTensor, _gradient: FlexTensor) -> FlexTensor {
        FlexTensor::zeros(Shape::new([1]), x.dtype())
    }
}

impl<C: CheckpointStrategy> GradientOps for Autodiff<Flex, C> {
    fn gradient_term(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let zero = FlexTensor::zeros(Shape::new([1]), x.primitive().dtype());
        match TermBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(gradient.into_primitive(), zero),
            OpsKind::UnTracked(prep) => prep.finish(zero),
        }
    }
}

#[derive(Debug)]
struct TermBackward;

impl Backward<Flex, 1> for TermBackward {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (factor, mut gradient) = (grad.storage::<f32>()[0], ops.state);
        if factor != 1.0 {
            gradient = gradient.to_contiguous();
            gradient.storage_mut::<f32>().iter_mut().for_each(|g| *g *= factor);
        }
        if let Some(node) = node {
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn sums_of_any_length_agree_with_f64_and_bad_entries_show() {
        for n in [0, 1, 15, 40_000] {
            let mut values: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let exact: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
            let tensor = |values: &[f32]| Tensor::<1>::from_data(values, &Device::flex());
            assert!((square_sum(tensor(&values)) - exact).abs() <= 1e-6 * exact);
            if let Some(last) = values.last_mut() {
                *last = f32::NAN;
                assert!(square_sum(tensor(&values)).is_nan());
            }
        }
    }
}

//! A gradient that was worked out beforehand enters the graph.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;

use super::use_kernels;

/// 0, whose gradient by `x` is `slope`: `[1]`.
///
/// # Shapes
/// - slope: that of x, on the plain device
pub fn slope<const D: usize>(x: Tensor<D>, slope: Tensor<D>) -> Tensor<1> {
    let slope = Tensor::from_inner(slope);
    if use_kernels(&x.device()) {
        let out = <Dispatch as SlopeOps>::slope(x.into_dispatch(), slope.into_dispatch());
        return Tensor::from_dispatch(out);
    }
    let linear = (x * slope).sum();
    linear.clone() - linear.detach()
}

/// The operation behind [`slope`].
#[backend_extension(Flex, Autodiff)]
pub trait SlopeOps: Backend {
    /// See [`slope`].
    fn slope(x: FloatTensor<Self>, slope: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl SlopeOps for Flex {
    fn slope(x: FlexTensor, _slope: FlexTensor) -> FlexTensor {
        FlexTensor::zeros(Shape::new([1]), x.dtype())
    }
}

impl<C: CheckpointStrategy> SlopeOps for Autodiff<Flex, C> {
    fn slope(x: FloatTensor<Self>, slope: FloatTensor<Self>) -> FloatTensor<Self> {
        let zero = FlexTensor::zeros(Shape::new([1]), x.primitive().dtype());
        match SlopeBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(slope.into_primitive(), zero),
            OpsKind::UnTracked(prep) => prep.finish(zero),
        }
    }
}

#[derive(Debug)]
struct SlopeBackward;

impl Backward<Flex, 1> for SlopeBackward {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (grad, mut slope) = (grad.storage::<f32>()[0], ops.state);
        if grad != 1.0 {
            slope = slope.to_contiguous();
            slope.storage_mut::<f32>().iter_mut().for_each(|s| *s *= grad);
        }
        if let Some(node) = node {
            grads.register::<Flex>(node.id, slope);
        }
    }
}

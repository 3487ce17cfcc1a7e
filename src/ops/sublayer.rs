//! The fused sublayers of a transformer block as autodiff sees them: a tensor of rows and six parameters go in, rows
//! come out.
//!
//! The modules [`self_attention`], [`readout`] and [`feed_forward`] hold
//! what each computes.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

use super::feed_forward::{self, FeedForward};
use super::readout::{self, Readout};
use super::rows::Rows;
use super::self_attention::{self, SelfAttention};
use super::spared::Spared;

/// Which sublayer, and what it knows beside tensors.
#[derive(Clone, Debug)]
pub enum Layer {
    SelfAttention(SelfAttention),
    Readout(Readout),
    FeedForward(FeedForward),
}

/// What is kept for the backward pass.
#[derive(Debug)]
pub struct Kept {
    /// Normalised rows `[N, L, D]`.
    pub normed: Vec<f32>,
    /// What each was multiplied with, `[N, L]`.
    pub inverse: Vec<f32>,
    pub spared: Spared,
}

/// A sublayer's result while chunks are computed.
pub struct Output {
    y: Vec<f32>,
    /// Empty where no backward pass follows.
    normed: Vec<f32>,
    inverse: Vec<f32>,
    shape: [usize; 3],
}

impl Output {
    pub fn new(rows: &Rows, d: usize, keep: bool) -> Self {
        let total = rows.sequences * rows.positions;
        let kept = if keep { total } else { 0 };
        let [y, normed, inverse] = [total * d, kept * d, kept].map(|n| vec![0.0f32; n]);
        Self { y, normed, inverse, shape: [rows.sequences, rows.positions, d] }
    }

    /// Rows, normalised rows and what they were multiplied with, each with its values per sequence.
    pub fn outputs(&mut self) -> [(&mut [f32], usize); 3] {
        let sequences = self.shape[0].max(1);
        [&mut self.y, &mut self.normed, &mut self.inverse].map(|values| {
            let per_sequence = values.len() / sequences;
            (values.as_mut_slice(), per_sequence)
        })
    }

    pub fn finish(self, spared: Spared) -> (FlexTensor, Kept) {
        let y = FlexTensor::from_data(TensorData::new(self.y, self.shape));
        (y, Kept { normed: self.normed, inverse: self.inverse, spared })
    }
}

/// A sublayer with its tensors.
#[derive(Clone, Debug)]
enum Bound {
    SelfAttention(self_attention::Bound),
    Readout(readout::Bound),
    FeedForward(feed_forward::Bound),
}

impl Bound {
    /// Rows, then parameters in the sublayer's own order.
    fn new(tensors: [FlexTensor; 7], layer: Layer) -> Self {
        let tensors = tensors.map(|t| t.to_contiguous());
        match layer {
            Layer::SelfAttention(layer) => Self::SelfAttention(self_attention::Bound::new(tensors, layer)),
            Layer::Readout(layer) => Self::Readout(readout::Bound::new(tensors, layer)),
            Layer::FeedForward(layer) => Self::FeedForward(feed_forward::Bound::new(tensors, layer)),
        }
    }

    /// The result, and what is kept if it is asked for.
    fn forward(&self, keep: bool) -> (FlexTensor, Kept) {
        match self {
            Self::SelfAttention(bound) => bound.forward(keep),
            Self::Readout(bound) => bound.forward(keep),
            Self::FeedForward(bound) => bound.forward(keep),
        }
    }

    /// Gradients by all tensors from that by the result.
    fn backward(&self, kept: &Kept, grad: &[f32]) -> [FlexTensor; 7] {
        match self {
            Self::SelfAttention(bound) => bound.backward(kept, grad),
            Self::Readout(bound) => bound.backward(kept, grad),
            Self::FeedForward(bound) => bound.backward(kept, grad),
        }
    }
}

/// Runs a sublayer. For the CPU device only.
///
/// # Shapes
/// - x: `[N, L, D]`
/// - matrices and vectors: the parameters in the sublayer's own order
pub fn sublayer(x: Tensor<3>, parameters: [Parameter; 6], layer: Layer) -> Tensor<3> {
    let [a, b, c, d, e, f] = parameters.map(|parameter| match parameter {
        Parameter::Matrix(matrix) => matrix.into_dispatch(),
        Parameter::Vector(vector) => vector.into_dispatch(),
    });
    let out = <Dispatch as SublayerOps>::sublayer(x.into_dispatch(), a, b, c, d, e, f, layer);
    Tensor::from_dispatch(out)
}

/// A parameter of either rank.
#[derive(Clone, Debug)]
pub enum Parameter {
    Matrix(Tensor<2>),
    Vector(Tensor<1>),
}

/// The operation behind [`sublayer`].
#[backend_extension(Flex, Autodiff)]
pub trait SublayerOps: Backend {
    /// See [`sublayer`].
    #[allow(clippy::too_many_arguments)]
    fn sublayer(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self>;
}

impl SublayerOps for Flex {
    fn sublayer(
        x: FlexTensor,
        a: FlexTensor,
        b: FlexTensor,
        c: FlexTensor,
        d: FlexTensor,
        e: FlexTensor,
        f: FlexTensor,
        layer: Layer,
    ) -> FlexTensor {
        Bound::new([x, a, b, c, d, e, f], layer).forward(false).0
    }
}

impl<C: CheckpointStrategy> SublayerOps for Autodiff<Flex, C> {
    #[allow(clippy::redundant_closure_for_method_calls, reason = "Burn does not export the tensor's type")]
    fn sublayer(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self> {
        let tensors = [x, a, b, c, d, e, f];
        let nodes = tensors.each_ref().map(|t| t.node());
        let bound = Bound::new(tensors.map(|t| t.into_primitive()), layer);
        match SublayerBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (y, kept) = bound.forward(true);
                prep.finish((bound, Arc::new(kept)), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(bound.forward(false).0),
        }
    }
}

#[derive(Debug)]
struct SublayerBackward;

impl Backward<Flex, 7> for SublayerBackward {
    type State = (Bound, Arc<Kept>);

    fn backward(self, ops: Ops<Self::State, 7>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (bound, kept) = ops.state;
        let slopes = bound.backward(&kept, grad.storage());
        for (node, slope) in ops.parents.into_iter().zip(slopes) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, slope);
            }
        }
    }
}

/// The next tensor of the given shape from values that lie one behind the other.
pub(super) fn cut_tensor(rest: &mut &[f32], shape: &[usize]) -> FlexTensor {
    let (own, others) = rest.split_at(shape.iter().product());
    *rest = others;
    FlexTensor::from_data(TensorData::new(own.to_vec(), shape.to_vec()))
}

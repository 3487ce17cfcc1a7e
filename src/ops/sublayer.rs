//! The autodiff operation of the fused sublayers of a transformer block: rows and six parameters in, rows out.
//!
//! [`self_attention`], [`readout`] and [`feed_forward`] define what each sublayer computes.

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
use super::saved::Saved;
use super::self_attention::{self, SelfAttention};

/// A sublayer with its hyper-parameters.
#[derive(Clone, Debug)]
pub enum Layer {
    SelfAttention(SelfAttention),
    Readout(Readout),
    FeedForward(FeedForward),
}

/// State of the forward pass that the backward pass reads.
#[derive(Debug)]
pub struct Kept {
    /// Normalised rows `[N, L, D]`.
    pub normed: Vec<f32>,
    /// Inverse standard deviation of each row, `[N, L]`.
    pub inverse: Vec<f32>,
    /// Intermediate values, where they fit into memory.
    pub saved: Saved,
}

/// Buffers that the chunks of a forward pass fill.
pub struct Output {
    y: Vec<f32>,
    /// Empty without a backward pass.
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

    /// Result, normalised rows and inverse deviations, each with its number of values a sequence.
    pub fn outputs(&mut self) -> [(&mut [f32], usize); 3] {
        let sequences = self.shape[0].max(1);
        [&mut self.y, &mut self.normed, &mut self.inverse].map(|values| {
            let sequence_len = values.len() / sequences;
            (values.as_mut_slice(), sequence_len)
        })
    }

    pub fn finish(self, saved: Saved) -> (FlexTensor, Kept) {
        let y = FlexTensor::from_data(TensorData::new(self.y, self.shape));
        (y, Kept { normed: self.normed, inverse: self.inverse, saved })
    }
}

/// A sublayer bound to its tensors.
#[derive(Clone, Debug)]
enum Bound {
    SelfAttention(self_attention::Bound),
    Readout(readout::Bound),
    FeedForward(feed_forward::Bound),
}

impl Bound {
    /// `tensors` are the rows, then the parameters in the sublayer's own order.
    fn new(tensors: [FlexTensor; 7], layer: Layer) -> Self {
        let tensors = tensors.map(|t| t.to_contiguous());
        match layer {
            Layer::SelfAttention(layer) => Self::SelfAttention(self_attention::Bound::new(tensors, layer)),
            Layer::Readout(layer) => Self::Readout(readout::Bound::new(tensors, layer)),
            Layer::FeedForward(layer) => Self::FeedForward(feed_forward::Bound::new(tensors, layer)),
        }
    }

    /// The result, and the state of the backward pass if `keep` is set.
    fn forward(&self, keep: bool) -> (FlexTensor, Kept) {
        match self {
            Self::SelfAttention(bound) => bound.forward(keep),
            Self::Readout(bound) => bound.forward(keep),
            Self::FeedForward(bound) => bound.forward(keep),
        }
    }

    /// Gradients of all tensors, from the gradient of the result.
    fn backward(&self, kept: &Kept, grad: &[f32]) -> [FlexTensor; 7] {
        match self {
            Self::SelfAttention(bound) => bound.backward(kept, grad),
            Self::Readout(bound) => bound.backward(kept, grad),
            Self::FeedForward(bound) => bound.backward(kept, grad),
        }
    }
}

/// Runs a sublayer. CPU only.
///
/// # Shapes
/// - x: `[N, L, D]`
/// - parameters: matrices and vectors in the sublayer's own order
/// - result: `[N, L, D]`; `[N, Q, D]` of a readout
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
    /// See [`sublayer`]. The parameters are `a` to `f`: the macro converts tensors only as arguments of their own.
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

/// Splits the next tensor of the given shape off `rest`.
pub(super) fn cut_tensor(rest: &mut &[f32], shape: &[usize]) -> FlexTensor {
    let (own, others) = rest.split_at(shape.iter().product());
    *rest = others;
    FlexTensor::from_data(TensorData::new(own.to_vec(), shape.to_vec()))
}

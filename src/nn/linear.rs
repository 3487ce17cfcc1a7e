//! A linear map over the last axis, all other axes folded into rows.

use burn::nn::Linear;
use burn::tensor::Tensor;

/// `x W + b`, one matrix product forward and one for each gradient.
///
/// Burn's own map keeps the leading axes apart for most shapes; its gradient is then a matrix for every entry of them,
/// summed afterwards, which cost a third of a training step.
///
/// # Shapes
/// `[.., D] -> [.., O]`
pub fn linear<const R: usize>(map: &Linear, x: Tensor<R>) -> Tensor<R> {
    over_rows(x, |x_rd| map.forward(x_rd))
}

/// Applies a map of rows, `[rows, D] -> [rows, O]`, to the last axis.
pub fn over_rows<const R: usize>(x: Tensor<R>, map: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<R> {
    let mut shape = x.dims();
    let width = shape[R - 1];
    let rows = shape[..R - 1].iter().product::<usize>();
    let y_ro = map(x.reshape([rows, width]));
    [_, shape[R - 1]] = y_ro.dims();
    y_ro.reshape(shape)
}

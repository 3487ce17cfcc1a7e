//! How a sublayer of a transformer block ends, for the fused CPU kernels: `LayerNorm(x + dropout(o))` over packed rows.
//!
//! Shapes: `R` packed rows of a chunk, `D` width.

use super::dropout::Draw;
use super::norm::Norm;
use super::rows::{Chunk, Rows};
use super::simd;

/// Dropout, residual and norm.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    pub norm: Norm<'a>,
    pub draw: Draw,
}

impl Residual<'_> {
    /// Turns `o` (`[R, D]`) into normalised rows and writes what comes out over `x`, the rows that go round the sublayer;
    /// `inverse` (`[R]`) is what the rows were multiplied with.
    pub fn forward(&self, rows: &Rows, chunk: &Chunk, x: &mut [f32], o: &mut [f32], inverse: &mut [f32]) {
        let d = self.norm.gamma.len();
        simd::dispatch(
            #[inline(always)]
            || {
                for (_, range, start) in rows.packed(chunk) {
                    let first = start * d;
                    let end = first + range.len() * d;
                    let each = x[first..end].chunks_exact_mut(d).zip(o[first..end].chunks_exact_mut(d));
                    let each = each.zip(&mut inverse[start..start + range.len()]);
                    for (place, ((x, o), inverse)) in range.zip(each) {
                        self.draw.multiply(o, place * d);
                        for i in 0..d {
                            o[i] += x[i];
                        }
                        *inverse = self.norm.normalise(o);
                        self.norm.scale(o, x);
                    }
                }
            },
        );
    }

    /// From `grad`, the gradient by the result (`[R, D]`): over it the gradient by `x` along the residual, into `d_o` that
    /// by `o`; gradients by gamma and beta are added to `sums`.
    pub fn backward(
        &self,
        rows: &Rows,
        chunk: &Chunk,
        (normed, inverse): (&[f32], &[f32]),
        grad: &mut [f32],
        d_o: &mut Vec<f32>,
        sums: &mut [f32],
    ) {
        let d = self.norm.gamma.len();
        d_o.resize(grad.len(), 0.0);
        simd::dispatch(
            #[inline(always)]
            || {
                for (_, range, start) in rows.packed(chunk) {
                    for (i, place) in range.enumerate() {
                        let at = (start + i) * d..(start + i + 1) * d;
                        let grad = &mut grad[at.clone()];
                        let normed = &normed[place * d..(place + 1) * d];
                        self.norm.backward(grad, normed, inverse[place], sums);
                        let d_o = &mut d_o[at];
                        d_o.copy_from_slice(grad);
                        self.draw.multiply(d_o, place * d);
                    }
                }
            },
        );
    }
}

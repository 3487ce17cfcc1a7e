//! The last step of a sublayer in the fused CPU kernels: `LayerNorm(x + dropout(o))` over packed rows.
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

/// Gradients of a [`Residual`] over the packed rows of a chunk.
pub struct ResidualGrads<'a> {
    /// `[R, D]`: the gradient of the result; afterwards that of `x` along the residual.
    pub d_x: &'a mut [f32],
    /// `[R, D]`: set to the gradient of `o`.
    pub d_o: &'a mut Vec<f32>,
    /// `[2 D]`: the gradients of gamma and beta are added.
    pub sums: &'a mut [f32],
}

impl Residual<'_> {
    /// Adds the residual, normalises, and stores the result in `x`.
    ///
    /// # Shapes
    /// - x: `[R, D]`, the sublayer's input; the result afterwards
    /// - o: `[R, D]`, the sublayer's output; the normalised rows afterwards
    /// - inverse: `[R]`, set to the inverse standard deviations
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

    /// Computes the gradients. `normed` (`[N, L, D]`) and `inverse` (`[N, L]`) are those of the forward pass.
    pub fn backward(
        &self,
        rows: &Rows,
        chunk: &Chunk,
        (normed, inverse): (&[f32], &[f32]),
        ResidualGrads { d_x, d_o, sums }: ResidualGrads,
    ) {
        let d = self.norm.gamma.len();
        d_o.resize(d_x.len(), 0.0);
        simd::dispatch(
            #[inline(always)]
            || {
                for (_, range, start) in rows.packed(chunk) {
                    for (i, place) in range.enumerate() {
                        let span = (start + i) * d..(start + i + 1) * d;
                        let d_x = &mut d_x[span.clone()];
                        let normed = &normed[place * d..(place + 1) * d];
                        self.norm.backward(d_x, normed, inverse[place], sums);
                        let d_o = &mut d_o[span];
                        d_o.copy_from_slice(d_x);
                        self.draw.multiply(d_o, place * d);
                    }
                }
            },
        );
    }
}

//! The pass row by row, for catalogues whose scores for a few rows fit into the cache. Scores are computed once and
//! turned into gradients at once: three products, where the pass in chunks takes four.
//!
//! Shapes as in the parent module; `T` rows of a tile.

use burn::tensor::TensorData;
use burn_flex::FlexTensor;

use super::{Branch, Kernel};
use crate::objective::kernels::losses::Scratch;
use crate::ops::gemm::{Mat, MatMut, add_product, product};
use crate::ops::rows::{Chunk, for_each_chunk};
use crate::ops::simd;

/// Most scores of a tile, over all branches, that stay in the last-level cache.
const TILE: usize = 1 << 22;
/// Fewest rows of a tile; fewer don't pay for reading the whole catalogue.
const LEAST_ROWS: usize = 32;
const MOST_ROWS: usize = 256;

/// Whether `branches` catalogues of `v` rows are processed row by row.
pub(super) fn fits(branches: usize, v: usize) -> bool {
    branches * v * LEAST_ROWS <= TILE
}

/// Buffers of a thread.
#[derive(Default)]
struct Work {
    /// `[T, V - 1]` per branch: scores, then their gradients.
    tiles: Vec<Vec<f32>>,
    scratch: Option<Scratch>,
    kept: Vec<f32>,
}

impl Kernel<'_> {
    /// The terms, `[N + K]`, and with factors the gradients of their weighted sum.
    pub(super) fn rowwise(&self, factors: Option<&[f32]>) -> (FlexTensor, Vec<Branch<FlexTensor>>) {
        let (r, v, d) = self.sizes();
        let (n, k) = (self.branches.len(), self.settings.pairs.len());
        // Padding is no candidate.
        let c = v - 1;
        let grad: Option<Vec<f32>> = factors.map(|factors| factors.iter().map(|f| f / r as f32).collect());
        let mut values = vec![0.0f32; r * (n + k)];
        let (slopes, sums) = if grad.is_some() { (n * d, n * v * d) } else { (0, 0) };
        let mut d_users = vec![0.0f32; r * slopes];
        let outputs = [(values.as_mut_slice(), n + k), (d_users.as_mut_slice(), slopes)];
        let weight = vec![0.0f32; c];
        let total = for_each_chunk(
            &tiles(r, n * v),
            outputs,
            sums,
            |chunk: &Chunk, [values, d_users], sums, work: &mut Work| {
                self.score(chunk, c, d, work);
                let rows = values.chunks_exact_mut(n + k).zip(chunk.sequences.clone()).enumerate();
                simd::dispatch(
                    #[inline(always)]
                    || {
                        for (place, (values, row)) in rows {
                            self.row(place, row, &weight, grad.as_deref(), work, values);
                        }
                    },
                );
                if grad.is_some() {
                    self.multiply(chunk, c, d, work, d_users, sums);
                }
            },
        );
        let mut means = vec![0.0f64; n + k];
        for row in values.chunks_exact(n + k) {
            means.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x));
        }
        let means: Vec<f32> = means.iter().map(|m| (m / r as f64) as f32).collect();
        let means = FlexTensor::from_data(TensorData::new(means, [n + k]));
        if grad.is_none() {
            return (means, Vec::new());
        }
        let slopes = total.chunks_exact(v * d).enumerate().map(|(b, items)| {
            let users: Vec<f32> =
                d_users.chunks_exact(n * d).flat_map(|row| row[b * d..(b + 1) * d].iter().copied()).collect();
            let tensor = |values, rows| FlexTensor::from_data(TensorData::new(values, [rows, d]));
            Branch { users: tensor(users, r), items: tensor(items.to_vec(), v) }
        });
        (means, slopes.collect())
    }

    /// Scores of a tile of rows.
    fn score(&self, chunk: &Chunk, c: usize, d: usize, work: &mut Work) {
        let t = chunk.rows;
        work.tiles.resize(self.branches.len(), Vec::new());
        for (branch, tile) in self.branches.iter().zip(&mut work.tiles) {
            tile.resize(t * c, 0.0);
            let users = Mat::new(&branch.users.storage::<f32>()[chunk.sequences.start * d..], t, d);
            let items = Mat::new(&branch.items.storage::<f32>()[d..], c, d);
            product(MatMut::new(tile, t, c), users, items.t(), 1.0);
        }
    }

    /// Computes the terms of one row; its scores are overwritten by their gradients.
    #[inline(always)]
    fn row(
        &self,
        place: usize,
        row: usize,
        weight: &[f32],
        grad: Option<&[f32]>,
        work: &mut Work,
        values: &mut [f32],
    ) {
        let (n, c) = (self.branches.len(), weight.len());
        let Work { tiles, scratch, kept } = work;
        let scratch = scratch.get_or_insert_with(|| Scratch::new(n, c));
        for (z, tile) in scratch.z.iter_mut().zip(tiles.iter()) {
            z[..c].copy_from_slice(&tile[place * c..(place + 1) * c]);
        }
        if !self.settings.pairs.is_empty() {
            scratch.average(c);
        }
        kept.resize(self.settings.kept_width(n), 0.0);
        let label = self.walk.labels[row] as usize - 1;
        self.settings.forward_row(scratch, weight, label, kept, values);
        if let Some(grad) = grad {
            let mut out: Vec<&mut [f32]> =
                tiles.iter_mut().map(|tile| &mut tile[place * c..(place + 1) * c]).collect();
            self.settings.backward_row(scratch, weight, Some(label), kept, grad, &mut out);
        }
    }

    /// Computes the gradients of users (`[T, N, D]`) and items (`[N, V, D]`, added to) from those of a tile's scores.
    fn multiply(
        &self,
        chunk: &Chunk,
        c: usize,
        d: usize,
        work: &Work,
        d_users: &mut [f32],
        sums: &mut [f32],
    ) {
        let (n, t) = (self.branches.len(), chunk.rows);
        for (b, ((branch, tile), sums)) in
            self.branches.iter().zip(&work.tiles).zip(sums.chunks_exact_mut((c + 1) * d)).enumerate()
        {
            let tile = Mat::new(tile, t, c);
            let items = Mat::new(&branch.items.storage::<f32>()[d..], c, d);
            product(MatMut::strided(&mut d_users[b * d..], t, d, n * d), tile, items, 1.0);
            let users = Mat::new(&branch.users.storage::<f32>()[chunk.sequences.start * d..], t, d);
            add_product(MatMut::new(&mut sums[d..], c, d), tile.t(), users, 1.0);
        }
    }
}

/// Tiles of as many rows as fit, but enough tiles for all threads.
fn tiles(rows: usize, row_scores: usize) -> Vec<Chunk> {
    let most = (TILE / row_scores.max(1)).clamp(LEAST_ROWS, MOST_ROWS);
    let each = rows.div_ceil(16).clamp(LEAST_ROWS, most);
    let tile = |start: usize| {
        let end = (start + each).min(rows);
        Chunk { number: start / each, sequences: start..end, rows: end - start }
    };
    (0..rows).step_by(each).map(tile).collect()
}

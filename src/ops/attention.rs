//! Attention of one head in the fused CPU kernels. Probabilities exist for one block of queries at a time; the backward
//! pass recomputes them.
//!
//! Shapes: `Q` queries, `L` keys, `E` head width.

use super::dropout::Draw;
use super::gemm::{Mat, MatMut, add_product, product};
use super::simd;

/// Queries of a block, whose probabilities stay in the cache.
const BLOCK: usize = 96;

/// The keys that one query may attend to, and the place of its weights among all of the call.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// Flat index of the query's first weight, which keys the dropout noise.
    pub first: usize,
    /// Number of keys this query may attend to, a prefix; the rest get weight 0.
    pub keys: usize,
    /// Added to the scores, `[L]`.
    pub added: Option<&'a [f32]>,
}

/// One head: how scores become weights.
pub struct Head<R> {
    /// Multiplies dot products.
    pub scale: f32,
    /// Dropout of the weights.
    pub draw: Draw,
    /// Returns the [`Reach`] of a query.
    pub reach: R,
}

/// Buffers of a block of queries, reused by a thread.
#[derive(Default)]
pub struct Work {
    /// Softmax of the scores.
    p: Vec<f32>,
    /// The same after dropout.
    a: Vec<f32>,
    /// Gradient of `a`, then of the scores.
    g: Vec<f32>,
}

/// Queries, keys and values of a head: `[Q, E]`, `[L, E]`, `[L, E]`.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub q: Mat<'a>,
    pub k: Mat<'a>,
    pub v: Mat<'a>,
}

/// Gradients of [`Inputs`]: `q` is overwritten, `k` and `v` are added to.
pub struct InputGrads<'a> {
    pub q: MatMut<'a>,
    pub k: MatMut<'a>,
    pub v: MatMut<'a>,
}

impl<'a, R: Fn(usize) -> Reach<'a>> Head<R> {
    /// `dropout(softmax(scale · q kᵀ + added)) v`, `[Q, E]`
    pub fn forward(&self, x: &Inputs, mut read: MatMut, work: &mut Work) {
        for rows in blocks(x.q.height()) {
            let keys = self.keys(rows.clone());
            self.weights(x, rows.clone(), keys, work);
            product(read.rows(rows.clone()), Mat::new(&work.a, rows.len(), keys), x.v.rows(0..keys), 1.0);
        }
    }

    /// Gradients from `d_read`, the gradient of the result; `read` is set to the result, which is recomputed.
    pub fn backward(&self, x: &Inputs, d_read: Mat, mut d: InputGrads, mut read: MatMut, work: &mut Work) {
        for rows in blocks(x.q.height()) {
            let (n, keys) = (rows.len(), self.keys(rows.clone()));
            self.weights(x, rows.clone(), keys, work);
            let (k, v) = (x.k.rows(0..keys), x.v.rows(0..keys));
            let d_rows = d_read.rows(rows.clone());
            product(read.rows(rows.clone()), Mat::new(&work.a, n, keys), v, 1.0);
            add_product(d.v.rows(0..keys), Mat::new(&work.a, n, keys).t(), d_rows, 1.0);
            work.g.resize(n * keys, 0.0);
            product(MatMut::new(&mut work.g, n, keys), d_rows, v.t(), 1.0);
            self.softmax_backward(rows.clone(), keys, work);
            let g = Mat::new(&work.g, n, keys);
            product(d.q.rows(rows.clone()), g, k, self.scale);
            add_product(d.k.rows(0..keys), g.t(), x.q.rows(rows), self.scale);
        }
    }

    /// Most keys that a query of the block attends to.
    fn keys(&self, rows: std::ops::Range<usize>) -> usize {
        rows.map(|i| (self.reach)(i).keys).max().unwrap_or(0)
    }

    /// Fills `work.p` and `work.a` for a block of queries, `[n, keys]`.
    fn weights(&self, x: &Inputs, rows: std::ops::Range<usize>, keys: usize, work: &mut Work) {
        let n = rows.len();
        work.p.resize(n * keys, 0.0);
        work.a.resize(n * keys, 0.0);
        let q = x.q.rows(rows.clone());
        product(MatMut::new(&mut work.p, n, keys), q, x.k.rows(0..keys).t(), self.scale);
        let (p, a) = (&mut work.p[..n * keys], &mut work.a[..n * keys]);
        simd::dispatch(
            #[inline(always)]
            || {
                for (row, (p, a)) in rows.zip(p.chunks_exact_mut(keys).zip(a.chunks_exact_mut(keys))) {
                    let reach = (self.reach)(row);
                    let (p, blocked) = p.split_at_mut(reach.keys);
                    let (a, unread) = a.split_at_mut(reach.keys);
                    if let Some(added) = reach.added {
                        for (p, &x) in p.iter_mut().zip(added) {
                            *p += x;
                        }
                    }
                    softmax(p);
                    blocked.fill(0.0);
                    unread.fill(0.0);
                    a.copy_from_slice(p);
                    self.draw.multiply(a, reach.first);
                }
            },
        );
    }

    /// Turns `work.g` from the gradient of the dropped weights into that of the scores.
    fn softmax_backward(&self, rows: std::ops::Range<usize>, keys: usize, work: &mut Work) {
        let (p, g) = (&work.p, &mut work.g);
        let n = rows.len();
        simd::dispatch(
            #[inline(always)]
            || {
                let pairs = p[..n * keys].chunks_exact(keys).zip(g[..n * keys].chunks_exact_mut(keys));
                for (row, (p, g)) in rows.zip(pairs) {
                    self.draw.multiply(g, (self.reach)(row).first);
                    let mean = simd::sum(
                        [p, &*g],
                        #[inline(always)]
                        |[p, g]| p * g,
                    );
                    for j in 0..keys {
                        g[j] = p[j] * (g[j] - mean);
                    }
                }
            },
        );
    }
}

fn blocks(queries: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..queries).step_by(BLOCK).map(move |start| start..(start + BLOCK).min(queries))
}

#[inline(always)]
fn softmax(row: &mut [f32]) {
    let max = simd::max(row);
    for x in &mut *row {
        *x = simd::exp(*x - max);
    }
    let total = simd::sum(
        [&*row],
        #[inline(always)]
        |[x]| x,
    );
    let inverse = 1.0 / total;
    for x in row {
        *x *= inverse;
    }
}

//! Cross-entropies over the whole catalogue and distillation between branches, without storing the scores.
//!
//! Two passes run over the catalogue in chunks. The first computes the state of `PairSettings::backward_row`: log-normalisers
//! of each row and the mean cost of each pair. The second recomputes the scores of a chunk and makes the gradients,
//! which enter the graph as [`gradient_term`]s. Memory beyond the gradients is one chunk, `[N, R, C]`. Small catalogues are
//! processed row by row instead (`rowwise`).
//!
//! Shapes: `N` branches, `R` rows, `V` catalogue rows (row 0 is padding and no candidate), `D` width, `C` items of a
//! chunk, `K` distillation pairs.

#[path = "full_softmax_composed.rs"]
mod composed;
#[path = "full_softmax_rows.rs"]
mod rowwise;

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;
use burn_flex::ops::matmul::matmul;
use rayon::prelude::*;

use super::losses::{PairSettings, Scratch};
use crate::ops::gradient::gradient_term;
use crate::ops::{cpu_handle, simd, use_kernels};

/// Labels, and the size of the catalogue's chunks.
#[derive(Clone, Debug, PartialEq)]
pub struct Walk {
    /// `[R]`: catalogue row of the label, at least 1.
    pub labels: Vec<u32>,
    /// C
    pub chunk: usize,
}

impl Walk {
    /// The chunks as (first catalogue row, number of rows).
    fn chunks(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> {
        let chunk = self.chunk.max(1);
        (1..rows).step_by(chunk).map(move |start| (start, chunk.min(rows - start)))
    }
}

/// Users and items of a branch, or their gradients.
#[derive(Clone, Debug)]
pub struct Branch<T> {
    /// `[R, D]`
    pub users: T,
    /// `[V, D]`
    pub items: T,
}

/// Loss terms over the catalogue.
pub struct Walked {
    /// `[1]`: sum of the terms times `factors`; the only part with a gradient.
    pub total: Tensor<1>,
    /// `[N + K]`: mean over rows of `logsumexp_v <u_r, i_v> - <u_r, i_label>` per branch, then the term of each
    /// pair (times temperature²).
    pub terms: Tensor<1>,
}

/// The terms of the branches, and their sum weighted by `factors`, `[N + K]`.
pub fn full_softmax(
    branches: Vec<Branch<Tensor<2>>>,
    walk: &Walk,
    settings: &PairSettings,
    factors: &[f32],
) -> Walked {
    let [items, _] = branches[0].items.dims();
    let run = match use_kernels(&branches[0].users.device()) {
        true if rowwise::fits(branches.len(), items) => walk_rows,
        true => walk_chunks,
        false => composed::walk,
    };
    walk_with(run, branches, walk, settings, factors)
}

/// A pass over tensors without autodiff: the terms, `[N + K]`, and with factors the gradients of their weighted sum.
type Run =
    fn(&[Branch<Tensor<2>>], &Walk, &PairSettings, Option<&[f32]>) -> (Tensor<1>, Vec<Branch<Tensor<2>>>);

/// Runs a pass without autodiff, which would keep every chunk's scores, and attaches the gradients to the graph.
fn walk_with(
    run: Run,
    branches: Vec<Branch<Tensor<2>>>,
    walk: &Walk,
    settings: &PairSettings,
    factors: &[f32],
) -> Walked {
    let weighted = |values: &Tensor<1>| (values.clone() * Tensor::from_data(factors, &values.device())).sum();
    if !branches[0].users.is_autodiff() {
        let (values, _) = run(&branches, walk, settings, None);
        return Walked { total: weighted(&values), terms: values };
    }
    let plain: Vec<_> = branches
        .iter()
        .map(|b| Branch { users: b.users.clone().inner(), items: b.items.clone().inner() })
        .collect();
    let (values, slopes) = run(&plain, walk, settings, Some(factors));
    let mut total = Tensor::from_inner(weighted(&values));
    for (branch, grads) in branches.into_iter().zip(slopes) {
        total = total + gradient_term(branch.users, grads.users) + gradient_term(branch.items, grads.items);
    }
    Walked { total, terms: Tensor::from_inner(values) }
}

fn walk_chunks(
    branches: &[Branch<Tensor<2>>],
    walk: &Walk,
    settings: &PairSettings,
    factors: Option<&[f32]>,
) -> (Tensor<1>, Vec<Branch<Tensor<2>>>) {
    let kernel = Kernel::new(branches, walk, settings);
    let (values, kept) = kernel.forward();
    let slopes = factors.map_or(Vec::new(), |factors| kernel.backward(&kept, factors));
    tensors(values, slopes)
}

fn walk_rows(
    branches: &[Branch<Tensor<2>>],
    walk: &Walk,
    settings: &PairSettings,
    factors: Option<&[f32]>,
) -> (Tensor<1>, Vec<Branch<Tensor<2>>>) {
    let (values, slopes) = Kernel::new(branches, walk, settings).rowwise(factors);
    tensors(values, slopes)
}

fn tensors(values: FlexTensor, slopes: Vec<Branch<FlexTensor>>) -> (Tensor<1>, Vec<Branch<Tensor<2>>>) {
    let tensor = |x: FlexTensor| Tensor::from_primitive::<Flex>(x);
    let slopes = slopes.into_iter().map(|b| Branch { users: tensor(b.users), items: tensor(b.items) });
    (Tensor::from_primitive::<Flex>(values), slopes.collect())
}

struct Kernel<'a> {
    branches: Vec<Branch<FlexTensor>>,
    walk: &'a Walk,
    settings: &'a PairSettings,
}

/// Running softmax: the highest exponent so far, and the sum of exponentials relative to it.
#[derive(Clone, Copy)]
struct Running {
    max: f32,
    total: f64,
}

/// Running state of a row.
#[derive(Clone)]
struct RowState {
    /// The row's softmaxes, in the order of [`PairSettings::kept_width`].
    softmaxes: Vec<Running>,
    /// For each pair, the sum of the student's logits (of both logits' difference for a divergence) weighted by the
    /// teacher's exponentials, relative to the teacher's highest exponent.
    sums: Vec<f64>,
}

impl<'a> Kernel<'a> {
    fn new(branches: &[Branch<Tensor<2>>], walk: &'a Walk, settings: &'a PairSettings) -> Self {
        let branches = branches
            .iter()
            .map(|b| Branch { users: cpu_handle(b.users.clone()), items: cpu_handle(b.items.clone()) })
            .collect();
        Self { branches, walk, settings }
    }

    /// Scores of a chunk, `[R, C]` per branch.
    fn scores(&self, (start, count): (usize, usize)) -> Vec<FlexTensor> {
        let product =
            |b: &Branch<FlexTensor>| matmul(b.users.clone(), b.items.narrow(0, start, count).transpose(0, 1));
        self.branches.iter().map(product).collect()
    }

    /// R, V and D.
    fn sizes(&self) -> (usize, usize, usize) {
        let (r, d) = dims(&self.branches[0].users);
        (r, dims(&self.branches[0].items).0, d)
    }

    /// The terms, `[N + K]`, and every row's state for the backward pass.
    fn forward(&self) -> (FlexTensor, Vec<f32>) {
        let (r, v, d) = self.sizes();
        let (n, k) = (self.branches.len(), self.settings.pairs.len());
        let start = Running { max: f32::MIN, total: 0.0 };
        let mut rows = vec![RowState { softmaxes: vec![start; 2 * n + 1], sums: vec![0.0; k] }; r];
        for chunk in self.walk.chunks(v) {
            let tiles = self.scores(chunk);
            rows.par_iter_mut().enumerate().for_each_init(
                || Scratch::new(n, chunk.1),
                |scratch, (row, state)| {
                    simd::dispatch(
                        #[inline(always)]
                        || {
                            self.load(&tiles, row, chunk.1, scratch);
                            self.add_chunk(scratch, chunk.1, state);
                        },
                    );
                },
            );
        }
        let mut means = vec![0.0f64; n + k];
        let mut kept = Vec::with_capacity(r * self.settings.kept_width(n));
        for (row, state) in rows.iter().enumerate() {
            let norms: Vec<f64> = state.softmaxes.iter().map(|s| f64::from(s.max) + s.total.ln()).collect();
            let label = self.walk.labels[row] as usize;
            for (b, branch) in self.branches.iter().enumerate() {
                let user = &branch.users.storage::<f32>()[row * d..(row + 1) * d];
                let item = &branch.items.storage::<f32>()[label * d..(label + 1) * d];
                means[b] += norms[b] - f64::from(simd::sum([user, item], |[a, b]| a * b));
            }
            kept.extend(norms.iter().map(|&norm| norm as f32));
            for (pair, &(student, teacher)) in self.settings.pairs.iter().enumerate() {
                let teacher = n + teacher.unwrap_or(n);
                let teacher_mean = state.sums[pair] / state.softmaxes[teacher].total;
                let cost = if self.settings.divergence {
                    teacher_mean + norms[n + student] - norms[teacher]
                } else {
                    norms[n + student] - teacher_mean
                };
                means[n + pair] += cost * f64::from(self.settings.temperature).powi(2);
                kept.push(cost as f32);
            }
        }
        let means: Vec<f32> = means.iter().map(|m| (m / r as f64) as f32).collect();
        (FlexTensor::from_data(TensorData::new(means, [n + k])), kept)
    }

    /// Gradients of the sum of the terms times `factors`.
    fn backward(&self, kept: &[f32], factors: &[f32]) -> Vec<Branch<FlexTensor>> {
        let (r, v, d) = self.sizes();
        let n = self.branches.len();
        let kept_width = self.settings.kept_width(n);
        let grad: Vec<f32> = factors.iter().map(|f| f / r as f32).collect();
        let zeros = Branch { users: vec![0.0f32; r * d], items: vec![0.0f32; v * d] };
        let mut slopes = vec![zeros; n];
        for (start, count) in self.walk.chunks(v) {
            let mut tiles = self.scores((start, count));
            // Every item counts once.
            let weight = vec![0.0f32; count];
            let mut rows: Vec<Vec<&mut [f32]>> = (0..r).map(|_| Vec::with_capacity(n)).collect();
            for tile in &mut tiles {
                let chunks = tile.storage_mut::<f32>().chunks_exact_mut(count);
                rows.iter_mut().zip(chunks).for_each(|(row, chunk)| row.push(chunk));
            }
            rows.into_par_iter().enumerate().for_each_init(
                || Scratch::new(n, count),
                |scratch, (row, mut tiles)| {
                    let label = (self.walk.labels[row] as usize).checked_sub(start).filter(|&l| l < count);
                    let kept = &kept[row * kept_width..(row + 1) * kept_width];
                    simd::dispatch(
                        #[inline(always)]
                        || {
                            for (z, tile) in scratch.z.iter_mut().zip(&tiles) {
                                z[..count].copy_from_slice(tile);
                            }
                            if !self.settings.pairs.is_empty() {
                                scratch.average(count);
                            }
                            self.settings.backward_row(scratch, &weight, label, kept, &grad, &mut tiles);
                        },
                    );
                },
            );
            for ((tile, branch), slope) in tiles.into_iter().zip(&self.branches).zip(&mut slopes) {
                let items_grad = matmul(tile.transpose(0, 1), branch.users.clone());
                slope.items[start * d..(start + count) * d]
                    .copy_from_slice(&items_grad.storage::<f32>()[..count * d]);
                let users_grad = matmul(tile, branch.items.narrow(0, start, count));
                slope.users.iter_mut().zip(users_grad.storage::<f32>()).for_each(|(sum, g)| *sum += g);
            }
        }
        let tensor = |values, rows| FlexTensor::from_data(TensorData::new(values, [rows, d]));
        slopes.into_iter().map(|s| Branch { users: tensor(s.users, r), items: tensor(s.items, v) }).collect()
    }

    /// Copies a row of every branch's tile, and computes their mean if pairs need it.
    #[inline(always)]
    fn load(&self, tiles: &[FlexTensor], row: usize, count: usize, scratch: &mut Scratch) {
        for (z, tile) in scratch.z.iter_mut().zip(tiles) {
            z[..count].copy_from_slice(&tile.storage::<f32>()[row * count..(row + 1) * count]);
        }
        if !self.settings.pairs.is_empty() {
            scratch.average(count);
        }
    }

    /// Adds a chunk's logits to a row's softmaxes and pairs.
    #[inline(always)]
    fn add_chunk(&self, scratch: &mut Scratch, count: usize, state: &mut RowState) {
        let n = self.branches.len();
        for b in 0..n {
            state.softmaxes[b].add(&scratch.z[b][..count], 1.0, &mut scratch.work);
        }
        let PairSettings { pairs, temperature, divergence, .. } = self.settings;
        if pairs.is_empty() {
            return;
        }
        let inverse = 1.0 / temperature;
        for b in 0..=n {
            let fade = state.softmaxes[n + b].add(&scratch.z[b][..count], inverse, &mut scratch.work);
            let (t, exponentials) = (&scratch.z[b][..count], &scratch.work[..count]);
            let students = pairs.iter().zip(&mut state.sums).filter(|((_, t), _)| t.unwrap_or(n) == b);
            for (&(student, _), sum) in students {
                let s = &scratch.z[student][..count];
                let here = simd::sum(
                    [&exponentials[..count], t, s],
                    #[inline(always)]
                    |[e, t, s]| {
                        let x = if *divergence { t - s } else { s };
                        e * (x * inverse)
                    },
                );
                *sum = *sum * fade + f64::from(here);
            }
        }
    }
}

impl Running {
    /// Adds `exp(z · scale)`. Leaves the exponentials, relative to the highest exponent, in `work`, and returns the
    /// factor for earlier sums.
    #[inline(always)]
    fn add(&mut self, z: &[f32], scale: f32, work: &mut [f32]) -> f64 {
        let n = z.len();
        let work = &mut work[..n];
        let higher = (simd::max(z) * scale).max(self.max);
        for i in 0..n {
            work[i] = simd::exp(z[i] * scale - higher);
        }
        let here = simd::sum(
            [&work[..n]],
            #[inline(always)]
            |[x]| x,
        );
        let fade = (f64::from(self.max) - f64::from(higher)).exp();
        self.total = self.total * fade + f64::from(here);
        self.max = higher;
        fade
    }
}

fn dims(x: &FlexTensor) -> (usize, usize) {
    let shape = x.layout().shape();
    (shape[0], shape[1])
}

#[cfg(test)]
#[path = "full_softmax_tests.rs"]
mod tests;

//! Cross-entropies and distillation terms of several branches over shared candidates, in one pass.
//!
//! Composed of tensor operations, the losses read and write the `[R, U]` matrices about forty times. The CPU kernel
//! reads them once forward and once backward. [`crate::objective::softmax`] holds the composed body.
//!
//! Shapes: `N` branches, `R` rows, `U` columns, `K` pairs.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::ops::simd;

/// The candidates of a softmax.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// `[U]`: subtracted from every score.
    pub log_popularity: Vec<f32>,
    /// `[R, U]`: logarithm of a column's weight in the row's softmax; a large negative number blocks it.
    pub log_weight: Vec<f32>,
    /// `[R]`: column of the right answer.
    pub labels: Vec<u32>,
}

/// The pairs of distillation, and how their losses are computed.
#[derive(Clone, Debug, PartialEq)]
pub struct PairSettings {
    /// (student, teacher) by branch; `None` is the mean of all branches.
    pub pairs: Vec<(usize, Option<usize>)>,
    pub temperature: f32,
    /// Whether gradient stops at teachers.
    pub detached: bool,
    /// Whether the teacher's entropy is subtracted (KL divergence).
    pub divergence: bool,
}

/// `[N + K]`: mean cross-entropy per branch, then the term of each pair (unweighted, times temperature²).
///
/// CPU only.
///
/// # Shapes
/// - scores: `[N, R, U]`, raw dot products
pub fn softmax_losses(scores: Tensor<3>, candidates: &Arc<Candidates>, settings: &PairSettings) -> Tensor<1> {
    let out =
        <Dispatch as LossOps>::softmax_losses(scores.into_dispatch(), candidates.clone(), settings.clone());
    Tensor::from_dispatch(out)
}

/// The operation behind [`softmax_losses`].
#[backend_extension(Flex, Autodiff)]
pub trait LossOps: Backend {
    /// See [`softmax_losses`].
    fn softmax_losses(
        scores: FloatTensor<Self>,
        candidates: Arc<Candidates>,
        settings: PairSettings,
    ) -> FloatTensor<Self>;
}

impl LossOps for Flex {
    fn softmax_losses(scores: FlexTensor, candidates: Arc<Candidates>, settings: PairSettings) -> FlexTensor {
        let kernel = Kernel { candidates: &candidates, settings: &settings };
        kernel.forward(&scores.to_contiguous()).0
    }
}

impl<C: CheckpointStrategy> LossOps for Autodiff<Flex, C> {
    fn softmax_losses(
        scores: FloatTensor<Self>,
        candidates: Arc<Candidates>,
        settings: PairSettings,
    ) -> FloatTensor<Self> {
        match LossBackward.prepare::<C>([scores.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let scores = scores.primitive().to_contiguous();
                let (losses, kept) = Kernel { candidates: &candidates, settings: &settings }.forward(&scores);
                prep.finish((scores, Arc::new(kept), candidates, settings), losses)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::softmax_losses(scores.into_primitive(), candidates, settings))
            }
        }
    }
}

#[derive(Debug)]
struct LossBackward;

impl Backward<Flex, 1> for LossBackward {
    type State = (FlexTensor, Arc<Vec<f32>>, Arc<Candidates>, PairSettings);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (scores, kept, candidates, settings) = ops.state;
        if let Some(node) = node {
            let kernel = Kernel { candidates: &candidates, settings: &settings };
            let d_scores = kernel.backward(&scores, &kept, grad.storage::<f32>());
            grads.register::<Flex>(node.id, d_scores);
        }
    }
}

struct Kernel<'a> {
    candidates: &'a Candidates,
    settings: &'a PairSettings,
}

impl Kernel<'_> {
    fn forward(&self, scores: &FlexTensor) -> (FlexTensor, Vec<f32>) {
        let (n, r, u) = dims(scores);
        let values = scores.storage::<f32>();
        let k = self.settings.pairs.len();
        let kept_width = self.settings.kept_width(n);
        let mut kept = vec![0.0f32; r * kept_width];
        let mut rows = vec![0.0f32; r * (n + k)];
        kept.par_chunks_mut(kept_width).zip(rows.par_chunks_mut(n + k)).enumerate().for_each_init(
            || Scratch::new(n, u),
            |scratch, (row, (kept, out))| {
                simd::dispatch(
                    #[inline(always)]
                    || {
                        self.load(values, row, (n, r, u), scratch);
                        let weight = &self.candidates.log_weight[row * u..(row + 1) * u];
                        let label = self.candidates.labels[row] as usize;
                        self.settings.forward_row(scratch, weight, label, kept, out);
                    },
                );
            },
        );
        let mut means = vec![0.0f64; n + k];
        for row in rows.chunks_exact(n + k) {
            means.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x));
        }
        let means: Vec<f32> = means.iter().map(|m| (m / r as f64) as f32).collect();
        (FlexTensor::from_data(TensorData::new(means, [n + k])), kept)
    }

    fn backward(&self, scores: &FlexTensor, kept: &[f32], grad: &[f32]) -> FlexTensor {
        let (n, r, u) = dims(scores);
        let values = scores.storage::<f32>();
        let kept_width = self.settings.kept_width(n);
        let share = 1.0 / r as f32;
        let grad: Vec<f32> = grad.iter().map(|g| g * share).collect();
        let mut out = vec![0.0f32; n * r * u];
        // A task takes the same row of every branch.
        let mut rows: Vec<Vec<&mut [f32]>> = (0..r).map(|_| Vec::with_capacity(n)).collect();
        for branch in out.chunks_exact_mut((r * u).max(1)) {
            rows.iter_mut().zip(branch.chunks_exact_mut(u)).for_each(|(row, chunk)| row.push(chunk));
        }
        rows.into_par_iter().enumerate().for_each_init(
            || Scratch::new(n, u),
            |scratch, (row, mut out)| {
                simd::dispatch(
                    #[inline(always)]
                    || {
                        self.load(values, row, (n, r, u), scratch);
                        let weight = &self.candidates.log_weight[row * u..(row + 1) * u];
                        let label = Some(self.candidates.labels[row] as usize);
                        let kept = &kept[row * kept_width..(row + 1) * kept_width];
                        self.settings.backward_row(scratch, weight, label, kept, &grad, &mut out);
                    },
                );
            },
        );
        FlexTensor::from_data(TensorData::new(out, [n, r, u]))
    }

    /// Copies a row of every branch, popularity subtracted, and their mean.
    #[inline(always)]
    fn load(&self, values: &[f32], row: usize, (n, r, u): (usize, usize, usize), scratch: &mut Scratch) {
        let popularity = &self.candidates.log_popularity[..u];
        for b in 0..n {
            let scores = &values[(b * r + row) * u..(b * r + row + 1) * u];
            let z = &mut scratch.z[b][..u];
            for i in 0..u {
                z[i] = scores[i] - popularity[i];
            }
        }
        if !self.settings.pairs.is_empty() {
            scratch.average(u);
        }
    }
}

impl PairSettings {
    /// Number of values that forward keeps of a row for backward: the log-normalisers of each branch at temperature 1,
    /// of each branch at tau and of the mean at tau; then each pair's term without its tau².
    pub(super) fn kept_width(&self, branches: usize) -> usize {
        2 * branches + 1 + self.pairs.len()
    }

    /// Writes a row's terms, `[N + K]`, to `out`, and the state of the backward pass to `kept`. Other arguments as in
    /// [`Self::backward_row`].
    #[inline(always)]
    pub(super) fn forward_row(
        &self,
        scratch: &mut Scratch,
        weight: &[f32],
        label: usize,
        kept: &mut [f32],
        out: &mut [f32],
    ) {
        let (n, u) = (scratch.z.len() - 1, weight.len());
        let inverse = 1.0 / self.temperature;
        let (norms, costs) = kept.split_at_mut(2 * n + 1);
        for b in 0..n {
            norms[b] = log_sum_exp(&scratch.z[b], weight, 1.0, &mut scratch.work);
            out[b] = norms[b] - (scratch.z[b][label] + weight[label]);
        }
        if self.pairs.is_empty() {
            return;
        }
        for b in 0..=n {
            norms[n + b] = log_sum_exp(&scratch.z[b], weight, inverse, &mut scratch.work);
        }
        let square = self.temperature * self.temperature;
        for (k, &(student, teacher)) in self.pairs.iter().enumerate() {
            let teacher = teacher.unwrap_or(n);
            let (s, t) = (&scratch.z[student][..u], &scratch.z[teacher][..u]);
            let (norm_s, norm_t) = (norms[n + student], norms[n + teacher]);
            let divergence = self.divergence;
            let gap = simd::sum(
                [s, t, weight],
                #[inline(always)]
                |[s, t, weight]| {
                    let log_p = t * inverse - norm_t;
                    let p = simd::exp(log_p + weight);
                    let minus_log_q = norm_s - s * inverse;
                    p * if divergence { log_p + minus_log_q } else { minus_log_q }
                },
            );
            costs[k] = gap;
            out[n + k] = gap * square;
        }
    }

    /// Gradient of a row's terms with respect to its logits, or to a part of them.
    ///
    /// # Shapes
    /// - scratch: logits `[U]` of every branch, and their mean where there are pairs
    /// - weight: `[U]`
    /// - label: column of the right answer, if it is among the logits
    /// - kept: the row's state from the forward pass
    /// - grad: `[N + K]`, gradient of the row's terms
    /// - out: `[U]` per branch
    #[inline(always)]
    pub(super) fn backward_row(
        &self,
        scratch: &mut Scratch,
        weight: &[f32],
        label: Option<usize>,
        kept: &[f32],
        grad: &[f32],
        out: &mut [&mut [f32]],
    ) {
        let n = out.len();
        let u = weight.len();
        let (norms, costs) = kept.split_at(2 * n + 1);
        let tau = self.temperature;
        let inverse = 1.0 / tau;
        for b in 0..n {
            let (z, g, norm) = (&scratch.z[b][..u], grad[b], norms[b]);
            let d = &mut out[b][..u];
            for i in 0..u {
                d[i] = g * simd::exp(z[i] + weight[i] - norm);
            }
            if let Some(label) = label {
                d[label] -= g;
            }
        }
        for (k, &(student, teacher)) in self.pairs.iter().enumerate() {
            let ensemble = teacher.is_none();
            let teacher = teacher.unwrap_or(n);
            // tau² of the term, 1/tau of the scaled logits.
            let g = grad[n + k] * tau;
            if g == 0.0 {
                continue;
            }
            let (s, t) = (&scratch.z[student][..u], &scratch.z[teacher][..u]);
            let (norm_s, norm_t) = (norms[n + student], norms[n + teacher]);
            let p = &mut scratch.work[..u];
            for i in 0..u {
                p[i] = simd::exp(t[i] * inverse - norm_t + weight[i]);
            }
            let d = &mut out[student][..u];
            for i in 0..u {
                let q = simd::exp(s[i] * inverse - norm_s + weight[i]);
                d[i] += g * (q - p[i]);
            }
            if self.detached {
                continue;
            }
            let (divergence, mean) = (self.divergence, costs[k]);
            let cost = |i: usize| {
                let minus_log_q = norm_s - s[i] * inverse;
                if divergence { t[i] * inverse - norm_t + minus_log_q } else { minus_log_q }
            };
            let (first, last, g) = if ensemble { (0, n, g / n as f32) } else { (teacher, teacher + 1, g) };
            for d in &mut out[first..last] {
                let d = &mut d[..u];
                for i in 0..u {
                    d[i] += g * p[i] * (cost(i) - mean);
                }
            }
        }
    }
}

/// Buffers of a task.
pub(super) struct Scratch {
    /// Logits of the branches, then their mean.
    pub z: Vec<Vec<f32>>,
    pub work: Vec<f32>,
}

impl Scratch {
    pub fn new(n: usize, u: usize) -> Self {
        Self { z: vec![vec![0.0; u]; n + 1], work: vec![0.0; u] }
    }

    /// Computes the mean of the branches' first `u` logits.
    #[inline(always)]
    pub fn average(&mut self, u: usize) {
        let Some((mean, branches)) = self.z.split_last_mut() else { return };
        let mean = &mut mean[..u];
        mean.copy_from_slice(&branches[0][..u]);
        for z in &branches[1..] {
            let z = &z[..u];
            for i in 0..u {
                mean[i] += z[i];
            }
        }
        let share = 1.0 / branches.len() as f32;
        for m in mean {
            *m *= share;
        }
    }
}

/// `ln Σ exp(z · scale + weight)`.
#[inline(always)]
fn log_sum_exp(z: &[f32], weight: &[f32], scale: f32, work: &mut [f32]) -> f32 {
    let u = weight.len();
    let (z, work) = (&z[..u], &mut work[..u]);
    for i in 0..u {
        work[i] = z[i] * scale + weight[i];
    }
    let max = simd::max(work);
    let total = simd::sum(
        [&*work],
        #[inline(always)]
        |[x]| simd::exp(x - max),
    );
    max + total.ln()
}

fn dims(scores: &FlexTensor) -> (usize, usize, usize) {
    let shape = scores.layout().shape();
    (shape[0], shape[1], shape[2])
}

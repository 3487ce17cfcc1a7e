//! The pass over the catalogue composed of tensor operations, for any device.

use burn::tensor::Tensor;

use super::{Branch, PairSettings, Walk};
use crate::ops::lookup::{lookup, sum_by_row};

/// As [`super::walk_chunks`], on any device.
pub(super) fn walk(
    branches: &[Branch<Tensor<2>>],
    walk: &Walk,
    settings: &PairSettings,
    factors: Option<&[f32]>,
) -> (Tensor<1>, Vec<Branch<Tensor<2>>>) {
    let composed = Composed { branches, walk, settings };
    let (values, kept) = composed.forward();
    let slopes = factors.map_or(Vec::new(), |factors| composed.backward(&kept, factors));
    (values, slopes)
}

struct Composed<'a> {
    branches: &'a [Branch<Tensor<2>>],
    walk: &'a Walk,
    settings: &'a PairSettings,
}

/// Running softmax of every row: highest exponents, sums of exponentials relative to them, and sums over pairs; `[R,
/// 1]` each.
#[derive(Clone)]
struct Running {
    max: Tensor<2>,
    total: Tensor<2>,
    sums: Vec<Tensor<2>>,
}

/// State of every row for the backward pass, `[R, 1]` each.
struct Kept {
    /// Log-normalisers of the branches at temperature 1.
    norms: Vec<Tensor<2>>,
    /// Log-normalisers at tau: of the branches, then of the mean; empty without pairs.
    soft_norms: Vec<Tensor<2>>,
    /// Term of each pair without its tau².
    costs: Vec<Tensor<2>>,
}

impl Running {
    /// Adds a chunk's exponents, and for each pair with this teacher the values to be averaged under it.
    fn add(&mut self, x_rc: Tensor<2>, summed: Vec<Tensor<2>>) {
        let higher_r1 = self.max.clone().max_pair(x_rc.clone().max_dim(1));
        let fade_r1 = (self.max.clone() - higher_r1.clone()).exp();
        let exponentials_rc = (x_rc - higher_r1.clone()).exp();
        self.total = self.total.clone() * fade_r1.clone() + exponentials_rc.clone().sum_dim(1);
        for (sum_r1, y_rc) in self.sums.iter_mut().zip(summed) {
            *sum_r1 = sum_r1.clone() * fade_r1.clone() + (exponentials_rc.clone() * y_rc).sum_dim(1);
        }
        self.max = higher_r1;
    }

    fn norm(&self) -> Tensor<2> {
        self.max.clone() + self.total.clone().log()
    }
}

impl Composed<'_> {
    /// Logits of a chunk, `[R, C]` per branch; with pairs also the logits over tau, followed by their mean.
    fn scores(&self, (start, count): (usize, usize)) -> (Vec<Tensor<2>>, Vec<Tensor<2>>) {
        let product = |b: &Branch<Tensor<2>>| {
            b.users.clone().matmul(b.items.clone().narrow(0, start, count).transpose())
        };
        let z: Vec<Tensor<2>> = self.branches.iter().map(product).collect();
        if self.settings.pairs.is_empty() {
            return (z, Vec::new());
        }
        let mut soft: Vec<Tensor<2>> = z.iter().map(|z| z.clone() / self.settings.temperature).collect();
        let sum = soft[1..].iter().fold(soft[0].clone(), |sum, z| sum + z.clone());
        soft.push(sum / self.branches.len() as f32);
        (z, soft)
    }

    /// (Pair, student) of the pairs with this teacher; N is the mean.
    fn learn_from(&self, teacher: usize) -> impl Iterator<Item = (usize, usize)> {
        let n = self.branches.len();
        let pairs = self.settings.pairs.iter().enumerate();
        pairs.filter(move |(_, (_, t))| t.unwrap_or(n) == teacher).map(|(k, &(student, _))| (k, student))
    }

    /// The terms, `[N + K]`.
    fn forward(&self) -> (Tensor<1>, Kept) {
        let device = self.branches[0].users.device();
        let (n, k) = (self.branches.len(), self.settings.pairs.len());
        let ([r, _], [v, _]) = (self.branches[0].users.dims(), self.branches[0].items.dims());
        let running = |sums: usize| Running {
            max: Tensor::full([r, 1], f32::MIN, &device),
            total: Tensor::zeros([r, 1], &device),
            sums: vec![Tensor::zeros([r, 1], &device); sums],
        };
        let mut hard = vec![running(0); n];
        let mut soft: Vec<Running> = (0..=n).map(|b| running(self.learn_from(b).count())).collect();
        for chunk in self.walk.chunks(v) {
            let (z, scaled) = self.scores(chunk);
            hard.iter_mut().zip(z).for_each(|(running, z_rc)| running.add(z_rc, Vec::new()));
            for (b, t_rc) in scaled.iter().enumerate() {
                let summed = self.learn_from(b).map(|(_, student)| {
                    if self.settings.divergence {
                        t_rc.clone() - scaled[student].clone()
                    } else {
                        scaled[student].clone()
                    }
                });
                soft[b].add(t_rc.clone(), summed.collect());
            }
        }
        let norms: Vec<Tensor<2>> = hard.iter().map(Running::norm).collect();
        let mut terms: Vec<Tensor<1>> = self
            .branches
            .iter()
            .zip(&norms)
            .map(|(branch, norm_r1)| {
                let labels_rd = lookup(branch.items.clone(), &self.walk.labels);
                (norm_r1.clone() - (branch.users.clone() * labels_rd).sum_dim(1)).mean()
            })
            .collect();
        if k == 0 {
            let kept = Kept { norms, soft_norms: Vec::new(), costs: Vec::new() };
            return (Tensor::cat(terms, 0), kept);
        }
        let soft_norms: Vec<Tensor<2>> = soft.iter().map(Running::norm).collect();
        let mut costs = vec![Tensor::zeros([r, 1], &device); k];
        for (b, teacher) in soft.iter().enumerate() {
            for ((pair, student), sum_r1) in self.learn_from(b).zip(&teacher.sums) {
                let teacher_mean = sum_r1.clone() / teacher.total.clone();
                costs[pair] = if self.settings.divergence {
                    teacher_mean + soft_norms[student].clone() - soft_norms[b].clone()
                } else {
                    soft_norms[student].clone() - teacher_mean
                };
            }
        }
        let square = self.settings.temperature * self.settings.temperature;
        terms.extend(costs.iter().map(|cost_r1| cost_r1.clone().mean() * square));
        (Tensor::cat(terms, 0), Kept { norms, soft_norms, costs })
    }

    /// Gradients of the sum of the terms times `factors`.
    fn backward(&self, kept: &Kept, factors: &[f32]) -> Vec<Branch<Tensor<2>>> {
        let ([r, d], [v, _]) = (self.branches[0].users.dims(), self.branches[0].items.dims());
        let grad: Vec<f32> = factors.iter().map(|f| f / r as f32).collect();
        let mut user_grads: Vec<Tensor<2>> = Vec::new();
        for (branch, &g) in self.branches.iter().zip(&grad) {
            user_grads.push(lookup(branch.items.clone(), &self.walk.labels) * -g);
        }
        // Padding is no candidate.
        let padding = Tensor::zeros([1, d], &self.branches[0].users.device());
        let mut item_grads = vec![vec![padding]; self.branches.len()];
        for (start, count) in self.walk.chunks(v) {
            let score_grads = self.chunk_backward((start, count), kept, &grad);
            for (b, d_rc) in score_grads.into_iter().enumerate() {
                let Branch { users, items } = &self.branches[b];
                item_grads[b].push(d_rc.clone().transpose().matmul(users.clone()));
                let chunk_grad = d_rc.matmul(items.clone().narrow(0, start, count));
                user_grads[b] = user_grads[b].clone() + chunk_grad;
            }
        }
        let parts = self.branches.iter().zip(user_grads).zip(item_grads).zip(&grad);
        parts
            .map(|(((branch, users), items), &g)| {
                let label_grads = branch.users.clone() * -g;
                let items = Tensor::cat(items, 0) + sum_by_row(label_grads, &self.walk.labels, v);
                Branch { users, items }
            })
            .collect()
    }

    /// Gradients of a chunk's logits, `[R, C]` per branch, without the labels' part.
    fn chunk_backward(&self, chunk: (usize, usize), kept: &Kept, grad: &[f32]) -> Vec<Tensor<2>> {
        let n = self.branches.len();
        let (z, scaled) = self.scores(chunk);
        let hard = z.into_iter().zip(&kept.norms).zip(grad);
        let mut out: Vec<Tensor<2>> =
            hard.map(|((z_rc, norm_r1), &g)| (z_rc - norm_r1.clone()).exp() * g).collect();
        let log_soft: Vec<Tensor<2>> =
            scaled.into_iter().zip(&kept.soft_norms).map(|(z_rc, norm_r1)| z_rc - norm_r1.clone()).collect();
        for (k, &(student, teacher)) in self.settings.pairs.iter().enumerate() {
            // tau² of the term, 1/tau of the scaled logits.
            let g = grad[n + k] * self.settings.temperature;
            let (log_q_rc, log_p_rc) = (log_soft[student].clone(), log_soft[teacher.unwrap_or(n)].clone());
            let p_rc = log_p_rc.clone().exp();
            out[student] = out[student].clone() + (log_q_rc.clone().exp() - p_rc.clone()) * g;
            if self.settings.detached {
                continue;
            }
            let cost_rc = if self.settings.divergence { log_p_rc - log_q_rc } else { log_q_rc.neg() };
            let teacher_grad_rc = p_rc * (cost_rc - kept.costs[k].clone()) * g;
            match teacher {
                Some(teacher) => out[teacher] = out[teacher].clone() + teacher_grad_rc,
                None => {
                    out.iter_mut().for_each(|d_rc| *d_rc = d_rc.clone() + teacher_grad_rc.clone() / n as f32);
                }
            }
        }
        out
    }
}

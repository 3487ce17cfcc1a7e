//! Softmax over the candidates of a batch: its own items (in-batch), or drawn ones (sampled).
//!
//! The in-batch softmax of a row runs over all item positions of the micro-batch. A distinct item that fills c
//! positions stands once, with `ln c` added to its logit; an item of the row's own user stands with weight
//! 0, except the label (docs/odmt.md, section 7, saving 4).
//!
//! Shapes: `N` branches, `R` rows (real input positions), `U` columns (candidates), `K` distillation pairs.

use std::sync::Arc;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Distillation;
use super::kernels::losses::{Candidates, softmax_losses};
use super::parts::{Parts, tags};
use super::term::{Forward, Term, TermLosses};
use crate::config::{ObjectiveConfig, ObjectiveKind};
use crate::ops::use_kernels;
use crate::train::phase::Phase;

/// Cross-entropy over candidates with distillation between the branches, as one fused operation on the CPU.
#[derive(Clone, Debug)]
pub struct Softmax {
    parts: Parts,
}

/// [`Candidates`] on a device.
pub(super) struct CandidateTensors {
    /// `[R, U]`
    pub log_weight_ru: Tensor<2>,
    /// `[U]`
    pub log_popularity_u: Tensor<1>,
    /// `[R, 1]`
    label_r1: Tensor<2, Int>,
}

impl CandidateTensors {
    pub fn new(candidates: &Candidates, device: &Device) -> Self {
        let (r, u) = (candidates.labels.len(), candidates.log_popularity.len());
        let labels: Vec<i32> = candidates.labels.iter().map(|&l| l as i32).collect();
        let weights = TensorData::new(candidates.log_weight.clone(), [r, u]);
        Self {
            log_weight_ru: Tensor::from_data(weights, device),
            log_popularity_u: Tensor::from_data(
                TensorData::new(candidates.log_popularity.clone(), [u]),
                device,
            ),
            label_r1: Tensor::from_data(TensorData::new(labels, [r, 1]), device),
        }
    }

    /// Mean over rows of the cross-entropy of the label, `[1]`.
    fn cross_entropy(&self, logits_ru: Tensor<2>) -> Tensor<1> {
        let log_q_ru = log_softmax(logits_ru + self.log_weight_ru.clone(), 1);
        log_q_ru.gather(1, self.label_r1.clone()).mean().neg()
    }
}

impl Softmax {
    pub fn new(config: &ObjectiveConfig, branches: &[String]) -> Self {
        let name = if config.kind == ObjectiveKind::Sampled { "sampled" } else { "in_batch" };
        let distillation = Distillation::new(&config.distill, branches);
        Self { parts: Parts { name, distillation, tags: tags(branches, &config.distill) } }
    }

    /// Losses of given scores.
    ///
    /// # Shapes
    /// - scores: `[N, R, U]`, dot products of users and items
    pub fn losses_of_scores(
        &self,
        scores_nru: Tensor<3>,
        candidates: &Arc<Candidates>,
        phase: Phase<'_>,
    ) -> TermLosses {
        let device = scores_nru.device();
        let [n, ..] = scores_nru.dims();
        let weights = self.parts.weights(phase);
        let distills = weights.distill != 0.0;
        let terms = if use_kernels(&device) {
            softmax_losses(scores_nru, candidates, &self.parts.distillation.settings(distills))
        } else {
            self.composed(scores_nru, candidates, distills)
        };
        let factors = weights.factors(n, terms.dims()[0]);
        let total = (terms.clone() * Tensor::from_data(factors.as_slice(), &device)).sum();
        self.parts.losses(total, terms, &weights)
    }

    /// The terms out of tensor operations, on any device: `[N + K]`.
    fn composed(&self, scores_nru: Tensor<3>, candidates: &Candidates, distill: bool) -> Tensor<1> {
        let tensors = CandidateTensors::new(candidates, &scores_nru.device());
        let [n, r, u] = scores_nru.dims();
        let logits: Vec<Tensor<2>> = (0..n)
            .map(|b| {
                scores_nru.clone().narrow(0, b, 1).reshape([r, u])
                    - tensors.log_popularity_u.clone().unsqueeze()
            })
            .collect();
        let mut terms: Vec<Tensor<1>> = logits.iter().map(|z| tensors.cross_entropy(z.clone())).collect();
        if distill {
            terms.extend(self.parts.distillation.composed(&logits, &tensors.log_weight_ru));
        }
        Tensor::cat(terms, 0)
    }
}

impl Term for Softmax {
    fn names(&self) -> Vec<String> {
        self.parts.names()
    }

    fn losses(&self, forward: &dyn Forward, phase: Phase<'_>) -> TermLosses {
        self.losses_of_scores(forward.scores(), forward.candidates(), phase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DistillConfig, DistillPair, Divergence, Teacher};
    use crate::objective::BLOCKED;
    use crate::params::host;
    use rand::{RngExt, SeedableRng};

    const SHAPE: [usize; 3] = [3, 7, 37];

    fn objective(teacher: Teacher, divergence: Divergence) -> Softmax {
        let pair = |s: &str, t: &str| DistillPair { student: s.into(), teacher: t.into() };
        let config = ObjectiveConfig {
            distill: DistillConfig {
                pairs: vec![pair("b", "a"), pair("c", "a"), pair("a", "ensemble")],
                temperature: 0.7,
                alpha: 0.6,
                teacher,
                divergence,
                ..DistillConfig::default()
            },
            ..ObjectiveConfig::default()
        };
        Softmax::new(&config, &["a", "b", "c"].map(String::from))
    }

    fn case(seed: u64) -> (Vec<f32>, Arc<Candidates>) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let [n, r, u] = SHAPE;
        let mut draw = |scale: f32| (rng.random::<f32>() - 0.5) * scale;
        let scores: Vec<f32> = (0..n * r * u).map(|_| draw(8.0)).collect();
        let log_popularity = (0..u).map(|_| draw(2.0) - 3.0).collect();
        let labels: Vec<u32> = (0..r).map(|row| ((row * 5 + 3) % u) as u32).collect();
        let mut log_weight: Vec<f32> =
            (0..r * u).map(|_| if draw(1.0) < -0.3 { BLOCKED } else { draw(2.0) }).collect();
        labels.iter().enumerate().for_each(|(row, &l)| log_weight[row * u + l as usize] = 0.0);
        (scores, Arc::new(Candidates { log_popularity, log_weight, labels }))
    }

    fn tracked(values: &[f32]) -> Tensor<3> {
        let data = TensorData::new(values.to_vec(), SHAPE);
        Tensor::from_data(data, &Device::flex().autodiff()).require_grad()
    }

    #[test]
    fn kernel_and_composed_body_agree_in_values_and_gradients() {
        for teacher in [Teacher::Live, Teacher::Detached] {
            for divergence in [Divergence::CrossEntropy, Divergence::Kl] {
                let objective = objective(teacher, divergence);
                let (values, candidates) = case(5);
                let run = |kernel: bool| {
                    let scores = tracked(&values);
                    let terms = if kernel {
                        softmax_losses(
                            scores.clone(),
                            &candidates,
                            &objective.parts.distillation.settings(true),
                        )
                    } else {
                        objective.composed(scores.clone(), &candidates, true)
                    };
                    let factors = [1.0f32, 0.5, 2.0, 0.3, 1.7, 0.9];
                    let total = (terms.clone() * Tensor::from_data(factors, &terms.device())).sum();
                    let grads = total.backward();
                    (host(terms.inner()), host(scores.grad(&grads).unwrap()))
                };
                let ((a, da), (b, db)) = (run(true), run(false));
                for (a, b) in a.iter().zip(&b) {
                    assert!((a - b).abs() < 2e-5 * b.abs().max(1.0), "{teacher:?} {divergence:?}: {a} {b}");
                }
                let norm: f32 = db.iter().map(|g| g * g).sum::<f32>().sqrt();
                let gap: f32 = da.iter().zip(&db).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
                assert!(gap < 2e-5 * norm, "{teacher:?} {divergence:?}: {gap} of {norm}");
            }
        }
    }

    #[test]
    fn gradients_of_the_kernel_equal_finite_differences() {
        let objective = objective(Teacher::Live, Divergence::CrossEntropy);
        let (values, candidates) = case(9);
        let total =
            |values: &[f32]| objective.losses_of_scores(tracked(values), &candidates, Phase::whole(1)).total;
        let scores = tracked(&values);
        let loss = objective.losses_of_scores(scores.clone(), &candidates, Phase::whole(1)).total;
        let grad = host(scores.grad(&loss.backward()).unwrap());
        // Directions, not entries: one entry's change is lost in f32.
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for _ in 0..10 {
            let direction: Vec<f32> = values.iter().map(|_| rng.random::<f32>() - 0.5).collect();
            let moved = |step: f32| -> f64 {
                let at: Vec<f32> = values.iter().zip(&direction).map(|(v, d)| v + step * d).collect();
                f64::from(host(total(&at).inner())[0])
            };
            let slope = (moved(0.02) - moved(-0.02)) / 0.04;
            let expected: f64 = grad.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            assert!((slope - expected).abs() < 3e-3 * expected.abs().max(0.3), "{slope} {expected}");
        }
    }

    #[test]
    fn a_true_divergence_of_equal_branches_is_zero() {
        let objective = objective(Teacher::Live, Divergence::Kl);
        let (mut values, candidates) = case(2);
        let (first, rest) = values.split_at_mut(SHAPE[1] * SHAPE[2]);
        rest.chunks_exact_mut(first.len()).for_each(|branch| branch.copy_from_slice(first));
        let terms = host(objective.losses_of_scores(tracked(&values), &candidates, Phase::whole(1)).parts);
        assert!(terms[3..].iter().all(|t| t.abs() < 1e-5), "{terms:?}");
    }
}

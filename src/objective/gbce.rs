//! Generalised binary cross-entropy (Petrov and Macdonald 2023, "gSASRec").
//!
//! With few negatives out of many items, binary cross-entropy learns probabilities far too high, and ranks worse for
//! it. The right answer's probability is raised to a power β < 1, which takes that back as far as t says.
//!
//! Shapes: `R` rows, `K` negatives; column 0 is the right answer.

use std::sync::Arc;

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Tensor, TensorData};

use super::kernels::losses::Candidates;
use super::parts::tags;
use super::term::{Forward, Term, TermLosses};
use crate::config::{DistillConfig, ObjectiveConfig};
use crate::train::phase::Phase;

/// Generalised binary cross-entropy of every branch.
#[derive(Clone, Debug)]
pub struct Gbce {
    /// β
    positive_power: f64,
    tags: Arc<[String]>,
}

/// Its name for a stage.
const NAME: &str = "gbce";

impl Gbce {
    /// `items` counts those that training may see.
    pub fn new(config: &ObjectiveConfig, branches: &[String], items: usize) -> Self {
        let positive_power = positive_power(config.negatives.count, items, config.calibration);
        let [tags, _] = tags(branches, &DistillConfig::default());
        Self { positive_power, tags }
    }
}

impl Term for Gbce {
    fn names(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn losses(&self, forward: &dyn Forward, _phase: Phase<'_>) -> TermLosses {
        let scores_nrc = forward.scores();
        let [n, r, c] = scores_nrc.dims();
        let branch = |b| scores_nrc.clone().narrow(0, b, 1).reshape([r, c]);
        let losses = (0..n).map(|b| loss(branch(b), forward.candidates(), self.positive_power)).collect();
        let parts = Tensor::cat(losses, 0);
        TermLosses {
            total: parts.clone().sum(),
            parts: parts.inner(),
            tags: Arc::clone(&self.tags),
            figures: vec![("distill_weight", 0.0)],
        }
    }
}

/// β = α (t (1 - 1/α) + 1/α) for a share α = K / (I - 1) of the catalogue's other items.
pub fn positive_power(negatives: usize, items: usize, calibration: f64) -> f64 {
    let share = (negatives as f64 / items.saturating_sub(1).max(1) as f64).min(1.0);
    1.0 - calibration * (1.0 - share)
}

/// Mean over rows of `-(β ln σ(s⁺) + Σ ln σ(-s⁻)) / (K + 1)`, `[1]`.
///
/// # Shapes
/// - scores: `[R, 1 + K]`
pub fn loss(scores_rc: Tensor<2>, candidates: &Candidates, positive_power: f64) -> Tensor<1> {
    let [r, c] = scores_rc.dims();
    let device = scores_rc.device();
    let positive_r1 = log_sigmoid(scores_rc.clone().narrow(1, 0, 1)) * positive_power;
    // The right answer is no negative of itself: its weight is e^BLOCKED = 0.
    let weight: Vec<f32> = candidates.log_weight.iter().map(|w| w.exp()).collect();
    let weight_rc = Tensor::<2>::from_data(TensorData::new(weight, [r, c]), &device);
    let negative_r1 = (log_sigmoid(scores_rc.neg()) * weight_rc).narrow(1, 1, c - 1).sum_dim(1);
    (positive_r1 + negative_r1).mean() * (-1.0 / c as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::BLOCKED;
    use crate::params::host;
    use burn::tensor::Device;

    #[test]
    fn the_power_runs_from_plain_to_the_share_of_sampled_items() {
        assert_eq!(positive_power(256, 12_101, 0.0), 1.0);
        assert!((positive_power(256, 12_101, 1.0) - 256.0 / 12_100.0).abs() < 1e-12);
        // The paper's own form.
        let (a, t) = (256.0 / 12_100.0, 0.75);
        assert!((positive_power(256, 12_101, t) - a * (t * (1.0 - 1.0 / a) + 1.0 / a)).abs() < 1e-12);
        assert_eq!(positive_power(50, 11, 0.9), 1.0, "more negatives than items");
        assert_eq!(positive_power(1, 1, 1.0), 1.0);
    }

    #[test]
    fn loss_and_gradient_equal_the_formula_in_f64() {
        let (rows, columns, beta) = (3, 5, 0.4);
        let scores: Vec<f32> = (0..rows * columns).map(|i| ((i * 7 % 13) as f32 - 6.0) * 2.3).collect();
        let mut log_weight = vec![0.0; rows * columns];
        log_weight[columns + 2] = BLOCKED;
        let candidates = Candidates { log_weight, ..Candidates::default() };
        let data = TensorData::new(scores.clone(), [rows, columns]);
        let tensor = Tensor::<2>::from_data(data, &Device::flex().autodiff()).require_grad();
        let loss = loss(tensor.clone(), &candidates, beta);
        let grad = host(tensor.grad(&loss.backward()).unwrap());
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (mut value, scale) = (0.0, 1.0 / (rows * columns) as f64);
        for (i, &s) in scores.iter().enumerate() {
            let s = f64::from(s);
            let (term, slope) = match (i % columns, i) {
                (0, _) => (-beta * sigmoid(s).ln(), -beta * sigmoid(-s)),
                (2, 7) => (0.0, 0.0),
                _ => (-sigmoid(-s).ln(), sigmoid(s)),
            };
            value += term * scale;
            assert!((f64::from(grad[i]) - slope * scale).abs() < 1e-6, "{i}: {} {slope}", grad[i]);
        }
        assert!((f64::from(host(loss.inner())[0]) - value).abs() < 1e-5);
    }
}

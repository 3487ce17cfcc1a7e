//! One AdamW update of a parameter in a single pass.
//!
//! Composed of tensor operations, the update reads and writes the parameter some twenty times, which for an ID table
//! takes longer than the rest of the step. The CPU kernel does the same arithmetic in the same order.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::{simd, use_kernels};

/// Values of a parameter and its moments, flat.
#[derive(Clone, Debug)]
pub struct Entries {
    pub value: Tensor<1>,
    /// Running mean of the gradient.
    pub first: Tensor<1>,
    /// Running mean of its square.
    pub second: Tensor<1>,
}

/// What an update multiplies with.
#[derive(Clone, Copy, Debug)]
pub struct Factors {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// Learning rate over the correction of the first moment's bias.
    pub rate: f64,
    /// Correction of the second moment's bias: it is divided by this.
    pub correction: f64,
    /// What decay leaves of the value.
    pub keep: f64,
    /// Multiplies the gradient.
    pub scale: f64,
}

/// Entries a thread updates at a time; the result does not depend on it.
const CHUNK: usize = 1 << 14;

/// The entries after one update.
pub fn adamw(entries: Entries, grad: Tensor<1>, factors: &Factors) -> Entries {
    if use_kernels(&entries.value.device()) {
        kernel(entries, grad, factors)
    } else {
        composed(entries, grad, factors)
    }
}

fn composed(Entries { value, first, second }: Entries, grad: Tensor<1>, f: &Factors) -> Entries {
    let grad = grad * f.scale;
    let square = grad.clone().square();
    let first = first * f.beta1 + grad * (1.0 - f.beta1);
    let second = second * f.beta2 + square * (1.0 - f.beta2);
    let root = (second.clone() / f.correction).sqrt() + f.eps;
    let value = value * f.keep - first.clone() / root * f.rate;
    Entries { value, first, second }
}

fn kernel(entries: Entries, grad: Tensor<1>, f: &Factors) -> Entries {
    let device = entries.value.device();
    let [mut value, mut first, mut second] =
        [entries.value, entries.first, entries.second].map(crate::model::params::host);
    let grad = crate::model::params::host(grad);
    let [beta1, beta2, eps, rate] = [f.beta1, f.beta2, f.eps, f.rate].map(|x| x as f32);
    let [new1, new2] = [1.0 - f.beta1, 1.0 - f.beta2].map(|x| x as f32);
    let [correction, keep, scale] = [f.correction, f.keep, f.scale].map(|x| x as f32);
    value
        .par_chunks_mut(CHUNK)
        .zip(first.par_chunks_mut(CHUNK))
        .zip(second.par_chunks_mut(CHUNK))
        .zip(grad.par_chunks(CHUNK))
        .for_each(|(((value, first), second), grad)| {
            simd::dispatch(
                #[inline(always)]
                || {
                    let n = value.len();
                    let (first, second, grad) = (&mut first[..n], &mut second[..n], &grad[..n]);
                    for i in 0..n {
                        let g = grad[i] * scale;
                        first[i] = first[i] * beta1 + g * new1;
                        second[i] = second[i] * beta2 + g * g * new2;
                        let root = (second[i] / correction).sqrt() + eps;
                        value[i] = value[i] * keep - first[i] / root * rate;
                    }
                },
            );
        });
    let back = |values: Vec<f32>| {
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n]), &device)
    };
    Entries { value: back(value), first: back(first), second: back(second) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::params::host;
    use burn::tensor::Device;

    #[test]
    fn kernel_and_composed_body_agree_to_rounding_and_follow_the_formula() {
        let n = 40_000;
        let tensor = |f: fn(f32) -> f32| {
            let values: Vec<f32> = (0..n).map(|i| f(i as f32 * 0.37)).collect();
            Tensor::<1>::from_data(values.as_slice(), &Device::flex())
        };
        let entries = Entries {
            value: tensor(f32::sin),
            first: tensor(|x| x.cos() * 0.1),
            second: tensor(|x| x.sin().powi(2) * 0.01 + 1e-4),
        };
        let grad = tensor(|x| (x * 1.7).sin());
        let f = Factors {
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-8,
            rate: 1e-3 / (1.0 - 0.9f64.powi(3)),
            correction: 1.0 - 0.98f64.powi(3),
            keep: 1.0 - 1e-4,
            scale: 0.8,
        };
        let before = [&entries.value, &entries.first, &entries.second, &grad].map(|x| host(x.clone()));
        let fast = kernel(entries.clone(), grad.clone(), &f);
        let slow = composed(entries, grad, &f);
        for (fast, slow) in
            [(&fast.value, &slow.value), (&fast.first, &slow.first), (&fast.second, &slow.second)]
        {
            for (a, b) in host(fast.clone()).iter().zip(host(slow.clone())) {
                assert!((a - b).abs() <= 2e-7 * b.abs().max(1e-3), "{a} {b}");
            }
        }
        let after = host(fast.value);
        for i in (0..n).step_by(97) {
            let [w, m, v, g] = [0, 1, 2, 3].map(|k| f64::from(before[k][i]));
            let g = g * f.scale;
            let (m, v) = (0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g);
            let expected = w * f.keep - f.rate * m / ((v / f.correction).sqrt() + f.eps);
            assert!((f64::from(after[i]) - expected).abs() < 1e-6, "{i}: {} {expected}", after[i]);
        }
    }
}

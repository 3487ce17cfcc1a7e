use std::sync::Arc;

use super::*;
use crate::objective::kernels::losses::{Candidates, softmax_losses};
use crate::tensors::host;
use burn::tensor::Device;
use rand::{RngExt, SeedableRng};

const N: usize = 3;
const R: usize = 7;
const V: usize = 30;
const D: usize = 4;
/// Chunks that divide the catalogue of 29 items and that don't, one item, and more than there are.
const CHUNKS: [usize; 5] = [1, 7, 28, 29, 1000];

/// Users and items of every branch, one behind the other, and right answers: first, last and repeated items among
/// them.
fn case() -> (Vec<f32>, Vec<u32>) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let values = (0..N * (R + V) * D).map(|_| 3.0 * (rng.random::<f32>() - 0.5)).collect();
    let labels = (0..R as u32).map(|r| [1, V as u32 - 1, 14, 14, 2, 9, 28][r as usize]).collect();
    (values, labels)
}

/// Where a branch's users and items stand in a case.
fn places(branch: usize) -> (usize, usize) {
    let users = branch * (R + V) * D;
    (users, users + R * D)
}

/// Every variant of the terms with weights that tell them apart, and none but cross-entropies.
fn variants() -> Vec<(PairSettings, Vec<f32>)> {
    let pairs = vec![(1, Some(0)), (2, Some(0)), (0, None), (0, Some(2))];
    let mut all = vec![(
        PairSettings { pairs: Vec::new(), temperature: 0.5, detached: false, divergence: false },
        vec![1.0, 0.5, 2.0],
    )];
    for detached in [false, true] {
        for divergence in [false, true] {
            let settings = PairSettings { pairs: pairs.clone(), temperature: 0.7, detached, divergence };
            all.push((settings, vec![1.0, 0.5, 2.0, 0.9, 1.7, 0.3, 1.1]));
        }
    }
    all
}

/// PairSettings and the gradients of their weighted sum, times 1.7.
fn run(
    pass: Run,
    values: &[f32],
    walk: &Walk,
    settings: &PairSettings,
    factors: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let device = Device::flex().autodiff();
    let tensor = |start: usize, rows: usize| -> Tensor<2> {
        let data = TensorData::new(values[start..start + rows * D].to_vec(), [rows, D]);
        Tensor::from_data(data, &device).require_grad()
    };
    let branches: Vec<Branch<Tensor<2>>> =
        (0..N).map(|b| Branch { users: tensor(places(b).0, R), items: tensor(places(b).1, V) }).collect();
    let walked = walk_with(pass, branches.clone(), walk, settings, factors);
    let found = host(walked.terms.inner());
    let total: f32 = found.iter().zip(factors).map(|(t, f)| t * f).sum();
    let grads = (walked.total.clone() * 1.7).backward();
    assert!((host(walked.total.inner())[0] - total).abs() < 1e-5 * total.abs());
    let inputs = branches.iter().flat_map(|b| [&b.users, &b.items]);
    (found, inputs.flat_map(|x| host(x.grad(&grads).unwrap())).collect())
}

/// The terms in f64 by their definition. Detached teachers are those of `fixed`.
fn expected_terms(values: &[f64], fixed: &[f64], labels: &[u32], settings: &PairSettings) -> Vec<f64> {
    let logits = |values: &[f64], r: usize| -> Vec<Vec<f64>> {
        let score = |b: usize, v: usize| -> f64 {
            let (users, items) = places(b);
            (0..D).map(|i| values[users + r * D + i] * values[items + v * D + i]).sum()
        };
        let mut z: Vec<Vec<f64>> = (0..N).map(|b| (1..V).map(|v| score(b, v)).collect()).collect();
        z.push((0..V - 1).map(|v| (0..N).map(|b| z[b][v]).sum::<f64>() / N as f64).collect());
        z
    };
    let log_softmax = |z: &[f64], tau: f64| -> Vec<f64> {
        let max = z.iter().fold(f64::MIN, |max, z| max.max(z / tau));
        let total: f64 = z.iter().map(|z| (z / tau - max).exp()).sum();
        z.iter().map(|z| z / tau - max - total.ln()).collect()
    };
    let tau = f64::from(settings.temperature);
    let mut sums = vec![0.0; N + settings.pairs.len()];
    for (r, &label) in labels.iter().enumerate() {
        let z = logits(values, r);
        let teachers = if settings.detached { logits(fixed, r) } else { z.clone() };
        for b in 0..N {
            sums[b] -= log_softmax(&z[b], 1.0)[label as usize - 1];
        }
        for (k, &(student, teacher)) in settings.pairs.iter().enumerate() {
            let log_p = log_softmax(&teachers[teacher.unwrap_or(N)], tau);
            let log_q = log_softmax(&z[student], tau);
            let gap = |(p, q): (&f64, &f64)| p.exp() * if settings.divergence { p - q } else { -q };
            sums[N + k] += tau * tau * log_p.iter().zip(&log_q).map(gap).sum::<f64>();
        }
    }
    sums.iter().map(|s| s / R as f64).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0f64, |most, e| most.max(e.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*f) - e).abs() < 1e-5 * scale, "{what}, entry {i}: {f} {e}");
    }
}

#[test]
fn kernel_and_composed_body_equal_differences_in_f64_at_every_chunk_size() {
    let (values, labels) = case();
    let exact: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
    for (settings, factors) in variants() {
        let expected = expected_terms(&exact, &exact, &labels, &settings);
        let total = |moved: &[f64]| -> f64 {
            let values = expected_terms(moved, &exact, &labels, &settings);
            1.7 * values.iter().zip(&factors).map(|(v, &f)| v * f64::from(f)).sum::<f64>()
        };
        let slope = |i: usize| {
            let shifted = |step: f64| {
                let mut moved = exact.clone();
                moved[i] += step;
                total(&moved)
            };
            (shifted(1e-5) - shifted(-1e-5)) / 2e-5
        };
        let slopes: Vec<f64> = (0..exact.len()).map(slope).collect();
        for chunk in CHUNKS {
            let walk = Walk { labels: labels.clone(), chunk };
            let runs: [(&str, Run); 3] =
                [("chunks", walk_chunks), ("rows", walk_rows), ("composed", composed::walk)];
            for (name, pass) in runs {
                let (found, grads) = run(pass, &values, &walk, &settings, &factors);
                assert_close(&found, &expected, &format!("{name}, {settings:?}, terms"));
                assert_close(&grads, &slopes, &format!("{name}, {settings:?}, gradients"));
            }
        }
    }
}

#[test]
fn chunks_equal_the_losses_over_stored_scores() {
    let (values, labels) = case();
    let device = Device::flex().autodiff();
    let tensor = |start: usize, rows: usize| -> Tensor<2> {
        let data = TensorData::new(values[start..start + rows * D].to_vec(), [rows, D]);
        Tensor::from_data(data, &device).require_grad()
    };
    for (settings, factors) in variants() {
        let branches: Vec<[Tensor<2>; 2]> =
            (0..N).map(|b| [tensor(places(b).0, R), tensor(places(b).1, V)]).collect();
        let scores = branches
            .iter()
            .map(|[users, items]| users.clone().matmul(items.clone().narrow(0, 1, V - 1).transpose()));
        let candidates = Candidates {
            log_popularity: vec![0.0; V - 1],
            log_weight: vec![0.0; R * (V - 1)],
            labels: labels.iter().map(|l| l - 1).collect(),
        };
        let stored = softmax_losses(Tensor::stack(scores.collect(), 0), &Arc::new(candidates), &settings);
        let total = (stored.clone() * Tensor::from_data(factors.as_slice(), &device)).sum() * 1.7;
        let grads = total.backward();
        let expected: Vec<f64> = host(stored.inner()).into_iter().map(f64::from).collect();
        let grads = branches.iter().flatten().flat_map(|x| host(x.grad(&grads).unwrap()));
        let expected_grads: Vec<f64> = grads.map(f64::from).collect();
        let walk = Walk { labels: labels.clone(), chunk: 10 };
        for pass in [walk_chunks as Run, walk_rows] {
            let (found, grads) = run(pass, &values, &walk, &settings, &factors);
            assert_close(&found, &expected, "terms");
            assert_close(&grads, &expected_grads, "gradients");
        }
    }
}

#[test]
fn scores_of_hundreds_neither_overflow_nor_vanish() {
    let (values, labels) = case();
    let values: Vec<f32> = values.iter().map(|v| v * 12.0).collect();
    let exact: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
    let walk = Walk { labels: labels.clone(), chunk: 4 };
    for (settings, factors) in variants() {
        for pass in [walk_chunks as Run, walk_rows] {
            let (found, grads) = run(pass, &values, &walk, &settings, &factors);
            assert_close(&found, &expected_terms(&exact, &exact, &labels, &settings), "terms");
            assert!(grads.iter().all(|g| g.is_finite()));
        }
    }
}

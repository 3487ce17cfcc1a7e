use super::*;
use crate::model::params::host;
use burn::tensor::Device;
use burn::tensor::activation::log_softmax;
use rand::{RngExt, SeedableRng};

const R: usize = 13;
const V: usize = 58;
const D: usize = 9;

fn case() -> (Vec<f32>, Vec<f32>, Vec<u32>) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| 4.0 * (rng.random::<f32>() - 0.5)).collect() };
    let (users, items) = (draw(R * D), draw(V * D));
    // First, last and repeated items among them.
    let labels = (0..R as u32).map(|r| 1 + (r * 19 + 56) % (V as u32 - 1)).collect();
    (users, items, labels)
}

fn tracked(values: &[f32]) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [values.len() / D, D]);
    Tensor::from_data(data, &Device::flex().autodiff()).require_grad()
}

/// Loss and its gradients by users and items, times 1.7.
fn run(loss: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<1>, users: &[f32], items: &[f32]) -> [Vec<f32>; 3] {
    let (users, items) = (tracked(users), tracked(items));
    let loss = loss(users.clone(), items.clone());
    let grads = (loss.clone() * 1.7).backward();
    [host(loss.inner()), host(users.grad(&grads).unwrap()), host(items.grad(&grads).unwrap())]
}

/// The same in f64, entry by entry.
fn brute_force(users: &[f32], items: &[f32], labels: &[u32]) -> [Vec<f64>; 3] {
    let at = |x: &[f32], row: usize, i: usize| f64::from(x[row * D + i]);
    let dot = |r: usize, v: usize| -> f64 { (0..D).map(|i| at(users, r, i) * at(items, v, i)).sum() };
    let (mut loss, mut d_users, mut d_items) = (0.0, vec![0.0; users.len()], vec![0.0; items.len()]);
    for (r, &label) in labels.iter().enumerate() {
        let total: f64 = (1..V).map(|v| dot(r, v).exp()).sum();
        loss += (total.ln() - dot(r, label as usize)) / R as f64;
        for v in 1..V {
            let g = (dot(r, v).exp() / total - f64::from(u8::from(v == label as usize))) * 1.7 / R as f64;
            for i in 0..D {
                d_users[r * D + i] += g * at(items, v, i);
                d_items[v * D + i] += g * at(users, r, i);
            }
        }
    }
    [vec![loss], d_users, d_items]
}

fn assert_close(found: &[Vec<f32>; 3], expected: &[Vec<f64>; 3], what: &str) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f64::from(*f) - e).abs() < 2e-5 * e.abs().max(1.0), "{what}: {f} {e}");
        }
    }
}

#[test]
fn kernel_and_composed_body_equal_brute_force_in_f64_at_every_chunk_size() {
    let (users, items, labels) = case();
    let expected = brute_force(&users, &items, &labels);
    for chunk in [1, 7, 57, 58, 1000] {
        let walk = Arc::new(Walk { labels: labels.clone(), chunk });
        assert_close(&run(|u, i| full_softmax(u, i, &walk), &users, &items), &expected, "kernel");
        assert_close(&run(|u, i| composed(u, i, &walk), &users, &items), &expected, "composed");
    }
}

#[test]
fn chunks_equal_the_softmax_over_stored_scores() {
    let (users, items, labels) = case();
    let walk = Arc::new(Walk { labels: labels.clone(), chunk: 10 });
    let stored = |users: Tensor<2>, items: Tensor<2>| {
        let log_q_rv = log_softmax(users.matmul(items.narrow(0, 1, V - 1).transpose()), 1);
        let labels: Vec<i32> = labels.iter().map(|&l| l as i32 - 1).collect();
        let label_r1 = Tensor::<2, Int>::from_data(TensorData::new(labels, [R, 1]), &log_q_rv.device());
        log_q_rv.gather(1, label_r1).mean().neg()
    };
    let expected = run(stored, &users, &items).map(|x| x.into_iter().map(f64::from).collect());
    assert_close(&run(|u, i| full_softmax(u, i, &walk), &users, &items), &expected, "chunked");
}

#[test]
fn gradients_equal_finite_differences() {
    let (users, items, labels) = case();
    let walk = Arc::new(Walk { labels, chunk: 16 });
    let [_, d_users, d_items] = run(|u, i| full_softmax(u, i, &walk), &users, &items);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for _ in 0..8 {
        let mut direction = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random::<f32>() - 0.5).collect() };
        let (du, di) = (direction(users.len()), direction(items.len()));
        let at = |step: f32| -> f64 {
            let moved =
                |x: &[f32], d: &[f32]| -> Vec<f32> { x.iter().zip(d).map(|(x, d)| x + step * d).collect() };
            let walked = full_softmax(tracked(&moved(&users, &du)), tracked(&moved(&items, &di)), &walk);
            1.7 * f64::from(host(walked.inner())[0])
        };
        let slope = (at(0.01) - at(-0.01)) / 0.02;
        let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum() };
        let expected = dot(&d_users, &du) + dot(&d_items, &di);
        assert!((slope - expected).abs() < 3e-3 * expected.abs().max(0.3), "{slope} {expected}");
    }
}

#[test]
fn scores_far_apart_neither_overflow_nor_lose_the_answer() {
    let (mut users, items, labels) = case();
    users.iter_mut().for_each(|u| *u *= 1000.0);
    let walk = Arc::new(Walk { labels, chunk: 8 });
    for found in [
        run(|u, i| full_softmax(u, i, &walk), &users, &items),
        run(|u, i| composed(u, i, &walk), &users, &items),
    ] {
        assert!(found.iter().flatten().all(|x| x.is_finite()));
        assert!(found[0][0] > 100.0);
    }
}

//! Losses over the catalogue from given vectors, held against sums written out in double precision.

use codistill::bench::workload::BRANCHES;
use serde_json::Value;

use crate::bench::{lines, workload, written};
use crate::program::path;

const ROWS: usize = 12;
const ITEMS: usize = 90;
const WIDTH: usize = 6;
const TAU: f64 = 0.5;

/// Rows of numbers.
type Matrix = Vec<Vec<f64>>;

struct Case {
    step: Value,
    /// `[ROWS, ITEMS]` per branch.
    scores: Vec<Matrix>,
    /// `[ITEMS, WIDTH]` of the first branch.
    items: Matrix,
    /// Columns of the right answers.
    labels: Vec<usize>,
}

fn matrix(values: &[f32]) -> Matrix {
    values.chunks(WIDTH).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect()
}

fn dot(u: &[f64], h: &[f64]) -> f64 {
    u.iter().zip(h).map(|(a, b)| a * b).sum()
}

/// Runs `name` at a tiny size.
fn case(name: &str) -> Case {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("w");
    let loaded = written(&dir, &workload(name, &["users=12", "items=90", "width=6"]));
    let lines = lines(&[name, "--workload", path(&dir), "--warmup", "0", "--steps", "2"]);
    assert_eq!(lines[0]["metrics"], lines[1]["metrics"], "every step has the same data");
    assert_eq!(lines[0]["loss"], lines[0]["metrics"]["total"]);
    assert!(lines[2]["flops_ours"].as_f64() > Some(0.0));
    let vectors = loaded.vectors().unwrap();
    assert!(vectors.iter().all(|b| b.items[..WIDTH] == [0.0; WIDTH]), "padding is no item");
    let scores = vectors.iter().map(|b| {
        let items = matrix(&b.items);
        matrix(&b.users).iter().map(|u| items[1..].iter().map(|h| dot(u, h)).collect()).collect()
    });
    Case {
        step: lines[0].clone(),
        scores: scores.collect(),
        items: matrix(&vectors[0].items)[1..].to_vec(),
        labels: loaded.labels().unwrap().iter().map(|&item| item as usize - 1).collect(),
    }
}

/// Logarithms of the softmax at temperature `tau`.
fn log_softmax(logits: &[f64], tau: f64) -> Vec<f64> {
    let norm = logits.iter().map(|z| (z / tau).exp()).sum::<f64>().ln();
    logits.iter().map(|z| z / tau - norm).collect()
}

fn mean(of_row: impl Fn(usize) -> f64) -> f64 {
    (0..ROWS).map(of_row).sum::<f64>() / ROWS as f64
}

fn cross_entropy(case: &Case, branch: usize) -> f64 {
    mean(|r| -log_softmax(&case.scores[branch][r], 1.0)[case.labels[r]])
}

/// The term of a student under the teacher's logits.
fn distilled(case: &Case, student: usize, teacher: impl Fn(usize) -> Vec<f64>) -> f64 {
    let cost = |r: usize| -> f64 {
        let (p, q) = (log_softmax(&teacher(r), TAU), log_softmax(&case.scores[student][r], TAU));
        p.iter().zip(&q).map(|(p, q)| -p.exp() * q).sum()
    };
    TAU * TAU * mean(cost)
}

fn close(value: &Value, expected: f64, what: &str) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() < 1e-5 * expected.abs(), "{what}: {value}, not {expected}");
}

#[test]
fn cross_entropy_and_its_gradients_equal_a_brute_force_recomputation() {
    let case = case("loss-ce");
    let of_id = &case.step["metrics"]["id"];
    assert!(case.step["metrics"].get("distill").is_none(), "{}", case.step);
    close(&of_id["cross_entropy"], cross_entropy(&case, 0), "cross-entropy");
    close(&case.step["loss"], cross_entropy(&case, 0), "total");
    let slopes = |r: usize| {
        let mut slope: Vec<f64> = log_softmax(&case.scores[0][r], 1.0).into_iter().map(f64::exp).collect();
        slope[case.labels[r]] -= 1.0;
        slope
    };
    let squares = (0..ROWS).map(|r| {
        let slope = slopes(r);
        let entry =
            |d: usize| slope.iter().zip(&case.items).map(|(g, h)| g * h[d]).sum::<f64>() / ROWS as f64;
        (0..WIDTH).map(|d| entry(d).powi(2)).sum::<f64>()
    });
    close(&of_id["users_gradient"], squares.sum::<f64>().sqrt(), "gradient by users");
}

#[test]
fn distillation_terms_over_the_catalogue_equal_a_brute_force_recomputation() {
    let case = case("loss-odmt-kd");
    let metrics = &case.step["metrics"];
    let mut total = 0.0;
    for (branch, name) in BRANCHES.into_iter().enumerate() {
        let expected = cross_entropy(&case, branch);
        close(&metrics[name]["cross_entropy"], expected, name);
        total += expected;
    }
    let of_id = |r: usize| case.scores[0][r].clone();
    let ensemble = |r: usize| -> Vec<f64> {
        (0..ITEMS).map(|i| case.scores.iter().map(|z| z[r][i]).sum::<f64>() / 3.0).collect()
    };
    let terms = [
        ("text_from_id", distilled(&case, 1, of_id)),
        ("image_from_id", distilled(&case, 2, of_id)),
        ("id_from_ensemble", distilled(&case, 0, ensemble)),
    ];
    for (term, expected) in terms {
        close(&metrics["distill"][term], expected, term);
        total += 0.8 * expected;
    }
    close(&case.step["loss"], total, "total");
}

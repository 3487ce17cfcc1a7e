//! Ridge regression from content to ID vectors, in f64.
//!
//! Shapes: `n` items, `p` inputs, `f` outputs.

use rayon::prelude::*;

use crate::linear::{cholesky, substitute};
use serde::{Deserialize, Serialize};

/// Candidate penalties, as multiples of the mean input variance times n.
const PENALTIES: [f64; 6] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];
/// Every fifth item is held out to choose the penalty.
const FOLD: usize = 5;

/// A fitted linear map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ridge {
    /// Mean of the inputs, `[p]`, and the inverse of their deviation.
    shift: Vec<f64>,
    scale: Vec<f64>,
    /// `[f]`
    offset: Vec<f64>,
    /// `[p, f]`
    weight: Vec<f64>,
    /// Number of items that it was fitted on.
    pub items: usize,
    /// The chosen penalty.
    pub penalty: f64,
    /// Share of the outputs' variance explained on held-out items; negative if worse than their mean.
    pub explained: f64,
}

impl Ridge {
    /// Fits `y [n, f]` to `x [n, p]`. The penalty is the one that explains most of the held-out rows; the map is then
    /// fitted to all rows.
    ///
    /// # Panics
    /// As slicing does, where the sizes don't fit.
    pub fn fit(x: &[f64], y: &[f64], p: usize, f: usize) -> Self {
        let n = x.len() / p.max(1);
        let (kept, back): (Vec<usize>, Vec<usize>) = (0..n).partition(|row| row % FOLD != 0);
        let rows = |values: &[f64], width: usize, places: &[usize]| -> Vec<f64> {
            places.iter().flat_map(|&row| values[row * width..(row + 1) * width].iter().copied()).collect()
        };
        let trial = Normal::new(&rows(x, p, &kept), &rows(y, f, &kept), p, f);
        let (x_back, y_back) = (rows(x, p, &back), rows(y, f, &back));
        let mut best = (PENALTIES[0], f64::NEG_INFINITY);
        for penalty in PENALTIES {
            let explained = trial.solve(penalty).explained(&x_back, &y_back);
            if explained > best.1 {
                best = (penalty, explained);
            }
        }
        Self { explained: best.1, ..Normal::new(x, y, p, f).solve(best.0) }
    }

    /// The output `[f]` for an input `[p]`.
    ///
    /// # Panics
    /// As slicing does, where `x` has another width.
    pub fn predict(&self, x: &[f64]) -> Vec<f64> {
        assert_eq!(x.len(), self.shift.len(), "inputs of the ridge map");
        let mut y = self.offset.clone();
        let f = y.len();
        for (k, value) in x.iter().enumerate() {
            let z = (value - self.shift[k]) * self.scale[k];
            y.iter_mut().zip(&self.weight[k * f..(k + 1) * f]).for_each(|(y, w)| *y += z * w);
        }
        y
    }

    /// Numbers of inputs and outputs.
    pub fn widths(&self) -> (usize, usize) {
        (self.shift.len(), self.offset.len())
    }

    fn explained(&self, x: &[f64], y: &[f64]) -> f64 {
        let (p, f) = self.widths();
        let (mut left, mut all) = (0.0, 0.0);
        for (x, y) in x.chunks_exact(p).zip(y.chunks_exact(f)) {
            for ((found, wanted), mean) in self.predict(x).iter().zip(y).zip(&self.offset) {
                left += (found - wanted).powi(2);
                all += (mean - wanted).powi(2);
            }
        }
        if all > 0.0 { 1.0 - left / all } else { 0.0 }
    }
}

/// The normal equations of standardised inputs.
struct Normal {
    shift: Vec<f64>,
    scale: Vec<f64>,
    offset: Vec<f64>,
    /// `[p, p]`
    gram: Vec<f64>,
    /// `[p, f]`
    cross: Vec<f64>,
    n: usize,
}

impl Normal {
    fn new(x: &[f64], y: &[f64], p: usize, f: usize) -> Self {
        let n = x.len() / p.max(1);
        let shift = means(x, p);
        let offset = means(y, f);
        let scale: Vec<f64> = (0..p)
            .map(|k| {
                let sum: f64 = x.iter().skip(k).step_by(p).map(|v| (v - shift[k]).powi(2)).sum();
                let sd = (sum / n.max(1) as f64).sqrt();
                // A constant input carries no information.
                if sd > 1e-12 { 1.0 / sd } else { 0.0 }
            })
            .collect();
        let z: Vec<f64> = x.iter().enumerate().map(|(i, v)| (v - shift[i % p]) * scale[i % p]).collect();
        let row = |k: usize| {
            let mut gram = vec![0.0; p];
            let mut cross = vec![0.0; f];
            for (z, y) in z.chunks_exact(p).zip(y.chunks_exact(f)) {
                gram.iter_mut().zip(z).for_each(|(g, v)| *g += z[k] * v);
                cross.iter_mut().zip(y.iter().zip(&offset)).for_each(|(c, (v, m))| *c += z[k] * (v - m));
            }
            (gram, cross)
        };
        let rows: Vec<(Vec<f64>, Vec<f64>)> = (0..p).into_par_iter().map(row).collect();
        let (gram, cross): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        Self { gram: gram.concat(), cross: cross.concat(), shift, scale, offset, n }
    }

    fn solve(&self, penalty: f64) -> Ridge {
        let (p, f) = (self.shift.len(), self.offset.len());
        let mut matrix = self.gram.clone();
        // Standardised inputs have variance 1. The small constant keeps the system solvable with constant inputs.
        (0..p).for_each(|k| matrix[k * p + k] += penalty * self.n as f64 + 1e-9);
        let mut weight = self.cross.clone();
        cholesky(&mut matrix, p);
        substitute(&matrix, &mut weight, p, f);
        Ridge {
            shift: self.shift.clone(),
            scale: self.scale.clone(),
            offset: self.offset.clone(),
            weight,
            items: self.n,
            penalty,
            explained: 0.0,
        }
    }
}

fn means(values: &[f64], width: usize) -> Vec<f64> {
    let n = (values.len() / width.max(1)).max(1) as f64;
    (0..width).map(|k| values.iter().skip(k).step_by(width).sum::<f64>() / n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u64) -> Vec<f64> {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| rng.random::<f64>() * 2.0 - 1.0).collect()
    }

    #[test]
    fn the_gradient_of_the_penalised_error_vanishes_at_the_solution() {
        let (n, p, f) = (40, 5, 3);
        let (x, y) = (numbers(n * p, 1), numbers(n * f, 2));
        let normal = Normal::new(&x, &y, p, f);
        let penalty = 0.03;
        let ridge = normal.solve(penalty);
        for k in 0..p {
            for o in 0..f {
                let mut gradient = penalty * n as f64 * ridge.weight[k * f + o];
                for (x, y) in x.chunks(p).zip(y.chunks(f)) {
                    let z = (x[k] - ridge.shift[k]) * ridge.scale[k];
                    gradient += z * (ridge.predict(x)[o] - y[o]);
                }
                assert!(gradient.abs() < 1e-6, "{k} {o}: {gradient}");
            }
        }
    }

    #[test]
    fn a_linear_truth_is_found_and_noise_is_not_taken_for_one() {
        let (n, p, f) = (2000, 4, 2);
        let x = numbers(n * p, 3);
        let y: Vec<f64> = x.chunks(p).flat_map(|x| [2.0 * x[0] - x[1] + 0.5, x[3]]).collect();
        let ridge = Ridge::fit(&x, &y, p, f);
        assert!(ridge.explained > 0.999, "{ridge:?}");
        let found = ridge.predict(&[0.1, 0.2, 0.9, -0.4]);
        assert!((found[0] - 0.5).abs() < 1e-2 && (found[1] + 0.4).abs() < 1e-2, "{found:?}");
        let noise = Ridge::fit(&x, &numbers(n * f, 4), p, f);
        assert!(noise.explained < 0.02, "{noise:?}");
    }

    #[test]
    fn an_input_that_never_changes_is_harmless() {
        let x: Vec<f64> = numbers(30, 5).into_iter().flat_map(|v| [v, 7.0]).collect();
        let y: Vec<f64> = x.chunks(2).map(|x| 3.0 * x[0]).collect();
        let found = Ridge::fit(&x, &y, 2, 1).predict(&[0.5, 7.0]);
        assert!((found[0] - 1.5).abs() < 0.05, "{found:?}");
    }
}

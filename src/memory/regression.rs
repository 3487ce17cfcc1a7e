//! Items foretold by other items: a ridge regression for each, on its nearest items alone.
//!
//! EASE (Steck, WWW 2019) regresses each item's column of the user-item matrix X on all the others, which takes the inverse
//! of an I x I matrix. Here each item is regressed on the K items that are nearest to it, as in SLIM with feature selection
//! (Ning and Karypis, ICDM 2011, section 4.2): `w_j = (G_NN + ridge I)^-1 b_Nj` with `G = XᵀX`, `b = XᵀY` and N the nearest
//! items of j. Where all items are near and all of G is kept, with Y = X, this is EASE; else its memory does not grow with I².
//!
//! Shapes: `I` items, `K` neighbours.

use rayon::prelude::*;

use super::lists::{Lists, largest};
use super::moments::Moments;
use crate::linear::{cholesky, substitute};

/// How items are regressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regression {
    /// K: nearest items, by cosine with shrinkage.
    pub neighbours: usize,
    /// What is added to the diagonal of G.
    pub ridge: f64,
}

impl Regression {
    /// `[I + 1, I + 1]`: what an item of the history adds to the score of each other item, at most K entries in each column. Bits
    /// depend on the moments alone.
    pub fn fit(&self, moments: &Moments) -> Lists {
        let width = moments.squares.len();
        let places = || vec![NOWHERE; width];
        let column = |places: &mut Vec<u32>, item| self.column(moments, places, item);
        let columns: Vec<_> = (0..width).into_par_iter().map_init(places, column).collect();
        Lists::from_rows(columns).transposed()
    }

    /// Weights of the items around `item`, ascending. `places` has I + 1 entries, all of them [`NOWHERE`] before and after.
    fn column(&self, moments: &Moments, places: &mut [u32], item: usize) -> Vec<(u32, f32)> {
        let answers = moments.answers(item).iter();
        let near = answers.map(|&(other, both)| (other, moments.nearness(other, item, both)));
        let near = largest(near.collect(), self.neighbours);
        let k = near.len();
        near.iter().zip(0u32..).for_each(|(&(other, _), place)| places[other as usize] = place);
        // Below the diagonal. Symmetric, though a row may have lost what its counterpart keeps.
        let mut matrix = vec![0.0; k * k];
        let mut weights = vec![0.0; k];
        for &(other, both) in moments.answers(item) {
            if let Some(weight) = weights.get_mut(places[other as usize] as usize) {
                *weight = f64::from(both);
            }
        }
        for (a, &(first, _)) in near.iter().enumerate() {
            matrix[a * k + a] = f64::from(moments.squares[first as usize]) + self.ridge;
            for &(other, both) in moments.inputs.row(first as usize) {
                let b = places[other as usize];
                if b != NOWHERE {
                    let (row, column) = (a.max(b as usize), a.min(b as usize));
                    matrix[row * k + column] = f64::from(both);
                }
            }
        }
        near.iter().for_each(|&(other, _)| places[other as usize] = NOWHERE);
        cholesky(&mut matrix, k);
        substitute(&matrix, &mut weights, k, 1);
        near.iter().zip(weights).map(|(&(other, _), weight)| (other, weight as f32)).collect()
    }
}

/// An item that is not among the neighbours.
const NOWHERE: u32 = u32::MAX;

/// What tests hold regressions against.
#[cfg(test)]
pub(super) mod oracle {
    use super::Lists;

    /// `(A + ridge I)^-1 b` by Gauss-Jordan elimination.
    pub fn solved(a: &[Vec<f64>], ridge: f64, b: &[f64]) -> Vec<f64> {
        let n = b.len();
        let mut rows: Vec<Vec<f64>> = (0..n)
            .map(|i| (0..n).map(|j| a[i][j] + if i == j { ridge } else { 0.0 }).chain([b[i]]).collect())
            .collect();
        for pivot in 0..n {
            let by = rows[pivot][pivot];
            rows[pivot].iter_mut().for_each(|value| *value /= by);
            for other in (0..n).filter(|&other| other != pivot) {
                let (factor, own) = (rows[other][pivot], rows[pivot].clone());
                rows[other].iter_mut().zip(own).for_each(|(value, own)| *value -= factor * own);
            }
        }
        rows.into_iter().map(|row| row[n]).collect()
    }

    /// Weights `[n, n]` of items 1 to n, each regressed on all others that it has something in common with: `gram` and `answers` are
    /// XᵀX and XᵀY.
    pub fn regressed(gram: &[Vec<f64>], answers: &[Vec<f64>], ridge: f64) -> Vec<Vec<f64>> {
        let n = gram.len();
        let mut weights = vec![vec![0.0; n]; n];
        for j in 0..n {
            let others: Vec<usize> = (0..n).filter(|&i| i != j && answers[i][j] != 0.0).collect();
            let a: Vec<Vec<f64>> =
                others.iter().map(|&i| others.iter().map(|&k| gram[i][k]).collect()).collect();
            let b: Vec<f64> = others.iter().map(|&i| answers[i][j]).collect();
            for (i, weight) in others.iter().zip(solved(&a, ridge, &b)) {
                weights[*i][j] = weight;
            }
        }
        weights
    }

    /// Panics where lists of items 1 to n are not these weights.
    pub fn assert_equal(lists: &Lists, expected: &[Vec<f64>]) {
        for (i, row) in expected.iter().enumerate() {
            assert!(lists.row(i + 1).iter().all(|&(other, _)| other as usize != i + 1));
            for (j, &value) in row.iter().enumerate() {
                let entry = lists.row(i + 1).iter().find(|entry| entry.0 as usize == j + 1);
                let found = entry.map_or(0.0, |entry| f64::from(entry.1));
                assert!((found - value).abs() < 1e-5, "{} {}: {found} and {value}", i + 1, j + 1);
            }
        }
    }
}

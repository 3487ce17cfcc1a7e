//! Items foretold by the items around them: a ridge regression for each item, on its nearest items alone.
//!
//! EASE (Steck, WWW 2019) regresses each item's column of the user-item matrix X on all the others, which takes the inverse
//! of an I x I matrix. Here each item is regressed on the K items that are nearest to it, as in SLIM with feature selection
//! (Ning and Karypis, ICDM 2011, section 4.2): `w_j = (G_NN + ridge I)^-1 g_Nj` with `G = XᵀX` and N the neighbours of j. Where
//! all items are neighbours and all of G is kept, this is EASE; else its memory does not grow with I².
//!
//! Shapes: `I` items, `K` neighbours, `P` entries kept of a row of G.

use rayon::prelude::*;

use super::lists::{Lists, largest};
use crate::eval::baseline::Baskets;
use crate::linear::{cholesky, substitute};

/// How items are regressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regression {
    /// K: nearest items, by cosine with shrinkage.
    pub neighbours: usize,
    /// What is added to the diagonal of G: users that never had both.
    pub ridge: f64,
    /// P: entries kept of a row of G, those of the nearest items; the others count as 0.
    pub pairs: usize,
}

/// Entries of G that are kept of all rows together, about: 160 MB.
const ALL_PAIRS: usize = 20_000_000;

impl Regression {
    /// P for a catalogue of so many items: on small ones near all of G is kept.
    pub fn pairs_of(items: usize) -> usize {
        (ALL_PAIRS / items.max(1)).clamp(200, 2000)
    }
}

impl Default for Regression {
    fn default() -> Self {
        Self { neighbours: 100, ridge: 70.0, pairs: 200 }
    }
}

impl Regression {
    /// `[I + 1, I + 1]`: what an item of the history adds to the score of each other item, at most K entries in each column.
    ///
    /// Memory: P entries per item while it counts, then K. Bits depend on the baskets alone.
    pub fn fit(&self, baskets: &Baskets) -> Lists {
        let gram = self.gram(baskets);
        let places = || vec![NOWHERE; baskets.width()];
        let column = |places: &mut Vec<u32>, item| self.column(baskets, &gram, places, item);
        let columns: Vec<_> = (0..baskets.width()).into_par_iter().map_init(places, column).collect();
        Lists::from_rows(columns).transposed()
    }

    /// Numbers of common users with the P nearest items of each, ascending by item. Most pairs of items that are near to a third
    /// are near to each other.
    fn gram(&self, baskets: &Baskets) -> Lists {
        let row = |common: &mut Vec<u32>, item: usize| {
            let shared = baskets.sharing(item, common);
            let near =
                |&(other, both): &(u32, u32)| (other, baskets.similarity(item, other as usize, both) as f32);
            let near = largest(shared.iter().map(near).collect(), self.pairs.max(self.neighbours));
            let mut both: Vec<(u32, f32)> =
                shared.into_iter().map(|(other, both)| (other, both as f32)).collect();
            both.retain(|entry| near.binary_search_by_key(&entry.0, |entry| entry.0).is_ok());
            both.sort_unstable_by_key(|entry| entry.0);
            both
        };
        let zeros = || vec![0u32; baskets.width()];
        let rows: Vec<_> = (0..baskets.width()).into_par_iter().map_init(zeros, row).collect();
        Lists::from_rows(rows)
    }

    /// Weights of the items around `item`, ascending. `places` has I + 1 entries, all of them [`NOWHERE`] before and after.
    fn column(&self, baskets: &Baskets, gram: &Lists, places: &mut [u32], item: usize) -> Vec<(u32, f32)> {
        let near = |&(other, both): &(u32, f32)| {
            (other, baskets.similarity(item, other as usize, both as u32) as f32)
        };
        let near = largest(gram.row(item).iter().map(near).collect(), self.neighbours);
        let k = near.len();
        near.iter().zip(0u32..).for_each(|(&(other, _), place)| places[other as usize] = place);
        // Below the diagonal. Symmetric, though a row may have lost what its counterpart keeps.
        let mut matrix = vec![0.0; k * k];
        let mut weights = vec![0.0; k];
        for &(other, both) in gram.row(item) {
            if let Some(weight) = weights.get_mut(places[other as usize] as usize) {
                *weight = f64::from(both);
            }
        }
        for (a, &(first, _)) in near.iter().enumerate() {
            matrix[a * k + a] = baskets.users(first as usize).len() as f64 + self.ridge;
            for &(other, both) in gram.row(first as usize) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The value in a column of a row, if it has one.
    fn value_at(row: &[(u32, f32)], column: u32) -> Option<f64> {
        row.binary_search_by_key(&column, |entry| entry.0).ok().map(|place| f64::from(row[place].1))
    }

    const HISTORIES: [&[u32]; 7] =
        [&[1, 2, 3], &[2, 3, 4], &[1, 2, 4, 4], &[5, 1], &[3, 5, 2], &[4, 1, 5, 3], &[2, 1]];

    /// EASE by Gauss-Jordan elimination: column j is `-P_ij / P_jj` with `P = (XᵀX + ridge I)^-1`.
    fn ease(ridge: f64) -> Vec<Vec<f64>> {
        let n = 5;
        let had = |u: usize, item: usize| HISTORIES[u].contains(&(item as u32 + 1));
        let mut rows: Vec<Vec<f64>> = (0..n)
            .map(|a| {
                let common = |b: usize| (0..7).filter(|&u| had(u, a) && had(u, b)).count() as f64;
                let left = (0..n).map(|b| common(b) + if a == b { ridge } else { 0.0 });
                left.chain((0..n).map(|b| f64::from(u8::from(a == b)))).collect()
            })
            .collect();
        for pivot in 0..n {
            let by = rows[pivot][pivot];
            rows[pivot].iter_mut().for_each(|value| *value /= by);
            for other in (0..n).filter(|&other| other != pivot) {
                let (factor, own) = (rows[other][pivot], rows[pivot].clone());
                rows[other].iter_mut().zip(own).for_each(|(value, own)| *value -= factor * own);
            }
        }
        (0..n).map(|i| (0..n).map(|j| -rows[i][n + j] / rows[j][n + j]).collect()).collect()
    }

    #[test]
    fn with_all_items_as_neighbours_it_is_ease() {
        let baskets = Baskets::new(7, 5, |u| HISTORIES[u]);
        for ridge in [0.5, 3.0] {
            let weights = Regression { neighbours: 9, ridge, pairs: 9 }.fit(&baskets);
            let expected = ease(ridge);
            for i in 1..=5usize {
                assert!(weights.row(i).iter().all(|&(other, _)| other as usize != i));
                for j in (1..=5usize).filter(|&j| j != i) {
                    let found = value_at(weights.row(i), j as u32).unwrap_or_default();
                    assert!((found - expected[i - 1][j - 1]).abs() < 1e-6, "{i} {j}: {found}");
                }
            }
        }
    }

    #[test]
    fn each_item_is_foretold_by_its_nearest_items_alone() {
        let baskets = Baskets::new(7, 5, |u| HISTORIES[u]);
        let weights = Regression { neighbours: 2, ridge: 1.0, pairs: 4 }.fit(&baskets);
        let columns = weights.transposed();
        assert!((1..=5).all(|item| columns.row(item).len() == 2) && columns.row(0).is_empty());
        // Item 1 shares three of its five users with 2, and two with 3, 4 and 5; 3 has more users of its own, and 4 comes
        // before 5.
        let near: Vec<u32> = columns.row(1).iter().map(|entry| entry.0).collect();
        assert_eq!(near, [2, 4]);
        // (users(2) + 1) a + common(2, 4) b = common(1, 2) and the like: 6 a + 2 b = 3, 2 a + 4 b = 2.
        let expected = [0.4, 0.3];
        for (&(_, found), expected) in columns.row(1).iter().zip(expected) {
            assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}

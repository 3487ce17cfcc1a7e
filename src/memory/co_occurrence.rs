//! Items that the same users had, near to each other: each is regressed on the others of its histories.
//!
//! A pair of items counts `pair_decay^g` where g places of the history lie from one to the other. This is XᵀX of a matrix X with
//! a row for each interaction, in which the items around it fade with their distance: taste changes, and what was bought a
//! hundred purchases apart hangs together less. With a decay of 1 all pairs of a user count alike, as in EASE.

use rayon::prelude::*;

use super::lists::Lists;
use super::moments::{Moments, Occurrences, pairs_kept, powers};
use super::regression::Regression;

/// How items are regressed on what stood around them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CoOccurrence {
    pub regression: Regression,
    /// What a pair counts for each place that it lies apart, above 0 and up to 1.
    pub pair_decay: f64,
}

impl CoOccurrence {
    /// `[I + 1, I + 1]`: what an item of the history adds to the score of each other item. `history` gives the interactions of each
    /// of `users`, of items up to `items`; an item counts once a user, where it stands last.
    ///
    /// Memory: twelve bytes an interaction, and the pairs that are kept. Bits depend on the histories alone.
    pub fn fit<'h>(&self, users: usize, items: usize, history: impl Fn(usize) -> &'h [u32] + Sync) -> Lists {
        let distinct = Distinct::new(users, items, history);
        let own = |user: usize| distinct.of(user);
        let occurrences = Occurrences::new(users, items, &own);
        let squares: Vec<f32> =
            (0..occurrences.width()).map(|item| occurrences.of(item).len() as f32).collect();
        let powers = powers(self.pair_decay, distinct.longest);
        let kept = pairs_kept(items).max(self.regression.neighbours);
        let norms = (squares.as_slice(), squares.as_slice());
        let inputs = occurrences.sums(powers.len() - 1, kept, norms, |pair| powers[pair.gap]);
        drop(occurrences);
        let answer_squares = squares.clone();
        self.regression.fit(&Moments { inputs, squares, answers: None, answer_squares })
    }
}

/// Histories in which each item stands once, where it stood last.
struct Distinct {
    items: Vec<u32>,
    ends: Vec<usize>,
    longest: usize,
}

impl Distinct {
    fn new<'h>(users: usize, items: usize, history: impl Fn(usize) -> &'h [u32] + Sync) -> Self {
        let own = |seen: &mut Vec<usize>, user: usize| {
            let mut own: Vec<u32> = history(user).iter().rev().copied().collect();
            own.retain(|&item| std::mem::replace(&mut seen[item as usize], user) != user);
            own.reverse();
            own
        };
        let unseen = || vec![usize::MAX; items + 1];
        let all: Vec<Vec<u32>> = (0..users).into_par_iter().map_init(unseen, own).collect();
        let mut end = 0;
        let ends = all.iter().map(|own| {
            end += own.len();
            end
        });
        let ends = ends.collect();
        let longest = all.iter().map(Vec::len).max().unwrap_or(0);
        Self { items: all.concat(), ends, longest }
    }

    fn of(&self, user: usize) -> &[u32] {
        let start = user.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.items[start..self.ends[user]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::regression::oracle;

    const HISTORIES: [&[u32]; 7] =
        [&[1, 2, 3], &[2, 3, 4], &[1, 2, 4, 4], &[5, 1], &[3, 5, 2], &[4, 1, 5, 3], &[2, 1]];

    fn fit(neighbours: usize, ridge: f64, pair_decay: f64) -> Lists {
        let regression = Regression { neighbours, ridge };
        CoOccurrence { regression, pair_decay }.fit(7, 5, |u| HISTORIES[u])
    }

    /// Sums over the users of `decay^distance`, items 1 to 5.
    fn gram(decay: f64) -> Vec<Vec<f64>> {
        let place = |u: usize, item: u32| {
            let mut own: Vec<u32> = HISTORIES[u].to_vec();
            own.dedup();
            own.iter().position(|&other| other == item).map(|place| place as i32)
        };
        let both = |a: u32, b: u32| {
            let pairs = (0..7).filter_map(|u| Some(place(u, a)? - place(u, b)?));
            pairs.map(|gap| decay.powi(gap.abs())).sum::<f64>()
        };
        (1..=5).map(|a| (1..=5).map(|b| both(a, b)).collect()).collect()
    }

    #[test]
    fn without_decay_and_with_all_items_as_neighbours_it_is_ease() {
        // EASE is `-P_ij / P_jj` with P the inverse of XᵀX + ridge: the regression of each item on all others.
        for ridge in [0.5, 3.0] {
            let gram = gram(1.0);
            let inverse: Vec<Vec<f64>> = (0..5)
                .map(|j| {
                    let unit: Vec<f64> = (0..5).map(|i| f64::from(u8::from(i == j))).collect();
                    oracle::solved(&gram, ridge, &unit)
                })
                .collect();
            let ease = |i: usize, j: usize| if i == j { 0.0 } else { -inverse[j][i] / inverse[j][j] };
            let expected: Vec<Vec<f64>> = (0..5).map(|i| (0..5).map(|j| ease(i, j)).collect()).collect();
            oracle::assert_equal(&fit(9, ridge, 1.0), &expected);
        }
    }

    #[test]
    fn pairs_fade_with_the_places_between_them() {
        for decay in [0.9, 0.4] {
            let gram = gram(decay);
            oracle::assert_equal(&fit(9, 2.0, decay), &oracle::regressed(&gram, &gram, 2.0));
        }
    }

    #[test]
    fn each_item_is_foretold_by_its_nearest_items_alone() {
        let weights = fit(2, 1.0, 1.0);
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

    #[test]
    fn an_item_stands_where_it_stood_last() {
        let histories: [&[u32]; 2] = [&[3, 1, 3, 2, 3], &[]];
        let distinct = Distinct::new(2, 3, |u| histories[u]);
        assert_eq!((distinct.of(0), distinct.of(1), distinct.longest), (&[1, 2, 3][..], &[][..], 3));
    }
}

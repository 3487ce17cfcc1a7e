//! The item that comes next, regressed on those before it.
//!
//! Each interaction but a user's first is an answer y; its inputs are the items before it, the newest with 1 and each older one
//! with `decay` times as much: the regression of sequential rules (Choi et al., WWW 2021, "Session-aware linear item-item
//! models", section 4.2), on the nearest items alone. What a history scores is what the regression was fitted to: sums over its
//! items under the same decay.

use super::lists::Lists;
use super::moments::{Moments, Occurrences, Pair, pairs_kept, powers};
use super::regression::Regression;

/// How the next item is regressed on those before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sequence {
    pub regression: Regression,
    /// What an input counts for each newer one, above 0 and up to 1.
    pub decay: f64,
}

impl Sequence {
    /// `[I + 1, I + 1]`: what an item of the history adds to the score of each other item. `history` gives the interactions of each
    /// of `users`, of items up to `items`.
    ///
    /// Memory: eight bytes an interaction, and the pairs that are kept. Bits depend on the histories alone.
    pub fn fit<'h>(&self, users: usize, items: usize, history: impl Fn(usize) -> &'h [u32] + Sync) -> Lists {
        let occurrences = Occurrences::new(users, items, &history);
        let longest = (0..users).map(|user| history(user).len()).max().unwrap_or(0);
        let powers = powers(self.decay, longest);
        let reach = powers.len() - 1;
        // What an input is squared over the answers that come after it.
        let mut squared = vec![0.0f32];
        for rest in 0..longest {
            squared.push(squared[rest] + self.decay.powi(2 * rest as i32) as f32);
        }
        // Both are inputs of the answers after the later one.
        let shared = |pair: Pair| powers[pair.gap] * squared[pair.rest];
        let alone = |item: usize| {
            occurrences.of(item).map(|(history, place)| squared[history.len() - 1 - place]).sum::<f32>()
        };
        let mut squares: Vec<f32> = (0..occurrences.width()).map(alone).collect();
        squares.iter_mut().zip(occurrences.own_sums(reach, shared)).for_each(|(all, own)| *all += own);
        let answered = |item: usize| occurrences.of(item).filter(|&(_, place)| place > 0).count() as f32;
        let answer_squares: Vec<f32> = (0..occurrences.width()).map(answered).collect();
        let kept = pairs_kept(items).max(self.regression.neighbours);
        let inputs = occurrences.sums(reach, kept, (&squares, &squares), shared);
        let input = |pair: Pair| if pair.earlier { powers[pair.gap - 1] } else { 0.0 };
        let norms = (answer_squares.as_slice(), squares.as_slice());
        let answers = Some(occurrences.sums(reach, self.regression.neighbours, norms, input));
        drop(occurrences);
        self.regression.fit(&Moments { inputs, squares, answers, answer_squares })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::regression::oracle;

    const HISTORIES: [&[u32]; 6] =
        [&[1, 2, 3], &[2, 3, 4, 2], &[1, 2, 4, 4], &[5, 1], &[3, 5, 2], &[4, 1, 5, 3, 1]];

    /// XᵀX and XᵀY of the rows themselves, items 1 to 5.
    fn moments(decay: f64) -> [Vec<Vec<f64>>; 2] {
        let mut found = [vec![vec![0.0; 5]; 5], vec![vec![0.0; 5]; 5]];
        for history in HISTORIES {
            for place in 1..history.len() {
                let mut x = [0.0; 5];
                for (age, &item) in history[..place].iter().rev().enumerate() {
                    x[item as usize - 1] += decay.powi(age as i32);
                }
                for i in 0..5 {
                    (0..5).for_each(|j| found[0][i][j] += x[i] * x[j]);
                    found[1][i][history[place] as usize - 1] += x[i];
                }
            }
        }
        found
    }

    #[test]
    fn it_is_the_ridge_regression_of_each_answer_on_what_came_before() {
        for (decay, ridge) in [(0.6, 1.0), (0.5, 7.0), (1.0, 2.0)] {
            let regression = Regression { neighbours: 9, ridge };
            let found = Sequence { regression, decay }.fit(6, 5, |u| HISTORIES[u]);
            let [gram, answers] = moments(decay);
            oracle::assert_equal(&found, &oracle::regressed(&gram, &answers, ridge));
        }
    }

    #[test]
    fn the_order_tells() {
        let histories: [&[u32]; 2] = [&[1, 2], &[1, 2]];
        let regression = Regression { neighbours: 9, ridge: 1.0 };
        let found = Sequence { regression, decay: 0.5 }.fit(2, 2, |u| histories[u]);
        // x = 1 twice, y = 1 twice: 2 / (2 + 1).
        assert_eq!(found.row(1), [(2, 2.0 / 3.0)]);
        assert!(found.row(2).is_empty());
    }
}

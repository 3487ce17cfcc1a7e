//! Items that follow each other, counted both ways.
//!
//! Where data are few, counts say more than a regression that has to learn each weight: on a hundred users they are ahead of it, and
//! on many they cost the fitted weights nothing.

use super::lists::Lists;
use super::moments::{Occurrences, Pair};

/// How transitions are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transitions {
    /// Longest distance of a counted pair; a pair d places apart counts 1/d.
    pub reach: usize,
    /// What a pair counts against its order: most of what precedes an item can follow it as well.
    pub back: f32,
    /// Entries kept of a row, the largest.
    pub most: usize,
}

impl Default for Transitions {
    fn default() -> Self {
        Self { reach: 3, back: 0.5, most: 100 }
    }
}

impl Transitions {
    /// `[I + 1, I + 1]`: what an item of the history adds to the score of each other item, its counts divided by its frequency.
    /// `history` gives the interactions of each of `users`, of items up to `items`.
    ///
    /// Memory: eight bytes an interaction while it counts, then `most` entries an item. Bits depend on the histories alone.
    pub fn fit<'h>(&self, users: usize, items: usize, history: impl Fn(usize) -> &'h [u32] + Sync) -> Lists {
        let occurrences = Occurrences::new(users, items, &history);
        let value = |pair: Pair| if pair.earlier { self.back } else { 1.0 } / pair.gap as f32;
        // Cosines to norms that are all alike have the order of the counts.
        let level = vec![0.0; occurrences.width()];
        let counts = occurrences.sums(self.reach, self.most, (&level, &level), value);
        let row = |item: usize| {
            let share = 1.0 / occurrences.of(item).len().max(1) as f32;
            counts.row(item).iter().map(|&(other, count)| (other, count * share)).collect()
        };
        Lists::from_rows((0..counts.rows()).map(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_count_by_distance_and_half_against_their_order() {
        let histories: [&[u32]; 3] = [&[1, 2, 3, 4], &[2, 1], &[1, 1, 2]];
        let lists = Transitions { reach: 2, back: 0.5, most: 9 }.fit(3, 5, |u| histories[u]);
        // 1 → 2: 1 in the first history, 1/2 against the order in the second, 1/2 + 1 in the third; item 1 occurs four times.
        let expected = [(2, 3.0 / 4.0), (3, 0.5 / 4.0)];
        assert_eq!(lists.row(1), expected);
        // 4 ← 3 one step back, 4 ← 2 two steps back.
        assert_eq!(lists.row(4), [(2, 0.25), (3, 0.5)]);
        assert!(lists.row(0).is_empty() && lists.row(5).is_empty());
        assert_eq!(lists.rows(), 6);
    }

    #[test]
    fn only_the_largest_are_kept_and_one_direction_can_be_asked_for() {
        let histories: [&[u32]; 2] = [&[3, 1, 2], &[3, 2, 1]];
        let one_way = Transitions { reach: 1, back: 0.0, most: 1 }.fit(2, 3, |u| histories[u]);
        assert_eq!(one_way.row(3), [(1, 0.5)]);
        assert_eq!((one_way.row(1), one_way.row(2)), (&[(2, 0.5)][..], &[(1, 0.5)][..]));
    }
}

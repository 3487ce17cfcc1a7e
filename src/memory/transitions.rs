//! Items that follow each other, counted both ways.
//!
//! Shapes: `I` items, `K` entries kept of a row.

use rayon::prelude::*;

use super::lists::{Lists, largest};

/// How transitions are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transitions {
    /// Longest distance of a counted pair; a pair d steps apart counts 1/d.
    pub reach: usize,
    /// What a pair counts against its order: most of what precedes an item can follow it as well.
    pub back: f32,
    /// K: entries kept of a row, the largest.
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
    /// Memory: eight bytes an interaction while it counts, then K entries an item. Bits depend on the histories alone.
    pub fn fit<'a>(&self, users: usize, items: usize, history: impl Fn(usize) -> &'a [u32] + Sync) -> Lists {
        let places = Places::new(users, items, &history);
        let row = |sums: &mut Vec<f32>, item: usize| {
            let mut met: Vec<u32> = Vec::new();
            let own = places.row(item);
            for &(user, place) in own {
                let (all, place) = (history(user as usize), place as usize);
                let mut add = |other: u32, value: f32| {
                    let sum = &mut sums[other as usize];
                    if *sum == 0.0 {
                        met.push(other);
                    }
                    *sum += value;
                };
                for step in 1..=self.reach {
                    if let Some(&next) = all.get(place + step) {
                        add(next, 1.0 / step as f32);
                    }
                    if let Some(before) = place.checked_sub(step).filter(|_| self.back > 0.0) {
                        add(all[before], self.back / step as f32);
                    }
                }
            }
            let share = 1.0 / own.len().max(1) as f32;
            let entries = met.iter().filter(|&&other| other as usize != item);
            let entries = entries.map(|&other| (other, sums[other as usize] * share)).collect();
            met.iter().for_each(|&other| sums[other as usize] = 0.0);
            largest(entries, self.most)
        };
        let zeros = || vec![0.0f32; items + 1];
        let rows: Vec<_> = (0..=items).into_par_iter().map_init(zeros, row).collect();
        Lists::from_rows(rows)
    }
}

/// Where each item stands in the histories.
struct Places {
    starts: Vec<usize>,
    /// (user, place in the history)
    all: Vec<(u32, u32)>,
}

impl Places {
    fn new<'a>(users: usize, items: usize, history: &impl Fn(usize) -> &'a [u32]) -> Self {
        let mut starts = vec![0usize; items + 2];
        (0..users).for_each(|u| history(u).iter().for_each(|&item| starts[item as usize + 1] += 1));
        (1..starts.len()).for_each(|item| starts[item] += starts[item - 1]);
        let mut next = starts.clone();
        let mut all = vec![(0, 0); starts[items + 1]];
        for user in 0..users {
            for (place, &item) in history(user).iter().enumerate() {
                let slot = &mut next[item as usize];
                all[*slot] = (user as u32, place as u32);
                *slot += 1;
            }
        }
        Self { starts, all }
    }

    fn row(&self, item: usize) -> &[(u32, u32)] {
        &self.all[self.starts[item]..self.starts[item + 1]]
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

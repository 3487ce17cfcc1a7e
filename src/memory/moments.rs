//! What regressions are made of: which items stand together in histories, weighed by their distance.
//!
//! Shapes: `I` items, `P` entries kept of a row.

use rayon::prelude::*;

use super::lists::{Lists, largest};
use crate::eval::baseline::SHRINKAGE;

/// Pairs that would count less than this share of a pair of neighbours are not counted.
const LEAST_SHARE: f64 = 0.01;
/// Entries that are kept of all rows together, about: 160 MB.
const ALL_PAIRS: usize = 20_000_000;

/// P for a catalogue of so many items: on small ones near all pairs are kept.
pub fn pairs_kept(items: usize) -> usize {
    (ALL_PAIRS / items.max(1)).clamp(200, 2000)
}

/// `XᵀX` and `XᵀY` of inputs X and answers Y, `[rows, I + 1]` each, row-sparse.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// `[I + 1, I + 1]` of XᵀX without its diagonal: of each item the P pairs of largest cosine. Most items that are near to a
    /// third are near to each other.
    pub inputs: Lists,
    /// `[I + 1]`: the diagonal of XᵀX.
    pub squares: Vec<f32>,
    /// `[I + 1, I + 1]` of YᵀX without its diagonal, as far as its pairs have the largest cosines; `inputs` where it is absent.
    pub answers: Option<Lists>,
    /// `[I + 1]`: how often each item was the answer.
    pub answer_squares: Vec<f32>,
}

impl Moments {
    /// What stands in YᵀX of an answer.
    pub fn answers(&self, item: usize) -> &[(u32, f32)] {
        self.answers.as_ref().unwrap_or(&self.inputs).row(item)
    }

    /// Cosine of an input and an answer that have `both` in common.
    pub fn nearness(&self, input: u32, answer: usize, both: f32) -> f32 {
        cosine(self.squares[input as usize], self.answer_squares[answer], both)
    }
}

/// With shrinkage: one meeting of two rare items says little.
fn cosine(square: f32, other: f32, both: f32) -> f32 {
    both / ((square * other).sqrt() + SHRINKAGE as f32)
}

/// The histories, and where each item stands in them.
pub struct Occurrences<'a, H> {
    history: &'a H,
    starts: Vec<usize>,
    /// (user, place in the history)
    all: Vec<(u32, u32)>,
}

/// Two items of a history.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// How many places lie from one to the other.
    pub gap: usize,
    /// Items after the later one.
    pub rest: usize,
    /// The other item stands before the one whose row is counted.
    pub earlier: bool,
}

impl<'a, 'h: 'a, H: Fn(usize) -> &'h [u32] + Sync> Occurrences<'a, H> {
    /// Memory: eight bytes an interaction.
    pub fn new(users: usize, items: usize, history: &'a H) -> Self {
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
        Self { history, starts, all }
    }

    /// I + 1.
    pub fn width(&self) -> usize {
        self.starts.len() - 1
    }

    /// The histories that hold an item, each with its place: one entry for each occurrence.
    pub fn of(&self, item: usize) -> impl ExactSizeIterator<Item = (&'h [u32], usize)> + '_ {
        let own = &self.all[self.starts[item]..self.starts[item + 1]];
        own.iter().map(|&(user, place)| ((self.history)(user as usize), place as usize))
    }

    /// `[I + 1, I + 1]`: of each item the `kept` others of largest cosine, with what the pairs with them sum up to. `norms` are the
    /// squares of rows and of columns that the cosine divides by; `value` is that of a pair up to `reach` places apart.
    pub fn sums(
        &self,
        reach: usize,
        kept: usize,
        norms: (&[f32], &[f32]),
        value: impl Fn(Pair) -> f32 + Sync,
    ) -> Lists {
        let row = |sums: &mut Vec<f32>, item: usize| {
            let mut met: Vec<u32> = Vec::new();
            self.add_up(item, reach, &value, |other, value| {
                let sum = &mut sums[other as usize];
                if *sum == 0.0 && value > 0.0 {
                    met.push(other);
                }
                *sum += value;
            });
            sums[item] = 0.0;
            met.retain(|&other| other as usize != item);
            let near = |&other: &u32| cosine(norms.0[item], norms.1[other as usize], sums[other as usize]);
            let near = largest(met.iter().map(|other| (*other, near(other))).collect(), kept);
            let row = near.iter().map(|&(other, _)| (other, sums[other as usize])).collect();
            met.iter().for_each(|&other| sums[other as usize] = 0.0);
            row
        };
        let zeros = || vec![0.0f32; self.width()];
        let rows: Vec<_> = (0..self.width()).into_par_iter().map_init(zeros, row).collect();
        Lists::from_rows(rows)
    }

    /// For each item: what its pairs with itself sum up to.
    pub fn own_sums(&self, reach: usize, value: impl Fn(Pair) -> f32 + Sync) -> Vec<f32> {
        let own = |item: usize| {
            let mut sum = 0.0f32;
            self.add_up(item, reach, &value, |other, value| {
                if other as usize == item {
                    sum += value;
                }
            });
            sum
        };
        (0..self.width()).into_par_iter().map(own).collect()
    }

    fn add_up(&self, item: usize, reach: usize, value: &impl Fn(Pair) -> f32, mut add: impl FnMut(u32, f32)) {
        for (history, place) in self.of(item) {
            let (before, later) = (&history[..place], &history[place + 1..]);
            let after = later.len();
            for (&other, gap) in before.iter().rev().zip(1..=reach) {
                add(other, value(Pair { gap, rest: after, earlier: true }));
            }
            for (&other, gap) in later.iter().zip(1..=reach) {
                add(other, value(Pair { gap, rest: after - gap, earlier: false }));
            }
        }
    }
}

/// Powers of a decay from the zeroth on, as far as they count; at least the first two.
pub fn powers(decay: f64, most: usize) -> Vec<f32> {
    let last = if decay < 1.0 { (LEAST_SHARE.ln() / decay.ln()).ceil() } else { f64::INFINITY };
    let last = (last as usize).clamp(1, most.max(1));
    (0..=last).map(|gap| decay.powi(gap as i32) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_met_from_both_sides_up_to_the_reach() {
        let histories: [&[u32]; 2] = [&[1, 2, 3], &[3, 1, 1]];
        let history = |u: usize| histories[u];
        let occurrences = Occurrences::new(2, 4, &history);
        let ones = vec![1.0; 5];
        let by_side = |pair: Pair| pair.gap as f32 + 10.0 * f32::from(u8::from(pair.earlier));
        let near = occurrences.sums(1, 9, (&ones, &ones), by_side);
        // 2 follows 1; 3 stands before the first 1 of the second history.
        assert_eq!(near.row(1), [(2, 1.0), (3, 11.0)]);
        assert_eq!(near.row(3), [(1, 1.0), (2, 11.0)]);
        let far = occurrences.sums(9, 9, (&ones, &ones), by_side);
        assert_eq!(far.row(1), [(2, 1.0), (3, 2.0 + 11.0 + 12.0)]);
        assert_eq!(occurrences.own_sums(9, by_side)[1], 1.0 + 11.0);
        let rest = occurrences.sums(9, 9, (&ones, &ones), |pair| 1.0 + pair.rest as f32);
        assert_eq!(rest.row(2), [(1, 2.0), (3, 1.0)]);
        assert!(far.row(0).is_empty() && far.row(4).is_empty());
    }

    #[test]
    fn the_nearest_are_kept_with_their_sums() {
        let histories: [&[u32]; 3] = [&[1, 2], &[1, 3], &[1, 3]];
        let history = |u: usize| histories[u];
        let occurrences = Occurrences::new(3, 3, &history);
        // Item 3 is met more often; by its norm it is the farther one.
        let norms = [0.0, 3.0, 1.0, 1e6];
        let kept = occurrences.sums(1, 1, (&norms, &norms), |_| 1.0);
        assert_eq!(kept.row(1), [(2, 1.0)]);
    }

    #[test]
    fn powers_end_where_they_count_for_nothing() {
        assert_eq!(powers(0.5, 100).len(), 8);
        assert_eq!(powers(1.0, 3), [1.0; 4]);
        assert_eq!(powers(1e-9, 9).len(), 2);
        assert_eq!(powers(0.5, 2), [1.0, 0.5, 0.25]);
    }
}

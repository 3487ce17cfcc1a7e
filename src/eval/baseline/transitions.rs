//! Counted item-to-item transitions.

use rayon::prelude::*;

use super::{Counted, Terms, dense_ranks, known, known_counts, place};
use crate::data::{Dataset, Part, Target};
use crate::eval::scorer::{ScoreError, Scorer};

/// Longest distance of a counted pair.
const REACH: usize = 3;
/// Weight of a pair by distance, in sixths of 1/distance: integers, so that sums are exact in any order.
const SIXTHS: [u32; REACH] = [6, 3, 2];
/// History items that are looked at.
const LOOK_BACK: usize = 10;
/// Weight of a history item per step of age.
const DECAY: f64 = 0.8;

/// Counts of ordered pairs at most three steps apart, weighted by 1/distance.
///
/// The score of an item is the sum over the last ten history items of count / frequency of the history
/// item × 0.8^age (age 0 is the newest); ties go by popularity.
pub struct Transitions<'a> {
    dataset: &'a Dataset,
    terms: Terms,
    counted: Counted<Pairs>,
}

impl<'a> Transitions<'a> {
    pub fn new(dataset: &'a Dataset, terms: Terms) -> Self {
        Self { dataset, terms, counted: Counted::nothing() }
    }
}

impl Scorer for Transitions<'_> {
    fn names(&self) -> Vec<String> {
        vec![self.terms.name("transitions")]
    }

    fn items(&self) -> usize {
        self.dataset.items.count()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let (dataset, terms) = (self.dataset, self.terms);
        let pairs = self.counted.get(dataset, targets, terms.known, |end| Pairs::count(dataset, end));
        let width = pairs.counts.len();
        for out in out {
            out.resize(targets.len() * width, 0.0);
            out.par_chunks_exact_mut(width).zip(targets).for_each_init(
                || vec![0.0; width],
                |sums, (out, target)| pairs.score(dataset.history(target), terms, sums, out),
            );
        }
        Ok(())
    }
}

/// The counted pairs, sparse by first item.
struct Pairs {
    /// `offsets[i]..offsets[i + 1]` are item i's places in `successors`.
    offsets: Vec<usize>,
    /// Second item, ascending within a first item, and weight in sixths.
    successors: Vec<(u32, u32)>,
    /// How often each item is known.
    counts: Vec<u32>,
    /// Place of each item's count among the distinct counts.
    popularity: Vec<f32>,
}

impl Pairs {
    fn count(dataset: &Dataset, end: Part) -> Self {
        let counts = known_counts(dataset, end);
        let mut pairs: Vec<(u32, u32, u32)> = Vec::new();
        for u in 0..dataset.sequences.users() {
            let items = known(dataset, u, end);
            for (i, &from) in items.iter().enumerate() {
                pairs.extend(items[i + 1..].iter().zip(SIXTHS).map(|(&to, weight)| (from, to, weight)));
            }
        }
        pairs.par_sort_unstable();
        pairs.dedup_by(|next, kept| {
            let same = (next.0, next.1) == (kept.0, kept.1);
            if same {
                kept.2 = kept.2.saturating_add(next.2);
            }
            same
        });
        let mut offsets = vec![0; counts.len() + 1];
        for &(from, _, _) in &pairs {
            offsets[from as usize + 1] += 1;
        }
        for i in 1..offsets.len() {
            offsets[i] += offsets[i - 1];
        }
        let successors = pairs.into_iter().map(|(_, to, weight)| (to, weight)).collect();
        let popularity = dense_ranks(&counts);
        Self { offsets, successors, counts, popularity }
    }

    /// Writes scores such that comparing them compares (sum, popularity).
    ///
    /// `sums` is scratch of I + 1 zeros and is left so.
    fn score(&self, history: &[u32], terms: Terms, sums: &mut [f64], out: &mut [f32]) {
        let mut reached: Vec<u32> = Vec::new();
        for (age, &from) in terms.read(history).iter().rev().take(LOOK_BACK).enumerate() {
            let from = from as usize;
            let weight = DECAY.powi(age as i32) / f64::from(SIXTHS[0] * self.counts[from].max(1));
            for &(to, sixths) in &self.successors[self.offsets[from]..self.offsets[from + 1]] {
                let sum = &mut sums[to as usize];
                if *sum == 0.0 {
                    reached.push(to);
                }
                *sum += weight * f64::from(sixths);
            }
        }
        place(reached, sums, &self.popularity, terms.unscored, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixtures::{dataset, leave_one_out};

    fn scores(scorer: &mut dyn Scorer, dataset: &Dataset, part: Part) -> Vec<f32> {
        let mut out = vec![vec![7.0; 3]];
        scorer.score(&dataset.targets(part)[..1], &mut out).unwrap();
        out.remove(0)
    }

    #[test]
    fn transitions_equal_the_formula_in_plain_loops() {
        let users: [&[u32]; 4] =
            [&[1, 2, 3, 4, 5, 6], &[2, 4, 3, 1, 2, 5], &[6, 1, 2, 3, 5, 4], &[3, 2, 1, 5, 4]];
        let data = dataset(7, &leave_one_out(&users));
        let (equal, more) = (Terms::default(), Terms::default().knowing_validation());
        let cases =
            [(Part::Valid, equal, 2), (Part::Test, equal, 2), (Part::Valid, more, 2), (Part::Test, more, 1)];
        for (part, terms, hidden) in cases {
            // The history of a test target holds the validation item under both rules.
            let history = &users[0][..users[0].len() - if part == Part::Test { 1 } else { 2 }];
            let known: Vec<&[u32]> = users.iter().map(|u| &u[..u.len() - hidden]).collect();
            let frequency = |item| known.iter().flat_map(|u| u.iter()).filter(|&&i| i == item).count() as f64;
            let count = |from: u32, to: u32| -> f64 {
                let pairs = known
                    .iter()
                    .flat_map(|u| (0..u.len()).flat_map(move |i| (i + 1..u.len()).map(move |j| (u, i, j))));
                let wanted = pairs.filter(|&(u, i, j)| j - i <= 3 && u[i] == from && u[j] == to);
                wanted.map(|(_, i, j)| 1.0 / (j - i) as f64).sum()
            };
            let formula = |item: u32| -> f64 {
                let ages = history.iter().rev().take(10).enumerate();
                ages.map(|(age, &h)| count(h, item) / frequency(h).max(1.0) * 0.8f64.powi(age as i32)).sum()
            };
            let found = scores(&mut Transitions::new(&data, terms), &data, part);
            for a in 1..=7 {
                for b in 1..=7 {
                    let (x, y) = (formula(a), formula(b));
                    let same = (x - y).abs() < 1e-12;
                    let wanted = if same { frequency(a) > frequency(b) } else { x > y };
                    assert_eq!(
                        found[a as usize] > found[b as usize],
                        wanted,
                        "{part:?}, {terms:?}: {a} and {b}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_scorer_serves_both_parts() {
        let data = dataset(5, &leave_one_out(&[&[1, 2, 3, 4, 5], &[2, 3, 5, 1]]));
        let terms = Terms::default().knowing_validation();
        let mut shared = Transitions::new(&data, terms);
        for part in [Part::Valid, Part::Test, Part::Valid] {
            let own = scores(&mut Transitions::new(&data, terms), &data, part);
            assert_eq!(scores(&mut shared, &data, part), own);
        }
    }
}

//! The rank of one target, by counting.
//!
//! One pass over the scores counts the items above the target and keeps the best k items; nothing is
//! sorted. Items that are no candidates are overwritten with NaN beforehand, so that the pass has no
//! look-ups, and branches only once per chunk.

use std::cmp::Ordering;

use crate::config::TieRule;

/// Number of scores counted before the list of the best is updated: few enough to stay in the first-level cache.
const CHUNK: usize = 128;

/// The place of a target among its candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Number of candidates with a higher score, NaN included: a broken score never helps.
    pub above: u32,
    /// Number of other candidates with the same score.
    pub equal: u32,
    /// Number of those whose item number is smaller; 0 for a missed target.
    pub equal_before: u32,
    /// Number of items that are not masked.
    pub candidates: u32,
    /// Number of candidates whose score is NaN.
    pub nan: u32,
    /// Whether the target is masked by the history rule or has no score (NaN, or -∞); it then counts as not found.
    pub missed: bool,
}

impl Standing {
    /// Rank from 1; with [`TieRule::Mid`] it may be a half. A missed target's rank is infinite: a finite one
    /// behind the last candidate could lie within the cut-off of a small catalogue.
    pub fn rank(&self, ties: TieRule) -> f64 {
        if self.missed {
            return f64::INFINITY;
        }
        let tied = match ties {
            TieRule::Mid => f64::from(self.equal) / 2.0,
            TieRule::Optimistic => 0.0,
            TieRule::Pessimistic => f64::from(self.equal),
            TieRule::Ascending => f64::from(self.equal_before),
            TieRule::Descending => f64::from(self.equal - self.equal_before),
        };
        1.0 + f64::from(self.above) + tied
    }
}

/// The best k items of one target, ties by item number. What has no score (NaN, or -∞) is never among them.
#[derive(Clone, Debug)]
pub struct Best {
    k: usize,
    /// Up to 2k items that may be among the best. The worse half is dropped at once, which is cheaper than keeping the list
    /// sorted.
    pool: Vec<(f32, u32)>,
    /// The k-th best score when items were last dropped; absent before.
    threshold: Option<f32>,
}

impl Best {
    pub fn new(k: usize) -> Self {
        Self { k, pool: Vec::with_capacity(2 * k), threshold: None }
    }

    /// Indices of the `k` largest finite scores, largest first, ties by index.
    pub fn places(scores: &[f32], k: usize) -> Vec<u32> {
        let mut best = Self::new(k);
        best.clear();
        best.push_candidates(scores, 0);
        best.finish();
        best.items().filter(|&place| scores[place as usize].is_finite()).collect()
    }

    /// Item numbers, best first.
    pub fn items(&self) -> impl Iterator<Item = u32> + '_ {
        self.pool.iter().map(|&(_, item)| item)
    }

    fn clear(&mut self) {
        self.pool.clear();
        self.threshold = (self.k == 0).then_some(f32::INFINITY);
    }

    /// Adds the scores of items `first..` that may be among the best. Items must come in ascending number: an equal score
    /// then never displaces an earlier one.
    fn push_candidates(&mut self, scores: &[f32], first: u32) {
        for (&score, item) in scores.iter().zip(first..) {
            let is_scored = score > f32::NEG_INFINITY;
            if !is_scored || self.threshold.is_some_and(|threshold| score <= threshold) {
                continue;
            }
            self.pool.push((score, item));
            if self.pool.len() == 2 * self.k {
                let (_, last, _) = self.pool.select_nth_unstable_by(self.k - 1, best_first);
                self.threshold = Some(last.0);
                self.pool.truncate(self.k);
            }
        }
    }

    fn finish(&mut self) {
        self.pool.sort_unstable_by(best_first);
        self.pool.truncate(self.k);
    }
}

/// Larger scores first, ties (0 and -0 among them) by item number.
pub fn best_first(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
}

/// Finds the place of `target` among its candidates, and puts the best items into `best`, whose earlier content is lost.
///
/// `scores` has I + 1 entries; entry 0 is padding. `masked` are distinct items that are no candidates; their
/// scores are overwritten.
pub fn standing(scores: &mut [f32], target: u32, masked: &[u32], best: &mut Best) -> Standing {
    let t = scores[target as usize];
    for &item in masked {
        scores[item as usize] = f32::NAN;
    }
    let masked_target = !t.is_nan() && scores[target as usize].is_nan();
    best.clear();
    let mut sum = Counts::default();
    for (chunk, first) in scores[1..].chunks(CHUNK).zip((1u32..).step_by(CHUNK)) {
        let counts = Counts::new(chunk, t, best.threshold.unwrap_or(f32::NEG_INFINITY));
        if best.threshold.is_none() || counts.exceeding > 0 {
            best.push_candidates(chunk, first);
        }
        sum.add(&counts);
    }
    best.finish();
    let candidates = (scores.len() - 1 - masked.len()) as u32;
    let absent = t.is_nan() || masked_target;
    let missed = absent || t == f32::NEG_INFINITY;
    Standing {
        above: candidates - sum.not_above,
        equal: if absent { sum.equal } else { sum.equal - 1 },
        equal_before: if missed { 0 } else { equal_before(&scores[1..target as usize], t) },
        candidates,
        nan: sum.nan - masked.len() as u32,
        missed,
    }
}

/// How many of `scores` equal `t`.
#[expect(clippy::float_cmp, reason = "ties are equal scores, not close ones")]
fn equal_before(scores: &[f32], t: f32) -> u32 {
    scores.iter().map(|&s| u32::from(s == t)).sum()
}

/// Counts over one chunk of scores.
#[derive(Default)]
struct Counts {
    not_above: u32,
    equal: u32,
    nan: u32,
    exceeding: u32,
}

impl Counts {
    /// Comparisons are summed as integers, which the compiler turns into vector instructions.
    #[expect(clippy::float_cmp, reason = "ties are equal scores, not close ones")]
    fn new(chunk: &[f32], t: f32, threshold: f32) -> Self {
        let mut counts = Self::default();
        for &s in chunk {
            counts.not_above += u32::from(s <= t);
            counts.equal += u32::from(s == t);
            counts.nan += u32::from(s.is_nan());
            counts.exceeding += u32::from(s > threshold);
        }
        counts
    }

    fn add(&mut self, other: &Self) {
        self.not_above += other.not_above;
        self.equal += other.equal;
        self.nan += other.nan;
        self.exceeding += other.exceeding;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Few distinct values, so that ties are everywhere; NaN and infinities among them.
    fn score() -> impl Strategy<Value = f32> {
        prop_oneof![
            8 => (-3i8..3).prop_map(f32::from),
            1 => Just(f32::NAN),
            1 => Just(f32::NEG_INFINITY),
            1 => Just(f32::INFINITY),
        ]
    }

    /// Scores (entry 0 is padding), a target, and masked items; sometimes longer than a chunk.
    fn case() -> impl Strategy<Value = (Vec<f32>, u32, Vec<u32>)> {
        prop_oneof![4 => 2usize..40, 1 => CHUNK..3 * CHUNK].prop_flat_map(|n| {
            let scores = proptest::collection::vec(score(), n);
            let mask = proptest::collection::vec(proptest::bool::weighted(0.3), n);
            (scores, 1..n as u32, mask).prop_map(|(scores, target, mask)| {
                let masked = (1..mask.len()).filter(|&i| mask[i]).map(|i| i as u32).collect();
                (scores, target, masked)
            })
        })
    }

    proptest! {
        #[test]
        fn standing_equals_a_brute_force_count_in_f64((scores, target, masked) in case()) {
            let found = standing(&mut scores.clone(), target, &masked, &mut Best::new(3));
            let t = f64::from(scores[target as usize]);
            let (mut above, mut equal, mut equal_before, mut nan, mut candidates) = (0, 0, 0, 0, 0);
            for i in (1..scores.len()).filter(|&i| !masked.contains(&(i as u32))) {
                let s = f64::from(scores[i]);
                candidates += 1;
                nan += u32::from(s.is_nan());
                above += u32::from(s > t || s.is_nan() || t.is_nan());
                equal += u32::from(s == t && i != target as usize);
                equal_before += u32::from(s == t && i < target as usize);
            }
            let missed = t.is_nan() || t == f64::NEG_INFINITY || masked.contains(&target);
            let equal_before = if missed { 0 } else { equal_before };
            prop_assert_eq!(found, Standing { above, equal, equal_before, candidates, nan, missed });
        }

        #[test]
        fn ranks_under_all_tie_rules_bracket_each_other((mut scores, target, masked) in case()) {
            let found = standing(&mut scores, target, &masked, &mut Best::new(0));
            let rules = [TieRule::Optimistic, TieRule::Mid, TieRule::Pessimistic];
            let [low, mid, high] = rules.map(|t| found.rank(t));
            prop_assert!(low >= 1.0 && low <= mid && mid <= high);
            if found.missed {
                prop_assert!(low.is_infinite());
            } else {
                prop_assert!(high <= f64::from(found.candidates));
                prop_assert!((mid - f64::midpoint(low, high)).abs() < 1e-12);
                let [up, down] = [TieRule::Ascending, TieRule::Descending].map(|t| found.rank(t));
                prop_assert!(low <= up && up <= high && (up + down - low - high).abs() < 1e-12);
            }
        }

        #[test]
        fn the_best_items_equal_a_full_sort((mut scores, target, masked) in case(), k in 0usize..12) {
            let mut all: Vec<u32> = (1..scores.len() as u32)
                .filter(|&i| scores[i as usize] > f32::NEG_INFINITY && !masked.contains(&i))
                .collect();
            all.sort_by(|&a, &b| {
                scores[b as usize].partial_cmp(&scores[a as usize]).unwrap().then(a.cmp(&b))
            });
            all.truncate(k);
            let mut best = Best::new(k);
            standing(&mut scores, target, &masked, &mut best);
            prop_assert_eq!(best.items().collect::<Vec<u32>>(), all);
        }
    }

    #[test]
    fn a_target_without_a_score_is_missed_however_few_items_have_one() {
        let none = f32::NEG_INFINITY;
        let mut best = Best::new(3);
        let found = standing(&mut [0.0, none, 1.0, none], 3, &[], &mut best);
        assert!(found.missed && found.rank(TieRule::Optimistic).is_infinite());
        assert_eq!(best.items().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn the_place_in_a_list_goes_by_item_number_among_equals() {
        let ranks = |target| {
            let found = standing(&mut [0.0, 1.0, 2.0, 1.0, 1.0], target, &[], &mut Best::new(4));
            [TieRule::Ascending, TieRule::Descending].map(|ties| found.rank(ties))
        };
        assert_eq!([1, 3, 4].map(ranks), [[2.0, 4.0], [3.0, 3.0], [4.0, 2.0]]);
    }

    #[test]
    fn a_broken_target_score_never_ranks_first() {
        let mut scores = vec![0.0, f32::NAN, 1.0];
        let found = standing(&mut scores, 1, &[], &mut Best::new(1));
        assert!(found.missed);
        assert!(found.rank(TieRule::Optimistic).is_infinite());
    }
}

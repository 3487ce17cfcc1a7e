//! The rank of one target, by counting.

use crate::config::TieRule;

/// Where a target stands among its candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Candidates with a higher score, NaN included: a broken score never helps.
    pub above: u32,
    /// Other candidates with the same score.
    pub equal: u32,
    /// Candidates, the target included.
    pub candidates: u32,
    /// The target was masked by the history rule, or its score is NaN: it counts as not found.
    pub missed: bool,
}

impl Standing {
    /// Rank from 1; with [`TieRule::Mid`] it may be a half. A missed target stands behind all candidates.
    pub fn rank(&self, ties: TieRule) -> f64 {
        if self.missed {
            return f64::from(self.candidates) + 1.0;
        }
        let before = match ties {
            TieRule::Mid => f64::from(self.equal) / 2.0,
            TieRule::Optimistic => 0.0,
            TieRule::Pessimistic => f64::from(self.equal),
        };
        1.0 + f64::from(self.above) + before
    }
}

/// Counts where `target` stands. `masked` are distinct items that are no candidates.
///
/// `scores` has I + 1 entries; entry 0 is padding.
pub fn standing(scores: &[f32], target: u32, masked: &[u32]) -> Standing {
    let t = scores[target as usize];
    let catalogue = &scores[1..];
    // Counting all and taking the masked back keeps the pass over the catalogue free of branches.
    let (mut above, mut equal) = (0u32, 0u32);
    for &s in catalogue {
        above += u32::from(!(s <= t));
        equal += u32::from(s == t);
    }
    for &item in masked {
        let s = scores[item as usize];
        above -= u32::from(!(s <= t));
        equal -= u32::from(s == t);
    }
    let missed = t.is_nan() || masked.contains(&target);
    let candidates = catalogue.len() as u32 - masked.len() as u32;
    let others = if missed { equal } else { equal.saturating_sub(1) };
    Standing { above, equal: others, candidates, missed }
}

/// The best `k` candidates, best first, ties by item number. NaN is never among them.
pub fn top_k(scores: &[f32], masked: &[u32], k: usize) -> Vec<u32> {
    let better = |a: (f32, u32), b: (f32, u32)| a.0 > b.0 || (a.0 == b.0 && a.1 < b.1);
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(k + 1);
    let mut bar = f32::NEG_INFINITY;
    for (item, &score) in scores.iter().enumerate().skip(1) {
        let full = best.len() == k;
        // Items come in ascending number, so that an equal score never displaces an earlier one.
        if score.is_nan() || (full && score <= bar) || k == 0 || masked.contains(&(item as u32)) {
            continue;
        }
        let entry = (score, item as u32);
        let place = best.partition_point(|&b| better(b, entry));
        best.insert(place, entry);
        best.truncate(k);
        if best.len() == k {
            bar = best[k - 1].0;
        }
    }
    best.into_iter().map(|(_, item)| item).collect()
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

    proptest! {
        #[test]
        fn standing_equals_a_brute_force_count_in_f64(
            scores in proptest::collection::vec(score(), 2..40),
            target in 1usize..40,
            mask in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let target = 1 + (target - 1) % (scores.len() - 1);
            let masked: Vec<u32> = (1..scores.len()).filter(|&i| mask[i]).map(|i| i as u32).collect();
            let found = standing(&scores, target as u32, &masked);
            let t = f64::from(scores[target]);
            let (mut above, mut equal, mut candidates) = (0, 0, 0);
            for i in (1..scores.len()).filter(|&i| !mask[i]) {
                candidates += 1;
                let s = f64::from(scores[i]);
                if s > t || s.is_nan() || t.is_nan() { above += 1 } else if s == t && i != target { equal += 1 }
            }
            prop_assert_eq!(found.candidates, candidates);
            prop_assert_eq!(found.missed, t.is_nan() || mask[target]);
            prop_assert_eq!((found.above, found.equal), (above, equal));
        }

        #[test]
        fn ranks_under_all_tie_rules_bracket_each_other(
            scores in proptest::collection::vec(score(), 2..30), target in 1usize..30,
        ) {
            let target = 1 + (target - 1) % (scores.len() - 1);
            let found = standing(&scores, target as u32, &[]);
            let [low, mid, high] = [TieRule::Optimistic, TieRule::Mid, TieRule::Pessimistic].map(|t| found.rank(t));
            prop_assert!(low >= 1.0 && low <= mid && mid <= high);
            if !found.missed {
                prop_assert!((mid - f64::midpoint(low, high)).abs() < 1e-12);
            }
        }

        #[test]
        fn top_k_equals_a_full_sort(
            scores in proptest::collection::vec(score(), 2..40),
            k in 0usize..12,
            mask in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let masked: Vec<u32> = (1..scores.len()).filter(|&i| mask[i]).map(|i| i as u32).collect();
            let mut all: Vec<u32> = (1..scores.len() as u32)
                .filter(|&i| !scores[i as usize].is_nan() && !mask[i as usize])
                .collect();
            all.sort_by(|&a, &b| scores[b as usize].partial_cmp(&scores[a as usize]).unwrap().then(a.cmp(&b)));
            all.truncate(k);
            prop_assert_eq!(top_k(&scores, &masked, k), all);
        }
    }
}

//! Histories of similar length, encoded together.
//!
//! Most histories are short and a few are long: padded to the longest, a batch is mostly padding. Instead a few
//! groups are padded each to its own longest (docs/odmt.md, section 7, saving 5).

use super::input::group_sizes;

/// Histories that are padded to one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowGroup {
    /// Numbers of the histories in their batch.
    pub windows: Vec<u32>,
    /// Inputs of the longest of them, at least 1.
    pub positions: usize,
}

/// Another group costs calls: one more must spare this share of the positions of the best grouping.
pub const WORTH: f64 = 0.1;
/// The same where encoders pass padding over, and only copy it.
pub const WORTH_OF_COPIES: f64 = 1.0;

/// The fewest of at most `max_groups` groups whose padded positions are more than the fewest by no more than the share
/// `worth`.
///
/// `lengths` are the histories' inputs; empty ones take a padded position.
pub fn group_windows(lengths: &[usize], max_groups: usize, worth: f64) -> Vec<WindowGroup> {
    let mut order: Vec<u32> = (0..lengths.len() as u32).collect();
    order.sort_by_key(|&w| lengths[w as usize]);
    let keys: Vec<Vec<usize>> = order.iter().map(|&w| vec![lengths[w as usize].max(1)]).collect();
    let grouped = |groups: usize| -> Vec<WindowGroup> {
        let mut rest = order.as_slice();
        let sizes = group_sizes(&keys, groups).into_iter().map(|size| {
            let (windows, others) = rest.split_at(size);
            rest = others;
            let longest = windows.last().map_or(1, |&w| lengths[w as usize].max(1));
            // Within a group the order of the batch.
            let mut windows = windows.to_vec();
            windows.sort_unstable();
            WindowGroup { windows, positions: longest }
        });
        sizes.collect()
    };
    let cost = |groups: &[WindowGroup]| groups.iter().map(|g| g.windows.len() * g.positions).sum::<usize>();
    let best = grouped(max_groups.max(1));
    let limit = cost(&best) as f64 * (1.0 + worth);
    (1..best.len()).map(grouped).find(|groups| cost(groups) as f64 <= limit).unwrap_or(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_history_does_not_pad_the_short_ones() {
        let groups = group_windows(&[3, 50, 2, 3, 0, 48], 4, WORTH);
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].windows.as_slice(), groups[0].positions), (&[0, 2, 3, 4][..], 3));
        assert_eq!((groups[1].windows.as_slice(), groups[1].positions), (&[1, 5][..], 50));
        assert_eq!(group_windows(&[10, 10, 9, 10], 4, WORTH).len(), 1, "not worth a second group");
        assert_eq!(group_windows(&[1, 50], 1, WORTH).len(), 1);
        assert!(group_windows(&[], 4, WORTH).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn every_history_is_in_one_group_that_holds_it(
            lengths in proptest::collection::vec(0usize..60, 0..80),
            most in 1usize..6,
        ) {
            let groups = group_windows(&lengths, most, WORTH);
            let mut seen = vec![0; lengths.len()];
            for group in &groups {
                for &w in &group.windows {
                    seen[w as usize] += 1;
                    proptest::prop_assert!(lengths[w as usize] <= group.positions);
                }
            }
            proptest::prop_assert!(seen.iter().all(|&n| n == 1));
            proptest::prop_assert!(groups.len() <= most);
        }
    }
}

//! What counts for the ensemble beside inner products: additions to the scores of some items of each user.
//!
//! An item without one is among the best k only if it is among the best k + n by inner products alone, where n items fall. The
//! ranking by inner products is therefore corrected by looking at these and at the items with an addition, and nothing else.

use super::kernel::Kernel;
use super::{Catalogue, Found, Query, View};
use crate::eval::rank::best_first;

impl Catalogue {
    /// Corrects the ensemble's ranking by inner products, in which the target alone had its addition.
    #[inline(always)]
    pub(super) fn add(&self, kernel: impl Kernel, user: &[f64], query: &Query, k: usize, found: &mut Found) {
        let view = View::Ensemble;
        let target = self.score(kernel, view, user, query.target) + query.addition(view, query.target);
        let mut pool: Vec<(f32, u32)> = Vec::with_capacity(k + query.added.len());
        let plain =
            found.best.iter().filter(|item| query.added.binary_search_by_key(*item, |a| a.0).is_err());
        pool.extend(plain.map(|&item| (self.score(kernel, view, user, item), item)));
        let mut masked = query.masked.iter().copied().peekable();
        let standing = &mut found.standing;
        for &(item, addition) in query.added {
            while masked.next_if(|&m| m < item).is_some() {}
            if masked.peek() == Some(&item) {
                continue;
            }
            let before = self.score(kernel, view, user, item);
            let after = before + addition;
            pool.push((after, item));
            if item == query.target {
                continue;
            }
            let is_first = !standing.missed && item < query.target;
            standing.above = standing.above + u32::from(after > target) - u32::from(before > target);
            if before == target {
                standing.equal -= 1;
                standing.equal_before -= u32::from(is_first);
            }
            if after == target {
                standing.equal += 1;
                standing.equal_before += u32::from(is_first);
            }
        }
        if pool.len() > k && k > 0 {
            pool.select_nth_unstable_by(k - 1, best_first);
        }
        pool.truncate(k);
        pool.sort_unstable_by(best_first);
        found.best = pool.into_iter().map(|(_, item)| item).collect();
    }
}

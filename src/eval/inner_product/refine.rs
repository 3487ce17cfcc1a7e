//! The ranking of a tile: all passes, then exact scores of what their bounds left undecided.

use super::kernel::{GROUP, Kernel};
use super::pass::Pass;
use super::quantized::BLOCK;
use super::shortlist::Entry;
use super::tile::{Search, Tile};
use super::{Found, View, widen};
use crate::eval::rank::{Standing, best_first};

impl<K: Kernel> Tile<'_, K> {
    /// Ranks every query under each view: `[N][views]`.
    #[inline(always)]
    pub fn rank(mut self) -> Vec<Vec<Found>> {
        let mut pass = Pass::new(self.catalogue.branches.len(), self.views);
        for block in 0..self.catalogue.items.div_ceil(BLOCK) {
            for first in (0..self.users.len()).step_by(GROUP) {
                let users = first..self.users.len().min(first + GROUP);
                pass.filter(&mut self, users, block);
            }
        }
        self.refine()
    }

    /// Scores exactly what the bounds left undecided.
    #[inline(always)]
    fn refine(mut self) -> Vec<Vec<Found>> {
        let mut searches = std::mem::take(&mut self.searches);
        let mut all = Vec::with_capacity(self.users.len());
        let mut user = Vec::new();
        for n in 0..self.users.len() {
            widen(self.users[n].as_slice(), &mut user);
            let mut found = Vec::with_capacity(self.views.len());
            for v in 0..self.views.len() {
                let place = n * self.views.len() + v;
                if let Some(next) = searches.get(place + 1) {
                    for &item in &next.undecided {
                        self.catalogue.prefetch(self.views[(v + 1) % self.views.len()], item);
                    }
                }
                let search = &mut searches[place];
                let standing = self.standing(n, &user, self.views[v], search);
                found.push(Found {
                    standing,
                    best: self.best(&user, self.views[v], search.shortlist.finish()),
                });
            }
            all.push(found);
        }
        all
    }

    #[inline(always)]
    fn standing(&self, n: usize, user: &[f64], view: View, search: &Search) -> Standing {
        let (catalogue, query) = (self.catalogue, &self.queries[n]);
        let (mut above, mut equal, mut equal_before) = (search.higher, 0, 0);
        // The target itself is among the undecided, unless it is masked or has an addition.
        for &item in search.undecided.iter().filter(|&&item| item != query.target) {
            let score = catalogue.score(self.kernel, view, user, item);
            above += u32::from(score > search.target);
            equal += u32::from(score == search.target);
            equal_before += u32::from(score == search.target && item < query.target);
        }
        let missed = query.masked.binary_search(&query.target).is_ok();
        Standing {
            above,
            // With a user vector that isn't finite nothing is equal; such a user is ranked by all scores afterwards.
            equal,
            equal_before: if missed { 0 } else { equal_before },
            candidates: (catalogue.items - query.masked.len()) as u32,
            nan: 0,
            missed,
        }
    }

    /// The best k of `entries`, which are in order of their upper bounds, best first. Exact scores are computed only for
    /// entries whose bounds overlap.
    #[inline(always)]
    fn best(&self, user: &[f64], view: View, mut entries: &[Entry]) -> Vec<u32> {
        let mut best = Vec::with_capacity(entries.len());
        while let [first, rest @ ..] = entries
            && best.len() < self.k
        {
            let (mut lower, mut count) = (first.lower, 1);
            for next in rest {
                if next.upper < lower {
                    break;
                }
                lower = lower.min(next.lower);
                count += 1;
            }
            let (tied, rest) = entries.split_at(count);
            if count == 1 {
                best.push(first.item);
            } else {
                let score =
                    |entry: &Entry| (self.catalogue.score(self.kernel, view, user, entry.item), entry.item);
                let mut scored: Vec<(f32, u32)> = tied.iter().map(score).collect();
                scored.sort_unstable_by(best_first);
                best.extend(scored.into_iter().map(|(_, item)| item));
            }
            entries = rest;
        }
        best.truncate(self.k);
        best
    }
}

//! Some users against the whole catalogue.

use super::kernel::{GROUP, Kernel};
use super::pass::Pass;
use super::quantized::{self, BLOCK, Unit};
use super::shortlist::{Entry, Shortlist};
use super::{Catalogue, Found, Query, View, widen};
use crate::eval::rank::{Standing, best_first};

/// What is known of one query under one view.
pub(super) struct Search {
    /// The target's exact score.
    pub target: f32,
    /// Candidates that surely score more.
    pub above: u32,
    /// Candidates that may score more, the same, or less.
    pub open: Vec<u32>,
    pub shortlist: Shortlist,
}

pub(super) struct Tile<'a, K> {
    pub kernel: K,
    pub catalogue: &'a Catalogue,
    pub views: &'a [View],
    /// `[N][branches]`, rows of D.
    users: &'a [Vec<&'a [f32]>],
    pub queries: &'a [Query<'a>],
    pub k: usize,
    /// `[branches][N]`
    pub units: Vec<Vec<Unit>>,
    /// `[branches]`, each `[N, P]`, N rounded up to whole groups.
    pub pairs: Vec<Vec<i32>>,
    /// `[N, views]`
    pub searches: Vec<Search>,
    /// Masked items that lie in blocks that have passed, by query.
    pub passed: Vec<usize>,
}

impl<'a, K: Kernel> Tile<'a, K> {
    #[inline(always)]
    pub fn new(
        kernel: K,
        catalogue: &'a Catalogue,
        views: &'a [View],
        users: &'a [Vec<&'a [f32]>],
        queries: &'a [Query<'a>],
        k: usize,
    ) -> Self {
        let p = quantized::pairs(catalogue.d);
        let branches = catalogue.branches.len();
        let mut units = vec![Vec::with_capacity(users.len()); branches];
        let mut pairs = vec![vec![0; users.len().next_multiple_of(GROUP) * p]; branches];
        let mut searches = Vec::with_capacity(users.len() * views.len());
        let mut wide = Vec::new();
        for (n, (user, query)) in users.iter().zip(queries).enumerate() {
            widen(user, &mut wide);
            for b in 0..branches {
                units[b].push(quantized::quantize(user[b], &mut pairs[b][n * p..(n + 1) * p]));
            }
            for &view in views {
                let target = catalogue.score(kernel, view, &wide, query.target);
                searches.push(Search {
                    target,
                    above: 0,
                    open: Vec::with_capacity(32),
                    shortlist: Shortlist::new(k),
                });
            }
        }
        let passed = vec![0; users.len()];
        Self { kernel, catalogue, views, users, queries, k, units, pairs, searches, passed }
    }

    /// `[N][views]`
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

    /// Scores exactly what is left open.
    #[inline(always)]
    fn refine(mut self) -> Vec<Vec<Found>> {
        let mut searches = std::mem::take(&mut self.searches);
        let mut all = Vec::with_capacity(self.users.len());
        let mut user = Vec::new();
        for n in 0..self.users.len() {
            widen(self.users[n].as_slice(), &mut user);
            let mut found = Vec::with_capacity(self.views.len());
            for v in 0..self.views.len() {
                let at = n * self.views.len() + v;
                if let Some(next) = searches.get(at + 1) {
                    for &item in &next.open {
                        self.catalogue.prefetch(self.views[(v + 1) % self.views.len()], item);
                    }
                }
                let search = &mut searches[at];
                let standing = self.standing(n, &user, self.views[v], search);
                found.push(Found {
                    standing,
                    best: self.best(&user, self.views[v], search.shortlist.ordered()),
                });
            }
            all.push(found);
        }
        all
    }

    #[inline(always)]
    fn standing(&self, n: usize, user: &[f64], view: View, search: &Search) -> Standing {
        let (catalogue, query) = (self.catalogue, &self.queries[n]);
        let (mut above, mut equal) = (search.above, 0);
        for &item in &search.open {
            let score = catalogue.score(self.kernel, view, user, item);
            above += u32::from(score > search.target);
            equal += u32::from(score == search.target);
        }
        let missed = query.masked.binary_search(&query.target).is_ok();
        Standing {
            above,
            // The target itself is among the open ones, unless it is masked. A user who is not finite equals nothing; all
            // scores rank that one afterwards.
            equal: equal.wrapping_sub(u32::from(!missed)),
            candidates: (catalogue.items - query.masked.len()) as u32,
            nan: 0,
            missed,
        }
    }

    /// The best k of entries in order of their upper bounds, best first: exact scores are taken only of those whose
    /// bounds overlap.
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
            let (tied, after) = entries.split_at(count);
            if count == 1 {
                best.push(first.item);
            } else {
                let score =
                    |entry: &Entry| (self.catalogue.score(self.kernel, view, user, entry.item), entry.item);
                let mut scored: Vec<(f32, u32)> = tied.iter().map(score).collect();
                scored.sort_unstable_by(best_first);
                best.extend(scored.into_iter().map(|(_, item)| item));
            }
            entries = after;
        }
        best.truncate(self.k);
        best
    }
}

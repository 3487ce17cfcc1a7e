//! Ranks where scores are inner products, without storing the scores.
//!
//! *Filter*: users and items are rounded to 16-bit integers, whose products the CPU adds 32 at a time. A bound on the
//! rounding error decides, for almost every item, whether it ranks above the target and whether it may be among the best.
//! *Refine*: the few undecided items are scored exactly. So ranks and lists are those of the exact scores, and
//! independent of the machine. Memory is the catalogue's, whatever the number of users. `recommend::ModelScorer` ranks with
//! it.
//!
//! The exact score is the inner product summed in f64 and rounded to f32; the ensemble's is the mean of the branches' in
//! f32.
//!
//! Reading order: [`quantized`] (rounded vectors and the bound), [`kernel`] (their products, and what needs vector
//! instructions), [`shortlist`] (the best so far), `added` (what is no inner product), `tile` (some users and their state), `pass` (a few of them against a block of
//! the catalogue), `refine` (all passes, and exact scores of what they left undecided).
//!
//! Shapes: `I` items, `N` users, `D` width.

mod added;
pub mod kernel;
mod pass;
pub mod quantized;
mod refine;
pub mod shortlist;
#[cfg(test)]
mod tests;
mod tile;

use std::ops::Range;

use rayon::prelude::*;

use super::rank::{Best, Standing, best_first, standing};
#[cfg(target_arch = "x86_64")]
use crate::ops::kernels_are_on;
use kernel::{Kernel, Plain};
use quantized::{MAX_WIDTH, Quantized};
use tile::Tile;

/// Most users of a tile, whose state one thread keeps while it reads the catalogue.
const USERS: usize = kernel::GROUP * 8;

/// Number of users of each tile: at most [`USERS`], in whole groups, and so that all threads get the same number of tiles.
fn tile_size(users: usize, threads: usize) -> usize {
    let tiles = users.div_ceil(USERS).max(1).next_multiple_of(threads);
    users.div_ceil(tiles).max(1).next_multiple_of(kernel::GROUP)
}

/// The branches that a score is the mean of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The mean over all branches.
    Ensemble,
    Branch(usize),
}

impl View {
    /// The ensemble, then each branch; the branch alone if there is one.
    pub fn all(branches: usize) -> Vec<Self> {
        let mut views: Vec<Self> = (0..branches).map(Self::Branch).collect();
        if branches > 1 {
            views.insert(0, Self::Ensemble);
        }
        views
    }

    /// The ensemble, then each branch: of branches beside which something else adds to the ensemble.
    pub fn ensemble_and(branches: usize) -> Vec<Self> {
        std::iter::once(Self::Ensemble).chain((0..branches).map(Self::Branch)).collect()
    }

    /// The branches of the view, of `count` in all.
    #[inline(always)]
    fn branches(self, count: usize) -> Range<usize> {
        match self {
            Self::Ensemble => 0..count,
            Self::Branch(b) => b..b + 1,
        }
    }
}

/// One user's target, masked items, and what else counts for the ensemble.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The item whose rank is wanted.
    pub target: u32,
    /// Distinct items that are no candidates, ascending.
    pub masked: &'a [u32],
    /// What is added to the ensemble's scores of some items, ascending by item; finite.
    pub added: &'a [(u32, f32)],
}

impl Query<'_> {
    /// What is added to the score of `item` under `view`.
    pub fn addition(&self, view: View, item: u32) -> f32 {
        let found = self.added.binary_search_by_key(&item, |added| added.0).ok();
        found.filter(|_| view == View::Ensemble).map_or(0.0, |place| self.added[place].1)
    }
}

/// The result of a query under one view.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub standing: Standing,
    /// The best items, best first, ties by item number.
    pub best: Vec<u32>,
}

impl Found {
    /// Ranks by the scores of all items, `[I + 1]`. They and the content of `best` are lost.
    pub fn from_scores(scores: &mut [f32], query: &Query, best: &mut Best) -> Self {
        let standing = standing(scores, query.target, query.masked, best);
        Self { standing, best: best.items().collect() }
    }

    /// Ranks by the scores of a few items, which ascend: all others of the `items` have none.
    pub fn from_scored(scored: &[(u32, f32)], query: &Query, items: usize, k: usize) -> Self {
        let is_masked = |item: u32| query.masked.binary_search(&item).is_ok();
        let mut best: Vec<(f32, u32)> =
            scored.iter().filter(|s| !is_masked(s.0)).map(|&(item, score)| (score, item)).collect();
        let own = best.iter().find(|(_, item)| *item == query.target).map(|(score, _)| *score);
        let above = best.iter().filter(|(score, _)| own.is_none_or(|own| *score > own)).count() as u32;
        let tied = best.iter().filter(|(score, item)| Some(*score) == own && *item != query.target);
        let (equal, equal_before) =
            tied.fold((0, 0), |(all, before), (_, item)| (all + 1, before + u32::from(*item < query.target)));
        best.sort_unstable_by(best_first);
        best.truncate(k);
        let standing = Standing {
            above,
            equal,
            equal_before,
            candidates: (items - query.masked.len()) as u32,
            nan: 0,
            missed: own.is_none(),
        };
        Self { standing, best: best.into_iter().map(|(_, item)| item).collect() }
    }
}

/// Item vectors, exact and rounded.
#[derive(Debug)]
pub struct Catalogue {
    d: usize,
    items: usize,
    branches: Vec<Branch>,
}

#[derive(Debug)]
struct Branch {
    /// `[I + 1, D]`; row 0 is padding.
    exact: Vec<f32>,
    quantized: Quantized,
    /// Length of the longest vector.
    norm: f64,
}

impl Catalogue {
    /// I, the number of candidates.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Rounds the vectors; absent where one isn't finite, so that scores must be stored and ranked.
    ///
    /// # Shapes
    /// - branches: `[I + 1, D]` each
    pub fn new(branches: Vec<Vec<f32>>, d: usize) -> Option<Self> {
        let items = (branches.first()?.len() / d.max(1)).checked_sub(1)?;
        let finite = || branches.iter().all(|rows| rows.par_iter().all(|x| x.is_finite()));
        (d <= MAX_WIDTH && finite()).then(|| Self::from_finite(branches, d, items))
    }

    fn from_finite(branches: Vec<Vec<f32>>, d: usize, items: usize) -> Self {
        let branches = branches.into_iter().map(|exact| {
            let quantized = Quantized::new(&exact[d..], d);
            let norm = quantized.units.iter().fold(0.0f64, |most, unit| most.max(unit.norm));
            Branch { exact, quantized, norm }
        });
        Self { d, items, branches: branches.collect() }
    }

    /// Exact score of an item for a user.
    #[inline(always)]
    fn score(&self, kernel: impl Kernel, view: View, user: &[f64], item: u32) -> f32 {
        let branch_score = |b: usize| kernel.dot(&user[b * self.d..(b + 1) * self.d], self.row(b, item));
        match view {
            View::Branch(b) => branch_score(b),
            View::Ensemble => {
                let mut sum = branch_score(0);
                for b in 1..self.branches.len() {
                    sum += branch_score(b);
                }
                sum / self.branches.len() as f32
            }
        }
    }

    #[inline(always)]
    fn row(&self, branch: usize, item: u32) -> &[f32] {
        let start = item as usize * self.d;
        &self.branches[branch].exact[start..start + self.d]
    }

    /// Fetches the vectors into the cache that [`Self::score`] will read.
    #[inline(always)]
    fn prefetch(&self, view: View, item: u32) {
        match view {
            View::Branch(b) => kernel::prefetch(self.row(b, item)),
            View::Ensemble => (0..self.branches.len()).for_each(|b| kernel::prefetch(self.row(b, item))),
        }
    }

    /// Ranks each query under each view: `[N][views]`.
    ///
    /// # Shapes
    /// - users: `[N, D]` per branch
    ///
    /// # Panics
    /// There are not as many users as queries.
    pub fn rank(&self, views: &[View], users: &[Vec<f32>], queries: &[Query], k: usize) -> Vec<Vec<Found>> {
        #[cfg(target_arch = "x86_64")]
        if kernels_are_on() {
            if let Some(kernel) = kernel::Wide::detect() {
                return self.rank_with(kernel, views, users, queries, k);
            }
            if let Some(kernel) = kernel::Avx2::detect() {
                return self.rank_with(kernel, views, users, queries, k);
            }
        }
        self.rank_with(Plain, views, users, queries, k)
    }

    /// The exact score by which [`Self::rank`] ranks `item` for a user, whose vectors are given by branch, `[D]` each.
    pub fn exact_score(&self, view: View, user: &[&[f32]], item: u32) -> f32 {
        let mut wide = Vec::new();
        widen(user, &mut wide);
        self.score(Plain, view, &wide, item)
    }

    fn rank_with(
        &self,
        kernel: impl Kernel,
        views: &[View],
        users: &[Vec<f32>],
        queries: &[Query],
        k: usize,
    ) -> Vec<Vec<Found>> {
        let k = k.min(self.items);
        // Items that fall make room for others in the lists.
        let falling = |query: &Query| query.added.iter().filter(|added| added.1 < 0.0).count();
        let wide_k = (k + queries.iter().map(falling).max().unwrap_or(0)).min(self.items);
        let wide_k = if k == 0 { 0 } else { wide_k };
        assert!(users.len() == self.branches.len(), "vectors of each branch");
        assert!(users.iter().all(|users| users.len() == queries.len() * self.d), "a vector for each query");
        let size = tile_size(queries.len(), rayon::current_num_threads());
        let tiles = queries.par_chunks(size).enumerate().map(|(tile, queries)| {
            let first = tile * size;
            let user = |n: usize| users.iter().map(|u| &u[n * self.d..(n + 1) * self.d]).collect();
            let users: Vec<Vec<&[f32]>> = (first..first + queries.len()).map(user).collect();
            let mut found = kernel.run(
                #[inline(always)]
                || Tile::new(kernel, self, views, &users, queries, wide_k).rank(),
            );
            let mut wide = Vec::new();
            for ((found, user), query) in found.iter_mut().zip(&users).zip(queries) {
                if !self.fits(user) {
                    *found = views.iter().map(|&view| self.rank_all(kernel, view, user, query, k)).collect();
                    continue;
                }
                for (found, view) in found.iter_mut().zip(views) {
                    if *view == View::Ensemble && !query.added.is_empty() {
                        widen(user, &mut wide);
                        kernel.run(
                            #[inline(always)]
                            || self.add(kernel, &wide, query, k, found),
                        );
                    }
                    found.best.truncate(k);
                }
            }
            found
        });
        tiles.flatten_iter().collect()
    }

    /// Whether the bound holds for a user: everything is finite, and so is every score.
    fn fits(&self, user: &[&[f32]]) -> bool {
        let most = user.iter().zip(&self.branches).map(|(row, branch)| quantized::norm(row) * branch.norm);
        most.sum::<f64>() < f64::from(f32::MAX) / 2.0
    }

    /// Ranks by scores of every item, for vectors outside of the bound.
    fn rank_all(&self, kernel: impl Kernel, view: View, user: &[&[f32]], query: &Query, k: usize) -> Found {
        let mut wide = Vec::new();
        widen(user, &mut wide);
        let mut scores = vec![0.0; self.items + 1];
        for (score, item) in scores.iter_mut().zip(0u32..).skip(1) {
            *score = self.score(kernel, view, &wide, item) + query.addition(view, item);
        }
        Found::from_scores(&mut scores, query, &mut Best::new(k.min(self.items)))
    }
}

/// Concatenates a user's vectors of all branches in f64, as [`Catalogue::score`] needs them.
#[inline(always)]
fn widen(user: &[&[f32]], wide: &mut Vec<f64>) {
    wide.clear();
    for row in user {
        wide.extend(row.iter().map(|&x| f64::from(x)));
    }
}

//! Ranks where scores are inner products, without writing the scores down.
//!
//! *Filter*: users and items are rounded to 16-bit integers, whose products the CPU adds up 32 at a time. A bound on what
//! rounding took tells, for almost every item, whether it stands before the target and whether it may be among the best.
//! *Refine*: the few that the bound leaves open are scored exactly. So ranks and lists are those of the exact scores,
//! and independent of the machine. Memory is the catalogue's, whatever the number of users.
//!
//! The exact score is the inner product summed in f64 and rounded to f32; the ensemble's is the mean of the branches' in
//! f32.
//!
//! Reading order: [`quantized`] (rounded vectors and the bound), [`kernel`] (their products, and what needs vector
//! instructions), [`shortlist`] (the best so far), `tile` (some users against the catalogue), `pass` (a few of them against
//! a block of it).
//!
//! Shapes: `I` items, `N` users, `D` width.

pub mod kernel;
mod pass;
pub mod quantized;
pub mod shortlist;
#[cfg(test)]
mod tests;
mod tile;

use std::ops::Range;

use rayon::prelude::*;

use super::rank::{Best, Standing, standing};
#[cfg(target_arch = "x86_64")]
use crate::ops::kernels_are_on;
use kernel::{Kernel, Plain};
use quantized::{MAX_WIDTH, Quantized};
use tile::Tile;

/// Users whose state one thread keeps while the catalogue passes by.
const USERS: usize = kernel::GROUP * 8;

/// Users of each tile: at most [`USERS`], in whole groups, and so that each thread gets as many tiles as the next.
fn share(users: usize, threads: usize) -> usize {
    let tiles = users.div_ceil(USERS).max(1).next_multiple_of(threads);
    users.div_ceil(tiles).max(1).next_multiple_of(kernel::GROUP)
}

/// What a score is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The mean over all branches.
    Ensemble,
    Branch(usize),
}

impl View {
    /// The ensemble, then each branch; of one branch alone, that.
    pub fn all(branches: usize) -> Vec<Self> {
        let mut views: Vec<Self> = (0..branches).map(Self::Branch).collect();
        if branches > 1 {
            views.insert(0, Self::Ensemble);
        }
        views
    }

    /// The branches whose mean it is, of so many.
    #[inline(always)]
    fn branches(self, count: usize) -> Range<usize> {
        match self {
            Self::Ensemble => 0..count,
            Self::Branch(b) => b..b + 1,
        }
    }
}

/// Whom to rank for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Whose standing is asked for.
    pub target: u32,
    /// Distinct items that are no candidates, ascending.
    pub masked: &'a [u32],
}

/// What was found for a query under one view.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub standing: Standing,
    /// The best items, best first, ties by item number.
    pub best: Vec<u32>,
}

impl Found {
    /// Of the scores of all items, `[I + 1]`; they and what `best` holds are lost.
    pub fn of_scores(scores: &mut [f32], query: &Query, best: &mut Best) -> Self {
        let standing = standing(scores, query.target, query.masked, best);
        Self { standing, best: best.items().collect() }
    }
}

/// Item vectors as they are and rounded.
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
    /// Absent where a vector is not finite: scores are then written down and ranked as they are.
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
        let of = |b: usize| kernel.dot(&user[b * self.d..(b + 1) * self.d], self.row(b, item));
        match view {
            View::Branch(b) => of(b),
            View::Ensemble => {
                let mut sum = of(0);
                for b in 1..self.branches.len() {
                    sum += of(b);
                }
                sum / self.branches.len() as f32
            }
        }
    }

    #[inline(always)]
    fn row(&self, branch: usize, item: u32) -> &[f32] {
        let at = item as usize * self.d;
        &self.branches[branch].exact[at..at + self.d]
    }

    /// Fetches into the cache what [`Self::score`] will read.
    #[inline(always)]
    fn prefetch(&self, view: View, item: u32) {
        match view {
            View::Branch(b) => kernel::prefetch(self.row(b, item)),
            View::Ensemble => (0..self.branches.len()).for_each(|b| kernel::prefetch(self.row(b, item))),
        }
    }

    /// What is found for each query under each view: `[N][views]`.
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

    fn rank_with(
        &self,
        kernel: impl Kernel,
        views: &[View],
        users: &[Vec<f32>],
        queries: &[Query],
        k: usize,
    ) -> Vec<Vec<Found>> {
        let k = k.min(self.items);
        assert!(users.len() == self.branches.len(), "vectors of each branch");
        assert!(users.iter().all(|users| users.len() == queries.len() * self.d), "a vector for each query");
        let share = share(queries.len(), rayon::current_num_threads());
        let tiles = queries.par_chunks(share).enumerate().map(|(tile, queries)| {
            let first = tile * share;
            let user = |n: usize| users.iter().map(|u| &u[n * self.d..(n + 1) * self.d]).collect();
            let users: Vec<Vec<&[f32]>> = (first..first + queries.len()).map(user).collect();
            let mut found = kernel.with_instructions(
                #[inline(always)]
                || Tile::new(kernel, self, views, &users, queries, k).rank(),
            );
            for ((found, user), query) in found.iter_mut().zip(&users).zip(queries) {
                if !self.fits(user) {
                    *found = views.iter().map(|&view| self.rank_all(kernel, view, user, query, k)).collect();
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

    /// By scoring every item: what broken vectors get.
    fn rank_all(&self, kernel: impl Kernel, view: View, user: &[&[f32]], query: &Query, k: usize) -> Found {
        let mut wide = Vec::new();
        widen(user, &mut wide);
        let mut scores = vec![0.0; self.items + 1];
        for (score, item) in scores.iter_mut().zip(0u32..).skip(1) {
            *score = self.score(kernel, view, &wide, item);
        }
        Found::of_scores(&mut scores, query, &mut Best::new(k.min(self.items)))
    }
}

/// The vectors of a user in each branch, one after the other, as [`Catalogue::score`] takes them.
#[inline(always)]
fn widen(user: &[&[f32]], wide: &mut Vec<f64>) {
    wide.clear();
    for row in user {
        wide.extend(row.iter().map(|&x| f64::from(x)));
    }
}

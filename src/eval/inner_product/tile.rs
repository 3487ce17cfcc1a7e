//! Some users and the state of their rankings while the catalogue is read block by block.
//!
//! [`super::pass`] updates it, [`super::refine`] finishes it.

use super::kernel::{GROUP, Kernel};
use super::quantized::{self, Unit};
use super::shortlist::Shortlist;
use super::{Catalogue, Query, View, widen};

/// The state of one query under one view.
pub(super) struct Search {
    /// The target's exact score, its addition included.
    pub target: f32,
    /// Number of candidates that certainly score more than the target.
    pub higher: u32,
    /// Candidates that may score more than the target, the same, or less.
    pub undecided: Vec<u32>,
    /// Candidates that may be among the best.
    pub shortlist: Shortlist,
}

/// Some queries, their users' rounded vectors, and the state of each query under each view.
pub(super) struct Tile<'a, K> {
    pub kernel: K,
    pub catalogue: &'a Catalogue,
    pub views: &'a [View],
    /// `[N][branches]`, rows of D.
    pub users: &'a [Vec<&'a [f32]>],
    pub queries: &'a [Query<'a>],
    pub k: usize,
    /// `[branches][N]`
    pub units: Vec<Vec<Unit>>,
    /// `[branches]`, each `[N, P]`, N rounded up to whole groups.
    pub pairs: Vec<Vec<i32>>,
    /// `[N, views]`
    pub searches: Vec<Search>,
    /// For each query, the number of masked items in the blocks read so far.
    pub masks_read: Vec<usize>,
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
                let target =
                    catalogue.score(kernel, view, &wide, query.target) + query.addition(view, query.target);
                searches.push(Search {
                    target,
                    higher: 0,
                    undecided: Vec::with_capacity(32),
                    shortlist: Shortlist::new(k),
                });
            }
        }
        let masks_read = vec![0; users.len()];
        Self { kernel, catalogue, views, users, queries, k, units, pairs, searches, masks_read }
    }
}

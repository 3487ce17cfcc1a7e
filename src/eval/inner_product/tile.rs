//! Some users against the whole catalogue.

use super::kernel::{self, Bars, Block, GROUP, WORDS};
use super::quantized::{self, BLOCK, Unit};

use super::shortlist::{Entry, Shortlist};
use super::{Catalogue, Found, Query, View};
use crate::eval::rank::{Standing, best_first};

/// Blocks that one group of users sees before the next group does: they stay in the second-level cache.
const BLOCKS: usize = 4;

/// What is known of one query under one view.
struct Search {
    /// The target's exact score.
    target: f32,
    /// Candidates that surely score more.
    above: u32,
    /// Candidates that may score more, the same, or less.
    open: Vec<u32>,
    shortlist: Shortlist,
}

/// The bounds of one user with one block, by branch.
#[derive(Default)]
struct Bounds {
    /// Value of a product of 1.
    value: Vec<f64>,
    value_f32: Vec<f32>,
    per_value: Vec<f64>,
    slack: Vec<f64>,
}

pub(super) struct Tile<'a> {
    catalogue: &'a Catalogue,
    views: &'a [View],
    /// `[N][branches]`, rows of D.
    users: &'a [Vec<&'a [f32]>],
    queries: &'a [Query<'a>],
    k: usize,
    /// `[branches][N]`
    units: Vec<Vec<Unit>>,
    /// `[branches]`, each `[N, P]`, N rounded up to whole groups.
    pairs: Vec<Vec<i32>>,
    /// `[N, views]`
    searches: Vec<Search>,
    /// Masked items that lie in blocks that have passed, by query.
    passed: Vec<usize>,
}

impl<'a> Tile<'a> {
    #[inline(always)]
    pub(super) fn new(
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
        for (n, (user, query)) in users.iter().zip(queries).enumerate() {
            for b in 0..branches {
                units[b].push(quantized::quantize(user[b], &mut pairs[b][n * p..(n + 1) * p]));
            }
            for &view in views {
                let target = catalogue.score(view, user, query.target);
                searches.push(Search { target, above: 0, open: Vec::new(), shortlist: Shortlist::new(k) });
            }
        }
        Self { catalogue, views, users, queries, k, units, pairs, searches, passed: vec![0; users.len()] }
    }

    /// `[N][views]`
    #[inline(always)]
    pub(super) fn rank(mut self) -> Vec<Vec<Found>> {
        let p = quantized::pairs(self.catalogue.d);
        let mut accs = vec![vec![0i32; GROUP * BLOCK]; self.catalogue.branches.len()];
        let mut bounds = Bounds::default();
        let blocks = self.catalogue.items.div_ceil(BLOCK);
        for first_block in (0..blocks).step_by(BLOCKS) {
            for first in (0..self.users.len()).step_by(GROUP) {
                for block in first_block..blocks.min(first_block + BLOCKS) {
                    for (b, acc) in accs.iter_mut().enumerate() {
                        let group = &self.pairs[b][first * p..(first + GROUP) * p];
                        kernel::products(group, self.catalogue.branches[b].quantized.block(block), acc);
                    }
                    for n in first..self.users.len().min(first + GROUP) {
                        self.bound(n, block, &mut bounds);
                        let candidates = self.candidates(n, block);
                        self.filter(n, block, &accs, &bounds, &candidates);
                    }
                }
            }
        }
        self.refine()
    }

    /// Bits of the block's items that are neither masked nor beyond the catalogue. Blocks must come in order.
    #[inline(always)]
    fn candidates(&mut self, n: usize, block: usize) -> [u64; WORDS] {
        let first = block * BLOCK;
        let mut bits = [u64::MAX; WORDS];
        for (word, bits) in bits.iter_mut().enumerate() {
            let left = self.catalogue.items.saturating_sub(first + word * 64);
            if left < 64 {
                *bits = (1 << left) - 1;
            }
        }
        let masked = self.queries[n].masked;
        let passed = &mut self.passed[n];
        // Item numbers begin with 1.
        while *passed < masked.len() && masked[*passed] as usize <= first + BLOCK {
            let i = masked[*passed] as usize - 1 - first;
            bits[i / 64] &= !(1 << (i % 64));
            *passed += 1;
        }
        bits
    }

    #[inline(always)]
    fn bound(&self, n: usize, block: usize, bounds: &mut Bounds) {
        bounds.value.clear();
        bounds.value_f32.clear();
        bounds.per_value.clear();
        bounds.slack.clear();
        for (units, branch) in self.units.iter().zip(&self.catalogue.branches) {
            let (user, items) = (&units[n], &branch.quantized.units[block]);
            bounds.value.push(user.value * items.value);
            bounds.value_f32.push((user.value * items.value) as f32);
            bounds.per_value.push(user.per_value * items.per_value);
            bounds.slack.push(user.slack(items));
        }
    }

    /// Settles what the bounds settle of one user with one block, under all views.
    #[inline(always)]
    fn filter(
        &mut self,
        n: usize,
        block: usize,
        accs: &[Vec<i32>],
        bounds: &Bounds,
        candidates: &[u64; WORDS],
    ) {
        let group = n % GROUP * BLOCK;
        let of = |b: usize| -> Block<'_> { accs[b][group..].first_chunk().expect("a block of products") };
        let count = self.views.len();
        for (view, search) in self.views.iter().zip(&mut self.searches[n * count..(n + 1) * count]) {
            let (target, bar) = (f64::from(search.target), f64::from(search.shortlist.bar()));
            match *view {
                View::Branch(b) => {
                    let (slack, per) = (bounds.slack[b], bounds.per_value[b]);
                    // Conversion rounds towards zero, hence the 1.
                    let bars = Bars {
                        above: (((target + slack) * per) as i32).saturating_add(1),
                        below: (((target - slack) * per) as i32).saturating_sub(1),
                        keep: (((bar - slack) * per) as i32).saturating_sub(1),
                    };
                    let parted = kernel::part(of(b), &bars);
                    let (acc, value) = (of(b), bounds.value[b]);
                    search.take(&parted, candidates, block, slack, |i| f64::from(acc[i]) * value);
                }
                View::Ensemble => {
                    let branches = accs.len() as f64;
                    let mut slack = 0.0;
                    for own in &bounds.slack {
                        slack += own;
                    }
                    let bars = Bars {
                        above: (target * branches + slack) as f32,
                        below: (target * branches - slack) as f32,
                        keep: (bar * branches - slack) as f32,
                    };
                    let mut sums = [0.0; BLOCK];
                    let parted = kernel::part_sums(accs, group, &bounds.value_f32, &mut sums, &bars);
                    let each = |i: usize| f64::from(sums[i]) / branches;
                    search.take(&parted, candidates, block, slack / branches, each);
                }
            }
        }
    }

    /// Scores exactly what is left open.
    #[inline(always)]
    fn refine(mut self) -> Vec<Vec<Found>> {
        let mut searches = std::mem::take(&mut self.searches);
        let mut all = Vec::with_capacity(self.users.len());
        for n in 0..self.users.len() {
            let mut found = Vec::with_capacity(self.views.len());
            for v in 0..self.views.len() {
                let at = n * self.views.len() + v;
                if let Some(next) = searches.get_mut(at + 1) {
                    next.shortlist.prune();
                    self.prefetch(self.views[(v + 1) % self.views.len()], next);
                }
                found.push(self.refine_one(n, self.views[v], &mut searches[at]));
            }
            all.push(found);
        }
        all
    }

    #[inline(always)]
    fn prefetch(&self, view: View, search: &Search) {
        for &item in &search.open {
            self.catalogue.prefetch(view, item);
        }
        for entry in search.shortlist.entries() {
            self.catalogue.prefetch(view, entry.item);
        }
    }

    #[inline(always)]
    fn refine_one(&self, n: usize, view: View, search: &mut Search) -> Found {
        let (catalogue, user, query) = (self.catalogue, &self.users[n], &self.queries[n]);
        let mut equal = 0;
        for &item in &search.open {
            let score = catalogue.score(view, user, item);
            search.above += u32::from(score > search.target);
            equal += u32::from(score == search.target);
        }
        search.shortlist.prune();
        let mut best = Vec::with_capacity(search.shortlist.entries().len());
        for entry in search.shortlist.entries() {
            best.push((catalogue.score(view, user, entry.item), entry.item));
        }
        best.sort_unstable_by(best_first);
        best.truncate(self.k);
        let missed = query.masked.binary_search(&query.target).is_ok();
        let standing = Standing {
            above: search.above,
            // The target itself is among the open ones, unless it is masked.
            equal: equal - u32::from(!missed),
            candidates: (catalogue.items - query.masked.len()) as u32,
            nan: 0,
            missed,
        };
        Found { standing, best: best.into_iter().map(|(_, item)| item).collect() }
    }
}

impl Search {
    /// Counts and notes the candidates of a block; `value` is the approximate score of its item i.
    #[inline(always)]
    fn take(
        &mut self,
        parted: &kernel::Parted,
        candidates: &[u64; WORDS],
        block: usize,
        slack: f64,
        value: impl Fn(usize) -> f64,
    ) {
        for word in 0..WORDS {
            let first = block * BLOCK + word * 64 + 1;
            self.above += (parted.above[word] & candidates[word]).count_ones();
            let mut open = parted.open[word] & candidates[word];
            while open != 0 {
                self.open.push((first + open.trailing_zeros() as usize) as u32);
                open &= open - 1;
            }
            let mut keep = parted.keep[word] & candidates[word];
            if keep != 0 {
                self.shortlist.tidy();
            }
            while keep != 0 {
                let bit = keep.trailing_zeros() as usize;
                let value = value(word * 64 + bit);
                self.shortlist.offer(Entry {
                    lower: (value - slack) as f32,
                    upper: (value + slack) as f32,
                    item: (first + bit) as u32,
                });
                keep &= keep - 1;
            }
        }
    }
}

//! The filter: a group of users against a block of the catalogue.
//!
//! ```text
//!                    block of 32 panels (quantized together)
//!                  ┌───────────┬───────────┬─────┐
//!                  │ panel 0   │ panel 1   │ …   │   32 items each
//!  group of   u0   │ products  │           │     │
//!  8 users    u1   │ in lanes: │           │     │   a pass: one group × one block
//!             …    │ even, odd │           │     │
//!             u7   │ items     │           │     │
//!                  └───────────┴───────────┴─────┘
//! ```
//!
//! A tile is up to 64 users (8 groups) against all blocks. For each panel the kernel multiplies integers and compares the
//! products with each user's thresholds. Items that are certainly higher than the target are counted; the survivors are
//! undecided (scored exactly in the end), candidates for the shortlist, or both.

use std::ops::Range;

use super::View;
use super::kernel::{GROUP, Grid, Kernel, PANEL, Survivors, Thresholds, lane};
use super::quantized::{self, BLOCK, PANELS};
use super::shortlist::Entry;
use super::tile::{Search, Tile};

/// The thresholds of a view for each user of the group.
enum ViewThresholds {
    /// Compared with the sum over the branches.
    Ensemble([Thresholds<f32>; GROUP]),
    /// Compared with the upper halves of one branch's products.
    Branch([Thresholds<[i16; 2]>; GROUP]),
}

impl ViewThresholds {
    fn new(view: &View) -> Self {
        match view {
            View::Ensemble => Self::Ensemble([Thresholds::default(); GROUP]),
            View::Branch(_) => Self::Branch([Thresholds::default(); GROUP]),
        }
    }
}

/// The state of the current group and block.
pub(super) struct Pass {
    /// Items that are neither masked nor beyond the catalogue, as bits.
    candidates: [[u32; GROUP]; PANELS],
    /// Value of the integer product 1, for each branch.
    values: Vec<[f64; GROUP]>,
    /// The same, rounded to f32.
    units: Vec<[f32; GROUP]>,
    /// The largest error of the sum over a view's branches, for each view.
    slack: Vec<[f64; GROUP]>,
    /// One for each view.
    thresholds: Vec<ViewThresholds>,
    /// Number of the block's candidates that certainly score more than the target, for each view.
    higher: Vec<[u32; GROUP]>,
    /// Products with the current panel, for each branch.
    products: Vec<Grid<i32>>,
    /// `[panels][branches]`: products of the first block, which is read twice.
    first_products: Vec<Vec<Grid<i32>>>,
}

impl Pass {
    pub fn new(branches: usize, views: &[View]) -> Self {
        Self {
            candidates: [[0; GROUP]; PANELS],
            values: vec![[0.0; GROUP]; branches],
            units: vec![[0.0; GROUP]; branches],
            slack: vec![[0.0; GROUP]; views.len()],
            thresholds: views.iter().map(ViewThresholds::new).collect(),
            higher: vec![[0; GROUP]; views.len()],
            products: vec![[[0; PANEL]; GROUP]; branches],
            first_products: Vec::new(),
        }
    }

    /// Compares some users with one block under all views, and records the survivors. Blocks must come in order.
    #[inline(always)]
    pub fn filter(&mut self, tile: &mut Tile<impl Kernel>, users: Range<usize>, block: usize) {
        self.find_candidates(tile, users.clone(), block);
        self.set_bounds(tile, users.clone(), block);
        if block == 0 && tile.k > 0 {
            self.raise_first_thresholds(tile, users.clone());
        }
        for panel in 0..panels(tile, block) {
            let first = block * BLOCK + panel * PANEL + 1;
            match self.first_products.get_mut(panel) {
                Some(products) if block == 0 => std::mem::swap(&mut self.products, products),
                _ => multiply(tile, users.start, block, panel, &mut self.products),
            }
            for (v, &view) in tile.views.iter().enumerate() {
                let survivors = self.compare(tile.kernel, v, view, panel);
                let mut left = survivors.users & ((1 << users.len()) - 1);
                while left != 0 {
                    let g = left.trailing_zeros() as usize;
                    let search = &mut tile.searches[(users.start + g) * tile.views.len() + v];
                    search.push_undecided(survivors.undecided[g], first);
                    self.push_candidates(survivors.best[g], first, search, v, view, g);
                    left &= left - 1;
                }
            }
        }
        for (v, higher) in self.higher.iter_mut().enumerate() {
            for (n, higher) in users.clone().zip(&*higher) {
                tile.searches[n * tile.views.len() + v].higher += higher;
            }
            *higher = [0; GROUP];
        }
    }

    #[inline(always)]
    fn compare(&mut self, kernel: impl Kernel, v: usize, view: View, panel: usize) -> Survivors {
        let (candidates, higher) = (&self.candidates[panel], &mut self.higher[v]);
        match (view, &self.thresholds[v]) {
            (View::Branch(b), ViewThresholds::Branch(thresholds)) => {
                kernel.compare(&self.products[b], thresholds, candidates, higher)
            }
            (_, ViewThresholds::Ensemble(thresholds)) => {
                kernel.compare_sums(&self.products, &self.units, thresholds, candidates, higher)
            }
            _ => unreachable!("thresholds are made for the view"),
        }
    }

    #[inline(always)]
    fn find_candidates(&mut self, tile: &mut Tile<impl Kernel>, users: Range<usize>, block: usize) {
        let first = block * BLOCK;
        for (panel, bits) in self.candidates.iter_mut().enumerate() {
            let left = tile.catalogue.items.saturating_sub(first + panel * PANEL);
            *bits = [if left < PANEL { (1 << left) - 1 } else { u32::MAX }; GROUP];
        }
        for (g, n) in users.enumerate() {
            let masked = tile.queries[n].masked;
            let read = &mut tile.masks_read[n];
            // Item numbers begin with 1.
            while *read < masked.len() && masked[*read] as usize <= first + BLOCK {
                let i = masked[*read] as usize - 1 - first;
                self.candidates[i / PANEL][g] &= !(1 << (i % PANEL));
                *read += 1;
            }
        }
    }

    #[inline(always)]
    fn set_bounds(&mut self, tile: &Tile<impl Kernel>, users: Range<usize>, block: usize) {
        for (b, branch) in tile.catalogue.branches.iter().enumerate() {
            let items = &branch.quantized.units[block];
            for (g, n) in users.clone().enumerate() {
                self.values[b][g] = tile.units[b][n].value * items.value;
                self.units[b][g] = self.values[b][g] as f32;
            }
        }
        for (v, view) in tile.views.iter().enumerate() {
            for (g, n) in users.clone().enumerate() {
                let mut slack = 0.0;
                let branches = view.branches(tile.catalogue.branches.len());
                for b in branches.clone() {
                    let items = &tile.catalogue.branches[b].quantized.units[block];
                    slack += tile.units[b][n].slack(items, branches.len());
                }
                self.slack[v][g] = slack;
                self.set_thresholds(&tile.searches[n * tile.views.len() + v], v, *view, g);
            }
        }
    }

    /// Gives the shortlists their first thresholds, without which all items of the first block would survive. Each lane has a
    /// maximum among the first block's items in it, and k of these items certainly score as much as the k-th highest maximum.
    #[inline(always)]
    fn raise_first_thresholds(&mut self, tile: &mut Tile<impl Kernel>, users: Range<usize>) {
        // There are more maxima than k, so that the k-th is high: lanes of successive panels are kept apart in rounds.
        let rounds = (3 * tile.k).div_ceil(PANEL).min(PANELS);
        let mut maxima = vec![[[f32::NEG_INFINITY; PANEL]; GROUP]; rounds * tile.views.len()];
        self.first_products.resize(panels(tile, 0), self.products.clone());
        for (panel, products) in self.first_products.iter_mut().enumerate() {
            multiply(tile, users.start, 0, panel, products);
            for (v, view) in tile.views.iter().enumerate() {
                let branches = view.branches(self.products.len());
                let maxima = &mut maxima[v * rounds + panel % rounds];
                let (products, units) = (&products[branches.clone()], &self.units[branches]);
                tile.kernel.raise_maxima(products, units, &self.candidates[panel], maxima);
            }
        }
        let mut all = Vec::with_capacity(rounds * PANEL);
        for (v, &view) in tile.views.iter().enumerate() {
            for (g, n) in users.clone().enumerate() {
                all.clear();
                maxima[v * rounds..(v + 1) * rounds].iter().for_each(|maxima| all.extend(maxima[g]));
                if tile.k <= all.len() {
                    let (_, kth, _) = all.select_nth_unstable_by(tile.k - 1, |a, b| b.total_cmp(a));
                    let count = view.branches(self.products.len()).len() as f64;
                    let lower = (f64::from(*kth) - self.slack[v][g]) / count;
                    let search = &mut tile.searches[n * tile.views.len() + v];
                    search.shortlist.raise_threshold(lower as f32);
                    self.set_thresholds(search, v, view, g);
                }
            }
        }
    }

    #[inline(always)]
    fn set_thresholds(&mut self, search: &Search, v: usize, view: View, g: usize) {
        let (slack, count) = (self.slack[v][g], view.branches(self.units.len()).len() as f64);
        let (target, threshold) =
            (f64::from(search.target) * count, f64::from(search.shortlist.threshold()) * count);
        let (higher, lower, best) = (target + slack, target - slack, threshold - slack);
        match (view, &mut self.thresholds[v]) {
            (View::Branch(b), ViewThresholds::Branch(thresholds)) => {
                let value = self.values[b][g];
                let inverse = if value > 0.0 { 1.0 / value } else { 0.0 };
                // Conversion rounds towards zero, hence the 1.
                thresholds[g] = Thresholds {
                    higher: ((higher * inverse) as i32).saturating_add(1),
                    lower: ((lower * inverse) as i32).saturating_sub(1),
                    best: ((best * inverse) as i32).saturating_sub(1),
                }
                .upper_halves();
            }
            (_, ViewThresholds::Ensemble(thresholds)) => {
                thresholds[g] = Thresholds { higher: higher as f32, lower: lower as f32, best: best as f32 };
            }
            _ => unreachable!("thresholds are made for the view"),
        }
    }

    /// Adds the items `best` of the panel that begins with item `first` to a shortlist, and raises its threshold if it was
    /// compacted.
    #[inline(always)]
    fn push_candidates(
        &mut self,
        mut best: u32,
        first: usize,
        search: &mut Search,
        v: usize,
        view: View,
        g: usize,
    ) {
        if best == 0 {
            return;
        }
        let branches = view.branches(self.units.len());
        let (slack, scale) = (self.slack[v][g], 1.0 / branches.len() as f64);
        while best != 0 {
            let i = best.trailing_zeros() as usize;
            let mut sum = 0.0;
            for (acc, value) in self.products[branches.clone()].iter().zip(&self.values[branches.clone()]) {
                sum += f64::from(acc[g][lane(i)]) * value[g];
            }
            search.shortlist.push_candidate(Entry {
                lower: ((sum - slack) * scale) as f32,
                upper: ((sum + slack) * scale) as f32,
                item: (first + i) as u32,
            });
            best &= best - 1;
        }
        if search.shortlist.compact_if_full() {
            self.set_thresholds(search, v, view, g);
        }
    }
}

/// Multiplies a group with a panel in each branch.
#[inline(always)]
fn multiply(
    tile: &Tile<impl Kernel>,
    first_user: usize,
    block: usize,
    panel: usize,
    products: &mut [Grid<i32>],
) {
    let p = quantized::pairs(tile.catalogue.d);
    let group = first_user * p..(first_user + GROUP) * p;
    for (b, branch) in tile.catalogue.branches.iter().enumerate() {
        let items = branch.quantized.panel(block * PANELS + panel);
        tile.kernel.products(&tile.pairs[b][group.clone()], items, &mut products[b]);
    }
}

/// Number of panels of a block.
#[inline(always)]
fn panels(tile: &Tile<impl Kernel>, block: usize) -> usize {
    (tile.catalogue.items - block * BLOCK).div_ceil(PANEL).min(PANELS)
}

impl Search {
    /// Adds the undecided items of the panel that begins with item `first`.
    #[inline(always)]
    fn push_undecided(&mut self, mut undecided: u32, first: usize) {
        while undecided != 0 {
            self.undecided.push((first + undecided.trailing_zeros() as usize) as u32);
            undecided &= undecided - 1;
        }
    }
}

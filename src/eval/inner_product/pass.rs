//! A group of users against a block of the catalogue.

use std::ops::Range;

use super::View;
use super::kernel::{Bars, GROUP, Grid, Kernel, Parted, slot};
use super::quantized::{self, BLOCK, PANEL, PANELS};
use super::shortlist::Entry;
use super::tile::{Search, Tile};

/// Where a view parts the scores of each user.
enum ViewBars {
    /// For the sum over the branches.
    Ensemble([Bars<f32>; GROUP]),
    /// For the upper halves of one branch's products.
    Branch([Bars<[i16; 2]>; GROUP]),
}

impl ViewBars {
    fn new(view: &View) -> Self {
        match view {
            View::Ensemble => Self::Ensemble([Bars::default(); GROUP]),
            View::Branch(_) => Self::Branch([Bars::default(); GROUP]),
        }
    }
}

/// What is known of the group and the block at hand.
pub(super) struct Pass {
    /// Items that are neither masked nor beyond the catalogue, as bits.
    candidates: [[u32; GROUP]; PANELS],
    /// Value of the product 1, by branch.
    values: Vec<[f64; GROUP]>,
    /// The same, rounded.
    units: Vec<[f32; GROUP]>,
    /// Most by which the sum over a view's branches may be missed, by view.
    slack: Vec<[f64; GROUP]>,
    /// By view.
    bars: Vec<ViewBars>,
    /// Candidates of the block that surely score more than the target, by view.
    above: Vec<[u32; GROUP]>,
    /// Products with the panel at hand, by branch.
    accs: Vec<Grid<i32>>,
    /// `[panels][branches]`: those of the first block, between its two looks.
    first_accs: Vec<Vec<Grid<i32>>>,
}

impl Pass {
    pub fn new(branches: usize, views: &[View]) -> Self {
        Self {
            candidates: [[0; GROUP]; PANELS],
            values: vec![[0.0; GROUP]; branches],
            units: vec![[0.0; GROUP]; branches],
            slack: vec![[0.0; GROUP]; views.len()],
            bars: views.iter().map(ViewBars::new).collect(),
            above: vec![[0; GROUP]; views.len()],
            accs: vec![[[0; PANEL]; GROUP]; branches],
            first_accs: Vec::new(),
        }
    }

    /// Settles what the bounds settle of some users with one block, under all views. Blocks must come in order.
    #[inline(always)]
    pub fn filter(&mut self, tile: &mut Tile<impl Kernel>, users: Range<usize>, block: usize) {
        self.find_candidates(tile, users.clone(), block);
        self.find_bounds(tile, users.clone(), block);
        if block == 0 && tile.k > 0 {
            self.find_first_bars(tile, users.clone());
        }
        for panel in 0..panels(tile, block) {
            let first = block * BLOCK + panel * PANEL + 1;
            match self.first_accs.get_mut(panel) {
                Some(accs) if block == 0 => std::mem::swap(&mut self.accs, accs),
                _ => multiply(tile, users.start, block, panel, &mut self.accs),
            }
            for (v, &view) in tile.views.iter().enumerate() {
                let parted = self.part(tile.kernel, v, view, panel);
                let mut left = parted.users & ((1 << users.len()) - 1);
                while left != 0 {
                    let g = left.trailing_zeros() as usize;
                    let search = &mut tile.searches[(users.start + g) * tile.views.len() + v];
                    search.note(parted.open[g], first);
                    self.offer(parted.keep[g], first, search, v, view, g);
                    left &= left - 1;
                }
            }
        }
        for (v, above) in self.above.iter_mut().enumerate() {
            for (n, above) in users.clone().zip(&*above) {
                tile.searches[n * tile.views.len() + v].above += above;
            }
            *above = [0; GROUP];
        }
    }

    #[inline(always)]
    fn part(&mut self, kernel: impl Kernel, v: usize, view: View, panel: usize) -> Parted {
        let (candidates, above) = (&self.candidates[panel], &mut self.above[v]);
        match (view, &self.bars[v]) {
            (View::Branch(b), ViewBars::Branch(bars)) => kernel.part(&self.accs[b], bars, candidates, above),
            (_, ViewBars::Ensemble(bars)) => {
                kernel.part_sums(&self.accs, &self.units, bars, candidates, above)
            }
            _ => unreachable!("bars are made for the view"),
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
            let passed = &mut tile.passed[n];
            // Item numbers begin with 1.
            while *passed < masked.len() && masked[*passed] as usize <= first + BLOCK {
                let i = masked[*passed] as usize - 1 - first;
                self.candidates[i / PANEL][g] &= !(1 << (i % PANEL));
                *passed += 1;
            }
        }
    }

    #[inline(always)]
    fn find_bounds(&mut self, tile: &Tile<impl Kernel>, users: Range<usize>, block: usize) {
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
                self.set_bars(&tile.searches[n * tile.views.len() + v], v, *view, g);
            }
        }
    }

    /// Gives the shortlists their first bars: of the places of a panel, each has a highest score among the first block's
    /// items that come to lie in it, and k of these items surely score as much as the k-th highest. Else the first block
    /// would pass as a whole.
    #[inline(always)]
    fn find_first_bars(&mut self, tile: &mut Tile<impl Kernel>, users: Range<usize>) {
        // More places than k, so that the k-th highest stands high: the same place of so many panels is told apart.
        let rounds = (3 * tile.k).div_ceil(PANEL).min(PANELS);
        let mut highest = vec![[[f32::NEG_INFINITY; PANEL]; GROUP]; rounds * tile.views.len()];
        self.first_accs.resize(panels(tile, 0), self.accs.clone());
        for (panel, accs) in self.first_accs.iter_mut().enumerate() {
            multiply(tile, users.start, 0, panel, accs);
            for (v, view) in tile.views.iter().enumerate() {
                let branches = view.branches(self.accs.len());
                let highest = &mut highest[v * rounds + panel % rounds];
                let (accs, units) = (&accs[branches.clone()], &self.units[branches]);
                tile.kernel.raise(accs, units, &self.candidates[panel], highest);
            }
        }
        let mut all = Vec::with_capacity(rounds * PANEL);
        for (v, &view) in tile.views.iter().enumerate() {
            for (g, n) in users.clone().enumerate() {
                all.clear();
                highest[v * rounds..(v + 1) * rounds].iter().for_each(|highest| all.extend(highest[g]));
                if tile.k <= all.len() {
                    let (_, kth, _) = all.select_nth_unstable_by(tile.k - 1, |a, b| b.total_cmp(a));
                    let count = view.branches(self.accs.len()).len() as f64;
                    let lower = (f64::from(*kth) - self.slack[v][g]) / count;
                    let search = &mut tile.searches[n * tile.views.len() + v];
                    search.shortlist.raise(lower as f32);
                    self.set_bars(search, v, view, g);
                }
            }
        }
    }

    #[inline(always)]
    fn set_bars(&mut self, search: &Search, v: usize, view: View, g: usize) {
        let (slack, count) = (self.slack[v][g], view.branches(self.units.len()).len() as f64);
        let (target, bar) = (f64::from(search.target) * count, f64::from(search.shortlist.bar()) * count);
        let (above, below, keep) = (target + slack, target - slack, bar - slack);
        match (view, &mut self.bars[v]) {
            (View::Branch(b), ViewBars::Branch(bars)) => {
                let value = self.values[b][g];
                let per_unit = if value > 0.0 { 1.0 / value } else { 0.0 };
                // Conversion rounds towards zero, hence the 1.
                bars[g] = Bars {
                    above: ((above * per_unit) as i32).saturating_add(1),
                    below: ((below * per_unit) as i32).saturating_sub(1),
                    keep: ((keep * per_unit) as i32).saturating_sub(1),
                }
                .upper_halves();
            }
            (_, ViewBars::Ensemble(bars)) => {
                bars[g] = Bars { above: above as f32, below: below as f32, keep: keep as f32 };
            }
            _ => unreachable!("bars are made for the view"),
        }
    }

    /// Notes items of the panel that begins with item `first` that may be among the best of a view and user, and raises
    /// the bar where it is time.
    #[inline(always)]
    fn offer(&mut self, mut keep: u32, first: usize, search: &mut Search, v: usize, view: View, g: usize) {
        if keep == 0 {
            return;
        }
        let branches = view.branches(self.units.len());
        let (slack, per_count) = (self.slack[v][g], 1.0 / branches.len() as f64);
        while keep != 0 {
            let i = keep.trailing_zeros() as usize;
            let mut sum = 0.0;
            for (acc, value) in self.accs[branches.clone()].iter().zip(&self.values[branches.clone()]) {
                sum += f64::from(acc[g][slot(i)]) * value[g];
            }
            search.shortlist.offer(Entry {
                lower: ((sum - slack) * per_count) as f32,
                upper: ((sum + slack) * per_count) as f32,
                item: (first + i) as u32,
            });
            keep &= keep - 1;
        }
        if search.shortlist.tidy() {
            self.set_bars(search, v, view, g);
        }
    }
}

/// Products of a group with a panel, by branch.
#[inline(always)]
fn multiply(tile: &Tile<impl Kernel>, first_user: usize, block: usize, panel: usize, accs: &mut [Grid<i32>]) {
    let p = quantized::pairs(tile.catalogue.d);
    let group = first_user * p..(first_user + GROUP) * p;
    for (b, branch) in tile.catalogue.branches.iter().enumerate() {
        let items = branch.quantized.panel(block * PANELS + panel);
        tile.kernel.products(&tile.pairs[b][group.clone()], items, &mut accs[b]);
    }
}

/// Panels of a block.
#[inline(always)]
fn panels(tile: &Tile<impl Kernel>, block: usize) -> usize {
    (tile.catalogue.items - block * BLOCK).div_ceil(PANEL).min(PANELS)
}

impl Search {
    /// Notes open items of the panel that begins with item `first`.
    #[inline(always)]
    fn note(&mut self, mut open: u32, first: usize) {
        while open != 0 {
            self.open.push((first + open.trailing_zeros() as usize) as u32);
            open &= open - 1;
        }
    }
}

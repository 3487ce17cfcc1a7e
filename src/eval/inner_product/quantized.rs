//! Vectors in 16-bit integers, and what rounding took from their products.
//!
//! Shapes: `D` width, `P` pairs of coordinates (half of `D`, rounded up).

use rayon::prelude::*;

use super::kernel::slot;

/// Rows of a block; they share a [`Unit`].
pub const BLOCK: usize = PANEL * PANELS;
/// Panels of a block: so many that what is done once a block and user is little, and at width 64 it still fits the
/// second-level cache.
pub const PANELS: usize = 32;
/// Rows whose pairs of coordinates lie side by side.
pub const PANEL: usize = 32;
/// Widest vectors.
pub const MAX_WIDTH: usize = 1 << 16;

/// Longest integer vector. By the Cauchy-Schwarz inequality the product of two stays below 2^31, and so does every
/// partial sum of it, with room for the rounding of [`MAX_WIDTH`] coordinates.
const LONGEST: f64 = 46_000.0;
const LARGEST: f64 = i16::MAX as f64;

/// One rounding to f32, relative to what is rounded: 2^-24.
const ROUNDING: f64 = 1.0 / (1u64 << 24) as f64;
/// What f32 takes where it runs out of small numbers: half the smallest step, 2^-150, in the value of a unit, times the
/// largest product, 2^31; and more.
const SMALLEST: f64 = 1e-35;

/// What the integers of some vectors stand for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unit {
    /// Value of the integer 1; 0 where all vectors are.
    pub value: f64,
    /// Its inverse; 0 where all vectors are.
    pub per_value: f64,
    /// Length of the longest vector.
    pub norm: f64,
    /// Length of the longest difference between a vector and its integers.
    pub lost: f64,
}

impl Unit {
    #[inline(always)]
    fn new(norm: f64, largest: f32) -> Self {
        let value = (norm / LONGEST).max(f64::from(largest) / LARGEST);
        Self { value, per_value: if value > 0.0 { 1.0 / value } else { 0.0 }, norm, lost: 0.0 }
    }

    /// Hands the integers of a row to `put`, with their places.
    #[inline(always)]
    fn round(&mut self, row: &[f32], mut put: impl FnMut(usize, i16)) {
        let mut lost = 0.0;
        for (place, &x) in row.iter().enumerate() {
            let whole = (f64::from(x) * self.per_value).round_ties_even();
            let gone = f64::from(x) - whole * self.value;
            lost += gone * gone;
            put(place, whole as i16);
        }
        self.lost = self.lost.max(lost.sqrt());
    }

    /// Most by which the product of a vector of `self` and one of `other` in integers, or its exact score, misses the
    /// product, as one of the `branches` that a score is the mean of: |u·v - û·v̂| ≤ |u - û| |v| + |û| |v - v̂|, and
    /// what [`roundings`] take.
    #[inline(always)]
    pub fn slack(&self, other: &Self, branches: usize) -> f64 {
        self.lost * other.norm
            + (self.norm + self.lost) * other.lost
            + roundings(branches) * ROUNDING * self.norm * other.norm
            + SMALLEST
    }
}

/// Roundings to f32 between the sum of the products of some branches and the comparison of a score with a bar. The exact
/// score rounds each product, the sum after each further branch, and the quotient: B + 1 in all. The filter rounds each
/// integer product and each unit, and the sum after each branch: B + 2. The bar is rounded once. Two more are for what
/// is relative to a number that is itself rounded.
#[inline(always)]
fn roundings(branches: usize) -> f64 {
    (2 * branches + 6) as f64
}

/// Length of a vector.
#[inline(always)]
pub fn norm(row: &[f32]) -> f64 {
    let mut sum = 0.0;
    for &x in row {
        sum += f64::from(x) * f64::from(x);
    }
    sum.sqrt()
}

#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    row.iter().fold(0.0, |most: f32, x| most.max(x.abs()))
}

/// Pairs of coordinates of a vector of this width.
pub fn pairs(d: usize) -> usize {
    d.div_ceil(2)
}

/// Rows in the order in which [`super::kernel`] reads them.
#[derive(Debug)]
pub struct Quantized {
    /// By block.
    pub units: Vec<Unit>,
    /// `[panels, P, PANEL, 2]`; rows that the last panel lacks are zero.
    panels: Vec<i16>,
    panel_len: usize,
}

impl Quantized {
    /// # Shapes
    /// - rows: `[rows, D]`
    pub fn new(rows: &[f32], d: usize) -> Self {
        let panel_len = PANEL * pairs(d) * 2;
        let mut panels = vec![0i16; (rows.len() / d).div_ceil(PANEL) * panel_len];
        let each = rows.par_chunks(BLOCK * d).zip(panels.par_chunks_mut(PANELS * panel_len));
        let units = each.map(|(rows, block)| quantize_block(rows, d, block)).collect();
        Self { units, panels, panel_len }
    }

    /// `[P, PANEL, 2]`
    #[inline(always)]
    pub fn panel(&self, panel: usize) -> &[i16] {
        &self.panels[panel * self.panel_len..(panel + 1) * self.panel_len]
    }
}

fn quantize_block(rows: &[f32], d: usize, block: &mut [i16]) -> Unit {
    let longest = rows.chunks_exact(d).map(norm).fold(0.0, f64::max);
    let mut unit = Unit::new(longest, largest(rows));
    let panels = block.chunks_exact_mut(PANEL * pairs(d) * 2);
    for (rows, panel) in rows.chunks(PANEL * d).zip(panels) {
        for (i, row) in rows.chunks_exact(d).enumerate() {
            let slot = slot(i);
            unit.round(row, |place, whole| panel[(place / 2 * PANEL + slot) * 2 + place % 2] = whole);
        }
    }
    unit
}

/// The integers of one vector, two to an entry, the even coordinate in the low half.
///
/// # Shapes
/// - row: `[D]`
/// - row_p: `[P]`, zero before
#[inline(always)]
pub fn quantize(row: &[f32], row_p: &mut [i32]) -> Unit {
    let mut unit = Unit::new(norm(row), largest(row));
    unit.round(row, |place, whole| {
        row_p[place / 2] |= (u32::from(whole as u16) << (place % 2 * 16)) as i32;
    });
    unit
}

//! Vectors in 16-bit integers, with a bound on the rounding errors of their products.
//!
//! Shapes: `D` width, `P` pairs of coordinates (half of `D`, rounded up).

use rayon::prelude::*;

use super::kernel::{PANEL, lane};

/// Number of rows of a block, which share a [`Unit`].
pub const BLOCK: usize = PANEL * PANELS;
/// Number of panels of a block: enough that work for each block and user is little, and few enough that a block of width 64
/// fits into the second-level cache.
pub const PANELS: usize = 32;
/// Largest width of vectors.
pub const MAX_WIDTH: usize = 1 << 16;

/// Length of the longest integer vector. By the Cauchy-Schwarz inequality the product of two stays below 2^31, and so does every
/// partial sum of it, with room for the rounding of [`MAX_WIDTH`] coordinates.
const LONGEST: f64 = 46_000.0;
const LARGEST: f64 = i16::MAX as f64;

/// One rounding to f32, relative to what is rounded: 2^-24.
const ROUNDING: f64 = 1.0 / (1u64 << 24) as f64;
/// Error of f32 where it underflows: half the smallest step, 2^-150, in the value of a unit, times the
/// largest product, 2^31; and more.
const SMALLEST: f64 = 1e-35;

/// The scale of some vectors' integers, with norms for the bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unit {
    /// Value of the integer 1; 0 if all vectors are.
    pub value: f64,
    /// Inverse of the value; 0 if all vectors are.
    pub inverse: f64,
    /// Length of the longest vector.
    pub norm: f64,
    /// Length of the longest difference between a vector and its integers.
    pub lost: f64,
}

impl Unit {
    #[inline(always)]
    fn new(norm: f64, largest: f32) -> Self {
        let value = (norm / LONGEST).max(f64::from(largest) / LARGEST);
        Self { value, inverse: if value > 0.0 { 1.0 / value } else { 0.0 }, norm, lost: 0.0 }
    }

    /// Calls `put` with the place and the integer of each coordinate of a row.
    #[inline(always)]
    fn round(&mut self, row: &[f32], mut put: impl FnMut(usize, i16)) {
        let mut lost = 0.0;
        for (place, &x) in row.iter().enumerate() {
            let whole = (f64::from(x) * self.inverse).round_ties_even();
            let error = f64::from(x) - whole * self.value;
            lost += error * error;
            put(place, whole as i16);
        }
        self.lost = self.lost.max(lost.sqrt());
    }

    /// The largest difference between the product of a vector of `self` and one of `other`, and their integers' product or
    /// exact score, as one of the `branches` that a score is the mean of: |u·v - û·v̂| ≤ |u - û| |v| + |û| |v - v̂|, and
    /// what `roundings` take.
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

/// P for vectors of width `d`.
pub fn pairs(d: usize) -> usize {
    d.div_ceil(2)
}

/// Rounded rows in the order in which [`super::kernel`] reads them.
#[derive(Debug)]
pub struct Quantized {
    /// One for each block.
    pub units: Vec<Unit>,
    /// `[panels, P, PANEL, 2]`; rows beyond the last one are zero.
    panels: Vec<i16>,
    panel_len: usize,
}

impl Quantized {
    /// Rounds rows, each block with a scale of its own.
    ///
    /// # Shapes
    /// - rows: `[rows, D]`
    pub fn new(rows: &[f32], d: usize) -> Self {
        let panel_len = PANEL * pairs(d) * 2;
        let mut panels = vec![0i16; (rows.len() / d).div_ceil(PANEL) * panel_len];
        let blocks = rows.par_chunks(BLOCK * d).zip(panels.par_chunks_mut(PANELS * panel_len));
        let units = blocks.map(|(rows, block)| quantize_block(rows, d, block)).collect();
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
            let lane = lane(i);
            unit.round(row, |place, whole| panel[(place / 2 * PANEL + lane) * 2 + place % 2] = whole);
        }
    }
    unit
}

/// Rounds one vector to integers, two to an entry, the even coordinate in the low half.
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

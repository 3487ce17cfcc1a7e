//! What is done for every pair of a user and an item, and so needs vector instructions.
//!
//! [`Plain`] says what is computed; `Wide` computes the same bits with AVX-512, `Avx2` with AVX2.
//!
//! Shapes: `P` pairs of coordinates, `D` width.

/// [`Kernel`] by the functions of the same names beside it, which need instructions: whoever holds the type has them.
#[cfg(target_arch = "x86_64")]
macro_rules! instruction_kernel {
    ($kernel:ty) => {
        // SAFETY, of all these: who holds the kernel has the instructions.
        impl super::Kernel for $kernel {
            #[inline(always)]
            fn products(self, users: &[i32], panel: &[i16], acc: &mut Grid<i32>) {
                let p = super::pairs(users, panel);
                unsafe { products(users, p, panel, acc) }
            }

            #[inline(always)]
            fn part(
                self,
                acc: &Grid<i32>,
                bars: &[Bars<[i16; 2]>; GROUP],
                candidates: &[u32; GROUP],
                above: &mut [u32; GROUP],
            ) -> Parted {
                unsafe { part(acc, bars, candidates, above) }
            }

            #[inline(always)]
            fn part_sums(
                self,
                accs: &[Grid<i32>],
                units: &[[f32; GROUP]],
                bars: &[Bars<f32>; GROUP],
                candidates: &[u32; GROUP],
                above: &mut [u32; GROUP],
            ) -> Parted {
                unsafe { part_sums(accs, units, bars, candidates, above) }
            }

            #[inline(always)]
            fn raise(
                self,
                accs: &[Grid<i32>],
                units: &[[f32; GROUP]],
                candidates: &[u32; GROUP],
                highest: &mut Grid<f32>,
            ) {
                unsafe { raise(accs, units, candidates, highest) }
            }

            #[inline(always)]
            fn dot(self, a: &[f64], b: &[f32]) -> f32 {
                assert!(a.len() == b.len(), "vectors of one width");
                unsafe { dot(a, b) }
            }

            fn with_instructions<R>(self, body: impl FnOnce() -> R) -> R {
                unsafe { with_instructions(body) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
mod plain;
#[cfg(target_arch = "x86_64")]
mod wide;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
pub use plain::Plain;
#[cfg(target_arch = "x86_64")]
pub use wide::Wide;

use super::quantized::PANEL;

/// Users whose sums stand in registers together.
pub const GROUP: usize = 8;

/// A number for each user of a group and item of a panel.
pub type Grid<T> = [[T; PANEL]; GROUP];

/// Where the scores of a user are parted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bars<T> {
    /// Above it an item surely scores more than the target.
    pub above: T,
    /// Below it an item surely scores less than the target.
    pub below: T,
    /// Below it an item is surely not among the best.
    pub keep: T,
}

impl Bars<i32> {
    /// For the upper halves of products. Right shifts round down, so that what is surely above stays so, and what is
    /// open or kept stays that.
    #[inline(always)]
    pub fn upper_halves(self) -> Bars<[i16; 2]> {
        // Twice each: four bytes are laid out over a register in one step, two are not.
        let half = |bar: i32| [(bar >> 16) as i16; 2];
        Bars { above: half(self.above), below: half(self.below), keep: half(self.keep) }
    }
}

/// What is left open of a panel, as bits of items for each user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parted {
    /// They may score more than the target, the same, or less.
    pub open: [u32; GROUP],
    /// They may be among the best.
    pub keep: [u32; GROUP],
    /// The users that have any of either, as bits.
    pub users: u32,
}

impl Parted {
    /// Sets the bits of user `g` by those of items that surely score more than the target, that don't surely score less,
    /// and that may be among the best; counts the first of them in `above`.
    #[inline(always)]
    fn settle(
        &mut self,
        g: usize,
        over: u32,
        not_below: u32,
        keep: u32,
        candidates: &[u32; GROUP],
        above: &mut [u32; GROUP],
    ) {
        above[g] += (over & candidates[g]).count_ones();
        self.open[g] = not_below & !over & candidates[g];
        self.keep[g] = keep & candidates[g];
        self.users |= u32::from(self.open[g] | self.keep[g] != 0) << g;
    }
}

/// Loops over pairs of a user and an item.
pub trait Kernel: Copy + Send + Sync {
    /// Products of each user with each item of a panel, in integers and exact.
    ///
    /// # Shapes
    /// - users: `[GROUP, P]`, two coordinates to an entry
    /// - panel: `[P, PANEL, 2]`
    ///
    /// # Panics
    /// Other lengths.
    fn products(self, users: &[i32], panel: &[i16], acc: &mut Grid<i32>);

    /// Parts the candidates of a panel by the upper halves of one branch's products, and counts those that surely score
    /// more than the target.
    fn part(
        self,
        acc: &Grid<i32>,
        bars: &[Bars<[i16; 2]>; GROUP],
        candidates: &[u32; GROUP],
        above: &mut [u32; GROUP],
    ) -> Parted;

    /// The same by the sum over branches of products times that branch's unit.
    fn part_sums(
        self,
        accs: &[Grid<i32>],
        units: &[[f32; GROUP]],
        bars: &[Bars<f32>; GROUP],
        candidates: &[u32; GROUP],
        above: &mut [u32; GROUP],
    ) -> Parted;

    /// Raises the highest sum of candidates in each place of a panel.
    fn raise(
        self,
        accs: &[Grid<i32>],
        units: &[[f32; GROUP]],
        candidates: &[u32; GROUP],
        highest: &mut Grid<f32>,
    );

    /// Inner product of two vectors of f32, the first of them widened, summed in f64 over 16 lanes in a fixed order and
    /// rounded to f32. Products of two f32 are exact in f64, so that every machine gives the same bits.
    ///
    /// # Panics
    /// Different lengths.
    fn dot(self, a: &[f64], b: &[f32]) -> f32;

    /// Runs `body`, and what is inlined into it, with the instructions that this kernel needs.
    fn with_instructions<R>(self, body: impl FnOnce() -> R) -> R;
}

/// Place of a panel's item among its products: the even ones come first, so that the upper halves of two registers can
/// be laid into one, in the items' order.
#[inline(always)]
pub const fn slot(item: usize) -> usize {
    item / 2 + item % 2 * (PANEL / 2)
}

/// Pairs of coordinates of each user.
fn pairs(users: &[i32], panel: &[i16]) -> usize {
    let p = users.len() / GROUP;
    assert!(users.len() == GROUP * p && panel.len() == PANEL * p * 2, "shapes");
    p
}

/// Half of the lanes of [`Kernel::dot`].
const LANES: usize = 8;

/// The last sum of [`Kernel::dot`], of the first and second eight lanes and what is left over.
#[inline(always)]
fn fold(first: [f64; LANES], second: [f64; LANES], rest: f64) -> f32 {
    let lanes: [f64; LANES] = std::array::from_fn(|lane| first[lane] + second[lane]);
    let half: [f64; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
    (((half[0] + half[2]) + (half[1] + half[3])) + rest) as f32
}

/// Sum of the products beyond the last whole 16.
#[inline(always)]
fn rest(a: &[f64], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    for i in a.len() / (2 * LANES) * 2 * LANES..a.len() {
        sum += a[i] * f64::from(b[i]);
    }
    sum
}

/// Asks for a row to be brought into the cache.
#[inline(always)]
pub fn prefetch(row: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(16) {
        // SAFETY: a hint, of an address inside the row.
        #[allow(unsafe_code)]
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast());
        }
    }
}

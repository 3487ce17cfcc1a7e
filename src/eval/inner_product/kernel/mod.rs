//! Loops over pairs of a user and an item, with vector instructions where the machine has them.
//!
//! [`Plain`] is the reference; `Wide` computes the same bits with AVX-512, `Avx2` with AVX2. The tile and its passes call them.
//!
//! Shapes: `P` pairs of coordinates, `D` width.

/// Implements [`Kernel`] by functions of the same names that need vector instructions, which whoever holds the type has.
#[cfg(target_arch = "x86_64")]
macro_rules! instruction_kernel {
    ($kernel:ty) => {
        // SAFETY, of all these: whoever holds the kernel has the instructions.
        impl super::Kernel for $kernel {
            #[inline(always)]
            fn products(self, users: &[i32], panel: &[i16], acc: &mut Grid<i32>) {
                let p = super::pairs(users, panel);
                unsafe { products(users, p, panel, acc) }
            }

            #[inline(always)]
            fn compare(
                self,
                acc: &Grid<i32>,
                thresholds: &[Thresholds<[i16; 2]>; GROUP],
                candidates: &[u32; GROUP],
                higher: &mut [u32; GROUP],
            ) -> Survivors {
                unsafe { compare(acc, thresholds, candidates, higher) }
            }

            #[inline(always)]
            fn compare_sums(
                self,
                accs: &[Grid<i32>],
                units: &[[f32; GROUP]],
                thresholds: &[Thresholds<f32>; GROUP],
                candidates: &[u32; GROUP],
                higher: &mut [u32; GROUP],
            ) -> Survivors {
                unsafe { compare_sums(accs, units, thresholds, candidates, higher) }
            }

            #[inline(always)]
            fn raise_maxima(
                self,
                accs: &[Grid<i32>],
                units: &[[f32; GROUP]],
                candidates: &[u32; GROUP],
                maxima: &mut Grid<f32>,
            ) {
                unsafe { raise_maxima(accs, units, candidates, maxima) }
            }

            #[inline(always)]
            fn dot(self, a: &[f64], b: &[f32]) -> f32 {
                assert!(a.len() == b.len(), "vectors of one width");
                unsafe { dot(a, b) }
            }

            fn run<R>(self, body: impl FnOnce() -> R) -> R {
                unsafe { run(body) }
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

/// Number of items whose pairs of coordinates lie side by side.
pub const PANEL: usize = 32;

/// Number of users whose sums are in registers at the same time.
pub const GROUP: usize = 8;

/// A number for each user of a group and each lane of a panel.
pub type Grid<T> = [[T; PANEL]; GROUP];

/// The values with which one user's scores are compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thresholds<T> {
    /// An item above it certainly scores more than the target.
    pub higher: T,
    /// An item below it certainly scores less than the target.
    pub lower: T,
    /// An item below it is certainly not among the best.
    pub best: T,
}

impl Thresholds<i32> {
    /// Thresholds for the upper halves of products. Right shifts round down, so that an item that is certainly higher remains
    /// so, and one that is undecided or may be among the best remains that.
    #[inline(always)]
    pub fn upper_halves(self) -> Thresholds<[i16; 2]> {
        // Each is stored twice: four bytes are broadcast to a register in one step, two are not.
        let half = |threshold: i32| [(threshold >> 16) as i16; 2];
        Thresholds { higher: half(self.higher), lower: half(self.lower), best: half(self.best) }
    }
}

/// The items of a panel that a comparison doesn't settle, as bits for each user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survivors {
    /// Items that may score more than the target, the same, or less.
    pub undecided: [u32; GROUP],
    /// Items that may be among the best.
    pub best: [u32; GROUP],
    /// The users that have any such item, as bits.
    pub users: u32,
}

impl Survivors {
    /// Sets the bits of user `g` from those of items that certainly score more than the target (`greater`), that don't
    /// certainly score less (`not_less`), and that may be among the best; adds the number of the first to `higher`.
    #[inline(always)]
    fn set(
        &mut self,
        g: usize,
        greater: u32,
        not_less: u32,
        best: u32,
        candidates: &[u32; GROUP],
        higher: &mut [u32; GROUP],
    ) {
        higher[g] += (greater & candidates[g]).count_ones();
        self.undecided[g] = not_less & !greater & candidates[g];
        self.best[g] = best & candidates[g];
        self.users |= u32::from(self.undecided[g] | self.best[g] != 0) << g;
    }
}

/// Loops over pairs of a user and an item. All implementations give the same bits.
pub trait Kernel: Copy + Send + Sync {
    /// Integer products of each user with each item of a panel, exact.
    ///
    /// # Shapes
    /// - users: `[GROUP, P]`, two coordinates to an entry
    /// - panel: `[P, PANEL, 2]`
    ///
    /// # Panics
    /// Other lengths.
    fn products(self, users: &[i32], panel: &[i16], acc: &mut Grid<i32>);

    /// Compares the upper halves of one branch's products with the thresholds. Returns the candidates that this doesn't
    /// settle, and adds the number of those that certainly score more than the target to `higher`.
    fn compare(
        self,
        acc: &Grid<i32>,
        thresholds: &[Thresholds<[i16; 2]>; GROUP],
        candidates: &[u32; GROUP],
        higher: &mut [u32; GROUP],
    ) -> Survivors;

    /// [`Self::compare`] for the sum over branches of products times each branch's unit.
    fn compare_sums(
        self,
        accs: &[Grid<i32>],
        units: &[[f32; GROUP]],
        thresholds: &[Thresholds<f32>; GROUP],
        candidates: &[u32; GROUP],
        higher: &mut [u32; GROUP],
    ) -> Survivors;

    /// Raises the maximum of the candidates' sums in each lane.
    fn raise_maxima(
        self,
        accs: &[Grid<i32>],
        units: &[[f32; GROUP]],
        candidates: &[u32; GROUP],
        maxima: &mut Grid<f32>,
    );

    /// Inner product of two vectors of f32, the first of them widened, summed in f64 over 16 lanes in a fixed order and
    /// rounded to f32. Products of two f32 are exact in f64, so that every machine gives the same bits.
    ///
    /// # Panics
    /// Different lengths.
    fn dot(self, a: &[f64], b: &[f32]) -> f32;

    /// Runs `body`, and what is inlined into it, with the instructions that the kernel needs.
    fn run<R>(self, body: impl FnOnce() -> R) -> R;
}

/// The lane of a panel's item among its products: the even items come first, so that the upper halves of two registers can
/// be merged into one, in the items' order.
#[inline(always)]
pub const fn lane(item: usize) -> usize {
    item / 2 + item % 2 * (PANEL / 2)
}

/// P, from the lengths of users and panel.
fn pairs(users: &[i32], panel: &[i16]) -> usize {
    let p = users.len() / GROUP;
    assert!(users.len() == GROUP * p && panel.len() == PANEL * p * 2, "shapes");
    p
}

/// Half of the number of lanes of [`Kernel::dot`].
const DOT_LANES: usize = 8;

/// The last sum of [`Kernel::dot`]: the first and the second eight lanes and the rest.
#[inline(always)]
fn fold(first: [f64; DOT_LANES], second: [f64; DOT_LANES], rest: f64) -> f32 {
    let lanes: [f64; DOT_LANES] = std::array::from_fn(|lane| first[lane] + second[lane]);
    let half: [f64; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
    (((half[0] + half[2]) + (half[1] + half[3])) + rest) as f32
}

/// Sum of the products beyond the last whole 16.
#[inline(always)]
fn rest(a: &[f64], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    for i in a.len() / (2 * DOT_LANES) * 2 * DOT_LANES..a.len() {
        sum += a[i] * f64::from(b[i]);
    }
    sum
}

/// Fetches a row into the cache.
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

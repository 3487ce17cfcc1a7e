//! What is done for every pair of a user and an item, and so needs vector instructions.
//!
//! Shapes: `P` pairs of coordinates, `D` width.

use super::quantized::{BLOCK, PANEL};

/// Users whose sums stand in registers together.
pub const GROUP: usize = 8;
/// Words of a bit for each item of a block.
pub const WORDS: usize = BLOCK / 64;

/// Products of one user with the items of a block.
pub type Block<'a> = &'a [i32; BLOCK];

/// Where the scores of a block are parted.
#[derive(Clone, Copy, Debug)]
pub struct Bars<T> {
    /// Above it an item surely scores more than the target.
    pub above: T,
    /// Below it an item surely scores less than the target.
    pub below: T,
    /// Below it an item is surely not among the best.
    pub keep: T,
}

/// Items of a block, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parted {
    /// They surely score more than the target.
    pub above: [u64; WORDS],
    /// They may score more, the same, or less.
    pub open: [u64; WORDS],
    /// They may be among the best.
    pub keep: [u64; WORDS],
}

/// Whether the machine has AVX-512 with VNNI. Without it everything here is right, but slower than a matrix product in
/// floating point.
pub fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Calls the AVX-512 twin of a function where the machine has it.
macro_rules! if_fast {
    ($call:expr) => {
        #[cfg(target_arch = "x86_64")]
        if is_fast() {
            // SAFETY: the instructions are there.
            #[allow(unsafe_code)]
            return unsafe { $call };
        }
    };
}

/// Products of each user with each item of a block, in integers and exact.
///
/// # Shapes
/// - users: `[GROUP, P]`, two coordinates to an entry
/// - block: as [`super::quantized::Quantized::block`]
/// - acc: `[GROUP, BLOCK]`
///
/// # Panics
/// Other lengths.
pub fn products(users: &[i32], block: &[i16], acc: &mut [i32]) {
    let p = users.len() / GROUP;
    assert!(users.len() == GROUP * p && block.len() == BLOCK * p * 2 && acc.len() == GROUP * BLOCK, "shapes");
    if_fast!(wide::products(users, p, block, acc));
    plain::products(users, p, block, acc);
}

/// Parts the items of a block by one branch's products.
#[inline(always)]
pub fn part(acc: Block<'_>, bars: &Bars<i32>) -> Parted {
    if_fast!(wide::part(acc, bars));
    plain::part(acc, bars)
}

/// Parts the items of a block by the branches' sum: products, which begin at `from`, times `units`. It is left in `sums`.
#[inline(always)]
pub fn part_sums(
    accs: &[Vec<i32>],
    from: usize,
    units: &[f32],
    sums: &mut [f32; BLOCK],
    bars: &Bars<f32>,
) -> Parted {
    if_fast!(wide::part_sums(accs, from, units, sums, bars));
    plain::part_sums(accs, from, units, sums, bars)
}

/// Lanes of [`dot`].
const LANES: usize = 8;

/// Inner product, summed in f64 over 16 lanes in a fixed order, rounded to f32. A product of two f32 is exact in f64,
/// so that every machine gives the same bits.
///
/// # Panics
/// Different lengths.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert!(a.len() == b.len(), "vectors of one width");
    if_fast!(wide::dot(a, b));
    plain::dot(a, b)
}

/// The last sum of [`dot`], of the first and second eight lanes and what is left over.
#[inline(always)]
fn fold(first: [f64; LANES], second: [f64; LANES], rest: f64) -> f32 {
    let lanes: [f64; LANES] = std::array::from_fn(|lane| first[lane] + second[lane]);
    let half: [f64; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
    (((half[0] + half[2]) + (half[1] + half[3])) + rest) as f32
}

/// Sum of the products beyond the last whole 16.
#[inline(always)]
fn rest(a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    for i in a.len() / (2 * LANES) * 2 * LANES..a.len() {
        sum += f64::from(a[i]) * f64::from(b[i]);
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

/// For machines without the instructions, and to hold [`wide`] against.
pub(super) mod plain {
    use super::{BLOCK, Bars, Block, LANES, PANEL, Parted, fold, rest};

    pub fn products(users: &[i32], p: usize, block: &[i16], acc: &mut [i32]) {
        for (user, acc) in users.chunks_exact(p).zip(acc.chunks_exact_mut(BLOCK)) {
            for (panel, acc) in block.chunks_exact(PANEL * p * 2).zip(acc.chunks_exact_mut(PANEL)) {
                acc.fill(0);
                for (&pair, items) in user.iter().zip(panel.chunks_exact(PANEL * 2)) {
                    let (even, odd) = (i32::from(pair as i16), pair >> 16);
                    for (sum, item) in acc.iter_mut().zip(items.chunks_exact(2)) {
                        *sum += even * i32::from(item[0]) + odd * i32::from(item[1]);
                    }
                }
            }
        }
    }

    pub fn part(acc: Block<'_>, bars: &Bars<i32>) -> Parted {
        let mut parted = Parted::default();
        for (i, &x) in acc.iter().enumerate() {
            let (word, bit) = (i / 64, i % 64);
            parted.above[word] |= u64::from(x > bars.above) << bit;
            parted.open[word] |= u64::from(x <= bars.above && x >= bars.below) << bit;
            parted.keep[word] |= u64::from(x >= bars.keep) << bit;
        }
        parted
    }

    pub fn part_sums(
        accs: &[Vec<i32>],
        from: usize,
        units: &[f32],
        sums: &mut [f32; BLOCK],
        bars: &Bars<f32>,
    ) -> Parted {
        let mut parted = Parted::default();
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = accs
                .iter()
                .zip(units)
                .fold(0.0, |sum, (acc, unit)| (acc[from + i] as f32).mul_add(*unit, sum));
            let (word, bit) = (i / 64, i % 64);
            parted.above[word] |= u64::from(*sum > bars.above) << bit;
            parted.open[word] |= u64::from(*sum <= bars.above && *sum >= bars.below) << bit;
            parted.keep[word] |= u64::from(*sum >= bars.keep) << bit;
        }
        parted
    }

    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        let (mut first, mut second) = ([0.0f64; LANES], [0.0f64; LANES]);
        for (a, b) in a.chunks_exact(2 * LANES).zip(b.chunks_exact(2 * LANES)) {
            for lane in 0..LANES {
                first[lane] += f64::from(a[lane]) * f64::from(b[lane]);
                second[lane] += f64::from(a[LANES + lane]) * f64::from(b[LANES + lane]);
            }
        }
        fold(first, second, rest(a, b))
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
pub(super) mod wide {
    //! AVX-512 with VNNI. Every function needs [`super::is_fast`].

    use std::arch::asm;
    #[allow(clippy::wildcard_imports, reason = "two dozen names of instructions")]
    use std::arch::x86_64::*;

    use super::{BLOCK, Bars, Block, GROUP, LANES, PANEL, Parted, WORDS, fold, rest};

    /// Lengths are those that [`super::products`] has checked.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub fn products(users: &[i32], p: usize, block: &[i16], acc: &mut [i32]) {
        for panel in 0..BLOCK / PANEL {
            // SAFETY: all offsets lie within the lengths that were checked.
            unsafe {
                let items = block.as_ptr().add(panel * PANEL * p * 2);
                let mut sums = [[_mm512_setzero_si512(); 2]; GROUP];
                for pair in 0..p {
                    let at = items.add(pair * PANEL * 2);
                    let left = _mm512_loadu_si512(at.cast());
                    let right = _mm512_loadu_si512(at.add(PANEL).cast());
                    for (g, sums) in sums.iter_mut().enumerate() {
                        let user = _mm512_set1_epi32(*users.as_ptr().add(g * p + pair));
                        add_pairs(&mut sums[0], user, left);
                        add_pairs(&mut sums[1], user, right);
                    }
                }
                for (g, sums) in sums.iter().enumerate() {
                    let to = acc.as_mut_ptr().add(g * BLOCK + panel * PANEL);
                    _mm512_storeu_si512(to.cast(), sums[0]);
                    _mm512_storeu_si512(to.add(PANEL / 2).cast(), sums[1]);
                }
            }
        }
    }

    /// `vpdpwssd`. The compiler takes its own intrinsic apart into `vpmaddwd` and `vpaddd`.
    #[target_feature(enable = "avx512f,avx512vnni")]
    #[inline]
    fn add_pairs(sum: &mut __m512i, x: __m512i, y: __m512i) {
        // SAFETY: reads and writes registers alone.
        unsafe {
            asm!("vpdpwssd {0}, {1}, {2}", inout(zmm_reg) *sum, in(zmm_reg) x, in(zmm_reg) y,
                options(pure, nomem, nostack, preserves_flags));
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    pub fn part(acc: Block<'_>, bars: &Bars<i32>) -> Parted {
        let above = _mm512_set1_epi32(bars.above);
        let below = _mm512_set1_epi32(bars.below);
        let keep = _mm512_set1_epi32(bars.keep);
        let mut parted = Parted::default();
        for word in 0..WORDS {
            for (quarter, acc) in acc[word * 64..][..64].chunks_exact(16).enumerate() {
                // SAFETY: sixteen numbers.
                let x = unsafe { _mm512_loadu_si512(acc.as_ptr().cast()) };
                let over = _mm512_cmpgt_epi32_mask(x, above);
                let open = _mm512_mask_cmpge_epi32_mask(!over, x, below);
                parted.above[word] |= u64::from(over) << (16 * quarter);
                parted.open[word] |= u64::from(open) << (16 * quarter);
                parted.keep[word] |= u64::from(_mm512_cmpge_epi32_mask(x, keep)) << (16 * quarter);
            }
        }
        parted
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    pub fn part_sums(
        accs: &[Vec<i32>],
        from: usize,
        units: &[f32],
        sums: &mut [f32; BLOCK],
        bars: &Bars<f32>,
    ) -> Parted {
        let (above, below, keep) =
            (_mm512_set1_ps(bars.above), _mm512_set1_ps(bars.below), _mm512_set1_ps(bars.keep));
        let mut parted = Parted::default();
        for (quarter, sums) in sums.chunks_exact_mut(16).enumerate() {
            let mut sum = _mm512_setzero_ps();
            for (acc, &unit) in accs.iter().zip(units) {
                let x = &acc[from + quarter * 16..][..16];
                // SAFETY: sixteen numbers.
                let x = unsafe { _mm512_loadu_si512(x.as_ptr().cast()) };
                sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(x), _mm512_set1_ps(unit), sum);
            }
            // SAFETY: sixteen numbers.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), sum) };
            let (word, shift) = (quarter / 4, quarter % 4 * 16);
            let over = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(sum, above);
            let open = _mm512_mask_cmp_ps_mask::<_CMP_GE_OQ>(!over, sum, below);
            parted.above[word] |= u64::from(over) << shift;
            parted.open[word] |= u64::from(open) << shift;
            parted.keep[word] |= u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(sum, keep)) << shift;
        }
        parted
    }

    /// Lengths are equal, as [`super::dot`] has checked.
    #[target_feature(enable = "avx512f")]
    #[inline]
    pub fn dot(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [_mm512_setzero_pd(); 2];
        for i in 0..a.len() / (2 * LANES) {
            for (half, sum) in sums.iter_mut().enumerate() {
                let at = (2 * i + half) * LANES;
                // SAFETY: eight numbers of each, inside their length.
                let (x, y) =
                    unsafe { (_mm256_loadu_ps(a.as_ptr().add(at)), _mm256_loadu_ps(b.as_ptr().add(at))) };
                *sum = _mm512_fmadd_pd(_mm512_cvtps_pd(x), _mm512_cvtps_pd(y), *sum);
            }
        }
        let mut lanes = [[0.0f64; LANES]; 2];
        for (lanes, sum) in lanes.iter_mut().zip(sums) {
            // SAFETY: eight numbers.
            unsafe { _mm512_storeu_pd(lanes.as_mut_ptr(), sum) };
        }
        fold(lanes[0], lanes[1], rest(a, b))
    }
}

//! AVX2 with FMA: half as wide as AVX-512, and two instructions where VNNI takes one. Every function needs what
//! [`Avx2::detect`] looks for.
#![allow(unsafe_code)]

#[allow(clippy::wildcard_imports, reason = "two dozen names of instructions")]
use std::arch::x86_64::*;

use super::{Bars, GROUP, Grid, LANES, PANEL, Parted, rest};

/// Numbers of 32 bits in a register.
const WIDE: usize = 8;
/// Registers of a panel.
const REGISTERS: usize = PANEL / WIDE;
/// Users whose sums stand in registers together: with the panel and a user's pair, 13 of the 16 registers.
const TOGETHER: usize = 2;

/// A machine that has the instructions.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    pub fn detect() -> Option<Self> {
        let here = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("popcnt");
        here.then_some(Self(()))
    }
}

instruction_kernel!(Avx2);

#[target_feature(enable = "avx2,fma,popcnt")]
fn with_instructions<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// Lengths are those that [`pairs`] has checked.
#[target_feature(enable = "avx2")]
fn products(users: &[i32], p: usize, panel: &[i16], acc: &mut Grid<i32>) {
    for (users, acc) in users.chunks_exact((TOGETHER * p).max(1)).zip(acc.chunks_exact_mut(TOGETHER)) {
        let mut sums = [[_mm256_setzero_si256(); REGISTERS]; TOGETHER];
        for pair in 0..p {
            // SAFETY: all offsets lie within the lengths that were checked.
            let items: [__m256i; REGISTERS] = unsafe {
                let at = panel.as_ptr().add(pair * PANEL * 2);
                std::array::from_fn(|r| _mm256_loadu_si256(at.add(r * 2 * WIDE).cast()))
            };
            for (g, sums) in sums.iter_mut().enumerate() {
                let user = _mm256_set1_epi32(users[g * p + pair]);
                for (sum, &items) in sums.iter_mut().zip(&items) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(user, items));
                }
            }
        }
        for (sums, acc) in sums.iter().zip(acc) {
            for (sum, acc) in sums.iter().zip(acc.chunks_exact_mut(WIDE)) {
                // SAFETY: eight numbers.
                unsafe { _mm256_storeu_si256(acc.as_mut_ptr().cast(), *sum) };
            }
        }
    }
}

#[target_feature(enable = "avx2,popcnt")]
#[inline(never)]
fn part(
    acc: &Grid<i32>,
    bars: &[Bars<[i16; 2]>; GROUP],
    candidates: &[u32; GROUP],
    above: &mut [u32; GROUP],
) -> Parted {
    let mut parted = Parted::default();
    for g in 0..GROUP {
        let sums = load(&acc[g]);
        // The upper halves of the even items, moved down, and of the odd ones where they are: sixteen items in order.
        let halves =
            [0, 1].map(|r| _mm256_blend_epi16::<0b1010_1010>(_mm256_srli_epi32::<16>(sums[r]), sums[r + 2]));
        let higher = |bar: [i16; 2]| {
            let bar = _mm256_set1_epi32(i32::from(bar[0] as u16) | i32::from(bar[1]) << 16);
            bits(halves.map(|x| _mm256_cmpgt_epi16(x, bar)))
        };
        let lower = |bar: [i16; 2]| {
            let bar = _mm256_set1_epi32(i32::from(bar[0] as u16) | i32::from(bar[1]) << 16);
            bits(halves.map(|x| _mm256_cmpgt_epi16(bar, x)))
        };
        let (over, below, keep) = (higher(bars[g].above), lower(bars[g].below), !lower(bars[g].keep));
        parted.settle(g, over, !below, keep, candidates, above);
    }
    parted
}

#[target_feature(enable = "avx2,fma,popcnt")]
#[inline(never)]
fn part_sums(
    accs: &[Grid<i32>],
    units: &[[f32; GROUP]],
    bars: &[Bars<f32>; GROUP],
    candidates: &[u32; GROUP],
    above: &mut [u32; GROUP],
) -> Parted {
    let mut parted = Parted::default();
    for g in 0..GROUP {
        let sums = sum(accs, units, g);
        let bar = _mm256_set1_ps(bars[g].above);
        let over = ordered(sums.map(|x| _mm256_cmp_ps::<_CMP_GT_OQ>(x, bar)));
        let bar = _mm256_set1_ps(bars[g].below);
        let not_below = ordered(sums.map(|x| _mm256_cmp_ps::<_CMP_GE_OQ>(x, bar)));
        let bar = _mm256_set1_ps(bars[g].keep);
        let keep = ordered(sums.map(|x| _mm256_cmp_ps::<_CMP_GE_OQ>(x, bar)));
        parted.settle(g, over, not_below, keep, candidates, above);
    }
    parted
}

#[target_feature(enable = "avx2,fma")]
fn raise(accs: &[Grid<i32>], units: &[[f32; GROUP]], candidates: &[u32; GROUP], highest: &mut Grid<f32>) {
    // Bits of the even items of a register.
    let even = _mm256_setr_epi32(1, 1 << 2, 1 << 4, 1 << 6, 1 << 8, 1 << 10, 1 << 12, 1 << 14);
    for (g, highest) in highest.iter_mut().enumerate() {
        let sums = sum(accs, units, g);
        for (r, (sums, highest)) in sums.iter().zip(highest.chunks_exact_mut(WIDE)).enumerate() {
            // Registers hold the even items of either half, then the odd ones.
            let own = candidates[g] >> (r % 2 * 2 * WIDE) >> (r / 2);
            let own = _mm256_and_si256(_mm256_set1_epi32(own as i32), even);
            let wanted = _mm256_castsi256_ps(_mm256_cmpeq_epi32(own, even));
            // SAFETY: eight numbers.
            unsafe {
                let before = _mm256_loadu_ps(highest.as_ptr());
                let raised = _mm256_blendv_ps(before, _mm256_max_ps(before, *sums), wanted);
                _mm256_storeu_ps(highest.as_mut_ptr(), raised);
            }
        }
    }
}

/// Bits of sixteen-bit masks of 32 items in order.
#[target_feature(enable = "avx2")]
#[inline]
fn bits([first, second]: [__m256i; 2]) -> u32 {
    // Packing takes four runs of eight items from the registers in turn, which the permutation undoes.
    let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(first, second));
    _mm256_movemask_epi8(bytes) as u32
}

/// Bits of masks of the even items, then the odd ones, in the items' order.
#[target_feature(enable = "avx2")]
#[inline]
fn ordered(masks: [__m256; REGISTERS]) -> u32 {
    let masks = masks.map(|mask| _mm256_castps_si256(mask));
    bits([0, 1].map(|r| _mm256_blend_epi16::<0b1010_1010>(masks[r], masks[r + 2])))
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(acc: &[i32; PANEL]) -> [__m256i; REGISTERS] {
    // SAFETY: eight numbers each.
    unsafe { std::array::from_fn(|r| _mm256_loadu_si256(acc.as_ptr().add(r * WIDE).cast())) }
}

/// Sums over branches for user `g`, in the order of products.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn sum(accs: &[Grid<i32>], units: &[[f32; GROUP]], g: usize) -> [__m256; REGISTERS] {
    let mut sums = [_mm256_setzero_ps(); REGISTERS];
    for (acc, unit) in accs.iter().zip(units) {
        let unit = _mm256_set1_ps(unit[g]);
        for (sum, x) in sums.iter_mut().zip(load(&acc[g])) {
            *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(x), unit, *sum);
        }
    }
    sums
}

/// Lengths are equal.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn dot(a: &[f64], b: &[f32]) -> f32 {
    const HALF: usize = LANES / 2;
    let mut sums = [_mm256_setzero_pd(); 4];
    for i in 0..a.len() / (2 * LANES) {
        for (quarter, sum) in sums.iter_mut().enumerate() {
            let at = 2 * i * LANES + quarter * HALF;
            // SAFETY: four numbers of each, inside their length.
            let (x, y) = unsafe { (_mm256_loadu_pd(a.as_ptr().add(at)), _mm_loadu_ps(b.as_ptr().add(at))) };
            *sum = _mm256_fmadd_pd(x, _mm256_cvtps_pd(y), *sum);
        }
    }
    // In the order of [`super::fold`].
    let half = _mm256_add_pd(_mm256_add_pd(sums[0], sums[2]), _mm256_add_pd(sums[1], sums[3]));
    let pair = _mm_add_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd::<1>(half));
    let both = _mm_add_sd(pair, _mm_unpackhi_pd(pair, pair));
    (_mm_cvtsd_f64(both) + rest(a, b)) as f32
}

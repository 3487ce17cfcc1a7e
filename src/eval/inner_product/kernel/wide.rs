//! AVX-512 with VNNI. Every function needs what [`Wide::detect`] looks for.
#![allow(unsafe_code)]

use std::arch::asm;
#[allow(clippy::wildcard_imports, reason = "two dozen names of instructions")]
use std::arch::x86_64::*;

use super::{Bars, GROUP, Grid, LANES, PANEL, Parted, rest};

/// Numbers of 32 bits in a register.
const WIDE: usize = 16;

/// A machine that has the instructions.
#[derive(Clone, Copy, Debug)]
pub struct Wide(());

impl Wide {
    pub fn detect() -> Option<Self> {
        let here = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("popcnt");
        here.then_some(Self(()))
    }
}

instruction_kernel!(Wide);

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,bmi1,bmi2,fma,popcnt")]
fn with_instructions<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// Lengths are those that [`pairs`] has checked.
#[target_feature(enable = "avx512f,avx512vnni")]
fn products(users: &[i32], p: usize, panel: &[i16], acc: &mut Grid<i32>) {
    // SAFETY: all offsets lie within the lengths that were checked.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); PANEL / WIDE]; GROUP];
        for pair in 0..p {
            let at = panel.as_ptr().add(pair * PANEL * 2);
            let left = _mm512_loadu_si512(at.cast());
            let right = _mm512_loadu_si512(at.add(PANEL).cast());
            for (g, sums) in sums.iter_mut().enumerate() {
                let user = _mm512_set1_epi32(*users.as_ptr().add(g * p + pair));
                add_pairs(&mut sums[0], user, left);
                add_pairs(&mut sums[1], user, right);
            }
        }
        for (sums, acc) in sums.iter().zip(acc) {
            _mm512_storeu_si512(acc.as_mut_ptr().cast(), sums[0]);
            _mm512_storeu_si512(acc.as_mut_ptr().add(WIDE).cast(), sums[1]);
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

// Not inlined: among all that surrounds it, the compiler runs out of registers.
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
#[inline(never)]
fn part(
    acc: &Grid<i32>,
    bars: &[Bars<[i16; 2]>; GROUP],
    candidates: &[u32; GROUP],
    above: &mut [u32; GROUP],
) -> Parted {
    let mut parted = Parted::default();
    for g in 0..GROUP {
        let [even, odd] = load(&acc[g]);
        let x = _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(even), odd);
        let over = _mm512_cmpgt_epi16_mask(x, twice(bars[g].above));
        let not_below = _mm512_cmpge_epi16_mask(x, twice(bars[g].below));
        let keep = _mm512_cmpge_epi16_mask(x, twice(bars[g].keep));
        parted.settle(g, over, not_below, keep, candidates, above);
    }
    parted
}

#[target_feature(enable = "avx512f,avx512bw,bmi2,popcnt,fma")]
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
        let bar = _mm512_set1_ps(bars[g].above);
        let over = ordered(sums.map(|x| _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, bar)));
        let bar = _mm512_set1_ps(bars[g].below);
        let not_below = ordered(sums.map(|x| _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, bar)));
        let bar = _mm512_set1_ps(bars[g].keep);
        let keep = ordered(sums.map(|x| _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, bar)));
        parted.settle(g, over, not_below, keep, candidates, above);
    }
    parted
}

#[target_feature(enable = "avx512f,bmi2,fma")]
fn raise(accs: &[Grid<i32>], units: &[[f32; GROUP]], candidates: &[u32; GROUP], highest: &mut Grid<f32>) {
    for (g, highest) in highest.iter_mut().enumerate() {
        let sums = sum(accs, units, g);
        for odd in 0..2 {
            let wanted = _pext_u32(candidates[g], EVEN << odd) as u16;
            // SAFETY: sixteen numbers.
            unsafe {
                let at = highest.as_mut_ptr().add(odd * WIDE);
                let before = _mm512_loadu_ps(at);
                _mm512_storeu_ps(at, _mm512_mask_max_ps(before, wanted, before, sums[odd]));
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn twice([low, high]: [i16; 2]) -> __m512i {
    _mm512_set1_epi32(i32::from(low as u16) | i32::from(high) << 16)
}

/// Bits of a panel's even items.
const EVEN: u32 = 0x5555_5555;

/// Bits of the even and the odd items, in the items' order.
#[target_feature(enable = "bmi2")]
#[inline]
fn ordered([even, odd]: [u16; 2]) -> u32 {
    _pdep_u32(even.into(), EVEN) | _pdep_u32(odd.into(), EVEN << 1)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(acc: &[i32; PANEL]) -> [__m512i; 2] {
    // SAFETY: sixteen numbers each.
    unsafe { [_mm512_loadu_si512(acc.as_ptr().cast()), _mm512_loadu_si512(acc.as_ptr().add(WIDE).cast())] }
}

/// Sums over branches for user `g`, of the even and of the odd items.
#[target_feature(enable = "avx512f,fma")]
#[inline]
fn sum(accs: &[Grid<i32>], units: &[[f32; GROUP]], g: usize) -> [__m512; 2] {
    let mut sums = [_mm512_setzero_ps(); 2];
    for (acc, unit) in accs.iter().zip(units) {
        let unit = _mm512_set1_ps(unit[g]);
        for (sum, x) in sums.iter_mut().zip(load(&acc[g])) {
            *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(x), unit, *sum);
        }
    }
    sums
}

/// Lengths are equal.
#[target_feature(enable = "avx512f")]
#[inline]
fn dot(a: &[f64], b: &[f32]) -> f32 {
    let mut sums = [_mm512_setzero_pd(); 2];
    for i in 0..a.len() / (2 * LANES) {
        for (half, sum) in sums.iter_mut().enumerate() {
            let at = (2 * i + half) * LANES;
            // SAFETY: eight numbers of each, inside their length.
            let (x, y) =
                unsafe { (_mm512_loadu_pd(a.as_ptr().add(at)), _mm256_loadu_ps(b.as_ptr().add(at))) };
            *sum = _mm512_fmadd_pd(x, _mm512_cvtps_pd(y), *sum);
        }
    }
    // In the order of [`fold`].
    let lanes = _mm512_add_pd(sums[0], sums[1]);
    let half = _mm256_add_pd(_mm512_castpd512_pd256(lanes), _mm512_extractf64x4_pd::<1>(lanes));
    let pair = _mm_add_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd::<1>(half));
    let both = _mm_add_sd(pair, _mm_unpackhi_pd(pair, pair));
    (_mm_cvtsd_f64(both) + rest(a, b)) as f32
}

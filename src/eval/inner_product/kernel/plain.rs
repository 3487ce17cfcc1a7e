//! Plain loops, for machines without vector instructions and as the reference for those with them.

use super::{DOT_LANES, GROUP, Grid, Kernel, PANEL, Survivors, Thresholds, fold, lane, pairs, rest};

/// The kernel that every machine has.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Kernel for Plain {
    fn products(self, users: &[i32], panel: &[i16], acc: &mut Grid<i32>) {
        let p = pairs(users, panel);
        for (user, acc) in users.chunks_exact(p.max(1)).zip(acc) {
            acc.fill(0);
            for (&pair, items) in user.iter().zip(panel.chunks_exact(PANEL * 2)) {
                let (even, odd) = (i32::from(pair as i16), pair >> 16);
                for (sum, item) in acc.iter_mut().zip(items.chunks_exact(2)) {
                    *sum += even * i32::from(item[0]) + odd * i32::from(item[1]);
                }
            }
        }
    }

    fn compare(
        self,
        acc: &Grid<i32>,
        thresholds: &[Thresholds<[i16; 2]>; GROUP],
        candidates: &[u32; GROUP],
        higher: &mut [u32; GROUP],
    ) -> Survivors {
        compare_lanes(candidates, higher, |g| {
            let half = |[half, _]: [i16; 2]| i32::from(half);
            let Thresholds { higher, lower, best } = thresholds[g];
            let thresholds = Thresholds { higher: half(higher), lower: half(lower), best: half(best) };
            (acc[g].map(|sum| sum >> 16), thresholds)
        })
    }

    fn compare_sums(
        self,
        accs: &[Grid<i32>],
        units: &[[f32; GROUP]],
        thresholds: &[Thresholds<f32>; GROUP],
        candidates: &[u32; GROUP],
        higher: &mut [u32; GROUP],
    ) -> Survivors {
        compare_lanes(candidates, higher, |g| (sums(accs, units, g), thresholds[g]))
    }

    fn raise_maxima(
        self,
        accs: &[Grid<i32>],
        units: &[[f32; GROUP]],
        candidates: &[u32; GROUP],
        maxima: &mut Grid<f32>,
    ) {
        for (g, maxima) in maxima.iter_mut().enumerate() {
            for ((maxima, sum), bit) in maxima.iter_mut().zip(sums(accs, units, g)).zip(BITS) {
                *maxima = if candidates[g] & bit == 0 { *maxima } else { maxima.max(sum) };
            }
        }
    }

    #[inline(always)]
    fn dot(self, a: &[f64], b: &[f32]) -> f32 {
        assert!(a.len() == b.len(), "vectors of one width");
        let (mut first, mut second) = ([0.0f64; DOT_LANES], [0.0f64; DOT_LANES]);
        for (a, b) in a.chunks_exact(2 * DOT_LANES).zip(b.chunks_exact(2 * DOT_LANES)) {
            for lane in 0..DOT_LANES {
                first[lane] += a[lane] * f64::from(b[lane]);
                second[lane] += a[DOT_LANES + lane] * f64::from(b[DOT_LANES + lane]);
            }
        }
        fold(first, second, rest(a, b))
    }

    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        body()
    }
}

/// The bit of the item whose product is in each lane.
const BITS: [u32; PANEL] = {
    let mut bits = [0; PANEL];
    let mut item = 0;
    while item < PANEL {
        bits[lane(item)] = 1 << item;
        item += 1;
    }
    bits
};

/// Sums over branches for user `g`, in each lane.
#[inline(always)]
fn sums(accs: &[Grid<i32>], units: &[[f32; GROUP]], g: usize) -> [f32; PANEL] {
    let mut sums = [0.0; PANEL];
    for (acc, unit) in accs.iter().zip(units) {
        for (sum, &x) in sums.iter_mut().zip(&acc[g]) {
            *sum = (x as f32).mul_add(unit[g], *sum);
        }
    }
    sums
}

/// Compares the numbers in each lane with the thresholds, both given by `user` for each user. There are no branches, so that the
/// compiler vectorises the loop.
#[inline(always)]
fn compare_lanes<T: PartialOrd + Copy>(
    candidates: &[u32; GROUP],
    higher: &mut [u32; GROUP],
    user: impl Fn(usize) -> ([T; PANEL], Thresholds<T>),
) -> Survivors {
    let mut survivors = Survivors::default();
    for g in 0..GROUP {
        let (numbers, thresholds) = user(g);
        let (mut greater, mut not_less, mut best) = (0, 0, 0);
        for (x, bit) in numbers.into_iter().zip(BITS) {
            greater |= if x > thresholds.higher { bit } else { 0 };
            not_less |= if x >= thresholds.lower { bit } else { 0 };
            best |= if x >= thresholds.best { bit } else { 0 };
        }
        survivors.set(g, greater, not_less, best, candidates, higher);
    }
    survivors
}

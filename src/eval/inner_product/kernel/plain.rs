//! Plain loops.

use super::{Bars, GROUP, Grid, Kernel, LANES, PANEL, Parted, fold, pairs, rest, slot};

/// For machines without the instructions, and to hold the vector instructions against.
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

    fn part(
        self,
        acc: &Grid<i32>,
        bars: &[Bars<[i16; 2]>; GROUP],
        candidates: &[u32; GROUP],
        above: &mut [u32; GROUP],
    ) -> Parted {
        part_slots(candidates, above, |g| {
            let bar = |[bar, _]: [i16; 2]| i32::from(bar);
            let Bars { above, below, keep } = bars[g];
            (acc[g].map(|sum| sum >> 16), Bars { above: bar(above), below: bar(below), keep: bar(keep) })
        })
    }

    fn part_sums(
        self,
        accs: &[Grid<i32>],
        units: &[[f32; GROUP]],
        bars: &[Bars<f32>; GROUP],
        candidates: &[u32; GROUP],
        above: &mut [u32; GROUP],
    ) -> Parted {
        part_slots(candidates, above, |g| (sums(accs, units, g), bars[g]))
    }

    fn raise(
        self,
        accs: &[Grid<i32>],
        units: &[[f32; GROUP]],
        candidates: &[u32; GROUP],
        highest: &mut Grid<f32>,
    ) {
        for (g, highest) in highest.iter_mut().enumerate() {
            for ((highest, sum), bit) in highest.iter_mut().zip(sums(accs, units, g)).zip(BITS) {
                *highest = if candidates[g] & bit == 0 { *highest } else { highest.max(sum) };
            }
        }
    }

    #[inline(always)]
    fn dot(self, a: &[f64], b: &[f32]) -> f32 {
        assert!(a.len() == b.len(), "vectors of one width");
        let (mut first, mut second) = ([0.0f64; LANES], [0.0f64; LANES]);
        for (a, b) in a.chunks_exact(2 * LANES).zip(b.chunks_exact(2 * LANES)) {
            for lane in 0..LANES {
                first[lane] += a[lane] * f64::from(b[lane]);
                second[lane] += a[LANES + lane] * f64::from(b[LANES + lane]);
            }
        }
        fold(first, second, rest(a, b))
    }

    fn with_instructions<R>(self, body: impl FnOnce() -> R) -> R {
        body()
    }
}

/// Bit of the item whose product stands in each slot.
const BITS: [u32; PANEL] = {
    let mut bits = [0; PANEL];
    let mut item = 0;
    while item < PANEL {
        bits[slot(item)] = 1 << item;
        item += 1;
    }
    bits
};

/// Sums over branches for user `g`, by slot.
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

/// Parts the numbers by slot that `of` gives for each user. Without branches, so that the compiler finds vectors in it.
#[inline(always)]
fn part_slots<T: PartialOrd + Copy>(
    candidates: &[u32; GROUP],
    above: &mut [u32; GROUP],
    of: impl Fn(usize) -> ([T; PANEL], Bars<T>),
) -> Parted {
    let mut parted = Parted::default();
    for g in 0..GROUP {
        let (numbers, bars) = of(g);
        let (mut over, mut not_below, mut keep) = (0, 0, 0);
        for (x, bit) in numbers.into_iter().zip(BITS) {
            over |= if x > bars.above { bit } else { 0 };
            not_below |= if x >= bars.below { bit } else { 0 };
            keep |= if x >= bars.keep { bit } else { 0 };
        }
        parted.settle(g, over, not_below, keep, candidates, above);
    }
    parted
}

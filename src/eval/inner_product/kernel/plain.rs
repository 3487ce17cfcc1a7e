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
        by_item(bars, candidates, above, |g, i| [(acc[g][slot(i)] >> 16) as i16; 2])
    }

    fn part_sums(
        self,
        accs: &[Grid<i32>],
        units: &[[f32; GROUP]],
        bars: &[Bars<f32>; GROUP],
        candidates: &[u32; GROUP],
        above: &mut [u32; GROUP],
    ) -> Parted {
        by_item(bars, candidates, above, |g, i| sum(accs, units, g, slot(i)))
    }

    fn raise(
        self,
        accs: &[Grid<i32>],
        units: &[[f32; GROUP]],
        candidates: &[u32; GROUP],
        highest: &mut Grid<f32>,
    ) {
        for (g, highest) in highest.iter_mut().enumerate() {
            for i in (0..PANEL).filter(|i| candidates[g] >> i & 1 == 1) {
                highest[slot(i)] = highest[slot(i)].max(sum(accs, units, g, slot(i)));
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

fn sum(accs: &[Grid<i32>], units: &[[f32; GROUP]], g: usize, slot: usize) -> f32 {
    let each = accs.iter().zip(units);
    each.fold(0.0, |sum, (acc, unit)| (acc[g][slot] as f32).mul_add(unit[g], sum))
}

fn by_item<T: PartialOrd + Copy>(
    bars: &[Bars<T>; GROUP],
    candidates: &[u32; GROUP],
    above: &mut [u32; GROUP],
    of: impl Fn(usize, usize) -> T,
) -> Parted {
    let mut parted = Parted::default();
    for (g, bars) in bars.iter().enumerate() {
        for i in (0..PANEL).filter(|i| candidates[g] >> i & 1 == 1) {
            let x = of(g, i);
            above[g] += u32::from(x > bars.above);
            parted.open[g] |= u32::from(x <= bars.above && x >= bars.below) << i;
            parted.keep[g] |= u32::from(x >= bars.keep) << i;
        }
        parted.users |= u32::from(parted.open[g] | parted.keep[g] != 0) << g;
    }
    parted
}

//! Ranks by inner products against the scores of every item in f64.

use proptest::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::kernel::{Avx2, Wide};
use super::kernel::{GROUP, Grid, Kernel, PANEL, Plain, Thresholds, lane};
use super::quantized::{BLOCK, Quantized, pairs, quantize};
use super::{Catalogue, Query, View};
#[cfg(target_arch = "x86_64")]
use crate::need::need;

/// Deterministic numbers in -1..1.
fn numbers(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Users and items of `branches` branches.
struct World {
    d: usize,
    items: Vec<Vec<f32>>,
    users: Vec<Vec<f32>>,
    targets: Vec<u32>,
    masks: Vec<Vec<u32>>,
    /// Additions to the ensemble's scores.
    added: Vec<Vec<(u32, f32)>>,
}

impl World {
    /// Every third item repeats an earlier one, so that there are ties; lengths differ by `spread` powers of two.
    fn new(seed: u64, branches: usize, d: usize, items: usize, users: usize, spread: u32) -> Self {
        let mut next = numbers(seed);
        let mut rows = |count: usize, first_zero: bool| -> Vec<f32> {
            let mut rows = Vec::with_capacity(count * d);
            for row in 0..count {
                let factor = ((next() * spread as f32) as i32 as f32).exp2();
                if row == 0 && first_zero {
                    rows.extend(std::iter::repeat_n(0.0, d));
                } else if row % 3 == 2 && row > 3 {
                    let earlier = rows[(row - 2) * d..(row - 1) * d].to_vec();
                    rows.extend(earlier);
                } else {
                    rows.extend((0..d).map(|_| next() * factor));
                }
            }
            rows
        };
        let all_items = (0..branches).map(|_| rows(items + 1, true)).collect();
        let all_users = (0..branches).map(|_| rows(users, false)).collect();
        let mut next = numbers(seed + 1);
        let mut item = || 1 + (next().abs() * items as f32) as u32 % items as u32;
        let targets = (0..users).map(|_| item()).collect();
        let mask = |n: usize| {
            let mut mask: Vec<u32> = (0..n % 9).map(|_| item()).collect();
            mask.sort_unstable();
            mask.dedup();
            mask
        };
        let masks = (0..users).map(mask).collect();
        // Every other user has some, up or down; they are eighths, as exact as the scores of whole numbers.
        let mut next = numbers(seed + 2);
        let mut added = |n: usize| {
            let mut added: Vec<(u32, f32)> = (0..(n % 2) * 20)
                .map(|_| {
                    (
                        1 + (next().abs() * items as f32) as u32 % items as u32,
                        (next().abs() * 60.0).ceil() / 8.0,
                    )
                })
                .collect();
            added.sort_unstable_by_key(|a| a.0);
            added.dedup_by_key(|a| a.0);
            added
        };
        let added = (0..users).map(&mut added).collect();
        Self { d, items: all_items, users: all_users, targets, masks, added }
    }

    fn catalogue(&self) -> Catalogue {
        Catalogue::from_finite(self.items.clone(), self.d, self.items[0].len() / self.d - 1)
    }

    fn queries(&self) -> Vec<Query<'_>> {
        let each = self.targets.iter().zip(&self.masks).zip(&self.added);
        each.map(|((&target, masked), added)| Query { target, masked, added }).collect()
    }

    /// Standing (above, equal, missed) and the best k by a full sort of scores that are summed in f64 here.
    fn sorted(&self, view: View, n: usize, k: usize) -> (u32, u32, bool, Vec<u32>) {
        let items = self.items[0].len() / self.d;
        let dot = |b: usize, item: usize| -> f32 {
            let (user, row) = (&self.users[b][n * self.d..], &self.items[b][item * self.d..]);
            (0..self.d).map(|i| f64::from(user[i]) * f64::from(row[i])).sum::<f64>() as f32
        };
        let score = |item: usize| match view {
            View::Branch(b) => dot(b, item),
            View::Ensemble => {
                let mean = (0..self.items.len()).map(|b| dot(b, item)).reduce(|sum, x| sum + x).unwrap()
                    / self.items.len() as f32;
                let addition = self.added[n].iter().find(|a| a.0 == item as u32);
                mean + addition.map_or(0.0, |a| a.1)
            }
        };
        let (target, mask) = (self.targets[n], &self.masks[n]);
        let mut all: Vec<(f32, u32)> = (1..items)
            .filter(|&item| !mask.contains(&(item as u32)))
            .map(|item| (score(item), item as u32))
            .collect();
        let t = score(target as usize);
        let above = all.iter().filter(|(score, _)| *score > t).count() as u32;
        let equal = all.iter().filter(|(score, item)| *score == t && *item != target).count() as u32;
        all.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then(a.1.cmp(&b.1)));
        (above, equal, mask.contains(&target), all.into_iter().take(k).map(|(_, item)| item).collect())
    }

    fn check(&self, k: usize) {
        let views = View::all(self.items.len());
        let catalogue = self.catalogue();
        let found = catalogue.rank(&views, &self.users, &self.queries(), k);
        assert_eq!(found, catalogue.rank_with(Plain, &views, &self.users, &self.queries(), k));
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = Avx2::detect() {
            assert_eq!(found, catalogue.rank_with(kernel, &views, &self.users, &self.queries(), k));
        }
        assert_eq!(found.len(), self.targets.len());
        for (n, found) in found.iter().enumerate() {
            for (&view, found) in views.iter().zip(found) {
                let (above, equal, missed, best) = self.sorted(view, n, k);
                let standing = found.standing;
                assert_eq!((standing.above, standing.missed), (above, missed), "user {n}, {view:?}");
                if !missed {
                    assert_eq!(standing.equal, equal, "user {n}, {view:?}");
                    let place = found.best.iter().position(|&item| item == self.targets[n]);
                    let listed = f64::from(standing.above + standing.equal_before);
                    assert!(place.is_none_or(|place| place as f64 == listed), "user {n}, {view:?}");
                }
                assert_eq!(found.best, best, "user {n}, {view:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Sums in another order may round differently: whole numbers in eighths, so that f64 sums are exact.
    #[test]
    fn ranks_and_lists_equal_a_full_sort_of_f64_scores(
        seed in 1u64..1000, branches in 1usize..4, d in 1usize..40, items in 1usize..700, users in 1usize..30,
        spread in 0u32..6, k in 0usize..20,
    ) {
        let mut world = World::new(seed, branches, d, items, users, spread);
        for rows in world.items.iter_mut().chain(&mut world.users) {
            rows.iter_mut().for_each(|x| *x = (*x * 64.0).round() / 8.0);
        }
        world.check(k);
    }
}

#[test]
fn many_users_and_blocks_of_wide_vectors_equal_a_full_sort() {
    World::new(5, 3, 64, 2 * BLOCK + 17, 150, 1).check(10);
}

#[test]
fn zero_users_and_zero_items_tie() {
    let mut world = World::new(3, 2, 6, 300, 10, 0);
    world.users[0][..12].fill(0.0);
    world.users[1][..6].fill(0.0);
    world.items[1][6 * 20..].fill(0.0);
    world.check(5);
}

#[test]
fn vectors_near_the_ends_of_f32_are_ranked_all_the_same() {
    for (seed, factor) in
        (1..40).zip([1e-25f32, 1e-20, 1e-19, 1e-18, 1e-17, 1e-16, 1e15, 1e16].into_iter().cycle())
    {
        let mut world = World::new(seed, 2, 8, 600, 20, 1);
        for rows in world.items.iter_mut().chain(&mut world.users) {
            rows.iter_mut().for_each(|x| *x = (*x * 64.0).round() * factor.log2().round().exp2());
        }
        world.check(10);
    }
}

#[test]
fn a_user_who_is_not_finite_or_overflows_is_ranked_by_all_scores() {
    let mut world = World::new(4, 2, 4, 50, 4, 0);
    world.users[0][1] = f32::NAN;
    world.users[1][4] = f32::MAX;
    world.users[0][2 * 4] = f32::INFINITY;
    let found = world.catalogue().rank(&View::all(2), &world.users, &world.queries(), 3);
    // NaN stands above the target, and is never recommended.
    assert!(found[0][0].standing.missed && found[0][0].best.is_empty());
    assert_eq!(found[0][0].standing.nan, found[0][0].standing.candidates);
    // The second branch of that user is sound.
    assert_eq!(found[0][2].standing.nan, 0);
    assert_eq!(found[3].len(), 3);
    world.users[0][1] = 0.0;
    world.users[1][4] = 0.5;
    world.users[0][2 * 4] = 0.5;
    world.check(3);
}

#[test]
fn a_catalogue_that_is_not_finite_is_left_to_scores() {
    assert!(Catalogue::new(vec![vec![0.0, 1.0, f32::NAN]], 1).is_none());
    assert!(Catalogue::new(Vec::new(), 4).is_none());
}

#[test]
fn the_bound_holds_for_every_pair() {
    for (d, spread) in [(1, 0), (7, 4), (64, 1), (300, 2)] {
        let items = BLOCK + 50;
        let world = World::new(11, 1, d, items, 20, spread);
        let quantized = Quantized::new(&world.items[0][d..], d);
        for n in 0..20 {
            let user = &world.users[0][n * d..(n + 1) * d];
            let mut group = vec![0; GROUP * pairs(d)];
            let unit = quantize(user, &mut group[..pairs(d)]);
            for i in 0..items {
                let mut acc = [[0; PANEL]; GROUP];
                Plain.products(&group, quantized.panel(i / PANEL), &mut acc);
                let unit_of_items = &quantized.units[i / BLOCK];
                let row = &world.items[0][(1 + i) * d..];
                let exact: f64 = (0..d).map(|i| f64::from(user[i]) * f64::from(row[i])).sum();
                let near = f64::from(acc[0][lane(i % PANEL)]) * unit.value * unit_of_items.value;
                assert!((exact - near).abs() <= unit.slack(unit_of_items, 1), "{exact} and {near}");
            }
        }
    }
}

#[test]
fn the_bound_holds_for_the_mean_of_many_branches() {
    // From the 513th branch on, each addition rounds the sum up by half a step of it.
    let branches = 1000;
    let (user, item) = (32_767.0f32, 32_764.0f32);
    let catalogue = Catalogue::from_finite(vec![vec![0.0, item, user]; branches], 1, 2);
    let score = catalogue.score(Plain, View::Ensemble, &vec![f64::from(user); branches], 1);
    let unit = quantize(&[user], &mut [0]);
    let slack: f64 = catalogue.branches.iter().map(|b| unit.slack(&b.quantized.units[0], branches)).sum();
    let missed = (f64::from(score) - f64::from(user) * f64::from(item)).abs() * branches as f64;
    assert!(missed <= slack, "{missed} above {slack}");
    // More than the 32 roundings that cover 13 branches.
    assert!(missed > 32.0 * 2f64.powi(-24) * f64::from(user).powi(2) * branches as f64, "{missed}");
    let targets = Query { target: 1, masked: &[], added: &[] };
    let found = catalogue.rank(&[View::Ensemble], &vec![vec![user]; branches], &[targets], 2);
    assert_eq!((found[0][0].standing.above, found[0][0].best.clone()), (1, vec![2, 1]));
}

/// The kernels of this machine beside [`Plain`].
#[cfg(target_arch = "x86_64")]
#[test]
fn vector_instructions_and_plain_loops_give_the_same_bits() {
    let wide = Wide::detect().ok_or("this machine lacks AVX-512 with VNNI");
    if let Some(kernel) = need("avx512", wide) {
        same_bits(kernel);
    }
    let narrow = Avx2::detect().ok_or("this machine lacks AVX2 with FMA");
    if let Some(kernel) = need("avx2", narrow) {
        same_bits(kernel);
    }
}

#[cfg(target_arch = "x86_64")]
fn same_bits(kernel: impl Kernel) {
    let mut next = numbers(2);
    for p in [1, 3, 32] {
        let mut whole = |n: usize| -> Vec<i16> { (0..n).map(|_| (next() * 30_000.0) as i16 / 4).collect() };
        let panel = whole(PANEL * p * 2);
        let users: Vec<i32> = whole(GROUP * p * 2)
            .chunks_exact(2)
            .map(|pair| i32::from(pair[0] as u16) | (i32::from(pair[1]) << 16))
            .collect();
        let (mut fast, mut slow) = ([[0; PANEL]; GROUP], [[1; PANEL]; GROUP]);
        kernel.products(&users, &panel, &mut fast);
        Plain.products(&users, &panel, &mut slow);
        assert_eq!(fast, slow);
        let candidates: [u32; GROUP] = std::array::from_fn(|g| 0xf0f1_2345 >> g);
        both_compare_alike(kernel, &fast, &candidates);
    }
    for d in [0, 1, 15, 16, 17, 64, 100] {
        let (a, b): (Vec<f64>, Vec<f32>) = (0..d).map(|_| (f64::from(next()), next())).unzip();
        assert_eq!(kernel.dot(&a, &b), Plain.dot(&a, &b));
    }
}

#[cfg(target_arch = "x86_64")]
fn both_compare_alike(kernel: impl Kernel, acc: &Grid<i32>, candidates: &[u32; GROUP]) {
    // Thresholds that are scores themselves, so that equal ones occur.
    let thresholds: [Thresholds<i32>; GROUP] = std::array::from_fn(|g| Thresholds {
        higher: acc[g][3],
        lower: acc[g][9].min(acc[g][3]),
        best: acc[g][17],
    });
    let (mut above, mut plain_above) = ([1; GROUP], [1; GROUP]);
    let halves = thresholds.map(Thresholds::upper_halves);
    assert_eq!(
        kernel.compare(acc, &halves, candidates, &mut above),
        Plain.compare(acc, &halves, candidates, &mut plain_above)
    );
    assert_eq!(above, plain_above);
    let accs = [*acc, acc.map(|row| row.map(|x| x / 3))];
    let units = [[0.5; GROUP], std::array::from_fn(|g| g as f32)];
    let sum = |x: i32, g: usize| ((x / 3) as f32).mul_add(units[1][g], (x as f32).mul_add(0.5, 0.0));
    let thresholds: [Thresholds<f32>; GROUP] = std::array::from_fn(|g| {
        let Thresholds { higher, lower, best } = thresholds[g];
        Thresholds { higher: sum(higher, g), lower: sum(lower, g), best: sum(best, g) }
    });
    assert_eq!(
        kernel.compare_sums(&accs, &units, &thresholds, candidates, &mut above),
        Plain.compare_sums(&accs, &units, &thresholds, candidates, &mut plain_above)
    );
    assert_eq!(above, plain_above);
    let (mut maxima, mut plain_maxima) =
        ([[f32::NEG_INFINITY; PANEL]; GROUP], [[f32::NEG_INFINITY; PANEL]; GROUP]);
    kernel.raise_maxima(&accs, &units, candidates, &mut maxima);
    Plain.raise_maxima(&accs, &units, candidates, &mut plain_maxima);
    assert_eq!(maxima, plain_maxima);
}

#[test]
#[ignore = "a measurement: how long each kernel takes beside a product in f32 with full sorting out"]
fn times_of_the_kernels() {
    use burn::tensor::{Device, Tensor, TensorData};
    let (branches, d, items, users) = (3, 64, 20_000, 2048);
    let world = World::new(1, branches, d, items, users, 1);
    let (views, queries) = (View::all(branches), world.queries());
    let catalogue = world.catalogue();
    let timed = |name: &str, body: &mut dyn FnMut() -> u64| {
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = std::time::Instant::now();
            std::hint::black_box(body());
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("{name:>8} {:.1} ms for {users} users and {items} items", 1e3 * best);
    };
    let sum =
        |found: Vec<Vec<super::Found>>| found.iter().flatten().map(|f| u64::from(f.standing.above)).sum();
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = Wide::detect() {
        timed("avx-512", &mut || sum(catalogue.rank_with(kernel, &views, &world.users, &queries, 10)));
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = Avx2::detect() {
        timed("avx2", &mut || sum(catalogue.rank_with(kernel, &views, &world.users, &queries, 10)));
    }
    timed("plain", &mut || sum(catalogue.rank_with(Plain, &views, &world.users, &queries, 10)));
    let device = Device::flex();
    let tensor =
        |rows: &[f32]| Tensor::<2>::from_data(TensorData::new(rows.to_vec(), [rows.len() / d, d]), &device);
    let item_vectors: Vec<Tensor<2>> = world.items.iter().map(|rows| tensor(rows)).collect();
    timed("f32", &mut || {
        let mut above = 0;
        for first in (0..users).step_by(256) {
            let rows = |all: &Vec<f32>| tensor(&all[first * d..(first + 256) * d]);
            let user_vectors = world.users.iter().map(rows).collect();
            let mut scores = crate::recommend::scorer::branch_scores(user_vectors, &item_vectors);
            for scores in &mut scores {
                use rayon::prelude::*;
                let each = scores.par_chunks_exact_mut(items + 1).zip(&queries[first..first + 256]);
                above += each
                    .map(|(scores, query)| {
                        let mut best = crate::eval::rank::Best::new(10);
                        u64::from(super::Found::from_scores(scores, query, &mut best).standing.above)
                    })
                    .sum::<u64>();
            }
        }
        above
    });
}

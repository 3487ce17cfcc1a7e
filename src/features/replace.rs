//! Knock-outs: replacement of a store's features (docs/studies.md, section 4).
//!
//! Rows are computed on demand from a permutation, column moments or a counter-based draw. Nothing is written or held
//! in memory, so that features of any size can be replaced.

use std::sync::LazyLock;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::config::{Replace, ReplaceKind};
use crate::rng::mix64;

/// Mean and deviation of `noise`, as the published study draws it (docs/studies.md, section 4).
const NOISE: (f32, f32) = (1.0, 0.1);

/// 65536 equally likely values of a standard normal: 16 random bits choose one.
static NORMAL: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let steps = 1u32 << 16;
    let normal = Normal::standard();
    (0..steps).map(|i| normal.inverse_cdf((f64::from(i) + 0.5) / f64::from(steps)) as f32).collect()
});

/// A replacement of a store's rows.
pub(super) struct Replacement {
    kind: ReplaceKind,
    key: u64,
    /// The row that each item reads under `shuffle`, `[I + 1]`.
    rows: Vec<u32>,
    /// Mean and deviation of each column; empty if unused.
    columns: Vec<(f32, f32)>,
}

impl Replacement {
    /// For a store of `items` items and `width` columns; `moments` gives the mean and deviation of every column.
    pub fn new(
        items: usize,
        width: usize,
        moments: impl FnOnce() -> Vec<(f32, f32)>,
        replace: Replace,
        run_seed: u64,
    ) -> Self {
        let key = mix64(mix64(run_seed) ^ replace.seed);
        let mut rows = Vec::new();
        let mut columns = Vec::new();
        match replace.kind {
            ReplaceKind::Shuffle => {
                rows = (0..=items as u32).collect();
                rows[1..].shuffle(&mut ChaCha8Rng::seed_from_u64(key));
            }
            ReplaceKind::Moments | ReplaceKind::Fresh | ReplaceKind::Mean => columns = moments(),
            ReplaceKind::Noise => columns = vec![NOISE; width],
            ReplaceKind::Ones | ReplaceKind::Zeros | ReplaceKind::Hidden => {}
        }
        Self { kind: replace.kind, key, rows, columns }
    }

    /// Token counts of the items; `own` are the store's.
    pub fn lengths(&self, own: &[u32]) -> Vec<u32> {
        match self.kind {
            ReplaceKind::Shuffle => self.rows.iter().map(|&row| own[row as usize]).collect(),
            ReplaceKind::Hidden => vec![0; own.len()],
            _ => own.to_vec(),
        }
    }

    /// The stored row that `item` reads, if any.
    pub fn source(&self, item: u32) -> Option<u32> {
        self.rows.get(item as usize).copied()
    }

    /// Writes the first tokens of `item` to `out`, a whole number of tokens.
    pub fn fill(&self, item: u32, draw: u64, out: &mut [f32]) {
        match self.kind {
            ReplaceKind::Ones => out.fill(1.0),
            ReplaceKind::Zeros | ReplaceKind::Hidden | ReplaceKind::Shuffle => out.fill(0.0),
            ReplaceKind::Mean => {
                for token in out.chunks_mut(self.columns.len()) {
                    token.iter_mut().zip(&self.columns).for_each(|(x, column)| *x = column.0);
                }
            }
            ReplaceKind::Noise | ReplaceKind::Moments => self.normals(item, 0, out),
            ReplaceKind::Fresh => self.normals(item, draw, out),
        }
    }

    /// Draws components of an item's row. Component k is a function of (key, draw, item, k).
    fn normals(&self, item: u32, draw: u64, out: &mut [f32]) {
        let row = mix64(self.key ^ mix64(draw) ^ (u64::from(item) << 32));
        let mut bits = 0;
        for (k, (x, column)) in out.iter_mut().zip(self.columns.iter().cycle()).enumerate() {
            if k % 4 == 0 {
                bits = mix64(row.wrapping_add(k as u64));
            }
            *x = column.0 + column.1 * NORMAL[(bits & 0xffff) as usize];
            bits >>= 16;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use super::*;
    use crate::features::FeatureStore;
    use crate::features::{Precision, StoreWriter};

    const ITEMS: usize = 400;
    const WIDTH: usize = 8;

    /// Items 5, 10, … are missing; the others have 1 to 3 tokens that tell the item.
    fn store(home: &Path) -> FeatureStore {
        let dir = home.join("store");
        if !dir.exists() {
            let mut writer = StoreWriter::create(&dir, ITEMS, 3, WIDTH, Precision::F32).unwrap();
            for item in (1..=ITEMS).filter(|i| i % 5 != 0) {
                let value = |k: usize| item as f32 + 1000.0 * (k / WIDTH) as f32 + 0.01 * (k % WIDTH) as f32;
                let row: Vec<f32> = (0..(1 + item % 3) * WIDTH).map(value).collect();
                writer.push(item as u32, &row).unwrap();
            }
            writer.finish(serde_json::json!({})).unwrap();
        }
        FeatureStore::open(&dir).unwrap()
    }

    fn replaced(home: &Path, kind: ReplaceKind, seed: u64) -> FeatureStore {
        store(home).replaced(Replace { kind, seed }, 1)
    }

    fn row(store: &FeatureStore, item: u32, draw: u64) -> Vec<f32> {
        let mut out = vec![f32::NAN; 3 * WIDTH];
        store.gather_with_noise(item, 3, draw, &mut out);
        out
    }

    fn all(store: &FeatureStore) -> Vec<(usize, Vec<f32>)> {
        (1..=ITEMS as u32).map(|item| (store.length(item), row(store, item, 0))).collect()
    }

    #[test]
    fn shuffled_rows_are_a_permutation_and_lengths_travel_with_them() {
        let home = tempfile::tempdir().unwrap();
        let (own, shuffled) =
            (all(&store(home.path())), all(&replaced(home.path(), ReplaceKind::Shuffle, 7)));
        let sorted = |rows: &[(usize, Vec<f32>)]| {
            let mut bits: Vec<(usize, Vec<u32>)> =
                rows.iter().map(|(n, r)| (*n, r.iter().map(|x| x.to_bits()).collect())).collect();
            bits.sort();
            bits
        };
        assert_eq!(sorted(&own), sorted(&shuffled));
        // A random permutation has one fixed point in the mean; missing rows are all alike.
        let fixed = own.iter().zip(&shuffled).filter(|(a, b)| a.0 > 0 && a == b).count();
        assert!(fixed <= 6, "{fixed} fixed points");
        let again = all(&replaced(home.path(), ReplaceKind::Shuffle, 7));
        let other = all(&replaced(home.path(), ReplaceKind::Shuffle, 8));
        assert!(again == shuffled && other != shuffled);
        let other_run = store(home.path()).replaced(Replace { kind: ReplaceKind::Shuffle, seed: 7 }, 2);
        assert_ne!(all(&other_run), shuffled);
    }

    #[test]
    fn noise_is_normal_around_one_drawn_once_and_reproducible() {
        let home = tempfile::tempdir().unwrap();
        let values = |seed: u64, draw: u64| -> Vec<f32> {
            let noise = replaced(home.path(), ReplaceKind::Noise, seed);
            let drawn = |item: u32| row(&noise, item, draw)[..noise.length(item) * WIDTH].to_vec();
            (1..=ITEMS as u32).flat_map(drawn).collect()
        };
        // One store has too few components for three digits: draws under 40 seeds together.
        let many: Vec<f64> = (0..40).flat_map(|seed| values(seed, 0)).map(f64::from).collect();
        let mean = many.iter().sum::<f64>() / many.len() as f64;
        let deviation =
            (many.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (many.len() - 1) as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.001, "mean {mean}");
        assert!((deviation - 0.1).abs() < 0.001, "deviation {deviation}");
        assert!(many.iter().map(|x| x.to_bits()).collect::<HashSet<_>>().len() > 10_000);
        assert_eq!(values(3, 0), values(3, 9));
        assert_ne!(values(3, 0), values(4, 0));
    }

    #[test]
    fn moments_are_those_of_the_columns_and_fresh_noise_has_no_identity() {
        let home = tempfile::tempdir().unwrap();
        let own = store(home.path()).moments();
        let drawn = replaced(home.path(), ReplaceKind::Moments, 1).moments();
        for (own, drawn) in own.iter().zip(&drawn) {
            // 640 tokens: a standard error of 4 % of the deviation.
            assert!((own.0 - drawn.0).abs() < 0.16 * own.1, "{own:?} {drawn:?}");
            assert!((own.1 / drawn.1 - 1.0).abs() < 0.12, "{own:?} {drawn:?}");
        }
        let fresh = replaced(home.path(), ReplaceKind::Fresh, 1);
        assert_eq!(row(&fresh, 4, 3), row(&fresh, 4, 3));
        assert_ne!(row(&fresh, 4, 3), row(&fresh, 4, 4));
        let fixed = replaced(home.path(), ReplaceKind::Moments, 1);
        assert_eq!(row(&fixed, 4, 3), row(&fixed, 4, 4));
    }

    #[test]
    fn constants_are_exact_and_hidden_items_are_missing() {
        let home = tempfile::tempdir().unwrap();
        let own = store(home.path());
        let means: Vec<f32> = own.moments().iter().map(|c| c.0).collect();
        for (kind, expected) in [
            (ReplaceKind::Ones, vec![1.0; WIDTH]),
            (ReplaceKind::Zeros, vec![0.0; WIDTH]),
            (ReplaceKind::Mean, means),
        ] {
            let constant = replaced(home.path(), kind, 0);
            for item in 1..=ITEMS as u32 {
                assert_eq!(constant.length(item), own.length(item));
                let (row, filled) = (row(&constant, item, 0), own.length(item) * WIDTH);
                assert!(row[..filled].chunks(WIDTH).all(|token| token == expected));
                assert!(row[filled..].iter().all(|&x| x == 0.0));
            }
            assert!(constant.is_flat());
        }
        assert!(!own.is_flat() && !replaced(home.path(), ReplaceKind::Shuffle, 0).is_flat());
        assert_eq!(replaced(home.path(), ReplaceKind::Hidden, 0).missing(), ITEMS);
    }

    #[test]
    fn hidden_items_are_missing_and_the_others_stay_as_they_were() {
        let home = tempfile::tempdir().unwrap();
        for own in [store(home.path()), replaced(home.path(), ReplaceKind::Shuffle, 7)] {
            let gone = |item: usize| item % 3 == 1;
            let hidden: Vec<bool> = (0..=ITEMS).map(gone).collect();
            let poorer = own.hiding(&hidden);
            let (before, after) = (all(&own), all(&poorer));
            for (item, (before, after)) in (1..).zip(before.iter().zip(&after)) {
                if gone(item) {
                    assert_eq!(*after, (0, vec![0.0; 3 * WIDTH]));
                } else {
                    assert_eq!(before, after);
                }
            }
            assert_eq!(all(&own.hiding(&[false; ITEMS + 1])), before);
            let others: Vec<bool> = (0..=ITEMS).map(|item| item % 3 == 2).collect();
            let hashes = [own.hash(), poorer.hash(), own.hiding(&others).hash()].map(str::to_owned);
            assert_eq!(HashSet::from(hashes).len(), 3);
        }
    }

    #[test]
    fn a_replaced_store_has_another_hash() {
        let home = tempfile::tempdir().unwrap();
        let hashes: HashSet<String> = [ReplaceKind::Shuffle, ReplaceKind::Ones, ReplaceKind::Mean]
            .into_iter()
            .map(|kind| replaced(home.path(), kind, 0).hash().to_owned())
            .chain([store(home.path()).hash().to_owned()])
            .collect();
        assert_eq!(hashes.len(), 4);
    }
}

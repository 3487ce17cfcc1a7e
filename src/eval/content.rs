//! A baseline for new items: nearest content, untrained (docs/studies.md, section 6.3).

use rayon::prelude::*;

use super::scorer::{ScoreError, Scorer};
use crate::data::{Dataset, Target};
use crate::features::{FeatureStore, mean_token, normalise};

/// Number of history items that count.
const RECENT: usize = 5;

/// Scores items by their similarity to the last items of the history. An item's vector is the mean token of each view,
/// centred on the catalogue and of length 1.
pub struct ContentNearest<'a> {
    dataset: &'a Dataset,
    /// `[I + 1, width]`; zeros where an item has no features.
    vectors: Vec<f32>,
    width: usize,
}

impl<'a> ContentNearest<'a> {
    /// `stores` have a row for each item of `dataset`.
    pub fn new(dataset: &'a Dataset, stores: &[&FeatureStore]) -> Self {
        let items = dataset.items.count();
        let width = stores.iter().map(|store| store.width()).sum();
        let mut vectors = vec![0.0; (items + 1) * width];
        let mut start = 0;
        for store in stores {
            let view = unit_means(store, items);
            for (row, view) in vectors.chunks_exact_mut(width).zip(view.chunks_exact(store.width())) {
                row[start..start + store.width()].copy_from_slice(view);
            }
            start += store.width();
        }
        Self { dataset, vectors, width }
    }

    fn row(&self, item: u32) -> &[f32] {
        &self.vectors[item as usize * self.width..][..self.width]
    }
}

/// `[I + 1, f]`: mean tokens less their mean over the catalogue, each of length 1.
fn unit_means(store: &FeatureStore, items: usize) -> Vec<f32> {
    let width = store.width();
    let mut all = vec![0.0f32; (items + 1) * width];
    let mut centre = vec![0.0f64; width];
    for item in 1..=items {
        let row = &mut all[item * width..(item + 1) * width];
        mean_token(store, item as u32, row);
        centre.iter_mut().zip(row).for_each(|(c, r)| *c += f64::from(*r));
    }
    let present = (items - store.missing()).max(1) as f64;
    for item in (1..=items).filter(|&item| store.length(item as u32) > 0) {
        let row = &mut all[item * width..(item + 1) * width];
        row.iter_mut().zip(&centre).for_each(|(r, c)| *r -= (c / present) as f32);
        normalise(row);
    }
    all
}

impl Scorer for ContentNearest<'_> {
    fn names(&self) -> Vec<String> {
        vec!["content".into()]
    }

    fn items(&self) -> usize {
        self.dataset.items.count()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let (this, width) = (&*self, self.items() + 1);
        for out in out {
            out.resize(targets.len() * width, 0.0);
            out.par_chunks_exact_mut(width).zip(targets).for_each(|(scores, target)| {
                let history = this.dataset.history(target);
                let mut user = vec![0.0f32; this.width];
                for &item in &history[history.len().saturating_sub(RECENT)..] {
                    user.iter_mut().zip(this.row(item)).for_each(|(u, v)| *u += v);
                }
                for (item, score) in (0u32..).zip(scores) {
                    *score = this.row(item).iter().zip(&user).map(|(a, b)| a * b).sum();
                }
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Part;
    use crate::eval::fixtures::{dataset, leave_one_out};
    use crate::features::{Precision, StoreWriter};

    #[test]
    fn items_score_by_their_cosine_to_the_last_items_around_the_catalogues_mean() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("x");
        let mut writer = StoreWriter::create(&dir, 4, 2, 2, Precision::F32).unwrap();
        // Means (3, 1), (1, 3), (5, 5), none: around (3, 3) these are (0, -2), (-2, 0), (2, 2).
        writer.push(1, &[2.0, 0.0, 4.0, 2.0]).unwrap();
        writer.push(2, &[1.0, 3.0]).unwrap();
        writer.push(3, &[5.0, 5.0]).unwrap();
        writer.finish(serde_json::json!({})).unwrap();
        let store = FeatureStore::open(&dir).unwrap();
        let data = dataset(4, &leave_one_out(&[&[1, 4, 2]]));
        let mut out = vec![Vec::new()];
        ContentNearest::new(&data, &[&store]).score(&data.targets(Part::Test), &mut out).unwrap();
        let expected = [0.0, 1.0, 0.0, -(0.5f32.sqrt()), 0.0];
        assert!(out[0].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{out:?}");
    }
}

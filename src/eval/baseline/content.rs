//! Item-kNN on content features.
//!
//! Shapes: `I` items, `F` width of all views together.

use std::sync::Arc;

use rayon::prelude::*;

use super::knn::{Neighbours, nearest};
use super::{Counted, Terms, known_counts};
use crate::data::{Dataset, Target};
use crate::eval::scorer::{ScoreError, Scorer};
use crate::features::{FeatureStore, mean_token, normalise};
use crate::ops::simd;

/// Items whose similarities are computed together, so that each other item is read once for all of them.
const BLOCK: usize = 8;

/// One view's features under its name.
#[derive(Clone)]
pub struct ContentView {
    pub name: String,
    pub store: Arc<FeatureStore>,
}

/// Items that look or read alike: sum over the views of the cosine of mean token vectors, 50 neighbours.
///
/// A view that an item lacks adds nothing; an item without any view has no neighbours.
pub struct ContentKnn<'a> {
    dataset: &'a Dataset,
    name: String,
    views: Vec<ContentView>,
    terms: Terms,
    /// Neighbours depend on no interaction, the popularity that breaks ties does.
    counted: Counted<Neighbours>,
}

impl<'a> ContentKnn<'a> {
    /// Rows are called `<name>`; the stores cover the items of `dataset`.
    pub fn new(dataset: &'a Dataset, name: &str, views: Vec<ContentView>, terms: Terms) -> Self {
        Self { dataset, name: name.to_owned(), views, terms, counted: Counted::nothing() }
    }

    /// Multiplications that finding the neighbours takes.
    pub fn work(&self) -> f64 {
        let width: usize = self.views.iter().map(|v| v.store.width()).sum();
        (self.dataset.items.count() as f64).powi(2) * width as f64
    }
}

/// `[I + 1, F]`: per view the mean of an item's tokens with length 1, zeros where it has none.
fn unit_vectors(views: &[ContentView], items: usize) -> (Vec<f32>, usize) {
    let width: usize = views.iter().map(|v| v.store.width()).sum();
    let mut all = vec![0.0f32; (items + 1) * width.max(1)];
    all.par_chunks_exact_mut(width.max(1)).enumerate().skip(1).for_each(|(item, row)| {
        let mut start = 0;
        for view in views {
            let f = view.store.width();
            let out = &mut row[start..start + f];
            start += f;
            mean_token(&view.store, item as u32, out);
            normalise(out);
        }
    });
    (all, width)
}

/// Neighbours of every item by the sum over the views of their cosines, nearest first; row 0 is padding and empty. Memory: the
/// vectors, K neighbours per item, and `BLOCK` rows of I per thread.
pub fn content_neighbours(views: &[ContentView], items: usize) -> Vec<Vec<(f32, u32)>> {
    let (vectors, width) = unit_vectors(views, items);
    if width == 0 {
        return vec![Vec::new(); items + 1];
    }
    neighbours(&vectors, &vectors, width, |item, other| item != other)
}

/// `[N]`: the same for items of another store, by one view: each one's neighbours among the items of `view`.
pub fn content_neighbours_of(
    new: &ContentView,
    count: usize,
    view: &ContentView,
    items: usize,
) -> Vec<Vec<(f32, u32)>> {
    let (vectors, width) = unit_vectors(std::slice::from_ref(view), items);
    let (queries, own_width) = unit_vectors(std::slice::from_ref(new), count);
    if width == 0 || width != own_width {
        return vec![Vec::new(); count];
    }
    neighbours(&queries[width..], &vectors, width, |_, _| true)
}

/// Neighbours of each query among `vectors`, whose row 0 is padding, as far as the pair may count.
fn neighbours(
    queries: &[f32],
    vectors: &[f32],
    width: usize,
    counts: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<Vec<(f32, u32)>> {
    let lists: Vec<Vec<Vec<(f32, u32)>>> = queries
        .par_chunks(BLOCK * width)
        .enumerate()
        .map(|(block, queries)| {
            let mut found = vec![Vec::new(); queries.len() / width];
            simd::dispatch(
                #[inline(always)]
                || {
                    for (other, vector) in vectors.chunks_exact(width).enumerate().skip(1) {
                        for (row, query) in queries.chunks_exact(width).enumerate() {
                            let cosine = simd::sum(
                                [query, vector],
                                #[inline(always)]
                                |[a, b]| a * b,
                            );
                            if cosine > 0.0 && counts(block * BLOCK + row, other) {
                                found[row].push((cosine, other as u32));
                            }
                        }
                    }
                },
            );
            found.into_iter().map(nearest).collect()
        })
        .collect();
    lists.into_iter().flatten().collect()
}

impl Scorer for ContentKnn<'_> {
    fn names(&self) -> Vec<String> {
        vec![self.terms.name(&self.name)]
    }

    fn items(&self) -> usize {
        self.dataset.items.count()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let (dataset, terms) = (self.dataset, self.terms);
        let neighbours = self.counted.get(dataset, targets, terms.known, |end| {
            let lists = content_neighbours(&self.views, dataset.items.count());
            Neighbours::new(lists, &known_counts(dataset, end))
        });
        out.iter_mut().for_each(|out| neighbours.score(dataset, targets, terms, out));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Part;
    use crate::eval::fixtures::{dataset, leave_one_out};
    use crate::features::{Precision, StoreWriter};

    /// Two tokens of width 3 per item; item 3 has none.
    fn view(home: &std::path::Path, name: &str, angle: f32) -> (ContentView, Vec<Vec<f64>>) {
        let dir = home.join(name);
        let mut writer = StoreWriter::create(&dir, 6, 2, 3, Precision::F32).unwrap();
        let mut means = vec![vec![0.0; 3]];
        for item in 1..=6u32 {
            let turn = angle * item as f32;
            let tokens = [turn.cos(), turn.sin(), 0.3, 0.5, turn.cos(), turn.sin()];
            let mean = (0..3).map(|i| f64::from(tokens[i]) + f64::from(tokens[i + 3])).collect();
            means.push(if item == 3 { vec![0.0; 3] } else { mean });
            if item != 3 {
                writer.push(item, &tokens).unwrap();
            }
        }
        writer.finish(serde_json::json!({})).unwrap();
        let store = Arc::new(FeatureStore::open(&dir).unwrap());
        (ContentView { name: name.into(), store }, means)
    }

    #[test]
    fn ties_go_by_the_popularity_that_the_terms_know() {
        // Without features nobody has neighbours: items 1 and 2 are level in training, and 2 is a validation item.
        let data = dataset(4, &leave_one_out(&[&[1, 2, 2, 3], &[1, 2, 4, 3]]));
        let (equal, more) = (Terms::default(), Terms::default().knowing_validation());
        for (part, terms, is_level) in [
            (Part::Valid, equal, true),
            (Part::Test, equal, true),
            (Part::Valid, more, true),
            (Part::Test, more, false),
        ] {
            let mut out = vec![Vec::new()];
            let mut knn = ContentKnn::new(&data, "text-knn", Vec::new(), terms);
            knn.score(&data.targets(part)[..1], &mut out).unwrap();
            let (one, two) = (out[0][1], out[0][2]);
            assert!(if is_level { one == two } else { one < two }, "{part:?}, {terms:?}: {one}, {two}");
        }
    }

    #[test]
    fn content_knn_equals_the_sum_of_cosines_in_f64() {
        let home = tempfile::tempdir().unwrap();
        let (text, text_means) = view(home.path(), "text", 0.7);
        let (image, image_means) = view(home.path(), "image", 1.9);
        let cosine = |means: &[Vec<f64>], a: usize, b: usize| {
            let dot =
                |x: usize, y: usize| -> f64 { means[x].iter().zip(&means[y]).map(|(p, q)| p * q).sum() };
            let norm = (dot(a, a) * dot(b, b)).sqrt();
            if norm > 0.0 { dot(a, b) / norm } else { 0.0 }
        };
        let data = dataset(6, &leave_one_out(&[&[1, 2, 5, 6], &[4, 4, 3, 1]]));
        let targets = data.targets(Part::Test);
        let mut out = vec![Vec::new()];
        let mut knn = ContentKnn::new(&data, "content-knn", vec![text, image], Terms::default());
        knn.score(&targets, &mut out).unwrap();
        for (target, row) in targets.iter().zip(out[0].chunks_exact(7)) {
            let mut history: Vec<usize> = data.history(target).iter().map(|&i| i as usize).collect();
            history.sort_unstable();
            history.dedup();
            let formula = |item: usize| -> f64 {
                let similar = |&h: &usize| cosine(&text_means, h, item) + cosine(&image_means, h, item);
                history.iter().filter(|&&h| h != item).map(|h| similar(h).max(0.0)).sum()
            };
            for a in 1..=6 {
                for b in 1..=6 {
                    if (formula(a) - formula(b)).abs() > 1e-5 {
                        assert_eq!(row[a] > row[b], formula(a) > formula(b), "items {a} and {b}");
                    }
                }
            }
        }
    }
}

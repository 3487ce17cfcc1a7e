//! Item vectors: views pooled over their tokens and joined, and random vectors as a baseline.
//!
//! Shapes: `I` items, `F` width of all views together, `n` rows of a tile.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::eval::baseline::ContentView;
use crate::features::{mean_token, normalise};
use crate::rng::mix64;

/// Size of a tile of products in bytes.
const TILE_BYTES: usize = 64 << 20;

/// Item vectors of length 1; items without a vector have zeros and are marked.
///
/// Each view contributes the mean of an item's tokens, scaled to length 1. Several views are concatenated and scaled to
/// length 1 again, so that the vector of an item that lacks a view is that of its other views.
pub struct Vectors {
    pub name: String,
    /// F
    pub width: usize,
    /// `[I + 1, F]`, row 0 is padding.
    pub values: Vec<f32>,
    /// Whether each item has a vector, `[I + 1]`.
    pub present: Vec<bool>,
    /// Number of items with NaN, infinite or zero features in a view, which they count as lacking.
    pub unusable: usize,
}

impl Vectors {
    /// Pools and joins `views`; item `i` counts as lacking view `v` if `masked(v, i)`.
    pub fn pooled(
        name: &str,
        views: &[ContentView],
        items: usize,
        masked: impl Fn(usize, usize) -> bool + Sync,
    ) -> Self {
        let width = views.iter().map(|v| v.store.width()).sum::<usize>().max(1);
        let mut values = vec![0.0f32; (items + 1) * width];
        let bad: Vec<bool> = values
            .par_chunks_exact_mut(width)
            .enumerate()
            .map(|(item, row)| {
                let (mut start, mut bad) = (0, false);
                for (v, view) in views.iter().enumerate() {
                    let f = view.store.width();
                    let out = &mut row[start..start + f];
                    start += f;
                    if item > 0 && !masked(v, item) && mean_token(&view.store, item as u32, out) {
                        bad |= !normalise(out);
                    }
                }
                normalise(row);
                bad
            })
            .collect();
        let present = values.par_chunks_exact(width).map(|row| row.iter().any(|&x| x != 0.0)).collect();
        let unusable = bad.iter().filter(|&&b| b).count();
        Self { name: name.to_owned(), width, values, present, unusable }
    }

    /// Independent normal vectors for the items that are true in `like`, as a baseline. A function of `seed` alone.
    pub fn random(width: usize, like: &[bool], seed: u64) -> Self {
        let mut values = vec![0.0f32; like.len() * width];
        values.par_chunks_exact_mut(width).enumerate().filter(|(i, _)| like[*i]).for_each(|(item, row)| {
            for (f, out) in row.iter_mut().enumerate() {
                *out = normal(mix64(mix64(seed) ^ mix64((item * width + f) as u64)));
            }
            normalise(row);
        });
        Self { name: "random".into(), width, values, present: like.to_vec(), unusable: 0 }
    }

    pub fn row(&self, item: usize) -> &[f32] {
        &self.values[item * self.width..(item + 1) * self.width]
    }

    /// Number of items without a vector.
    pub fn missing(&self) -> usize {
        self.present.iter().skip(1).filter(|&&p| !p).count()
    }
}

/// A standard normal number from 64 random bits (Box and Muller).
fn normal(bits: u64) -> f32 {
    let unit = |b: u64| ((b >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let (radius, angle) = (unit(bits), unit(mix64(bits)));
    ((-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()) as f32
}

/// A matrix of rows for dot products with queries.
pub struct RowMatrix {
    matrix_fi: Tensor<2>,
    rows: usize,
    width: usize,
    device: Device,
}

impl RowMatrix {
    /// `values` is `[rows, width]`.
    pub fn new(values: &[f32], width: usize) -> Self {
        let device = Device::flex();
        let rows = values.len() / width;
        let matrix = Tensor::<2>::from_data(TensorData::new(values.to_vec(), [rows, width]), &device);
        Self { matrix_fi: matrix.transpose(), rows, width, device }
    }

    /// Dot products of `queries` `[n, width]` with every row, `[n, rows]`.
    pub fn products(&self, queries: &[f32]) -> Vec<f32> {
        let n = queries.len() / self.width;
        let data = TensorData::new(queries.to_vec(), [n, self.width]);
        let products = Tensor::<2>::from_data(data, &self.device).matmul(self.matrix_fi.clone());
        products.into_data().try_into_vec().unwrap_or_else(|_| vec![0.0; n * self.rows])
    }

    /// Calls `f(query number, its products)` for every query, on all cores and in tiles of bounded memory.
    pub fn each<T: Send>(&self, queries: &[f32], f: impl Fn(usize, &[f32]) -> T + Sync) -> Vec<T> {
        let tile = (TILE_BYTES / (self.rows.max(1) * size_of::<f32>())).max(1);
        let mut found = Vec::with_capacity(queries.len() / self.width);
        for (number, queries) in queries.chunks(tile * self.width).enumerate() {
            let products = self.products(queries);
            let row = |(i, row)| f(number * tile + i, row);
            found.par_extend(products.par_chunks_exact(self.rows).enumerate().map(row));
        }
        found
    }
}

/// The `k` allowed items with the largest products; ties in order of the item number.
pub fn nearest(products: &[f32], k: usize, allowed: impl Fn(usize) -> bool) -> Vec<(f32, u32)> {
    let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let mut all: Vec<(f32, u32)> = products
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(i, _)| allowed(*i))
        .map(|(i, &s)| (s, i as u32))
        .collect();
    if all.len() > k && k > 0 {
        all.select_nth_unstable_by(k - 1, order);
    }
    all.truncate(k);
    all.sort_unstable_by(order);
    all
}

//! Items that are alike by the features of one view.

use super::Lists;
use crate::eval::baseline::{ContentView, content_neighbours};

/// Cosines of features crowd together: their cubes set near twins apart from what is merely of the same kind.
const POWER: i32 = 3;
/// Multiplications up to which neighbours are looked for: I² · F. Beyond it a view is left out, and a notice says so.
pub const MOST_WORK: f64 = 4e13;

/// Multiplications that [`alike`] takes.
pub fn work(view: &ContentView, items: usize) -> f64 {
    (items as f64).powi(2) * view.store.width() as f64
}

/// `[I + 1, I + 1]`: the cubed cosines of each item's nearest items, by the mean of their tokens. An item without the view is
/// near to nothing.
pub fn alike(view: &ContentView, items: usize) -> Lists {
    let near = content_neighbours(std::slice::from_ref(view), items);
    Lists::from_rows(near.into_iter().map(powered))
}

/// Neighbours as entries of a row.
pub(super) fn powered(near: Vec<(f32, u32)>) -> Vec<(u32, f32)> {
    let mut row: Vec<(u32, f32)> =
        near.into_iter().map(|(cosine, other)| (other, cosine.powi(POWER))).collect();
    row.sort_unstable_by_key(|entry| entry.0);
    row
}

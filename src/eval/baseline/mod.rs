//! Untrained baselines, which every report includes: popularity, counted transitions, nearest neighbours.
//!
//! [`Terms`] say what they count: the training part alone, as a model is trained, or the validation items as well where test
//! targets are scored, in rows whose names say so. Histories hold the validation item either way, as for models.

mod baskets;
mod content;
mod knn;
mod popularity;
mod terms;
mod transitions;

pub use baskets::{Baskets, SHRINKAGE};
pub use content::{ContentKnn, ContentView, content_neighbours, content_neighbours_of};
pub use knn::ItemKnn;
pub use popularity::{Popularity, RecentPopularity};
pub use terms::{KNOWS_VALIDATION, Known, Terms, Unscored, is_equal};
pub use transitions::Transitions;

use crate::data::{Dataset, Part, Target};

/// User `u`'s items before the part `end`.
fn known(dataset: &Dataset, u: usize, end: Part) -> &[u32] {
    let parts = dataset.sequences.parts_of(u);
    let n = parts.iter().take_while(|&&p| p < end).count();
    &dataset.sequences.items_of(u)[..n]
}

/// Number of each item's interactions before the part `end`; entry 0 is padding.
fn known_counts(dataset: &Dataset, end: Part) -> Vec<u32> {
    let mut counts = vec![0; dataset.items.count() + 1];
    for u in 0..dataset.sequences.users() {
        for &item in known(dataset, u, end) {
            counts[item as usize] += 1;
        }
    }
    counts
}

/// What a baseline has counted, and the first part that it did not count.
struct Counted<T>(Option<(Part, T)>);

impl<T> Counted<T> {
    fn nothing() -> Self {
        Self(None)
    }

    /// The counts for `targets`, which belong to one part: `count` makes them of what comes before a part, unless they are
    /// there.
    fn get(
        &mut self,
        dataset: &Dataset,
        targets: &[Target],
        known: Known,
        count: impl FnOnce(Part) -> T,
    ) -> &T {
        let part = |t: &Target| dataset.sequences.parts_of(t.user as usize)[t.position as usize];
        let end = known.end(targets.first().map_or(Part::Valid, part));
        let counted = self.0.take().filter(|counted| counted.0 == end);
        &self.0.insert(counted.unwrap_or_else(|| (end, count(end)))).1
    }
}

/// Place of each count among the distinct counts, from 0.
fn dense_ranks(counts: &[u32]) -> Vec<f32> {
    let mut distinct = counts.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    counts.iter().map(|c| distinct.partition_point(|d| d < c) as f32).collect()
}

/// Turns sums into scores such that comparing scores compares (sum, popularity): dense ranks, exact in f32.
/// Items with a sum rank above those without one, which `unscored` decides on.
///
/// `reached` are the distinct items whose sum is not 0; their sums are set back to 0. `popularity` are
/// [`dense_ranks`], `out` has as many entries.
fn place(mut reached: Vec<u32>, sums: &mut [f64], popularity: &[f32], unscored: Unscored, out: &mut [f32]) {
    let key = |item: u32| (sums[item as usize], popularity[item as usize]);
    reached.sort_unstable_by(|&a, &b| {
        let (a, b) = (key(a), key(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    match unscored {
        Unscored::Popular => out.copy_from_slice(popularity),
        Unscored::Missed => out.fill(f32::NEG_INFINITY),
    }
    let mut place = popularity.iter().copied().fold(0.0, f32::max);
    let mut before = None;
    for &item in &reached {
        if before != Some(key(item)) {
            place += 1.0;
            before = Some(key(item));
        }
        out[item as usize] = place;
    }
    for &item in &reached {
        sums[item as usize] = 0.0;
    }
}

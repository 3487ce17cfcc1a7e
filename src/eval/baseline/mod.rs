//! Untrained floors that stand in every report: popularity, counted transitions, nearest neighbours.
//!
//! All count what is known before the targets of the judged part: for validation targets the training
//! interactions, for test targets the validation items as well. Published floors are counted so; a model
//! trained on the training part alone meets the validation items in histories only.

mod baskets;
mod content;
mod knn;
mod popularity;
mod transitions;

pub use baskets::Baskets;
pub use content::{ContentKnn, ContentView};
pub use knn::ItemKnn;
pub use popularity::{Popularity, RecentPopularity};
pub use transitions::Transitions;

use crate::data::{Dataset, Part, Target};

/// User `u`'s leading items that lie before the targets of `part`.
fn known(dataset: &Dataset, u: usize, part: Part) -> &[u32] {
    let parts = dataset.sequences.parts_of(u);
    let n = parts.iter().take_while(|&&p| p < part).count();
    &dataset.sequences.items_of(u)[..n]
}

/// How often each item is known before the targets of `part`; entry 0 is padding.
fn known_counts(dataset: &Dataset, part: Part) -> Vec<u32> {
    let mut counts = vec![0; dataset.items.count() + 1];
    for u in 0..dataset.sequences.users() {
        for &item in known(dataset, u, part) {
            counts[item as usize] += 1;
        }
    }
    counts
}

/// What a baseline has counted for the part that is judged at present.
struct Counted<T>(Option<(Part, T)>);

impl<T> Counted<T> {
    fn nothing() -> Self {
        Self(None)
    }

    /// The counts for `targets`, which belong to one part: `count` makes them where they are another part's.
    fn get(&mut self, dataset: &Dataset, targets: &[Target], count: impl FnOnce(Part) -> T) -> &T {
        let part = |t: &Target| dataset.sequences.parts_of(t.user as usize)[t.position as usize];
        let part = targets.first().map_or(Part::Valid, part);
        let counted = self.0.take().filter(|counted| counted.0 == part);
        &self.0.insert(counted.unwrap_or_else(|| (part, count(part)))).1
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
/// Whatever was reached stands above whatever was not.
///
/// `reached` are the distinct items whose sum is not 0; their sums are set back to 0. `popularity` are
/// [`dense_ranks`], `out` has as many entries.
fn place(mut reached: Vec<u32>, sums: &mut [f64], popularity: &[f32], out: &mut [f32]) {
    let key = |item: u32| (sums[item as usize], popularity[item as usize]);
    reached.sort_unstable_by(|&a, &b| {
        let (a, b) = (key(a), key(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    out.copy_from_slice(popularity);
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

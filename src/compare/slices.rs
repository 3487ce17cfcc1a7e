//! Where a difference comes from: the primary metric by item frequency, item age and user length.
//!
//! Slices are exploratory: their intervals are over users on the mean over seeds and are not corrected.

use serde::Serialize;

use super::contrast::pair;
use super::group::Group;
use super::metric::Metric;
use super::run::Run;
use super::{Options, mean};
use crate::eval::Row;
use crate::eval::metrics::{AGE_EDGES, COUNT_EDGES, LENGTH_EDGES, age_in_days, inside};
use crate::eval::report::range;
use crate::stats::{Estimate, Interval};

/// The three ways to cut.
#[derive(Clone, Debug, Serialize)]
pub struct Slices {
    /// Training interactions of the target item.
    pub by_item_count: Vec<Slice>,
    /// Days since the target item's first training interaction.
    pub by_item_age: Vec<Slice>,
    /// Items of the user before the target.
    pub by_user_length: Vec<Slice>,
}

/// Targets whose key lies in a range.
#[derive(Clone, Debug, Serialize)]
pub struct Slice {
    /// `5-9`, `250+`.
    pub range: String,
    pub targets: usize,
    /// One mean per group, the reference first.
    pub means: Vec<f64>,
    /// Per group after the first: difference to the reference, where two targets or more are in the slice.
    pub differences: Vec<Option<Difference>>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Difference {
    pub effect: f64,
    pub interval: Interval,
}

impl Slices {
    pub(super) fn of(groups: &[Group], options: &Options) -> Self {
        let cut = |edges: &[u32], key: &dyn Fn(&Row) -> Option<u32>| slices(groups, options, edges, key);
        Self {
            by_item_count: cut(&COUNT_EDGES, &|row| Some(row.item_count)),
            by_item_age: cut(&AGE_EDGES, &age_in_days),
            by_user_length: cut(&LENGTH_EDGES, &|row| Some(row.history)),
        }
    }

    /// The slices under their titles.
    pub fn titled(&self) -> [(&'static str, &[Slice]); 3] {
        [
            ("Training interactions of the target item", &self.by_item_count),
            ("Days since the target item's first training interaction", &self.by_item_age),
            ("Items in the user's history", &self.by_user_length),
        ]
    }
}

fn slices(
    groups: &[Group],
    options: &Options,
    edges: &[u32],
    key: &dyn Fn(&Row) -> Option<u32>,
) -> Vec<Slice> {
    let metric = options.metric;
    let mut all = Vec::new();
    for (i, &from) in edges.iter().enumerate() {
        let to = edges.get(i + 1).copied();
        // Comparable runs have the same targets in the same places.
        let rows = &groups[0].runs[0].rows;
        let places: Vec<usize> = (0..rows.len())
            .filter(|&place| key(&rows[place]).is_some_and(|value| inside(value, from, to)))
            .collect();
        if places.is_empty() {
            continue;
        }
        let of_run = |run: &Run| mean(places.iter().map(|&place| metric.of(run.rows[place].rank)));
        let difference = |group: &Group| {
            let estimate = Estimate::from_users(&paired(&groups[0], group, &places, metric)).ok()?;
            let interval = estimate.interval(options.rule.confidence);
            Some(Difference { effect: estimate.effect, interval })
        };
        all.push(Slice {
            range: range(from, to),
            targets: places.len(),
            means: groups.iter().map(|group| mean(group.runs.iter().map(of_run))).collect(),
            differences: groups[1..].iter().map(difference).collect(),
        });
    }
    all
}

/// Difference of every target in `places`, mean over the pairs of runs.
fn paired(reference: &Group, condition: &Group, places: &[usize], metric: Metric) -> Vec<f64> {
    let (pairs, _) = pair(reference, condition);
    let one = |place: usize| {
        mean(pairs.iter().map(|(a, b)| metric.of(b.rows[place].rank) - metric.of(a.rows[place].rank)))
    };
    places.iter().map(|&place| one(place)).collect()
}

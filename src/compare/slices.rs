//! The primary metric by item frequency, item age and length of the history.
//!
//! Slices are exploratory: their intervals contain users only, for the mean over seeds, and are not corrected.

use serde::Serialize;

use super::contrast::pair;
use super::group::Group;
use super::metric::Metric;
use super::run::Run;
use super::{Options, mean};
use crate::eval::Row;
use crate::eval::metrics::{AGE_EDGES, COUNT_EDGES, LENGTH_EDGES, age_in_days, is_inside};
use crate::eval::report::range;
use crate::stats::{Estimate, Interval};

/// Slices by three keys.
#[derive(Clone, Debug, Serialize)]
pub struct Slices {
    /// Training interactions of the target item.
    #[serde(rename = "by_item_count")]
    pub item_count: Vec<Slice>,
    /// Days since the target item's first training interaction.
    #[serde(rename = "by_item_age")]
    pub item_age: Vec<Slice>,
    /// Items in the user's history before the target.
    #[serde(rename = "by_user_length")]
    pub user_length: Vec<Slice>,
}

/// Targets whose key lies in a range.
#[derive(Clone, Debug, Serialize)]
pub struct Slice {
    /// The range as text: `5-9`, `250+`.
    pub range: String,
    pub targets: usize,
    /// The mean of each group, the reference first.
    pub means: Vec<f64>,
    /// Difference to the reference of each group after the first; absent with fewer than two targets.
    pub differences: Vec<Option<Difference>>,
}

/// A difference to the reference, in the metric's unit.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Difference {
    pub effect: f64,
    pub interval: Interval,
}

impl Slices {
    pub(super) fn new(groups: &[Group], options: &Options) -> Self {
        let cut = |edges: &[u32], key: &dyn Fn(&Row) -> Option<u32>| slices(groups, options, edges, key);
        Self {
            item_count: cut(&COUNT_EDGES, &|row| Some(row.item_count)),
            item_age: cut(&AGE_EDGES, &age_in_days),
            user_length: cut(&LENGTH_EDGES, &|row| Some(row.history)),
        }
    }

    /// The slices under their titles.
    pub fn titled(&self) -> [(&'static str, &[Slice]); 3] {
        [
            ("Training interactions of the target item", &self.item_count),
            ("Days since the target item's first training interaction", &self.item_age),
            ("Items in the user's history", &self.user_length),
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
    for (i, &low) in edges.iter().enumerate() {
        let high = edges.get(i + 1).copied();
        // Comparable runs have the same targets in the same order.
        let rows = &groups[0].runs[0].rows;
        let places: Vec<usize> = (0..rows.len())
            .filter(|&place| key(&rows[place]).is_some_and(|value| is_inside(value, low, high)))
            .collect();
        if places.is_empty() {
            continue;
        }
        let run_mean = |run: &Run| mean(places.iter().map(|&place| metric.value(run.rows[place].rank)));
        let difference = |group: &Group| {
            let estimate = Estimate::from_users(&paired(&groups[0], group, &places, metric)).ok()?;
            let interval = estimate.interval(options.rule.confidence);
            Some(Difference { effect: estimate.effect, interval })
        };
        all.push(Slice {
            range: range(low, high),
            targets: places.len(),
            means: groups.iter().map(|group| mean(group.runs.iter().map(run_mean))).collect(),
            differences: groups[1..].iter().map(difference).collect(),
        });
    }
    all
}

/// Difference of every target in `places`, averaged over the pairs of runs.
fn paired(reference: &Group, condition: &Group, places: &[usize], metric: Metric) -> Vec<f64> {
    let (pairs, _) = pair(reference, condition);
    let one = |place: usize| {
        mean(pairs.iter().map(|(a, b)| metric.value(b.rows[place].rank) - metric.value(a.rows[place].rank)))
    };
    places.iter().map(|&place| one(place)).collect()
}

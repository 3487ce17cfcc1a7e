//! Figures of an evaluation: means over targets, properties of the recommended lists, and means by bucket.
//!
//! Sums run over targets in their order and over items in theirs, in f64, so that no figure depends on how
//! the targets were divided into tiles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::conditions::{Chosen, Ideal, Protocol};
use super::row::Row;

/// Lower edges of the buckets by training count of the target item: 0, 1-4, 5-9, 10-49, 50-249, 250 and more.
pub const COUNT_EDGES: [u32; 6] = [0, 1, 5, 10, 50, 250];
/// Lower edges of the buckets by history length of the user.
pub const LENGTH_EDGES: [u32; 6] = [0, 3, 5, 10, 20, 50];

/// Lower edges of the buckets by age of the target item, in days since its first training interaction.
pub const AGE_EDGES: [u32; 6] = [0, 1, 7, 30, 90, 365];
const DAY: i64 = 86_400;

/// The result of one evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// `valid` or `test`.
    pub part: String,
    pub protocol: Protocol,
    /// One entry per score name.
    pub scored: Vec<Scored>,
}

/// The cut-off of the buckets' figures: 10 where it is measured, else the largest.
pub fn bucket_cut_off(ks: &[usize]) -> usize {
    if ks.contains(&10) { 10 } else { ks.iter().copied().max().unwrap_or(10) }
}

/// Figures of one score name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub name: String,
    /// For each cut-off k:
    /// - `recall@k` (one target, so it is Hit@k too), `ndcg@k`, `mrr@k`: means over targets;
    /// - `coverage@k`: share of the catalogue that is in at least one list of k;
    /// - `popularity@k`: mean over list entries of the share of items that are rarer in training, 0 to 1;
    /// - `cold_share@k`: share of list entries that no training has seen; only where there are such items;
    /// - `gini@k`: inequality of items' exposure, 0 (all equal) to 1 (one item for all).
    pub metrics: BTreeMap<String, f64>,
    /// Number of targets with a NaN among the scores: such a score ranks above the target, and is never recommended.
    #[serde(default)]
    pub nan_targets: usize,
    /// Buckets by the target item's training count.
    #[serde(rename = "by_item_count")]
    pub item_counts: Vec<Bucket>,
    /// Buckets by the length of the user's history.
    #[serde(rename = "by_user_length")]
    pub user_lengths: Vec<Bucket>,
    /// Buckets by the target item's age in days. Targets whose item was never trained on, or first later than the target, have no age.
    #[serde(default, rename = "by_item_age")]
    pub item_ages: Vec<Bucket>,
    /// Share of list entries by the item's training count.
    #[serde(default)]
    pub exposure: Vec<Exposure>,
    /// Digest of the rows in the file beside the report ([`super::kept`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_sha256: Option<String>,
    #[serde(skip)]
    pub rows: Vec<Row>,
}

/// Means over the targets whose key lies in `[from, to)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    pub from: u32,
    /// Absent: no upper bound.
    pub to: Option<u32>,
    pub targets: usize,
    pub recall: f64,
    pub ndcg: f64,
}

/// Shares of the catalogue, and of all list entries at the buckets' cut-off, that have a training count in `[from, to)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    pub from: u32,
    /// Absent: no upper bound.
    pub to: Option<u32>,
    pub items: usize,
    pub catalogue_share: f64,
    pub exposure_share: f64,
}

impl Evaluation {
    /// Number of targets.
    pub fn targets(&self) -> usize {
        self.protocol.targets
    }

    /// All figures, as `name/metric@k`.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let named = |s: &Scored| -> Vec<(String, f64)> {
            s.metrics.iter().map(|(metric, &value)| (format!("{}/{metric}", s.name), value)).collect()
        };
        self.scored.iter().flat_map(named).collect()
    }
}

/// Recall and NDCG of a single target at rank `rank` (1-based; NDCG = 1 / log2(rank + 1), under [`Ideal::Targets`]).
pub fn recall_ndcg(rank: f64, k: usize) -> (f64, f64) {
    if rank > k as f64 { (0.0, 0.0) } else { (1.0, 1.0 / (rank + 1.0).log2()) }
}

/// What is counted for one score name, tile by tile.
pub struct Tally {
    /// Cut-offs.
    pub ks: Vec<usize>,
    /// For each cut-off k, in how many lists of k each item is; entry 0 is padding.
    shown: Vec<Vec<u32>>,
    /// In target order.
    pub rows: Vec<Row>,
    nan_targets: usize,
    ideal: Ideal,
}

impl Tally {
    /// `width` is I + 1.
    pub fn new(ks: &[usize], width: usize, ideal: Ideal) -> Self {
        let shown = vec![vec![0; width]; ks.len()];
        Self { ks: ks.to_vec(), shown, rows: Vec::new(), nan_targets: 0, ideal }
    }

    /// Takes the next target's row and its best items.
    pub fn add(&mut self, row: Row, has_nan: bool, best: &[u32]) {
        self.rows.push(row);
        self.nan_targets += usize::from(has_nan);
        for (&k, shown) in self.ks.iter().zip(&mut self.shown) {
            for &item in best.iter().take(k) {
                shown[item as usize] += 1;
            }
        }
    }

    /// Computes the figures. `train_counts` are the items' events in the training part, `trained` those that decide which
    /// items are cold; both have I + 1 entries.
    pub fn summarise(self, name: &str, train_counts: &[u32], trained: &[u32]) -> Scored {
        let n = self.rows.len().max(1) as f64;
        let popularity = popularity_percentiles(train_counts);
        let mut metrics = BTreeMap::new();
        for (&k, shown) in self.ks.iter().zip(&self.shown) {
            let (mut recall, mut ndcg, mut mrr) = (0.0, 0.0, 0.0);
            for row in &self.rows {
                let (r, g) = recall_ndcg(row.rank, k);
                recall += r;
                ndcg += g;
                mrr += if r > 0.0 { 1.0 / row.rank } else { 0.0 };
            }
            let mut put = |metric: &str, value: f64| metrics.insert(format!("{metric}@{k}"), value);
            put("recall", recall / n);
            put("ndcg", ndcg * self.ideal.factor(k) / n);
            put("mrr", mrr / n);
            let shown = &shown[1..];
            put("coverage", shown.iter().filter(|&&c| c > 0).count() as f64 / shown.len().max(1) as f64);
            let total: f64 = shown.iter().map(|&c| f64::from(c)).sum();
            let popular: f64 = shown.iter().zip(&popularity[1..]).map(|(&c, p)| f64::from(c) * p).sum();
            put("popularity", popular / total.max(1.0));
            put("gini", gini(shown));
            if trained[1..].contains(&0) {
                let cold: f64 = shown
                    .iter()
                    .zip(&trained[1..])
                    .filter(|(_, n)| **n == 0)
                    .map(|(&c, _)| f64::from(c))
                    .sum();
                put("cold_share", cold / total.max(1.0));
            }
        }
        let k = bucket_cut_off(&self.ks);
        let shown = self.ks.iter().position(|&other| other == k).map(|place| self.shown[place].as_slice());
        let exposure = exposure(train_counts, shown.unwrap_or_default());
        let ideal = self.ideal;
        Scored {
            name: name.to_owned(),
            metrics,
            nan_targets: self.nan_targets,
            item_counts: buckets(&self.rows, (k, ideal), &COUNT_EDGES, |row| Some(row.item_count)),
            user_lengths: buckets(&self.rows, (k, ideal), &LENGTH_EDGES, |row| Some(row.history)),
            item_ages: buckets(&self.rows, (k, ideal), &AGE_EDGES, age_in_days),
            exposure,
            rows_sha256: None,
            rows: self.rows,
        }
    }
}

/// Whole days from the item's first training interaction to the target; absent where that came later or never.
pub fn age_in_days(row: &Row) -> Option<u32> {
    row.item_age.filter(|&age| age >= 0).map(|age| u32::try_from(age / DAY).unwrap_or(u32::MAX))
}

/// Whether `value` lies in `[from, to)`.
pub fn is_inside(value: u32, from: u32, to: Option<u32>) -> bool {
    value >= from && to.is_none_or(|to| value < to)
}

/// Exposure by training count. `shown` counts list entries and `train_counts` training events of each item; entry 0 is
/// padding.
fn exposure(train_counts: &[u32], shown: &[u32]) -> Vec<Exposure> {
    let total: f64 = shown.iter().skip(1).map(|&c| f64::from(c)).sum();
    let all = train_counts.len().saturating_sub(1).max(1) as f64;
    let exposures = COUNT_EDGES.iter().enumerate().map(|(i, &from)| {
        let to = COUNT_EDGES.get(i + 1).copied();
        let members: Vec<usize> =
            (1..train_counts.len()).filter(|&item| is_inside(train_counts[item], from, to)).collect();
        let entries: f64 = members.iter().filter_map(|&item| shown.get(item)).map(|&c| f64::from(c)).sum();
        Exposure {
            from,
            to,
            items: members.len(),
            catalogue_share: members.len() as f64 / all,
            exposure_share: entries / total.max(1.0),
        }
    });
    exposures.filter(|exposure| exposure.items > 0).collect()
}

/// Figures at cut-off `k` of the rows in each bucket, by `key`; empty buckets are left out.
fn buckets(
    rows: &[Row],
    (k, ideal): (usize, Ideal),
    edges: &[u32],
    key: impl Fn(&Row) -> Option<u32>,
) -> Vec<Bucket> {
    let buckets = edges.iter().enumerate().map(|(i, &from)| {
        let to = edges.get(i + 1).copied();
        let inside: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| key(row).is_some_and(|key| is_inside(key, from, to)))
            .map(|row| recall_ndcg(row.rank, k))
            .collect();
        let n = inside.len().max(1) as f64;
        Bucket {
            from,
            to,
            targets: inside.len(),
            recall: inside.iter().map(|m| m.0).sum::<f64>() / n,
            ndcg: inside.iter().map(|m| m.1).sum::<f64>() * ideal.factor(k) / n,
        }
    });
    buckets.filter(|bucket| bucket.targets > 0).collect()
}

/// Share of the catalogue that is rarer than each item in training, ties counted half: 0 rare, 1 popular.
fn popularity_percentiles(train_counts: &[u32]) -> Vec<f64> {
    let mut sorted: Vec<u32> = train_counts[1..].to_vec();
    sorted.sort_unstable();
    let n = sorted.len().max(1) as f64;
    train_counts
        .iter()
        .map(|&c| {
            let below = sorted.partition_point(|&x| x < c) as f64;
            let through = sorted.partition_point(|&x| x <= c) as f64;
            f64::midpoint(below, through) / n
        })
        .collect()
}

/// Gini coefficient of the exposures: mean absolute difference of two items over twice the mean.
fn gini(exposures: &[u32]) -> f64 {
    let mut sorted = exposures.to_vec();
    sorted.sort_unstable();
    let n = sorted.len() as f64;
    let total: f64 = sorted.iter().map(|&c| f64::from(c)).sum();
    let weighted: f64 =
        sorted.iter().zip(1u32..).map(|(&c, place)| (2.0 * f64::from(place) - n - 1.0) * f64::from(c)).sum();
    if total > 0.0 { weighted / (n * total) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn figures_of_known_ranks() {
        let ranks = [1.0, 2.0, 10.0, 10.5];
        let lists = [[1, 2], [1, 3], [1, 2], [2, 1]];
        let mut tally = Tally::new(&[2, 10], 5, Ideal::Targets);
        for (rank, best) in ranks.into_iter().zip(&lists) {
            tally.add(Row { rank, item_count: 3, history: 7, ..Row::default() }, false, best);
        }
        let scored = tally.summarise("x", &[0, 9, 5, 1, 0], &[0, 9, 5, 0, 0]);
        // Item 3 was never trained on, item 4 has no event: shown 1 and 0 times of 8.
        close(scored.metrics["cold_share@2"], 1.0 / 8.0);
        close(scored.metrics["recall@10"], 0.75);
        close(scored.metrics["ndcg@10"], (1.0 + 1.0 / 3f64.log2() + 1.0 / 11f64.log2()) / 4.0);
        close(scored.metrics["mrr@10"], (1.0 + 0.5 + 0.1) / 4.0);
        close(scored.metrics["recall@2"], 0.5);
        close(scored.metrics["coverage@2"], 0.75);
        // Items 1 to 4 are rarer than 3.5, 2.5, 1.5 and 0.5 of four; they are shown 4, 3, 1 and 0 times.
        close(scored.metrics["popularity@2"], (4.0 * 3.5 + 3.0 * 2.5 + 1.5) / 4.0 / 8.0);
        // One item each was trained on 0, 1 and 5 times and one 9; lists show them 0, 1, 3 and 4 times.
        let shares: Vec<(u32, usize)> = scored.exposure.iter().map(|e| (e.from, e.items)).collect();
        assert_eq!(shares, [(0, 1), (1, 1), (5, 2)]);
        close(scored.exposure[2].exposure_share, 7.0 / 8.0);
        close(scored.exposure[2].catalogue_share, 0.5);
        let buckets = &scored.item_counts;
        assert_eq!((buckets.len(), buckets[0].from, buckets[0].to), (1, 1, Some(5)));
        assert_eq!((buckets[0].targets, scored.user_lengths[0].from), (4, 5));
        close(buckets[0].recall, 0.75);
    }

    #[test]
    fn an_ideal_of_k_hits_divides_ndcg_alone() {
        let figures = |ideal| {
            let mut tally = Tally::new(&[1, 3], 5, ideal);
            tally.add(Row { rank: 2.0, ..Row::default() }, false, &[1, 2]);
            tally.summarise("x", &[0, 1, 1, 1, 1], &[0, 1, 1, 1, 1])
        };
        let (own, full) = (figures(Ideal::Targets), figures(Ideal::FullList));
        close(full.metrics["ndcg@3"], (1.0 / 3f64.log2()) / (1.0 + 1.0 / 3f64.log2() + 0.5));
        close(own.metrics["ndcg@3"], 1.0 / 3f64.log2());
        close(full.item_counts[0].ndcg, full.metrics["ndcg@3"]);
        for metric in ["recall@3", "mrr@3", "recall@1", "ndcg@1"] {
            close(own.metrics[metric], full.metrics[metric]);
        }
    }

    #[test]
    fn age_counts_whole_days_and_only_from_the_past() {
        let age = |item_age| age_in_days(&Row { item_age, ..Row::default() });
        assert_eq!([age(Some(0)), age(Some(86_399)), age(Some(86_400))], [Some(0), Some(0), Some(1)]);
        assert_eq!([age(Some(-1)), age(None), age(Some(i64::MAX))], [None, None, Some(u32::MAX)]);
    }

    #[test]
    fn gini_is_the_mean_absolute_difference_over_twice_the_mean() {
        let exposures = [4u32, 3, 1, 0, 7];
        let pairs = exposures.iter().flat_map(|&a| exposures.iter().map(move |&b| f64::from(a.abs_diff(b))));
        close(gini(&exposures), pairs.sum::<f64>() / 25.0 / (2.0 * 3.0));
        close(gini(&[5, 5, 5]), 0.0);
        close(gini(&[0, 0, 0]), 0.0);
    }
}

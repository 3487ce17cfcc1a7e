//! Means over targets, coverage, and buckets.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::rows::Row;
use crate::config::{HistoryRule, TieRule};

/// Lower edges of the buckets by training count of the target item.
pub const COUNT_EDGES: [u32; 6] = [0, 1, 5, 10, 50, 250];
/// Lower edges of the buckets by history length of the user.
pub const LENGTH_EDGES: [u32; 6] = [0, 3, 5, 10, 20, 50];

/// The result of one evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// `valid` or `test`.
    pub part: String,
    pub protocol: Protocol,
    /// One entry per score name.
    pub scored: Vec<Scored>,
}

/// What the figures mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    pub targets: usize,
    /// I
    pub items: usize,
    pub history: HistoryRule,
    pub ties: TieRule,
    pub ks: Vec<usize>,
    /// Targets that stand in their own history and count as misses.
    pub masked_targets: usize,
}

/// Figures of one score name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub name: String,
    /// `recall@10`, `ndcg@10`, `mrr@10`, `coverage@10`, `popularity@10`, …
    pub metrics: BTreeMap<String, f64>,
    pub by_item_count: Vec<Bucket>,
    pub by_user_length: Vec<Bucket>,
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

impl Evaluation {
    pub fn targets(&self) -> usize {
        self.protocol.targets
    }

    /// All figures under `name/metric@k`.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let named = |s: &Scored| -> Vec<(String, f64)> {
            s.metrics.iter().map(|(metric, &value)| (format!("{}/{metric}", s.name), value)).collect()
        };
        self.scored.iter().flat_map(named).collect()
    }
}

/// Recall and NDCG of a single target at rank `rank` (1-based; NDCG = 1 / log2(rank + 1)).
pub fn recall_ndcg(rank: f64, k: usize) -> (f64, f64) {
    if rank > k as f64 { (0.0, 0.0) } else { (1.0, 1.0 / (rank + 1.0).log2()) }
}

/// Figures of one name from its rows and top lists; `lists` are in the rows' order, best first.
pub fn summarise(
    name: &str,
    rows: Vec<Row>,
    lists: &[Vec<u32>],
    ks: &[usize],
    train_counts: &[u32],
) -> Scored {
    let n = rows.len().max(1) as f64;
    let popularity = popularity_percentiles(train_counts);
    let mut metrics = BTreeMap::new();
    for &k in ks {
        let (mut recall, mut ndcg, mut mrr) = (0.0, 0.0, 0.0);
        for row in &rows {
            let (r, g) = recall_ndcg(row.rank, k);
            recall += r;
            ndcg += g;
            mrr += if r > 0.0 { 1.0 / row.rank } else { 0.0 };
        }
        metrics.insert(format!("recall@{k}"), recall / n);
        metrics.insert(format!("ndcg@{k}"), ndcg / n);
        metrics.insert(format!("mrr@{k}"), mrr / n);
        let shown = || lists.iter().flat_map(|list| list.iter().take(k).map(|&item| item as usize));
        let distinct: BTreeSet<usize> = shown().collect();
        metrics
            .insert(format!("coverage@{k}"), distinct.len() as f64 / (train_counts.len() - 1).max(1) as f64);
        let total = shown().count().max(1) as f64;
        metrics.insert(format!("popularity@{k}"), shown().map(|i| popularity[i]).sum::<f64>() / total);
    }
    let k = if ks.contains(&10) { 10 } else { ks.last().copied().unwrap_or(10) };
    let by_item_count = buckets(&rows, k, &COUNT_EDGES, |row| row.item_count);
    let by_user_length = buckets(&rows, k, &LENGTH_EDGES, |row| row.history);
    Scored { name: name.to_owned(), metrics, by_item_count, by_user_length, rows }
}

fn buckets(rows: &[Row], k: usize, edges: &[u32], key: impl Fn(&Row) -> u32) -> Vec<Bucket> {
    let each = edges.iter().enumerate().map(|(i, &from)| {
        let to = edges.get(i + 1).copied();
        let inside: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| key(row) >= from && to.is_none_or(|to| key(row) < to))
            .map(|row| recall_ndcg(row.rank, k))
            .collect();
        let n = inside.len().max(1) as f64;
        Bucket {
            from,
            to,
            targets: inside.len(),
            recall: inside.iter().map(|m| m.0).sum::<f64>() / n,
            ndcg: inside.iter().map(|m| m.1).sum::<f64>() / n,
        }
    });
    each.filter(|bucket| bucket.targets > 0).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_ranks() {
        let row = |rank: f64| Row { rank, item_count: 3, history: 7, ..Row::default() };
        let lists = vec![vec![1, 2], vec![1, 3], vec![1, 2], vec![2, 1]];
        let rows = vec![row(1.0), row(2.0), row(10.0), row(10.5)];
        let scored = summarise("x", rows, &lists, &[2, 10], &[0, 9, 5, 1, 0]);
        assert!((scored.metrics["recall@10"] - 0.75).abs() < 1e-12);
        let ndcg = (1.0 + 1.0 / 3f64.log2() + 1.0 / 11f64.log2()) / 4.0;
        assert!((scored.metrics["ndcg@10"] - ndcg).abs() < 1e-12);
        assert!((scored.metrics["mrr@10"] - (1.0 + 0.5 + 0.1) / 4.0).abs() < 1e-12);
        assert!((scored.metrics["recall@2"] - 0.5).abs() < 1e-12);
        assert!((scored.metrics["coverage@2"] - 0.75).abs() < 1e-12);
        assert_eq!(scored.by_item_count.len(), 1);
        assert_eq!((scored.by_item_count[0].from, scored.by_item_count[0].targets), (1, 4));
    }
}

//! Probe P5: geometry of the features' space (docs/studies.md, section 3). Gates warn of unhealthy figures.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::vectors::{RowMatrix, Vectors};
use crate::features::normalise;

/// Cosine from which two items count as duplicates.
const DUPLICATE: f32 = 0.9999;

/// The verdict of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Warn,
}

/// A check of one figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    pub name: String,
    pub value: f64,
    pub verdict: Verdict,
    /// The values that pass, in words.
    pub rule: String,
}

/// Figures of one set of features with their gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    pub name: String,
    /// Mean cosine of two different items; near 1 all vectors lie in a narrow cone.
    pub mean_cosine: f64,
    /// Participation ratio (tr C)² / tr C² of the centred vectors' covariance: the number of directions in use.
    pub effective_rank: f64,
    /// Share of items whose nearest item has a cosine of 0.9999 or more.
    pub duplicates: f64,
    /// Share of the catalogue with a vector.
    pub coverage: f64,
    pub gates: Vec<Gate>,
}

impl Geometry {
    /// `neighbours` are the nearest of each item among all items with vectors.
    pub fn new(vectors: &Vectors, neighbours: &[Vec<(f32, u32)>]) -> Self {
        let n = vectors.present.iter().skip(1).filter(|&&p| p).count();
        let items = vectors.present.len().saturating_sub(1);
        let mean = mean_of(vectors, n);
        let twins = neighbours.iter().filter(|l| l.first().is_some_and(|f| f.0 >= DUPLICATE)).count();
        let duplicates = twins as f64 / n.max(1) as f64;
        let coverage = n as f64 / items.max(1) as f64;
        // For unit vectors |sum v|² = n + n (n - 1) mean cosine.
        let squared: f64 = mean.iter().map(|m| m * m).sum();
        let nf = n as f64;
        let mean_cosine = if n > 1 { (squared * nf - 1.0) / (nf - 1.0) } else { 0.0 };
        let effective_rank = effective_rank(vectors, &mean);
        let enough = 4.0f64.max(0.02 * vectors.width.min(n) as f64);
        let gate = |name: &str, value: f64, pass: bool, rule: String| Gate {
            name: name.into(),
            value,
            verdict: if pass { Verdict::Pass } else { Verdict::Warn },
            rule,
        };
        let gates = vec![
            gate("mean cosine", mean_cosine, mean_cosine < 0.5, "below 0.5".into()),
            gate("effective rank", effective_rank, effective_rank >= enough, format!("{enough:.0} or more")),
            gate("duplicates", duplicates, duplicates <= 0.05, "at most 0.05 of the items".into()),
            gate("coverage", coverage, coverage >= 0.99, "at least 0.99 of the items".into()),
        ];
        let name = vectors.name.clone();
        Self { name, mean_cosine, effective_rank, duplicates, coverage, gates }
    }
}

/// Mean vector of the items with vectors.
fn mean_of(vectors: &Vectors, n: usize) -> Vec<f64> {
    let mut mean = vec![0.0; vectors.width];
    for row in vectors.values.chunks_exact(vectors.width) {
        mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v));
    }
    mean.iter_mut().for_each(|m| *m /= n.max(1) as f64);
    mean
}

/// (tr C)² / tr C² of the covariance C, computed row by row.
fn effective_rank(vectors: &Vectors, mean: &[f64]) -> f64 {
    let (width, rows) = (vectors.width, vectors.present.len());
    // Centred columns `[F, I + 1]`: a row of the covariance is a product of columns.
    let mut columns = vec![0.0f32; width * rows];
    columns.par_chunks_exact_mut(rows).enumerate().for_each(|(f, column)| {
        for (item, out) in column.iter_mut().enumerate() {
            if vectors.present[item] {
                *out = (f64::from(vectors.values[item * width + f]) - mean[f]) as f32;
            }
        }
    });
    let matrix = RowMatrix::new(&columns, rows);
    let sums = matrix.each(&columns, |f, products| {
        let squares: f64 = products.iter().map(|&c| f64::from(c).powi(2)).sum();
        (f64::from(products[f]), squares)
    });
    let trace: f64 = sums.iter().map(|s| s.0).sum();
    let squares: f64 = sums.iter().map(|s| s.1).sum();
    if squares > 0.0 { trace * trace / squares } else { 0.0 }
}

/// Relation of two views in a common space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossModal {
    #[serde(rename = "from")]
    pub source: String,
    #[serde(rename = "to")]
    pub target: String,
    /// Number of items with both views.
    pub items: usize,
    /// 1 - cosine of the two mean vectors: the modality gap.
    pub centroid_distance: f64,
    /// Share of items whose `target` vector is the nearest to their `source` vector.
    pub recall_at_1: f64,
    /// The same among the ten nearest.
    pub recall_at_10: f64,
    /// Chance level of `recall_at_1`: 1 / items.
    pub chance_at_1: f64,
    pub chance_at_10: f64,
    pub verdict: Verdict,
}

impl CrossModal {
    /// `None` if widths differ, so that there is no common space, or fewer than two items have both views.
    pub fn new(source: &Vectors, target: &Vectors) -> Option<Self> {
        if source.width != target.width {
            return None;
        }
        let both: Vec<usize> =
            (1..source.present.len()).filter(|&i| source.present[i] && target.present[i]).collect();
        if both.len() < 2 {
            return None;
        }
        let gather = |v: &Vectors| -> Vec<f32> { both.iter().flat_map(|&i| v.row(i)).copied().collect() };
        let (queries, answers) = (gather(source), gather(target));
        let places = RowMatrix::new(&answers, target.width).each(&queries, |own, products| {
            let better = products.iter().filter(|&&p| p > products[own]).count() as f64;
            let equal = products.iter().filter(|&&p| p == products[own]).count() as f64;
            better + f64::midpoint(1.0, equal)
        });
        let n = both.len() as f64;
        let recall = |k: f64| places.iter().filter(|&&p| p <= k).count() as f64 / n;
        let (recall_at_1, recall_at_10) = (recall(1.0), recall(10.0));
        let chance_at_10 = (10.0 / n).min(1.0);
        // Four standard errors above chance.
        let error = (chance_at_10 * (1.0 - chance_at_10) / n).sqrt();
        let passes = recall_at_10 > chance_at_10 + 4.0 * error;
        Some(Self {
            source: source.name.clone(),
            target: target.name.clone(),
            items: both.len(),
            centroid_distance: 1.0 - cosine_of_means(&queries, &answers, source.width),
            recall_at_1,
            recall_at_10,
            chance_at_1: 1.0 / n,
            chance_at_10,
            verdict: if passes { Verdict::Pass } else { Verdict::Warn },
        })
    }
}

fn cosine_of_means(a: &[f32], b: &[f32], width: usize) -> f64 {
    let mean = |values: &[f32]| {
        let mut sum = vec![0.0f64; width];
        for row in values.chunks_exact(width) {
            sum.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v));
        }
        let scale = (values.len() / width) as f64;
        let mut mean: Vec<f32> = sum.iter().map(|s| (s / scale) as f32).collect();
        normalise(&mut mean);
        mean
    };
    mean(a).iter().zip(mean(b)).map(|(x, y)| f64::from(*x) * f64::from(y)).sum()
}

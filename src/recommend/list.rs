//! Recommendation lists for users and for items.

use serde::{Deserialize, Serialize};

use super::{CatalogueVectors, ModelScorer};
use crate::eval::rank::Best;
use crate::model::params;

/// A history to recommend for, in item numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// What the answer is labelled with.
    pub user: String,
    /// Oldest first; only the last S are read by the model.
    pub items: Vec<u32>,
}

/// One place of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    pub item: u32,
    /// Mean of the branches' scores.
    pub score: f32,
    /// Score of each branch, in the model's order; one entry where there is one branch.
    pub branches: Vec<f32>,
}

/// The best `k` items for each history, best first, ties by item number.
///
/// `allow_seen` keeps items of the history among the candidates.
pub fn top_k(
    scorer: &ModelScorer<'_>,
    histories: &[History],
    k: usize,
    allow_seen: bool,
) -> Vec<Vec<Recommendation>> {
    let lists: Vec<&[u32]> = histories.iter().map(|h| h.items.as_slice()).collect();
    let scores = scorer.score_histories(&lists);
    let width = scores.first().map_or(0, |s| s.len() / histories.len().max(1));
    let (ensemble, branches) = match scores.split_first() {
        Some((ensemble, [])) => (ensemble, std::slice::from_ref(ensemble)),
        Some((ensemble, branches)) => (ensemble, branches),
        None => return Vec::new(),
    };
    histories
        .iter()
        .enumerate()
        .map(|(row, history)| {
            let at = row * width;
            let mut scores = ensemble[at..at + width].to_vec();
            scores[0] = f32::NEG_INFINITY;
            if !allow_seen {
                history.items.iter().for_each(|&item| scores[item as usize] = f32::NEG_INFINITY);
            }
            let each = Best::places(&scores, k).into_iter().map(|item| Recommendation {
                item,
                score: scores[item as usize],
                branches: branches.iter().map(|b| b[at + item as usize]).collect(),
            });
            each.collect()
        })
        .collect()
}

/// The `k` items nearest to `item` by cosine similarity, in one branch or (`None`) in the mean over all.
pub fn similar_items(
    vectors: &CatalogueVectors,
    item: u32,
    k: usize,
    branch: Option<usize>,
) -> Vec<Recommendation> {
    let chosen: Vec<usize> = match branch {
        Some(branch) => vec![branch],
        None => (0..vectors.branches.len()).collect(),
    };
    let cosines: Vec<Vec<f32>> = chosen.iter().map(|&b| cosines(vectors, b, item)).collect();
    let mut mean: Vec<f32> = (0..=vectors.items())
        .map(|i| cosines.iter().map(|c| c[i]).sum::<f32>() / cosines.len() as f32)
        .collect();
    mean[0] = f32::NEG_INFINITY;
    mean[item as usize] = f32::NEG_INFINITY;
    let each = Best::places(&mean, k).into_iter().map(|other| Recommendation {
        item: other,
        score: mean[other as usize],
        branches: cosines.iter().map(|c| c[other as usize]).collect(),
    });
    each.collect()
}

fn cosines(vectors: &CatalogueVectors, branch: usize, item: u32) -> Vec<f32> {
    let all_id = vectors.branches[branch].clone();
    let [_, d] = all_id.dims();
    let norms_i1 = all_id.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
    let unit_id = all_id / norms_i1;
    let one_1d = unit_id.clone().narrow(0, item as usize, 1).reshape([1, d]);
    params::host(one_1d.matmul(unit_id.transpose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn best_equals_a_full_sort(scores in proptest::collection::vec(-3i8..3, 0..40), k in 0usize..12) {
            let scores: Vec<f32> = scores.into_iter().map(|s| if s == -3 { f32::NEG_INFINITY } else { f32::from(s) }).collect();
            let mut all: Vec<u32> = (0..scores.len() as u32).filter(|&i| scores[i as usize].is_finite()).collect();
            all.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b)));
            all.truncate(k);
            proptest::prop_assert_eq!(Best::places(&scores, k), all);
        }
    }
}

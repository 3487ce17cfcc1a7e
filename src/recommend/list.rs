//! Recommendation lists for users and for items.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CatalogueVectors, Mixed, MixedScorer, ModelScorer};
use crate::data::Choice;
use crate::eval::rank::Best;
use crate::model::params;

/// A history to recommend for, in item numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// What the answer is labelled with.
    pub user: String,
    /// Oldest first; only the last S are read by the model.
    pub items: Vec<u32>,
    /// Further items that the user had, which the model is not told of: they are not listed again either.
    pub unread: Vec<u32>,
}

impl History {
    /// A history that the model is told as a whole.
    pub fn new(user: impl Into<String>, items: Vec<u32>) -> Self {
        Self { user: user.into(), items, unread: Vec::new() }
    }

    /// All items that the user had.
    pub fn seen(&self) -> impl Iterator<Item = u32> + '_ {
        self.items.iter().chain(&self.unread).copied()
    }
}

/// What may stand in a list.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// At most so many items.
    pub k: usize,
    /// Keeps items of the history among the candidates.
    pub allow_seen: bool,
    /// Only these items; absent: all.
    pub among: Option<&'a Choice>,
}

impl Listing<'_> {
    /// The best `k` items that the user hasn't had.
    pub fn best(k: usize) -> Self {
        Self { k, allow_seen: false, among: None }
    }

    /// Takes what may not be listed from the candidates.
    fn hide(&self, scores: &mut [f32]) {
        if let Some(choice) = self.among {
            choice.hide(scores);
        }
    }
}

/// One place of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    pub item: u32,
    /// Mean of the branches' scores.
    pub score: f32,
    /// Score of each branch, in the model's order; one entry where there is one branch. NaN where the branch
    /// has no vector of the item.
    pub branches: Vec<f32>,
}

/// The best items for each history, best first, ties by item number. A history of which the model knows nothing scores
/// 0 throughout, which is no reason to list anything: its list is empty, and [`super::Popular`] is there for it.
pub fn top_k(
    scorer: &ModelScorer<'_>,
    histories: &[History],
    listing: &Listing<'_>,
) -> Vec<Vec<Recommendation>> {
    let lists: Vec<&[u32]> = histories.iter().map(|h| h.items.as_slice()).collect();
    let scores = scorer.score_histories(&lists);
    best_of(&scores, histories, listing, &|history| !history.is_empty(), &|_| {})
}

/// [`top_k`] over trained and new items, of those that are on offer.
pub fn mixed_top_k(
    scorer: &MixedScorer<'_>,
    histories: &[History],
    listing: &Listing<'_>,
) -> Vec<Vec<Recommendation>> {
    let lists: Vec<&[u32]> = histories.iter().map(|h| h.items.as_slice()).collect();
    let scores = scorer.score_histories(&lists);
    let hide = |scores: &mut [f32]| scorer.mixed().hide(scores);
    best_of(&scores, histories, listing, &|history| scorer.mixed().knows(history), &hide)
}

/// The lists of scores `[N, I + 1]` per score name, empty for histories of which nothing is known; `hide` takes items
/// from the candidates.
fn best_of(
    scores: &[Vec<f32>],
    histories: &[History],
    listing: &Listing<'_>,
    knows: &(dyn Fn(&[u32]) -> bool + Sync),
    hide: &(dyn Fn(&mut [f32]) + Sync),
) -> Vec<Vec<Recommendation>> {
    let width = scores.first().map_or(0, |s| s.len() / histories.len().max(1));
    let (ensemble, branches) = match scores.split_first() {
        Some((ensemble, [])) => (ensemble, std::slice::from_ref(ensemble)),
        Some((ensemble, branches)) => (ensemble, branches),
        None => return Vec::new(),
    };
    histories
        .par_iter()
        .enumerate()
        .map(|(row, history)| {
            if !knows(&history.items) {
                return Vec::new();
            }
            let at = row * width;
            let mut scores = ensemble[at..at + width].to_vec();
            scores[0] = f32::NEG_INFINITY;
            hide(&mut scores);
            listing.hide(&mut scores);
            if !listing.allow_seen {
                history.seen().for_each(|item| scores[item as usize] = f32::NEG_INFINITY);
            }
            let each = Best::places(&scores, listing.k).into_iter().map(|item| Recommendation {
                item,
                score: scores[item as usize],
                branches: branches.iter().map(|b| b[at + item as usize]).collect(),
            });
            each.collect()
        })
        .collect()
}

/// The items nearest to `item` by cosine similarity, in one branch or (`None`) in the mean over all; never itself.
pub fn similar_items(
    vectors: &CatalogueVectors,
    item: u32,
    listing: &Listing<'_>,
    branch: Option<usize>,
) -> Vec<Recommendation> {
    let chosen: Vec<usize> = match branch {
        Some(branch) => vec![branch],
        None => (0..vectors.branches.len()).collect(),
    };
    let cosines: Vec<Vec<f32>> = chosen.iter().map(|&b| cosines(vectors, b, item)).collect();
    nearest(&cosines, item, listing, &|_| {})
}

/// [`similar_items`] among trained and new items, of those that are on offer; branches that lack a vector of
/// one of the two say nothing.
pub fn mixed_similar_items(
    mixed: &Mixed,
    item: u32,
    listing: &Listing<'_>,
    branch: Option<usize>,
) -> Vec<Recommendation> {
    let chosen: Vec<usize> = match branch {
        Some(branch) => vec![branch],
        None => (0..mixed.vectors.branches.len()).collect(),
    };
    let cosines = chosen.iter().map(|&b| {
        let mut all = cosines(&mixed.vectors, b, item);
        for (other, cosine) in (0u32..).zip(&mut all) {
            if !(mixed.is_live(b, item) && mixed.is_live(b, other)) {
                *cosine = f32::NAN;
            }
        }
        all
    });
    nearest(&cosines.collect::<Vec<_>>(), item, listing, &|scores| mixed.hide(scores))
}

/// The best by the mean of the branches' cosines that are there.
fn nearest(
    cosines: &[Vec<f32>],
    item: u32,
    listing: &Listing<'_>,
    hide: &dyn Fn(&mut [f32]),
) -> Vec<Recommendation> {
    let mean = |i: usize| {
        let known = || cosines.iter().map(|c| c[i]).filter(|c| !c.is_nan());
        // 0 / 0 is NaN, which is never among the best.
        known().sum::<f32>() / known().count() as f32
    };
    let mut mean: Vec<f32> = (0..cosines.first().map_or(0, Vec::len)).map(mean).collect();
    if let (Some(padding), false) = (mean.first_mut(), cosines.is_empty()) {
        *padding = f32::NEG_INFINITY;
        mean[item as usize] = f32::NEG_INFINITY;
    }
    hide(&mut mean);
    listing.hide(&mut mean);
    let each = Best::places(&mean, listing.k).into_iter().map(|other| Recommendation {
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

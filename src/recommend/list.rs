//! Recommendation lists for users, and nearest neighbours of items.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CatalogueVectors, Mixed, MixedScorer, ModelScorer};
use crate::data::Choice;
use crate::eval::rank::Best;
use crate::params;

/// A history to recommend for, in item numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The label of the answer.
    pub user: String,
    /// Oldest first; the model reads only the last S.
    pub items: Vec<u32>,
    /// All that the user had, where `items` lacks some of it because the training held items out: none of it is listed.
    /// Empty where `items` is all.
    pub had: Vec<u32>,
}

impl History {
    /// A history that the model reads as a whole.
    pub fn new(user: impl Into<String>, items: Vec<u32>) -> Self {
        Self { user: user.into(), items, had: Vec::new() }
    }

    /// All items that the user had, some of them twice.
    pub fn seen(&self) -> impl Iterator<Item = u32> + '_ {
        self.items.iter().chain(&self.had).copied()
    }
}

/// Which items may stand in a list.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// Most items of a list.
    pub k: usize,
    /// Whether items of the history may be listed.
    pub allow_seen: bool,
    /// The items that may be listed; all where it's absent.
    pub among: Option<&'a Choice>,
}

impl Listing<'_> {
    /// The best `k` items that the user hasn't had.
    pub fn best(k: usize) -> Self {
        Self { k, allow_seen: false, among: None }
    }

    /// Sets the scores of items that may not be listed to minus infinity.
    fn hide(&self, scores: &mut [f32]) {
        if let Some(choice) = self.among {
            choice.hide(scores);
        }
    }
}

/// One item of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    pub item: u32,
    /// The mean of the branches' scores.
    pub score: f32,
    /// The score of each branch, in the model's order; one entry where there is one branch. NaN where the branch
    /// has no vector of the item.
    pub branches: Vec<f32>,
}

/// The best items for each history, best first, ties by item number. The list of an empty history is empty, because all its
/// scores are 0; [`super::Popular`] is for such users.
pub fn top_k(
    scorer: &ModelScorer<'_>,
    histories: &[History],
    listing: &Listing<'_>,
) -> Vec<Vec<Recommendation>> {
    let lists: Vec<&[u32]> = histories.iter().map(|h| h.items.as_slice()).collect();
    let scores = scorer.score_histories(&lists);
    make_lists(&scores, histories, listing, &|history| !history.is_empty(), &|_| {})
}

/// [`top_k`] over trained and new items, of those that are offered.
pub fn mixed_top_k(
    scorer: &MixedScorer<'_>,
    histories: &[History],
    listing: &Listing<'_>,
) -> Vec<Vec<Recommendation>> {
    let lists: Vec<&[u32]> = histories.iter().map(|h| h.items.as_slice()).collect();
    let scores = scorer.score_histories(&lists);
    let hide = |scores: &mut [f32]| scorer.mixed().hide(scores);
    make_lists(&scores, histories, listing, &|history| scorer.mixed().knows(history), &hide)
}

/// Lists from scores, which are `[N, I + 1]` for each score name. The list of a history is empty unless `knows` is true of it;
/// `hide` sets the scores of further items to minus infinity.
fn make_lists(
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
            let start = row * width;
            let mut scores = ensemble[start..start + width].to_vec();
            scores[0] = f32::NEG_INFINITY;
            hide(&mut scores);
            listing.hide(&mut scores);
            if !listing.allow_seen {
                history.seen().for_each(|item| scores[item as usize] = f32::NEG_INFINITY);
            }
            let best = Best::places(&scores, listing.k).into_iter();
            let list = best.map(|item| Recommendation {
                item,
                score: scores[item as usize],
                branches: branches.iter().map(|b| b[start + item as usize]).collect(),
            });
            list.collect()
        })
        .collect()
}

/// The items nearest to `item` by cosine similarity in one branch, or (`None`) in the mean over all branches. The item itself
/// isn't listed.
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

/// [`similar_items`] among trained and new items, of those that are offered. Branches that lack a vector of one of the
/// two items are left out of the mean.
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

/// The best items by the mean of the branches' cosines that aren't NaN.
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
    let best = Best::places(&mean, listing.k).into_iter();
    let list = best.map(|other| Recommendation {
        item: other,
        score: mean[other as usize],
        branches: cosines.iter().map(|c| c[other as usize]).collect(),
    });
    list.collect()
}

/// Cosines of every item with `item`, `[I + 1]`.
fn cosines(vectors: &CatalogueVectors, branch: usize, item: u32) -> Vec<f32> {
    let all_vd = vectors.branches[branch].clone();
    let [_, d] = all_vd.dims();
    let norms_v1 = all_vd.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
    let unit_vd = all_vd / norms_v1;
    let one_1d = unit_vd.clone().narrow(0, item as usize, 1).reshape([1, d]);
    params::host(one_1d.matmul(unit_vd.transpose()))
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

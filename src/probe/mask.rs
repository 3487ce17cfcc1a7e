//! Probe P3: figures while more and more items lose a modality (docs/studies.md, section 3).

use serde::{Deserialize, Serialize};

use super::figures::Figures;
use crate::rng::mix64;

/// Shares of the items that lose a view.
pub const RATIOS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Figures of the joined views while items lose one of them.
///
/// The vector of a masked item is made from its other views alone, as separate encoders would; nothing is set to zero.
/// A masked item without other views has no vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskCurve {
    pub view: String,
    pub points: Vec<MaskPoint>,
    /// Area under the curve of P1's ndcg@10 over the ratio, by trapezoids.
    pub area: f64,
    /// P1's ndcg@10 with half of the items masked, relative to none masked; absent if that is 0.
    pub half_to_none: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskPoint {
    pub ratio: f64,
    pub zero_shot: Figures,
    pub item_cf: Vec<Figures>,
}

/// Each item's place, from 0, in the permutation of `seed`. A larger ratio masks a superset.
pub fn places(items: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (1..=items).collect();
    order.sort_by_key(|&i| (mix64(mix64(seed ^ 0x6d61_736b) ^ i as u64), i));
    let mut places = vec![usize::MAX; items + 1];
    order.iter().enumerate().for_each(|(place, &item)| places[item] = place);
    places
}

/// Which items, of those with these [`places`], a share takes; padding never.
pub fn masked(places: &[usize], share: f64) -> Vec<bool> {
    let limit = (share * places.len().saturating_sub(1) as f64).round() as usize;
    places.iter().map(|&place| place < limit).collect()
}

impl MaskCurve {
    pub(super) fn new(view: &str, points: Vec<MaskPoint>) -> Self {
        let height = |p: &MaskPoint| p.zero_shot.get("ndcg@10");
        let area = points
            .windows(2)
            .map(|w| (w[1].ratio - w[0].ratio) * f64::midpoint(height(&w[0]), height(&w[1])))
            .sum();
        let at = |ratio: f64| points.iter().find(|p| p.ratio == ratio).map(height);
        let half_to_none = match (at(0.5), at(0.0)) {
            (Some(half), Some(none)) if none > 0.0 => Some(half / none),
            _ => None,
        };
        Self { view: view.to_owned(), points, area, half_to_none }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_share_masks_the_same_items_and_more() {
        let places = places(40, 3);
        let shares = [0.0, 0.1, 0.5, 0.51, 1.0].map(|share| masked(&places, share));
        assert_eq!(shares.each_ref().map(|m| m.iter().filter(|&&m| m).count()), [0, 4, 20, 20, 40]);
        for pair in shares.windows(2) {
            assert!(pair[0].iter().zip(&pair[1]).all(|(less, more)| *more || !less));
        }
        assert!(shares.iter().all(|masked| !masked[0]), "padding");
    }
}

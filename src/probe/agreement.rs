//! Probe P2 (b): agreement of the features' neighbours with neighbours by behaviour (docs/studies.md, section 3).
//!
//! Reads training interactions only.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::vectors::{RowMatrix, Vectors, nearest};
use crate::data::Dataset;
use crate::eval::baseline::Baskets;
use crate::rng::mix64;
use crate::stats::spearman;

/// Fewest users of an item with neighbours by behaviour.
pub const MIN_USERS: usize = 5;
/// Fewest common users of a pair of items by behaviour.
const MIN_COMMON: u32 = 2;
/// Number of items of similar popularity that replace a neighbour in the popularity-matched pairing.
const MATCHED: usize = 20;
/// Number of pairs for the correlation of similarities.
const PAIRS: usize = 20_000;

/// Co-occurrence of items in training.
pub struct Behaviour {
    baskets: Baskets,
    /// Whether each item has at least [`MIN_USERS`] users.
    pub eligible: Vec<bool>,
    /// For each item, (similarity, other item, common users) of eligible items that share a user, most similar first.
    similar: Vec<Vec<(f32, u32, u32)>>,
    /// Eligible items in order of their number of users.
    popularity_order: Vec<u32>,
    place: Vec<usize>,
}

impl Behaviour {
    /// Counts training interactions, and keeps at most `keep` similar items of each item.
    pub fn new(dataset: &Dataset, keep: usize) -> Self {
        let sequences = &dataset.sequences;
        let baskets = Baskets::new(sequences.users(), dataset.items.count(), |u| sequences.train_of(u));
        let width = baskets.width();
        let eligible: Vec<bool> = (0..width).map(|i| baskets.users(i).len() >= MIN_USERS).collect();
        let mut popularity_order: Vec<u32> = (0..width as u32).filter(|&i| eligible[i as usize]).collect();
        popularity_order.sort_by_key(|&i| (baskets.users(i as usize).len(), i));
        let mut place = vec![0; width];
        popularity_order.iter().enumerate().for_each(|(p, &i)| place[i as usize] = p);
        let mut behaviour = Self { baskets, eligible, similar: Vec::new(), popularity_order, place };
        behaviour.similar = (0..width)
            .into_par_iter()
            .map_init(|| vec![0u32; width], |common, item| behaviour.similar_to(item, keep, common))
            .collect();
        behaviour
    }

    /// `common` is a buffer of zeros, and zeros again afterwards.
    fn similar_to(&self, item: usize, keep: usize, common: &mut [u32]) -> Vec<(f32, u32, u32)> {
        if !self.eligible[item] {
            return Vec::new();
        }
        let shared = self.baskets.sharing(item, common).into_iter();
        let mut similar: Vec<(f32, u32, u32)> = shared
            .filter(|&(other, _)| self.eligible[other as usize])
            .map(|(other, both)| (self.baskets.similarity(item, other as usize, both) as f32, other, both))
            .collect();
        similar.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        similar.truncate(keep);
        similar
    }
}

/// Agreement of one set of features with behaviour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Number of neighbours that are compared.
    pub k: usize,
    /// Number of items with enough users and with features.
    pub items: usize,
    /// Mean share of an item's k nearest by features that are among its k nearest by behaviour.
    pub overlap: f64,
    /// The same for neighbours drawn at random.
    pub overlap_chance: f64,
    /// The same for items as popular as the neighbours by behaviour.
    pub overlap_matched: f64,
    /// `overlap` as a multiple of `overlap_chance`; absent if that is 0.
    pub lift: Option<f64>,
    pub lift_matched: Option<f64>,
    /// Share of the pairs with two common users or more that the features find, among the most similar of each item.
    pub pair_recall: f64,
    pub pairs: usize,
    /// Spearman's correlation of similarities by features and by behaviour, on pairs half at random and half with
    /// common users.
    pub spearman: f64,
}

/// For each item, the `k` nearest by features among eligible items with a vector.
pub fn eligible_neighbours(
    behaviour: &Behaviour,
    vectors: &Vectors,
    matrix: &RowMatrix,
    k: usize,
) -> Vec<Vec<(f32, u32)>> {
    matrix.each(&vectors.values, |item, products| {
        if !(behaviour.eligible[item] && vectors.present[item]) {
            return Vec::new();
        }
        nearest(products, k, |i| i != item && behaviour.eligible[i] && vectors.present[i])
    })
}

/// Compares `neighbours` ([`eligible_neighbours`]) with behaviour; `None` with fewer than three comparable items.
pub fn agreement(
    behaviour: &Behaviour,
    vectors: &Vectors,
    neighbours: &[Vec<(f32, u32)>],
    k: usize,
    seed: u64,
) -> Option<Agreement> {
    let usable = |i: usize| behaviour.eligible[i] && vectors.present[i];
    let items: Vec<usize> = (1..neighbours.len()).filter(|&i| usable(i)).collect();
    if items.len() < 3 {
        return None;
    }
    let others = (items.len() - 1) as f64;
    let mut sums = [0.0f64; 3];
    let (mut found, mut pairs) = (0usize, 0usize);
    for &item in &items {
        let mut own: Vec<u32> = neighbours[item].iter().map(|n| n.1).collect();
        own.sort_unstable();
        let has = |other: u32| own.binary_search(&other).is_ok();
        let similar: Vec<_> = behaviour.similar[item].iter().filter(|s| usable(s.1 as usize)).collect();
        for s in similar.iter().take(k) {
            sums[0] += f64::from(u8::from(has(s.1)));
            sums[1] += own.len() as f64 / others;
            let matched = behaviour.matched(item, s.1, &usable);
            let hits = matched.iter().filter(|&&m| has(m)).count();
            sums[2] += hits as f64 / matched.len().max(1) as f64;
        }
        for s in similar.iter().filter(|s| s.2 >= MIN_COMMON) {
            pairs += 1;
            found += usize::from(has(s.1));
        }
    }
    let [overlap, overlap_chance, overlap_matched] = sums.map(|s| s / (items.len() * k) as f64);
    let lift = |chance: f64| (chance > 0.0).then(|| overlap / chance);
    Some(Agreement {
        k,
        items: items.len(),
        overlap,
        overlap_chance,
        overlap_matched,
        lift: lift(overlap_chance),
        lift_matched: lift(overlap_matched),
        pair_recall: found as f64 / pairs.max(1) as f64,
        pairs,
        spearman: correlation(behaviour, vectors, &items, seed),
    })
}

impl Behaviour {
    /// Items of similar popularity as `other`, without it and without `item`.
    fn matched(&self, item: usize, other: u32, usable: &impl Fn(usize) -> bool) -> Vec<u32> {
        let own = self.place[other as usize];
        let fits = |&&i: &&u32| i as usize != item && i != other && usable(i as usize);
        let rarer = self.popularity_order[..own].iter().rev().filter(fits).take(MATCHED / 2);
        let commoner = self.popularity_order[own + 1..].iter().filter(fits).take(MATCHED / 2);
        rarer.chain(commoner).copied().collect()
    }
}

/// Spearman's correlation over sampled pairs. Every second pair has common users, since nearly all similarities would
/// be 0 otherwise.
fn correlation(behaviour: &Behaviour, vectors: &Vectors, items: &[usize], seed: u64) -> f64 {
    let sampled: Vec<(f64, f64)> = (0..PAIRS as u64)
        .into_par_iter()
        .filter_map(|draw| {
            let bits = mix64(mix64(seed) ^ draw);
            let a = items[(bits % items.len() as u64) as usize];
            let similar = &behaviour.similar[a];
            let b = if draw % 2 == 0 || similar.is_empty() {
                items[(mix64(bits) % items.len() as u64) as usize]
            } else {
                similar[(mix64(bits) % similar.len() as u64) as usize].1 as usize
            };
            if a == b || !vectors.present[b] {
                return None;
            }
            let pairs = vectors.row(a).iter().zip(vectors.row(b));
            let cosine = pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            Some((cosine, behaviour.baskets.similarity(a, b, behaviour.baskets.common(a, b))))
        })
        .collect();
    let (x, y): (Vec<f64>, Vec<f64>) = sampled.into_iter().unzip();
    spearman(&x, &y).unwrap_or(0.0)
}

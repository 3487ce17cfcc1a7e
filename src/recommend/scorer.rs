//! Scores of every item for a tile of histories (docs/odmt.md, section 6): raw dot products per branch, and their mean.
//!
//! Shapes: `N` histories, `S` positions, `I` items, `D` width.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;

use super::CatalogueVectors;
use crate::data::{Choice, Dataset, Part, Target};
use crate::eval::inner_product::{Catalogue, Found, Query, View};
use crate::eval::{ScoreError, Scorer};
use crate::memory::{Memory, Scored};
use crate::model::ensemble::{Weights, fold};
use crate::model::{Histories, Padded, Recommender};
use crate::objective::distill::ENSEMBLE;
use crate::ops::Noise;
use crate::params;

/// Histories of a tile are padded in at most so many groups of similar length.
const LENGTH_GROUPS: usize = 4;
/// Histories that are encoded together where many are ranked: what the encoders need for them is what takes memory.
const ENCODED: usize = 1024;

/// A model with its catalogue, ready to score.
pub struct ModelScorer<'a> {
    model: &'a Recommender,
    vectors: Cow<'a, CatalogueVectors>,
    memory: Option<Arc<Memory>>,
    weights: Weights,
    dataset: Option<&'a Dataset>,
    max_seq_len: usize,
    device: Device,
    /// Made when it is first asked for.
    catalogue: Option<Shelved>,
}

/// Candidates ready to rank by inner products, and which they are.
struct Shelved {
    among: Option<Choice>,
    /// Absent where it can't be done.
    catalogue: Option<Catalogue>,
}

/// What histories are ranked by: `[N, D]` of each branch, on the host, and what the memory says.
pub struct Users {
    /// Scaled so that the mean of the branches' inner products is the trained part of the ensemble.
    pub vectors: Vec<Vec<f32>>,
    /// The memory's own scores; empty lists without a memory.
    pub remembered: Vec<Vec<Scored>>,
    /// The same, weighed for the ensemble, with what items of the history gain there.
    pub added: Vec<Vec<Scored>>,
}

impl<'a> ModelScorer<'a> {
    /// `model` is the plain model on `device`, with the memory that it was trained beside; `dataset` is needed to score its
    /// targets.
    pub fn new(
        model: &'a Recommender,
        vectors: impl Into<Cow<'a, CatalogueVectors>>,
        memory: Option<Arc<Memory>>,
        dataset: Option<&'a Dataset>,
        max_seq_len: usize,
        device: &Device,
    ) -> Self {
        let (vectors, device, weights) = (vectors.into(), device.clone(), model.ensemble_weights());
        Self { model, vectors, memory, weights, dataset, max_seq_len, device, catalogue: None }
    }

    /// The same scorer, in whose ensemble the branches in these places count nothing.
    #[must_use]
    pub fn without(self, silent: Vec<usize>) -> Self {
        Self { weights: self.weights.without(silent), ..self }
    }

    /// `ensemble` first, then the branches, the memory last; only `ensemble` where there is one branch.
    pub fn score_names(&self) -> Vec<String> {
        let mut names = self.model.config().score_names();
        names.truncate(self.trained_branches() + usize::from(self.memory.is_some()));
        if names.len() > 1 {
            std::iter::once(ENSEMBLE.to_owned()).chain(names).collect()
        } else {
            vec![ENSEMBLE.to_owned()]
        }
    }

    /// What the trained branches count, and the memory where there is one.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// What scores and names of trained branches stand for, in their order.
    fn views(&self) -> Vec<View> {
        let branches = self.vectors.branches.len();
        if self.memory.is_some() { View::ensemble_and(branches) } else { View::all(branches) }
    }

    /// Makes [`Self::catalogue`] the one of these candidates.
    fn shelve(&mut self, among: Option<&Choice>) {
        if self.catalogue.as_ref().is_some_and(|shelved| shelved.among.as_ref() == among) {
            return;
        }
        let d = self.model.config().width;
        let chosen = |all: Vec<f32>| match among {
            None => all,
            Some(choice) => {
                let rows = std::iter::once(0).chain(choice.items().iter().map(|&item| item as usize));
                rows.flat_map(|row| &all[row * d..(row + 1) * d]).copied().collect()
            }
        };
        let host = || self.vectors.branches.iter().cloned().map(params::host).map(chosen).collect();
        let catalogue = Catalogue::new(host(), d);
        self.catalogue = Some(Shelved { among: among.cloned(), catalogue });
    }

    /// Scores of all items for each history (oldest item first), `[N, I + 1]` per score name, row-major.
    ///
    /// An empty history has no user vector; its scores are 0.
    pub fn score_histories(&self, histories: &[&[u32]]) -> Vec<Vec<f32>> {
        self.fold_scores(histories, &|_| None)
    }

    /// [`Self::score_histories`] with the weights of each history's fold.
    fn fold_scores(&self, histories: &[&[u32]], fold: &Fold<'_>) -> Vec<Vec<f32>> {
        let mut scores = branch_scores(self.user_vectors(histories), &self.vectors.branches);
        if self.counts_evenly() {
            return scores;
        }
        let width = self.items() + 1;
        let branches = if scores.len() > 1 { scores.split_off(1) } else { scores.clone() };
        let mut ensemble = scores.swap_remove(0);
        let remembered = self.remembered(histories);
        ensemble.par_chunks_exact_mut(width).enumerate().for_each(|(n, out)| {
            let row = self.weights.row(fold(n), histories[n].len());
            out.fill(0.0);
            for (scores, weight) in branches.iter().zip(&row) {
                let own = &scores[n * width..(n + 1) * width];
                out.iter_mut().zip(own).for_each(|(sum, score)| *sum += weight * score);
            }
            for (item, score) in &remembered[n] {
                out[*item as usize] += row[branches.len()] * score;
            }
            let seen = self.weights.seen(fold(n));
            distinct(histories[n]).for_each(|item| out[item as usize] += seen);
        });
        let mut all = vec![ensemble];
        all.extend(branches);
        if self.memory.is_some() {
            let mut scores = vec![f32::NEG_INFINITY; histories.len() * width];
            for (row, remembered) in scores.chunks_exact_mut(width).zip(&remembered) {
                remembered.iter().for_each(|&(item, score)| row[item as usize] = score);
            }
            all.push(scores);
        }
        all
    }

    /// Whether the ensemble is the mean of trained branches, as in ODMT.
    pub(super) fn counts_evenly(&self) -> bool {
        self.weights.are_equal() && self.memory.is_none()
    }

    /// Whether a memory stands beside the trained branches.
    pub fn has_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// What the memory says of each history.
    pub fn remembered(&self, histories: &[&[u32]]) -> Vec<Vec<Scored>> {
        match &self.memory {
            Some(memory) => memory.score_all(histories),
            None => vec![Vec::new(); histories.len()],
        }
    }

    /// What histories are ranked by, with the weights for everybody.
    pub fn ranked_by(&self, histories: &[&[u32]]) -> Users {
        self.fold_users(histories, &|_| None)
    }

    /// User vectors as they are, and the memory's scores without a weight.
    pub(super) fn plain_users(&self, histories: &[&[u32]]) -> Users {
        let mut vectors = vec![Vec::new(); self.trained_branches()];
        for histories in histories.chunks(ENCODED) {
            let encoded = self.user_vectors(histories).into_iter().map(params::host);
            vectors.iter_mut().zip(encoded).for_each(|(users, rows)| users.extend(rows));
        }
        let remembered = self.remembered(histories);
        Users { vectors, added: remembered.clone(), remembered }
    }

    /// Branches that are trained: all but a memory.
    pub(super) fn trained_branches(&self) -> usize {
        self.vectors.branches.len()
    }

    /// The whole catalogue, ready to rank by inner products; absent where a vector is not finite.
    pub(super) fn catalogue(&mut self) -> Option<&Catalogue> {
        self.shelve(None);
        self.catalogue.as_ref().and_then(|shelved| shelved.catalogue.as_ref())
    }

    fn fold_users(&self, histories: &[&[u32]], fold: &Fold<'_>) -> Users {
        let count = self.trained_branches();
        let Users { mut vectors, remembered, mut added } = self.plain_users(histories);
        if !self.counts_evenly() {
            let width = self.model.config().width;
            for (n, history) in histories.iter().enumerate() {
                let row = self.weights.row(fold(n), history.len());
                for (users, weight) in vectors.iter_mut().zip(&row) {
                    let factor = weight * count as f32;
                    users[n * width..(n + 1) * width].iter_mut().for_each(|x| *x *= factor);
                }
                let own = row.get(count).copied().unwrap_or_default();
                added[n].iter_mut().for_each(|(_, score)| *score *= own);
                add_seen(&mut added[n], history, self.weights.seen(fold(n)));
            }
        }
        Users { vectors, remembered, added }
    }

    /// User vectors after the last item, `[N, D]` per branch; zero for an empty history.
    pub fn user_vectors(&self, histories: &[&[u32]]) -> Vec<Tensor<2>> {
        let all: Vec<usize> = (0..self.vectors.branches.len()).collect();
        self.users(histories, &all)
    }

    /// User vectors of one branch, `[N, D]`.
    pub fn branch_users(&self, branch: usize, histories: &[&[u32]]) -> Tensor<2> {
        self.users(histories, &[branch]).swap_remove(0)
    }

    fn users(&self, histories: &[&[u32]], branches: &[usize]) -> Vec<Tensor<2>> {
        let kept = |history: &[u32]| history[history.len().saturating_sub(self.max_seq_len)..].to_vec();
        let kept: Histories<u32> = histories.iter().map(|history| kept(history)).collect();
        let groups = kept.padded(self.model.group_windows(&kept.lengths(), LENGTH_GROUPS));
        let mut place = vec![0i32; histories.len()];
        let order = groups.iter().flat_map(|group| &group.windows);
        order.enumerate().for_each(|(row, &window)| place[window as usize] = row as i32);
        let place = Tensor::<1, Int>::from_data(TensorData::new(place, [histories.len()]), &self.device);
        let mut encoded = vec![Vec::new(); branches.len()];
        for group in &groups {
            let users = self.group_vectors(group, branches);
            encoded.iter_mut().zip(users).for_each(|(parts, users_nd)| parts.push(users_nd));
        }
        encoded.into_iter().map(|parts| Tensor::cat(parts, 0).select(0, place.clone())).collect()
    }

    /// [`Self::users`] of a group of padded histories.
    fn group_vectors(&self, group: &Padded, branches: &[usize]) -> Vec<Tensor<2>> {
        let (n, s) = (group.rows.sequences, group.rows.positions);
        let last_real = group.places.chunks_exact(s).map(|row| f32::from(u8::from(row[s - 1] > 0))).collect();
        let last_real_n1 = Tensor::<2>::from_data(TensorData::new(last_real, [n, 1]), &self.device);
        let places: Vec<i32> = group.places.iter().map(|&place| place as i32).collect();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [n * s]), &self.device);
        let users = branches.iter().map(|&branch| {
            let items_vd = &self.vectors.branches[branch];
            let [_, d] = items_vd.dims();
            let x_nsd = items_vd.clone().select(0, places.clone()).reshape([n, s, d]);
            let users_nsd = self.model.encode_users(branch, x_nsd, &group.rows, &mut Noise::off());
            users_nsd.narrow(1, s - 1, 1).reshape([n, d]) * last_real_n1.clone()
        });
        users.collect()
    }
}

/// Mean of the branches' dot products, then those of each branch where there are several: `[N, I + 1]` each,
/// row-major.
///
/// # Shapes
/// - users: `[N, D]` per branch
/// - items: `[I + 1, D]` per branch
pub fn branch_scores(users: Vec<Tensor<2>>, items: &[Tensor<2>]) -> Vec<Vec<f32>> {
    let branches: Vec<Tensor<2>> = users
        .into_iter()
        .zip(items)
        .map(|(users_nd, items_vd)| users_nd.matmul(items_vd.clone().transpose()))
        .collect();
    let n = branches.len();
    let mut scores = Vec::with_capacity(n + 1);
    let sum = branches.iter().skip(1).fold(branches[0].clone(), |sum, b| sum + b.clone());
    scores.push(params::host(if n > 1 { sum / n as f64 } else { sum }));
    if n > 1 {
        scores.extend(branches.into_iter().map(params::host));
    }
    scores
}

/// The fold of the history in a place, if it belongs to a validation target.
type Fold<'a> = dyn Fn(usize) -> Option<usize> + Sync + 'a;

impl ModelScorer<'_> {
    fn histories(&self, targets: &[Target]) -> Result<Vec<&[u32]>, ScoreError> {
        let dataset = self.dataset.ok_or_else(|| ScoreError::new("this scorer has no data set"))?;
        Ok(targets.iter().map(|t| dataset.history(t)).collect())
    }

    /// Weights are fitted on validation targets: each is judged by weights that others gave.
    fn fold(&self, target: &Target) -> Option<usize> {
        let parts = self.dataset?.sequences.parts_of(target.user as usize);
        (parts[target.position as usize] == Part::Valid).then(|| fold(target.user))
    }
}

impl Scorer for ModelScorer<'_> {
    fn names(&self) -> Vec<String> {
        self.score_names()
    }

    fn items(&self) -> usize {
        self.vectors.items()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let scores = self.fold_scores(&self.histories(targets)?, &|n| self.fold(&targets[n]));
        out.iter_mut().zip(scores).for_each(|(out, scores)| *out = scores);
        Ok(())
    }

    fn rank(
        &mut self,
        targets: &[Target],
        queries: &[Query],
        k: usize,
        among: Option<&Choice>,
    ) -> Result<Option<Vec<Vec<Found>>>, ScoreError> {
        self.shelve(among);
        let Some(catalogue) = self.catalogue.as_ref().and_then(|shelved| shelved.catalogue.as_ref()) else {
            return Ok(None);
        };
        let mut users = self.fold_users(&self.histories(targets)?, &|n| self.fold(&targets[n]));
        if let Some(choice) = among {
            let lists = users.added.iter_mut().chain(&mut users.remembered);
            lists.for_each(|list| *list = places(list, choice));
        }
        let queries: Vec<Query> =
            queries.iter().zip(&users.added).map(|(query, added)| Query { added, ..*query }).collect();
        let mut found = catalogue.rank(&self.views(), &users.vectors, &queries, k);
        if self.memory.is_some() {
            let lists = queries.par_iter().zip(&users.remembered);
            let own: Vec<Found> =
                lists.map(|(query, list)| Found::from_scored(list, query, catalogue.items(), k)).collect();
            found.iter_mut().zip(own).for_each(|(found, own)| found.push(own));
        }
        Ok(Some(found))
    }
}

/// The distinct items of a history.
pub(super) fn distinct(history: &[u32]) -> impl Iterator<Item = u32> {
    let items: BTreeSet<u32> = history.iter().copied().collect();
    items.into_iter()
}

/// Adds what items of the history gain.
fn add_seen(added: &mut Vec<Scored>, history: &[u32], gain: f32) {
    if gain == 0.0 {
        return;
    }
    for item in distinct(history) {
        match added.binary_search_by_key(&item, |scored| scored.0) {
            Ok(place) => added[place].1 += gain,
            Err(place) => added.insert(place, (item, gain)),
        }
    }
}

/// Scores of candidates by their places, ascending as items do.
fn places(list: &[Scored], choice: &Choice) -> Vec<Scored> {
    list.iter().filter_map(|&(item, score)| Some((choice.place(item)?, score))).collect()
}

//! Scores of every item for a tile of histories (docs/odmt.md, section 6): raw dot products per branch, and their mean.
//!
//! Shapes: `N` histories, `S` positions, `I` items, `D` width.

use std::borrow::Cow;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::CatalogueVectors;
use crate::data::{Choice, Dataset, Target};
use crate::eval::inner_product::{Catalogue, Found, Query, View};
use crate::eval::{ScoreError, Scorer};
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

impl<'a> ModelScorer<'a> {
    /// `model` is the plain model on `device`; `dataset` is needed to score its targets.
    pub fn new(
        model: &'a Recommender,
        vectors: &'a CatalogueVectors,
        dataset: Option<&'a Dataset>,
        max_seq_len: usize,
        device: &Device,
    ) -> Self {
        Self {
            model,
            vectors: Cow::Borrowed(vectors),
            dataset,
            max_seq_len,
            device: device.clone(),
            catalogue: None,
        }
    }

    /// [`Self::new`] with vectors that nobody else needs.
    pub fn owning(
        model: &'a Recommender,
        vectors: CatalogueVectors,
        dataset: Option<&'a Dataset>,
        max_seq_len: usize,
        device: &Device,
    ) -> Self {
        let (vectors, device) = (Cow::Owned(vectors), device.clone());
        Self { model, vectors, dataset, max_seq_len, device, catalogue: None }
    }

    /// `ensemble` first, then the branches; only `ensemble` where there is one branch.
    pub fn score_names(&self) -> Vec<String> {
        let branches = &self.model.config().branches;
        let mut names = vec![ENSEMBLE.to_owned()];
        if branches.len() > 1 {
            names.extend(branches.iter().map(|b| b.name.clone()));
        }
        names
    }

    /// What scores and names stand for, in their order.
    fn views(&self) -> Vec<View> {
        View::all(self.vectors.branches.len())
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
        branch_scores(self.user_vectors(histories), &self.vectors.branches)
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

impl ModelScorer<'_> {
    fn histories(&self, targets: &[Target]) -> Result<Vec<&[u32]>, ScoreError> {
        let dataset = self.dataset.ok_or_else(|| ScoreError::new("this scorer has no data set"))?;
        Ok(targets.iter().map(|t| dataset.history(t)).collect())
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
        let scores = self.score_histories(&self.histories(targets)?);
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
        let mut users = vec![Vec::new(); self.vectors.branches.len()];
        for histories in self.histories(targets)?.chunks(ENCODED) {
            let encoded = self.user_vectors(histories).into_iter().map(params::host);
            users.iter_mut().zip(encoded).for_each(|(users, rows)| users.extend(rows));
        }
        Ok(Some(catalogue.rank(&self.views(), &users, queries, k)))
    }
}

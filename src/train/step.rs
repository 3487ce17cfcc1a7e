//! One micro-batch: forward, losses, gradients.
//!
//! Shapes: `B` users, `S` positions of this batch, `R` rows, `U` items, `D` width.

use burn::tensor::{Device, Tensor};

use super::batch::Batch;
use super::gradients::{Gradient, Gradients, RowGradient};
use crate::model::windows::WindowGroup;
use crate::model::{IdRows, Recommender, params};
use crate::objective::{Losses, Objective};
use crate::ops::Noise;
use crate::ops::drawn::drawn_scores;
use crate::ops::full_softmax::Branch;
use crate::ops::lookup::lookup;
use crate::ops::rows::Rows;

/// Runs micro-batches of one objective on one device.
pub struct Step {
    objective: Objective,
    device: Device,
    dropout: Dropout,
    length_groups: usize,
    row_sparse: bool,
}

/// Probabilities of dropping.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dropout {
    /// Everywhere inside tower and user encoders.
    pub elements: f64,
    /// Entries of the item vectors.
    pub items: f64,
}

/// Loss values of one micro-batch on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct LossValues {
    pub total: f64,
    /// Cross-entropy per branch.
    pub branches: Vec<f64>,
    /// Unweighted distillation term per pair.
    pub pairs: Vec<f64>,
    pub weight: f64,
}

/// Loss values of one micro-batch that may still be being computed.
#[derive(Clone, Debug)]
pub struct DeviceLosses {
    /// The total, the cross-entropy per branch, the term per pair.
    values: Tensor<1>,
    branches: usize,
    weight: f64,
}

impl DeviceLosses {
    /// Waits for them.
    pub fn read(self) -> LossValues {
        let values = params::host(self.values.clone());
        self.of(&values)
    }

    /// As they lie on the device.
    pub fn values(&self) -> Tensor<1> {
        self.values.clone()
    }

    /// How many [`Self::values`] there are.
    pub fn count(&self) -> usize {
        self.values.dims()[0]
    }

    /// Where they are.
    pub fn device(&self) -> Device {
        self.values.device()
    }

    /// Of [`Self::values`] that were brought to the host.
    pub fn of(self, values: &[f32]) -> LossValues {
        let values: Vec<f64> = values.iter().copied().map(f64::from).collect();
        let (branches, pairs) = values[1..].split_at(self.branches);
        let (branches, pairs) = (branches.to_vec(), pairs.to_vec());
        LossValues { total: values[0], branches, pairs, weight: self.weight }
    }
}

impl Step {
    /// `device` is the autodiff device the model lives on.
    ///
    /// Histories of a batch are padded in at most `length_groups` groups.
    pub fn new(objective: Objective, device: &Device, dropout: Dropout, length_groups: usize) -> Self {
        Self { objective, device: device.clone(), dropout, length_groups, row_sparse: false }
    }

    /// Whether [`Self::gradients`] gives the ID table's as those of the rows that the batch reads. For objectives that
    /// do not read the catalogue.
    pub fn with_row_sparse(self, row_sparse: bool) -> Self {
        Self { row_sparse, ..self }
    }

    /// Dot products of users and items of every branch: `[N, R, U]` with all items of the batch, or
    /// `[N, R, 1 + K]` with the drawn ones.
    pub fn scores(&self, model: &Recommender, batch: &Batch) -> Tensor<3> {
        self.scores_from(model, batch, None)
    }

    fn scores_from(&self, model: &Recommender, batch: &Batch, id_rows: Option<&IdRows>) -> Tensor<3> {
        let (users, items) = self.vectors(model, batch, id_rows);
        if let Some(drawn) = &batch.drawn {
            let branches = users.into_iter().zip(items);
            return Tensor::stack(
                branches.map(|(users, items)| drawn_scores(users, items, drawn)).collect(),
                0,
            );
        }
        let (users_nrd, items_nud): (Tensor<3>, Tensor<3>) =
            (Tensor::stack(users, 0), Tensor::stack(items, 0));
        users_nrd.matmul(items_nud.transpose())
    }

    /// All loss terms; `epoch` counts from 1.
    pub fn losses(&self, model: &Recommender, batch: &Batch, epoch: usize) -> Losses {
        self.losses_from(model, batch, None, epoch)
    }

    fn losses_from(
        &self,
        model: &Recommender,
        batch: &Batch,
        id_rows: Option<&IdRows>,
        epoch: usize,
    ) -> Losses {
        if !self.objective.reads_catalogue() {
            let scores_nru = self.scores_from(model, batch, id_rows);
            return self.objective.losses(scores_nru, &batch.candidates, epoch);
        }
        let mut noise = Noise::new(batch.noise_key, self.dropout.elements);
        // Validation lets the full softmax through only where every branch has such vectors.
        let catalogues = (0..model.branches.len()).filter_map(|branch| model.catalogue_vectors(branch));
        let catalogues: Vec<Tensor<2>> =
            catalogues.map(|items_id| noise.dropout_at(items_id, self.dropout.items)).collect();
        let items: Vec<Tensor<2>> =
            catalogues.iter().map(|x| lookup(x.clone(), &batch.block.items)).collect();
        let users = self.users(model, batch, &items, &mut noise);
        let branches = users.into_iter().zip(catalogues).map(|(users, items)| Branch { users, items });
        self.objective.catalogue_losses(branches.collect(), &batch.candidates.labels, epoch)
    }

    /// User vectors at the rows, `[R, D]`, and vectors of the block's items, `[U, D]`, per branch.
    fn vectors(
        &self,
        model: &Recommender,
        batch: &Batch,
        id_rows: Option<&IdRows>,
    ) -> (Vec<Tensor<2>>, Vec<Tensor<2>>) {
        let mut noise = Noise::new(batch.noise_key, self.dropout.elements);
        let items = model.encode_items_from(&batch.block, id_rows, &self.device, &mut noise);
        let items: Vec<Tensor<2>> =
            items.into_iter().map(|items_ud| noise.dropout_at(items_ud, self.dropout.items)).collect();
        (self.users(model, batch, &items, &mut noise), items)
    }

    /// User vectors at the rows, `[R, D]` per branch, from the block's items.
    fn users(
        &self,
        model: &Recommender,
        batch: &Batch,
        items: &[Tensor<2>],
        noise: &mut Noise,
    ) -> Vec<Tensor<2>> {
        let groups = Padded::groups(batch, &|lengths| model.group_windows(lengths, self.length_groups));
        let users = items.iter().enumerate().map(|(branch, items_ud)| {
            let [_, d] = items_ud.dims();
            let encoded = groups.groups.iter().map(|group| {
                let (b, s) = (group.windows, group.positions);
                let x_bsd = lookup(items_ud.clone(), &slots(group)).reshape([b, s, d]);
                model.encode_users(branch, x_bsd, &Rows::padded(&group.slots, s), noise).reshape([b * s, d])
            });
            lookup(Tensor::cat(encoded.collect(), 0), &groups.rows)
        });
        users.collect()
    }

    /// Loss values and gradients of the total.
    pub fn gradients(&self, model: &Recommender, batch: &Batch, epoch: usize) -> (LossValues, Gradients) {
        let (losses, gradients) = self.queue(model, batch, epoch);
        (losses.read(), gradients)
    }

    /// The same without waiting for the device.
    pub fn queue(&self, model: &Recommender, batch: &Batch, epoch: usize) -> (DeviceLosses, Gradients) {
        let id_rows = self.row_sparse.then(|| model.id_rows(&batch.block)).flatten();
        let losses = self.losses_from(model, batch, id_rows.as_ref(), epoch);
        let mut grads = losses.total.backward();
        let dense = params::gradients(model, &mut grads).into_iter();
        let mut gradients: Gradients = dense.map(|(name, grad)| (name, Gradient::Dense(grad))).collect();
        if let Some(IdRows { table, rows, values, .. }) = id_rows
            && let Some(values) = values.grad_remove(&mut grads)
        {
            gradients.insert(table, Gradient::Rows(RowGradient { rows, values }));
        }
        let Losses { total, terms, weight } = losses;
        let values = Tensor::cat(vec![total.inner(), terms.inner()], 0);
        (DeviceLosses { values, branches: model.branches.len(), weight }, gradients)
    }
}

/// Item index of every position; padding reads item 0 of the block: masked, never used.
fn slots(group: &Padded) -> Vec<u32> {
    group.slots.iter().map(|&slot| slot.saturating_sub(1)).collect()
}

/// Windows of a batch that are padded to one length.
struct Padded {
    windows: usize,
    positions: usize,
    /// `[B, S]` left-padded: 1 + column of the input item, 0 for padding.
    slots: Vec<u32>,
}

/// All of them, and where the batch's rows stand in their outputs, one group behind the other.
struct PaddedGroups {
    groups: Vec<Padded>,
    /// `[R]`
    rows: Vec<u32>,
}

impl Padded {
    fn groups(batch: &Batch, grouped: &dyn Fn(&[usize]) -> Vec<WindowGroup>) -> PaddedGroups {
        let s = batch.positions;
        let window = |w: usize| &batch.slots[w * s..(w + 1) * s];
        let lengths: Vec<usize> =
            (0..batch.users).map(|w| window(w).iter().filter(|&&slot| slot > 0).count()).collect();
        // Where the last position of each window stands.
        let mut last = vec![0usize; batch.users];
        let mut start = 0;
        let mut groups = Vec::new();
        for WindowGroup { windows, positions } in grouped(&lengths) {
            let mut slots = Vec::with_capacity(windows.len() * positions);
            for &w in &windows {
                slots.extend_from_slice(&window(w as usize)[s - positions..]);
                last[w as usize] = start + slots.len() - 1;
            }
            start += slots.len();
            groups.push(Self { windows: windows.len(), positions, slots });
        }
        let rows = batch.rows.iter().map(|&row| {
            let (w, place) = (row as usize / s, row as usize % s);
            (last[w] - (s - 1 - place)) as u32
        });
        PaddedGroups { groups, rows: rows.collect() }
    }
}

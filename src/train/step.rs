//! One micro-batch: forward, losses, gradients.
//!
//! Shapes: `B` users, `S` positions of this batch, `R` rows, `U` items, `D` width.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::batch::Batch;
use super::optim::Gradients;
use crate::model::{Recommender, params};
use crate::objective::{Losses, Objective};
use crate::ops::Noise;

/// Runs micro-batches of one objective on one device.
pub struct Step {
    objective: Objective,
    device: Device,
    dropout: f64,
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

impl Step {
    /// `device` is the autodiff device the model lives on.
    pub fn new(objective: Objective, device: &Device, dropout: f64) -> Self {
        Self { objective, device: device.clone(), dropout }
    }

    /// Dot products of users and items of every branch, `[N, R, U]`.
    pub fn scores(&self, model: &Recommender, batch: &Batch) -> Tensor<3> {
        let mut noise = Noise::new(batch.noise_key, self.dropout);
        let items = model.encode_items(&batch.block, &self.device, &mut noise);
        let (b, s) = (batch.users, batch.positions);
        let (slots, real_bs1) = self.slots(batch);
        let rows = self.index(&batch.rows);
        let users: Vec<Tensor<2>> = items
            .iter()
            .enumerate()
            .map(|(branch, items_ud)| {
                let [_, d] = items_ud.dims();
                let x_bsd = items_ud.clone().select(0, slots.clone()).reshape([b, s, d]);
                let users_bsd = model.encode_users(branch, x_bsd, &real_bs1, &mut noise);
                users_bsd.reshape([b * s, d]).select(0, rows.clone())
            })
            .collect();
        let users_nrd: Tensor<3> = Tensor::stack(users, 0);
        let items_nud: Tensor<3> = Tensor::stack(items, 0);
        users_nrd.matmul(items_nud.transpose())
    }

    /// All loss terms; `epoch` counts from 1.
    pub fn losses(&self, model: &Recommender, batch: &Batch, epoch: usize) -> Losses {
        self.objective.losses(self.scores(model, batch), &batch.candidates, epoch)
    }

    /// Loss values and gradients of the total.
    pub fn gradients(&self, model: &Recommender, batch: &Batch, epoch: usize) -> (LossValues, Gradients) {
        let losses = self.losses(model, batch, epoch);
        let mut grads = losses.total.backward();
        let gradients = params::gradients(model, &mut grads);
        (read(losses, model.branches.len()), gradients)
    }

    /// Item index of every position (padding reads item 0 of the block: masked, never used), and 1 where
    /// a position holds an item.
    fn slots(&self, batch: &Batch) -> (Tensor<1, Int>, Tensor<3>) {
        let index: Vec<u32> = batch.slots.iter().map(|&slot| slot.saturating_sub(1)).collect();
        let real: Vec<f32> = batch.slots.iter().map(|&slot| f32::from(u8::from(slot > 0))).collect();
        let real = TensorData::new(real, [batch.users, batch.positions, 1]);
        (self.index(&index), Tensor::from_data(real, &self.device))
    }

    fn index(&self, values: &[u32]) -> Tensor<1, Int> {
        let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n]), &self.device)
    }
}

/// Brings all loss terms to the host in one transfer.
fn read(losses: Losses, branches: usize) -> LossValues {
    let Losses { total, terms, weight } = losses;
    let values = params::host(Tensor::cat(vec![total.inner(), terms.inner()], 0));
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    let (branches, pairs) = values[1..].split_at(branches);
    LossValues { total: values[0], branches: branches.to_vec(), pairs: pairs.to_vec(), weight }
}

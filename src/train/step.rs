//! One micro-batch: forward, losses, gradients.
//!
//! Shapes: `B` users, `S` positions of this batch, `R` rows, `U` items, `D` width.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::batch::Batch;
use super::optim::Gradients;
use crate::model::{Recommender, params};
use crate::objective::{Candidates, Losses, Objective};
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

    /// Logits of every branch and the candidates they belong to.
    pub fn logits(&self, model: &Recommender, batch: &Batch) -> (Vec<Tensor<2>>, Candidates) {
        let mut noise = Noise::new(batch.noise_key, self.dropout);
        let candidates = self.candidates(batch);
        let items = model.encode_items(&batch.block, &self.device, &mut noise);
        let (b, s) = (batch.users, batch.positions);
        let (slots, real_bs1) = self.slots(batch);
        let rows = self.index(&batch.rows);
        let logits = items.into_iter().enumerate().map(|(branch, items_ud)| {
            let [_, d] = items_ud.dims();
            let x_bsd = items_ud.clone().select(0, slots.clone()).reshape([b, s, d]);
            let users_bsd = model.encode_users(branch, x_bsd, &real_bs1, &mut noise);
            let users_rd = users_bsd.reshape([b * s, d]).select(0, rows.clone());
            candidates.logits(users_rd, items_ud)
        });
        (logits.collect(), candidates)
    }

    /// All loss terms; `epoch` counts from 1.
    pub fn losses(&self, model: &Recommender, batch: &Batch, epoch: usize) -> Losses {
        let (logits, candidates) = self.logits(model, batch);
        self.objective.losses(&logits, &candidates, epoch)
    }

    /// Loss values and gradients of the total.
    pub fn gradients(&self, model: &Recommender, batch: &Batch, epoch: usize) -> (LossValues, Gradients) {
        let losses = self.losses(model, batch, epoch);
        let mut grads = losses.total.backward();
        let gradients = params::gradients(model, &mut grads);
        (read(losses), gradients)
    }

    /// Item index of every position (padding reads item 0 of the block: masked, never used), and 1 where
    /// a position holds an item.
    fn slots(&self, batch: &Batch) -> (Tensor<1, Int>, Tensor<3>) {
        let index: Vec<u32> = batch.slots.iter().map(|&slot| slot.saturating_sub(1)).collect();
        let real: Vec<f32> = batch.slots.iter().map(|&slot| f32::from(u8::from(slot > 0))).collect();
        let real = TensorData::new(real, [batch.users, batch.positions, 1]);
        (self.index(&index), Tensor::from_data(real, &self.device))
    }

    fn candidates(&self, batch: &Batch) -> Candidates {
        let (r, u) = (batch.rows.len(), batch.block.items.len());
        let weights = TensorData::new(batch.log_weight.clone(), [r, u]);
        let popularity = TensorData::new(batch.log_popularity.clone(), [u]);
        Candidates {
            log_weight_ru: Tensor::from_data(weights, &self.device),
            log_popularity_u: Tensor::from_data(popularity, &self.device),
            label_r1: self.index(&batch.labels).reshape([r, 1]),
        }
    }

    fn index(&self, values: &[u32]) -> Tensor<1, Int> {
        let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [n]), &self.device)
    }
}

/// Brings all loss terms to the host in one transfer.
fn read(losses: Losses) -> LossValues {
    let Losses { total, branches, pairs, weight } = losses;
    let n = branches.len();
    let terms: Vec<Tensor<1>> =
        std::iter::once(total).chain(branches).chain(pairs).map(|t| t.inner()).collect();
    let values: Vec<f64> = params::host(Tensor::cat(terms, 0)).into_iter().map(f64::from).collect();
    LossValues { total: values[0], branches: values[1..=n].to_vec(), pairs: values[n + 1..].to_vec(), weight }
}

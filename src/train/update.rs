//! One optimiser step: gradients of its micro-batches, averaged and clipped, and one update.
//!
//! On a GPU all of it is queued before the host waits once, for the losses and the norm together: a wait in between would
//! leave the device idle until the host has caught up. On the CPU, where nothing is queued, a step that diverges is
//! found before it reaches the weights.

use std::time::Instant;

use burn::tensor::{Device, Tensor};

use super::gradients::{Gradient, Gradients, accumulate, global_norm, square_sums};
use super::optim::clip_coefficient;
use super::step::{DeviceLosses, LossValues};
use super::{AdamW, Batch, Step};
use crate::model::{Recommender, params};

/// How an optimiser step is to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Learning rate.
    pub lr: f64,
    /// Largest norm of the gradients; 0 leaves them as they are.
    pub clip_norm: f64,
}

/// What an optimiser step found.
#[derive(Clone, Debug)]
pub struct Update {
    /// Per micro-batch.
    pub losses: Vec<LossValues>,
    /// Of the averaged gradients, before clipping.
    pub grad_norm: f64,
    /// When the host had the gradients, or had queued them.
    pub gradients_at: Instant,
}

impl Update {
    /// Whether losses and gradients are numbers. If they are not, the weights of a model on a GPU are lost too.
    pub fn is_finite(&self) -> bool {
        self.grad_norm.is_finite() && self.losses.iter().all(|losses| losses.total.is_finite())
    }
}

/// Takes one step; `epoch` counts from 1. On the CPU the model stays as it is where the result is not finite.
///
/// # Panics
/// There are no batches.
pub fn update(
    step: &Step,
    optimizer: &mut AdamW,
    model: &mut Recommender,
    batches: &[Batch],
    epoch: usize,
    rates: Rates,
) -> Update {
    let mut grads = Gradients::new();
    let mut losses = Vec::with_capacity(batches.len());
    for batch in batches {
        let (of_batch, grads_of_batch) = step.queue(model, batch, epoch);
        losses.push(of_batch);
        accumulate(&mut grads, grads_of_batch);
    }
    let share = 1.0 / batches.len() as f64;
    if losses[0].device() == Device::flex() {
        on_the_cpu(optimizer, model, grads, losses, share, rates)
    } else {
        on_a_gpu(optimizer, model, grads, losses, share, rates)
    }
}

fn on_the_cpu(
    optimizer: &mut AdamW,
    model: &mut Recommender,
    grads: Gradients,
    losses: Vec<DeviceLosses>,
    share: f64,
    Rates { lr, clip_norm }: Rates,
) -> Update {
    let losses = losses.into_iter().map(DeviceLosses::read).collect();
    let gradients_at = Instant::now();
    let found = Update { losses, grad_norm: global_norm(&grads) * share, gradients_at };
    if found.is_finite() {
        let scale = clip_coefficient(found.grad_norm, clip_norm) * share;
        *model = optimizer.step(model.take(), grads, lr, scale);
    }
    found
}

fn on_a_gpu(
    optimizer: &mut AdamW,
    model: &mut Recommender,
    grads: Gradients,
    losses: Vec<DeviceLosses>,
    share: f64,
    Rates { lr, clip_norm }: Rates,
) -> Update {
    let gradients_at = Instant::now();
    let norm_1 = square_sums(&grads).sum().sqrt() * share;
    let grads = if clip_norm > 0.0 {
        scaled(grads, &((norm_1.clone() + 1e-6).recip() * clip_norm).clamp_max(1.0))
    } else {
        grads
    };
    *model = optimizer.step(model.take(), grads, lr, share);
    // One transfer for all.
    let lengths: Vec<usize> = losses.iter().map(DeviceLosses::count).collect();
    let values = losses.iter().map(DeviceLosses::values).chain([norm_1]).collect();
    let values = params::host(Tensor::cat(values, 0));
    let mut rest = values.as_slice();
    let losses = losses.into_iter().zip(lengths).map(|(losses, length)| {
        let (own, after) = rest.split_at(length);
        rest = after;
        losses.of(own)
    });
    let losses = losses.collect();
    Update { losses, grad_norm: rest.first().map_or(0.0, |&norm| f64::from(norm)), gradients_at }
}

/// Gradients times a number that is on the device, `[1]`.
fn scaled(grads: Gradients, by_1: &Tensor<1>) -> Gradients {
    let scaled = grads.into_iter().map(|(name, grad)| {
        let grad = match grad {
            Gradient::Dense(grad) => Gradient::Dense(grad * by_1.clone()),
            Gradient::Rows(mut rows) => {
                rows.values = rows.values * by_1.clone().reshape([1, 1]);
                Gradient::Rows(rows)
            }
        };
        (name, grad)
    });
    scaled.collect()
}

//! One optimiser step: gradients of its micro-batches, averaged and clipped, and one update.
//!
//! On a GPU all of it is queued before the host waits once, for the losses and the norm together: a wait in between would
//! leave the device idle until the host has caught up. On the CPU, where nothing is queued, a step that diverges is
//! found before it reaches the weights.

use std::collections::BTreeSet;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::AdamW;
use super::gradients::{Gradient, Gradients, accumulate, global_norm, square_sums};
use super::losses::{DeviceLosses, LossValues};
use super::optim::clip_coefficient;
use super::system::{Learner, Phase, gradients};
use crate::params;

/// How an optimiser step is to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Rates<'a> {
    /// Learning rate of parameters that no group gives another one.
    pub lr: f64,
    /// Largest norm of the gradients; 0 leaves them as they are.
    pub clip_norm: f64,
    /// Parameters that stay as they are: their gradients count nowhere.
    pub frozen: &'a BTreeSet<String>,
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

/// Takes one step and returns the model after it. On the CPU this is the model as it was where the result is not finite.
///
/// Values are written in place on the CPU where `model` holds their only handles: hand over the model, not a clone.
///
/// # Panics
/// There are no batches.
pub fn update<L: Learner>(
    learner: &L,
    optimizer: &mut AdamW,
    model: L::Model,
    batches: &[L::Batch],
    phase: Phase<'_>,
    rates: Rates<'_>,
) -> (L::Model, Update) {
    let mut grads = Gradients::new();
    let mut losses = Vec::with_capacity(batches.len());
    for batch in batches {
        let (batch_losses, batch_grads) = gradients(learner, &model, batch, phase);
        losses.push(batch_losses);
        accumulate(&mut grads, batch_grads);
    }
    if !rates.frozen.is_empty() {
        grads.retain(|name, _| !rates.frozen.contains(name));
    }
    let share = 1.0 / batches.len() as f64;
    if losses[0].device() == Device::flex() {
        cpu_update(optimizer, model, grads, losses, share, rates)
    } else {
        gpu_update(optimizer, model, grads, losses, share, rates)
    }
}

fn cpu_update<M: Module>(
    optimizer: &mut AdamW,
    model: M,
    grads: Gradients,
    losses: Vec<DeviceLosses>,
    share: f64,
    Rates { lr, clip_norm, .. }: Rates<'_>,
) -> (M, Update) {
    let losses = losses.into_iter().map(DeviceLosses::read).collect();
    let gradients_at = Instant::now();
    let found = Update { losses, grad_norm: global_norm(&grads) * share, gradients_at };
    if !found.is_finite() {
        return (model, found);
    }
    let scale = clip_coefficient(found.grad_norm, clip_norm) * share;
    (optimizer.step(model, grads, lr, scale), found)
}

fn gpu_update<M: Module>(
    optimizer: &mut AdamW,
    model: M,
    grads: Gradients,
    losses: Vec<DeviceLosses>,
    share: f64,
    Rates { lr, clip_norm, .. }: Rates<'_>,
) -> (M, Update) {
    let gradients_at = Instant::now();
    let norm_1 = square_sums(&grads).sum().sqrt() * share;
    let grads = if clip_norm > 0.0 {
        scaled(grads, &((norm_1.clone() + 1e-6).recip() * clip_norm).clamp_max(1.0))
    } else {
        grads
    };
    let model = optimizer.step(model, grads, lr, share);
    // One transfer for all.
    let lengths: Vec<usize> = losses.iter().map(DeviceLosses::count).collect();
    let values = losses.iter().map(DeviceLosses::values).chain([norm_1]).collect();
    let values = params::host(Tensor::cat(values, 0));
    let mut rest = values.as_slice();
    let losses = losses.into_iter().zip(lengths).map(|(losses, length)| {
        let (own, after) = rest.split_at(length);
        rest = after;
        losses.named(own)
    });
    let losses = losses.collect();
    let grad_norm = rest.first().map_or(0.0, |&norm| f64::from(norm));
    (model, Update { losses, grad_norm, gradients_at })
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

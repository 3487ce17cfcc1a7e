//! What `train --dry-run` prints.

use std::fmt;

use serde::Serialize;

use crate::config::ObjectiveKind;
use crate::train::{Batch, Experiment};

/// The size of a run before it is started.
#[derive(Debug, Serialize)]
pub struct Plan {
    pub device: String,
    pub users: usize,
    pub items: usize,
    pub windows: usize,
    pub items_without_modality: usize,
    /// Items with training events of which no window reads one, and the share of events that none reads.
    pub items_without_window: usize,
    pub unread_events_share: f64,
    pub parameters: usize,
    /// Of the first batch.
    pub distinct_items: usize,
    pub positions: usize,
    pub steps_per_epoch: u64,
    pub steps: u64,
    /// Of them, before the checkpoint that would be gone on from.
    pub steps_done: u64,
    pub memory_bytes: u64,
    /// Mean of two steps, the first of which warms up.
    pub step_seconds: f64,
    pub evaluation_seconds: f64,
    pub validation_targets: usize,
    /// Validation targets that the history rule takes from the candidates.
    pub hidden_targets: usize,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.steps.saturating_sub(self.steps_done);
        let hours = (left as f64 * self.step_seconds) / 3600.0;
        let done = if self.steps_done == 0 { String::new() } else { format!(", {} done", self.steps_done) };
        let rows = [
            ("device", self.device.clone()),
            ("data", format!("{} users, {} items, {} windows", self.users, self.items, self.windows)),
            ("items without content", self.items_without_modality.to_string()),
            (
                "read by no window",
                format!(
                    "{} items, {:.1} % of the events",
                    self.items_without_window,
                    100.0 * self.unread_events_share
                ),
            ),
            ("parameters", self.parameters.to_string()),
            ("first batch", format!("{} distinct items, {} positions", self.distinct_items, self.positions)),
            ("steps", format!("{} ({} an epoch){done}", self.steps, self.steps_per_epoch)),
            ("memory estimate", format!("{:.2} GiB", self.memory_bytes as f64 / (1u64 << 30) as f64)),
            ("step", format!("{:.3} s, {hours:.2} h for all that are left at most", self.step_seconds)),
            (
                "validation",
                format!("{:.2} s for {} targets", self.evaluation_seconds, self.validation_targets),
            ),
        ];
        rows.iter().try_for_each(|(name, value)| writeln!(f, "{name:<22} {value}"))
    }
}

/// Bytes of parameters with gradient and optimiser state, and of the activations kept for the backward
/// pass of one micro-batch: a count of the tensors of the forward pass, not a measurement.
pub fn memory_estimate(experiment: &Experiment, batch: &Batch, parameters: usize) -> u64 {
    let model = &experiment.config.model;
    let d = model.width as u64;
    let per_token = 30 * d;
    let blocks = model.tower.as_ref().map_or(0, |t| t.blocks as u64);
    let heads = model.tower.as_ref().map_or(1, |t| t.heads as u64);
    let tower: u64 = batch
        .block
        .groups
        .iter()
        .map(|group| {
            let tokens: u64 =
                1 + (0..model.views.len()).filter_map(|v| group.view(v)).map(|t| t.count as u64).sum::<u64>();
            group.count as u64 * blocks * (tokens * per_token + 4 * heads * tokens * tokens)
        })
        .sum();
    let places = (batch.users * batch.positions) as u64;
    let encoders = model.branches.len() as u64 * places * 2 * (per_token + 8 * batch.positions as u64);
    let columns = match (&batch.drawn, experiment.config.objective.kind) {
        (Some(drawn), _) => 1 + drawn.count,
        (None, ObjectiveKind::Full) => experiment.config.objective.chunk_items.min(experiment.shape.items),
        (None, _) => batch.block.items.len(),
    };
    let logits = 8 * model.branches.len() as u64 * (batch.rows.len() * columns) as u64;
    4 * (4 * parameters as u64 + tower + encoders + logits)
}

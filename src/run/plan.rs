//! What `train --dry-run` prints.

use std::fmt;
use std::time::Instant;

use serde::Serialize;

use super::watch::Watch;
use crate::data::Part;
use crate::monitor::Monitor;
use crate::systems::AnySystem;
use crate::table::listing;
use crate::train::system::TeacherRun;
use crate::train::{TrainError, Training};

/// The size of a run before it is started.
#[derive(Debug, Serialize)]
pub struct Plan {
    pub device: String,
    pub users: usize,
    pub items: usize,
    pub windows: usize,
    /// Items without content features in any view that the model reads.
    #[serde(rename = "items_without_modality")]
    pub items_without_content: usize,
    /// Items with training events of which no window reads one, and the share of events that none reads.
    pub items_without_window: usize,
    pub unread_events_share: f64,
    pub parameters: usize,
    /// Finished runs that teach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teachers: Vec<TeacherRun>,
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

impl Plan {
    /// Sizes of the run, with the times of two steps and, where there is one, of a validation that are taken for it.
    ///
    /// # Errors
    /// A step diverges, or the device fails.
    pub fn rehearse(
        system: &dyn AnySystem,
        training: &mut dyn Training,
        device: &str,
    ) -> Result<Self, TrainError> {
        let setup = system.setup();
        let steps_done = training.state().step;
        let mut watch = Watch::new(&setup.config, Monitor::silent());
        let start = Instant::now();
        let rehearsal = training.rehearse(2, &mut watch)?;
        let step_seconds = start.elapsed().as_secs_f64() / 2.0;
        let start = Instant::now();
        let validates = setup.config.data.train_parts.validates();
        let validation_targets = if validates { training.evaluate(Part::Valid)?.targets() } else { 0 };
        let evaluation_seconds = start.elapsed().as_secs_f64();
        let unused = system.unused();
        Ok(Self {
            device: device.to_owned(),
            users: setup.dataset.sequences.users(),
            items: setup.dataset.items.count(),
            windows: system.samples().0,
            items_without_content: unused.items_without_content,
            items_without_window: unused.items,
            unread_events_share: unused.events_share,
            parameters: training.parameters(),
            teachers: system.teachers(),
            distinct_items: rehearsal.size.items,
            positions: rehearsal.size.positions,
            steps_per_epoch: training.epoch_steps(),
            steps: training.total_steps(),
            steps_done,
            memory_bytes: rehearsal.memory,
            step_seconds,
            evaluation_seconds,
            validation_targets,
            hidden_targets: setup.hidden_targets(Part::Valid).hidden,
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.steps.saturating_sub(self.steps_done);
        let hours = (left as f64 * self.step_seconds) / 3600.0;
        let done = if self.steps_done == 0 { String::new() } else { format!(", {} done", self.steps_done) };
        let taught = self.teachers.iter().map(|teacher| ("taught by", teacher.to_string()));
        let rows = [
            ("device", self.device.clone()),
            ("data", format!("{} users, {} items, {} windows", self.users, self.items, self.windows)),
            ("items without content", self.items_without_content.to_string()),
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
        let rows: Vec<(&str, String)> = rows.into_iter().chain(taught).collect();
        f.write_str(&listing(22, rows))
    }
}

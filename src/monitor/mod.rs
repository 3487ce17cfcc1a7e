//! Monitoring of a run: JSON lines, TensorBoard and the progress line.
//!
//! The trainer writes to one [`Monitor`], which fans out to [`Sink`]s. Monitoring can't stop a training: a sink that
//! fails is switched off, or continues without what it lost, and reports that once in [`Monitor::warnings`].
//!
//! Files in the run directory: `metrics.jsonl`, and `tensorboard/` unless the configuration disables it.

pub mod config;
mod events;
mod jsonl;
mod progress;
mod projector;
mod tensorboard;

pub use jsonl::JsonLines;
pub use progress::{Progress, ProgressMode};
pub use tensorboard::TensorBoard;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::MonitorConfig;
use crate::pictures::Png;

/// Name of the metrics file in a run directory.
pub const METRICS_FILE: &str = "metrics.jsonl";
/// Name of the folder of event files in a run directory.
pub const TENSORBOARD_DIR: &str = "tensorboard";

/// Tag prefixes of a run's final metrics: those of its best checkpoint on validation, and on the test part.
pub const FINAL_BEST: &str = "best/valid/";
pub const FINAL_TEST: &str = "test/";
/// Tag of the metric that selects among the trials of a search.
pub const FINAL_SCORE: &str = "tune/score";

/// The time of a measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Optimiser steps done since the start of the run.
    pub step: u64,
    /// Epoch, from 1.
    pub epoch: u64,
    /// Seconds since 1970 (Unix time).
    pub time: f64,
}

/// Value of a hyper-parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum HValue {
    Number(f64),
    Text(String),
    Flag(bool),
}

/// The pictures of the projector's vectors in one square sheet, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sprite {
    pub png: Png,
    /// Side of one picture, in pixels.
    pub side: u32,
}

/// A destination of metrics. Calls return at once and never fail; [`Sink::warnings`] reports what was lost.
pub trait Sink: Send {
    /// The sink's name in warnings.
    fn name(&self) -> &'static str;

    /// Records all scalars of a moment, by tags such as `train/loss/total`.
    fn scalars(&mut self, moment: Moment, values: &[(&str, f64)]);

    /// Records a Markdown text, once per run.
    fn text(&mut self, _tag: &str, _markdown: &str) {}

    /// Records the settings of the run and its final metrics, the most important first. These were logged as scalars
    /// under the same names.
    fn hparams(&mut self, _at: Moment, _hparams: &[(String, HValue)], _metrics: &[(String, f64)]) {}

    /// Records named vectors for the projector: `vectors` is `[rows, width]`, `rows` has a cell for each name of
    /// `header`, and `sprite` a picture for each vector.
    fn projector(
        &mut self,
        _name: &str,
        _vectors: &[f32],
        _width: usize,
        _header: &[&str],
        _rows: &[Vec<String>],
        _sprite: Option<&Arc<Sprite>>,
    ) {
    }

    /// Records a picture, by a tag such as `lists/u1`.
    fn image(&mut self, _at: Moment, _tag: &str, _png: &Png) {}

    /// Waits until everything is handed to the operating system, or for a few seconds.
    fn flush(&mut self) {}

    /// Returns the failures since the last call, each reported once.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// All sinks of a run, with its progress line.
pub struct Monitor {
    sinks: Vec<Box<dyn Sink>>,
    progress: Progress,
    warnings: Vec<String>,
}

impl Monitor {
    pub fn new(sinks: Vec<Box<dyn Sink>>, progress: Progress) -> Self {
        Self { sinks, progress, warnings: Vec::new() }
    }

    /// A monitor without sinks.
    pub fn silent() -> Self {
        Self::new(Vec::new(), Progress::hidden())
    }

    /// Opens the configured sinks in an existing run directory.
    ///
    /// `resumed` is the step of the checkpoint that the run continues from: later records are removed, since they will
    /// be measured again.
    pub fn open(run_dir: &Path, config: &MonitorConfig, resumed: Option<u64>, progress: Progress) -> Self {
        let metrics = run_dir.join(METRICS_FILE);
        let lines = match resumed {
            Some(step) => JsonLines::resume(&metrics, step),
            None => JsonLines::create(&metrics),
        };
        let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(lines)];
        if config.tensorboard {
            sinks.push(Box::new(TensorBoard::open(&run_dir.join(TENSORBOARD_DIR), resumed)));
        }
        Self::new(sinks, progress)
    }

    /// Records the scalars measured after `step` optimiser steps as one event.
    pub fn scalars(&mut self, step: u64, epoch: u64, values: &[(&str, f64)]) {
        let moment = Moment { step, epoch, time: now() };
        self.each(|sink| sink.scalars(moment, values));
    }

    /// Records a Markdown text, such as the resolved configuration.
    pub fn text(&mut self, tag: &str, markdown: &str) {
        self.each(|sink| sink.text(tag, markdown));
    }

    /// Records the settings of the run with its final metrics, to compare runs by.
    pub fn hparams(
        &mut self,
        step: u64,
        epoch: u64,
        hparams: &[(String, HValue)],
        metrics: &[(String, f64)],
    ) {
        let moment = Moment { step, epoch, time: now() };
        self.each(|sink| sink.hparams(moment, hparams, metrics));
    }

    /// See [`Sink::projector`].
    pub fn projector(
        &mut self,
        name: &str,
        vectors: &[f32],
        width: usize,
        header: &[&str],
        rows: &[Vec<String>],
        sprite: Option<&Arc<Sprite>>,
    ) {
        self.each(|sink| sink.projector(name, vectors, width, header, rows, sprite));
    }

    /// Records a picture, such as a user's list.
    pub fn image(&mut self, step: u64, epoch: u64, tag: &str, png: &Png) {
        let moment = Moment { step, epoch, time: now() };
        self.each(|sink| sink.image(moment, tag, png));
    }

    /// See [`Sink::flush`].
    pub fn flush(&mut self) {
        self.each(|sink| sink.flush());
    }

    /// The progress line.
    pub fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    /// Returns the failures since the last call, each reported once.
    pub fn warnings(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        self.each(|sink| found.append(&mut sink.warnings()));
        found.splice(0..0, self.warnings.drain(..));
        found
    }

    /// Calls every sink. A sink that panics, which is a bug, is removed.
    fn each(&mut self, mut call: impl FnMut(&mut dyn Sink)) {
        let warnings = &mut self.warnings;
        self.sinks.retain_mut(|sink| {
            let name = sink.name();
            let fine = catch_unwind(AssertUnwindSafe(|| call(sink.as_mut()))).is_ok();
            if !fine {
                warnings.push(format!("{name} panicked and is switched off; the training goes on"));
            }
            fine
        });
    }
}

/// Unix seconds; 0 on a clock before 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests;

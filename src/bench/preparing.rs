//! From a file of reviews to a data set on disk, by the code of `codistill prepare`.
//!
//! A process that runs a workload written before holds nothing else, so that its peak memory is the preparation's.

use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use super::disk::Loaded;
use super::{BenchError, Steps};
use crate::artefact::{self, io_error};
use crate::data::source::{Format, SourceOptions};
use crate::data::{PrepareOptions, PrepareReport, prepare, write_dataset};

/// A preparation, ready to run.
pub struct Preparing {
    options: PrepareOptions,
    /// Where data sets are written.
    home: TempDir,
}

/// One timed preparation.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Number of the timed step, from 0; warm-ups are not counted.
    pub index: usize,
    /// Reading, filtering, splitting and writing.
    pub seconds: f64,
    /// Reviews read.
    pub rows: usize,
    pub users: usize,
    pub items: usize,
    pub report: PrepareReport,
}

impl Preparing {
    /// Users and items with five interactions at least, last two of a user held out: `codistill prepare`'s defaults.
    ///
    /// # Errors
    /// There is no place for what is written.
    pub fn new(loaded: &Loaded) -> Result<Self, BenchError> {
        let options = PrepareOptions {
            interactions: loaded.reviews(),
            log: SourceOptions { format: Some(Format::JsonLines), ..SourceOptions::default() },
            ..PrepareOptions::default()
        };
        let home = tempfile::tempdir().map_err(io_error(&std::env::temp_dir()))?;
        Ok(Self { options, home })
    }

    /// Prepares the data set, `steps.timed` times; `on_step` is told of every timed one.
    ///
    /// # Errors
    /// The reviews can't be read, or nothing is left of them.
    pub fn run(
        &self,
        steps: Steps,
        on_step: &mut dyn FnMut(&Prepared) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        steps.run(|index, _| self.step(index), on_step)
    }

    fn step(&self, index: usize) -> Result<Prepared, BenchError> {
        let output = self.home.path().join("dataset");
        if output.exists() {
            artefact::remove(&output)?;
        }
        let start = Instant::now();
        let (dataset, report) = prepare(&self.options, &mut |_| {})?;
        write_dataset(&output, &dataset, &json!(report), json!({ "source": "bench" }))?;
        let seconds = start.elapsed().as_secs_f64();
        let rows = report.steps.first().map_or(0, |step| step.interactions);
        let (users, items) = (dataset.users.len(), dataset.items.count());
        Ok(Prepared { index, seconds, rows, users, items, report })
    }
}

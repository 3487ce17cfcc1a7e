//! Conditions without a training: the full model judged with views hidden (docs/studies.md, section 4, `Q`).
//!
//! A hidden view takes the way of a view that every item lacks: the learned missing token stands in. Its branch
//! leaves the ensemble, in which the others count what they did; where all count the same, dividing by the number of live
//! or of all branches gives the same ranks, so that there is no bracket to report. A memory goes on without items that are
//! alike by the view, and with what it counted: hiding the ID view silences the ID branch, not the memory of behaviour.
//! What is measured is what the trained model leans on, not what the view is worth: a model trained without it would have
//! found other ways.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;

use super::StudyError;
use super::cell::Cell;
use super::condition::Condition;
use crate::config::ENSEMBLE;
use crate::data::{Part, Target};
use crate::eval::kept::keep;
use crate::eval::report::SCHEMA;
use crate::eval::{Report, ScoreError, Scorer, TimeOrder};
use crate::memory::Memory;
use crate::recommend::ModelScorer;
use crate::systems::CoDistill;
use crate::train::System;
use crate::train::checkpoint::Parents;
use crate::train::inputs::{self, Asked};
use crate::train::run_dir::{RunDir, Which};

/// What the branches that are left make of the ensemble.
struct Remaining<'a> {
    model: ModelScorer<'a>,
    scores: Vec<Vec<f32>>,
}

impl Scorer for Remaining<'_> {
    fn names(&self) -> Vec<String> {
        vec![ENSEMBLE.to_owned()]
    }

    fn items(&self) -> usize {
        self.model.items()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        self.scores.resize(self.model.names().len(), Vec::new());
        self.model.score(targets, &mut self.scores)?;
        std::mem::swap(&mut out[0], &mut self.scores[0]);
        Ok(())
    }
}

/// The memory of the trained full model, for which no items are alike by the hidden views.
fn memory(
    reference: &Cell,
    condition: &Condition,
    poorer: &CoDistill,
    parents: &Parents,
    device: &Device,
) -> Result<Option<Arc<Memory>>, StudyError> {
    let Some(config) = &reference.config.model.memory else { return Ok(None) };
    let asked = Asked::default();
    let (setup, _) = inputs::open(&reference.dir, reference.config.clone(), parents, &asked, device)?;
    let hidden: Vec<&str> = condition.hide.iter().map(String::as_str).collect();
    let own = CoDistill::open(setup)?.memory();
    Ok(own.map(|own| Arc::new(own.with_content(config, &poorer.content(), &hidden))))
}

/// Judges the trained full model in `reference` without the views of `condition`, and writes the cell's
/// configuration, report and rows.
///
/// # Errors
/// The reference has no checkpoint, no branch is left, or a file can't be written.
pub fn judge(
    cell: &Cell,
    condition: &Condition,
    reference: &Cell,
    device: &Device,
) -> Result<(), StudyError> {
    let (path, checkpoint) = RunDir::new(&reference.dir).checkpoint(&Which::Best)?;
    let asked = Asked::default();
    let (setup, _) = inputs::open(&reference.dir, cell.config.clone(), &checkpoint.parents, &asked, device)?;
    let system = CoDistill::open(setup)?;
    let model = checkpoint.restore(&path, system.new_model())?.valid();
    let vectors = system.catalogue(&model);
    let s = system.setup.config.data.max_seq_len;
    let branches = &system.setup.config.model.branches;
    let hidden = |place: &usize| condition.hide.contains(&branches[*place].view);
    let silent: Vec<usize> = (0..branches.len()).filter(hidden).collect();
    if silent.len() == branches.len() {
        return Err(ScoreError::new("no branch is left").into());
    }
    let memory = memory(reference, condition, &system, &checkpoint.parents, device)?;
    let scorer = ModelScorer::new(&model, &vectors, memory, Some(&system.setup.dataset), s, device);
    let mut remaining = Remaining { model: scorer.without(silent), scores: Vec::new() };
    let evaluation = system.evaluate_scorer(&mut remaining, Part::Test)?;

    std::fs::create_dir_all(&cell.dir).map_err(crate::artefact::io_error(&cell.dir))?;
    let run = RunDir::new(&cell.dir);
    run.write(&run.config(), &cell.config.to_toml()?)?;
    let mut report = Report {
        schema: SCHEMA,
        dataset: system.setup.dataset.hash.clone(),
        seed: cell.seed,
        time_order: TimeOrder::measure(&system.setup.dataset, Part::Test),
        evaluations: vec![evaluation],
        global_time: None,
        cold: None,
        accepted: Vec::new(),
        note: None,
    };
    // The report comes last: with it the cell is complete.
    Ok(keep(&mut report, &run.rows("test"), &run.report())?)
}

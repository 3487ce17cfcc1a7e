//! Conditions without a training: the full model judged with views hidden (docs/studies.md, section 4, `Q`).
//!
//! A hidden view takes the way of a view that every item lacks: the learned missing token stands in. Its branch
//! leaves the ensemble. The other branches' dot products are averaged; dividing by the number of live or of all
//! branches gives the same ranks, so that there is no bracket to report. What is measured is what the trained
//! model leans on, not what the view is worth: a model trained without it would have found other ways.

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
use crate::recommend::ModelScorer;
use crate::systems::CoDistill;
use crate::train::System;
use crate::train::inputs::{self, Asked};
use crate::train::run_dir::{RunDir, Which};

/// The mean of some branches of a model, under the name of the ensemble.
struct Remaining<'a> {
    model: ModelScorer<'a>,
    /// Places of the live branches among the model's score names.
    live: Vec<usize>,
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
        let Some((first, others)) = self.live.split_first() else {
            return Err(ScoreError::new("no branch is left"));
        };
        out[0].clone_from(&self.scores[*first]);
        for &other in others {
            out[0].iter_mut().zip(&self.scores[other]).for_each(|(sum, x)| *sum += x);
        }
        out[0].iter_mut().for_each(|sum| *sum /= self.live.len() as f32);
        Ok(())
    }
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
    let scorer = ModelScorer::new(&model, &vectors, None, Some(&system.setup.dataset), s, device);
    // One branch is scored under the ensemble's name alone; of several, the ensemble stands before them.
    let branches = &system.setup.config.model.branches;
    let offset = usize::from(branches.len() > 1);
    let places = branches.iter().enumerate().filter(|(_, branch)| !condition.hide.contains(&branch.view));
    let live = places.map(|(place, _)| place + offset).collect();
    let mut remaining = Remaining { model: scorer, live, scores: Vec::new() };
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

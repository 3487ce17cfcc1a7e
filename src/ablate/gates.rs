//! Checks that make a run a failure instead of a number (docs/studies.md, section 4).
//!
//! Divergence ends a training; scores that are all equal or NaN are found by [`Opened::open`]. The rest is here.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::StudyError;
use super::cell::{Cell, State};
use super::condition::REFERENCE;
use super::plan::Plan;
use super::study::OnFault;
use crate::compare::CompareError;
use crate::compare::contrast::user_means;
use crate::compare::group::comparable;
use crate::compare::run::{Opened, Run};
use crate::eval::{RowsError, kept, rows};
use crate::features::FeatureStore;
use crate::stats::Estimate;
use crate::train::run_dir::{RunDir, Which};
use crate::train::setup::store_dir;

/// Score name of the baseline that a usable run must exceed.
const POPULARITY: &str = "popularity";

/// A cell after the gates.
pub struct Judged {
    pub cell: Cell,
    pub outcome: Outcome,
    /// Faults that the study tolerates ([`OnFault::Warn`]), without the cell's name.
    pub warnings: Vec<String>,
}

/// What became of a cell.
pub enum Outcome {
    /// Its run is finished and passed every gate: its figures count.
    Usable(Box<Run>),
    /// Why it has no figures.
    Failed(String),
    /// The cell is not trained, or not to its end.
    Pending,
}

impl Judged {
    pub fn run(&self) -> Option<&Run> {
        match &self.outcome {
            Outcome::Usable(run) => Some(run),
            _ => None,
        }
    }

    fn fail(&mut self, reason: String) {
        self.outcome = Outcome::Failed(reason);
    }

    /// Fails the cell with a remedy, or warns, as the study decides.
    fn fault(&mut self, rule: OnFault, reason: String, remedy: &str) {
        match rule {
            OnFault::Fail => self.fail(format!("{reason} ({remedy})")),
            OnFault::Warn => self.warnings.push(reason),
        }
    }
}

/// Opens every cell and applies the gates.
///
/// # Errors
/// A cell's directory holds a run of other settings, or can't be read.
pub fn judge(plan: &Plan) -> Result<Vec<Judged>, StudyError> {
    let mut all = Vec::new();
    for cell in &plan.cells {
        let outcome = match cell.state(None)? {
            State::Failed(reason) => Outcome::Failed(reason),
            State::Missing | State::Unfinished => Outcome::Pending,
            State::Complete => match Opened::open(&cell.dir, &plan.options.part, None) {
                Ok(Opened::Finished(run)) => Outcome::Usable(run),
                Ok(Opened::Failed { reason, .. }) => Outcome::Failed(reason),
                Err(e @ CompareError::Rows(RowsError::Mismatch { .. })) => Outcome::Failed(e.to_string()),
                Err(e) => return Err(e.into()),
            },
        };
        all.push(Judged { cell: cell.clone(), outcome, warnings: Vec::new() });
    }
    check_protocols(&mut all);
    check_features(plan, &mut all);
    check_weights(&mut all);
    check_maximum(plan, &mut all);
    check_popularity(plan, &mut all)?;
    check_distinct_ranks(&mut all);
    Ok(all)
}

/// Fails cells whose split, users, candidates or features differ from those of the first usable run of the full model.
fn check_protocols(all: &mut [Judged]) {
    let Some(first) = all.iter().position(|j| j.cell.condition == REFERENCE && j.run().is_some()) else {
        return;
    };
    let faults: Vec<Option<String>> = all
        .iter()
        .map(|judged| {
            let (reference, run) = (all[first].run()?, judged.run()?);
            if let Err(e) = comparable(reference, run) {
                return Some(e.to_string());
            }
            let stem = |hash: &String| hash.split('+').next().unwrap_or_default().to_owned();
            let parents = run.settings.iter().filter(|(key, _)| key.starts_with("parents.features."));
            let other = parents
                .into_iter()
                .find(|(key, hash)| reference.settings.get(*key).is_some_and(|own| stem(own) != stem(hash)));
            other.map(|(key, _)| format!("trained on other features than the full model: {key}"))
        })
        .collect();
    for (judged, fault) in all.iter_mut().zip(faults) {
        if let Some(fault) = fault {
            judged.fail(fault);
        }
    }
}

/// Faults cells with features that are the same for every item, unless their condition asks for that.
fn check_features(plan: &Plan, all: &mut [Judged]) {
    let mut flat: BTreeMap<String, bool> = BTreeMap::new();
    for judged in all {
        let Some(condition) = plan.condition(&judged.cell.condition) else { continue };
        let Outcome::Usable(_) = judged.outcome else { continue };
        let config = &judged.cell.config;
        let own = config.model.views.iter().filter(|view| view.replace.is_none() || !condition.is_constant());
        for view in own.filter(|view| !view.store().is_empty()) {
            let is_flat = *flat.entry(view.store().to_owned()).or_insert_with(|| {
                store_dir(config, view)
                    .and_then(|dir| FeatureStore::open(&dir).ok())
                    .is_some_and(|s| s.is_flat())
            });
            if is_flat {
                judged.outcome = Outcome::Failed(format!(
                    "the features of view `{}` are the same for every item",
                    view.name
                ));
                break;
            }
        }
    }
}

/// Fails cells whose evaluated weights aren't finite.
fn check_weights(all: &mut [Judged]) {
    for judged in all.iter_mut().filter(|j| j.run().is_some() && !j.cell.quick) {
        let fault = match RunDir::new(&judged.cell.dir).checkpoint(&Which::Best) {
            Ok((_, best)) => {
                let broken = best.params.iter().find(|(_, p)| p.values.iter().any(|x| !x.is_finite()));
                broken.map(|(name, _)| format!("the weights of {name} are not finite"))
            }
            Err(e) => Some(format!("its best checkpoint can't be read: {e}")),
        };
        if let Some(fault) = fault {
            judged.fail(fault);
        }
    }
}

/// Faults cells whose training was best at its last epoch, and so was cut off.
fn check_maximum(plan: &Plan, all: &mut [Judged]) {
    for judged in all.iter_mut().filter(|j| !j.cell.quick) {
        let train = &judged.cell.config.train;
        let tag = format!("valid/{}", train.metric);
        let Some(run) = judged.run() else { continue };
        let points: Vec<(u64, f64)> =
            run.progress.iter().filter_map(|p| Some((p.epoch, *p.values.get(&tag)?))).collect();
        let Some(&(last, value)) = points.last() else { continue };
        let best = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        let before = points[..points.len() - 1].iter().any(|p| p.1 >= best);
        if last >= train.total_epochs() as u64 && value >= best && !before {
            let reason = format!(
                "best {} at the limit of {} epochs: it had not reached its maximum",
                train.metric,
                train.total_epochs()
            );
            let remedy = "raise train.epochs, or set gates.epoch_limit = \"warn\"";
            judged.fault(plan.study.gates.epoch_limit, reason, remedy);
        }
    }
}

/// Faults cells that are worse than popularity beyond the sampling of users where the full model of that seed is better.
fn check_popularity(plan: &Plan, all: &mut [Judged]) -> Result<(), StudyError> {
    let metric = plan.options.metric;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let Some(reference) = all.iter().find(|j| j.cell.condition == REFERENCE && j.run().is_some()) else {
        return Ok(());
    };
    let run = RunDir::new(&reference.cell.dir);
    let path = run.rows(&plan.options.part);
    let stored = rows::read_where(&path, &|name| name == POPULARITY)?;
    let Some((_, popular)) = stored.scored.iter().find(|(name, _)| name == POPULARITY) else {
        return Ok(());
    };
    kept::owner(
        &path,
        &stored,
        POPULARITY,
        &kept::reports(&[run.report(), run.report_of(&plan.options.part)])?,
    )?;
    let popular = user_means(popular, metric);
    let full = reference.run().map(|run| user_means(&run.rows, metric)).unwrap_or_default();
    if mean(&full) <= mean(&popular) {
        return Ok(());
    }
    for judged in all.iter_mut().filter(|j| !j.cell.quick) {
        let Some(run) = judged.run() else { continue };
        let own = user_means(&run.rows, metric);
        let differences: Vec<f64> = own.iter().zip(&popular).map(|(own, popular)| own - popular).collect();
        let Ok(estimate) = Estimate::from_users(&differences) else { continue };
        if estimate.interval(plan.options.rule.confidence).high < 0.0 {
            let reason = format!(
                "collapsed: {metric} {:.4} is below popularity's {:.4}, which the full model exceeds",
                mean(&own),
                mean(&popular)
            );
            judged.fault(plan.study.gates.collapsed, reason, "gates.collapsed = \"warn\" keeps its figures");
        }
    }
    Ok(())
}

/// Faults conditions that rank every target alike, which were not two.
fn check_distinct_ranks(all: &mut [Judged]) {
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    for judged in all {
        let Some(run) = judged.run() else { continue };
        let mut hasher = DefaultHasher::new();
        for row in &run.rows {
            (row.user, row.rank.to_bits()).hash(&mut hasher);
        }
        let name = judged.cell.name();
        match seen.get(&hasher.finish()) {
            Some(twin) => judged.fail(format!("it ranks every target as {twin} does")),
            None => {
                seen.insert(hasher.finish(), name);
            }
        }
    }
}

//! The study's report: verdicts, then the comparison of its conditions.

use std::path::Path;

use serde::Serialize;

use super::StudyError;
use super::condition::{AGAIN, REFERENCE, Views};
use super::gates::{Judged, Outcome};
use super::plan::Plan;
use super::retune::Chosen;
use super::verdict::{ViewVerdict, settle_family};
use crate::artefact::{write_atomic, write_json};
use crate::compare::preface::{Item, Preface, Section};
use crate::compare::table::sentence;
use crate::compare::{Comparison, Contrast, Failed, GroupSpec, compare};
use crate::eval::Report;
use crate::eval::baseline::is_equal;
use crate::eval::report::{ORACLE, SCHEMA};
use crate::stats::Verdict;
use crate::table::Table;
use crate::train::run_dir::RunDir;

/// The whole answer, as `study.json` holds it.
#[derive(Clone, Debug, Serialize)]
pub struct StudyReport {
    pub name: String,
    /// Ids of the declared contrasts.
    pub declared: Vec<String>,
    /// Where every condition's hyper-parameters come from.
    pub hyper_parameters: String,
    /// Those that were chosen for each condition, where the study draws them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<Chosen>,
    pub verdicts: Vec<ViewVerdict>,
    /// The full model against itself under other seeds.
    pub again: Option<Contrast>,
    /// Figures of the baselines on equal terms in the full model's report, by the primary metric.
    #[serde(rename = "floors")]
    pub baselines: Vec<(String, f64)>,
    pub cells: Vec<CellLine>,
    pub comparison: Comparison,
    #[serde(skip)]
    preface: Preface,
}

/// One line of the list of cells.
#[derive(Clone, Debug, Serialize)]
pub struct CellLine {
    pub condition: String,
    pub seed: u64,
    /// `done`, `FAILED` or `not done`.
    pub state: &'static str,
    pub reason: String,
}

impl StudyReport {
    /// Sets the usable runs side by side.
    ///
    /// # Errors
    /// The full model has no usable run, no other condition has one, or runs are not comparable.
    pub fn new(plan: &Plan, judged: &[Judged]) -> Result<Self, StudyError> {
        let mut comparison = compare(&specs(plan, judged)?, &plan.options)?;
        for cell in judged {
            if let Outcome::Failed(reason) = &cell.outcome {
                let group = label(plan, &cell.cell.condition);
                comparison.failed.push(Failed { group, run: cell.cell.dir.clone(), reason: reason.clone() });
            }
        }
        comparison.warnings.extend(tolerated_faults(judged));
        comparison.warnings.extend(incomplete(plan, judged));
        let labels: Vec<String> = plan.contrasts.iter().map(|id| label(plan, id)).collect();
        let again = label(plan, AGAIN);
        // The study's claims are its declared contrasts and the A/A row, so Holm's correction counts these.
        let declared = |c: &Contrast| labels.contains(&c.condition) || c.condition == again;
        let contrasts = &mut comparison.contrasts;
        settle_family(contrasts, &declared, &plan.options);
        settle_family(contrasts, &|c| !declared(c), &plan.options);
        let family = contrasts.iter().filter(|c| declared(c)).count();
        let explored = contrasts.len() - family;
        comparison.correction = Some(correction(&plan.contrasts, family, explored));
        let again = comparison.contrasts.iter().find(|c| c.condition == again).cloned();
        let mut report = Self {
            name: plan.study.name.clone(),
            declared: plan.contrasts.clone(),
            hyper_parameters: hyper_parameters(plan),
            chosen: plan.chosen.clone(),
            verdicts: verdicts(plan, &comparison, family),
            again,
            baselines: baselines(plan, judged),
            cells: judged.iter().map(line).collect(),
            comparison,
            preface: Preface::default(),
        };
        report.preface = report.make_preface(plan);
        Ok(report)
    }

    /// Writes `study.md`, `study.html` and `study.json` to `root`.
    ///
    /// # Errors
    /// They can't be written.
    pub fn write(&self, root: &Path) -> Result<(), StudyError> {
        for (name, text) in [("study.md", self.markdown()), ("study.html", self.html())] {
            write_atomic(&root.join(name), text.as_bytes())?;
        }
        Ok(write_json(&root.join("study.json"), self)?)
    }

    pub fn markdown(&self) -> String {
        self.comparison.markdown_after(&self.preface)
    }

    pub fn html(&self) -> String {
        self.comparison.html_after(&self.preface)
    }

    /// For the terminal: verdicts, then the tables.
    pub fn plain(&self) -> String {
        self.comparison.plain_after(&self.preface)
    }

    fn make_preface(&self, plan: &Plan) -> Preface {
        let mut sections = vec![Section {
            title: "What each modality is worth".into(),
            items: self
                .verdicts
                .iter()
                .map(|v| Item { verdict: v.verdict, lead: v.verdict.to_string(), text: v.line.clone() })
                .chain(undecided(plan, &self.comparison))
                .collect(),
            tables: Vec::new(),
            note: format!(
                "Each modality is removed with tokens, branch and its place in ensemble and distillation, and the \
                 model trained anew. Hyper-parameters are {}.",
                self.hyper_parameters
            ),
        }];
        sections.retain(|section| !section.items.is_empty());
        sections.push(self.calibration(plan));
        sections.extend(self.drawn());
        let quick = plan.conditions.iter().filter(|c| c.is_quick()).map(|c| c.label.clone());
        let quick: Vec<String> = quick.collect();
        let leaning = self.comparison.contrasts.iter().filter(|c| quick.contains(&c.condition));
        let items: Vec<Item> = leaning
            .map(|c| Item {
                verdict: Verdict::NoEvidence,
                lead: "reliance".into(),
                text: sentence(c, &self.comparison.options),
            })
            .collect();
        if !items.is_empty() {
            sections.push(Section {
                title: "Reliance of the trained model, not value".into(),
                items,
                tables: Vec::new(),
                note: "Hidden at inference only: what this model leans on. Trained without the view it would have \
                       found other ways."
                    .into(),
            });
        }
        let rows = self.cells.iter().filter(|c| c.state != "done");
        let rows: Vec<Vec<String>> = rows
            .map(|c| vec![c.condition.clone(), c.seed.to_string(), c.state.to_owned(), c.reason.clone()])
            .collect();
        if !rows.is_empty() {
            let header = ["condition", "seed", "state", "reason"].map(str::to_owned).to_vec();
            sections.push(Section {
                title: "Cells without figures".into(),
                items: Vec::new(),
                tables: vec![Table { header, rows }],
                note: "They are in no mean.".into(),
            });
        }
        let alarm = self.shortfall().unwrap_or_default();
        Preface { alarm, title: format!("Ablation study {}", self.name), sections }
    }

    /// A line for a full model that is not above a baseline on equal terms, by the mean over its seeds.
    fn shortfall(&self) -> Option<String> {
        let options = &self.comparison.options;
        let metric = options.metric.to_string();
        let full = self.comparison.groups.first()?.metrics.iter().find(|(name, _)| *name == metric)?.1;
        let baselines = self.baselines.iter().filter(|(name, _)| name != ORACLE);
        let (name, figure) = baselines.max_by(|a, b| a.1.total_cmp(&b.1))?;
        let above = full > *figure;
        (!above).then(|| {
            format!(
                "the full model is not above {name}, which trains nothing: {} {metric} {full:.4} against {figure:.4}",
                options.part
            )
        })
    }

    /// The hyper-parameters of each condition, where the study draws them.
    fn drawn(&self) -> Option<Section> {
        let row = |c: &Chosen| {
            vec![c.condition.clone(), c.trial.to_string(), format!("{:.4}", c.score), c.set.join(", ")]
        };
        let header = ["condition", "trial", "validation", "hyper-parameters"].map(str::to_owned).to_vec();
        (!self.chosen.is_empty()).then(|| Section {
            title: "Hyper-parameters".into(),
            items: Vec::new(),
            tables: vec![Table { header, rows: self.chosen.iter().map(row).collect() }],
            note: "The same draws for every condition, under one training seed; the test part was not read."
                .into(),
        })
    }

    /// The A/A row, and figures to read the others by: the full model, the model of IDs alone, the baselines.
    fn calibration(&self, plan: &Plan) -> Section {
        let again = match &self.again {
            Some(c) if matches!(c.verdict, Verdict::Helps | Verdict::Hurts) => Item {
                verdict: Verdict::Hurts,
                lead: "A/A alarm".into(),
                text: format!(
                    "{}. The full model differs from itself: the verdicts of this study can't be trusted",
                    sentence(c, &self.comparison.options)
                ),
            },
            Some(c) => Item {
                verdict: c.verdict,
                lead: format!("A/A {}", c.verdict),
                text: sentence(c, &self.comparison.options),
            },
            None => Item {
                verdict: Verdict::NoEvidence,
                lead: "A/A absent".into(),
                text: "the full model under other seeds has no figures: nothing tells how often chance looks like \
                       an effect here"
                    .into(),
            },
        };
        let metric = self.comparison.options.metric.to_string();
        let mut rows: Vec<Vec<String>> = Vec::new();
        if let Some(full) = self.comparison.groups.first() {
            rows.push(vec!["full model".into(), figure(&full.metrics, &metric)]);
        }
        let views = Views::new(&plan.base);
        let id_alone = views.id.as_ref().and_then(|id| {
            let others: Vec<&String> = views.content.iter().collect();
            let found = plan
                .conditions
                .iter()
                .find(|c| c.remove.len() == others.len() && others.iter().all(|v| c.remove.contains(v)))?;
            Some((id, self.comparison.groups.iter().find(|g| g.label == found.label)?))
        });
        if let Some((id, group)) = id_alone {
            rows.push(vec![format!("{id} only"), figure(&group.metrics, &metric)]);
        }
        rows.extend(self.baselines.iter().map(|(name, value)| vec![name.clone(), format!("{value:.4}")]));
        Section {
            title: "Reference figures and the noise of chance".into(),
            items: vec![again],
            tables: vec![Table { header: vec![String::new(), metric], rows }],
            note: String::new(),
        }
    }
}

fn figure(metrics: &[(String, f64)], metric: &str) -> String {
    let found = metrics.iter().find(|(name, _)| name == metric);
    found.map_or_else(|| "-".to_owned(), |(_, value)| format!("{value:.4}"))
}

fn hyper_parameters(plan: &Plan) -> String {
    match &plan.study.retune {
        Some(retune) => {
            format!("re-tuned: for every condition the best of {} draws on validation", retune.trials)
        }
        None => "fixed: those of the base configuration for every condition".into(),
    }
}

fn label(plan: &Plan, id: &str) -> String {
    plan.condition(id).map_or_else(|| id.to_owned(), |c| c.label.clone())
}

fn correction(declared: &[String], family: usize, explored: usize) -> String {
    if family == 0 {
        return format!("p is corrected by Holm over the {explored} contrasts, all exploratory");
    }
    let apart = match explored {
        0 => String::new(),
        n => format!(", and apart from them over the {n} exploratory ones"),
    };
    let named = declared.join(", ");
    format!("p is corrected by Holm over the {family} declared contrasts ({named}; with the A/A row){apart}")
}

/// The usable runs of each condition, the full model first.
fn specs(plan: &Plan, judged: &[Judged]) -> Result<Vec<GroupSpec>, StudyError> {
    let reason = |j: &Judged| {
        let line = line(j);
        format!("{}: {} {}", j.cell.name(), line.state, line.reason)
    };
    let mut specs = Vec::new();
    for condition in &plan.conditions {
        let own = judged.iter().filter(|j| j.cell.condition == condition.id);
        let dirs: Vec<_> = own.clone().filter(|j| j.run().is_some()).map(|j| j.cell.dir.clone()).collect();
        if !dirs.is_empty() {
            specs.push(GroupSpec { label: condition.label.clone(), dirs, score: None });
        } else if condition.is_reference() {
            return Err(StudyError::NoReference { reasons: own.map(reason).collect() });
        }
    }
    if specs.len() < 2 {
        let reasons = judged.iter().filter(|j| j.run().is_none()).map(reason).collect();
        return Err(StudyError::NothingToCompare { reasons });
    }
    Ok(specs)
}

fn line(judged: &Judged) -> CellLine {
    let (state, reason) = match &judged.outcome {
        Outcome::Usable(_) => ("done", String::new()),
        Outcome::Failed(reason) => ("FAILED", reason.clone()),
        Outcome::Pending => ("not done", String::new()),
    };
    CellLine { condition: judged.cell.condition.clone(), seed: judged.cell.seed, state, reason }
}

/// The faults that the study tolerates, a line each with the cells that have it.
fn tolerated_faults(judged: &[Judged]) -> Vec<String> {
    let mut faults: Vec<(&str, Vec<String>)> = Vec::new();
    for cell in judged {
        for fault in &cell.warnings {
            match faults.iter_mut().find(|(known, _)| known == fault) {
                Some((_, cells)) => cells.push(cell.cell.name()),
                None => faults.push((fault, vec![cell.cell.name()])),
            }
        }
    }
    let all = judged.iter().filter(|j| !j.cell.quick).count();
    let line = |(fault, cells): (&str, Vec<String>)| match cells.len() {
        n if n > 3 => format!("{n} of {all} cells: {fault}"),
        _ => format!("{}: {fault}", cells.join(", ")),
    };
    faults.into_iter().map(line).collect()
}

/// Warnings of conditions that have figures for some of the seeds only.
fn incomplete(plan: &Plan, judged: &[Judged]) -> Vec<String> {
    let mut warnings = Vec::new();
    for condition in &plan.conditions {
        let own: Vec<&Judged> = judged.iter().filter(|j| j.cell.condition == condition.id).collect();
        let usable = own.iter().filter(|j| j.run().is_some()).count();
        if usable > 0 && usable < own.len() {
            warnings.push(format!("{}: {} of {} seeds have figures", condition.label, usable, own.len()));
        }
    }
    warnings
}

/// One verdict a view whose removal was trained.
fn verdicts(plan: &Plan, comparison: &Comparison, declared: usize) -> Vec<ViewVerdict> {
    let find = |id: String| {
        let wanted = plan.condition(&id)?.label.clone();
        comparison.contrasts.iter().find(|c| c.condition == wanted)
    };
    let views = Views::new(&plan.base);
    let mut verdicts = Vec::new();
    for view in views.all() {
        let Some(removal) = find(format!("S-{view}")) else { continue };
        let control = find(format!("X-{view}"));
        verdicts.push(ViewVerdict::new(&view, removal, control, declared, &plan.options));
    }
    verdicts
}

/// Views whose removal was asked for and has no figures.
fn undecided(plan: &Plan, comparison: &Comparison) -> Vec<Item> {
    let missing = plan.conditions.iter().filter(|condition| {
        condition.id.starts_with("S-") && !comparison.contrasts.iter().any(|c| c.condition == condition.label)
    });
    let item = |condition: &super::Condition| Item {
        verdict: Verdict::NoEvidence,
        lead: "no verdict".into(),
        text: format!("{}: no usable run without it", condition.remove.join(", ")),
    };
    missing.map(item).collect()
}

/// Figures of the baselines on equal terms in the full model's report, by the primary metric; of an older report, whose
/// baselines count the validation items as well, none but the oracle's.
fn baselines(plan: &Plan, judged: &[Judged]) -> Vec<(String, f64)> {
    let metric = plan.options.metric.to_string();
    let read = |j: &Judged| -> Option<Report> {
        let text = std::fs::read_to_string(RunDir::new(&j.cell.dir).report()).ok()?;
        serde_json::from_str(&text).ok()
    };
    let reference = judged.iter().filter(|j| j.cell.condition == REFERENCE && j.run().is_some());
    let Some(report) = reference.into_iter().find_map(read) else { return Vec::new() };
    let others = report.evaluations.iter().skip(1).flat_map(|e| &e.scored);
    let others = others.filter(|s| s.name == ORACLE || (report.schema >= SCHEMA && is_equal(&s.name)));
    others.filter_map(|s| Some((s.name.clone(), *s.metrics.get(&metric)?))).collect()
}

//! Several studies side by side: a row a model, a column a condition (docs/studies.md, section 4).

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::StudyError;
use super::condition::{AGAIN, REFERENCE, Views};
use super::gates::{Judged, Outcome};
use super::plan::Plan;
use super::report::StudyReport;
use super::study::Study;
use crate::artefact::{write_atomic, write_json};
use crate::compare::group::comparable;
use crate::compare::run::Run;
use crate::stats::spearman;
use crate::table::Table;

/// Fewest models whose rank correlation is meaningful.
const LEAST_MODELS: usize = 4;

/// Studies that are to stand in one table are about one metric; better said before the first training than after the last.
///
/// # Errors
/// The first study with another metric.
pub fn same_metric(studies: &[Study]) -> Result<(), StudyError> {
    let Some((first, others)) = studies.split_first() else { return Ok(()) };
    let Some(other) = others.iter().find(|study| study.metric != first.metric) else { return Ok(()) };
    let reason = format!("is about {}, that of {} about {}", other.metric, first.name, first.metric);
    Err(StudyError::OtherMetric { name: other.name.clone(), reason })
}

/// A study that has its report.
pub struct Model {
    /// Name of the study.
    pub name: String,
    metric: String,
    /// A run of the full model, whose protocol all models share.
    asked: Box<Run>,
    /// Primary metric by condition, the full model first.
    figures: Vec<Figure>,
    baselines: Vec<(String, f64)>,
}

/// The figure of a model's condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub condition: String,
    pub label: String,
    pub value: f64,
    /// Some content is left.
    pub content: bool,
    /// Nothing was trained: the full model with a view hidden.
    pub quick: bool,
}

impl Model {
    /// Takes a usable run of the full model out of `judged`; absent where there is none.
    pub fn new(plan: &Plan, judged: &mut [Judged], report: &StudyReport) -> Option<Self> {
        let metric = plan.options.metric.to_string();
        let content = Views::new(&plan.base).content;
        let figure = |condition: &super::Condition| {
            let group = report.comparison.groups.iter().find(|g| g.label == condition.label)?;
            let value = group.metrics.iter().find(|(name, _)| *name == metric)?.1;
            let gone = |view: &String| condition.remove.contains(view) || condition.hide.contains(view);
            Some(Figure {
                condition: condition.id.clone(),
                label: condition.label.clone(),
                value,
                quick: condition.is_quick(),
                content: content.iter().any(|view| !gone(view) && !condition.replace.contains_key(view)),
            })
        };
        let figures = plan.conditions.iter().filter(|c| c.id != AGAIN).filter_map(figure).collect();
        let place = judged.iter().position(|j| j.cell.condition == REFERENCE && j.run().is_some())?;
        let outcome = std::mem::replace(&mut judged[place].outcome, Outcome::Pending);
        let Outcome::Usable(asked) = outcome else { return None };
        let (name, baselines) = (report.name.clone(), report.baselines.clone());
        Some(Self { name, metric, asked, figures, baselines })
    }

    fn full(&self) -> f64 {
        self.figures.first().map_or(0.0, |full| full.value)
    }

    /// The effect of a condition, as a share of the full model's figure.
    fn change(&self, label: &str) -> Option<f64> {
        let value = self.figures.iter().find(|f| f.label == label)?.value;
        (self.full() > 0.0).then(|| value / self.full() - 1.0)
    }
}

/// The table, as `across.json` holds it.
#[derive(Clone, Debug, Serialize)]
pub struct Across {
    pub metric: String,
    /// By model: the figure of every condition.
    pub models: Vec<(String, Vec<Figure>)>,
    /// Untrained baselines that read no content.
    #[serde(rename = "floors")]
    pub baselines: Vec<(String, f64)>,
    /// The best figure with content, and the best trained one without, each with its model.
    pub best_with: Option<(String, f64)>,
    pub best_without: Option<(String, f64)>,
    /// Rank correlation between a model's figure and what it loses when all content is shuffled; absent below four
    /// models.
    pub strength_and_loss: Option<f64>,
    #[serde(skip)]
    table: Option<Table>,
}

impl Across {
    /// Writes `across.md` and `across.json` to `dir`.
    ///
    /// # Errors
    /// They can't be written.
    pub fn write(&self, dir: &Path) -> Result<(), StudyError> {
        write_atomic(&dir.join("across.md"), self.markdown().as_bytes())?;
        Ok(write_json(&dir.join("across.json"), self)?)
    }

    /// # Errors
    /// The models were evaluated on other data, splits, targets or candidates.
    pub fn new(models: &[Model]) -> Result<Self, StudyError> {
        let Some(first) = models.first() else {
            return Err(StudyError::NothingToCompare { reasons: vec!["no study has a report".into()] });
        };
        for other in &models[1..] {
            comparable(&first.asked, &other.asked)?;
        }
        let all = models.iter().flat_map(|m| m.figures.iter().map(move |f| (m, f)));
        let best = |content: bool| {
            let own = all.clone().filter(|(_, f)| !f.quick && f.content == content);
            let best = own.max_by(|a, b| a.1.value.total_cmp(&b.1.value))?;
            Some((format!("{}, {}", best.0.name, best.1.label), best.1.value))
        };
        Ok(Self {
            metric: first.metric.clone(),
            models: models.iter().map(|m| (m.name.clone(), m.figures.clone())).collect(),
            baselines: first.baselines.clone(),
            best_with: best(true),
            best_without: best(false),
            strength_and_loss: strength_and_loss(
                &models.iter().filter_map(shuffling_loss).collect::<Vec<_>>(),
            ),
            table: Some(table(models)),
        })
    }

    pub fn plain(&self) -> String {
        let mut text = format!("Models side by side, {}\n\n", self.metric);
        text.push_str(&self.table.as_ref().map(Table::plain).unwrap_or_default());
        self.lines().iter().for_each(|line| {
            let _ = write!(text, "\n{line}");
        });
        text.push('\n');
        text
    }

    pub fn markdown(&self) -> String {
        let mut text = format!("# Models side by side, {}\n\n", self.metric);
        text.push_str(&self.table.as_ref().map(Table::markdown).unwrap_or_default());
        text.push('\n');
        self.lines().iter().for_each(|line| {
            let _ = writeln!(text, "- {line}");
        });
        text
    }

    /// Conclusions from the table; differences of means, without a test.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            "full model: means over seeds; conditions: change in % of the full model's figure; tests stand in \
             each study's own report"
                .to_owned(),
        ];
        if let (Some((with, a)), Some((without, b))) = (&self.best_with, &self.best_without) {
            lines.push(format!("best with content ({with}) minus best without ({without}): {:+.4}", a - b));
        }
        lines.push(match self.strength_and_loss {
            Some(rho) => {
                format!("Spearman between a model's figure and its loss under shuffled content: {rho:.2}")
            }
            None => format!("fewer than {LEAST_MODELS} models with shuffled content: no rank correlation"),
        });
        lines
    }
}

fn table(models: &[Model]) -> Table {
    let mut labels: Vec<String> = Vec::new();
    for figure in models.iter().flat_map(|m| m.figures.iter().skip(1)) {
        if !labels.contains(&figure.label) {
            labels.push(figure.label.clone());
        }
    }
    let header = ["", "full model"].into_iter().map(str::to_owned).chain(labels.iter().cloned()).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for model in models {
        let mut row = vec![model.name.clone(), format!("{:.4}", model.full())];
        row.extend(labels.iter().map(|label| {
            model.change(label).map_or_else(|| "-".to_owned(), |change| format!("{:+.1}", 100.0 * change))
        }));
        rows.push(row);
    }
    let mut baselines: Vec<&(String, f64)> = Vec::new();
    for baseline in models.iter().flat_map(|m| &m.baselines) {
        if !baselines.iter().any(|known| known.0 == baseline.0) {
            baselines.push(baseline);
        }
    }
    for (name, value) in baselines {
        let mut row = vec![name.clone(), format!("{value:.4}")];
        row.resize(2 + labels.len(), "-".into());
        rows.push(row);
    }
    Table { header, rows }
}

/// A model's figure and the share of it that it loses when all content is shuffled.
fn shuffling_loss(model: &Model) -> Option<(f64, f64)> {
    let shuffled = model.figures.iter().find(|f| f.condition == "X-joint")?;
    Some((model.full(), -model.change(&shuffled.label)?))
}

/// Rank correlation of (strength, loss) by model.
fn strength_and_loss(models: &[(f64, f64)]) -> Option<f64> {
    let (strength, loss): (Vec<f64>, Vec<f64>) = models.iter().copied().unzip();
    (models.len() >= LEAST_MODELS).then(|| spearman(&strength, &loss)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stronger_models_that_lose_more_have_correlation_one_and_three_models_none() {
        let four = [(0.1, 0.1), (0.2, 0.15), (0.3, 0.3), (0.4, 0.31)];
        assert!((strength_and_loss(&four).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(strength_and_loss(&four[..3]), None);
    }
}

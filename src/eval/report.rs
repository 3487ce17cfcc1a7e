//! Several evaluations side by side: the model, the floors below it, the ceiling above it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::metrics::{Evaluation, Scored};

/// Columns of the tables.
const COLUMNS: [&str; 4] = ["recall@10", "ndcg@10", "mrr@10", "coverage@10"];

/// What a finished run reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The model first, then baselines, then the oracle where truth is planted.
    pub evaluations: Vec<Evaluation>,
    /// Content hash of the data set.
    pub dataset: String,
    pub seed: u64,
}

impl Report {
    /// The model's own evaluation.
    pub fn model(&self) -> &Evaluation {
        &self.evaluations[0]
    }

    fn rows(&self) -> impl Iterator<Item = &Scored> {
        self.evaluations.iter().flat_map(|e| &e.scored)
    }

    /// Metrics shown: the usual ones where they were measured, else the first of every kind.
    fn columns(&self) -> Vec<String> {
        let Some(first) = self.rows().next() else { return Vec::new() };
        let usual: Vec<String> =
            COLUMNS.iter().filter(|c| first.metrics.contains_key(**c)).map(|c| (*c).to_owned()).collect();
        if usual.is_empty() { first.metrics.keys().take(6).cloned().collect() } else { usual }
    }

    /// A table for the terminal, the protocol above it.
    pub fn table(&self) -> String {
        let columns = self.columns();
        let width = self.rows().map(|s| s.name.len()).max().unwrap_or(0).max(10);
        let mut text = format!("{}\n{:width$}", self.protocol(), "");
        for column in &columns {
            let _ = write!(text, "  {column:>11}");
        }
        text.push('\n');
        for scored in self.rows() {
            let _ = write!(text, "{:width$}", scored.name);
            for column in &columns {
                let value = scored.metrics.get(column).copied().unwrap_or(f64::NAN);
                let _ = write!(text, "  {value:>11.4}");
            }
            text.push('\n');
        }
        text
    }

    /// The same as Markdown.
    pub fn markdown(&self) -> String {
        let columns = self.columns();
        let rule = "|---".repeat(columns.len() + 1);
        let mut text = format!("{}\n\n| | {} |\n{rule}|\n", self.protocol(), columns.join(" | "));
        for scored in self.rows() {
            let cells: Vec<String> = columns
                .iter()
                .map(|c| format!("{:.4}", scored.metrics.get(c).copied().unwrap_or(f64::NAN)))
                .collect();
            let _ = writeln!(text, "| {} | {} |", scored.name, cells.join(" | "));
        }
        text
    }

    fn protocol(&self) -> String {
        let Some(first) = self.evaluations.first() else { return String::new() };
        let p = &first.protocol;
        let masked = if p.masked_targets > 0 {
            format!(", {} targets stand in their own history and count as misses", p.masked_targets)
        } else {
            String::new()
        };
        format!(
            "{}: {} targets, full ranking over {} items, history {}, ties {}{masked}",
            first.part,
            p.targets,
            p.items,
            word(&p.history),
            word(&p.ties)
        )
    }
}

/// A configuration word as the configuration file spells it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

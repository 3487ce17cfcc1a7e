//! Several evaluations side by side: the model, the floors below it, the ceiling above it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::cold::{ColdReport, ColdScored};
use super::global_time::GlobalTime;
use super::metrics::{Bucket, Evaluation, Scored};
use super::time_order::TimeOrder;

/// Columns of the tables, at the cut-off of the buckets (10 where it is measured).
const COLUMNS: [&str; 4] = ["recall", "ndcg", "mrr", "coverage"];

/// Columns of the table of cold items.
const COLD_COLUMNS: [&str; 5] = ["cold", "warm", "cold among cold", "warm among warm", "share shown"];

fn cold_cells(scored: &ColdScored, k: usize) -> [Option<f64>; 5] {
    let recall =
        |figures: &std::collections::BTreeMap<String, f64>| figures.get(&format!("recall@{k}")).copied();
    [
        recall(&scored.cold),
        recall(&scored.warm),
        recall(&scored.cold_among_cold),
        recall(&scored.warm_among_warm),
        scored.share.get(&k).copied(),
    ]
}

/// What a finished run reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The model first, then baselines, then the oracle where truth is planted.
    pub evaluations: Vec<Evaluation>,
    /// Content hash of the data set.
    pub dataset: String,
    pub seed: u64,
    /// What training knows of the time after the targets.
    #[serde(default)]
    pub time_order: Option<TimeOrder>,
    /// The floors where the same interactions are split in time; absent where training knows no future anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_time: Option<GlobalTime>,
    /// Targets that no training has seen, where there are such items and a rule for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<ColdReport>,
    /// Inputs that are not those of the training and were accepted all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
}

impl Report {
    /// The model's own evaluation.
    pub fn model(&self) -> &Evaluation {
        &self.evaluations[0]
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
                let _ = write!(text, "  {:>11}", figure(scored.metrics.get(column).copied()));
            }
            text.push('\n');
        }
        if let Some(cut) = &self.global_time {
            let _ = write!(text, "\n{}\n", split_in_time(cut));
            for scored in &cut.scored {
                let _ = write!(text, "{:width$}", scored.name);
                for column in &columns {
                    let _ = write!(text, "  {:>11}", figure(scored.metrics.get(column).copied()));
                }
                text.push('\n');
            }
        }
        if let Some(cold) = &self.cold {
            self.cold_table(&mut text, cold);
        }
        text
    }

    /// Recall of cold and warm targets apart, and how often cold items are shown.
    fn cold_table(&self, text: &mut String, cold: &ColdReport) {
        let k = self.model().protocol.bucket_k;
        let _ = write!(
            text,
            "\ncold items (ID vectors: {}): {} of {} items, {} of {} targets ({:.4}); recall@{k}\n{:10}",
            cold.rule,
            cold.cold_items,
            cold.cold_items + cold.warm_items,
            cold.cold_targets,
            cold.cold_targets + cold.warm_targets,
            cold.true_share(),
            ""
        );
        for column in COLD_COLUMNS {
            let _ = write!(text, "  {column:>15}");
        }
        text.push('\n');
        for scored in &cold.scored {
            let _ = write!(text, "{:10}", scored.name);
            for value in cold_cells(scored, k) {
                let _ = write!(text, "  {:>15}", figure(value));
            }
            text.push('\n');
        }
    }

    /// The same as Markdown, NDCG by item frequency, item age and user length, and who gets the exposure.
    pub fn markdown(&self) -> String {
        let columns = self.columns();
        let mut text = format!("{}\n\n", self.protocol());
        let rows = self.rows().map(|scored| {
            let cells = columns.iter().map(|c| figure(scored.metrics.get(c).copied()));
            std::iter::once(scored.name.clone()).chain(cells).collect()
        });
        markdown_table(&mut text, &columns, rows);
        self.bucket_table(&mut text, "Training interactions of the target item", |s| &s.by_item_count);
        self.bucket_table(&mut text, "Days since the target item's first training interaction", |s| {
            &s.by_item_age
        });
        self.bucket_table(&mut text, "Items in the user's history", |s| &s.by_user_length);
        self.exposure_table(&mut text);
        if let Some(warning) = self.time_order.and_then(|order| order.warning()) {
            let _ = write!(text, "\nWarning: {warning}.\n");
        }
        if let Some(cut) = &self.global_time {
            let _ = write!(text, "\n{}:\n\n", split_in_time(cut));
            let rows = cut.scored.iter().map(|scored| {
                let cells = columns.iter().map(|c| figure(scored.metrics.get(c).copied()));
                std::iter::once(scored.name.clone()).chain(cells).collect()
            });
            markdown_table(&mut text, &columns, rows);
        }
        if let Some(cold) = &self.cold {
            let k = self.model().protocol.bucket_k;
            let _ = write!(
                text,
                "\nCold items (ID vectors: {}), recall@{k}; {:.4} of the targets are cold:\n\n",
                cold.rule,
                cold.true_share()
            );
            let rows = cold.scored.iter().map(|scored| {
                let cells = cold_cells(scored, k).map(figure);
                std::iter::once(scored.name.clone()).chain(cells).collect()
            });
            markdown_table(&mut text, &COLD_COLUMNS.map(str::to_owned), rows);
        }
        text
    }

    /// Whose items fill the lists, beside their share of the catalogue.
    fn exposure_table(&self, text: &mut String) {
        let Some(first) = self.rows().next() else { return };
        let k = self.model().protocol.bucket_k;
        let _ = write!(text, "\nShare of the list entries at {k}, by training interactions of the item:\n\n");
        let mut columns = vec!["items".to_owned(), "of the catalogue".to_owned()];
        columns.extend(self.rows().map(|s| s.name.clone()));
        let rows = first.exposure.iter().map(|bucket| {
            let cells = self.rows().map(|scored| {
                let same = scored.exposure.iter().find(|e| e.from == bucket.from);
                figure(same.map(|e| e.exposure_share))
            });
            [range(bucket.from, bucket.to), bucket.items.to_string(), figure(Some(bucket.catalogue_share))]
                .into_iter()
                .chain(cells)
                .collect()
        });
        let gini = format!("gini@{k}");
        let last = [format!("Gini at {k}"), String::new(), String::new()]
            .into_iter()
            .chain(self.rows().map(|s| figure(s.metrics.get(&gini).copied())))
            .collect();
        markdown_table(text, &columns, rows.chain(std::iter::once(last)));
    }

    fn bucket_table(&self, text: &mut String, title: &str, buckets: fn(&Scored) -> &[Bucket]) {
        let Some(first) = self.rows().next() else { return };
        let k = self.model().protocol.bucket_k;
        let _ = write!(text, "\n{title}, ndcg@{k}:\n\n");
        let mut columns = vec!["targets".to_owned()];
        columns.extend(self.rows().map(|s| s.name.clone()));
        let rows = buckets(first).iter().map(|bucket| {
            let cells = self.rows().map(|scored| {
                let same = buckets(scored).iter().find(|b| b.from == bucket.from);
                figure(same.map(|b| b.ndcg))
            });
            [range(bucket.from, bucket.to), bucket.targets.to_string()].into_iter().chain(cells).collect()
        });
        markdown_table(text, &columns, rows);
    }

    fn rows(&self) -> impl Iterator<Item = &Scored> {
        self.evaluations.iter().flat_map(|e| &e.scored)
    }

    fn columns(&self) -> Vec<String> {
        let k = self.evaluations.first().map_or(10, |e| e.protocol.bucket_k);
        COLUMNS.iter().map(|metric| format!("{metric}@{k}")).collect()
    }

    fn protocol(&self) -> String {
        let Some(first) = self.evaluations.first() else { return String::new() };
        let p = &first.protocol;
        let mut text = format!(
            "{}: {} targets, full ranking over {} items, history {}, ties {}",
            first.part,
            p.targets,
            p.items,
            word(&p.history),
            word(&p.ties)
        );
        if p.masked_targets > 0 {
            let n = p.masked_targets;
            let _ = write!(text, ", {n} targets stand in their own history and count as misses");
        }
        for scored in self.rows().filter(|s| s.nan_targets > 0) {
            let _ = write!(text, ", {} has NaN scores for {} targets", scored.name, scored.nan_targets);
        }
        text
    }
}

fn split_in_time(cut: &GlobalTime) -> String {
    format!(
        "The floors where nothing after a target is known: {} targets, split in time at {:.0} % and {:.0} % of the \
         interactions",
        cut.targets,
        100.0 * cut.valid_from,
        100.0 * cut.test_from
    )
}

fn markdown_table(text: &mut String, columns: &[String], rows: impl Iterator<Item = Vec<String>>) {
    let _ = writeln!(text, "| | {} |\n{}|", columns.join(" | "), "|---".repeat(columns.len() + 1));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"))
}

/// `5-9`, or `250+` without an upper edge.
pub fn range(from: u32, to: Option<u32>) -> String {
    match to {
        Some(to) if to == from + 1 => from.to_string(),
        Some(to) => format!("{from}-{}", to - 1),
        None => format!("{from}+"),
    }
}

/// A configuration word as the configuration file spells it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

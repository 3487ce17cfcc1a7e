//! Several evaluations side by side: the model, the baselines and, on planted data, the oracle.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::baseline::is_equal;
use super::cold::{ColdReport, ColdScored};
use super::global_time::GlobalTime;
use super::metrics::{Bucket, Evaluation, Protocol, Scored};
use super::time_order::TimeOrder;
use crate::config::EvalConfig;
use crate::table::{Column, Table};

/// Score name of the planted truth.
pub const ORACLE: &str = "oracle";
/// The meaning of a report's figures. From 2 on baselines count the training part alone where test targets are judged; before
/// they counted the validation items as well.
pub const SCHEMA: u32 = 2;

/// Columns of the tables, at each cut-off that is shown.
const COLUMNS: [&str; 4] = ["recall", "ndcg", "mrr", "coverage"];

/// Columns of the table of cold items.
const COLD_COLUMNS: [&str; 5] = ["cold", "warm", "cold among cold", "warm among warm", "share shown"];

/// The name, then a cell for each column.
fn row(scored: &Scored, columns: &[String]) -> Vec<String> {
    let cells = columns.iter().map(|column| figure(scored.metrics.get(column).copied()));
    std::iter::once(scored.name.clone()).chain(cells).collect()
}

fn columns(k: usize) -> Vec<String> {
    COLUMNS.iter().map(|metric| format!("{metric}@{k}")).collect()
}

/// The name, then a cell for each of [`COLD_COLUMNS`].
fn cold_row(scored: &ColdScored, k: usize) -> Vec<String> {
    let recall =
        |figures: &std::collections::BTreeMap<String, f64>| figures.get(&format!("recall@{k}")).copied();
    let cells = [
        recall(&scored.cold),
        recall(&scored.warm),
        recall(&scored.cold_among_cold),
        recall(&scored.warm_among_warm),
        scored.share.get(&k).copied(),
    ];
    std::iter::once(scored.name.clone()).chain(cells.map(figure)).collect()
}

/// What a finished run reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`] of the program that made it.
    #[serde(default = "first_schema")]
    pub schema: u32,
    /// The model first, then baselines, then the oracle where truth is planted.
    pub evaluations: Vec<Evaluation>,
    /// Content hash of the data set.
    pub dataset: String,
    pub seed: u64,
    /// What training knows of the time after the targets.
    #[serde(default)]
    pub time_order: Option<TimeOrder>,
    /// Figures of the baselines where the same interactions are split in time; absent where training knows no future
    /// anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_time: Option<GlobalTime>,
    /// Targets that no training has seen, where there are such items and a rule for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<ColdReport>,
    /// Inputs that are not those of the training and were accepted all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
    /// What a reader of the figures has to know first, or why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

fn first_schema() -> u32 {
    1
}

/// Share of the items that lists could show below which they are called narrow.
const NARROW: f64 = 0.1;

impl Report {
    /// The model's own evaluation.
    ///
    /// # Panics
    /// There are no figures: the model was trained on the targets too ([`Self::note`]).
    pub fn model(&self) -> &Evaluation {
        &self.evaluations[0]
    }

    /// The best baseline by `metric` (`ensemble/ndcg@10`), where the model is not better: its name, its figure and the
    /// model's. Absent where the model is better or `metric` was not measured. The oracle is no baseline, nor is a row that
    /// counts more than the model was trained on.
    pub fn unbeaten_baseline(&self, metric: &str) -> Option<(&str, f64, f64)> {
        let model = *self.evaluations.first()?.metrics().get(metric)?;
        let (_, name) = metric.split_once('/')?;
        let baselines = self.evaluations.iter().skip(1).flat_map(|e| &e.scored);
        let baselines = baselines.filter(|s| s.name != ORACLE && is_equal(&s.name));
        let figures = baselines.filter_map(|s| Some((s.name.as_str(), *s.metrics.get(name)?)));
        let (baseline, figure) = figures.max_by(|a, b| a.1.total_cmp(&b.1))?;
        // A model whose figure is NaN is better than nothing.
        if model > figure { None } else { Some((baseline, figure, model)) }
    }

    /// A line for a model that is not above a baseline by NDCG at the buckets' cut-off; it comes before anything else.
    pub fn shortfall(&self) -> Option<String> {
        let own = self.evaluations.first()?;
        let metric = format!("{}/ndcg@{}", own.scored.first()?.name, own.protocol.bucket_k);
        let (baseline, figure, model) = self.unbeaten_baseline(&metric)?;
        Some(format!(
            "the model is not above {baseline}, which trains nothing: {} {metric} {model:.4} against {figure:.4}",
            own.part
        ))
    }

    /// What comes before any figure.
    fn first_lines(&self) -> impl Iterator<Item = String> {
        self.shortfall().into_iter().chain(self.note.clone()).chain(self.narrowness())
    }

    /// A line for a model whose lists show a small part of what they could of the catalogue.
    pub fn narrowness(&self) -> Option<String> {
        let own = self.evaluations.first()?;
        let (k, items) = (own.protocol.bucket_k, own.protocol.items);
        let shown = *own.scored.first()?.metrics.get(&format!("coverage@{k}"))?;
        let possible = (own.protocol.targets * k) as f64 / items.max(1) as f64;
        (shown < NARROW * possible.min(1.0)).then(|| {
            let count = (shown * items as f64).round();
            format!(
                "the lists of {k} show {count} of {items} items ({:.1} %): the model recommends little but what is popular",
                100.0 * shown
            )
        })
    }

    /// Cut-offs that are shown where none are asked for: those of the configuration, of the usual list 10 alone.
    pub fn usual_ks(&self) -> Vec<usize> {
        self.evaluations.first().map_or_else(|| vec![10], |evaluation| usual_ks(&evaluation.protocol))
    }

    /// A table for the terminal at the usual cut-offs, the protocol above it, and first of all [`Self::shortfall`],
    /// [`Self::note`] and [`Self::narrowness`].
    pub fn table(&self) -> String {
        self.table_at(&self.usual_ks())
    }

    /// [`Self::table`] at these cut-offs, a block of rows each.
    pub fn table_at(&self, ks: &[usize]) -> String {
        let mut text = String::new();
        self.first_lines().for_each(|line| text.push_str(&format!("{line}\n")));
        if self.evaluations.is_empty() {
            return text;
        }
        let _ = writeln!(text, "{}", self.protocol());
        self.blocks(&mut text, ks, &self.rows().collect::<Vec<_>>());
        if let Some(cut) = &self.global_time {
            let _ = write!(text, "\n{}\n", global_time_heading(cut));
            self.blocks(&mut text, ks, &cut.scored.iter().collect::<Vec<_>>());
        }
        if let Some(cold) = &self.cold {
            ks.iter().for_each(|&k| cold_table(&mut text, cold, k));
        }
        text
    }

    /// For each cut-off a head and a line for each score name.
    fn blocks(&self, text: &mut String, ks: &[usize], all: &[&Scored]) {
        let width = self.rows().map(|s| s.name.len()).max().unwrap_or(0).max(10);
        for &k in ks {
            let columns = columns(k);
            let table = table(&columns, all.iter().map(|scored| row(scored, &columns)));
            text.push_str(&table.lines(&padded(width, 11, columns.len()), "  "));
        }
    }

    /// The same as Markdown, NDCG by item frequency, item age and user length, and who gets the exposure.
    pub fn markdown(&self) -> String {
        self.markdown_at(&self.usual_ks())
    }

    /// [`Self::markdown`] at these cut-offs, side by side; figures by bucket have one of their own.
    pub fn markdown_at(&self, ks: &[usize]) -> String {
        let columns: Vec<String> = ks.iter().flat_map(|&k| columns(k)).collect();
        let mut text = String::new();
        self.first_lines().for_each(|line| text.push_str(&format!("**{line}**\n\n")));
        if self.evaluations.is_empty() {
            return text;
        }
        let _ = write!(text, "{}\n\n", self.protocol());
        markdown_table(&mut text, &columns, self.rows().map(|scored| row(scored, &columns)));
        self.bucket_table(&mut text, "Training interactions of the target item", |s| &s.item_counts);
        self.bucket_table(&mut text, "Days since the target item's first training interaction", |s| {
            &s.item_ages
        });
        self.bucket_table(&mut text, "Items in the user's history", |s| &s.user_lengths);
        self.exposure_table(&mut text);
        if let Some(warning) = self.time_order.and_then(|order| order.warning()) {
            let _ = write!(text, "\nWarning: {warning}.\n");
        }
        if let Some(cut) = &self.global_time {
            let _ = write!(text, "\n{}:\n\n", global_time_heading(cut));
            markdown_table(&mut text, &columns, cut.scored.iter().map(|scored| row(scored, &columns)));
        }
        for (cold, &k) in self.cold.iter().flat_map(|cold| ks.iter().map(move |k| (cold, k))) {
            let _ = write!(
                text,
                "\nCold items (ID vectors: {}), recall@{k}; {:.4} of the targets are cold:\n\n",
                cold.rule,
                cold.true_share()
            );
            let rows = cold.scored.iter().map(|scored| cold_row(scored, k));
            markdown_table(&mut text, &COLD_COLUMNS.map(str::to_owned), rows);
        }
        text
    }

    /// The share of list entries by training count, with the share of the catalogue.
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

    fn protocol(&self) -> String {
        let Some(first) = self.evaluations.first() else { return String::new() };
        let p = &first.protocol;
        let mut text = format!("{}: {} targets, {}, {}", first.part, p.targets, p.candidates(), p.rules());
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

/// As [`Report::usual_ks`], of an evaluation under this protocol.
pub fn usual_ks(protocol: &Protocol) -> Vec<usize> {
    if protocol.ks == EvalConfig::default().ks { vec![protocol.bucket_k] } else { protocol.ks.clone() }
}

fn global_time_heading(cut: &GlobalTime) -> String {
    format!(
        "Baselines where nothing after a target is known: {} targets, split in time at {:.0} % and {:.0} % of the \
         interactions",
        cut.targets,
        100.0 * cut.valid_from,
        100.0 * cut.test_from
    )
}

/// Rows of a label and a cell for each of `columns`.
fn table(columns: &[String], rows: impl Iterator<Item = Vec<String>>) -> Table {
    Table {
        header: std::iter::once(String::new()).chain(columns.iter().cloned()).collect(),
        rows: rows.collect(),
    }
}

/// Labels to the left and `count` columns of figures to the right, of these widths.
fn padded(labels: usize, figures: usize, count: usize) -> Vec<Column> {
    std::iter::once(Column::left(labels)).chain(std::iter::repeat_n(Column::right(figures), count)).collect()
}

fn markdown_table(text: &mut String, columns: &[String], rows: impl Iterator<Item = Vec<String>>) {
    text.push_str(&table(columns, rows).markdown_without_corner());
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

/// Recall of cold and warm targets apart, and how often cold items are shown.
fn cold_table(text: &mut String, cold: &ColdReport, k: usize) {
    let _ = write!(
        text,
        "\ncold items (ID vectors: {}): {} of {} items, {} of {} targets ({:.4}); recall@{k}\n",
        cold.rule,
        cold.cold_items,
        cold.cold_items + cold.warm_items,
        cold.cold_targets,
        cold.cold_targets + cold.warm_targets,
        cold.true_share()
    );
    let table = table(&COLD_COLUMNS.map(str::to_owned), cold.scored.iter().map(|scored| cold_row(scored, k)));
    text.push_str(&table.lines(&padded(10, 15, COLD_COLUMNS.len()), "  "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixtures::{Table, dataset, leave_one_out};
    use crate::{config::EvalConfig, data::Part, eval::evaluate};

    /// Three users of one history whose targets stand at the ranks that each name gives; tests are items 3.
    fn report(named: &[(&str, [f32; 4])]) -> Report {
        let user = [1, 2, 3];
        let data = dataset(4, &leave_one_out(&[&user[..]; 3]));
        let evaluations = named.iter().map(|(name, row)| {
            let scores = [&[0.0], &row[..]].concat();
            let mut table = Table { items: 4, scores: vec![((*name).to_owned(), vec![scores; 3])] };
            evaluate(&mut table, &data, Part::Test, &EvalConfig::default(), 4, &mut |_| {}).unwrap()
        });
        let (dataset, time_order, global_time, cold, accepted) =
            ("hash".into(), None, None, None, Vec::new());
        Report {
            schema: SCHEMA,
            evaluations: evaluations.collect(),
            dataset,
            seed: 1,
            time_order,
            global_time,
            cold,
            accepted,
            note: None,
        }
    }

    #[test]
    fn a_model_below_the_best_baseline_is_told_apart_from_one_above() {
        // Items 1 and 2 are known, so that 3 competes with 4 alone: rank 1 or 2.
        let (first, second) = ([0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 2.0]);
        let at_two = 1.0 / 3.0f64.log2();
        let below = report(&[("ensemble", second), ("popularity", second), ("transitions", first)]);
        assert_eq!(below.unbeaten_baseline("ensemble/ndcg@10"), Some(("transitions", 1.0, at_two)));
        assert_eq!(below.unbeaten_baseline("ensemble/recall@1"), Some(("transitions", 1.0, 0.0)));
        let above = report(&[("ensemble", first), ("popularity", second), ("transitions", second)]);
        assert_eq!(above.unbeaten_baseline("ensemble/ndcg@10"), None);
        let level = report(&[("ensemble", second), ("popularity", second)]);
        assert_eq!(level.unbeaten_baseline("ensemble/ndcg@10"), Some(("popularity", at_two, at_two)));
    }

    #[test]
    fn a_row_that_knows_more_is_none_to_beat_and_the_first_line_names_one_that_is() {
        let (first, second) = ([0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 2.0]);
        let knowing = report(&[("ensemble", second), ("item-knn (knows validation)", first)]);
        assert_eq!(knowing.unbeaten_baseline("ensemble/ndcg@10"), None);
        assert!(knowing.table().starts_with("test: 3 targets"));
        let below =
            report(&[("ensemble", second), ("item-knn", first), ("item-knn (knows validation)", first)]);
        let line = "the model is not above item-knn, which trains nothing: test ensemble/ndcg@10 0.6309 against 1.0000";
        assert_eq!(below.table().lines().next(), Some(line));
        assert_eq!(below.markdown().lines().next(), Some(format!("**{line}**").as_str()));
    }

    #[test]
    fn narrow_lists_are_told_by_what_they_could_show() {
        let scores = [0.0, 0.0, 2.0, 1.0];
        let mut report = report(&[("ensemble", scores)]);
        let own = &mut report.evaluations[0];
        (own.protocol.items, own.protocol.targets, own.protocol.bucket_k) = (2_000, 500, 10);
        own.scored[0].metrics.insert("coverage@10".into(), 0.098);
        let line =
            "the lists of 10 show 196 of 2000 items (9.8 %): the model recommends little but what is popular";
        assert_eq!(report.narrowness().as_deref(), Some(line));
        assert!(report.table().starts_with(line));
        // Five users can't be shown more than 50 items.
        report.evaluations[0].protocol.targets = 5;
        assert_eq!(report.narrowness(), None);
        report.evaluations[0].scored[0].metrics.insert("coverage@10".into(), 0.0024);
        assert!(report.narrowness().is_some());
    }

    #[test]
    fn the_oracle_is_no_baseline_and_a_model_that_scores_nan_is_better_than_none() {
        let (first, second) = ([0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 2.0]);
        let oracle = report(&[("ensemble", second), (ORACLE, first)]);
        assert_eq!(oracle.unbeaten_baseline("ensemble/ndcg@10"), None);
        let mut nan = report(&[("ensemble", first), ("popularity", second)]);
        nan.evaluations[0].scored[0].metrics.insert("ndcg@10".into(), f64::NAN);
        assert!(
            nan.unbeaten_baseline("ensemble/ndcg@10")
                .is_some_and(|(name, _, model)| name == "popularity" && model.is_nan())
        );
        assert_eq!(nan.unbeaten_baseline("ensemble/ndcg@7"), None, "what was not measured says nothing");
    }
}

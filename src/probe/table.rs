//! The report of a probe as text for the terminal and as Markdown.

use std::fmt::Write as _;

use super::figures::Figures;
use super::geometry::Verdict;
use super::report::Report;
use crate::table::Table;

fn figure(value: f64) -> String {
    format!("{value:.4}")
}

fn optional(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}{unit}"))
}

fn table(header: &[&str], rows: Vec<Vec<String>>) -> Table {
    Table { header: header.iter().map(|&h| h.to_owned()).collect(), rows }
}

impl Report {
    fn sections(&self) -> Vec<(String, Table)> {
        let mut all = vec![
            ("P1 zero-shot and P2 item-CF as recommenders".to_owned(), self.ranking()),
            ("P2 agreement of neighbours with behaviour in training".to_owned(), self.agreement()),
        ];
        if !self.masks.is_empty() {
            all.push(("P3 items that lose a view, zero-shot ndcg@10".to_owned(), self.mask_table()));
        }
        all.push(("P5 geometry".to_owned(), self.gates()));
        if !self.cross.is_empty() {
            all.push(("P5 between views".to_owned(), self.cross_table()));
        }
        if let Some(validity) = &self.validity {
            let rows = validity.variants.iter().map(|v| {
                let best = validity.predictions.first().and_then(|p| v.numbers.get(&p.number));
                vec![
                    v.name.clone(),
                    v.runs.to_string(),
                    best.map_or("-".into(), |&b| figure(b)),
                    figure(v.metric),
                ]
            });
            let best = validity.predictions.first().map_or("-", |p| p.number.as_str());
            let variants = table(&["variant", "runs", best, &validity.metric], rows.collect());
            let rows = validity.predictions.iter().map(|p| {
                let interval = p.interval.map_or("-".into(), |(l, h)| format!("{l:+.2} to {h:+.2}"));
                vec![p.number.clone(), optional(p.spearman, ""), interval, p.variants.to_string()]
            });
            let title = format!("P4 does it foretell the final {}", validity.metric);
            all.push(("P4 feature variants".into(), variants));
            all.push((title, table(&["figure", "Spearman", "95 %", "variants"], rows.collect())));
        }
        all
    }

    fn ranking(&self) -> Table {
        let row = |label: String, f: &Figures| {
            let metrics = ["recall@10", "ndcg@10", "mrr@10", "recall@20", "recall@50"];
            std::iter::once(label).chain(metrics.iter().map(|m| figure(f.get(m)))).collect::<Vec<_>>()
        };
        let mut rows = Vec::new();
        for feature in &self.features {
            rows.push(row(format!("{} zero-shot", feature.name), &feature.zero_shot));
            rows.extend(feature.item_cf.iter().map(|f| row(format!("{} {}", feature.name, f.name), f)));
        }
        rows.extend(self.references.iter().map(|f| row(f.name.clone(), f)));
        let mut chance = vec!["chance".to_owned(), figure(self.chance.recall)];
        chance.resize(6, "-".into());
        rows.push(chance);
        table(&["", "recall@10", "ndcg@10", "mrr@10", "recall@20", "recall@50"], rows)
    }

    fn agreement(&self) -> Table {
        let cells = |a: &super::agreement::Agreement| {
            vec![
                a.items.to_string(),
                figure(a.overlap),
                optional(a.lift, " x"),
                optional(a.lift_matched, " x"),
                figure(a.pair_recall),
                format!("{:+.3}", a.spearman),
            ]
        };
        let rows = self.features.iter().map(|feature| {
            let cells = feature.agreement.as_ref().map_or_else(|| vec!["-".to_owned(); 6], cells);
            std::iter::once(feature.name.clone()).chain(cells).collect()
        });
        let header =
            ["", "items", "overlap@10", "over chance", "over as popular", "pair recall@10", "Spearman"];
        table(&header, rows.collect())
    }

    fn mask_table(&self) -> Table {
        let mut header = vec!["without".to_owned()];
        header.extend(super::mask::RATIOS.iter().map(|r| format!("{:.0} %", 100.0 * r)));
        header.extend(["area".to_owned(), "half / none".to_owned()]);
        let rows = self.masks.iter().map(|curve| {
            let mut row = vec![curve.view.clone()];
            row.extend(curve.points.iter().map(|p| figure(p.zero_shot.get("ndcg@10"))));
            row.extend([figure(curve.area), optional(curve.half_to_none, "")]);
            row
        });
        Table { rows: rows.collect(), header }
    }

    fn gates(&self) -> Table {
        let mut rows = Vec::new();
        for gate in self.features.iter().flat_map(|f| f.geometry.gates.iter().map(move |g| (&f.name, g))) {
            let (name, gate) = gate;
            let verdict = word(gate.verdict);
            let value = format!("{:.4}", gate.value);
            rows.push(vec![format!("{name} {}", gate.name), value, verdict, gate.rule.clone()]);
        }
        table(&["", "value", "verdict", "passes if"], rows)
    }

    fn cross_table(&self) -> Table {
        let rows = self.cross.iter().map(|c| {
            vec![
                format!("{} to {}", c.source, c.target),
                figure(c.centroid_distance),
                figure(c.recall_at_1),
                figure(c.recall_at_10),
                figure(c.chance_at_10),
                word(c.verdict),
            ]
        });
        table(&["", "centroid distance", "R@1", "R@10", "chance R@10", "verdict"], rows.collect())
    }

    fn head(&self) -> String {
        let c = &self.chance;
        let random = self.features.iter().find_map(|f| Some((f.chance_like?, f)));
        let random_note = random.map_or(String::new(), |(inside, f)| {
            let place = if inside { "inside" } else { "OUTSIDE" };
            format!("; random features {:.4}, {place}", f.zero_shot.get("recall@10"))
        });
        format!(
            "{}: {} targets, full ranking over {} items without the history; chance recall@10 {:.4}, 99 % interval \
             {:.4} to {:.4}{random_note}",
            self.part, self.targets, self.items, c.recall, c.low, c.high
        )
    }

    /// The report for the terminal.
    pub fn plain(&self) -> String {
        let mut text = format!("{}\n", self.head());
        for (title, table) in self.sections() {
            let _ = write!(text, "\n{title}\n{}", table.plain());
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    pub fn markdown(&self) -> String {
        let mut text = format!("# Probe of frozen features\n\n{}.\n", self.head());
        for (title, table) in self.sections() {
            let _ = write!(text, "\n## {title}\n\n{}", table.markdown());
        }
        if !self.notes.is_empty() {
            text.push_str("\n## To keep in mind\n\n");
            self.notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
        }
        text
    }
}

fn word(verdict: Verdict) -> String {
    if verdict == Verdict::Pass { "pass" } else { "WARN" }.to_owned()
}

//! Retention as a table, for a terminal or as Markdown.

use std::fmt::Write as _;

use super::{METRICS, Retained, Retention};
use crate::table::{Column, Table};

impl Retained {
    /// What was hidden, in a line; `items` is I.
    pub fn line(&self, items: usize) -> String {
        let views = self.missing.views.iter().zip(&self.counts).map(|(own, counts)| {
            let hidden = counts.before - counts.still;
            format!("{hidden} of {items} items lose {}, {} still have it", own.view, counts.still)
        });
        format!("{}: {}", self.missing, views.collect::<Vec<_>>().join("; "))
    }
}

impl Retention {
    /// The protocol and what was hidden, a line each.
    fn preface(&self) -> Vec<String> {
        let protocol = &self.whole.protocol;
        let targets = protocol.targets;
        let head = format!(
            "{}: {targets} targets, {}, {}; masks of seed {}",
            self.whole.part,
            protocol.candidates(),
            protocol.rules(),
            self.mask_seed
        );
        let head = protocol.trained_on.note().map_or(head.clone(), |note| format!("{note}\n{head}"));
        std::iter::once(head).chain(self.missing.iter().map(|row| row.line(self.items))).collect()
    }

    /// A row for each of what is missing and score name: the figure with everything, the one without, and their ratio.
    fn rows(&self, k: usize) -> Table {
        let mut header = vec!["missing".to_owned(), "scores".to_owned()];
        for metric in METRICS {
            header.extend([format!("{metric}@{k}, all"), "missing".to_owned(), "kept".to_owned()]);
        }
        let figure = |value: Option<&f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
        let mut rows = Vec::new();
        for row in &self.missing {
            for (whole, now) in self.whole.scored.iter().zip(&row.evaluation.scored) {
                let mut cells = vec![row.missing.to_string(), whole.name.clone()];
                for metric in METRICS.map(|metric| format!("{metric}@{k}")) {
                    let kept = row.kept.get(&whole.name).and_then(|kept| kept.get(&metric));
                    cells.extend([
                        figure(whole.metrics.get(&metric)),
                        figure(now.metrics.get(&metric)),
                        kept.map_or_else(|| "-".to_owned(), |kept| format!("{kept:.1} %")),
                    ]);
                }
                rows.push(cells);
            }
        }
        Table { header, rows }
    }

    /// For a terminal: protocol, what was hidden, and a table for each of these cut-offs.
    pub fn table_at(&self, ks: &[usize]) -> String {
        let mut text: String = self.preface().into_iter().map(|line| line + "\n").collect();
        for &k in ks {
            let rows = self.rows(k);
            let mut columns = vec![Column::right(8).fitted(); rows.header.len()];
            columns[..2].fill(Column::left(8).fitted());
            text.push_str(&rows.lines(&columns, "  "));
        }
        text
    }

    /// The same as Markdown.
    pub fn markdown_at(&self, ks: &[usize]) -> String {
        let mut text = String::new();
        for (n, line) in self.preface().into_iter().enumerate() {
            let _ = writeln!(text, "{}{line}", if n == 0 { "" } else { "- " });
            if n == 0 {
                text.push('\n');
            }
        }
        for &k in ks {
            let _ = write!(text, "\n{}", self.rows(k).markdown());
        }
        text
    }
}

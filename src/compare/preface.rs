//! The sections before a comparison in a larger report.

use std::fmt::Write as _;

use serde::Serialize;

use crate::stats::Verdict;
use crate::table::Table;

/// The title of a report and its sections before the comparison.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Preface {
    /// The first line of all; may be empty.
    pub alarm: String,
    pub title: String,
    pub sections: Vec<Section>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Section {
    pub title: String,
    pub items: Vec<Item>,
    #[serde(skip)]
    pub tables: Vec<Table>,
    /// A paragraph at the end, in small print; may be empty.
    pub note: String,
}

/// A line with a verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// Determines colour and symbol.
    pub verdict: Verdict,
    pub lead: String,
    pub text: String,
}

impl Preface {
    pub fn plain(&self) -> String {
        let mut text = if self.alarm.is_empty() { String::new() } else { format!("{}\n\n", self.alarm) };
        for section in &self.sections {
            let _ = writeln!(text, "{}", section.title);
            for item in &section.items {
                let _ = writeln!(text, "  [{}] {}", item.lead, item.text);
            }
            for table in &section.tables {
                let _ = write!(text, "\n{}", table.plain());
            }
            text.push('\n');
        }
        text
    }

    pub fn markdown(&self) -> String {
        let alarm = if self.alarm.is_empty() { String::new() } else { format!("**{}**\n\n", self.alarm) };
        let mut text = format!("{alarm}# {}\n", self.title);
        for section in &self.sections {
            let _ = write!(text, "\n## {}\n\n", section.title);
            for item in &section.items {
                let _ = writeln!(text, "- **{}**: {}.", item.lead, item.text);
            }
            for table in &section.tables {
                let _ = write!(text, "\n{}", table.markdown());
            }
            if !section.note.is_empty() {
                let _ = write!(text, "\n{}\n", section.note);
            }
        }
        text
    }
}

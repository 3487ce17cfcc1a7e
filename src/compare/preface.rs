//! What stands before a comparison in a report of which it is a part.

use std::fmt::Write as _;

use serde::Serialize;

use crate::stats::Verdict;
use crate::table::Table;

/// A title of its own, and sections before the comparison's figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Preface {
    pub title: String,
    pub sections: Vec<Section>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Section {
    pub title: String,
    pub items: Vec<Item>,
    #[serde(skip)]
    pub tables: Vec<Table>,
    /// A quiet paragraph below them; empty: none.
    pub note: String,
}

/// A line with a verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// Chooses the colour and sign.
    pub verdict: Verdict,
    pub lead: String,
    pub text: String,
}

impl Preface {
    pub fn plain(&self) -> String {
        let mut text = String::new();
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
        let mut text = format!("# {}\n", self.title);
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

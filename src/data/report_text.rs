//! A preparation's report as text for the terminal.

use super::PrepareReport;
use super::filter::StepCounts;
use super::source::{Role, SourcePlan};
use crate::table::{Column, Table};

impl PrepareReport {
    /// How both files were read, a line a fact, what was not asked for marked as a guess; then what was kept, step by
    /// step.
    pub fn plain(&self) -> String {
        let mut text = source("log", &self.log, self.days().as_deref());
        if let Some(catalogue) = &self.catalogue {
            text += &source("catalogue", catalogue, None);
        }
        text + "\n" + &steps(self)
    }
}

fn source(what: &str, plan: &SourcePlan, days: Option<&str>) -> String {
    let guess = |guessed: bool| if guessed { " (guessed)" } else { "" };
    let mut text = format!("{what}: {}, {}{}", plan.path.display(), plan.format, guess(plan.format_guessed));
    if let Some(delimiter) = plan.delimiter {
        text += &format!(", fields by {}", name_of(delimiter));
    }
    if let Some(quoting) = plan.quoting {
        text += &format!(", quoting {}{}", quoting.name(), guess(plan.quoting_guessed));
    }
    if let Some(encoding) = &plan.encoding {
        text += &format!(", in {encoding}");
    }
    text.push('\n');
    for chosen in &plan.columns {
        text += &format!("  {:<8} = {}{}", chosen.role.name(), chosen.column, guess(chosen.guessed));
        if chosen.further {
            text += ", where that above is empty";
        } else if chosen.role == Role::Time {
            text += &match plan.time_unit {
                Some(unit) => format!(", in {unit}{}", guess(plan.time_unit_guessed)),
                None => ", as dates, UTC where they name no offset".to_owned(),
            };
            text += &days.map_or_else(String::new, |days| format!(": {days}"));
        }
        text.push('\n');
    }
    for note in &plan.notes {
        text += &format!("  {note}\n");
    }
    if !plan.unread.is_empty() {
        text += &format!("  not read: {}\n", plan.unread.join(", "));
    }
    text
}

fn name_of(delimiter: char) -> String {
    match delimiter {
        '\t' => "tabs".to_owned(),
        ' ' => "spaces".to_owned(),
        other => format!("`{other}`"),
    }
}

/// What every step left, how it was split, and what is missing.
fn steps(report: &PrepareReport) -> String {
    let row = |s: &StepCounts| {
        vec![s.step.clone(), s.users.to_string(), s.items.to_string(), s.interactions.to_string()]
    };
    let steps = Table {
        header: ["step", "users", "items", "interactions"].map(str::to_owned).to_vec(),
        rows: report.steps.iter().map(row).collect(),
    };
    let columns = [Column::left(32), Column::right(10), Column::right(10), Column::right(13)];
    let mut text = steps.lines(&columns, " ");
    if report.repeats_dropped > 0 {
        text += &format!(
            "{} interactions with an item that the user had already are dropped; --duplicates keep_returns keeps true returns\n",
            report.repeats_dropped
        );
    }
    text += &format!(
        "split: {} training interactions, {} validation targets, {} test targets\n",
        report.train_interactions, report.valid_targets, report.test_targets
    );
    if report.items_only_targets > 0 {
        text += &format!(
            "{} items occur as targets only: no model trained on this split has seen them\n",
            report.items_only_targets
        );
    }
    text + &format!(
        "missing: {} titles, {} categories, {} pictures ({} more are named and are no files); {} times\n",
        report.items_without_title,
        report.items_without_category,
        report.items_without_image,
        report.image_files_missing,
        report.rows_without_time
    )
}

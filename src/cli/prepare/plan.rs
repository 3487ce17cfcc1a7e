//! What `prepare` says of how it read the files.

use crate::data::PrepareReport;
use crate::data::source::{Role, SourcePlan};

/// The plan of both files, a line a fact; what was not asked for is marked as a guess.
pub fn plan(report: &PrepareReport) -> String {
    let mut text = source("log", &report.log, report.days().as_deref());
    if let Some(catalogue) = &report.catalogue {
        text += &source("catalogue", catalogue, None);
    }
    text + "\n"
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

//! Prints what the readers hand on, so that it can be held against other programs: `tests/readers_fuzz.py`.
//!
//! A job a line on standard input, `{"path": …, "log": true, "options": {…}}` with the fields of [`SourceOptions`]; an
//! answer a line: rows, the plan with its warnings, and the error if there is one.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use codistill::data::source::{
    BadLines, Reading, Source, SourceError, SourceOptions, SourcePlan, read_interactions, read_items,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Job {
    path: PathBuf,
    /// A log of interactions; otherwise a catalogue.
    log: bool,
    #[serde(default)]
    options: SourceOptions,
}

#[derive(Serialize)]
struct Answer {
    rows: Vec<Value>,
    plan: Option<SourcePlan>,
    error: Option<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?)?;
        serde_json::to_writer(&mut out, &answer(&job))?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}

fn answer(job: &Job) -> Answer {
    let mut rows = Vec::new();
    let (plan, done) = match read(job, &mut rows) {
        Ok((plan, done)) => (Some(plan), done),
        Err(error) => (None, Err(error)),
    };
    Answer { rows, plan, error: done.err().map(|error| error.to_string()) }
}

/// The plan stands also where the reading ended with an error.
fn read(job: &Job, rows: &mut Vec<Value>) -> Result<(SourcePlan, Result<(), SourceError>), SourceError> {
    let source = if job.log { Source::Log } else { Source::Catalogue };
    let mut reading = Reading::new(&job.path, source, &job.options, BadLines::default())?;
    let done = if job.log {
        read_interactions(&mut reading, &mut |row| {
            let time = row.time.map(|time| format!("{time:?}"));
            rows.push(json!([row.user, row.item, time, row.value]));
            Ok(())
        })
    } else {
        read_items(&mut reading, &mut |row| {
            rows.push(json!([row.id, row.title, row.text, row.category, row.image]));
            Ok(())
        })
    };
    Ok((reading.plan, done.map(|_| ())))
}

//! `evaluate --missing`: what the model keeps where items lack a view.

use std::path::PathBuf;

use super::super::{Exit, Failure, Terminal};
use super::{EvaluateArgs, PATIENCE, lock_run};
use codistill::artefact::write_json;
use codistill::data::Choice;
use codistill::eval::rows;
use codistill::judge::Cold;
use codistill::judge::missing::{Asking, Retention, SEED, retention};
use codistill::run::Run;

/// Judges the model with everything and with each of the options' rows, prints and saves the table.
pub(super) fn run(
    args: &EvaluateArgs,
    run: &Run,
    cold: Option<Cold>,
    choice: Option<&Choice>,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let seed = args.missing_seed.unwrap_or(SEED);
    let asking = Asking { part: args.part, missing: &args.missing, seed, cold, choice };
    let table = retention(run.model.as_ref(), &asking)?;
    table.warnings().into_iter().for_each(|warning| terminal.warn(warning));
    let ks = if args.ks.is_empty() { table.usual_ks() } else { args.cut_offs() };
    if args.markdown && !terminal.json {
        terminal.data(&table.markdown_at(&ks))?;
    } else {
        terminal.result(&table, || table.table_at(&ks))?;
    }
    let mut kept = Vec::new();
    if let Some(path) = &args.rows {
        rows::write_all(path, &table.named_evaluations())?;
        kept.push(format!("rows {}", path.display()));
    }
    kept.extend(save(args, run, &table, terminal)?.map(|path| format!("table {}", path.display())));
    let kept = if kept.is_empty() { "nothing written".to_owned() } else { kept.join("; ") };
    terminal.say(format!("checkpoint {}; {kept}", run.path.display()));
    Ok(Exit::Done)
}

/// Writes the table beside the run's report, unless options choose candidates or how cold items are scored; where it is.
fn save(
    args: &EvaluateArgs,
    run: &Run,
    table: &Retention,
    terminal: &Terminal,
) -> Result<Option<PathBuf>, Failure> {
    if args.is_aside() {
        return Ok(None);
    }
    let path = run.dir.retention(args.part.name());
    let _lock = lock_run(args, PATIENCE, terminal)?;
    write_json(&path, table)?;
    Ok(Some(path))
}

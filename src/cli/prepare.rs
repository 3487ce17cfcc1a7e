//! `codistill prepare`

mod args;
mod columns;

use serde_json::json;

use super::{Exit, Failure, Terminal};
use codistill::artefact::{Makes, json_value, may_make};
use codistill::data::{
    Dataset, PrepareOptions, PrepareReport, changed_items, prepare, replace_dataset, write_dataset,
};
use codistill::features::FeatureStore;

pub use args::PrepareArgs;

pub fn run(args: &PrepareArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let options = args.options()?;
    if args.output.exists() && !args.overwrite {
        let message = format!("{} already exists", args.output.display());
        return Err(Failure::user(
            message,
            "choose another --output, or replace the old data set with --overwrite",
        ));
    }
    may_make(&args.output, Makes::Other)?;
    let (dataset, report) = read(&options, terminal)?;
    let warnings = report.warnings();
    if args.strict && !warnings.is_empty() {
        let message = format!("--strict: nothing was written because of {}", warnings.join("\nand "));
        return Err(Failure::user(message, "mend the input or name the option that settles it"));
    }
    let old = if args.overwrite { Dataset::open(&args.output).ok() } else { None };
    let hash = write(args, &options, &dataset, &report)?;
    if terminal.json {
        terminal.data_json(&json!({"path": args.output, "hash": hash, "report": report}))?;
    } else {
        terminal.table(&report.plain())?;
    }
    report.passed_over().into_iter().chain(warnings).for_each(|warning| terminal.warn(warning));
    tell_features(args, old.as_ref(), &dataset, terminal);
    terminal.say(format!(
        "{} ({} users, {} items)",
        args.output.display(),
        dataset.users.len(),
        dataset.items.count()
    ));
    Ok(Exit::Done)
}

/// Reads the files, with a moving line meanwhile.
fn read(options: &PrepareOptions, terminal: &Terminal) -> Result<(Dataset, PrepareReport), Failure> {
    let bar = if terminal.progress {
        indicatif::ProgressBar::new_spinner()
    } else {
        indicatif::ProgressBar::hidden()
    };
    let prepared = prepare(options, &mut |rows| {
        bar.set_message(format!("{rows} rows read"));
        bar.tick();
    })?;
    bar.finish_and_clear();
    Ok(prepared)
}

/// Writes the data set, in the place of an older one where that was asked for, and returns its hash.
fn write(
    args: &PrepareArgs,
    options: &PrepareOptions,
    dataset: &Dataset,
    report: &PrepareReport,
) -> Result<String, Failure> {
    let report = json_value("the report", report)?;
    let about = json!({"source": "prepare", "options": options, "report": report});
    let write = if args.overwrite { replace_dataset } else { write_dataset };
    Ok(write(&args.output, dataset, &report, about)?)
}

/// Warns of feature stores beside a replaced data set that don't fit the new one.
fn tell_features(args: &PrepareArgs, old: Option<&Dataset>, dataset: &Dataset, terminal: &Terminal) {
    for store in FeatureStore::outdated(&args.output, dataset) {
        terminal.warn(format!(
            "{} was made for other items: encode or import the features again, with --overwrite",
            store.display()
        ));
    }
    let changed = old.map_or(0, |old| changed_items(&old.items, &dataset.items));
    if changed > 0 && args.output.join("features").exists() {
        terminal.warn(format!(
            "titles, texts or pictures of {changed} items are others than before: features that were made from them stand \
             for the old ones; `features encode --overwrite` makes them anew"
        ));
    }
}

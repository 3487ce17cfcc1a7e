//! `codistill prepare`

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failure, Terminal};
use crate::data::filter::Duplicates;
use crate::data::source::{Columns, Format};
use crate::data::split::{CutOff, Split};
use crate::data::{PrepareOptions, PrepareReport, prepare, write_dataset};

#[derive(Debug, Args)]
#[command(after_help = "\
Formats, found out from the file unless given: delimited (CSV, TSV with named columns), atomic (RecBole .inter \
and .item), movielens_dat, movielens_csv, amazon_jsonl (2018 and 2023), parquet (a file or a folder of parts), \
sequences (user item item … per line). All but Parquet may be gzipped.

Examples:
  codistill prepare ratings.csv --items movies.csv --user-core 5 --item-core 5 --output data/movies
  codistill prepare reviews.jsonl.gz --items meta.jsonl.gz --output data/arts
  codistill prepare Beauty.txt --format sequences --output data/beauty
  codistill prepare log.parquet --split global_time --valid-from 0.8 --test-from 0.9 --output data/log

Equal time stamps of a user keep the order of the source.")]
pub struct PrepareArgs {
    /// Interaction log: a file, or a folder of Parquet part files.
    interactions: PathBuf,
    /// Dataset directory to make.
    #[arg(long, short)]
    output: PathBuf,
    /// Format of the log.
    #[arg(long)]
    format: Option<Format>,
    /// Catalogue with titles, categories and picture paths.
    #[arg(long)]
    items: Option<PathBuf>,
    /// Format of the catalogue.
    #[arg(long)]
    items_format: Option<Format>,
    /// Name a column: user, item, time, value, title, category, image; e.g. `user=customer_id`.
    #[arg(long = "column", value_name = "ROLE=NAME")]
    columns: Vec<String>,
    /// Further text columns of the catalogue, joined behind the title. Default: text, description or plot, where
    /// there is one.
    #[arg(long = "text-column", value_name = "NAME")]
    text_columns: Vec<String>,
    /// Store a further column of the catalogue, for `recommend --filter NAME=VALUE`; may be repeated.
    #[arg(long = "keep-column", value_name = "NAME")]
    keep_columns: Vec<String>,
    /// Field separator of a delimited file.
    #[arg(long)]
    delimiter: Option<char>,
    /// Where pictures lie, e.g. `posters/{id}.jpg`.
    #[arg(long, value_name = "PATTERN")]
    images: Option<String>,
    /// Pass over at most so many malformed lines.
    #[arg(long, default_value_t = 0, value_name = "N")]
    skip_bad: u64,
    /// Drop interactions whose rating is lower.
    #[arg(long, value_name = "X")]
    min_value: Option<f64>,
    /// What becomes of repeated (user, item) pairs: first, last or keep_all.
    #[arg(long, default_value = "first", value_parser = duplicates)]
    duplicates: Duplicates,
    /// Fewest interactions of a user.
    #[arg(long, default_value_t = 5, value_name = "N")]
    user_core: usize,
    /// Fewest interactions of an item.
    #[arg(long, default_value_t = 5, value_name = "N")]
    item_core: usize,
    /// Fewest interactions of a user, after the cores.
    #[arg(long, default_value_t = 3, value_name = "N")]
    min_length: usize,
    /// Drop interactions with items that the catalogue lacks.
    #[arg(long)]
    catalogue_only: bool,
    /// Keep catalogue items that nobody interacted with.
    #[arg(long)]
    keep_unseen_items: bool,
    /// leave_one_out or global_time.
    #[arg(long, default_value = "leave_one_out")]
    split: String,
    /// Start of validation under global_time: a date, or a share of the interactions.
    #[arg(long, default_value = "0.8", value_name = "WHEN")]
    valid_from: CutOff,
    /// Start of test under global_time.
    #[arg(long, default_value = "0.9", value_name = "WHEN")]
    test_from: CutOff,
}

fn duplicates(text: &str) -> Result<Duplicates, String> {
    match text {
        "first" => Ok(Duplicates::First),
        "last" => Ok(Duplicates::Last),
        "keep_all" => Ok(Duplicates::KeepAll),
        _ => Err("use first, last or keep_all".into()),
    }
}

pub fn run(args: &PrepareArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let options = options(args)?;
    if args.output.exists() {
        let message = format!("{} already exists", args.output.display());
        return Err(Failure::user(message, "choose another --output, or remove the old directory"));
    }
    let bar = if terminal.progress {
        indicatif::ProgressBar::new_spinner()
    } else {
        indicatif::ProgressBar::hidden()
    };
    let (dataset, report) = prepare(&options, &mut |rows| {
        bar.set_message(format!("{rows} rows read"));
        bar.tick();
    })?;
    bar.finish_and_clear();
    let as_json = serde_json::to_value(&report).unwrap_or_default();
    let about = serde_json::json!({"source": "prepare", "options": options, "report": as_json});
    let hash = write_dataset(&args.output, &dataset, &as_json, about)?;
    if terminal.json {
        terminal.data_json(&serde_json::json!({"path": args.output, "hash": hash, "report": report}))?;
    } else {
        terminal.data(&table(&report))?;
    }
    for problem in warnings(&report) {
        terminal.warn(problem);
    }
    terminal.say(format!(
        "{} ({} users, {} items)",
        args.output.display(),
        dataset.users.len(),
        dataset.items.count()
    ));
    Ok(Exit::Done)
}

fn options(args: &PrepareArgs) -> Result<PrepareOptions, Failure> {
    let split = match args.split.as_str() {
        "leave_one_out" => Split::LeaveOneOut,
        "global_time" => Split::GlobalTime { valid: args.valid_from.clone(), test: args.test_from.clone() },
        other => {
            return Err(Failure::user(format!("`{other}` is no split"), "use leave_one_out or global_time"));
        }
    };
    Ok(PrepareOptions {
        interactions: args.interactions.clone(),
        format: args.format,
        items: args.items.clone(),
        items_format: args.items_format,
        columns: columns(args)?,
        images: args.images.clone(),
        skip_bad: args.skip_bad,
        min_value: args.min_value,
        duplicates: args.duplicates,
        user_core: args.user_core,
        item_core: args.item_core,
        min_length: args.min_length,
        catalogue_only: args.catalogue_only,
        keep_unseen_items: args.keep_unseen_items,
        split,
    })
}

fn columns(args: &PrepareArgs) -> Result<Columns, Failure> {
    let mut columns = Columns {
        text: args.text_columns.clone(),
        kept: args.keep_columns.clone(),
        delimiter: args.delimiter,
        ..Columns::default()
    };
    for pair in &args.columns {
        let wrong = || {
            Failure::user(
                format!("`{pair}` names no column"),
                "use ROLE=NAME with user, item, time, value, title, category or image",
            )
        };
        let (role, name) = pair.split_once('=').ok_or_else(wrong)?;
        let field = match role {
            "user" => &mut columns.user,
            "item" => &mut columns.item,
            "time" => &mut columns.time,
            "value" => &mut columns.value,
            "title" => &mut columns.title,
            "category" => &mut columns.category,
            "image" => &mut columns.image,
            _ => return Err(wrong()),
        };
        name.clone_into(field);
    }
    Ok(columns)
}

fn table(report: &PrepareReport) -> String {
    let mut text = format!("{:<32} {:>10} {:>10} {:>13}\n", "step", "users", "items", "interactions");
    for s in &report.steps {
        text += &format!("{:<32} {:>10} {:>10} {:>13}\n", s.step, s.users, s.items, s.interactions);
    }
    text += &format!(
        "split: {} training interactions, {} validation targets, {} test targets\n",
        report.train_interactions, report.valid_targets, report.test_targets
    );
    text + &format!(
        "missing: {} titles, {} categories, {} pictures ({} more are named and are no files); {} times\n",
        report.items_without_title,
        report.items_without_category,
        report.items_without_image,
        report.image_files_missing,
        report.rows_without_time
    )
}

fn warnings(report: &PrepareReport) -> Vec<String> {
    let mut found = Vec::new();
    if report.bad_lines > 0 {
        let first = report.first_bad_line.as_deref().unwrap_or_default();
        found.push(format!("{} malformed lines passed over; the first: {first}", report.bad_lines));
    }
    if report.users_without_targets > 0 {
        found
            .push(format!("{} users are too short for targets and only train", report.users_without_targets));
    }
    if report.catalogue_repeated > 0 {
        found.push(format!(
            "{} catalogue lines repeat an item; its first line counts",
            report.catalogue_repeated
        ));
    }
    if report.equal_time_pairs > 0 {
        let share = 100.0 * report.equal_time_pairs as f64 / report.train_interactions.max(1) as f64;
        found.push(format!(
            "{} neighbouring interactions ({share:.0} %) have equal times; they keep the order of the source",
            report.equal_time_pairs
        ));
    }
    found
}

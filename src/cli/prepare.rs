//! `codistill prepare`

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Failure, Terminal};
use crate::artefact::{Makes, json_value, may_make};
use crate::data::filter::{Duplicates, StepCounts, Ties};
use crate::data::source::{Columns, Format, Quoting, Role, SourceOptions, TimeUnit};
use crate::data::split::{CutOff, Split};
use crate::data::{
    Dataset, Items, PrepareOptions, PrepareReport, Untimed, prepare, replace_dataset, write_dataset,
};
use crate::features::FeatureStore;
use crate::table::{Column, Table};

mod plan;

#[derive(Debug, Args)]
#[command(after_help = "\
Formats, found out from the file unless given: delimited (CSV, TSV with named columns), atomic (RecBole .inter \
and .item), movielens_dat, movielens_csv, json_lines (Amazon 2014, 2018, 2023 and any other with named fields), parquet, \
sequences (user item item … per line). All but Parquet may be gzipped; each may be a folder of parts, also with folders \
called `key=value`, which are columns.

Columns that are not named are found by their usual names, without regard to case and punctuation; what was chosen \
and what was not read is printed. Times are numbers (one unit for the whole column) or ISO 8601, UTC where they name \
no offset.

Examples:
  codistill prepare ratings.csv --items movies.csv --user-core 5 --item-core 5 --output data/movies
  codistill prepare orders.csv --column user=customer --column item=sku --column time=ordered_at \
    --items products.csv --items-column item=sku --items-column title=product --output data/shop
  codistill prepare u.data --no-header --column user=1 --column item=2 --column value=3 --column time=4 \
    --output data/ml-100k
  codistill prepare reviews.jsonl.gz --items meta.jsonl.gz --output data/arts
  codistill prepare Beauty.txt --format sequences --output data/beauty
  codistill prepare log.parquet --split global_time --valid-from 0.8 --test-from 0.9 --output data/log")]
pub struct PrepareArgs {
    /// Interaction log: a file, or a folder of part files.
    interactions: PathBuf,
    /// Dataset directory to make.
    #[arg(long, short)]
    output: PathBuf,
    /// Put the data set in the place of an older one; its feature stores move along.
    #[arg(long)]
    overwrite: bool,
    /// Catalogue with titles, categories and picture paths.
    #[arg(long)]
    items: Option<PathBuf>,
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    rules: RuleArgs,
    /// Make errors of all warnings; nothing is then written.
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How the files are read")]
struct SourceArgs {
    /// Format of the log.
    #[arg(long)]
    format: Option<Format>,
    /// Format of the catalogue.
    #[arg(long)]
    items_format: Option<Format>,
    /// Name a column of the log: user, item, time, value, part; e.g. `user=customer_id`; `time=` reads none. Of a
    /// catalogue that has such a column too: item, title, category, image.
    #[arg(long = "column", value_name = "ROLE=NAME")]
    columns: Vec<String>,
    /// Name a column of the catalogue: item, title, category, image; e.g. `item=sku`.
    #[arg(long = "items-column", value_name = "ROLE=NAME")]
    items_columns: Vec<String>,
    /// Further text columns of the catalogue, joined behind the title. Default: text, description or plot, where
    /// there is one.
    #[arg(long = "text-column", value_name = "NAME")]
    text_columns: Vec<String>,
    /// Columns of the catalogue that the data set keeps as they stand, for `--filter NAME=VALUE`.
    #[arg(long = "keep-column", value_name = "NAME")]
    kept_columns: Vec<String>,
    /// Field separator of a delimited log.
    #[arg(long)]
    delimiter: Option<char>,
    /// Field separator of a delimited catalogue.
    #[arg(long)]
    items_delimiter: Option<char>,
    /// The log has no header line: its columns are named by their places, from 1.
    #[arg(long)]
    no_header: bool,
    /// The catalogue has no header line.
    #[arg(long)]
    items_no_header: bool,
    /// What quotes mean in a delimited log: csv (a quoted field may hold separators and line ends), fields (only where
    /// they close within the field) or none. Default: fields between tabs, else csv.
    #[arg(long)]
    quoting: Option<Quoting>,
    /// The same in a delimited catalogue.
    #[arg(long)]
    items_quoting: Option<Quoting>,
    /// Encoding of a log that isn't UTF-8, e.g. windows-1252, iso-8859-1, shift_jis.
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Encoding of the catalogue.
    #[arg(long, value_name = "NAME")]
    items_encoding: Option<String>,
    /// Take tags and entities out of titles and texts; `--strip-html=false` keeps them without a warning.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    strip_html: Option<bool>,
    /// Where pictures lie, e.g. `posters/{id}.jpg` or `images/{id[:3]}/{id}.{jpg,png}`.
    #[arg(long, value_name = "PATTERN")]
    images: Option<String>,
    /// What one step of numeric times is: seconds, milliseconds, microseconds, nanoseconds, date (20200705) or
    /// date_time (20200705103000). Default: by the size of the column's numbers.
    #[arg(long, value_name = "UNIT")]
    time_unit: Option<TimeUnit>,
    /// How times are written, as strptime has it; e.g. `%m/%d/%Y %I:%M:%S %p`.
    #[arg(long, value_name = "FORMAT", conflicts_with = "time_unit")]
    time_format: Option<String>,
    /// Pass over at most so many malformed lines.
    #[arg(long, default_value_t = 0, value_name = "N")]
    skip_bad: u64,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is kept, and how it is split")]
struct RuleArgs {
    /// What becomes of rows without a time, where the log has times: refuse, or drop.
    #[arg(long, default_value = "refuse", value_parser = untimed)]
    untimed: Untimed,
    /// Order of a user's interactions with equal times: source (that of the file), or hash (one that says nothing).
    /// Default: source, and ties are warned of.
    #[arg(long, value_parser = ties)]
    ties: Option<Ties>,
    /// Drop interactions whose rating is lower.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    min_value: Option<f64>,
    /// What becomes of repeated (user, item) pairs: first or last (one stays), keep_all, or keep_returns (exact doubles
    /// and immediate repetitions go, a later return stays).
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
    /// leave_one_out, global_time or given (the log's own parts: files called train, valid and test, or a column that
    /// `--column part=NAME` names). Default: given where the log has parts in its files' names or in such a column,
    /// else leave_one_out.
    #[arg(long)]
    split: Option<String>,
    /// Start of validation under global_time: a date, or a share of the interactions. Default 0.8.
    #[arg(long, value_name = "WHEN")]
    valid_from: Option<CutOff>,
    /// Start of test under global_time. Default 0.9.
    #[arg(long, value_name = "WHEN")]
    test_from: Option<CutOff>,
}

fn duplicates(text: &str) -> Result<Duplicates, String> {
    match text {
        "first" => Ok(Duplicates::First),
        "last" => Ok(Duplicates::Last),
        "keep_all" => Ok(Duplicates::KeepAll),
        "keep_returns" => Ok(Duplicates::KeepReturns),
        _ => Err("use first, last, keep_all or keep_returns".into()),
    }
}

fn untimed(text: &str) -> Result<Untimed, String> {
    match text {
        "refuse" => Ok(Untimed::Refuse),
        "drop" => Ok(Untimed::Drop),
        _ => Err("use refuse or drop".into()),
    }
}

fn ties(text: &str) -> Result<Ties, String> {
    match text {
        "source" => Ok(Ties::Source),
        "hash" => Ok(Ties::Hash),
        _ => Err("use source or hash".into()),
    }
}

pub fn run(args: &PrepareArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let options = options(args)?;
    if args.output.exists() && !args.overwrite {
        let message = format!("{} already exists", args.output.display());
        return Err(Failure::user(
            message,
            "choose another --output, or replace the old data set with --overwrite",
        ));
    }
    may_make(&args.output, Makes::Other)?;
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
    let warnings = report.warnings();
    if args.strict && !warnings.is_empty() {
        let message = format!("--strict: nothing was written because of {}", warnings.join("\nand "));
        return Err(Failure::user(message, "mend the input or name the option that settles it"));
    }
    let as_json = json_value("the report", &report)?;
    let about = serde_json::json!({"source": "prepare", "options": options, "report": as_json});
    let old = if args.overwrite { Dataset::open(&args.output).ok() } else { None };
    let hash = if args.overwrite {
        replace_dataset(&args.output, &dataset, &as_json, about)?
    } else {
        write_dataset(&args.output, &dataset, &as_json, about)?
    };
    if terminal.json {
        terminal.data_json(&serde_json::json!({"path": args.output, "hash": hash, "report": report}))?;
    } else {
        terminal.table(&(plan::plan(&report) + &table(&report)))?;
    }
    for warning in report.passed_over().into_iter().chain(warnings) {
        terminal.warn(warning);
    }
    for view in outdated(&args.output, &dataset) {
        terminal.warn(format!(
            "{} was made for other items: encode or import the features again, with --overwrite",
            view.display()
        ));
    }
    let changed = old.map_or(0, |old| changed_items(&old, &dataset));
    if changed > 0 && args.output.join("features").exists() {
        terminal.warn(format!(
            "titles, texts or pictures of {changed} items are others than before: features that were made from them stand \
             for the old ones; `features encode --overwrite` makes them anew"
        ));
    }
    terminal.say(format!(
        "{} ({} users, {} items)",
        args.output.display(),
        dataset.users.len(),
        dataset.items.count()
    ));
    Ok(Exit::Done)
}

/// Items of both data sets whose title, text or picture changed.
fn changed_items(old: &Dataset, new: &Dataset) -> usize {
    let about = |items: &Items, n: usize| {
        [&items.titles, &items.texts, &items.images].map(|column| column[n].clone())
    };
    let old: HashMap<&str, [String; 3]> =
        (1..=old.items.count()).map(|n| (old.items.ids[n].as_str(), about(&old.items, n))).collect();
    let changed =
        |&n: &usize| old.get(new.items.ids[n].as_str()).is_some_and(|before| *before != about(&new.items, n));
    (1..=new.items.count()).filter(changed).count()
}

/// Feature stores of an older data set that don't fit the items that now stand in its place.
fn outdated(dir: &Path, dataset: &Dataset) -> Vec<PathBuf> {
    let Ok(views) = std::fs::read_dir(dir.join("features")) else { return Vec::new() };
    let mut views: Vec<PathBuf> = views.flatten().map(|view| view.path()).collect();
    views.sort();
    views.retain(|view| FeatureStore::open(view).is_ok_and(|store| store.check_items(dataset).is_err()));
    views
}

fn options(args: &PrepareArgs) -> Result<PrepareOptions, Failure> {
    let rules = &args.rules;
    let (valid, test) = (rules.valid_from.clone(), rules.test_from.clone());
    let cut_off = if valid.is_some() { "--valid-from" } else { "--test-from" };
    let split = match rules.split.as_deref() {
        Some("global_time") => Some(Split::GlobalTime {
            valid: valid.unwrap_or(CutOff::Quantile(0.8)),
            test: test.unwrap_or(CutOff::Quantile(0.9)),
        }),
        _ if valid.is_some() || test.is_some() => {
            return Err(Failure::user(
                format!("{cut_off} has no effect but under --split global_time"),
                "add --split global_time, or leave it out",
            ));
        }
        None => None,
        Some("leave_one_out") => Some(Split::LeaveOneOut),
        Some("given") => Some(Split::Given),
        Some(other) => {
            return Err(Failure::user(
                format!("`{other}` is no split"),
                "use leave_one_out, global_time or given",
            ));
        }
    };
    let (log, catalogue) = sources(args)?;
    Ok(PrepareOptions {
        interactions: args.interactions.clone(),
        log,
        items: args.items.clone(),
        catalogue,
        images: args.sources.images.clone(),
        skip_bad: args.sources.skip_bad,
        time_unit: args.sources.time_unit,
        untimed: rules.untimed,
        ties: rules.ties,
        min_value: rules.min_value,
        duplicates: rules.duplicates,
        user_core: rules.user_core,
        item_core: rules.item_core,
        min_length: rules.min_length,
        catalogue_only: rules.catalogue_only,
        keep_unseen_items: rules.keep_unseen_items,
        split,
        strip_html: args.sources.strip_html,
    })
}

/// How the log and the catalogue are to be read.
fn sources(args: &PrepareArgs) -> Result<(SourceOptions, SourceOptions), Failure> {
    let given = &args.sources;
    let mut log = Columns { no_header: given.no_header, ..Columns::default() };
    let mut catalogue = Columns {
        text: given.text_columns.clone(),
        kept: given.kept_columns.clone(),
        no_header: given.items_no_header,
        ..Columns::default()
    };
    if args.rules.min_value.is_some() {
        log.needed.push((Role::Value, "--min-value"));
    }
    for pair in &given.columns {
        match role(pair, "--column")? {
            (Role::Item, name) => {
                set(&mut log, Role::Item, name);
                // Log and catalogue may name it alike: it is meant for those that have it.
                if args.items.is_some() {
                    set(&mut catalogue, Role::Item, name);
                    (log.item_or_usual, catalogue.item_or_usual) = (true, true);
                }
            }
            (role @ (Role::User | Role::Time | Role::Value | Role::Part), name) => set(&mut log, role, name),
            (role, name) => set(&mut catalogue, role, name),
        }
    }
    for pair in &given.items_columns {
        match role(pair, "--items-column")? {
            (role @ (Role::User | Role::Time | Role::Value | Role::Part), name) => {
                let message = format!("--items-column {}={name} has no effect on a catalogue", role.name());
                return Err(Failure::user(message, format!("use --column {}={name}", role.name())));
            }
            (Role::Item, name) => {
                set(&mut catalogue, Role::Item, name);
                (log.item_or_usual, catalogue.item_or_usual) = (false, false);
            }
            (role, name) => set(&mut catalogue, role, name),
        }
    }
    let log = SourceOptions {
        format: given.format,
        columns: log,
        delimiter: given.delimiter,
        quoting: given.quoting,
        encoding: given.encoding.clone(),
        time_format: given.time_format.clone(),
    };
    let catalogue = SourceOptions {
        format: given.items_format,
        columns: catalogue,
        delimiter: given.items_delimiter,
        quoting: given.items_quoting,
        encoding: given.items_encoding.clone(),
        time_format: None,
    };
    Ok((log, catalogue))
}

/// `ROLE=NAME` taken apart.
fn role<'a>(pair: &'a str, option: &str) -> Result<(Role, &'a str), Failure> {
    let roles = [
        Role::User,
        Role::Item,
        Role::Time,
        Role::Value,
        Role::Part,
        Role::Title,
        Role::Category,
        Role::Image,
    ];
    let (name, column) = pair.split_once('=').unwrap_or((pair, ""));
    match roles.into_iter().find(|role| role.name() == name && pair.contains('=')) {
        Some(role) => Ok((role, column)),
        None if name == "text" => Err(Failure::user(
            format!("{option} {pair} names no role"),
            format!("use --text-column {column}"),
        )),
        None => Err(Failure::user(
            format!("{option} {pair} names no role"),
            "use ROLE=NAME with user, item, time, value, part, title, category or image",
        )),
    }
}

/// An empty name means that the role has no column.
fn set(columns: &mut Columns, role: Role, name: &str) {
    if name.is_empty() {
        columns.without.push(role);
        return;
    }
    let field = match role {
        Role::User => &mut columns.user,
        Role::Item => &mut columns.item,
        Role::Time => &mut columns.time,
        Role::Value => &mut columns.value,
        Role::Part => &mut columns.part,
        Role::Title => &mut columns.title,
        Role::Category => &mut columns.category,
        Role::Image => &mut columns.image,
        Role::Text | Role::Kept => return,
    };
    name.clone_into(field);
}

fn table(report: &PrepareReport) -> String {
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

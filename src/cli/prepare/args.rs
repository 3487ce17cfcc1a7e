//! What `prepare` is asked for.

use std::path::PathBuf;

use clap::Args;

use super::super::Failure;
use super::columns::{name_columns, name_item_columns};
use codistill::data::filter::{Duplicates, Ties};
use codistill::data::source::{Columns, Format, Quoting, Role, SourceOptions, TimeUnit};
use codistill::data::split::{CutOff, Split};
use codistill::data::{PrepareOptions, Untimed};

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
    pub(super) output: PathBuf,
    /// Put the data set in the place of an older one; its feature stores move along.
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Catalogue with titles, categories and picture paths.
    #[arg(long)]
    items: Option<PathBuf>,
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    rules: RuleArgs,
    /// Make errors of all warnings; nothing is then written.
    #[arg(long)]
    pub(super) strict: bool,
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

impl PrepareArgs {
    /// What the library is asked for.
    pub(super) fn options(&self) -> Result<PrepareOptions, Failure> {
        let rules = &self.rules;
        let split = rules.split()?;
        let (log, catalogue) = self.sources()?;
        Ok(PrepareOptions {
            interactions: self.interactions.clone(),
            log,
            items: self.items.clone(),
            catalogue,
            images: self.sources.images.clone(),
            skip_bad: self.sources.skip_bad,
            time_unit: self.sources.time_unit,
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
            strip_html: self.sources.strip_html,
        })
    }

    /// How the log and the catalogue are to be read.
    fn sources(&self) -> Result<(SourceOptions, SourceOptions), Failure> {
        let given = &self.sources;
        let (log, catalogue) = self.columns()?;
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
}

impl PrepareArgs {
    /// Which columns of the log and of the catalogue hold what.
    fn columns(&self) -> Result<(Columns, Columns), Failure> {
        let given = &self.sources;
        let mut log = Columns { no_header: given.no_header, ..Columns::default() };
        let mut catalogue = Columns {
            text: given.text_columns.clone(),
            kept: given.kept_columns.clone(),
            no_header: given.items_no_header,
            ..Columns::default()
        };
        if self.rules.min_value.is_some() {
            log.needed.push((Role::Value, "--min-value"));
        }
        name_columns(&given.columns, &mut log, &mut catalogue, self.items.is_some())?;
        name_item_columns(&given.items_columns, &mut log, &mut catalogue)?;
        Ok((log, catalogue))
    }
}

impl RuleArgs {
    /// The split that was asked for, if any.
    fn split(&self) -> Result<Option<Split>, Failure> {
        let (valid, test) = (self.valid_from.clone(), self.test_from.clone());
        match self.split.as_deref() {
            Some("global_time") => Ok(Some(Split::GlobalTime {
                valid: valid.unwrap_or(CutOff::Quantile(0.8)),
                test: test.unwrap_or(CutOff::Quantile(0.9)),
            })),
            _ if valid.is_some() || test.is_some() => {
                let cut_off = if valid.is_some() { "--valid-from" } else { "--test-from" };
                Err(Failure::user(
                    format!("{cut_off} has no effect but under --split global_time"),
                    "add --split global_time, or leave it out",
                ))
            }
            None => Ok(None),
            Some("leave_one_out") => Ok(Some(Split::LeaveOneOut)),
            Some("given") => Ok(Some(Split::Given)),
            Some(other) => Err(Failure::user(
                format!("`{other}` is no split"),
                "use leave_one_out, global_time or given",
            )),
        }
    }
}

//! From raw files to a data set: read, filter, number, describe, split.

use std::path::PathBuf;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, Numbering, describe, is_lost};
use super::filter::{self, Duplicates, Interaction, StepCounts};
use super::log::Log;
use super::source::{self, BadLines, Columns, Format};
use super::split::{Split, split};
use super::{DataError, Dataset, Items, Part, Sequences};
use crate::artefact::hash_file;

/// Everything that decides what a data set is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrepareOptions {
    pub interactions: PathBuf,
    /// Absent: found out from the file.
    pub format: Option<Format>,
    /// Catalogue; absent: items are known by their ids only.
    pub items: Option<PathBuf>,
    pub items_format: Option<Format>,
    pub columns: Columns,
    /// Where pictures lie, with `{id}` for the item's id, e.g. `posters/{id}.jpg`.
    pub images: Option<String>,
    /// Malformed lines that are passed over instead of ending the work.
    pub skip_bad: u64,
    /// Interactions with a smaller value (rating) are dropped; without a value they stay.
    pub min_value: Option<f64>,
    pub duplicates: Duplicates,
    /// Fewest interactions per user and per item, applied until both hold. Default 5, the field's 5-core.
    pub user_core: usize,
    pub item_core: usize,
    /// Fewest interactions per user, applied once after the cores.
    pub min_length: usize,
    /// Drop interactions with items that the catalogue lacks.
    pub catalogue_only: bool,
    /// Keep catalogue items without any interaction.
    pub keep_unseen_items: bool,
    pub split: Split,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self {
            interactions: PathBuf::new(),
            format: None,
            items: None,
            items_format: None,
            columns: Columns::default(),
            images: None,
            skip_bad: 0,
            min_value: None,
            duplicates: Duplicates::First,
            user_core: 5,
            item_core: 5,
            min_length: 3,
            catalogue_only: false,
            keep_unseen_items: false,
            split: Split::LeaveOneOut,
        }
    }
}

/// What was done, step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrepareReport {
    pub steps: Vec<StepCounts>,
    /// Lines passed over, and the first of them.
    pub bad_lines: u64,
    pub first_bad_line: Option<String>,
    /// Users too short to have targets; they train.
    pub users_without_targets: usize,
    pub train_interactions: usize,
    pub valid_targets: usize,
    pub test_targets: usize,
    /// Neighbouring interactions of a user with the same time: their order is the source's.
    pub equal_time_pairs: usize,
    /// Rows whose place in the log stands for their time.
    pub rows_without_time: u64,
    /// Catalogue rows; those that repeat a described item; and those whose item has no kept interaction.
    pub catalogue_rows: usize,
    pub catalogue_repeated: usize,
    pub catalogue_unseen: usize,
    pub items_without_catalogue_row: usize,
    pub items_without_title: usize,
    pub items_without_category: usize,
    /// Items for which neither the catalogue nor the pattern gives a picture.
    pub items_without_image: usize,
    /// Items whose picture is a path that leads to no file. Addresses aren't followed.
    pub image_files_missing: usize,
    /// SHA-256 of every source file.
    pub sources: Vec<SourceHash>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceHash {
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: String,
}

/// Prepares a data set; `on_rows` is told now and then how many rows have been read.
///
/// Memory grows with the interactions that are kept (16 bytes each), with the ids, and with the catalogue rows of
/// items that are kept, not with the files.
///
/// # Errors
/// An option makes no sense, a source can't be read, or a step leaves nothing.
pub fn prepare(
    options: &PrepareOptions,
    on_rows: &mut dyn FnMut(u64),
) -> Result<(Dataset, PrepareReport), DataError> {
    check(options)?;
    let hashes = Hashes::start(options);
    let format = options.format.map_or_else(|| source::detect(&options.interactions), Ok)?;
    // A wrong path is told before an hour of reading.
    let items_format =
        options.items.as_ref().map(|p| options.items_format.map_or_else(|| source::detect(p), Ok));
    let items_format = items_format.transpose()?;
    let mut bad = BadLines { allowed: options.skip_bad, skipped: 0, first: None };
    let mut steps = Vec::new();
    let mut log = Log::read(options, format, &mut bad, &mut steps, on_rows)?;
    not_empty(&steps, "check the file and its format, or lower --min-value")?;
    let mut catalogue = None;
    if options.catalogue_only {
        let listed = Catalogue::read(options, items_format, &log, &mut bad)?;
        let known: Vec<bool> = log.item_ids.iter().map(|id| listed.rows.contains_key(id)).collect();
        log.interactions.retain(|i| known[i.item as usize]);
        steps.push(filter::counts("in the catalogue", &log.interactions));
        not_empty(&steps, "the log and the catalogue share no item id: name the item column of each")?;
        catalogue = Some(listed);
    }
    keep(&mut log.interactions, options, &mut steps);
    not_empty(&steps, "lower --user-core, --item-core or --min-length")?;
    // Read last, so that only rows of items that are kept take memory.
    let catalogue = catalogue.map_or_else(|| Catalogue::read(options, items_format, &log, &mut bad), Ok)?;
    let numbering = Numbering::of(&log, &catalogue.rows, options.keep_unseen_items);
    let (mut sequences, users) = number(&log, &numbering);
    let short = split(&mut sequences, &options.split)?;
    let (items, missing_rows) = describe(&numbering, &catalogue.rows, options);
    let count = |part: Part| sequences.parts.iter().filter(|&&p| p == part).count();
    let empty = |column: &[String]| column[1..].iter().filter(|v| v.is_empty()).count();
    let report = PrepareReport {
        steps,
        bad_lines: bad.skipped,
        first_bad_line: bad.first,
        users_without_targets: short,
        train_interactions: count(Part::Train),
        valid_targets: count(Part::Valid),
        test_targets: count(Part::Test),
        equal_time_pairs: equal_time_pairs(&sequences),
        rows_without_time: log.untimed,
        catalogue_rows: catalogue.read,
        catalogue_repeated: catalogue.repeated,
        catalogue_unseen: catalogue.read - catalogue.repeated - (numbering.seen - missing_rows),
        items_without_catalogue_row: missing_rows,
        items_without_title: empty(&items.titles),
        items_without_category: empty(&items.categories),
        items_without_image: empty(&items.images),
        image_files_missing: items.images.iter().filter(|image| is_lost(image)).count(),
        sources: hashes.finish(options)?,
    };
    Ok((Dataset { users, items, sequences, timed: log.untimed == 0, hash: String::new() }, report))
}

fn check(options: &PrepareOptions) -> Result<(), DataError> {
    let wrong =
        |option: &str, reason: &str| DataError::Option { option: option.into(), reason: reason.into() };
    if options.min_value.is_some_and(f64::is_nan) {
        return Err(wrong("min_value", "not a number"));
    }
    if options.catalogue_only && options.items.is_none() {
        return Err(wrong("catalogue_only", "there is no catalogue"));
    }
    check_kept(options)?;
    Ok(())
}

/// Columns to keep are the catalogue's, each once, and none that is kept anyway.
fn check_kept(options: &PrepareOptions) -> Result<(), DataError> {
    let kept = &options.columns.kept;
    let wrong = |n: usize, reason: &str| DataError::Option {
        option: format!("keep_column {}", kept[n]),
        reason: reason.into(),
    };
    for (n, name) in kept.iter().enumerate() {
        if options.items.is_none() {
            return Err(wrong(n, "there is no catalogue; name one with --items"));
        }
        if name.trim().is_empty() {
            return Err(wrong(n, "a column has a name"));
        }
        if Items::FIXED.contains(&name.as_str()) {
            return Err(wrong(
                n,
                "the data set has a column of this name of its own (id, title, text, category and image are \
                 always kept); give the catalogue's another name",
            ));
        }
        if kept[..n].contains(name) {
            return Err(wrong(n, "named twice"));
        }
    }
    Ok(())
}

/// Order, duplicates, cores, length: one count each.
fn keep(interactions: &mut Vec<Interaction>, options: &PrepareOptions, steps: &mut Vec<StepCounts>) {
    filter::sort(interactions);
    filter::deduplicate(interactions, options.duplicates);
    steps.push(filter::counts("duplicates", interactions));
    filter::k_core(interactions, options.user_core, options.item_core);
    let core = format!("core (user {}, item {})", options.user_core, options.item_core);
    steps.push(filter::counts(&core, interactions));
    filter::minimum_length(interactions, options.min_length);
    steps.push(filter::counts(&format!("length {} or more", options.min_length), interactions));
}

fn not_empty(steps: &[StepCounts], advice: &'static str) -> Result<(), DataError> {
    match steps.iter().find(|s| s.interactions == 0) {
        Some(empty) => Err(DataError::Empty { step: empty.step.clone(), advice }),
        None => Ok(()),
    }
}

/// Sequences with final numbers; users keep the order of their first interaction in the source.
fn number(log: &Log, numbering: &Numbering) -> (Sequences, Vec<String>) {
    let mut s = Sequences { offsets: vec![0], ..Sequences::default() };
    let mut users = Vec::new();
    for run in log.interactions.chunk_by(|a, b| a.user == b.user) {
        users.push(log.user_ids[run[0].user as usize].clone());
        s.items.extend(run.iter().map(|i| numbering.of_log[i.item as usize]));
        s.times.extend(run.iter().map(|i| i.time));
        s.offsets.push(s.items.len());
    }
    s.parts = vec![Part::Train; s.items.len()];
    (s, users)
}

fn equal_time_pairs(s: &Sequences) -> usize {
    (0..s.users()).map(|u| s.times_of(u).windows(2).filter(|w| w[0] == w[1]).count()).sum()
}

/// SHA-256 of the sources, computed beside the reading: both take seconds a gigabyte.
struct Hashes(Option<JoinHandle<Result<Vec<SourceHash>, DataError>>>);

impl Hashes {
    /// When the reading fails, nobody waits for the thread: it only reads.
    fn start(options: &PrepareOptions) -> Self {
        let options = options.clone();
        Self(std::thread::Builder::new().spawn(move || source_hashes(&options)).ok())
    }

    fn finish(self, options: &PrepareOptions) -> Result<Vec<SourceHash>, DataError> {
        // Without a thread it is done now.
        self.0.and_then(|thread| thread.join().ok()).unwrap_or_else(|| source_hashes(options))
    }
}

fn source_hashes(options: &PrepareOptions) -> Result<Vec<SourceHash>, DataError> {
    let mut files = Vec::new();
    for path in std::iter::once(&options.interactions).chain(&options.items) {
        for file in source::files(path)? {
            let (sha256, bytes) = hash_file(&file)?;
            files.push(SourceHash { path: file, bytes, sha256 });
        }
    }
    Ok(files)
}

//! From raw files to a data set: read, filter, number, describe, split.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::filter::{self, Duplicates, Interaction, StepCounts};
use super::intern::Interner;
use super::source::{self, BadLines, Columns, Format, RawItem};
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
    /// Catalogue rows, and those without any kept interaction.
    pub catalogue_rows: usize,
    pub catalogue_unseen: usize,
    pub items_without_catalogue_row: usize,
    pub items_without_title: usize,
    pub items_without_category: usize,
    pub items_without_image: usize,
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
/// Memory grows with the interactions that are kept (16 bytes each) and with the ids, not with the files.
///
/// # Errors
/// A source can't be read, or a step leaves nothing.
pub fn prepare(
    options: &PrepareOptions,
    on_rows: &mut dyn FnMut(u64),
) -> Result<(Dataset, PrepareReport), DataError> {
    let mut bad = BadLines { allowed: options.skip_bad, skipped: 0, first: None };
    let mut steps = Vec::new();
    let mut log = Log::read(options, &mut bad, &mut steps, on_rows)?;
    let catalogue = read_catalogue(options, &mut bad)?;
    if options.catalogue_only {
        let known: Vec<bool> = log.item_ids.iter().map(|id| catalogue.contains_key(id)).collect();
        log.interactions.retain(|i| known[i.item as usize]);
        steps.push(filter::counts("in the catalogue", &log.interactions));
    }
    filter::sort(&mut log.interactions);
    filter::deduplicate(&mut log.interactions, options.duplicates);
    steps.push(filter::counts("duplicates", &log.interactions));
    filter::k_core(&mut log.interactions, options.user_core, options.item_core);
    let core = format!("core (user {}, item {})", options.user_core, options.item_core);
    steps.push(filter::counts(&core, &log.interactions));
    filter::minimum_length(&mut log.interactions, options.min_length);
    steps.push(filter::counts(&format!("length {} or more", options.min_length), &log.interactions));
    if let Some(empty) = steps.iter().find(|s| s.interactions == 0) {
        return Err(DataError::Empty { step: format!("`{}`", empty.step) });
    }
    let numbering = Numbering::of(&log, &catalogue, options.keep_unseen_items);
    let (mut sequences, users) = number(&log, &numbering);
    let short = split(&mut sequences, &options.split)?;
    let (items, missing_rows) = describe(&log, &numbering, &catalogue, options);
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
        catalogue_rows: catalogue.len(),
        catalogue_unseen: catalogue.len() - (numbering.order.len() - missing_rows).min(catalogue.len()),
        items_without_catalogue_row: missing_rows,
        items_without_title: empty(&items.titles),
        items_without_category: empty(&items.categories),
        items_without_image: empty(&items.images),
        sources: source_hashes(options)?,
    };
    Ok((Dataset { users, items, sequences, hash: String::new() }, report))
}

/// The log as it was read.
struct Log {
    interactions: Vec<Interaction>,
    user_ids: Vec<String>,
    item_ids: Vec<String>,
}

impl Log {
    fn read(
        options: &PrepareOptions,
        bad: &mut BadLines,
        steps: &mut Vec<StepCounts>,
        on_rows: &mut dyn FnMut(u64),
    ) -> Result<Self, DataError> {
        let path = &options.interactions;
        let format = options.format.map_or_else(|| source::detect(path), Ok)?;
        let (mut users, mut items) = (Interner::default(), Interner::default());
        let mut interactions = Vec::new();
        let (mut rows, mut full, mut dropped) = (0u64, false, 0u64);
        source::read_interactions(path, format, &options.columns, bad, &mut |row| {
            rows += 1;
            if rows % (1 << 18) == 0 {
                on_rows(rows);
            }
            if row.value.zip(options.min_value).is_some_and(|(value, least)| value < least) {
                dropped += 1;
                return;
            }
            match (users.number(row.user), items.number(row.item)) {
                (Some(user), Some(item)) => {
                    let time = row.time.unwrap_or(rows as i64);
                    interactions.push(Interaction { user, item, time });
                }
                _ => full = true,
            }
        })?;
        on_rows(rows);
        if full {
            return Err(DataError::TooMany { what: "users or items", limit: u64::from(u32::MAX >> 1) });
        }
        let step = if dropped > 0 { format!("read, {dropped} of low value dropped") } else { "read".into() };
        steps.push(filter::counts(&step, &interactions));
        Ok(Self { interactions, user_ids: users.into_ids(), item_ids: items.into_ids() })
    }
}

/// Catalogue rows by id, with their place in the file.
type Catalogue = HashMap<String, (usize, RawItem)>;

fn read_catalogue(options: &PrepareOptions, bad: &mut BadLines) -> Result<Catalogue, DataError> {
    let mut rows = Catalogue::new();
    if let Some(path) = &options.items {
        let format = options.items_format.map_or_else(|| source::detect(path), Ok)?;
        source::read_items(path, format, &options.columns, bad, &mut |row| {
            let place = rows.len();
            // The first row of an id counts; Amazon's metadata repeats some.
            rows.entry(row.id.clone()).or_insert((place, row));
        })?;
    }
    Ok(rows)
}

/// Final item numbers.
struct Numbering {
    /// Final number (from 1) by the log's number; 0 where the item is not kept.
    of_log: Vec<u32>,
    /// Ids in final order.
    order: Vec<String>,
}

impl Numbering {
    /// Catalogue order where there is one, then the log's order for items it lacks.
    fn of(log: &Log, catalogue: &Catalogue, keep_unseen: bool) -> Self {
        let mut kept = vec![false; log.item_ids.len()];
        log.interactions.iter().for_each(|i| kept[i.item as usize] = true);
        let seen: HashMap<&str, usize> = log
            .item_ids
            .iter()
            .enumerate()
            .filter(|(n, _)| kept[*n])
            .map(|(n, id)| (id.as_str(), n))
            .collect();
        let mut listed: Vec<(usize, &str)> = catalogue
            .iter()
            .filter(|(id, _)| keep_unseen || seen.contains_key(id.as_str()))
            .map(|(id, (place, _))| (*place, id.as_str()))
            .collect();
        listed.sort_unstable();
        let unlisted = log
            .item_ids
            .iter()
            .enumerate()
            .filter(|(n, id)| kept[*n] && !catalogue.contains_key(id.as_str()))
            .map(|(_, id)| id.as_str());
        let order: Vec<String> =
            listed.into_iter().map(|(_, id)| id).chain(unlisted).map(str::to_owned).collect();
        let mut of_log = vec![0; log.item_ids.len()];
        for (n, id) in order.iter().enumerate() {
            if let Some(&log_number) = seen.get(id.as_str()) {
                of_log[log_number] = n as u32 + 1;
            }
        }
        Self { of_log, order }
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

/// The catalogue in final order, and how many items it has no row for.
fn describe(
    log: &Log,
    numbering: &Numbering,
    catalogue: &Catalogue,
    options: &PrepareOptions,
) -> (Items, usize) {
    let mut items = Items::default();
    let mut missing = 0;
    let folder = options.items.as_ref().or(Some(&options.interactions)).and_then(|p| p.parent());
    let empty = RawItem::default();
    let mut push = |id: &str, row: &RawItem| {
        items.ids.push(id.to_owned());
        items.titles.push(row.title.clone());
        let text = [row.title.as_str(), row.text.as_str()].join(" ");
        items.texts.push(text.trim().to_owned());
        items.categories.push(row.category.clone());
        items.images.push(image_path(id, row, options, folder));
    };
    push("", &empty);
    for id in &numbering.order {
        let row = catalogue.get(id).map(|(_, row)| row);
        missing += usize::from(row.is_none() && !log.item_ids.is_empty());
        push(id, row.unwrap_or(&empty));
    }
    (items, missing)
}

/// The catalogue's own path or address, relative ones resolved against its folder; else the pattern's file
/// where it exists.
fn image_path(id: &str, row: &RawItem, options: &PrepareOptions, folder: Option<&Path>) -> String {
    if !row.image.is_empty() {
        let is_address = row.image.contains("://");
        let path = Path::new(&row.image);
        return match folder {
            Some(folder) if !is_address && path.is_relative() => folder.join(path).display().to_string(),
            _ => row.image.clone(),
        };
    }
    let Some(pattern) = &options.images else { return String::new() };
    // An id with a path in it must not lead out of the folder.
    if id.is_empty() || id.contains(['/', '\\']) {
        return String::new();
    }
    let path = pattern.replace("{id}", id);
    if Path::new(&path).is_file() { path } else { String::new() }
}

fn equal_time_pairs(s: &Sequences) -> usize {
    (0..s.users()).map(|u| s.times_of(u).windows(2).filter(|w| w[0] == w[1]).count()).sum()
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

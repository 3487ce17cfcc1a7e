//! From raw files to a data set: read, filter, number, describe, split.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, Numbering, describe};
use super::cut::{Cut, cut};
use super::filter::{self, Duplicates, Interaction, StepCounts, TiedPairs, Ties};
use super::log::{Log, Untimed};
use super::pictures::{Pattern, Survey, unused_pattern};
use super::report::{Misses, PrepareReport, SourceHash};
use super::source::{BadLines, GivenPart, Reading, Role, Source, SourceOptions, SourcePlan, TimeUnit};
use super::split::Split;
use super::{DataError, Dataset, Items, Part};
use crate::artefact::hash_file;

/// Everything that decides what a data set is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrepareOptions {
    pub interactions: PathBuf,
    pub log: SourceOptions,
    /// Catalogue; absent: items are known by their ids only.
    pub items: Option<PathBuf>,
    pub catalogue: SourceOptions,
    /// What one step of numeric times is; absent: found out from their size.
    pub time_unit: Option<TimeUnit>,
    pub untimed: Untimed,
    /// Absent: the file's order stands, and ties are told.
    pub ties: Option<Ties>,
    /// Where pictures lie, with `{id}` for the item's id, e.g. `posters/{id}.jpg`; [`Pattern`] says what else.
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
    /// Absent: the source's own parts where it gives them, else leave-one-out.
    pub split: Option<Split>,
    /// Tags and entities are taken out of titles and texts. Absent: they stay, and are told.
    pub strip_html: Option<bool>,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self {
            interactions: PathBuf::new(),
            log: SourceOptions::default(),
            items: None,
            catalogue: SourceOptions::default(),
            time_unit: None,
            untimed: Untimed::Refuse,
            ties: None,
            images: None,
            skip_bad: 0,
            min_value: None,
            duplicates: Duplicates::First,
            user_core: 5,
            item_core: 5,
            min_length: 3,
            catalogue_only: false,
            keep_unseen_items: false,
            split: None,
            strip_html: None,
        }
    }
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
    let allowance = BadLines { allowed: options.skip_bad, ..BadLines::default() };
    let mut log_reading = Reading::new(&options.interactions, Source::Log, &options.log, allowance)?;
    // A wrong path is told before an hour of reading.
    let catalogue_reading = options
        .items
        .as_ref()
        .map(|path| Reading::new(path, Source::Catalogue, &options.catalogue, BadLines::default()));
    let mut catalogue_reading = catalogue_reading.transpose()?;
    let files = log_reading.files().chain(catalogue_reading.iter().flat_map(Reading::files));
    let hashes = Hashes::start(files.map(Path::to_owned).collect());
    let mut steps = Vec::new();
    let mut log = Log::read(options, &mut log_reading, &mut steps, on_rows)?;
    if options.min_value.is_some() && !log_reading.plan.has_values() {
        let reason = format!("{} has no column of values", options.interactions.display());
        return Err(DataError::Option { option: "--min-value".into(), reason });
    }
    not_empty(&steps, "check the file and its format, or lower --min-value")?;
    let null_like = log.null_like();
    // Log and catalogue share one allowance of bad lines.
    let Reading { plan: mut log_plan, bad, .. } = log_reading;
    if let Some(reading) = &mut catalogue_reading {
        reading.bad = bad.clone();
    }
    let mut catalogue = None;
    if options.catalogue_only {
        let listed = Catalogue::read(options, catalogue_reading.as_mut(), &log)?;
        let known: Vec<bool> = log.item_ids.iter().map(|id| listed.rows.contains_key(id)).collect();
        log.interactions.retain(|i| known[i.item as usize]);
        steps.push(filter::counts("in the catalogue", &log.interactions));
        catalogue = Some(listed);
    }
    let kept = keep(&mut log, options, &mut steps);
    if kept.lost_targets > 0 {
        log_plan.warn(format!(
            "{} of {} validation and test rows of the given split are dropped by the steps above; --duplicates keep_all, \
             --user-core 1, --item-core 1 and --min-length 1 keep them",
            kept.lost_targets, kept.given_targets
        ));
    }
    not_empty(&steps, "lower --user-core, --item-core or --min-length")?;
    // Read last, so that only rows of items that are kept take memory.
    let catalogue =
        catalogue.map_or_else(|| Catalogue::read(options, catalogue_reading.as_mut(), &log), Ok)?;
    let (catalogue_plan, bad) = match catalogue_reading {
        Some(Reading { plan, bad, .. }) => (Some(plan), bad),
        None => (None, bad),
    };
    found_item_column(options, &log_plan, catalogue_plan.as_ref())?;
    let numbering = Numbering::of(&log, &catalogue.rows, options.keep_unseen_items);
    let Cut { sequences, users, timed, rule, short } = cut(options, &log, &numbering, &mut log_plan)?;
    let span = timed.then(|| span(&sequences.times)).flatten();
    let (items, missing_rows) = describe(&numbering, &catalogue.rows, options)?;
    let pictures = Survey::of(&items);
    let count = |part: Part| sequences.parts.iter().filter(|&&p| p == part).count();
    let empty = |column: &[String]| column[1..].iter().filter(|v| v.is_empty()).count();
    let report = PrepareReport {
        log: log_plan,
        catalogue: catalogue_plan,
        steps,
        bad_lines: bad.skipped,
        first_bad_line: bad.first,
        users_without_targets: short,
        train_interactions: count(Part::Train),
        valid_targets: count(Part::Valid),
        test_targets: count(Part::Test),
        tied_pairs: kept.tied_pairs,
        ties: options.ties,
        repeats_dropped: kept.repeats_dropped,
        exact_duplicates: kept.exact_duplicates,
        null_like_ids: null_like,
        timed,
        span,
        split: rule,
        rows_without_time: log.untimed,
        rows_without_time_dropped: log.untimed_dropped,
        catalogue_rows: catalogue.read,
        catalogue_repeated: catalogue.repeated,
        catalogue_unseen: catalogue.read - catalogue.repeated - (numbering.seen - missing_rows),
        catalogue_markup: catalogue.markup,
        first_markup: catalogue.first_markup,
        null_titles: catalogue.null_titles,
        first_null_title: catalogue.first_null_title,
        items_without_catalogue_row: missing_rows,
        catalogue_misses: catalogue.misses.as_ref().map(Misses::of),
        items_without_title: empty(&items.titles),
        items_without_category: empty(&items.categories),
        items_without_image: empty(&items.images),
        image_files_missing: pictures.lost,
        image_remarks: options
            .images
            .as_ref()
            .and_then(|pattern| unused_pattern(pattern, &items))
            .into_iter()
            .chain(pictures.remarks(items.pictures_root.as_deref()))
            .collect(),
        pictures_root: items.pictures_root.clone(),
        items_only_targets: 0,
        sources: hashes.finish()?,
    };
    let dataset = Dataset { users, items, sequences, timed, hash: String::new() };
    let report = PrepareReport { items_only_targets: dataset.target_only_items(), ..report };
    Ok((dataset, report))
}

/// First and last time, in microseconds.
fn span(times: &[i64]) -> Option<[i64; 2]> {
    Some([*times.iter().min()?, *times.iter().max()?])
}

/// Refuses options that can't act on these sources.
fn check(options: &PrepareOptions) -> Result<(), DataError> {
    let wrong = |option: &str, reason: String| Err(DataError::Option { option: option.into(), reason });
    if options.min_value.is_some_and(f64::is_nan) {
        return wrong("--min-value", "not a number".into());
    }
    if options.items.is_none() {
        let columns = &options.catalogue.columns;
        let fields = [
            (Role::Item, &columns.item),
            (Role::Title, &columns.title),
            (Role::Category, &columns.category),
            (Role::Image, &columns.image),
        ];
        let named = fields.iter().find(|(_, name)| !name.is_empty());
        let options = [
            ("--catalogue-only", options.catalogue_only),
            ("--keep-unseen-items", options.keep_unseen_items),
            ("--items-format", options.catalogue.format.is_some()),
            ("--items-delimiter", options.catalogue.delimiter.is_some()),
            ("--items-no-header", columns.no_header),
            ("--items-quoting", options.catalogue.quoting.is_some()),
            ("--items-encoding", options.catalogue.encoding.is_some()),
            ("--strip-html", options.strip_html.is_some()),
            ("--text-column", !columns.text.is_empty()),
            ("--keep-column", !columns.kept.is_empty()),
        ];
        let given = options.iter().find(|(_, given)| *given).map(|(option, _)| (*option).to_owned());
        let given =
            given.or_else(|| named.map(|(role, name)| format!("--items-column {}={name}", role.name())));
        if let Some(option) = given {
            return wrong(&option, "there is no catalogue; name one with --items FILE".into());
        }
    }
    if let Some(pattern) = &options.images {
        Pattern::parse(pattern)?;
    }
    check_kept(options)?;
    Ok(())
}

/// Columns to keep are the catalogue's, each once, and none that is kept anyway.
fn check_kept(options: &PrepareOptions) -> Result<(), DataError> {
    let kept = &options.catalogue.columns.kept;
    let wrong = |n: usize, reason: &str| DataError::Option {
        option: format!("--keep-column {}", kept[n]),
        reason: reason.into(),
    };
    for (n, name) in kept.iter().enumerate() {
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

/// A name for items that neither file has was meant for one of them.
fn found_item_column(
    options: &PrepareOptions,
    log: &SourcePlan,
    catalogue: Option<&SourcePlan>,
) -> Result<(), DataError> {
    let asked = &options.log.columns;
    let found = [Some(log), catalogue]
        .into_iter()
        .flatten()
        .any(|plan| plan.column(Role::Item).is_none_or(|chosen| !chosen.guessed));
    if asked.item.is_empty() || !asked.item_or_usual || found {
        return Ok(());
    }
    let reason = "neither the log nor the catalogue has this column".to_owned();
    Err(DataError::Option { option: format!("--column item={}", asked.item), reason })
}

/// What was seen of the interactions while they were sorted out.
struct Kept {
    tied_pairs: TiedPairs,
    exact_duplicates: usize,
    repeats_dropped: usize,
    /// Validation and test rows of a given split, and how many of them the steps dropped.
    given_targets: usize,
    lost_targets: usize,
}

/// Order, duplicates, cores, length: one count each.
fn keep(log: &mut Log, options: &PrepareOptions, steps: &mut Vec<StepCounts>) -> Kept {
    let Log { interactions, user_ids, item_ids, given, .. } = log;
    match options.ties.unwrap_or_default() {
        Ties::Source => filter::sort(interactions),
        Ties::Hash => filter::sort_by_hash(interactions, user_ids, item_ids),
    }
    let given = given.as_ref().filter(|_| matches!(options.split, None | Some(Split::Given)));
    let targets = |interactions: &[Interaction]| {
        let target = |i: &&Interaction| given.is_some_and(|given| given.part(i) != GivenPart::Train);
        interactions.iter().filter(target).count()
    };
    let given_targets = targets(interactions);
    if let Some(given) = given {
        // Stable: within a part the order above stays.
        interactions.sort_by_cached_key(|i| (i.user, given.part(i)));
    }
    let before = interactions.len();
    filter::deduplicate(interactions, options.duplicates);
    let one_each = matches!(options.duplicates, Duplicates::First | Duplicates::Last);
    let repeats_dropped = if one_each { before - interactions.len() } else { 0 };
    steps.push(filter::counts(&format!("duplicates ({})", options.duplicates.name()), interactions));
    filter::k_core(interactions, options.user_core, options.item_core);
    let core = format!("core (user {}, item {})", options.user_core, options.item_core);
    steps.push(filter::counts(&core, interactions));
    filter::minimum_length(interactions, options.min_length);
    steps.push(filter::counts(&format!("length {} or more", options.min_length), interactions));
    Kept {
        tied_pairs: TiedPairs::of(interactions, item_ids),
        exact_duplicates: filter::exact_duplicates(interactions),
        repeats_dropped,
        given_targets,
        lost_targets: given_targets - targets(interactions),
    }
}

fn not_empty(steps: &[StepCounts], advice: &'static str) -> Result<(), DataError> {
    match steps.iter().find(|s| s.interactions == 0) {
        Some(empty) => Err(DataError::Empty { step: empty.step.clone(), advice }),
        None => Ok(()),
    }
}

/// SHA-256 of the sources, computed beside the reading: both take seconds a gigabyte.
struct Hashes(Vec<PathBuf>, Option<JoinHandle<Result<Vec<SourceHash>, DataError>>>);

impl Hashes {
    /// When the reading fails, nobody waits for the thread: it only reads.
    fn start(files: Vec<PathBuf>) -> Self {
        let own = files.clone();
        Self(files, std::thread::Builder::new().spawn(move || source_hashes(&own)).ok())
    }

    fn finish(self) -> Result<Vec<SourceHash>, DataError> {
        // Without a thread it is done now.
        self.1.and_then(|thread| thread.join().ok()).unwrap_or_else(|| source_hashes(&self.0))
    }
}

fn source_hashes(files: &[PathBuf]) -> Result<Vec<SourceHash>, DataError> {
    let hash = |path: &PathBuf| {
        let (sha256, bytes) = hash_file(path)?;
        Ok(SourceHash { path: path.clone(), bytes, sha256 })
    };
    files.iter().map(hash).collect()
}

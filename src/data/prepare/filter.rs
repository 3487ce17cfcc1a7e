//! Step 2, `filter`: which interactions stay, and the catalogue rows of their items.
//!
//! Rules and algorithms are those of [`crate::data::filter`]; their order is fixed here. The catalogue is read in this
//! step: with `catalogue_only` its ids decide what stays; otherwise it's read last, so that only rows of items that stay
//! take memory.

use super::catalogue::Catalogue;
use super::options::{PrepareOptions, wrong};
use super::read::{Log, NullLike, RawLog};
use super::sources::SourceHashes;
use crate::data::DataError;
use crate::data::filter::{self, Duplicates, Interaction, StepCounts, TiedPairs, Ties};
use crate::data::source::{BadLines, GivenPart, Reading, Role, SourcePlan};
use crate::data::split::Split;

/// The interactions that stay, by user and in order of time, and what is known of their items.
pub(super) struct FilteredLog {
    pub log: Log,
    pub catalogue: Catalogue,
    /// How log and catalogue were read.
    pub plan: SourcePlan,
    pub catalogue_plan: Option<SourcePlan>,
    /// Malformed lines of both.
    pub bad: BadLines,
    pub sources: SourceHashes,
    /// One entry for the reading and one for each rule.
    pub steps: Vec<StepCounts>,
    pub tied_pairs: TiedPairs,
    /// Rows that stay and repeat another in user, item and time.
    pub exact_duplicates: usize,
    /// Interactions that a rule of one per user and item dropped.
    pub repeats_dropped: usize,
    /// As in [`RawLog`].
    pub null_like: Vec<NullLike>,
    pub untimed: u64,
    pub untimed_dropped: u64,
}

/// Applies the options' rules in order: catalogue, duplicates, cores, length.
///
/// # Errors
/// No interaction is left, the catalogue can't be read, or it shares no item with the log.
pub(super) fn filter(raw: RawLog<'_>, options: &PrepareOptions) -> Result<FilteredLog, DataError> {
    let RawLog { mut log, mut plan, bad, catalogue: mut reading, .. } = raw;
    if let Some(reading) = &mut reading {
        reading.bad = bad.clone();
    }
    let mut steps = vec![raw.counts];
    let mut catalogue = None;
    if options.catalogue_only {
        let listed = Catalogue::read(options, reading.as_mut(), &log)?;
        let known: Vec<bool> = log.item_ids.iter().map(|id| listed.rows.contains_key(id)).collect();
        log.interactions.retain(|i| known[i.item.index()]);
        steps.push(filter::counts("in the catalogue", &log.interactions));
        catalogue = Some(listed);
    }
    sort(&mut log, options);
    let given_targets = count_given_targets(&log, options);
    let repeats_dropped = deduplicate(&mut log.interactions, options.duplicates, &mut steps);
    apply_cores(&mut log.interactions, options, &mut steps);
    let lost_targets = given_targets - count_given_targets(&log, options);
    if lost_targets > 0 {
        plan.warn(format!(
            "{lost_targets} of {given_targets} validation and test rows of the given split are dropped by the steps above; \
             --duplicates keep_all, --user-core 1, --item-core 1 and --min-length 1 keep them"
        ));
    }
    steps.iter().try_for_each(|s| s.check_not_empty("lower --user-core, --item-core or --min-length"))?;
    let tied_pairs = TiedPairs::count(&log.interactions, &log.item_ids);
    let exact_duplicates = filter::exact_duplicates(&log.interactions);
    let catalogue = catalogue.map_or_else(|| Catalogue::read(options, reading.as_mut(), &log), Ok)?;
    let (catalogue_plan, bad) = match reading {
        Some(Reading { plan, bad, .. }) => (Some(plan), bad),
        None => (None, bad),
    };
    check_item_column(options, &plan, catalogue_plan.as_ref())?;
    Ok(FilteredLog {
        log,
        catalogue,
        plan,
        catalogue_plan,
        bad,
        sources: raw.sources,
        steps,
        tied_pairs,
        exact_duplicates,
        repeats_dropped,
        null_like: raw.null_like,
        untimed: raw.untimed,
        untimed_dropped: raw.untimed_dropped,
    })
}

/// Sorts by user, then by part where the split is given, then by time.
fn sort(log: &mut Log, options: &PrepareOptions) {
    match options.ties.unwrap_or_default() {
        Ties::Source => filter::sort(&mut log.interactions),
        Ties::Hash => filter::sort_by_hash(&mut log.interactions, &log.user_ids, &log.item_ids),
    }
    if follows_given_split(options)
        && let Some(given) = &log.given
    {
        // Stable: within a part the order above stays.
        log.interactions.sort_by_cached_key(|i| (i.user, given.part(i)));
    }
}

/// Whether the source's own parts are used where it has some.
fn follows_given_split(options: &PrepareOptions) -> bool {
    matches!(options.split, None | Some(Split::Given))
}

/// Validation and test rows of a given split that is used; 0 without one.
fn count_given_targets(log: &Log, options: &PrepareOptions) -> usize {
    let Some(given) = log.given.as_ref().filter(|_| follows_given_split(options)) else { return 0 };
    log.interactions.iter().filter(|i| given.part(i) != GivenPart::Train).count()
}

/// Returns how many interactions a rule of one per user and item dropped.
fn deduplicate(log: &mut Vec<Interaction>, rule: Duplicates, steps: &mut Vec<StepCounts>) -> usize {
    let count = log.len();
    filter::deduplicate(log, rule);
    steps.push(filter::counts(&format!("duplicates ({})", rule.name()), log));
    if matches!(rule, Duplicates::First | Duplicates::Last) { count - log.len() } else { 0 }
}

fn apply_cores(log: &mut Vec<Interaction>, options: &PrepareOptions, steps: &mut Vec<StepCounts>) {
    let PrepareOptions { user_core, item_core, min_length, .. } = *options;
    filter::k_core(log, user_core, item_core);
    steps.push(filter::counts(&format!("core (user {user_core}, item {item_core})"), log));
    filter::minimum_length(log, min_length);
    steps.push(filter::counts(&format!("length {min_length} or more"), log));
}

/// Refuses a name for the item column that neither file has: it was meant for one of them.
fn check_item_column(
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
    let option = format!("--column item={}", asked.item);
    Err(wrong(option, "neither the log nor the catalogue has this column"))
}

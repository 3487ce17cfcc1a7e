//! Step 5, `report`: the data set, and what the preparation did and saw.
//!
//! `codistill prepare` prints the report and stores it as `report.json` beside the data set.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::attach::DescribedLog;
use super::filter::FilteredLog;
use super::number::NumberedLog;
use super::options::PrepareOptions;
use super::read::NullLike;
use super::sources::SourceHash;
use crate::data::filter::{StepCounts, TiedPairs, Ties};
use crate::data::join::{Cause, Explanation};
use crate::data::source::SourcePlan;
use crate::data::split::Split;
use crate::data::{DataError, Dataset, Part, TrainedOn};

/// What a preparation did, step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrepareReport {
    /// How the log and the catalogue were read: columns, units, separators, and which of them were guessed.
    pub log: SourcePlan,
    pub catalogue: Option<SourcePlan>,
    pub steps: Vec<StepCounts>,
    /// Number of lines that were skipped, and the first of them.
    pub bad_lines: u64,
    pub first_bad_line: Option<String>,
    /// Number of users too short to have targets; they are trained on.
    pub users_without_targets: usize,
    pub train_interactions: usize,
    pub valid_targets: usize,
    pub test_targets: usize,
    /// Neighbouring interactions of a user, and those with the same time.
    pub tied_pairs: TiedPairs,
    /// The rule for equal times, where one was asked for.
    #[serde(default)]
    pub ties: Option<Ties>,
    /// Interactions that the rule for duplicates dropped, where it keeps one of each user and item.
    #[serde(default)]
    pub repeats_dropped: usize,
    /// Kept rows that repeat another in user, item and time.
    pub exact_duplicates: usize,
    /// Ids that look like missing values, with their interactions.
    pub null_like_ids: Vec<NullLike>,
    /// Whether times are times, not places in the log.
    pub timed: bool,
    /// First and last time of the kept interactions, in microseconds since 1970; absent without times.
    #[serde(default)]
    pub span: Option<[i64; 2]>,
    /// The split that was followed.
    pub split: Split,
    /// Rows whose place in the log stands for their time, and rows that were left out for want of one.
    pub rows_without_time: u64,
    pub rows_without_time_dropped: u64,
    /// Catalogue rows; those that repeat a described item; and those whose item has no kept interaction.
    pub catalogue_rows: usize,
    pub catalogue_repeated: usize,
    pub catalogue_unseen: usize,
    /// Rows with HTML in title or text where no option settles what to do with it, and the first.
    #[serde(default)]
    pub catalogue_markup: usize,
    #[serde(default)]
    pub first_markup: Option<String>,
    /// Rows whose title looks like a missing value, and the first.
    #[serde(default)]
    pub null_titles: usize,
    #[serde(default)]
    pub first_null_title: Option<String>,
    pub items_without_catalogue_row: usize,
    /// Why ids of the log and of the catalogue match less than one may expect.
    pub catalogue_misses: Option<Misses>,
    /// Items that occur as validation or test targets and never in training: their ID vectors stay random.
    #[serde(default)]
    pub items_only_targets: usize,
    pub items_without_title: usize,
    pub items_without_category: usize,
    /// Items for which neither the catalogue nor the pattern gives a picture.
    pub items_without_image: usize,
    /// Items whose picture is a path that leads to no file. Addresses aren't followed.
    pub image_files_missing: usize,
    /// Folder at which relative picture paths begin; absent where there are none.
    #[serde(default)]
    pub pictures_root: Option<PathBuf>,
    /// Warnings about picture paths that lead to no file, with the remedy.
    #[serde(default)]
    pub image_remarks: Vec<String>,
    /// SHA-256 of every source file.
    pub sources: Vec<SourceHash>,
}

/// A join that matched little.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misses {
    pub matched: usize,
    /// Items that would match if their ids were written alike.
    pub mendable: usize,
    pub causes: Vec<Cause>,
    /// Counts, examples of both sides and the cause, for people.
    pub message: String,
    pub remedy: Option<String>,
}

impl Misses {
    fn new(found: &Explanation) -> Self {
        Self {
            matched: found.matched,
            mendable: found.mendable,
            causes: found.causes.clone(),
            message: found.to_string(),
            remedy: found.hint(),
        }
    }
}

/// Assembles the data set, whose hash is known once it's written, and the report.
///
/// # Errors
/// A source file can't be hashed.
pub(super) fn report(
    described: DescribedLog,
    options: &PrepareOptions,
) -> Result<(Dataset, PrepareReport), DataError> {
    let DescribedLog { numbered, items, undescribed, lost_pictures, picture_remarks } = described;
    let NumberedLog { filtered, sequences, users, seen, timed, split, short, .. } = numbered;
    let FilteredLog { catalogue, .. } = filtered;
    let empty = |column: &[String]| column[1..].iter().filter(|v| v.is_empty()).count();
    let report = PrepareReport {
        log: filtered.plan,
        catalogue: filtered.catalogue_plan,
        steps: filtered.steps,
        bad_lines: filtered.bad.skipped,
        first_bad_line: filtered.bad.first,
        users_without_targets: short,
        train_interactions: sequences.count(Part::Train),
        valid_targets: sequences.count(Part::Valid),
        test_targets: sequences.count(Part::Test),
        tied_pairs: filtered.tied_pairs,
        ties: options.ties,
        repeats_dropped: filtered.repeats_dropped,
        exact_duplicates: filtered.exact_duplicates,
        null_like_ids: filtered.null_like,
        timed,
        span: timed.then(|| span(&sequences.times)).flatten(),
        split,
        rows_without_time: filtered.untimed,
        rows_without_time_dropped: filtered.untimed_dropped,
        catalogue_rows: catalogue.read,
        catalogue_repeated: catalogue.repeated,
        catalogue_unseen: catalogue.read - catalogue.repeated - (seen - undescribed),
        catalogue_markup: catalogue.markup,
        first_markup: catalogue.first_markup,
        null_titles: catalogue.null_titles,
        first_null_title: catalogue.first_null_title,
        items_without_catalogue_row: undescribed,
        catalogue_misses: catalogue.misses.as_ref().map(Misses::new),
        items_only_targets: 0,
        items_without_title: empty(&items.titles),
        items_without_category: empty(&items.categories),
        items_without_image: empty(&items.images),
        image_files_missing: lost_pictures,
        pictures_root: items.pictures_root.clone(),
        image_remarks: picture_remarks,
        sources: filtered.sources.finish()?,
    };
    let dataset =
        Dataset { users, items, sequences, timed, hash: String::new(), trained_on: TrainedOn::default() };
    let report = PrepareReport { items_only_targets: dataset.target_only_items(), ..report };
    Ok((dataset, report))
}

/// First and last time, in microseconds.
fn span(times: &[i64]) -> Option<[i64; 2]> {
    Some([*times.iter().min()?, *times.iter().max()?])
}

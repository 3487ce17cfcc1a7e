//! Streaming readers of raw interaction logs and item catalogues, one module a format.
//!
//! `prepare` reads both. [`Reading::new`] detects what a source is; [`read_interactions`] and [`read_items`] pass its rows to
//! a closure, one at a time and in file order, so that memory doesn't grow with the file. A path may be a directory of part
//! files. Text files may be gzipped. Malformed rows are counted in [`BadLines`].

mod bad_lines;
mod delimited;
mod detect;
mod encoding;
mod error;
mod folder;
mod format;
mod given_part;
mod guess;
mod header;
mod item_lists;
mod json_lines;
mod json_rows;
mod json_slots;
mod lines;
mod movielens_dat;
mod names;
mod nested;
mod options;
mod parquet;
mod places;
mod plan;
mod roles;
mod sequences;
#[cfg(test)]
mod tests;
pub mod time;
mod value;

pub use bad_lines::BadLines;
pub use delimited::Quoting;
pub use error::{Fault, FaultKind, SourceError};
pub use format::{Format, Source};
pub use given_part::GivenPart;
pub use names::ChosenColumn;
pub(crate) use nested::kept_text;
pub use options::{Columns, Reading, SourceOptions};
pub use plan::SourcePlan;
pub(crate) use roles::plain;
pub use roles::{Role, is_item_column, may_name_parts};
pub use time::{RawTime, TimeColumn, TimeUnit};

/// One interaction as the file gave it. Ids are never empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawInteraction<'a> {
    pub user: &'a str,
    pub item: &'a str,
    /// Absent where the source has no column of times.
    pub time: Option<RawTime>,
    /// The rating; finite.
    pub value: Option<f64>,
    /// The part of the split, where the source comes in such parts.
    pub part: Option<GivenPart>,
}

/// One catalogue row. Absent fields are empty; the id never is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawItem {
    pub id: String,
    pub title: String,
    /// Further text fields joined by a space, without the title.
    pub text: String,
    /// Several are joined by `|`, as MovieLens writes genres.
    pub category: String,
    /// Path or address as the source gives it.
    pub image: String,
    /// One field for each of [`Columns::kept`].
    pub kept: Vec<String>,
}

/// A consumer of rows, passed down by every reader. A row that it refuses is a malformed line too.
type OnInteraction<'a> = &'a mut dyn FnMut(RawInteraction<'_>) -> Result<(), Fault>;
type OnItem<'a> = &'a mut dyn FnMut(RawItem) -> Result<(), Fault>;

/// Calls `row` with every interaction of the source, in file order. Returns their number.
///
/// # Errors
/// A file that can't be read, lacks a column, has columns of wrong types, or has more malformed rows than
/// `reading.bad` allows.
pub fn read_interactions(
    reading: &mut Reading<'_>,
    row: &mut dyn FnMut(RawInteraction<'_>) -> Result<(), Fault>,
) -> Result<u64, SourceError> {
    let mut rows = 0;
    for file in reading.files.clone() {
        rows += match reading.plan.format {
            Format::Delimited | Format::Atomic | Format::MovielensCsv => {
                delimited::interactions(&file, reading, row)
            }
            Format::MovielensDat => movielens_dat::interactions(&file, reading, row),
            Format::JsonLines => json_lines::interactions(&file, reading, row),
            Format::Parquet => parquet::interactions(&file, reading, row),
            Format::Sequences => sequences::interactions(&file, reading, row),
        }?;
    }
    if let Some(lists) = reading.lists.take() {
        rows += lists.finish(row).map_err(|fault| fault.error(&reading.plan.path, 0))?;
    }
    reading.warn_of_tallies();
    Ok(rows)
}

/// Calls `row` with every catalogue row of the source, in file order. Returns their number.
///
/// # Errors
/// As [`read_interactions`]; [`Format::Sequences`] has no catalogue.
pub fn read_items(
    reading: &mut Reading<'_>,
    row: &mut dyn FnMut(RawItem) -> Result<(), Fault>,
) -> Result<u64, SourceError> {
    let mut rows = 0;
    for file in reading.files.clone() {
        rows += match reading.plan.format {
            Format::Delimited | Format::Atomic | Format::MovielensCsv => {
                delimited::items(&file, reading, row)
            }
            Format::MovielensDat => movielens_dat::items(&file, reading, row),
            Format::JsonLines => json_lines::items(&file, reading, row),
            Format::Parquet => parquet::items(&file, reading, row),
            format @ Format::Sequences => {
                return Err(SourceError::Unsupported { path: file.path, format, what: "catalogue" });
            }
        }?;
    }
    reading.warn_of_tallies();
    Ok(rows)
}

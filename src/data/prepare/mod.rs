//! From raw files to a data set, in five steps, each in its own file.
//!
//! `codistill prepare` and the benchmark call [`prepare`] and write its result with
//! [`write_dataset`](super::write_dataset). An interaction passes each step once: `read` makes numbers of raw ids,
//! `filter` drops interactions, `number` gives items their final numbers and users their sequences, `attach`
//! describes the items, and `report` assembles the data set and its report.

mod attach;
mod catalogue;
mod filter;
mod given;
mod number;
mod options;
mod read;
mod report;
mod sources;
mod warnings;

use attach::attach;
use filter::filter;
use number::number;
pub use options::{PrepareOptions, Untimed};
pub use read::NullLike;
use read::read;
use report::report;
pub use report::{Misses, PrepareReport};
pub use sources::SourceHash;

use super::{DataError, Dataset};

/// Prepares a data set. `on_rows` gets the number of rows read so far, now and then.
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
    options.check()?;
    let raw = read(options, on_rows)?;
    let filtered = filter(raw, options)?;
    let numbered = number(filtered, options)?;
    let described = attach(numbered, options)?;
    report(described, options)
}

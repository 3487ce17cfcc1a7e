//! Lines of a user and its items in time order: `user TAB item item …` or `user item item …`.

use super::error::Fault;
use super::folder::SourceFile;
use super::lines::utf8;
use super::{OnInteraction, RawInteraction, Reading, SourceError};

pub(super) fn interactions(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    row: OnInteraction<'_>,
) -> Result<u64, SourceError> {
    reading.lines(&file.path)?.rows(&mut reading.bad, |number, line| {
        let line = utf8(line)?;
        if number == 1 && is_header(line) {
            return Ok(0);
        }
        // A tab lets user ids have spaces in them.
        let (user, items) = match line.split_once('\t') {
            Some((user, items)) => (user.trim(), items),
            None => line.trim().split_once(' ').unwrap_or((line.trim(), "")),
        };
        if user.is_empty() {
            return Err(Fault::column("user", "empty id"));
        }
        let mut rows = 0;
        for item in items.split_ascii_whitespace() {
            row(RawInteraction { user, item, time: None, value: None, part: file.part })?;
            rows += 1;
        }
        if rows == 0 { Err(Fault::new("a user without items")) } else { Ok(rows) }
    })
}

/// Whether a line holds column names instead of a user and its items.
pub(super) fn is_header(line: &str) -> bool {
    let first = line.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    matches!(first.as_str(), "user" | "users" | "user_id" | "userid" | "uid")
}

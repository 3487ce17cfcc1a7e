//! The allowance of malformed lines.

use std::path::Path;

use super::error::{Fault, SourceError};

/// Number of malformed rows that were skipped, and how many may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadLines {
    /// Most rows that may be skipped; one more ends the reading.
    pub allowed: u64,
    pub skipped: u64,
    /// Message of the first one: file, line, column, reason.
    pub first: Option<String>,
}

impl BadLines {
    /// Skips a malformed row.
    ///
    /// # Errors
    /// The allowance is used up.
    pub(super) fn count(&mut self, path: &Path, line: u64, fault: Fault) -> Result<(), SourceError> {
        if self.skipped >= self.allowed {
            let error = fault.error(path, line);
            return Err(match &self.first {
                Some(first) => SourceError::TooManyBad {
                    skipped: self.skipped,
                    first: first.clone(),
                    error: Box::new(error),
                },
                None => error,
            });
        }
        self.skipped += 1;
        if self.first.is_none() {
            self.first = Some(fault.error(path, line).to_string());
        }
        Ok(())
    }
}

//! How a source was read: what was asked for, what was guessed, what was left out.
//!
//! Readers fill it in; `prepare` prints it and stores it in the data set's report.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::names::ChosenColumn;
use super::roles::Role;
use super::{Format, Quoting, time::TimeUnit};

/// The reading of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourcePlan {
    pub path: PathBuf,
    pub format: Format,
    /// Whether the format was detected; otherwise it was asked for.
    pub format_guessed: bool,
    /// The separator between fields, where the format has one.
    pub delimiter: Option<char>,
    /// The meaning of quotes in a delimited file.
    pub quoting: Option<Quoting>,
    pub quoting_guessed: bool,
    /// The text's encoding, where it isn't UTF-8.
    pub encoding: Option<String>,
    pub columns: Vec<ChosenColumn>,
    /// Columns that no role was found for.
    pub unread: Vec<String>,
    /// Roles without a column, by the user's choice.
    pub without: Vec<Role>,
    /// Unit of the times; absent where they are dates, or where there are none.
    pub time_unit: Option<TimeUnit>,
    pub time_unit_guessed: bool,
    /// How rows become interactions, where it isn't one to one.
    pub notes: Vec<String>,
    /// A catalogue in the folder of a log.
    pub catalogue_beside: Option<PathBuf>,
    /// Warnings, which `--strict` turns into errors.
    pub warnings: Vec<String>,
}

impl Default for SourcePlan {
    fn default() -> Self {
        Self::new(Path::new(""), Format::Delimited, true)
    }
}

impl SourcePlan {
    pub fn new(path: &Path, format: Format, format_guessed: bool) -> Self {
        Self {
            path: path.to_owned(),
            format,
            format_guessed,
            delimiter: None,
            quoting: None,
            quoting_guessed: true,
            encoding: None,
            columns: Vec::new(),
            unread: Vec::new(),
            without: Vec::new(),
            time_unit: None,
            time_unit_guessed: true,
            notes: Vec::new(),
            catalogue_beside: None,
            warnings: Vec::new(),
        }
    }

    /// The column of a role; formats with fixed places have none.
    pub fn column(&self, role: Role) -> Option<&ChosenColumn> {
        self.columns.iter().find(|chosen| chosen.role == role)
    }

    /// Whether rows may have a value (a rating).
    pub fn has_values(&self) -> bool {
        match self.format {
            Format::MovielensDat => true,
            Format::Sequences => false,
            _ => self.column(Role::Value).is_some(),
        }
    }

    /// Adds a remark on how rows become interactions, once.
    pub(super) fn remark(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Adds a warning, once.
    pub(in crate::data) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

//! What was asked of a source, and the state of its reading.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::names::Role;
use super::{BadLines, Format, SourceError, SourcePlan, detect};

/// Names of columns; empty ones mean the usual names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    pub user: String,
    pub item: String,
    pub time: String,
    pub value: String,
    pub part: String,
    pub title: String,
    /// Further text columns, in the order in which they are joined.
    pub text: Vec<String>,
    pub category: String,
    pub image: String,
    /// Columns of a catalogue that the data set keeps as they stand.
    pub kept: Vec<String>,
    /// Roles that no column is to be taken for.
    pub without: Vec<Role>,
    /// There is no header line: columns are named by their places, from 1.
    pub no_header: bool,
    /// The name for items is taken where the file has it, and else its usual names count: it may be meant for the
    /// other file.
    pub item_or_usual: bool,
    /// Roles that an option acts on, with its name: a log without them is refused.
    #[serde(skip)]
    pub needed: Vec<(Role, &'static str)>,
}

/// How a source is to be read. What is absent is found out from the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceOptions {
    pub format: Option<Format>,
    pub columns: Columns,
    /// Between the fields of a delimited file.
    pub delimiter: Option<char>,
    /// How times are written, as `strptime` has it; absent: numbers and ISO 8601.
    pub time_format: Option<String>,
}

/// A source while it is read: what was asked for, what was found, what was passed over.
#[derive(Debug)]
pub struct Reading<'a> {
    pub options: &'a SourceOptions,
    pub plan: SourcePlan,
    pub bad: BadLines,
}

/// Which of the two files of a data set a source is; their options have names of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Log,
    Catalogue,
}

impl<'a> Reading<'a> {
    /// The format is found out now, so that a wrong path is told before an hour of reading.
    ///
    /// # Errors
    /// As [`detect`]; or an option has no effect on this format.
    pub fn new(
        path: &Path,
        source: Source,
        options: &'a SourceOptions,
        bad: BadLines,
    ) -> Result<Self, SourceError> {
        let format = options.format.map_or_else(|| detect(path), Ok)?;
        if let Some(option) = options.idle(source, format) {
            return Err(SourceError::NoEffect { path: path.to_owned(), option, format });
        }
        Ok(Self { options, plan: SourcePlan::new(path, format, options.format.is_none()), bad })
    }
}

impl SourceOptions {
    /// An option that was given and can't act on a format.
    fn idle(&self, source: Source, format: Format) -> Option<String> {
        let catalogue = source == Source::Catalogue;
        let option = |log: &str, items: &str| if catalogue { items.to_owned() } else { log.to_owned() };
        let columns = &self.columns;
        if self.delimiter.is_some() && format != Format::Delimited {
            return Some(option("--delimiter", "--items-delimiter"));
        }
        if columns.no_header && format != Format::Delimited {
            return Some(option("--no-header", "--items-no-header"));
        }
        if !format.names_columns() {
            let named = [
                (Role::User, &columns.user),
                (Role::Item, &columns.item),
                (Role::Time, &columns.time),
                (Role::Value, &columns.value),
                (Role::Part, &columns.part),
                (Role::Title, &columns.title),
                (Role::Category, &columns.category),
                (Role::Image, &columns.image),
            ];
            let (role, name) = named.into_iter().find(|(_, name)| !name.is_empty()).or_else(|| {
                let texts = columns.text.iter().map(|name| (Role::Text, name));
                texts.chain(columns.kept.iter().map(|name| (Role::Kept, name))).next()
            })?;
            return Some(match role {
                Role::Text => format!("--text-column {name}"),
                Role::Kept => format!("--keep-column {name}"),
                role => format!("{} {}={name}", option("--column", "--items-column"), role.name()),
            });
        }
        None
    }
}

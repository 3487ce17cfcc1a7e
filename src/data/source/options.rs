//! The options of a source, and the state of its reading.

use std::path::Path;

use encoding_rs::Encoding;
use serde::{Deserialize, Serialize};

use super::folder::SourceFile;
use super::item_lists::ItemLists;
use super::lines::Lines;
use super::roles::Role;
use super::{BadLines, Format, Quoting, Source, SourceError, SourcePlan, detect, encoding, folder};

/// Names of columns; the usual names where they are empty.
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
    /// Roles that no column has.
    pub without: Vec<Role>,
    /// Whether there is no header line, so that columns are named by their places, from 1.
    pub no_header: bool,
    /// Whether usual names are tried where the file lacks the item column asked for, which may be meant for the other file.
    pub item_or_usual: bool,
    /// Roles that an option depends on, with its name: a log without them is refused.
    #[serde(skip)]
    pub needed: Vec<(Role, &'static str)>,
}

/// How a source is to be read. What is absent is detected from the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceOptions {
    pub format: Option<Format>,
    pub columns: Columns,
    /// The separator between the fields of a delimited file.
    pub delimiter: Option<char>,
    /// The meaning of quotes in a delimited file.
    pub quoting: Option<Quoting>,
    /// A label of the WHATWG's list, e.g. `windows-1252`. Where it's absent, a byte order mark decides, else it's UTF-8.
    pub encoding: Option<String>,
    /// The format of times in `strptime`'s syntax; numbers and ISO 8601 where it's absent.
    pub time_format: Option<String>,
}

/// A source while it is read: its options, what was found, what was skipped.
#[derive(Debug)]
pub struct Reading<'a> {
    pub options: &'a SourceOptions,
    pub plan: SourcePlan,
    pub bad: BadLines,
    pub(super) files: Vec<SourceFile>,
    encoding: Option<&'static Encoding>,
    /// Sequences reassembled from rows with lists of items.
    pub(super) lists: Option<ItemLists>,
    /// Number of records with a quote that is taken for a character and may not be meant as one.
    pub(super) open_quotes: u64,
    /// Number of records with text behind a closing quote.
    pub(super) odd_quotes: u64,
    /// Number of lines with a carriage return in them.
    pub(super) returns: u64,
}

impl<'a> Reading<'a> {
    /// Lists the files and detects their format, so that a wrong path is reported before an hour of reading.
    ///
    /// # Errors
    /// A path that can't be read, a format that can't be detected, an option that has no effect on the format, or an unknown
    /// encoding.
    pub fn new(
        path: &Path,
        source: Source,
        options: &'a SourceOptions,
        bad: BadLines,
    ) -> Result<Self, SourceError> {
        let encoding = options.encoding.as_deref().map(encoding::from_label).transpose()?;
        let listing = folder::list(path, source, options.format)?;
        let format = match (options.format, listing.files.first()) {
            (Some(format), _) => format,
            (None, Some(first)) => detect::detect_format(&first.path, source, options, encoding)?,
            (None, None) => return Err(SourceError::NoFiles { path: path.to_owned() }),
        };
        if let Some(option) = options.idle(source, format) {
            return Err(SourceError::NoEffect { path: path.to_owned(), option, format });
        }
        let mut plan = SourcePlan::new(path, format, options.format.is_none());
        listing.warnings.into_iter().for_each(|warning| plan.warn(warning));
        plan.catalogue_beside = listing.catalogue;
        Ok(Self {
            options,
            plan,
            bad,
            files: listing.files,
            encoding,
            lists: None,
            open_quotes: 0,
            odd_quotes: 0,
            returns: 0,
        })
    }

    /// The files that are read, in reading order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// Turns the counts of odd records and lines into warnings.
    pub(super) fn warn_of_tallies(&mut self) {
        let n = std::mem::take(&mut self.open_quotes);
        if n > 0 {
            self.plan.warn(format!(
                "{n} records have a field that begins with a quote and doesn't close it: it is read as it stands; \
                 --quoting csv reads quotes that run over tabs and lines, --quoting none takes all as characters \
                 (--items-quoting for a catalogue)"
            ));
        }
        let n = std::mem::take(&mut self.odd_quotes);
        if n > 0 {
            self.plan.warn(format!(
                "{n} records have text behind a closing quote: a stray quote may have swallowed fields and lines; \
                 --quoting fields takes quotes for such only where a field closes itself, --quoting none takes all as \
                 characters (--items-quoting for a catalogue)"
            ));
        }
        let n = std::mem::take(&mut self.returns);
        if n > 0 {
            self.plan.warn(format!(
                "{n} lines have a carriage return in them, which is taken for a character; other programs begin a \
                 record there"
            ));
        }
    }

    /// Opens a text file and records its encoding in the plan.
    pub(super) fn lines(&mut self, path: &Path) -> Result<Lines, SourceError> {
        let lines = Lines::open(path, self.encoding)?;
        if let Some(encoding) = lines.encoding() {
            self.plan.encoding = Some(encoding.to_owned());
        }
        Ok(lines)
    }
}

impl SourceOptions {
    /// An option that was given and has no effect on a format.
    fn idle(&self, source: Source, format: Format) -> Option<String> {
        let catalogue = source == Source::Catalogue;
        let option = |log: &str, items: &str| if catalogue { items.to_owned() } else { log.to_owned() };
        let columns = &self.columns;
        if self.delimiter.is_some() && format != Format::Delimited {
            return Some(option("--delimiter", "--items-delimiter"));
        }
        if self.quoting.is_some() && !matches!(format, Format::Delimited | Format::Atomic) {
            return Some(option("--quoting", "--items-quoting"));
        }
        if self.encoding.is_some() && format == Format::Parquet {
            return Some(option("--encoding", "--items-encoding"));
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

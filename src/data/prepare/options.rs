//! What `prepare` is asked to do, and the options that contradict each other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::filter::{Duplicates, Ties};
use crate::data::pictures::Pattern;
use crate::data::source::{Role, SourceOptions, TimeUnit};
use crate::data::split::Split;
use crate::data::{DataError, Items};

/// Everything that decides what a data set is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrepareOptions {
    pub interactions: PathBuf,
    pub log: SourceOptions,
    /// The catalogue; where it is absent, items are known by their ids only.
    pub items: Option<PathBuf>,
    pub catalogue: SourceOptions,
    /// The unit of numeric times; detected from their size where absent.
    pub time_unit: Option<TimeUnit>,
    pub untimed: Untimed,
    /// The order of equal times. Where it is absent, the file's order stands and ties are reported.
    pub ties: Option<Ties>,
    /// Where pictures lie, with `{id}` for the item's id, e.g. `posters/{id}.jpg`; see [`Pattern`] for the syntax.
    pub images: Option<String>,
    /// Number of malformed lines that are skipped before one is an error.
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
    /// Whether tags and entities are removed from titles and texts. Where it is absent, they stay and are reported.
    pub strip_html: Option<bool>,
}

/// What happens to rows whose time is empty in a log that has times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untimed {
    /// The first one is a malformed line. Default, because its place in a history is unknown.
    #[default]
    Refuse,
    /// They are left out.
    Drop,
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

impl PrepareOptions {
    /// Refuses options that can't take effect on these sources.
    ///
    /// # Errors
    /// [`DataError::Option`] or [`DataError::Pattern`], which name the option.
    pub(super) fn check(&self) -> Result<(), DataError> {
        if self.min_value.is_some_and(f64::is_nan) {
            return Err(wrong("--min-value", "not a number"));
        }
        if self.items.is_none()
            && let Some(option) = self.catalogue_option()
        {
            return Err(wrong(option, "there is no catalogue; name one with --items FILE"));
        }
        if let Some(pattern) = &self.images {
            Pattern::parse(pattern)?;
        }
        self.check_kept_columns()
    }

    /// The first given option that only a catalogue gives effect to.
    fn catalogue_option(&self) -> Option<String> {
        let columns = &self.catalogue.columns;
        let flags = [
            ("--catalogue-only", self.catalogue_only),
            ("--keep-unseen-items", self.keep_unseen_items),
            ("--items-format", self.catalogue.format.is_some()),
            ("--items-delimiter", self.catalogue.delimiter.is_some()),
            ("--items-no-header", columns.no_header),
            ("--items-quoting", self.catalogue.quoting.is_some()),
            ("--items-encoding", self.catalogue.encoding.is_some()),
            ("--strip-html", self.strip_html.is_some()),
            ("--text-column", !columns.text.is_empty()),
            ("--keep-column", !columns.kept.is_empty()),
        ];
        let roles = [
            (Role::Item, &columns.item),
            (Role::Title, &columns.title),
            (Role::Category, &columns.category),
            (Role::Image, &columns.image),
        ];
        let flag = flags.iter().find(|(_, given)| *given).map(|(option, _)| (*option).to_owned());
        flag.or_else(|| {
            let (role, name) = roles.iter().find(|(_, name)| !name.is_empty())?;
            Some(format!("--items-column {}={name}", role.name()))
        })
    }

    /// Refuses a column to keep that has no name, is named twice, or is one that every data set has.
    fn check_kept_columns(&self) -> Result<(), DataError> {
        let kept = &self.catalogue.columns.kept;
        for (n, name) in kept.iter().enumerate() {
            let reason = if name.trim().is_empty() {
                "a column has a name"
            } else if Items::FIXED.contains(&name.as_str()) {
                "the data set has a column of this name of its own (id, title, text, category and image are \
                 always kept); give the catalogue's another name"
            } else if kept[..n].contains(name) {
                "named twice"
            } else {
                continue;
            };
            return Err(wrong(format!("--keep-column {name}"), reason));
        }
        Ok(())
    }
}

/// An option that can't be followed.
pub(super) fn wrong(option: impl Into<String>, reason: impl Into<String>) -> DataError {
    DataError::Option { option: option.into(), reason: reason.into() }
}

//! Options that say which items may be listed, and numbers that must not be 0: shared by several commands.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Terminal};
use codistill::data::Items;
use codistill::data::choice::{Choice, Filter, Rules};
use codistill::data::join::{Names, explain};

/// What such a file looks like, for `--help`.
pub const FILES: &str = "\
Files of --candidates and --exclude have one id a line, or a header with a column `item` (CSV, TSV), or JSON lines \
of ids. --filter goes by the columns that `prepare --keep-column` stored, by `category` and by `title`: exactly, \
letter case included; one part of a value whose parts are joined by `|`, as categories are, is enough. A value with \
a comma stands in double quotes; an empty one means items without any. Repeated, all filters must hold.";

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which items may be listed")]
pub struct ChoiceArgs {
    /// Only the items of this file.
    #[arg(long, value_name = "FILE")]
    candidates: Option<PathBuf>,
    /// None of the items of this file.
    #[arg(long, value_name = "FILE")]
    exclude: Option<PathBuf>,
    /// Only items that have one of the values in a column of the catalogue; may be repeated.
    #[arg(long = "filter", value_name = "FIELD=VALUE[,VALUE…]")]
    filters: Vec<Filter>,
}

impl ChoiceArgs {
    /// Nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_none() && self.exclude.is_none() && self.filters.is_empty()
    }

    /// The chosen items; absent where nothing was asked for.
    ///
    /// # Errors
    /// As [`Rules::choose`].
    pub fn choose(&self, items: &Items, terminal: &Terminal) -> Result<Option<Choice>, Failure> {
        if self.is_empty() {
            return Ok(None);
        }
        let rules = Rules {
            candidates: self.candidates.clone(),
            exclude: self.exclude.clone(),
            filters: self.filters.clone(),
        };
        let (choice, remarks) = rules.choose(items)?;
        remarks.iter().for_each(|remark| terminal.warn(remark));
        terminal.say(format!("{} of {} items may be listed", choice.count(), items.count()));
        Ok(Some(choice))
    }
}

/// An item that isn't there, with the one that is likely meant.
pub fn no_item(id: &str, ids: &[String]) -> Failure {
    let names = Names { left: "the question", things: "ids", right: "the catalogue" };
    let found = explain(names, [id], ids.iter().skip(1).map(String::as_str));
    let meant =
        found.filter(|found| !found.causes.is_empty()).and_then(|found| found.there.into_iter().next());
    let hint = meant.map_or_else(
        || "ids are the source's own, as `prepare` read them".to_owned(),
        |meant| format!("did you mean `{meant}`? ids are the source's own, as `prepare` read them"),
    );
    Failure::user(format!("`{id}` is no item of the data set"), hint)
}

/// A number of items from 1 on.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a list of 0 items says nothing; use 1 or more".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("use a whole number from 1 on".into()),
    }
}

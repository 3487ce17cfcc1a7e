//! Whom to recommend for: users of the data set, or histories from a file.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::super::setup::Trained;
use super::super::{Failure, Terminal};
use codistill::data::Items;
use codistill::data::join::{Names, explain};
use codistill::recommend::History;
use codistill::train::setup::whole_dataset;

/// Unknown items that a warning names.
const EXAMPLES: usize = 3;

/// Whose list is asked for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Who {
    /// A user of the data set, whole history known; may be repeated.
    #[arg(long = "user", value_name = "ID")]
    pub users: Vec<String>,
    /// All users of the data set.
    #[arg(long)]
    pub all: bool,
    /// JSON lines with histories, `-` for stdin.
    #[arg(long, value_name = "FILE")]
    pub histories: Option<PathBuf>,
    /// Items similar to this one.
    #[arg(long, value_name = "ID")]
    pub item: Option<String>,
}

/// A line of `--histories`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    user: serde_json::Value,
    #[serde(default)]
    items: Option<Vec<serde_json::Value>>,
}

/// Whose list is asked for, with what is known of them, in the numbers of `items`.
pub fn histories(
    who: &Who,
    trained: &Trained,
    items: &Items,
    terminal: &Terminal,
) -> Result<Vec<History>, Failure> {
    if let Some(path) = &who.histories {
        return read_histories(path, &items.ids, terminal);
    }
    let setup = &trained.system().setup;
    let (dataset, whole) = (&setup.dataset, whole_dataset(setup)?);
    let history = |u: usize| History {
        had: whole.as_ref().map(|whole| whole.sequences.items_of(u).to_vec()).unwrap_or_default(),
        ..History::new(&dataset.users[u], dataset.sequences.items_of(u).to_vec())
    };
    if who.all {
        return Ok((0..dataset.users.len()).map(history).collect());
    }
    let wanted = who.users.iter().map(|id| {
        let found = dataset.users.iter().position(|known| known == id).map(history);
        found.ok_or_else(|| {
            Failure::user(
                format!("`{id}` is no user of the data set"),
                "users with fewer interactions than --user-core and --min-length were left out by `prepare`; --histories FILE \
                 takes any history",
            )
        })
    });
    wanted.collect()
}

fn read_histories(path: &Path, ids: &[String], terminal: &Terminal) -> Result<Vec<History>, Failure> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|e| Failure::io(path, &e))?;
    let numbers: HashMap<&str, u32> =
        ids.iter().enumerate().skip(1).map(|(n, id)| (id.as_str(), n as u32)).collect();
    let mut strange = Strange::default();
    let mut histories = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parsed: Line = serde_json::from_str(line).map_err(|e| {
            Failure::user(
                format!("{}:{}:{}: {e}", path.display(), n + 1, e.column()),
                "a line is {\"user\": …, \"items\": [\"id\", …]}, oldest item first",
            )
        })?;
        let listed = parsed.items.unwrap_or_default();
        let mut items = Vec::with_capacity(listed.len());
        for id in listed.iter().map(word) {
            match numbers.get(id.trim()) {
                Some(&number) => items.push(number),
                None => strange.add(id),
            }
        }
        let user = if parsed.user.is_null() { (n + 1).to_string() } else { word(&parsed.user) };
        histories.push(History::new(user, items));
    }
    if let Some(warning) = strange.warning(ids) {
        terminal.warn(warning);
    }
    Ok(histories)
}

/// An id as a text, however it was written.
fn word(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Ids of histories that the catalogue lacks.
#[derive(Default)]
struct Strange {
    count: usize,
    /// Each once, in their order.
    ids: Vec<String>,
    seen: HashSet<String>,
}

impl Strange {
    fn add(&mut self, id: String) {
        self.count += 1;
        if self.seen.insert(id.clone()) {
            self.ids.push(id);
        }
    }

    /// How many there are, some of them, and the likely cause; absent where there are none.
    fn warning(&self, known: &[String]) -> Option<String> {
        let names = Names { left: "the histories", things: "unknown ids", right: "the catalogue" };
        let strange: Vec<&str> = self.ids.iter().map(String::as_str).collect();
        let cause = explain(names, strange.iter().copied(), known.iter().skip(1).map(String::as_str));
        let cause = cause.filter(|cause| !cause.causes.is_empty());
        (self.count > 0).then(|| {
            format!(
                "{} items of the histories are not in the catalogue and were passed over, such as `{}`{}",
                self.count,
                strange[..strange.len().min(EXAMPLES)].join("`, `"),
                cause.map_or_else(String::new, |cause| format!("; {cause}"))
            )
        })
    }
}

//! Which items may be listed: those that files of ids and filters over the catalogue's columns leave.
//!
//! [`Rules`] are what was asked for; against a catalogue they give a [`Choice`], which `recommend` and `evaluate` obey
//! alike. Nothing here looks at scores: a list under a choice is the full list without the items that were not chosen.

mod filter;
mod ids;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Items;
use super::join::{self, Explanation, Names};
use crate::hex::hex;
pub use filter::Filter;

/// Ids that a message names as examples.
const EXAMPLES: usize = 3;
/// What a message calls the two lists of ids.
const NAMES: Names = Names { left: "the file", things: "ids", right: "the catalogue" };

/// Why nothing can be chosen so.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}:{line}: {reason}")]
    Malformed { path: PathBuf, line: u64, reason: String },
    #[error("{path}: no ids in this file")]
    NoIds { path: PathBuf },
    #[error("{path}: {explanation}")]
    NoneKnown { path: PathBuf, explanation: Explanation },
    #[error("there is no column `{field}` to filter by")]
    UnknownField { field: String, known: Vec<String> },
    #[error("no item has {} in {field}", values.join(" or "))]
    UnknownValues { field: String, values: Vec<String>, there: Vec<String> },
    #[error("no item is left by {}", rules.join(", "))]
    NothingLeft { rules: Vec<String> },
}

impl ChoiceError {
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => "check the path".into(),
            Self::Io { .. } => return None,
            Self::Malformed { .. } | Self::NoIds { .. } => ids::FORMS.into(),
            Self::NoneKnown { explanation, .. } => explanation.hint().unwrap_or_else(|| {
                format!("ids are the source's own, as `prepare` read them; {}", ids::FORMS)
            }),
            Self::UnknownField { field, known } => format!(
                "there are {}; `prepare --keep-column {field}` keeps a further column of the catalogue",
                known.join(", ")
            ),
            Self::UnknownValues { field, there, .. } if there.is_empty() => {
                format!("no item of the data set has a {field}")
            }
            Self::UnknownValues { field, there, .. } => format!("{field} has {}", there.join(", ")),
            Self::NothingLeft { .. } => "each of them must hold for an item: leave one out".into(),
        })
    }
}

/// What was asked for: each of them must hold for an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Only the items of this file.
    pub candidates: Option<PathBuf>,
    /// None of the items of this file.
    pub exclude: Option<PathBuf>,
    pub filters: Vec<Filter>,
}

impl Rules {
    /// The items that are left, and remarks on what of the rules did nothing.
    ///
    /// # Errors
    /// A file can't be read or knows no item, a filter names no column or no value, or no item is left.
    pub fn choose(&self, items: &Items) -> Result<(Choice, Vec<String>), ChoiceError> {
        let mut allowed = vec![true; items.count() + 1];
        allowed[0] = false;
        let mut remarks = Vec::new();
        for (file, keeps) in [(&self.candidates, true), (&self.exclude, false)] {
            let Some(path) = file else { continue };
            let named = named(path, items, &mut remarks)?;
            allowed.iter_mut().zip(named).for_each(|(allowed, named)| *allowed &= named == keeps);
        }
        for filter in &self.filters {
            let holds = filter.holds(items, &mut remarks)?;
            allowed.iter_mut().zip(holds).for_each(|(allowed, holds)| *allowed &= holds);
        }
        if !allowed.contains(&true) {
            return Err(ChoiceError::NothingLeft { rules: self.words() });
        }
        Ok((Choice::new(&allowed, self.words()), remarks))
    }

    /// The options as they were given.
    fn words(&self) -> Vec<String> {
        let file = |option: &str, path: &Option<PathBuf>| {
            path.as_ref().map(|path| format!("{option} {}", path.display()))
        };
        file("--candidates", &self.candidates)
            .into_iter()
            .chain(file("--exclude", &self.exclude))
            .chain(self.filters.iter().map(|filter| format!("--filter {filter}")))
            .collect()
    }
}

/// For each of the I + 1 items, whether the file names it.
fn named(path: &Path, items: &Items, remarks: &mut Vec<String>) -> Result<Vec<bool>, ChoiceError> {
    let numbers: HashMap<&str, usize> =
        items.ids.iter().enumerate().skip(1).map(|(n, id)| (id.as_str(), n)).collect();
    let ids = ids::read(path, &|id| numbers.contains_key(id))?;
    if ids.is_empty() {
        return Err(ChoiceError::NoIds { path: path.to_owned() });
    }
    let mut named = vec![false; items.ids.len()];
    let distinct: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let mut unknown = Vec::new();
    for id in &ids {
        match numbers.get(id.as_str()) {
            Some(&number) => named[number] = true,
            None if !unknown.contains(id) && unknown.len() < EXAMPLES => unknown.push(id.clone()),
            None => {}
        }
    }
    if unknown.is_empty() {
        return Ok(named);
    }
    let explanation =
        join::explain(NAMES, distinct.iter().copied(), items.ids.iter().skip(1).map(String::as_str));
    let matched = distinct.iter().filter(|id| numbers.contains_key(**id)).count();
    match explanation {
        Some(explanation) if matched == 0 => {
            return Err(ChoiceError::NoneKnown { path: path.to_owned(), explanation });
        }
        explanation => {
            let cause = explanation.filter(|found| !found.causes.is_empty());
            remarks.push(format!(
                "{}: {} of {} ids are no items here, such as {}{}",
                path.display(),
                distinct.len() - matched,
                distinct.len(),
                join::shown(&unknown),
                cause.map_or_else(String::new, |cause| format!("; {cause}"))
            ));
        }
    }
    Ok(named)
}

/// The items that may be listed, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Ascending.
    items: Vec<u32>,
    /// I + 1 entries: the place among `items`, from 1; 0 for items that were not chosen.
    places: Vec<u32>,
    rules: Vec<String>,
}

impl Choice {
    /// `allowed` has I + 1 entries, of which the first is padding; `rules` are the words for a report.
    pub fn new(allowed: &[bool], rules: Vec<String>) -> Self {
        let mut items = Vec::new();
        let mut places = vec![0; allowed.len()];
        for (n, place) in places.iter_mut().enumerate().skip(1).filter(|(n, _)| allowed[*n]) {
            items.push(n as u32);
            *place = items.len() as u32;
        }
        Self { items, places, rules }
    }

    /// Numbers of the chosen items, ascending.
    pub fn items(&self) -> &[u32] {
        &self.items
    }

    /// How many were chosen.
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// The item's place among the chosen ones, from 1; absent where it was not chosen.
    pub fn place(&self, item: u32) -> Option<u32> {
        self.places.get(item as usize).copied().filter(|&place| place > 0)
    }

    /// Takes the scores of what was not chosen from the candidates; `scores` has I + 1 entries.
    pub fn hide(&self, scores: &mut [f32]) {
        for (score, _) in scores.iter_mut().zip(&self.places).filter(|(_, place)| **place == 0) {
            *score = f32::NEG_INFINITY;
        }
    }

    /// The options that made it.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// Sixteen hexadecimal digits that tell one set of items of a catalogue from another.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        self.items.iter().for_each(|item| hash.update(item.to_le_bytes()));
        hex(&hash.finalize()[..8])
    }
}

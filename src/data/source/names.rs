//! Which column of a header plays a role: one of the name that was asked for, or of a usual name ([`super::roles`]).
//!
//! [`super::places`] chooses with it. The [`SourcePlan`] records what was chosen, whether it was asked for or guessed, and
//! which columns are not read.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::folder::FOLDER;
use super::roles::{CATALOGUE_ITEM, Role, SYNONYMS, may_name_times, plain};
use super::{Columns, SourceError, SourcePlan};

/// A column's name without the suffix of a folder's key of the same name.
fn own_name(name: &str) -> &str {
    name.strip_suffix(FOLDER).unwrap_or(name)
}

/// A column that was taken for a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenColumn {
    pub role: Role,
    pub column: String,
    /// Whether it was chosen by its usual name; otherwise it was asked for.
    pub guessed: bool,
    /// Whether it is read only where the first column of the role is empty.
    #[serde(default)]
    pub further: bool,
}

/// Chooses columns of one header.
pub(super) struct Chooser<'a> {
    path: &'a Path,
    header: &'a [String],
    columns: &'a Columns,
    /// Whether the header is a catalogue's.
    catalogue: bool,
    /// Places that are taken, with their entry in the plan.
    chosen: Vec<(usize, ChosenColumn)>,
}

impl<'a> Chooser<'a> {
    pub fn new(path: &'a Path, header: &'a [String], columns: &'a Columns, catalogue: bool) -> Self {
        Self { path, header, columns, catalogue, chosen: Vec::new() }
    }

    /// The column of `role`, of the name `asked` or of a usual one; absent where there is none or the role is not to be read.
    pub fn find(&mut self, role: Role, asked: &str) -> Result<Option<usize>, SourceError> {
        Ok(self.find_all(role, asked)?.first().copied())
    }

    /// All columns of usual names, best first, or the one that was asked for.
    pub fn find_all(&mut self, role: Role, asked: &str) -> Result<Vec<usize>, SourceError> {
        if !asked.is_empty() {
            match self.named(role.name(), asked) {
                Ok(place) => {
                    self.take(role, place, false);
                    return Ok(vec![place]);
                }
                Err(_) if role == Role::Item && self.columns.item_or_usual => {}
                Err(missing) => return Err(missing),
            }
        }
        if self.columns.without.contains(&role) || self.columns.no_header {
            return Ok(Vec::new());
        }
        let plain: Vec<String> = self.header.iter().map(|name| plain(own_name(name))).collect();
        let catalogue_names: &[&str] =
            if self.catalogue && role == Role::Item { CATALOGUE_ITEM } else { &[] };
        let free = |place: &usize| self.chosen.iter().all(|(taken, _)| taken != place);
        let mut places: Vec<usize> = role
            .usual()
            .iter()
            .chain(catalogue_names)
            .flat_map(|usual| (0..plain.len()).filter(|&n| plain[n] == *usual))
            .filter(free)
            .collect();
        // The last of three columns that make a date together.
        if role == Role::Time && plain.iter().any(|name| matches!(name.as_str(), "month" | "year")) {
            places.retain(|&place| plain[place] != "day");
        }
        if places.is_empty() && role == Role::Time {
            places =
                (0..self.header.len()).filter(|&n| may_name_times(&self.header[n])).filter(free).collect();
            if places.len() > 1 {
                let found = places.iter().map(|&n| self.header[n].clone()).collect();
                return Err(SourceError::Ambiguous { path: self.path.to_owned(), role: role.name(), found });
            }
        }
        if let Some(&first) = places.first() {
            self.take(role, first, true);
        }
        Ok(places)
    }

    /// All columns with one of `names`, in the order of `names`.
    pub fn find_each(&mut self, role: Role, names: &[&str]) -> Vec<usize> {
        let places: Vec<usize> = names
            .iter()
            .flat_map(|name| (0..self.header.len()).filter(|&n| plain(&self.header[n]) == *name))
            .filter(|place| self.chosen.iter().all(|(taken, _)| taken != place))
            .collect();
        places.iter().for_each(|&place| self.take(role, place, true));
        places
    }

    /// The place of a column that was asked for: by its exact name, by a name that differs in case or punctuation from that
    /// of just one column, or by its number where there is no header.
    pub fn named(&self, role: &str, asked: &str) -> Result<usize, SourceError> {
        if self.columns.no_header {
            let place = asked.parse::<usize>().ok().filter(|n| (1..=self.header.len()).contains(n));
            return place.map(|n| n - 1).ok_or_else(|| self.missing(role, asked));
        }
        if let Some(place) = self.header.iter().position(|name| name == asked) {
            return Ok(place);
        }
        let alike = |n: &usize| plain(&self.header[*n]) == plain(asked);
        let mut places = (0..self.header.len()).filter(alike);
        match (places.next(), places.next()) {
            (Some(place), None) if !plain(asked).is_empty() => Ok(place),
            _ => Err(self.missing(role, asked)),
        }
    }

    pub fn take(&mut self, role: Role, place: usize, guessed: bool) {
        let column = self.header[place].clone();
        self.chosen.push((place, ChosenColumn { role, column, guessed, further: false }));
    }

    /// The first of `places`, and those that are read where it is empty. Columns of ids, times and ratings stand in for
    /// each other only if their names mean the same: another column's id would be another thing.
    pub fn first_and_further(&mut self, role: Role, places: Vec<usize>) -> (Option<usize>, Vec<usize>) {
        let Some((&first, rest)) = places.split_first() else { return (None, Vec::new()) };
        let name = |place: usize| plain(own_name(&self.header[place]));
        let first_name = name(first);
        let stands_in = |&place: &usize| match role {
            Role::Category | Role::Image => true,
            _ if own_name(&self.header[place]) == self.header[first] => true,
            _ => SYNONYMS
                .iter()
                .any(|group| [&first_name, &name(place)].iter().all(|n| group.contains(&n.as_str()))),
        };
        let further: Vec<usize> = rest.iter().copied().filter(stands_in).collect();
        for &place in &further {
            let column = self.header[place].clone();
            self.chosen.push((place, ChosenColumn { role, column, guessed: true, further: true }));
        }
        (Some(first), further)
    }

    pub fn missing(&self, role: &str, asked: &str) -> SourceError {
        let wanted = if asked.is_empty() { format!("for the {role}") } else { asked.to_owned() };
        SourceError::MissingColumn {
            path: self.path.to_owned(),
            role: role.to_owned(),
            wanted,
            found: self.header.to_vec(),
            catalogue: self.catalogue,
        }
    }

    /// Records in the plan what was chosen. Further files of a folder repeat the same.
    pub fn done(self, plan: &mut SourcePlan) {
        plan.without.clone_from(&self.columns.without);
        let taken: Vec<usize> = self.chosen.iter().map(|(place, _)| *place).collect();
        for (_, chosen) in self.chosen {
            if !plan.columns.contains(&chosen) {
                plan.columns.push(chosen);
            }
        }
        for (n, name) in self.header.iter().enumerate() {
            if !taken.contains(&n) && !plan.unread.contains(name) {
                plan.unread.push(name.clone());
            }
        }
    }
}

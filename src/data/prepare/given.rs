//! The parts of a split that comes with the log: which rows don't train.

use std::collections::HashMap;

use crate::data::filter::Interaction;
use crate::data::ids::{LogItem, LogUser};
use crate::data::source::GivenPart;

/// The parts of a given split, by user, item and time. Rows that aren't listed train: most do, and take no memory here.
#[derive(Clone, Debug, Default)]
pub(super) struct GivenParts {
    parts: HashMap<Key, GivenPart>,
    /// Rows that another part has too.
    pub repeated: u64,
}

type Key = (LogUser, LogItem, i64);

impl GivenParts {
    /// `parts` lists the places in `interactions` of rows that don't train, in ascending order. A row that stands in
    /// several parts counts as the earliest of them.
    pub fn new(parts: Vec<(usize, GivenPart)>, interactions: &[Interaction]) -> Self {
        let mut given = Self::default();
        let mut listed = parts.iter().map(|&(place, _)| place).peekable();
        for &(place, part) in &parts {
            let known = given.parts.entry(key(&interactions[place])).or_insert(part);
            given.repeated += u64::from(*known != part);
            *known = part.min(*known);
        }
        for (place, i) in interactions.iter().enumerate() {
            if listed.next_if_eq(&place).is_none() && given.parts.remove(&key(i)).is_some() {
                given.repeated += 1;
            }
        }
        given
    }

    /// The part of one row of the log.
    pub fn part(&self, i: &Interaction) -> GivenPart {
        self.parts.get(&key(i)).copied().unwrap_or(GivenPart::Train)
    }
}

fn key(i: &Interaction) -> Key {
    (i.user, i.item, i.time)
}

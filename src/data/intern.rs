//! Raw ids to dense numbers and back, for the reading of a log.
//!
//! A log of millions of rows is mostly look-ups of ids, each of which waits for memory: ids lie one after the other in
//! one string, and the table holds numbers alone, so that both stay in the cache for longer than a map of strings would.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Numbers ids from 0 in order of first appearance.
#[derive(Debug, Default)]
pub struct Interner {
    /// Numbers by the hash of their id. The hash differs between processes, and nothing depends on it.
    numbers: HashTable<u32>,
    hasher: RandomState,
    /// All ids, without separators, and where each ends.
    text: String,
    ends: Vec<usize>,
}

impl Interner {
    /// Most ids: numbers from 1 on must fit the signed 32-bit integers of devices and files.
    pub const LIMIT: u32 = i32::MAX as u32;

    /// The id's number, a new one if it is unknown; `None` for a new id beyond [`Self::LIMIT`] others.
    pub fn number(&mut self, id: &str) -> Option<u32> {
        let Self { numbers, hasher, text, ends } = self;
        let hash = hasher.hash_one(id);
        let entry = numbers.entry(
            hash,
            |&number| id_at(text, ends, number) == id,
            |&number| hasher.hash_one(id_at(text, ends, number)),
        );
        match entry {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(free) => {
                let number = u32::try_from(ends.len()).ok().filter(|&n| n < Self::LIMIT)?;
                free.insert(number);
                text.push_str(id);
                ends.push(text.len());
                Some(number)
            }
        }
    }

    /// The number of a known id.
    pub fn get(&self, id: &str) -> Option<u32> {
        let matches = |&number: &u32| id_at(&self.text, &self.ends, number) == id;
        self.numbers.find(self.hasher.hash_one(id), matches).copied()
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Ids by number.
    pub fn into_ids(self) -> Vec<String> {
        // The table is freed first: it and the ids are not needed at the same time.
        drop(self.numbers);
        (0..self.ends.len() as u32).map(|number| id_at(&self.text, &self.ends, number).to_owned()).collect()
    }
}

/// The id with a number.
#[inline]
fn id_at<'t>(text: &'t str, ends: &[usize], number: u32) -> &'t str {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &text[start..ends[number]]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_are_numbered_by_first_appearance_and_come_back(ids in prop::collection::vec("[a-c\u{e9}]{0,3}", 0..300)) {
            let mut interner = Interner::default();
            let mut expected: HashMap<&str, u32> = HashMap::new();
            let mut order = Vec::new();
            for id in &ids {
                let next = expected.len() as u32;
                let number = *expected.entry(id).or_insert(next);
                if number == next {
                    order.push(id.clone());
                }
                prop_assert_eq!(interner.number(id), Some(number));
            }
            prop_assert_eq!(interner.len(), order.len());
            prop_assert_eq!(interner.get("none"), None);
            for (id, number) in expected {
                prop_assert_eq!(interner.get(id), Some(number));
            }
            prop_assert_eq!(interner.into_ids(), order);
        }
    }
}

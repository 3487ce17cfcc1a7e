//! External ids to dense numbers and back.

use std::collections::HashMap;

/// Numbers ids from 0 in order of first appearance.
#[derive(Debug, Default)]
pub struct Interner {
    numbers: HashMap<Box<str>, u32>,
}

impl Interner {
    /// The id's number, a new one at first sight; `None` when 32 bits are spent.
    pub fn number(&mut self, id: &str) -> Option<u32> {
        if let Some(&number) = self.numbers.get(id) {
            return Some(number);
        }
        let number = u32::try_from(self.numbers.len()).ok().filter(|&n| n < i32::MAX as u32)?;
        self.numbers.insert(id.into(), number);
        Some(number)
    }

    pub fn get(&self, id: &str) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Ids by number.
    pub fn into_ids(self) -> Vec<String> {
        let mut ids = vec![String::new(); self.numbers.len()];
        for (id, number) in self.numbers {
            ids[number as usize] = id.into_string();
        }
        ids
    }
}

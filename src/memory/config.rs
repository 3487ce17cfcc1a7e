//! Settings of the memory, and their rules.

use crate::config::rules::{Checked, check_minimum, check_name, check_range, invalid, positive};
use crate::section;

section! {
    /// A branch that counts instead of training: which items the users of the training part had together, which follow each
    /// other, and which are alike by their content. It stands in reports and in the ensemble like any branch, and depends
    /// on the data alone, not on the seed.
    pub struct MemoryConfig {
        /// Name in reports and tags, up to 64 letters a-z, digits, `_` or `-`; neither a branch's nor `ensemble`.
        pub name: String = "memory".into(),
        /// Each item is foretold by a regression on so many items that the same users had, from 1 on.
        pub neighbours: usize = 100,
        /// Ridge of these regressions, in users, above 0: how many would have to have had two items before their meeting counts.
        pub ridge: f64 = 50.0,
        /// What a pair of items counts in them for each place of the history that it lies apart, above 0 and up to 1.
        pub pair_decay: f64 = 0.95,
        /// What an item of the history counts for each newer one, in these regressions and by content, above 0 and up to 1.
        pub decay: f64 = 0.8,
        /// Whether each item is foretold by a second regression, on half as many items that came before it.
        pub sequence: bool = true,
        /// Ridge of that regression, above 0.
        pub sequence_ridge: f64 = 30.0,
        /// What an item of the history counts in it for each newer one, above 0 and up to 1.
        pub sequence_decay: f64 = 0.5,
        /// Whether items of like content count, by the features of each `tokens` view apart.
        pub content: bool = true,
    }
}

impl MemoryConfig {
    /// `taken` are names that others have.
    pub(crate) fn validate(&self, taken: &[&str]) -> Checked {
        check_name("model.memory.name", &self.name, "_-")?;
        if taken.contains(&self.name.as_str()) {
            return Err(invalid("model.memory.name", format!("= \"{}\" is taken", self.name))
                .with_hint("give it a name of its own"));
        }
        check_minimum("model.memory.neighbours", self.neighbours, 1)?;
        for (key, ridge) in [("ridge", self.ridge), ("sequence_ridge", self.sequence_ridge)] {
            positive(&format!("model.memory.{key}"), ridge)?;
        }
        for (key, decay) in
            [("pair_decay", self.pair_decay), ("decay", self.decay), ("sequence_decay", self.sequence_decay)]
        {
            let key = format!("model.memory.{key}");
            positive(&key, decay)?;
            check_range(&key, decay, 0.0..=1.0)?;
        }
        Ok(())
    }
}

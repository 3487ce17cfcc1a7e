//! Peculiarities of imported rows, for warnings.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use super::import_options::{ImportOptions, SharedRows};
use super::shared::Shared;
use crate::data::Dataset;
use crate::data::join::Explanation;

/// Most ids that a warning shows.
const SHOWN: usize = 5;

/// Peculiarities of the rows.
#[derive(Default)]
pub(super) struct Findings {
    pub join: Option<Explanation>,
    /// Whether the ids are 0, 1, 2, … and some are not items.
    pub numbered: bool,
    /// Rows that made their item missing.
    pub zeros: usize,
    pub nan: usize,
    pub stand_ins: usize,
    /// Items whose features are zeros.
    pub all_zero: Vec<u32>,
    /// Items whose last token is zeros, though another is not.
    pub zero_end: Vec<u32>,
    /// Items by a 64-bit hash of their features, which only a warning depends on.
    pub alike: HashMap<u64, Vec<u32>>,
}

impl Findings {
    pub fn take(&mut self, item: u32, values: &[f32], width: usize, zero: bool) {
        if zero {
            self.all_zero.push(item);
            return;
        }
        if values[values.len() - width..].iter().all(|&v| v == 0.0) {
            self.zero_end.push(item);
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(bytemuck::cast_slice(values));
        self.alike.entry(hasher.finish()).or_default().push(item);
    }

    pub fn groups(&self) -> Vec<Vec<u32>> {
        let mut groups: Vec<Vec<u32>> =
            self.alike.values().filter(|group| group.len() > 1).cloned().collect();
        groups.sort();
        groups
    }

    pub fn shared(&self, dataset: &Dataset) -> Option<Shared> {
        Shared::find(&self.groups(), &dataset.items.ids)
    }

    pub fn warnings(&self, dataset: &Dataset, options: &ImportOptions, padded: bool) -> Vec<String> {
        let missing = &options.missing;
        let mut all = Vec::new();
        if self.all_zero.is_empty() && self.alike.is_empty() {
            all.push("no item is left with features: all are missing".to_owned());
        }
        let ids = |items: &[u32]| {
            let shown: Vec<&str> =
                items.iter().take(SHOWN).map(|&item| dataset.items.ids[item as usize].as_str()).collect();
            format!("{}{}", shown.join(" "), if items.len() > SHOWN { " …" } else { "" })
        };
        if let Some(join) = &self.join {
            all.push(join.hint().map_or_else(|| join.to_string(), |hint| format!("{join}; {hint}")));
        }
        if self.numbered {
            all.push(
                "the ids are 0, 1, 2, … in order: are they the numbers of the rows, and not items?"
                    .to_owned(),
            );
        }
        if !self.all_zero.is_empty() && !missing.zeros {
            all.push(format!(
                "{} items have all-zero features ({}); are they missing ones? --missing zeros counts them so",
                self.all_zero.len(),
                ids(&self.all_zero)
            ));
        }
        if padded && !self.zero_end.is_empty() {
            all.push(format!(
                "{} items end in tokens of zeros ({}); if that is padding, name the numbers of tokens with --lengths",
                self.zero_end.len(),
                ids(&self.zero_end)
            ));
        }
        if let Some(shared) = self.shared(dataset).filter(|_| options.shared == SharedRows::Warn) {
            all.push(format!(
                "{}; does it stand for a missing one? --shared-rows missing counts it so, --shared-rows keep says that \
                 it is meant",
                shared.describe("feature row")
            ));
        }
        all
    }
}

//! Items that a vector store adds later: nobody had them yet, so that a memory knows them by their content alone.
//!
//! Shapes: `I` items that the memory counted, `N` new ones, which get the numbers after them.

use std::collections::BTreeMap;

use super::content::powered;
use super::{Lists, Memory, Source};
use crate::eval::baseline::{ContentView, content_neighbours_of};

/// The nearest counted items of a new item by each view, ascending, with the values of the view's source.
pub type Alike = BTreeMap<String, Vec<(u32, f32)>>;

impl Memory {
    /// `[N]`: what is near to each of `count` new items, by the views that are sources of this memory. `views` has the features of
    /// the counted items, `new` those of the new ones under the same names.
    pub fn alike(&self, views: &[ContentView], new: &[ContentView], count: usize) -> Vec<Alike> {
        let mut found = vec![Alike::new(); count];
        let is_source = |view: &&ContentView| self.sources.iter().any(|source| source.name == view.name);
        for view in views.iter().filter(is_source) {
            let Some(own) = new.iter().find(|own| own.name == view.name) else { continue };
            let near = content_neighbours_of(own, count, view, self.items);
            for (alike, row) in found.iter_mut().zip(near).filter(|(_, row)| !row.is_empty()) {
                alike.insert(view.name.clone(), powered(row));
            }
        }
        found
    }

    /// This memory with new items behind its own: items lead to new ones that are alike, and new ones to them.
    #[must_use]
    pub fn joined(&self, new: &[&Alike]) -> Self {
        let source = |source: &Source| {
            let rows: Vec<&[(u32, f32)]> =
                new.iter().map(|alike| alike.get(&source.name).map_or(&[][..], Vec::as_slice)).collect();
            Source { lists: mirrored(&source.lists, &rows), ..source.clone() }
        };
        let sources = self.sources.iter().map(source).collect();
        Self { items: self.items + new.len(), sources, weights: self.weights.clone() }
    }
}

/// `[I + N + 1, I + N + 1]`: `lists` with these rows below, and with the same values in the columns of the new items.
fn mirrored(lists: &Lists, new: &[&[(u32, f32)]]) -> Lists {
    let first = lists.rows();
    let mut columns: BTreeMap<u32, Vec<(u32, f32)>> = BTreeMap::new();
    for (&row, item) in new.iter().zip(first as u32..) {
        row.iter().for_each(|&(other, value)| columns.entry(other).or_default().push((item, value)));
    }
    let old = (0..first).map(|item| {
        let added = columns.remove(&(item as u32)).unwrap_or_default();
        [lists.row(item), &added].concat()
    });
    let old: Vec<_> = old.collect();
    Lists::from_rows(old.into_iter().chain(new.iter().map(|row| row.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryConfig;

    const HISTORIES: [&[u32]; 3] = [&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]];

    fn memory() -> Memory {
        let config = MemoryConfig { ridge: 1.0, ..MemoryConfig::default() };
        let mut memory = Memory::count(&config, 3, 3, |u| HISTORIES[u], &[]);
        let lists = Lists::from_rows([vec![], vec![(2, 0.5)], vec![(1, 0.5)], vec![]]);
        memory.sources.push(Source { name: "text".into(), lists, decay: 0.5, scale: 0.25 });
        memory.weights.push(2.0);
        memory
    }

    #[test]
    fn a_new_item_is_scored_by_what_it_is_like_and_leads_to_it() {
        let memory = memory();
        let near = Alike::from([("text".to_owned(), vec![(1, 0.75), (3, 0.25)])]);
        let joined = memory.joined(&[&Alike::new(), &near]);
        assert_eq!(joined.items(), 5);
        let score = |history: &[u32], item: u32| {
            let scores = joined.scores(history, &mut joined.scratch());
            scores.iter().find(|scored| scored.0 == item).map(|scored| scored.1)
        };
        // Items 3 and, one before it, 1: 0.25 + 0.5 · 0.75.
        let expected = 2.0 * (1.0f32 + 0.625 / 0.25).ln();
        assert!((score(&[1, 3], 5).unwrap() - expected).abs() < 1e-5);
        assert_eq!(score(&[1, 3], 4), None, "nothing is known of item 4");
        assert!((score(&[5], 1).unwrap() - 2.0 * 4.0f32.ln()).abs() < 1e-5);
        // What was counted says the same as before.
        let before = memory.scores(&[1, 2], &mut memory.scratch());
        let after = joined.scores(&[1, 2], &mut joined.scratch());
        assert_eq!(before, after.into_iter().filter(|scored| scored.0 <= 3).collect::<Vec<_>>());
    }
}

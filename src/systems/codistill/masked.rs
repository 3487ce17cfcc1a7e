//! Dropout of a view for whole histories: in a window that draws it, all inputs are read as if their items lacked the view.
//!
//! So a model learns to go on from what is left when texts or pictures are missing (SMD, 2026, drops with 0.3). Answers and
//! negatives keep the view, and items that windows share are still encoded once: windows that drop something read copies of
//! their items behind the batch's, one for each item and set of views. With the tower a copy is another item to all branches.
//! Without it a view is seen by its own branches alone, and these alone encode copies.

use std::collections::HashMap;

use crate::config::ModelConfig;
use crate::model::{Column, Histories, ItemBlock, ViewSource, Without};
use crate::rng::{mix64, unit};

/// Keeps these draws apart from those of a batch's other noise.
const SALT: u64 = 0x6869_7374_6f72_7900;

/// A copy by its item's column, not by its item: where every occurrence has a vector of its own, so has its copy.
type Key = (Column, Without);

/// Histories some of which are read without a view, for the branches that see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Masked {
    /// The view whose branches read these histories; absent where all branches do, through the tower.
    pub view: Option<usize>,
    /// Key of the noise in the copies.
    pub noise_key: u64,
    /// M copies of items. Their columns stand behind the U of the batch's own block.
    pub block: ItemBlock,
    /// All histories of the batch: columns below U are the batch's items, those from U on are copies.
    pub histories: Histories<Column>,
}

/// Which views windows drop.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryDropout {
    /// Probability of each view, in their order.
    probabilities: Vec<f64>,
    /// Whether a tower lets all branches see all views.
    is_shared: bool,
}

impl HistoryDropout {
    /// The settings of `model`; absent where no view is ever dropped.
    pub fn new(model: &ModelConfig) -> Option<Self> {
        let probabilities: Vec<f64> = model.views.iter().map(|view| view.history_dropout).collect();
        let acts = probabilities.iter().any(|&p| p > 0.0);
        acts.then(|| Self { probabilities, is_shared: model.tower.is_some() })
    }

    /// The views that a window drops: a pure function of the batch's key and the window's place in the batch.
    pub fn draw(&self, noise_key: u64, window: usize) -> Without {
        let mut without = Without::default();
        for (view, &probability) in self.probabilities.iter().enumerate() {
            let parts = [window as u64, view as u64];
            let bits = parts.iter().fold(mix64(noise_key ^ SALT), |key, &part| mix64(key ^ mix64(part)));
            if unit(bits) < probability {
                without.insert(view);
            }
        }
        without
    }

    /// What branches read in place of the batch's `histories`, whose columns are those of `block`. Empty where no window
    /// drops a view that its items have.
    pub fn masked(
        &self,
        noise_key: u64,
        block: &ItemBlock,
        histories: &Histories<Column>,
        views: &[Option<ViewSource>],
        max_groups: usize,
    ) -> Vec<Masked> {
        let drawn: Vec<Without> = (0..histories.count()).map(|window| self.draw(noise_key, window)).collect();
        let readers = if self.is_shared { vec![None] } else { self.dropped_views().map(Some).collect() };
        let masked = readers.into_iter().filter_map(|view| {
            // What of it the item at `column` has, and these branches see.
            let dropped = |window: usize, column: Column| {
                let item = block.items[column.0 as usize];
                let mut without = Without::default();
                let seen = self.dropped_views().filter(|&v| view.is_none_or(|own| own == v));
                seen.filter(|&v| drawn[window].contains(v) && has(views, v, item))
                    .for_each(|v| without.insert(v));
                without
            };
            let keys = copied(histories, &dropped);
            if keys.is_empty() {
                return None;
            }
            let entries: Vec<_> =
                keys.iter().map(|(column, w)| (block.items[column.0 as usize], *w)).collect();
            let (copies, columns) = ItemBlock::build_copies(&entries, views, max_groups, noise_key);
            let places: HashMap<Key, Column> = keys.into_iter().zip(columns).collect();
            let behind = block.items.len() as u32;
            let histories = (0..histories.count()).map(|window| {
                let place = |&column: &Column| {
                    let copy = places.get(&(column, dropped(window, column)));
                    copy.map_or(column, |copy| Column(behind + copy.0))
                };
                histories.history(window).iter().map(place).collect::<Vec<_>>()
            });
            let own_key = mix64(mix64(noise_key ^ SALT) ^ view.map_or(0, |view| view as u64 + 1));
            Some(Masked { view, noise_key: own_key, block: copies, histories: histories.collect() })
        });
        masked.collect()
    }

    fn dropped_views(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.probabilities.len()).filter(|&view| self.probabilities[view] > 0.0)
    }
}

/// Whether the item has features in the view with this number.
fn has(views: &[Option<ViewSource>], view: usize, item: u32) -> bool {
    views[view].as_ref().is_some_and(|source| source.store.length(item) > 0)
}

/// The copies that histories need; `dropped` says what each position is read without.
fn copied(histories: &Histories<Column>, dropped: &dyn Fn(usize, Column) -> Without) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for window in 0..histories.count() {
        let positions = histories.history(window).iter().map(|&column| (column, dropped(window, column)));
        keys.extend(positions.filter(|(_, without)| !without.is_empty()));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropout(probabilities: &[f64], is_shared: bool) -> HistoryDropout {
        HistoryDropout { probabilities: probabilities.to_vec(), is_shared }
    }

    #[test]
    fn windows_drop_views_as_often_as_asked_and_each_on_its_own() {
        let dropout = dropout(&[0.0, 0.3, 0.7], true);
        let n = 20_000;
        let drawn: Vec<Without> = (0..n).map(|window| dropout.draw(5, window)).collect();
        let share =
            |what: &dyn Fn(&Without) -> bool| drawn.iter().filter(|w| what(w)).count() as f64 / n as f64;
        assert_eq!(share(&|w| w.contains(0)), 0.0);
        // Four standard errors.
        for (view, expected) in [(1, 0.3), (2, 0.7)] {
            assert!((share(&|w| w.contains(view)) - expected).abs() < 0.013);
        }
        assert!((share(&|w| w.contains(1) && w.contains(2)) - 0.21).abs() < 0.012);
    }

    #[test]
    fn draws_are_a_function_of_batch_window_and_view() {
        let dropout = dropout(&[0.5, 0.5], true);
        let batch = |key: u64| (0..200).map(|window| dropout.draw(key, window)).collect::<Vec<_>>();
        assert_eq!(batch(1), batch(1));
        assert_ne!(batch(1), batch(2));
        let views: Vec<(bool, bool)> = batch(1).iter().map(|w| (w.contains(0), w.contains(1))).collect();
        assert!(views.iter().any(|(a, b)| a != b) && views.windows(2).any(|pair| pair[0] != pair[1]));
        // Another view's probability draws nothing else.
        let other = HistoryDropout { probabilities: vec![0.5, 0.0], is_shared: true };
        assert!((0..200).all(|w| other.draw(1, w).contains(0) == dropout.draw(1, w).contains(0)));
    }
}

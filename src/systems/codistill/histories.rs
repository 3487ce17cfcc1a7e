//! Histories of a batch, padded in groups of similar length.
//!
//! Shapes: `B` users of a group, `S` positions of a group, `R` rows of the batch.

use super::batch::Batch;
use crate::model::windows::WindowGroup;

/// Windows of a batch that are padded to one length.
pub(super) struct Padded {
    pub windows: usize,
    pub positions: usize,
    /// `[B, S]` left-padded: 1 + column of the input item, 0 for padding.
    pub slots: Vec<u32>,
}

/// All of them, and where the batch's rows stand in their outputs, one group behind the other.
pub(super) struct PaddedGroups {
    pub groups: Vec<Padded>,
    /// `[R]`
    pub rows: Vec<u32>,
}

impl Padded {
    /// Item of the block at every position; padding reads item 0: masked, never used.
    pub fn items(&self) -> Vec<u32> {
        self.slots.iter().map(|&slot| slot.saturating_sub(1)).collect()
    }

    /// The groups of a batch, as `grouped` cuts them by length.
    pub fn groups(batch: &Batch, grouped: &dyn Fn(&[usize]) -> Vec<WindowGroup>) -> PaddedGroups {
        let s = batch.positions;
        let window = |w: usize| &batch.slots[w * s..(w + 1) * s];
        let lengths: Vec<usize> =
            (0..batch.users).map(|w| window(w).iter().filter(|&&slot| slot > 0).count()).collect();
        // Where the last position of each window stands.
        let mut last = vec![0usize; batch.users];
        let mut start = 0;
        let mut groups = Vec::new();
        for WindowGroup { windows, positions } in grouped(&lengths) {
            let mut slots = Vec::with_capacity(windows.len() * positions);
            for &w in &windows {
                slots.extend_from_slice(&window(w as usize)[s - positions..]);
                last[w as usize] = start + slots.len() - 1;
            }
            start += slots.len();
            groups.push(Self { windows: windows.len(), positions, slots });
        }
        let rows = batch.rows.iter().map(|&row| {
            let (w, place) = (row as usize / s, row as usize % s);
            (last[w] - (s - 1 - place)) as u32
        });
        PaddedGroups { groups, rows: rows.collect() }
    }
}

//! Histories of different lengths: side by side until they are padded, once, for the user encoders.
//!
//! Shapes: `B` histories of a group, `S` positions of a group, `R` positions of all histories.

use super::windows::WindowGroup;
use crate::ops::rows::Rows;

/// Histories one behind the other, oldest item first. An entry says where the vector of its item lies: its column in a batch, or
/// its row in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histories<T> {
    /// `[R]`
    entries: Vec<T>,
    /// Where each history ends among the entries.
    ends: Vec<usize>,
}

/// Histories of a group, padded to one length on the left: the newest item is last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Padded {
    /// Numbers of the histories, B of them.
    pub windows: Vec<u32>,
    /// `[B, S]`: where vectors lie. Padding reads place 0, which the encoders mask.
    pub places: Vec<u32>,
    /// Which of the `[B, S]` hold an item.
    pub rows: Rows,
}

impl<T> Default for Histories<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Copy, H: IntoIterator<Item = T>> FromIterator<H> for Histories<T> {
    fn from_iter<I: IntoIterator<Item = H>>(histories: I) -> Self {
        let mut all = Self::default();
        for history in histories {
            all.entries.extend(history);
            all.ends.push(all.entries.len());
        }
        all
    }
}

impl<T: Copy> Histories<T> {
    /// The same with other entries.
    #[must_use]
    pub fn map<U>(&self, entry: impl Fn(T) -> U) -> Histories<U> {
        Histories { entries: self.entries.iter().copied().map(entry).collect(), ends: self.ends.clone() }
    }
}

impl<T: Copy + Into<u32>> Histories<T> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// R: positions of all.
    pub fn positions(&self) -> usize {
        self.entries.len()
    }

    /// Positions of each.
    pub fn lengths(&self) -> Vec<usize> {
        (0..self.count()).map(|number| self.history(number).len()).collect()
    }

    /// Positions of the longest.
    pub fn longest(&self) -> usize {
        (0..self.count()).map(|number| self.history(number).len()).max().unwrap_or(0)
    }

    /// The entries of one history.
    pub fn history(&self, number: usize) -> &[T] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.entries[start..self.ends[number]]
    }

    /// The groups, each padded to its own length, to which longer histories are cut.
    pub fn padded(&self, groups: Vec<WindowGroup>) -> Vec<Padded> {
        let padded = groups.into_iter().map(|WindowGroup { windows, positions }| {
            let mut places = vec![0; windows.len() * positions];
            let mut lengths = Vec::with_capacity(windows.len());
            for (row, &window) in places.chunks_exact_mut(positions).zip(&windows) {
                let history = self.history(window as usize);
                let kept = &history[history.len().saturating_sub(positions)..];
                let start = positions - kept.len();
                row[start..].iter_mut().zip(kept).for_each(|(place, &entry)| *place = entry.into());
                lengths.push(kept.len() as u32);
            }
            Padded { windows, places, rows: Rows::padded(lengths, positions) }
        });
        padded.collect()
    }

    /// Where every position stands in the encoders' outputs of `groups`, one behind the other: `[R]`, in the histories' order.
    pub fn rows(&self, groups: &[Padded]) -> Vec<u32> {
        let mut ends = vec![0; self.count()];
        let mut start = 0;
        for group in groups {
            for &window in &group.windows {
                start += group.rows.positions;
                ends[window as usize] = start;
            }
        }
        let rows = ends.iter().enumerate().flat_map(|(number, &end)| end - self.history(number).len()..end);
        rows.map(|row| row as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(windows: &[u32], positions: usize) -> WindowGroup {
        WindowGroup { windows: windows.to_vec(), positions }
    }

    #[test]
    fn histories_are_padded_on_the_left_and_found_again() {
        let histories: Histories<u32> = [vec![7, 8, 9], vec![], vec![4]].into_iter().collect();
        assert_eq!((histories.count(), histories.positions(), histories.longest()), (3, 4, 3));
        let groups = histories.padded(vec![group(&[1, 2], 1), group(&[0], 3)]);
        assert_eq!((&groups[0].places[..], &groups[1].places[..]), (&[0, 4][..], &[7, 8, 9][..]));
        assert_eq!(groups[0].rows.lengths.as_deref(), Some(&vec![0, 1]));
        assert_eq!(histories.rows(&groups), [2, 3, 4, 1]);
        let cut = histories.padded(vec![group(&[0, 1, 2], 2)]);
        assert_eq!(cut[0].places, [8, 9, 0, 0, 0, 4]);
    }

    proptest::proptest! {
        #[test]
        fn every_position_is_where_its_row_says(
            histories in proptest::collection::vec(proptest::collection::vec(0u32..50, 0..9), 1..30),
            most in 1usize..5,
        ) {
            let ragged: Histories<u32> = histories.iter().map(|history| history.iter().copied()).collect();
            let groups = super::super::windows::group_windows(&ragged.lengths(), most, 0.0);
            let padded = ragged.padded(groups);
            let all: Vec<u32> = padded.iter().flat_map(|group| group.places.iter().copied()).collect();
            let found: Vec<u32> = ragged.rows(&padded).iter().map(|&row| all[row as usize]).collect();
            proptest::prop_assert_eq!(found, histories.concat());
        }
    }
}

//! Row-sparse matrices over the items of a catalogue.
//!
//! Shapes: `I` items of the catalogue.

/// `[I + 1, I + 1]`, few entries a row; row and column 0 are padding and empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lists {
    /// Where each row begins, I + 2 entries.
    starts: Vec<usize>,
    /// (column, value), ascending by column within a row.
    entries: Vec<(u32, f32)>,
}

impl Lists {
    /// A matrix of these rows, each ascending by column.
    pub fn from_rows(rows: impl IntoIterator<Item = Vec<(u32, f32)>>) -> Self {
        let (mut starts, mut entries) = (vec![0], Vec::new());
        for row in rows {
            debug_assert!(row.is_sorted_by_key(|entry| entry.0), "columns ascend");
            entries.extend(row);
            starts.push(entries.len());
        }
        Self { starts, entries }
    }

    /// Where rows begin, columns, values.
    pub fn columns(&self) -> (&[usize], Vec<u32>, Vec<f32>) {
        let (columns, values) = self.entries.iter().copied().unzip();
        (&self.starts, columns, values)
    }

    /// A matrix of what [`Self::columns`] gave; absent where that is none.
    pub fn from_columns(starts: Vec<usize>, columns: &[u32], values: &[f32]) -> Option<Self> {
        let width = starts.len().checked_sub(1)?;
        let ends = starts.first() == Some(&0) && starts.last() == Some(&columns.len());
        let fits = columns.len() == values.len() && columns.iter().all(|&column| (column as usize) < width);
        let entries = columns.iter().copied().zip(values.iter().copied()).collect();
        (ends && fits && starts.is_sorted()).then_some(Self { starts, entries })
    }

    /// I + 1.
    pub fn rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Entries of all rows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries of an item.
    pub fn row(&self, item: usize) -> &[(u32, f32)] {
        &self.entries[self.starts[item]..self.starts[item + 1]]
    }

    /// Rows as columns.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut starts = vec![0; self.starts.len()];
        self.entries.iter().for_each(|(column, _)| starts[*column as usize + 1] += 1);
        (1..starts.len()).for_each(|row| starts[row] += starts[row - 1]);
        let mut next = starts.clone();
        let mut entries = vec![(0, 0.0); self.entries.len()];
        for row in 0..self.rows() {
            for &(column, value) in self.row(row) {
                let place = &mut next[column as usize];
                entries[*place] = (row as u32, value);
                *place += 1;
            }
        }
        Self { starts, entries }
    }
}

/// The `most` entries of largest value, ties by column; ascending by column.
pub(crate) fn largest(mut row: Vec<(u32, f32)>, most: usize) -> Vec<(u32, f32)> {
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if row.len() > most {
        if most > 0 {
            row.select_nth_unstable_by(most - 1, order);
        }
        row.truncate(most);
    }
    row.sort_unstable_by_key(|entry| entry.0);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_and_back() {
        let lists =
            Lists::from_rows([vec![], vec![(2, 0.5), (3, 1.0)], vec![(1, 2.0)], vec![(1, 4.0), (2, -1.0)]]);
        let turned = lists.transposed();
        assert_eq!(turned.row(1), [(2, 2.0), (3, 4.0)]);
        assert_eq!(turned.row(3), [(1, 1.0)]);
        assert_eq!((turned.row(0).len(), turned.len(), turned.rows()), (0, 5, 4));
        assert_eq!(turned.transposed(), lists);
    }

    #[test]
    fn the_largest_stay_and_ties_go_by_column() {
        let row = vec![(4, 1.0), (1, 3.0), (9, 1.0), (2, 1.0)];
        assert_eq!(largest(row.clone(), 3), [(1, 3.0), (2, 1.0), (4, 1.0)]);
        assert_eq!(largest(row.clone(), 9).len(), 4);
        assert!(largest(row, 0).is_empty());
    }
}

//! What a memory makes of the candidates of a batch.
//!
//! The memory was counted on the same training part, so that it has met each answer once: it teaches how items hang together,
//! and is surer of them than it is of users that it has not counted.
//!
//! Shapes: `U` items of a batch, `R` rows, `K` drawn negatives.

use rayon::prelude::*;

use crate::memory::Memory;
use crate::model::{Column, Histories};
use crate::objective::kernels::drawn::Drawn;

/// Scores of the rows' candidates, `[R, U]` with all `items` of the batch or `[R, 1 + K]` with the drawn ones: after each row's
/// history within its window, as the memory scores everywhere.
pub(super) fn scores(
    memory: &Memory,
    items: &[u32],
    histories: &Histories<Column>,
    drawn: Option<&Drawn>,
) -> Vec<f32> {
    let u = items.len();
    let mut columns = vec![u32::MAX; memory.items() + 1];
    items.iter().zip(0u32..).for_each(|(&item, column)| columns[item as usize] = column);
    // Where items stand once for each occurrence, all their columns score the same.
    let own: Vec<usize> = items.iter().map(|&item| columns[item as usize] as usize).collect();
    let windows: Vec<Vec<u32>> = (0..histories.count())
        .map(|window| histories.history(window).iter().map(|column| items[column.0 as usize]).collect())
        .collect();
    let rows = windows.par_iter().map_init(
        || (memory.scratch(), vec![0.0f32; u]),
        |(scratch, dense), history| {
            let mut all = Vec::with_capacity(history.len() * u);
            for end in 1..=history.len() {
                dense.fill(0.0);
                memory.scores_among(&history[..end], scratch, &columns, dense);
                all.extend(own.iter().map(|&column| dense[column]));
            }
            all
        },
    );
    let rows_ru: Vec<f32> = rows.collect::<Vec<_>>().concat();
    let Some(drawn) = drawn else { return rows_ru };
    let mut chosen = Vec::with_capacity(histories.positions() * (1 + drawn.count));
    for (row, group) in drawn.groups().enumerate() {
        let own = &rows_ru[row * u..(row + 1) * u];
        chosen.push(own[drawn.labels[row] as usize]);
        chosen.extend(drawn.group(group).iter().map(|&column| own[column as usize]));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryConfig;

    const HISTORIES: [&[u32]; 6] =
        [&[1, 2, 3, 4], &[2, 3, 1], &[3, 4, 5], &[1, 3, 4, 2], &[5, 4, 1], &[2, 3, 5, 1]];

    #[test]
    fn each_row_has_what_the_memory_says_after_its_own_history() {
        let config = MemoryConfig { ridge: 1.0, ..MemoryConfig::default() };
        let memory = Memory::count(&config, 6, 5, |u| HISTORIES[u], &[]);
        // Item 3 stands twice, as where every occurrence has a vector of its own.
        let items = [4, 3, 1, 3, 2];
        let windows = [vec![2, 4, 1], vec![0]];
        let histories = windows.iter().map(|own| own.iter().map(|&c| Column(c))).collect();
        let expected = |history: &[u32], item: u32| {
            let scores = memory.scores(history, &mut memory.scratch());
            scores.iter().find(|scored| scored.0 == item).map_or(0.0, |scored| scored.1)
        };
        let rows: [&[u32]; 4] = [&[1], &[1, 2], &[1, 2, 3], &[4]];
        let all = scores(&memory, &items, &histories, None);
        assert_eq!(all.len(), rows.len() * items.len());
        for (row, history) in rows.iter().enumerate() {
            for (column, &item) in items.iter().enumerate() {
                assert_eq!(all[row * items.len() + column], expected(history, item), "{history:?} {item}");
            }
        }
        assert!(all.iter().any(|score| *score > 0.0));
        // Labels, then two negatives for each window.
        let drawn =
            Drawn { labels: vec![4, 1, 0, 2], negatives: vec![0, 3, 4, 2], count: 2, group_rows: vec![3, 1] };
        let chosen = scores(&memory, &items, &histories, Some(&drawn));
        let candidates: [[u32; 3]; 4] = [[2, 4, 3], [3, 4, 3], [4, 4, 3], [1, 2, 1]];
        for (row, (history, own)) in rows.iter().zip(candidates).enumerate() {
            let found = &chosen[row * 3..(row + 1) * 3];
            assert_eq!(found, own.map(|item| expected(history, item)), "{history:?}");
        }
    }
}

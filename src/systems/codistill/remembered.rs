//! What a memory makes of the candidates of a batch.
//!
//! The memory was counted on the same training part, so that it has met each answer once: it teaches how items hang together,
//! and is surer of them than it is of users that it has not counted.
//!
//! Shapes: `U` items of a batch, `R` rows, `K` drawn negatives.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::batch::Batch;
use crate::memory::Memory;

/// Scores of the rows' candidates, `[R, U]` with all items of the batch or `[R, 1 + K]` with the drawn ones: after each row's
/// history within its window, as the memory scores everywhere. On `device`, without noise.
pub(super) fn scores(memory: &Memory, batch: &Batch, device: &Device) -> Tensor<2> {
    let (items, u) = (&batch.block.items, batch.block.items.len());
    let mut columns = vec![u32::MAX; memory.items() + 1];
    items.iter().zip(0u32..).for_each(|(&item, column)| columns[item as usize] = column);
    // Where items stand once for each occurrence, all their columns score the same.
    let first: Vec<usize> = items.iter().map(|&item| columns[item as usize] as usize).collect();
    let histories: Vec<Vec<u32>> = (0..batch.histories.count())
        .map(|window| batch.histories.history(window).iter().map(|c| items[c.0 as usize]).collect())
        .collect();
    let rows = histories.par_iter().map_init(
        || (memory.scratch(), vec![0.0f32; u]),
        |(scratch, dense), history| {
            let mut all = Vec::with_capacity(history.len() * u);
            for end in 1..=history.len() {
                dense.fill(0.0);
                memory.scores_among(&history[..end], scratch, &columns, dense);
                all.extend(first.iter().map(|&column| dense[column]));
            }
            all
        },
    );
    let rows_ru: Vec<f32> = rows.collect::<Vec<_>>().concat();
    let r = batch.histories.positions();
    let Some(drawn) = &batch.drawn else {
        return Tensor::from_data(TensorData::new(rows_ru, [r, u]), device);
    };
    let mut chosen = Vec::with_capacity(r * (1 + drawn.count));
    for (row, group) in drawn.groups().enumerate() {
        let own = &rows_ru[row * u..(row + 1) * u];
        chosen.push(own[drawn.labels[row] as usize]);
        chosen.extend(drawn.group(group).iter().map(|&column| own[column as usize]));
    }
    Tensor::from_data(TensorData::new(chosen, [r, 1 + drawn.count]), device)
}

//! Row-sparse updates of the ID table against the dense ones.

use std::collections::BTreeMap;

use burn::tensor::Device;
use codistill::config::{ObjectiveConfig, ObjectiveKind, OptimConfig};
use codistill::objective::Objective;
use codistill::ops::kernels_are_on;
use codistill::params;
use codistill::systems::codistill::step::{Dropout, Step};
use codistill::train::gradients::{Gradient, accumulate, global_norm};
use codistill::train::optim::AdamW;

use crate::objectives::{ITEMS, all, batch, model, sampler};

const TABLE: &str = "views.id.table";

fn step(objective: &ObjectiveConfig, row_sparse: bool) -> Step {
    let objective = Objective::new(objective, &["id".to_owned()], ITEMS);
    let dropout = Dropout { elements: 0.1, item_vectors: 0.2 };
    Step::new(objective, &Device::flex().autodiff(), dropout, 4).with_row_sparse(row_sparse)
}

fn of_batches() -> impl Iterator<Item = ObjectiveConfig> {
    all().into_iter().filter(|objective| objective.kind != ObjectiveKind::Full)
}

#[test]
fn rows_have_the_gradients_that_they_have_in_the_dense_table() {
    for objective in of_batches() {
        for mapped in [false, true] {
            let model = model(mapped);
            let sampler = sampler(&objective);
            // Micro-batches of other windows, so that some of their rows are shared and some are not.
            let windows = sampler.windows();
            let halves = [&windows[..4], &windows[3..]].map(|part| sampler.assemble(part, 1));
            let [dense, sparse] = [false, true].map(|row_sparse| {
                let mut sum = BTreeMap::new();
                let mut losses = Vec::new();
                for batch in &halves {
                    let (loss, grads) = step(&objective, row_sparse).gradients(&model, batch, 1);
                    losses.push(loss);
                    accumulate(&mut sum, grads);
                }
                (losses, sum)
            });
            assert_eq!(dense.0, sparse.0);
            let norms = [global_norm(&dense.1), global_norm(&sparse.1)];
            assert!((norms[0] / norms[1] - 1.0).abs() < 1e-6, "{norms:?}");
            assert_eq!(dense.1.keys().collect::<Vec<_>>(), sparse.1.keys().collect::<Vec<_>>());
            for (name, grad) in &sparse.1 {
                let expected = params::host(dense.1[name].values());
                let found = params::host(grad.values());
                let Gradient::Rows(rows) = grad else {
                    assert_eq!(found, expected, "{name}");
                    continue;
                };
                assert_eq!(name, TABLE);
                let width = found.len() / rows.rows.len();
                for (row, expected) in expected.chunks(width).enumerate() {
                    match rows.rows.iter().position(|&r| r as usize == row) {
                        Some(at) => assert_eq!(&found[at * width..(at + 1) * width], expected),
                        None => assert!(expected.iter().all(|&g| g == 0.0), "{row}"),
                    }
                }
            }
        }
    }
}

#[test]
fn items_of_several_columns_have_one_row() {
    let objective = ObjectiveConfig::default();
    let mut batch = batch(&objective);
    let model = model(true);
    let rows = model.id_rows(&batch.block).unwrap();
    assert_eq!(rows.rows, batch.block.items);
    batch.block.items[1] = batch.block.items[0];
    let [dense, sparse] =
        [false, true].map(|row_sparse| step(&objective, row_sparse).gradients(&model, &batch, 1).1);
    let Gradient::Rows(rows) = &sparse[TABLE] else { panic!("a dense gradient") };
    assert_eq!(rows.rows.len(), batch.block.items.len() - 1);
    let [dense, sparse] = [dense, sparse].map(|grads| global_norm(&grads));
    assert!((dense / sparse - 1.0).abs() < 1e-6, "{dense} {sparse}");
}

/// Tables after some steps with the same batch.
fn trained(row_sparse: bool, optim: &OptimConfig) -> (Vec<f32>, AdamW) {
    let objective = ObjectiveConfig::default();
    let (mut model, batch) = (model(true), batch(&objective));
    let mut optimizer = AdamW::new(optim);
    for _ in 0..4 {
        let (_, grads) = step(&objective, row_sparse).gradients(&model, &batch, 1);
        model = optimizer.step(model, grads, 0.01, 1.0);
    }
    (params::read(&model).remove(TABLE).unwrap().values, optimizer)
}

/// The CPU kernel writes rows; the composed update adds what they change by, which rounds once more in each step.
#[track_caller]
fn as_written(found: &[f32], expected: &[f32]) {
    if kernels_are_on() {
        assert_eq!(found, expected);
    }
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 4.0 * f32::EPSILON * b.abs().max(0.1), "{found:?} {expected:?}");
    }
}

#[test]
fn rows_of_every_step_end_as_under_dense_updates_and_the_others_as_they_began() {
    let optim = OptimConfig { weight_decay: 0.3, ..OptimConfig::default() };
    let [(dense, of_dense), (sparse, of_sparse)] = [false, true].map(|sparse| trained(sparse, &optim));
    let [of_dense, of_sparse] = [of_dense, of_sparse].map(|optimizer| optimizer.state[TABLE].clone());
    assert_eq!(of_dense.updates, of_sparse.updates);
    let [moments, expected_moments] = [of_sparse, of_dense]
        .map(|of| params::host(of.first).into_iter().chain(params::host(of.second)).collect::<Vec<_>>());
    let start = params::read(&model(true)).remove(TABLE).unwrap().values;
    let read = batch(&ObjectiveConfig::default()).block.items;
    let width = start.len() / (ITEMS + 1);
    for row in 0..=ITEMS {
        let of = |values: &[f32]| values[row * width..(row + 1) * width].to_vec();
        let of_moments = |values: &[f32]| [of(values), of(&values[start.len()..])].concat();
        if read.contains(&(row as u32)) {
            as_written(&of(&sparse), &of(&dense));
            as_written(&of_moments(&moments), &of_moments(&expected_moments));
        } else {
            assert_eq!(of(&sparse), of(&start), "row {row}");
            assert!(of_moments(&moments).iter().all(|m| m.to_bits() == 0), "row {row}");
            assert_ne!(of(&dense), of(&start), "a row that decays, so that the two differ");
        }
    }
}

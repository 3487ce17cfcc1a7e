//! One training step of SASRec over a small and over a large ID table, with dense and with row-sparse updates.
//!
//!     cargo bench --bench id_table -- [steps] [items]
//!
//! Defaults: 60 steps, 1,000,000 items against 1,000; width 64, 32 windows of 11 items, in-batch softmax, on the CPU. A
//! step is batch, forward, backward, gradient norm and AdamW, as the trainer does them; the median of the steps is
//! shown, and how often as long it takes as with the small table.

mod common;

use std::time::Instant;

use burn::tensor::Device;
use codistill::config::{EncoderConfig, ObjectiveConfig, OptimConfig, SavingsConfig};
use codistill::model::{DataShape, Recommender};
use codistill::nn::Init;
use codistill::objective::Objective;
use codistill::train::gradients::global_norm;
use codistill::train::optim::{AdamW, clip_coefficient};
use codistill::train::step::{Dropout, Step};

use common::{INPUTS, id_model, sampler};

const WIDTH: usize = 64;
const WINDOWS: usize = 32;

fn main() {
    // `cargo bench` adds flags of its own.
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<usize>().ok());
    let steps = numbers.next().unwrap_or(60).max(1);
    let large = numbers.next().unwrap_or(1_000_000).max(1);
    println!("width {WIDTH}, {WINDOWS} windows of {} items, {steps} steps", INPUTS + 1);
    for row_sparse in [true, false] {
        let small = median_step(1_000, steps, row_sparse);
        let ratio = median_step(large, steps, row_sparse) / small;
        println!("{} updates: {ratio:.2} times the step", name(row_sparse));
    }
}

fn name(row_sparse: bool) -> &'static str {
    if row_sparse { "row-sparse" } else { "dense" }
}

/// Milliseconds.
fn median_step(items: usize, steps: usize, row_sparse: bool) -> f64 {
    let device = Device::flex().autodiff();
    let config = id_model(WIDTH, &[("id", EncoderConfig::Sasrec { blocks: 2, heads: 2 })]);
    let shape = DataShape { items, max_seq_len: INPUTS, feature_widths: vec![0] };
    let savings = SavingsConfig::default();
    let mut model = Recommender::new(&config, &savings, &shape, &|_| Vec::new(), &mut Init::new(1, &device));
    let objective = ObjectiveConfig::default();
    let sampler = sampler(WINDOWS * steps, WINDOWS, items, &objective);
    let dropout = Dropout { elements: config.dropout, items: config.dropout };
    let objective = Objective::new(&objective, &["id".into()], items);
    let step = Step::new(objective, &device, dropout, savings.length_groups).with_row_sparse(row_sparse);
    let optim = OptimConfig::default();
    let mut optimizer = AdamW::new(&optim);
    let order = sampler.order(1);
    let mut distinct = 0;
    // Batch, gradients, norm, update: milliseconds.
    let mut parts: [Vec<f64>; 5] = Default::default();
    for index in 0..steps {
        let mut marks = vec![Instant::now()];
        let batch = sampler.batch(&order, 1, index);
        marks.push(Instant::now());
        let (_, grads) = step.gradients(&model, &batch, 1);
        marks.push(Instant::now());
        let norm = global_norm(&grads);
        marks.push(Instant::now());
        model = optimizer.step(model, grads, optim.lr, clip_coefficient(norm, optim.clip_norm));
        marks.push(Instant::now());
        distinct += batch.block.items.len();
        let between = |a: usize, b: usize| (marks[b] - marks[a]).as_secs_f64() * 1e3;
        for part in 0..4 {
            parts[part].push(between(part, part + 1));
        }
        parts[4].push(between(0, 4));
    }
    let [batch, gradients, norm, update, whole] = parts.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!(
        "{items:>9} items, {:<10} {whole:8.2} ms: batch {batch:.2}, gradients {gradients:.2}, norm {norm:.2}, \
         update {update:.2}; {} items a batch",
        name(row_sparse),
        distinct / steps,
    );
    whole
}

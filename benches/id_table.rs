//! One training step of SASRec over a small and over a large ID table, with dense and with row-sparse updates.
//!
//!     cargo bench --bench id_table -- [steps] [items]
//!
//! Defaults: 60 steps, 1,000,000 items against 1,000; width 64, 32 windows of 11 items, in-batch softmax, on the CPU. A
//! step is batch, forward, backward, gradient norm and AdamW, as the trainer does them; the median of the steps is
//! shown, and how often as long it takes as with the small table. Steps with both tables alternate.

mod common;

use std::time::Instant;

use burn::tensor::Device;
use codistill::config::{EncoderConfig, ObjectiveConfig, OptimConfig, SasrecConfig, SavingsConfig};
use codistill::model::{DataShape, Recommender};
use codistill::nn::Init;
use codistill::objective::Objective;
use codistill::systems::codistill::batch::Sampler;
use codistill::systems::codistill::step::{Dropout, Step};
use codistill::train::gradients::global_norm;
use codistill::train::optim::{AdamW, clip_coefficient};

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
        let mut runs = [1_000, large].map(|items| Run::new(items, steps, row_sparse));
        // In turns, so that what else the machine does falls on both.
        for index in 0..steps {
            runs.iter_mut().for_each(|run| run.step(index));
        }
        let [small, large] = runs.map(Run::report);
        println!("{} updates: {:.2} times the step", name(row_sparse), large / small);
    }
}

fn name(row_sparse: bool) -> &'static str {
    if row_sparse { "row-sparse" } else { "dense" }
}

/// A training with one size of table.
struct Run {
    items: usize,
    row_sparse: bool,
    sampler: Sampler,
    order: Vec<u32>,
    step: Step,
    optim: OptimConfig,
    optimizer: AdamW,
    model: Option<Recommender>,
    /// Distinct items of all batches.
    distinct: usize,
    /// Milliseconds of each step for batch, gradients, norm, update, and all together.
    parts: [Vec<f64>; 5],
}

impl Run {
    fn new(items: usize, steps: usize, row_sparse: bool) -> Self {
        let device = Device::flex().autodiff();
        let config = id_model(WIDTH, &[("id", EncoderConfig::Sasrec(SasrecConfig { blocks: 2, heads: 2 }))]);
        let shape = DataShape { items, max_seq_len: INPUTS, feature_widths: vec![0] };
        let savings = SavingsConfig::default();
        let model = Recommender::new(&config, &savings, &shape, &|_| Vec::new(), &mut Init::new(1, &device));
        let objective = ObjectiveConfig::default();
        let sampler = sampler(WINDOWS * steps, WINDOWS, items, &objective);
        let dropout = Dropout { elements: config.dropout, item_vectors: config.dropout };
        let objective = Objective::new(&objective, &["id".into()], items);
        let step = Step::new(objective, &device, dropout, savings.length_groups).with_row_sparse(row_sparse);
        let optim = OptimConfig::default();
        Self {
            items,
            row_sparse,
            order: sampler.order(1),
            sampler,
            step,
            optimizer: AdamW::new(&optim),
            optim,
            model: Some(model),
            distinct: 0,
            parts: Default::default(),
        }
    }

    fn step(&mut self, index: usize) {
        let mut marks = vec![Instant::now()];
        let batch = self.sampler.batch(&self.order, 1, index);
        marks.push(Instant::now());
        let (_, grads) =
            self.step.gradients(self.model.as_ref().expect("each step puts the model back"), &batch, 1);
        marks.push(Instant::now());
        let norm = global_norm(&grads);
        marks.push(Instant::now());
        let scale = clip_coefficient(norm, self.optim.clip_norm);
        let model = self.model.take().expect("each step puts the model back");
        self.model = Some(self.optimizer.step(model, grads, self.optim.lr, scale));
        marks.push(Instant::now());
        self.distinct += batch.block.items.len();
        let between = |a: usize, b: usize| (marks[b] - marks[a]).as_secs_f64() * 1e3;
        for part in 0..4 {
            self.parts[part].push(between(part, part + 1));
        }
        self.parts[4].push(between(0, 4));
    }

    /// The median step in milliseconds.
    fn report(self) -> f64 {
        let steps = self.parts[4].len();
        let [batch, gradients, norm, update, whole] = self.parts.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        });
        println!(
            "{:>9} items, {:<10} {whole:8.2} ms: batch {batch:.2}, gradients {gradients:.2}, norm {norm:.2}, \
             update {update:.2}; {} items a batch",
            self.items,
            name(self.row_sparse),
            self.distinct / steps,
        );
        whole
    }
}

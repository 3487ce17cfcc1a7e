//! One training step of SASRec with the full softmax over a large catalogue: time and peak memory.
//!
//!     cargo bench --bench full_softmax -- [items] [windows] [steps] [students]
//!
//! Defaults: 1,200,000 items, 64 windows of 11 items, 3 steps, 1 student. Two students are a SASRec and a GRU4Rec over
//! one table; each learns from the mean of both over the whole catalogue. A step is forward, backward and AdamW on
//! the CPU. The scores of all rows, which are never stored, are named for comparison.

mod common;

use std::time::Instant;

use burn::tensor::Device;
use codistill::config::{
    DistillConfig, DistillPair, EncoderConfig, Gru4recConfig, ObjectiveConfig, ObjectiveKind, OptimConfig,
    SasrecConfig, SavingsConfig,
};
use codistill::device::process_memory;
use codistill::model::{DataShape, Recommender};
use codistill::nn::Init;
use codistill::objective::Objective;
use codistill::systems::codistill::step::{Dropout, Step};
use codistill::train::gradients::global_norm;
use codistill::train::optim::AdamW;

use common::{INPUTS, id_model, sampler};

const WIDTH: usize = 64;
const GIB: f64 = (1u64 << 30) as f64;

fn main() {
    // `cargo bench` adds flags of its own.
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<usize>().ok());
    let items = numbers.next().unwrap_or(1_200_000).max(1);
    let windows = numbers.next().unwrap_or(64).max(1);
    let steps = numbers.next().unwrap_or(3).max(1);

    let students = numbers.next().unwrap_or(1).clamp(1, 2);

    let encoders = [
        ("id", EncoderConfig::Sasrec(SasrecConfig { blocks: 1, heads: 1 })),
        ("gru", EncoderConfig::Gru4rec(Gru4recConfig { layers: 1 })),
    ];
    let encoders = &encoders[..students];
    let pair = |student: &str| DistillPair { student: student.into(), teacher: "ensemble".into() };
    let pairs = encoders.iter().filter(|_| students > 1).map(|(name, _)| pair(name));
    let distill = DistillConfig { pairs: pairs.collect(), ..DistillConfig::default() };
    let objective = ObjectiveConfig { kind: ObjectiveKind::Full, distill, ..ObjectiveConfig::default() };
    let device = Device::flex().autodiff();
    let config = id_model(WIDTH, encoders);
    let shape = DataShape { items, max_seq_len: INPUTS, feature_widths: vec![0] };
    let savings = SavingsConfig::default();
    let mut model = Recommender::new(&config, &savings, &shape, &|_| Vec::new(), &mut Init::new(1, &device));
    let sampler = sampler(windows, windows, items, &objective);
    let dropout = Dropout { elements: config.dropout, item_vectors: 0.0 };
    let names: Vec<String> = encoders.iter().map(|(name, _)| (*name).into()).collect();
    let on_names = Objective::new(&objective, &names, items);
    let step = Step::new(on_names, &device, dropout, savings.length_groups);
    let optim = OptimConfig { lr: 1e-3, weight_decay: 0.0, ..OptimConfig::default() };
    let mut optimizer = AdamW::new(&optim);
    let order = sampler.order(1);
    let rows = windows * INPUTS;
    let scores = students * rows * items;
    println!("{items} items, width {WIDTH}, {rows} rows, chunks of {} items", objective.chunk_items);
    println!("students: {}", names.join(", "));
    println!("scores of all rows, never stored: {:.2} GiB", (scores * 4) as f64 / GIB);
    println!("table, its gradient and two moments: {:.2} GiB", (4 * items * WIDTH * 4) as f64 / GIB);
    report_memory("before the first step");
    for number in 1..=steps {
        let batch = sampler.batch(&order, number, 0);
        let start = Instant::now();
        let (losses, grads) = step.gradients(&model, &batch, 1);
        let norm = global_norm(&grads);
        let gradients = start.elapsed().as_secs_f64();
        model = optimizer.step(model, grads, optim.lr, 1.0);
        let update = start.elapsed().as_secs_f64() - gradients;
        // Forward, forward again, and two products of the backward pass.
        let work = 4.0 * 2.0 * (scores * WIDTH) as f64;
        println!(
            "step {number}: loss {:.4}, norm {norm:.3e}, gradients {gradients:.2} s ({:.0} GFLOP/s), update {update:.2} s",
            losses.total,
            work / gradients / 1e9,
        );
        report_memory(&format!("after step {number}"));
    }
}

fn report_memory(when: &str) {
    if let Some((now, peak)) = process_memory() {
        println!("memory {when}: {:.2} GiB, peak {:.2} GiB", now as f64 / GIB, peak as f64 / GIB);
    }
}

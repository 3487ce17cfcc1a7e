//! Every differentiable operation of our own against central differences.
//!
//! [`OPERATIONS`] lists the source files that bring a backward pass along; a file that is not listed fails the test, so that
//! a new operation can't be forgotten.
//!
//! Shapes: `N` sequences or branches, `L` positions, `R` rows, `U` items, `D` width.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use codistill::nn::init::Scheme;
use codistill::nn::{Block, BlockConfig, Init};
use codistill::objective::BLOCKED;
use codistill::objective::kernels::drawn::{Drawn, drawn_scores};
use codistill::objective::kernels::full_softmax::{Branch, Walk, full_softmax};
use codistill::objective::kernels::losses::{Candidates, PairSettings, softmax_losses};
use codistill::ops::Noise;
use codistill::ops::lookup::lookup;
use codistill::ops::norm::layer_norm;
use codistill::ops::rows::Rows;
use codistill::ops::self_attention::Mask;
use codistill::params::host;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A function of flat inputs to a number, `[1]`, with the inputs' sizes.
type Function = (Vec<usize>, Box<dyn Fn(&[Tensor<1>]) -> Tensor<1>>);

/// A source file with a backward pass, and what makes a function that goes through it.
type Operation = (&'static str, fn() -> Function);

const OPERATIONS: [Operation; 7] = [
    ("ops/dropout.rs", dropout),
    ("ops/gradient.rs", catalogue_loss),
    ("ops/lookup.rs", look_up),
    ("ops/norm.rs", normalised),
    ("ops/sublayer.rs", block),
    ("objective/kernels/drawn.rs", drawn),
    ("objective/kernels/losses.rs", batch_loss),
];

/// A weighted sum, so that each entry has a slope of its own.
fn weighted<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let n = x.shape().num_elements();
    let weights: Vec<f32> = (0..n).map(|i| ((i * 7 + 3) % 11) as f32 / 5.0 - 1.0).collect();
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [n]), &x.device());
    (x.reshape([n]) * weights).sum()
}

fn dropout() -> Function {
    (vec![60], Box::new(|x| weighted(Noise::new(9, 0.3).dropout(x[0].clone().reshape([5, 12])))))
}

fn look_up() -> Function {
    (vec![12], Box::new(|x| weighted(lookup(x[0].clone().reshape([4, 3]), &[2, 0, 2, 3, 2]))))
}

fn normalised() -> Function {
    let normalise = |x: &[Tensor<1>]| {
        weighted(layer_norm(x[0].clone().reshape([4, 6]), x[1].clone(), x[2].clone(), 1e-5))
    };
    (vec![24, 6, 6], Box::new(normalise))
}

/// Attention and feed-forward of a block, and the readout that computes some positions alone.
fn block() -> Function {
    let config = BlockConfig { width: 8, heads: 2, layer_norm_eps: 1e-5, scheme: Scheme::XavierNormal };
    let block = Block::new(config, &mut Init::new(4, &Device::flex().autodiff()));
    let through = move |x: &[Tensor<1>]| {
        let x_nld = x[0].clone().reshape([2, 5, 8]);
        let (rows, mut noise) = (Rows::all(2, 5), Noise::new(5, 0.2));
        let all = block.forward(x_nld.clone(), &rows, &Mask::Causal, &mut noise);
        let some = block.forward_readout(x_nld, &[0, 3], None, &mut noise);
        weighted(all) + weighted(some)
    };
    (vec![80], Box::new(through))
}

fn drawn() -> Function {
    let draw = Drawn {
        labels: vec![0, 3, 1, 4],
        negatives: vec![2, 4, 2, 0, 1, 3],
        count: 3,
        group_rows: vec![1, 3],
    };
    let draw = Arc::new(draw);
    let scores = move |x: &[Tensor<1>]| {
        weighted(drawn_scores(x[0].clone().reshape([4, 3]), x[1].clone().reshape([5, 3]), &draw))
    };
    (vec![12, 15], Box::new(scores))
}

/// Distillation with live teachers: all that the softmax losses can do.
fn terms() -> PairSettings {
    PairSettings { pairs: vec![(1, Some(0)), (0, None)], temperature: 0.7, detached: false, divergence: true }
}

fn batch_loss() -> Function {
    let mut log_weight = vec![0.0; 4 * 6];
    log_weight[6 + 2] = BLOCKED;
    log_weight[2 * 6 + 5] = 0.7;
    let log_popularity = (0..6).map(|u| -1.0 - 0.1 * u as f32).collect();
    let candidates = Arc::new(Candidates { log_popularity, log_weight, labels: vec![0, 3, 1, 4] });
    let loss = move |x: &[Tensor<1>]| {
        weighted(softmax_losses(x[0].clone().reshape([2, 4, 6]), &candidates, &terms()))
    };
    (vec![48], Box::new(loss))
}

fn catalogue_loss() -> Function {
    let loss = |x: &[Tensor<1>]| {
        let part = |i: usize, rows: usize| x[i].clone().reshape([rows, 3]);
        let branch = |i: usize| Branch { users: part(i, 4), items: part(i + 1, 8) };
        let walk = Walk { labels: vec![1, 4, 7, 2], chunk: 3 };
        full_softmax(vec![branch(0), branch(2)], &walk, &terms(), &[1.0, 0.5, 0.8, 0.3]).total
    };
    (vec![12, 24, 12, 24], Box::new(loss))
}

/// Largest gap between the slope along a direction and its central difference, as a share of the gradient's length.
fn gap((sizes, function): &Function) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect() };
    let start: Vec<Vec<f32>> = sizes.iter().map(|&n| draw(n)).collect();
    let device = Device::flex().autodiff();
    let tensor = |values: &[f32]| {
        Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), &device).require_grad()
    };
    let inputs: Vec<Tensor<1>> = start.iter().map(|values| tensor(values)).collect();
    let mut grads = function(&inputs).backward();
    let grads: Vec<Vec<f32>> = inputs.iter().map(|x| host(x.grad_remove(&mut grads).unwrap())).collect();
    let length = grads.iter().flatten().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    assert!(length > 0.0, "nothing flows back");
    let mut widest = 0.0f64;
    for _ in 0..8 {
        let way: Vec<Vec<f32>> = sizes.iter().map(|&n| draw(n)).collect();
        let norm = way.iter().flatten().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt();
        let value = |step: f32| {
            let moved = start.iter().zip(&way).map(|(values, way)| {
                let moved: Vec<f32> = values.iter().zip(way).map(|(v, w)| v + step * w).collect();
                tensor(&moved)
            });
            f64::from(host(function(&moved.collect::<Vec<_>>()).inner())[0])
        };
        const STEP: f32 = 1e-3;
        let difference = (value(STEP) - value(-STEP)) / (2.0 * f64::from(STEP));
        let slope: f64 = grads
            .iter()
            .flatten()
            .zip(way.iter().flatten())
            .map(|(&g, &w)| f64::from(g) * f64::from(w))
            .sum();
        widest = widest.max((slope - difference).abs() / (length * norm));
    }
    widest
}

#[test]
fn every_operation_with_a_backward_pass_equals_central_differences() {
    for (file, function) in OPERATIONS {
        let gap = gap(&function());
        println!("{file}: {gap:.1e}");
        assert!(gap < 3e-4, "{file}: {gap:.1e} of the gradient's length");
    }
}

#[test]
fn a_new_operation_is_listed_here() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).is_ok_and(|text| text.contains("Backward<")) {
                found.insert(path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let listed: BTreeSet<String> = OPERATIONS.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(found, listed, "operations with a backward pass, and those that are checked");
}

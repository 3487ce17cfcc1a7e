use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use super::*;
use crate::need::need;
use crate::ops::kernels_are_on;
use crate::ops::saved::{ALONE, Saved};
use crate::tensors::host;

const D: usize = 12;
const L: usize = 9;

/// A sequence of N = 7 with a block whose every parameter is away from its start.
fn block(width: usize, heads: usize) -> Block {
    let mut init = Init::new(5, &Device::flex().autodiff());
    let config = BlockConfig { width, heads, layer_norm_eps: 1e-6, scheme: Scheme::XavierNormal };
    let mut block = Block::new(config, &mut init);
    for norm in [&mut block.attention_norm, &mut block.feed_forward_norm] {
        norm.gamma = init.uniform([width], 1.5);
        norm.beta = init.uniform([width], 1.0);
    }
    block
}

fn values(n: usize, seed: f32) -> Vec<f32> {
    (0..n).map(|i| ((i as f32 + seed) * 12.9898).sin() * 1.3).collect()
}

fn tracked(values: &[f32], shape: [usize; 3]) -> Tensor<3> {
    let data = TensorData::new(values.to_vec(), shape);
    Tensor::from_data(data, &Device::flex().autodiff()).require_grad()
}

/// Result, and the gradients of `Σ weight · result` by the input and by every parameter.
fn run(
    block: &Block,
    x: &[f32],
    shape: [usize; 3],
    weight: &[f32],
    pass: Pass<'_>,
) -> Vec<(String, Vec<f32>)> {
    let x = tracked(x, shape);
    let y = pass(block, x.clone());
    let weight = TensorData::new(weight.to_vec(), y.dims());
    let weight = Tensor::from_data(weight, &y.device());
    let grads = (y.clone() * weight.clone()).sum().backward();
    let mut found =
        vec![("result".into(), host((y * weight).inner())), ("x".into(), host(x.grad(&grads).unwrap()))];
    let maps = [
        ("query", &block.query),
        ("key", &block.key),
        ("value", &block.value),
        ("output", &block.output),
        ("up", &block.up),
        ("down", &block.down),
    ];
    for (name, map) in maps {
        found.push((name.into(), host(map.weight.val().grad(&grads).unwrap())));
        if let Some(bias) = &map.bias {
            found.push((format!("{name} bias"), host(bias.val().grad(&grads).unwrap())));
        }
    }
    for (name, norm) in [("attention", &block.attention_norm), ("feed-forward", &block.feed_forward_norm)] {
        found.push((format!("{name} gamma"), host(norm.gamma.val().grad(&grads).unwrap())));
        found.push((format!("{name} beta"), host(norm.beta.val().grad(&grads).unwrap())));
    }
    found
}

type Pass<'a> = &'a dyn Fn(&Block, Tensor<3>) -> Tensor<3>;

fn assert_close(name: &str, found: &[(String, Vec<f32>)], wanted: &[(String, Vec<f32>)]) {
    assert_eq!(found.len(), wanted.len());
    for ((part, found), (_, wanted)) in found.iter().zip(wanted) {
        let norm =
            |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let gap = norm(&mut found.iter().zip(wanted).map(|(a, b)| a - b));
        let size = norm(&mut wanted.iter().copied());
        assert!(gap <= 2e-5 * size.max(1e-3), "{name}, {part}: {gap:e} of {size:e}");
    }
}

/// Every way in which the model calls a block.
fn cases() -> Vec<(&'static str, Rows, Mask)> {
    let n = 7;
    let lengths = Rows { lengths: Some(Arc::new(vec![9, 3, 1, 0, 8, 2, 5])), ..Rows::all(n, L) };
    let added = |sequence_specific: bool| {
        let rows = if sequence_specific { n } else { 1 };
        let values = (0..rows * L * L).map(|i| if i % 5 == 1 && i % L > 2 { -1e4 } else { 0.0 });
        Mask::Added(Added { values: Arc::new(values.collect()), sequence_specific, queries: L, keys: L })
    };
    vec![
        ("open", Rows::all(n, L), Mask::Open),
        ("causal", Rows::all(n, L), Mask::Causal),
        ("causal, left-padded", lengths, Mask::Causal),
        ("added to all", Rows::all(n, L), added(false)),
        ("added by sequence", Rows::all(n, L), added(true)),
    ]
}

/// 0 at rows that are not real: they mean nothing.
fn weight_of(rows: &Rows) -> Vec<f32> {
    let mut weight = values(rows.sequences * L * D, 77.0);
    for n in 0..rows.sequences {
        weight[n * L * D..rows.range(n).start * D].fill(0.0);
    }
    // An empty sequence keeps its last row, which the composed body lets read all of its padding.
    for (n, _) in rows.lengths.iter().flat_map(|l| l.iter().enumerate()).filter(|(_, l)| **l == 0) {
        weight[n * L * D..(n + 1) * L * D].fill(0.0);
    }
    weight
}

#[test]
fn kernels_equal_the_composed_block_and_all_its_gradients_with_and_without_noise() {
    for heads in [1, 3] {
        let block = block(D, heads);
        for (name, rows, mask) in cases() {
            for probability in [0.0, 0.3] {
                let shape = [rows.sequences, L, D];
                let (x, weight) = (values(7 * L * D, 1.0), weight_of(&rows));
                let noise = || Noise::new(3, probability);
                let fused = run(&block, &x, shape, &weight, &|b, x| b.forward(x, &rows, &mask, &mut noise()));
                let composed =
                    run(&block, &x, shape, &weight, &|b, x| b.composed(x, &rows, &mask, &mut noise()));
                assert_close(&format!("{name}, {heads} heads, dropout {probability}"), &fused, &composed);
            }
        }
    }
}

#[test]
fn the_readout_kernel_equals_the_composed_readout_and_all_its_gradients() {
    let queries = [0, 4, 8];
    for heads in [1, 2] {
        let block = block(D, heads);
        for sequence_specific in [None, Some(false), Some(true)] {
            let mask = sequence_specific.map(|sequence_specific| {
                let rows = if sequence_specific { 40 } else { 1 };
                let values = (0..rows * 3 * L).map(|i| if i % 4 == 1 && i % L > 0 { -1e4 } else { 0.0 });
                Added { values: Arc::new(values.collect()), sequence_specific, queries: 3, keys: L }
            });
            let (x, weight) = (values(40 * L * D, 2.0), values(40 * 3 * D, 9.0));
            let noise = || Noise::new(8, 0.2);
            let mask = mask.as_ref();
            let shape = [40, L, D];
            let fused =
                run(&block, &x, shape, &weight, &|b, x| b.forward_readout(x, &queries, mask, &mut noise()));
            let composed =
                run(&block, &x, shape, &weight, &|b, x| b.composed_readout(x, &queries, mask, &mut noise()));
            assert_close(&format!("{sequence_specific:?}, {heads} heads"), &fused, &composed);
        }
    }
}

/// More queries than a block of probabilities holds, more chunks than lanes.
#[test]
fn long_sequences_and_many_chunks_equal_the_composed_block() {
    for (n, l, width) in [(3, 230, 8), (90, 30, 8), (2, 40, 256)] {
        let block = block(width, 2);
        for mask in [Mask::Causal, Mask::Open] {
            let rows = Rows::all(n, l);
            // Weights with a mean: sums over so many rows would otherwise be rounding alone.
            let weight: Vec<f32> = values(n * l * width, 4.0).iter().map(|w| w + 0.5).collect();
            let x = values(n * l * width, 3.0);
            let shape = [n, l, width];
            let noise = || Noise::new(1, 0.1);
            let fused = run(&block, &x, shape, &weight, &|b, x| b.forward(x, &rows, &mask, &mut noise()));
            let composed = run(&block, &x, shape, &weight, &|b, x| b.composed(x, &rows, &mask, &mut noise()));
            assert_close(&format!("{n} × {l} × {width}"), &fused, &composed);
        }
    }
}

#[test]
fn slopes_of_the_kernels_equal_finite_differences() {
    // The composed body adds -1e9 to every score of a padded query: in f32 nothing of the score is left, but automatic
    // differentiation goes on through it. Kernels give such rows 0. Nobody reads them.
    let on = kernels_are_on().then_some(()).ok_or("CODISTILL_KERNELS turns them off");
    if need("kernels", on).is_none() {
        return;
    }
    let block = block(D, 2);
    let rows = Rows { lengths: Some(Arc::new(vec![4, 9])), ..Rows::all(2, L) };
    let whole = |x: Tensor<3>| {
        let y = block.forward(x, &rows, &Mask::Causal, &mut Noise::new(2, 0.2));
        block.forward_readout(y, &[5, 8], None, &mut Noise::new(4, 0.2))
    };
    let (x, direction) = (values(2 * L * D, 1.0), values(2 * L * D, 50.0));
    let weight = values(2 * 2 * D, 6.0);
    let value = |t: f32| -> f64 {
        let moved: Vec<f32> = x.iter().zip(&direction).map(|(x, d)| x + t * d).collect();
        let y = host(whole(tracked(&moved, [2, L, D])).inner());
        y.iter().zip(&weight).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    };
    let start = tracked(&x, [2, L, D]);
    let y = whole(start.clone());
    let weight_tensor = Tensor::from_data(TensorData::new(weight.clone(), [2, 2, D]), &y.device());
    let grad = host(start.grad(&(y * weight_tensor).sum().backward()).unwrap());
    let slope: f64 = grad.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
    let step = 2e-3;
    let difference = (value(step) - value(-step)) / (2.0 * f64::from(step));
    assert!((slope - difference).abs() < 2e-3 * slope.abs().max(1.0), "{slope} {difference}");
}

/// Of the sum of the block's results by its rows, and by a map inside it.
fn gradients_with_room(room: bool) -> [Vec<f32>; 2] {
    let _full = (!room).then(Saved::reserve_all);
    let block = block(D, 2);
    let rows = Rows { lengths: Some(Arc::new(vec![4, 9])), ..Rows::all(2, L) };
    let x = tracked(&values(2 * L * D, 1.0), [2, L, D]);
    let y = block.forward(x.clone(), &rows, &Mask::Causal, &mut Noise::new(2, 0.2));
    let weight = Tensor::from_data(TensorData::new(values(2 * L * D, 6.0), [2, L, D]), &y.device());
    let grads = (y * weight).sum().backward();
    [host(x.grad(&grads).unwrap()), host(block.query.weight.val().grad(&grads).unwrap())]
}

#[test]
fn inner_values_that_are_kept_and_those_computed_again_give_the_same_bits() {
    let _alone = ALONE.lock().unwrap();
    let [kept, again] = [true, false].map(gradients_with_room);
    assert_eq!(kept, again);
    assert!(kept[1].iter().any(|&g| g != 0.0));
}

#[test]
fn nan_is_not_hidden() {
    let block = block(D, 2);
    let mut x = values(2 * L * D, 1.0);
    x[L * D - 1] = f32::NAN;
    let rows = Rows::all(2, L);
    let y = host(block.forward(tracked(&x, [2, L, D]), &rows, &Mask::Open, &mut Noise::off()).inner());
    assert!(y[..L * D].iter().all(|y| y.is_nan()));
    assert!(y[L * D..].iter().all(|y| y.is_finite()));
}

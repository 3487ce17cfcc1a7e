//! Agreement with the authors' model, tensor by tensor. Each test prints a table with `--nocapture`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use burn::module::Module;
use burn::tensor::Tensor;
use codistill::config::{IdVisibility, OptimConfig, SavingsConfig};
use codistill::export::weights::to_authors;
use codistill::model::windows::WindowGroup;
use codistill::model::{ItemBlock, Recommender};
use codistill::objective::BLOCKED;
use codistill::objective::distill::ramp_up;
use codistill::ops::Noise;
use codistill::params::{self, Values, host};
use codistill::systems::codistill::batch::Batch;
use codistill::train::gradients::global_norm;
use codistill::train::optim::{AdamW, clip_coefficient};

use crate::fixture::{Case, ITEMS, Numbers, POSITIONS, World, all_savings, device};

const BRANCHES: [(&str, &str); 3] = [("id", "id"), ("text", "t"), ("image", "v")];

/// Collects comparisons and fails once, with the whole table.
struct Table {
    title: String,
    rows: String,
    failed: usize,
}

impl Table {
    fn new(title: &str) -> Self {
        Self { title: title.into(), rows: String::new(), failed: 0 }
    }

    fn row(&mut self, name: &str, kind: &str, difference: f64, tolerance: f64) {
        let ok = difference <= tolerance;
        self.failed += usize::from(!ok);
        let mark = if ok { "ok" } else { "DIFFERS" };
        writeln!(self.rows, "{name:<90} {kind:<9} {difference:>9.2e} of {tolerance:.0e}  {mark}").unwrap();
    }

    /// Largest absolute difference.
    fn absolute(&mut self, name: &str, ours: &[f32], theirs: &[f32], tolerance: f64) {
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let worst = ours.iter().zip(theirs).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        self.row(name, "absolute", worst, tolerance);
    }

    /// Norm of the difference over the norm.
    fn relative(&mut self, name: &str, ours: &[f32], theirs: &[f32], tolerance: f64) {
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let norm =
            |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let gap = norm(&mut ours.iter().zip(theirs).map(|(a, b)| a - b));
        self.row(name, "relative", gap / norm(&mut theirs.iter().copied()).max(1e-30), tolerance);
    }

    fn scalar(&mut self, name: &str, ours: f64, theirs: f64, tolerance: f64) {
        self.row(name, "relative", (ours - theirs).abs() / theirs.abs().max(1e-30), tolerance);
    }

    fn finish(self) {
        println!("\n{}\n{}", self.title, self.rows);
        assert_eq!(self.failed, 0, "{}\n{}", self.title, self.rows);
    }
}

/// Compares our `[R, U]` logits with the fixture's `[R, B·(S+1)]`, masked entries included.
fn compare_logits(table: &mut Table, name: &str, ours: &[f32], theirs: &[f32], ids: &[usize], batch: &Batch) {
    let width = batch.block.items.len();
    let columns = ids.len();
    let mut worst = 0.0f64;
    for row in 0..batch.histories.positions() {
        let weights = &batch.candidates.log_weight[row * width..(row + 1) * width];
        for (column, &item) in batch.block.items.iter().enumerate() {
            let same: Vec<f32> = (0..columns)
                .filter(|&c| ids[c] == item as usize)
                .map(|c| theirs[row * columns + c])
                .filter(|&z| z != -10_000.0)
                .collect();
            // What the fixture removes has weight 0 here; the others' number is the weight.
            let of_item: f32 = (0..width)
                .filter(|&c| batch.block.items[c] == item && weights[c] != BLOCKED)
                .map(|c| weights[c].exp())
                .sum();
            assert!((of_item - same.len() as f32).abs() < 1e-4, "{name}: row {row}, item {item}");
            if weights[column] != BLOCKED {
                let gap = f64::from((ours[row * width + column] - same[0]).abs());
                worst = worst.max(gap);
            }
        }
    }
    table.row(name, "absolute", worst, 2e-5);
}

/// Losses and logits of a variant against tensors behind `prefix`.
fn compare_losses(
    world: &World,
    table: &mut Table,
    numbers: &Numbers,
    prefix: &str,
    case: &Case,
    model: &Recommender,
    ids: &[usize],
) {
    let batch = world.batch(ids, case);
    let step = World::step(case, &device());
    let scores = host(step.scores(model, &batch).inner());
    let log_p = &batch.candidates.log_popularity;
    for ((_, short), z) in BRANCHES.iter().zip(scores.chunks_exact(batch.histories.positions() * log_p.len()))
    {
        let z: Vec<f32> = z.iter().enumerate().map(|(i, s)| s - log_p[i % log_p.len()]).collect();
        let name = format!("{prefix}out.logits_{short}");
        compare_logits(table, &name, &z, numbers.get(&name), ids, &batch);
    }
    let (values, grads) = step.gradients(model, &batch, 15);
    for ((_, short), &ours) in BRANCHES.iter().zip(&values.parts_named("loss/")) {
        let name = format!("{prefix}out.ce_{short}");
        table.scalar(&name, ours, numbers.scalar(&name), 2e-6);
    }
    for (name, ours) in
        ["kd_t_from_id", "kd_v_from_id", "kd_id_from_ens"].iter().zip(&values.parts_named("distill/"))
    {
        let name = format!("{prefix}out.{name}");
        table.scalar(&name, *ours, numbers.scalar(&name), 2e-6);
    }
    let ce: f64 = values.parts_named("loss/").iter().sum();
    table.scalar(&format!("{prefix}out.ce"), ce, numbers.scalar(&format!("{prefix}out.ce")), 2e-6);
    let weight = numbers.scalar(&format!("{prefix}out.kd_weight"));
    table.scalar(&format!("{prefix}out.kd_weight"), values.figure("distill_weight").unwrap(), weight, 2e-6);
    let kl = values.parts_named("distill/").iter().sum::<f64>() * values.figure("distill_weight").unwrap();
    table.scalar(&format!("{prefix}out.kl"), kl, numbers.scalar(&format!("{prefix}out.kl")), 2e-6);
    let norm = format!("{prefix}out.grad_norm_total");
    // Two of the variants come without it.
    if numbers.has(&norm) {
        table.scalar(&norm, global_norm(&grads), numbers.scalar(&norm), 2e-5);
    }
}

/// Gradients of all parameters under the authors' names and layout.
fn gradients_as_theirs(
    model: &Recommender,
    batch: &Batch,
    step: &codistill::systems::codistill::Step,
) -> BTreeMap<String, Values> {
    let (_, grads) = step.gradients(model, batch, 15);
    let mut values = params::read(model);
    values.retain(|name, _| grads.contains_key(name));
    for (name, grad) in grads {
        values.get_mut(&name).unwrap().values = host(grad.values());
    }
    to_authors(&values)
}

#[test]
fn every_intermediate_value_equals_the_authors() {
    let world = World::load();
    let ids = world.main.ints("in.item_ids");
    for (title, savings) in all_savings() {
        let case = Case::main(savings.clone());
        let model = world.model(&case, "none.", &device());
        let mut table = Table::new(&format!("intermediate values, {title}"));
        // One group of all distinct items, so that token positions agree with the fixture's.
        let mut items: Vec<u32> = ids.iter().filter(|&&i| i > 0).map(|&i| i as u32).collect();
        items.sort_unstable();
        items.dedup();
        let block = ItemBlock::build(items, &world.views(), 1);
        let group = &block.groups[0];
        let row_of = |position: usize| block.items.iter().position(|&i| i as usize == ids[position]);
        let compare = |table: &mut Table, name: &str, ours: Vec<f32>, real: &dyn Fn(usize, usize) -> bool| {
            let theirs = world.main.get(name);
            let width = theirs.len() / ids.len();
            let tokens = width / 16;
            let mut gathered = (Vec::new(), Vec::new());
            for position in 0..ids.len() {
                let Some(row) = row_of(position) else { continue };
                for token in (0..tokens).filter(|&t| real(position, t)) {
                    let at = |r: usize| r * width + token * 16..r * width + token * 16 + 16;
                    gathered.0.extend_from_slice(&ours[at(row)]);
                    gathered.1.extend_from_slice(&theirs[at(position)]);
                }
            }
            table.absolute(name, &gathered.0, &gathered.1, 2e-5);
        };
        let mask = world.main.get("in.text_mask").to_vec();
        let real = |position: usize, token: usize| token >= 4 || mask[position * 4 + token] == 1.0;
        let device = device();
        let tokens: Vec<Tensor<3>> =
            (0..3).map(|v| model.views[v].forward(&block.items, group.view(v), &device)).collect();
        for (name, x) in ["mid.text_proj", "mid.image_proj", "mid.id_proj"].iter().zip(&tokens) {
            compare(&mut table, name, host(x.clone().inner()), &real);
        }
        let tower = model.tower.as_ref().unwrap();
        for blocks in 1..=2 {
            let states = tower.states(tokens.clone(), group, blocks, &mut Noise::off());
            let name = format!("mid.imt_block{}", blocks - 1);
            compare(&mut table, &name, host(states.inner()), &real);
        }
        let fused = tower.forward(tokens, group, &[2, 0, 1], &savings, &mut Noise::off());
        for ((_, short), x) in BRANCHES.iter().zip(fused) {
            compare(&mut table, &format!("mid.imt_{short}"), host(x.inner()), &|_, _| true);
        }
        let vectors = model.encode_items(&block, &device, &mut Noise::off());
        for ((_, short), x) in BRANCHES.iter().zip(&vectors) {
            compare(&mut table, &format!("mid.item_{short}"), host(x.clone().inner()), &|_, _| true);
        }
        compare_users(&world, &mut table, &model, &case);
        table.finish();
    }
}

/// User encoder outputs at real positions.
fn compare_users(world: &World, table: &mut Table, model: &Recommender, case: &Case) {
    let device = device();
    let batch = world.batch(&world.main.ints("in.item_ids"), case);
    let items = model.encode_items(&batch.block, &device, &mut Noise::off());
    let all = WindowGroup { windows: vec![0, 1, 2], positions: POSITIONS };
    let padded = batch.histories.padded(vec![all]);
    let rows = batch.histories.rows(&padded);
    let places: Vec<i32> = padded[0].places.iter().map(|&place| place as i32).collect();
    let index = Tensor::<1, burn::tensor::Int>::from_data(places.as_slice(), &device);
    for (branch, ((_, short), x)) in BRANCHES.iter().zip(items).enumerate() {
        let x = x.select(0, index.clone()).reshape([3, POSITIONS, 16]);
        let users = host(model.encode_users(branch, x, &padded[0].rows, &mut Noise::off()).inner());
        let name = format!("mid.user_{short}");
        let pick = |values: &[f32]| -> Vec<f32> {
            rows.iter().flat_map(|&r| values[r as usize * 16..r as usize * 16 + 16].to_vec()).collect()
        };
        table.absolute(&name, &pick(&users), &pick(world.main.get(&name)), 2e-5);
    }
}

#[test]
fn logits_losses_and_every_gradient_equal_the_authors() {
    let world = World::load();
    let ids = world.main.ints("in.item_ids");
    for (title, savings) in all_savings() {
        let case = Case::main(savings);
        let model = world.model(&case, "none.", &device());
        let mut table = Table::new(&format!("main batch, {title}"));
        compare_losses(&world, &mut table, &world.main, "", &case, &model, &ids);
        let batch = world.batch(&ids, &case);
        let ours = gradients_as_theirs(&model, &batch, &World::step(&case, &device()));
        let theirs = world.main.below("g.");
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (name, theirs) in &theirs {
            table.relative(&format!("g.{name}"), &ours[name].values, &theirs.values, 2e-5);
        }
        table.finish();
    }
}

#[test]
fn visible_id_constant_alpha_one_layer_and_duplicates_equal_the_authors() {
    let world = World::load();
    let main_ids = world.main.ints("in.item_ids");
    let big_ids = world.extra.ints("big.in.item_ids");
    for (title, savings) in all_savings() {
        let main = Case::main(savings);
        let visible = Case { id_visible: IdVisibility::All, ..main.clone() };
        let constant = Case { alpha: 0.02, temperature: 0.5, ..main.clone() };
        let shallow = Case { blocks: 1, ..main.clone() };
        let mut table = Table::new(&format!("variants, {title}"));
        for (prefix, case, weights, ids) in [
            ("v3.", &visible, "none.", &main_ids),
            ("const_alpha.", &constant, "none.", &main_ids),
            ("one_layer.", &shallow, "one_layer.w.", &main_ids),
            ("big.", &main, "none.", &big_ids),
        ] {
            let model = world.model(case, weights, &device());
            compare_losses(&world, &mut table, &world.extra, prefix, case, &model, ids);
        }
        let model = world.model(&main, "none.", &device());
        let batch = world.batch(&big_ids, &main);
        let ours = gradients_as_theirs(&model, &batch, &World::step(&main, &device()));
        for (name, norm) in world.extra.below("big.gn.") {
            let ours = ours[&name].values.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            table.scalar(&format!("big.gn.{name}"), ours, f64::from(norm.values[0]), 2e-5);
        }
        table.finish();
    }
}

#[test]
fn one_clipped_adamw_step_equals_the_authors() {
    let world = World::load();
    for (title, savings) in all_savings() {
        let case = Case::main(savings);
        let model = world.model(&case, "none.", &device());
        let batch = world.batch(&world.main.ints("in.item_ids"), &case);
        let (_, grads) = World::step(&case, &device()).gradients(&model, &batch, 15);
        let mut table = Table::new(&format!("one AdamW step, {title}"));
        let norm = global_norm(&grads);
        table.scalar("out.clip_return", norm, world.main.scalar("out.clip_return"), 2e-5);
        let config = OptimConfig::default();
        let scale = clip_coefficient(norm, config.clip_norm);
        let model = AdamW::new(&config).step(model, grads, config.lr, scale);
        let ours = to_authors(&params::read(&model));
        for (name, gradient) in world.main.below("g.") {
            let theirs = world.main.get(&format!("w1.{name}"));
            // Where the gradient is near 0 its sign, and so the step, is rounding.
            let clear: Vec<usize> = (0..theirs.len()).filter(|&i| gradient.values[i].abs() > 1e-5).collect();
            let pick = |values: &[f32]| clear.iter().map(|&i| values[i]).collect::<Vec<f32>>();
            table.absolute(&format!("w1.{name}"), &pick(&ours[&name].values), &pick(theirs), 1e-6);
        }
        table.finish();
    }
}

#[test]
fn ten_step_curves_equal_the_authors() {
    let world = World::load();
    let main_ids = world.main.ints("in.item_ids");
    let big_ids = world.extra.ints("big.in.item_ids");
    for (prefix, lr, tolerance) in [("traj.", 1e-4, 2e-5), ("traj_fast.", 1e-2, 2e-3)] {
        for (title, savings) in [all_savings().remove(0), ("all savings", SavingsConfig::default())] {
            let case = Case::main(savings);
            let mut model = world.model(&case, "none.", &device());
            let step = World::step(&case, &device());
            let config = OptimConfig { lr, ..OptimConfig::default() };
            let mut optimiser = AdamW::new(&config);
            let mut table = Table::new(&format!("{prefix} ten steps, {title}"));
            for s in 0..10 {
                let ids = if s % 2 == 0 { &main_ids[..] } else { &big_ids[..3 * (POSITIONS + 1)] };
                let (values, grads) = step.gradients(&model, &world.batch(ids, &case), s + 1);
                let norm = global_norm(&grads);
                let ce: f64 = values.parts_named("loss/").iter().sum();
                let kl = values.parts_named("distill/").iter().sum::<f64>()
                    * values.figure("distill_weight").unwrap();
                for (name, ours) in [("ce", ce), ("kl", kl), ("grad_norm", norm)] {
                    let theirs = f64::from(world.extra.get(&format!("{prefix}{name}"))[s]);
                    table.scalar(&format!("{prefix}{name}[{s}]"), ours, theirs, tolerance);
                }
                model = optimiser.step(model, grads, lr, clip_coefficient(norm, 5.0));
            }
            let ours = to_authors(&params::read(&model));
            for (name, theirs) in world.extra.below(&format!("{prefix}final.")) {
                let name_here = format!("{prefix}final.{name}");
                table.relative(&name_here, &ours[&name].values, &theirs.values, tolerance);
            }
            table.finish();
        }
    }
}

#[test]
fn ramp_up_equals_the_authors_table() {
    let world = World::load();
    let epochs = world.extra.ints("rampup.epoch");
    for alpha in [20, 40, 50, 60] {
        let theirs = world.extra.get(&format!("rampup.alpha{alpha}"));
        for (&epoch, &w) in epochs.iter().zip(theirs) {
            assert!(
                (ramp_up(f64::from(alpha), epoch) - f64::from(w)).abs() < 1e-7,
                "alpha {alpha}, epoch {epoch}"
            );
        }
    }
}

#[test]
fn catalogue_vectors_equal_the_authors() {
    let world = World::load();
    let case = Case::main(SavingsConfig::default());
    let model = world.model(&case, "none.", &device()).valid();
    let block = ItemBlock::build((1..=ITEMS as u32).collect(), &world.views(), 4);
    let device = burn::tensor::Device::flex();
    let mut table = Table::new("evaluation");
    for ((_, short), x) in BRANCHES.iter().zip(model.encode_items(&block, &device, &mut Noise::off())) {
        let ours = host(x);
        let theirs = world.extra.get(&format!("eval.item_{short}"));
        let mut gap = 0.0f64;
        for (row, &item) in block.items.iter().enumerate() {
            for k in 0..16 {
                gap = gap.max(f64::from((ours[row * 16 + k] - theirs[item as usize * 16 + k]).abs()));
            }
        }
        table.row(&format!("eval.item_{short}"), "absolute", gap, 2e-5);
    }
    table.finish();
}

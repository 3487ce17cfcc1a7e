//! Histories that are read without a view in training.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Tensor;
use codistill::config::ModelConfig;
use codistill::model::windows::WindowGroup;
use codistill::model::{Column, DataShape, Histories, ItemBlock, Recommender, ViewSource, Without};
use codistill::nn::Init;
use codistill::objective::Objective;
use codistill::ops::Noise;
use codistill::params::{self, host};
use codistill::systems::codistill::batch::Batch;
use codistill::systems::codistill::masked::HistoryDropout;
use codistill::systems::codistill::step::{Dropout, Step};
use codistill::train::gradients::global_norm;
use serde_json::Value;

use crate::fixture::{Case, ITEMS, POSITIONS, World, all_savings, device};
use crate::program::{Said, codistill, path, run, tiny};
use crate::resume::{Ended, steps};

/// The fixtures' views, with and without tower.
fn config(case: &Case, has_tower: bool) -> ModelConfig {
    let mut config = case.model_config();
    config.views[0].history_dropout = 0.6;
    config.views[1].history_dropout = 0.6;
    if !has_tower {
        config.tower = None;
    }
    config
}

fn fresh(config: &ModelConfig, case: &Case) -> Recommender {
    let shape = DataShape { items: ITEMS, max_seq_len: POSITIONS, feature_widths: vec![24, 24, 0] };
    Recommender::new(config, &case.savings, &shape, &|_| Vec::new(), &mut Init::new(7, &device()))
}

fn step(case: &Case, is_sparse: bool) -> Step {
    let objective =
        Objective::new(&case.objective_config(), &["id", "text", "image"].map(String::from), ITEMS);
    Step::new(objective, &device(), Dropout::default(), case.savings.length_groups).with_row_sparse(is_sparse)
}

fn hidden(view: &ViewSource) -> ViewSource {
    ViewSource { store: Arc::new(view.store.hiding(&[true; ITEMS + 1])), ..view.clone() }
}

/// A batch whose windows drop different views, and what each of them drops.
fn batch(world: &World, case: &Case, config: &ModelConfig) -> (Batch, Vec<Without>) {
    let sampler = world.sampler(&world.main.ints("in.item_ids"), case);
    let dropout = HistoryDropout::new(config).unwrap();
    let count = sampler.windows().len();
    let draws = |key: u64| (0..count).map(|window| dropout.draw(key, window)).collect::<Vec<_>>();
    // One window is whole, one lacks the text, one lacks both.
    let wanted = |drawn: &[Without]| {
        let has = |text: bool, image: bool| {
            drawn.iter().any(|without| without.contains(0) == text && without.contains(1) == image)
        };
        has(false, false) && has(true, false) && has(true, true)
    };
    let key = (0..10_000).find(|&key| wanted(&draws(key))).unwrap();
    let windows = sampler.windows().to_vec();
    let drawn = draws(key);
    (sampler.with_history_dropout(Some(dropout)).assemble(&windows, key), drawn)
}

/// Scores of the batch's rows, computed from items that really lack what their window drops.
fn expected_scores(world: &World, model: &Recommender, batch: &Batch, drawn: &[Without]) -> Vec<Vec<f32>> {
    let views = world.views();
    let poorer = |text: bool, image: bool| -> Vec<Tensor<2>> {
        let mut views = views.clone();
        for (view, is_hidden) in [text, image].into_iter().enumerate() {
            if is_hidden {
                views[view] = views[view].as_ref().map(hidden);
            }
        }
        let block = ItemBlock::build((1..=ITEMS as u32).collect(), &views, 4);
        let vectors = model.encode_items(&block, &device(), &mut Noise::off());
        let mut place = vec![0; ITEMS];
        (0..).zip(&block.items).for_each(|(row, &item)| place[item as usize - 1] = row);
        vectors.into_iter().map(|x| codistill::ops::lookup::lookup(x, &place)).collect()
    };
    let variants = [poorer(false, false), poorer(true, false), poorer(false, true), poorer(true, true)];
    let histories: Histories<Column> = (0..batch.histories.count())
        .map(|window| {
            let variant = usize::from(drawn[window].contains(0)) + 2 * usize::from(drawn[window].contains(1));
            let items = batch.histories.history(window).iter().map(|c| batch.block.items[c.0 as usize]);
            items.map(move |item| Column((variant * ITEMS) as u32 + item - 1)).collect::<Vec<_>>()
        })
        .collect();
    let all = WindowGroup { windows: (0..histories.count() as u32).collect(), positions: POSITIONS };
    let padded = histories.padded(vec![all]);
    let rows = histories.rows(&padded);
    let candidates: Vec<u32> = batch.block.items.iter().map(|&item| item - 1).collect();
    let branches = (0..model.branches.len()).map(|branch| {
        let items = Tensor::cat(variants.iter().map(|variant| variant[branch].clone()).collect(), 0);
        let users = model.encode_histories(branch, &items, &padded, &rows, &mut Noise::off());
        let candidates = codistill::ops::lookup::lookup(variants[0][branch].clone(), &candidates);
        host(users.matmul(candidates.transpose()).inner())
    });
    branches.collect()
}

#[test]
fn a_dropped_history_is_read_as_items_that_lack_the_view_and_candidates_are_whole() {
    let world = World::load();
    for (title, savings) in all_savings() {
        let case = Case::main(savings);
        for has_tower in [true, false] {
            let config = config(&case, has_tower);
            let model = fresh(&config, &case);
            let (batch, drawn) = batch(&world, &case, &config);
            let expected = expected_scores(&world, &model, &batch, &drawn).concat();
            for is_sparse in [false, true] {
                let found = host(step(&case, is_sparse).scores(&model, &batch).inner());
                assert_eq!(found.len(), expected.len());
                for (a, b) in found.iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{title}, tower {has_tower}: {a} {b}");
                }
            }
        }
    }
}

#[test]
fn what_is_copied_is_what_the_dropped_windows_need() {
    let world = World::load();
    for (title, savings) in all_savings() {
        let is_distinct = savings.distinct_items;
        let case = Case::main(savings);
        let whole = world.sampler(&world.main.ints("in.item_ids"), &case);
        for has_tower in [true, false] {
            let (batch, drawn) = batch(&world, &case, &config(&case, has_tower));
            let plain = whole.assemble(whole.windows(), batch.noise_key);
            assert_eq!(Batch { masked: Vec::new(), ..batch.clone() }, plain, "{title}");
            let readers: Vec<_> = batch.masked.iter().map(|masked| masked.view).collect();
            assert_eq!(readers, if has_tower { vec![None] } else { vec![Some(0), Some(1)] });
            for masked in &batch.masked {
                let behind = batch.block.items.len() as u32;
                let drops = |window: usize| {
                    (0..2)
                        .filter(|&v| masked.view.is_none_or(|own| own == v))
                        .any(|v| drawn[window].contains(v))
                };
                let mut copied = 0;
                for (window, _) in drawn.iter().enumerate() {
                    let own = masked.histories.history(window);
                    for (copy, column) in own.iter().zip(batch.histories.history(window)) {
                        assert_eq!(copy.0 >= behind, drops(window), "{title}");
                        if copy.0 >= behind {
                            let item = masked.block.items[(copy.0 - behind) as usize];
                            assert_eq!(item, batch.block.items[column.0 as usize]);
                            copied += 1;
                        }
                    }
                }
                let copies = masked.block.items.len();
                assert!(if is_distinct { copies <= copied } else { copies == copied }, "{copies} {copied}");
            }
        }
    }
}

#[test]
fn a_history_that_has_lost_its_view_trains_the_token_that_stands_in() {
    let world = World::load();
    let case = Case::main(all_savings().pop().unwrap().1);
    for has_tower in [true, false] {
        let config = config(&case, has_tower);
        let model = fresh(&config, &case);
        let (batch, _) = batch(&world, &case, &config);
        let whole = Batch { masked: Vec::new(), ..batch.clone() };
        let [dense, sparse] =
            [false, true].map(|is_sparse| step(&case, is_sparse).gradients(&model, &batch, 1));
        assert_eq!(dense.0, sparse.0);
        let norms = [global_norm(&dense.1), global_norm(&sparse.1)];
        assert!(norms[0].is_finite() && (norms[0] / norms[1] - 1.0).abs() < 1e-5, "{norms:?}");
        assert_ne!(dense.0, step(&case, false).gradients(&model, &whole, 1).0);
        for view in ["text", "image"] {
            let missing = params::host(dense.1[&format!("views.{view}.missing")].values());
            assert!(missing.iter().any(|&g| g != 0.0), "{view}");
        }
    }
}

/// Sets that drop histories of both views.
const DROPPING: [&str; 2] = ["model.views.1.history_dropout=0.5", "model.views.2.history_dropout=0.3"];

#[test]
fn dropped_histories_change_the_training_and_neither_threads_nor_a_stop_change_them() {
    let home = tempfile::tempdir().unwrap();
    let sets = [&DROPPING[..], &["train.checkpoint_steps=2", "train.keep=20"]].concat();
    let train = |name: &str, sets: &[&str], threads: &str| -> PathBuf {
        let arguments = tiny(&home.path().join(name), sets);
        Said::from(codistill(&arguments).env("RAYON_NUM_THREADS", threads).output().unwrap()).fine();
        home.path().join(name).join("quickstart")
    };
    let whole = train("whole", &sets, "1");
    let expected = Ended::of(&whole);
    Ended::of(&train("threads", &sets, "3")).must_equal(&expected);
    // The newest checkpoints are gone, the last that is left in the middle of an epoch.
    let all = steps(&whole);
    assert!(all.len() > 5);
    all[3..].iter().for_each(|(step, _)| fs::remove_dir_all(step).unwrap());
    run(&["train", "--resume", path(&whole)]).fine();
    Ended::of(&whole).must_equal(&expected);

    let losses = |run: &Path| -> Vec<f64> {
        let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| line["train/loss/total"].as_f64()).collect()
    };
    let none = train("none", &sets[2..], "2");
    let zeros = ["model.views.1.history_dropout=0", "model.views.2.history_dropout=0.0"];
    let off = train("off", &[&zeros[..], &sets[2..]].concat(), "2");
    Ended::of(&off).must_equal(&Ended::of(&none));
    let (dropped, kept) = (losses(&whole), losses(&none));
    assert_eq!(dropped.len(), kept.len());
    assert!(dropped[0] != kept[0] && (dropped[0] / kept[0] - 1.0).abs() < 0.5, "{dropped:?} {kept:?}");
}

#[test]
fn branches_without_a_tower_lose_their_own_view_alone() {
    let home = tempfile::tempdir().unwrap();
    let lone = ["model.tower=none", "objective.distill.pairs=[]", "train.epochs=1", "model.item_dropout=0.2"];
    let train = |name: &str, more: &[&str]| -> PathBuf {
        let named = format!("run.name={name}");
        run(&tiny(home.path(), &[&lone[..], &[named.as_str()], more].concat())).fine();
        home.path().join(name)
    };
    let (whole, dropped) = (train("whole", &[]), train("dropped", &DROPPING[..1]));
    let first = |run: &Path, branch: &str| -> f64 {
        let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        line[format!("train/loss/{branch}")].as_f64().unwrap()
    };
    for branch in ["id", "image"] {
        assert_eq!(first(&whole, branch).to_bits(), first(&dropped, branch).to_bits(), "{branch}");
    }
    assert_ne!(first(&whole, "text"), first(&dropped, "text"));
}

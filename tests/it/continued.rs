//! Trained weights on a newer data set: whose ID vectors its items have, what is told, and what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use codistill::data::{Dataset, Items, Part, write_dataset};
use codistill::features::{FeatureStore, StoreWriter, item_ids_hash};
use codistill::params;
use codistill::run::successor::warm::NewRows;
use codistill::run::successor::{Warm, warm_start};
use codistill::run::{OpenOptions, Run};
use codistill::systems::{self, CoDistill};
use codistill::tensors::Values;
use codistill::train::Setup;
use codistill::train::run_dir::{RunDir, Which};
use codistill::train::trainer::Trainer;
use serde_json::{Value, json};

use crate::inputs::change_features;
use crate::program::{self, Said, dataset, path, run, tiny};

/// Arguments of a tiny SASRec training, `name` its run in `home`.
fn sasrec(home: &Path, name: &str, more: &[&str]) -> Vec<String> {
    program::sasrec(home, name, 2, more)
}

fn go_on(run_dir: &Path, data: &Path, more: &[&str]) -> Said {
    let args = ["train", "--continue", path(run_dir), "--data", path(data), "--device", "cpu"];
    run(&[&args[..], more].concat())
}

/// Items of the older data set that are gone in the newer one, and whose features its new items have.
const GONE: u32 = 3;
const LIKE: [(&str, u32); 3] = [("new-a", 5), ("new-b", 5), ("new-c", 9)];

/// What is in the newer data set's place `item`: an item of the older one, or a new one.
fn order(old: &Items) -> Vec<Result<u32, &'static str>> {
    let kept = (1..=old.count() as u32).rev().filter(|&item| item != GONE).map(Ok);
    let new = LIKE.map(|(id, _)| Err(id));
    std::iter::once(new[0]).chain(kept).chain([new[1], new[2]]).collect()
}

/// The data set at `from` with its items in the opposite order, one of them gone and three new ones that the last users have
/// at the end of their training; with features where there are any.
fn newer(from: &Path, dest: &Path) -> Dataset {
    let old = Dataset::open(from).unwrap();
    let order = order(&old.items);
    let place = |wanted: Result<u32, &str>| order.iter().position(|item| *item == wanted).unwrap() as u32 + 1;
    let column = |values: &[String]| -> Vec<String> {
        let of =
            |item: &Result<u32, &str>| item.map_or_else(|_| String::new(), |n| values[n as usize].clone());
        std::iter::once(String::new()).chain(order.iter().map(of)).collect()
    };
    let mut items = Items {
        ids: column(&old.items.ids),
        titles: column(&old.items.titles),
        texts: column(&old.items.texts),
        categories: column(&old.items.categories),
        images: column(&old.items.images),
        ..Items::default()
    };
    for (id, _) in LIKE {
        id.clone_into(&mut items.ids[place(Err(id)) as usize]);
    }
    let mut data = Dataset { items, ..old.clone() };
    let s = &mut data.sequences;
    for item in &mut s.items {
        // Who had what is gone had its neighbour.
        *item = place(Ok(if *item == GONE { GONE + 1 } else { *item }));
    }
    for (n, (id, _)) in LIKE.iter().enumerate() {
        let user = s.users() - 1 - n;
        let last = s.parts_of(user).iter().rposition(|&part| part == Part::Train).unwrap();
        let at = s.offsets[user] + last;
        s.items[at] = place(Err(id));
    }
    write_dataset(dest, &data, &json!({}), json!({"report": {}})).unwrap();
    for view in ["text", "image"].iter().filter(|view| from.join("features").join(view).exists()) {
        let store = FeatureStore::open(&from.join("features").join(view)).unwrap();
        let (count, width) = (order.len(), store.width());
        fs::create_dir_all(dest.join("features")).unwrap();
        let mut writer = StoreWriter::create(
            &dest.join("features").join(view),
            count,
            store.tokens(),
            width,
            store.precision(),
        )
        .unwrap();
        for (item, source) in (1u32..).zip(&order) {
            let like = |id: &&str| LIKE.iter().find(|(other, _)| other == id).unwrap().1;
            let source = source.unwrap_or_else(|id| like(&id));
            let mut tokens = vec![0.0; store.length(source) * width];
            store.gather_into(source, store.length(source), &mut tokens);
            if !tokens.is_empty() {
                writer.push(item, &tokens).unwrap();
            }
        }
        writer.finish(json!({ "item_ids_sha256": item_ids_hash(&data.items.ids) })).unwrap();
    }
    data
}

/// The parameters of a training that starts from the run at `parent` on the data set at `data`, before its first step.
fn started(parent: &Path, data: &Path) -> (BTreeMap<String, Values>, Warm) {
    let (_, checkpoint) = RunDir::new(parent).checkpoint(&Which::Best).unwrap();
    let mut config = checkpoint.config;
    config.data.path = Some(data.to_owned());
    config.train.parent = Some(parent.to_owned());
    config.device = "cpu".into();
    let system = systems::open(Setup::open(config, &Device::flex()).unwrap()).unwrap();
    let own = system.as_any().downcast_ref::<CoDistill>().unwrap();
    let mut trainer = Trainer::new(own).unwrap();
    let warm = warm_start(system.as_ref(), &mut trainer, None).unwrap().unwrap();
    (params::read(trainer.model()), warm)
}

/// The rows of the ID table among parameters.
fn rows(all: &BTreeMap<String, Values>) -> Vec<&[f32]> {
    let table = &all["views.id.table"];
    table.values.chunks(table.shape[1]).collect()
}

/// Checks that known items have the rows that they had, and that nothing else is another; the rows of the new items.
fn check_known(parent: &Path, data: &Dataset, now: &BTreeMap<String, Values>) -> Vec<Vec<f32>> {
    let (_, checkpoint) = RunDir::new(parent).checkpoint(&Which::Best).unwrap();
    let then = checkpoint.params;
    let (before, after) = (rows(&then), rows(now));
    assert_eq!(after.len(), data.items.count() + 1);
    let old = run_of(parent);
    let numbers = old.codistill().unwrap().system.setup.dataset.items.numbers();
    let mut new = Vec::new();
    for (id, row) in data.items.ids.iter().zip(&after).skip(1) {
        match numbers.get(id.as_str()) {
            Some(number) => assert_eq!(row, &before[number.index()], "{id}"),
            None => new.push(row.to_vec()),
        }
    }
    for (name, values) in then.iter().filter(|(name, _)| *name != "views.id.table") {
        assert!(now[name] == *values, "{name}");
    }
    assert_eq!(now.len(), then.len());
    new
}

fn run_of(root: &Path) -> Run {
    Run::open(root, &OpenOptions { device: "cpu".into(), ..OpenOptions::default() }).unwrap()
}

#[test]
fn items_keep_their_vectors_by_their_ids_and_new_ones_begin_with_the_mean_without_content() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&sasrec(home, "own", &[])).fine();
    let (own, next) = (home.join("own"), home.join("next"));
    let data = newer(&dataset(home), &next);
    let (now, warm) = started(&own, &next);
    let new = check_known(&own, &data, &now);
    let counts = run_of(&own).codistill().unwrap().system.window_counts().to_vec();
    assert_eq!((warm.new, warm.gone, warm.rule), (3, 1, Some(NewRows::Mean)));
    assert_eq!(warm.known + warm.new, data.items.count());
    let (_, checkpoint) = RunDir::new(&own).checkpoint(&Which::Best).unwrap();
    let table = rows(&checkpoint.params);
    let trained: Vec<&[f32]> =
        table.iter().zip(&counts).filter(|(_, events)| **events > 0).map(|(row, _)| *row).collect();
    for (place, value) in new[0].iter().enumerate() {
        let mean = trained.iter().map(|row| f64::from(row[place])).sum::<f64>() / trained.len() as f64;
        assert!((f64::from(*value) - mean).abs() < 1e-6, "{place}");
    }
    assert!(new[0] == new[1] && new[1] == new[2]);
}

#[test]
fn new_items_with_content_begin_where_a_ridge_regression_puts_them() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&tiny(home, &["data.synth.users=400", "train.epochs=3", "optim.lr=5e-3"])).fine();
    let (own, next) = (home.join("quickstart"), home.join("next"));
    let data = newer(&dataset(home), &next);
    let (now, warm) = started(&own, &next);
    let new = check_known(&own, &data, &now);
    assert_eq!(warm.rule, Some(NewRows::Ridge));
    // Equal content, equal vectors up to the rounding of batches, and no constant.
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart(&new[0], &new[1]) < 1e-5 && apart(&new[1], &new[2]) > 1e-2, "{new:?}");
    assert!(warm.seen.is_empty(), "{:?}", warm.seen);

    // Features of another encoder fit in width alone.
    change_features(&next.join("features/text"));
    go_on(&own, &next, &["--set", "train.epochs=1"])
        .refused("other features of view `text`", "--accept-changed");
    go_on(&own, &next, &["--set", "train.epochs=1", "--accept-changed"]).fine();
    fs::remove_dir_all(next.join("features/text")).unwrap();
    let said = go_on(&own, &next, &[]);
    assert!(said.code == Some(1) && said.stderr.contains("`text`"), "{}", said.stderr);
}

/// All files of a directory with their bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            all.extend(files(&entry));
        } else {
            all.insert(entry.clone(), fs::read(&entry).unwrap());
        }
    }
    all
}

fn last(run_dir: &Path) -> PathBuf {
    RunDir::new(run_dir).checkpoint(&Which::Last).unwrap().0
}

#[test]
fn a_run_that_goes_on_is_a_new_one_that_names_its_parent_and_resumes_to_the_same_bits() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&sasrec(home, "own", &[])).fine();
    let (own, next) = (home.join("own"), home.join("next"));
    newer(&dataset(home), &next);
    let before = files(&own);
    let sets = ["--set", "train.epochs=3", "--set", "train.checkpoint_steps=3", "--set", "train.keep=100"];
    let said = go_on(&own, &next, &sets).fine();
    assert!(files(&own) == before, "the parent stays as it is");
    for part in
        ["79 items keep their vectors", "3 items are new", "1 items of", "the mean of the trained ID vectors"]
    {
        assert!(said.stderr.contains(part), "no `{part}` in {}", said.stderr);
    }
    let made = home.join("own-continued");
    let (_, parent) = RunDir::new(&own).checkpoint(&Which::Best).unwrap();
    let (_, child) = RunDir::new(&made).checkpoint(&Which::Last).unwrap();
    assert_eq!(child.parents.start.as_ref(), Some(&parent.hash));
    assert_eq!((child.state.epoch, child.config.train.epochs), (4, 3));
    let inputs: Value = serde_json::from_str(&fs::read_to_string(made.join("inputs.json")).unwrap()).unwrap();
    assert_eq!(inputs["start"]["parent"]["hash"], json!(parent.hash));
    let card = home.join("card");
    run(&["export", path(&made), "--output", path(&card), "--device", "cpu"]).fine();
    let card = fs::read_to_string(card.join("README.md")).unwrap();
    assert!(card.contains(&format!("| started from | the weights of `{}` |", parent.hash)), "{card}");

    let end =
        || ["model.safetensors", "optimizer.safetensors"].map(|f| fs::read(last(&made).join(f)).unwrap());
    let whole = end();
    let cut = |kept: usize| {
        let mut steps: Vec<PathBuf> =
            fs::read_dir(made.join("steps")).unwrap().map(|entry| entry.unwrap().path()).collect();
        steps.sort();
        steps[kept..].iter().for_each(|step| fs::remove_dir_all(step).unwrap());
    };
    let resumed = || run(&["train", "--resume", path(&made), "--device", "cpu"]);
    for kept in [2, 0] {
        cut(kept);
        resumed().fine();
        assert!(end() == whole, "{kept} checkpoints left");
        let now: Value =
            serde_json::from_str(&fs::read_to_string(made.join("inputs.json")).unwrap()).unwrap();
        assert_eq!(now, inputs);
    }
    // A start that is gone is needed where nothing was saved, and nowhere else.
    cut(2);
    let away = home.join("away");
    fs::rename(&own, &away).unwrap();
    resumed().fine();
    assert!(end() == whole);
    cut(0);
    resumed().refused("the checkpoint that the training started from is gone", "begin again");
    run(&sasrec(home, "own", &["seed=2"])).fine();
    resumed().refused("the checkpoint that the training started from is gone", "put that run back");
    fs::remove_dir_all(&own).unwrap();
    fs::rename(&away, &own).unwrap();
    resumed().fine();
    assert!(end() == whole);

    // The child of a child, and its refit, which starts where it did.
    let again = ["--name", "again", "--set", "train.epochs=1"];
    go_on(&own, &next, &again).fine();
    run(&["train", "--refit", path(&home.join("again")), "--on", "all", "--device", "cpu"]).fine();
    let (_, refit) = RunDir::new(&home.join("again-refit")).checkpoint(&Which::Last).unwrap();
    let (_, again) = RunDir::new(&home.join("again")).checkpoint(&Which::Last).unwrap();
    assert!(refit.parents.start.is_some() && refit.parents.start == again.parents.start);
    assert!(refit.params != again.params);
}

#[test]
fn targets_that_the_parent_was_trained_on_are_told() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&sasrec(home, "own", &["train.epochs=1"])).fine();
    let (own, data) = (home.join("own"), dataset(home));
    let said = go_on(&own, &data, &[]).fine();
    assert!(!said.stderr.contains("too high"), "{}", said.stderr);
    run(&["train", "--refit", path(&own), "--on", "all", "--device", "cpu"]).fine();
    let said = go_on(&home.join("own-refit"), &data, &["--set", "data.train_parts=train"]).fine();
    for part in ["validation", "test"] {
        let line = format!(" of the 120 {part} targets: figures on them are too high");
        assert!(said.stderr.contains(&line), "{}", said.stderr);
    }
}

#[test]
fn what_can_not_be_gone_on_with_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&sasrec(home, "own", &[])).fine();
    let (own, data) = (home.join("own"), dataset(home));
    let asked =
        |more: &[&str]| run(&[&["train", "--device", "cpu", "--continue", path(&own)], more].concat());
    asked(&[]).refused("does not say what to train on", "--data DIR");
    let place = ["--data", path(&data)];
    let with = |more: &[&str]| asked(&[&place[..], more].concat());
    with(&["--on", "all"]).refused("--on does nothing with --continue", "data.train_parts");
    with(&["configs/sasrec.toml"]).refused("the run's own configuration", "leave the file out");
    with(&["--resume", path(&own)]).refused("--resume contradicts --continue", "one of them");
    with(&["--set", "data.path=x"]).refused("names the data set already", "leave --set data.path out");
    with(&["--set", "model.width=16"])
        .refused("the weights to start from don't fit", "leave out --set model");
    asked(&["--data", path(&home.join("nothing"))]).refused("nothing", "prepare");

    let mut strangers = Dataset::open(&data).unwrap();
    strangers.items.ids.iter_mut().skip(1).for_each(|id| id.insert(0, 'x'));
    let other = home.join("strangers");
    write_dataset(&other, &strangers, &json!({}), json!({"report": {}})).unwrap();
    asked(&["--data", path(&other)]).refused("has none of the 80 items of", "matched by the ids");

    let away = home.join("away");
    fs::rename(&data, &away).unwrap();
    asked(&["--data", path(&away)]).refused("can't be opened with its own data set", "put back");
    fs::rename(&away, &data).unwrap();
    fs::remove_dir_all(last(&own)).unwrap();
    with(&[]).refused("has not ended: its newest checkpoint is of epoch 2", "train --resume");
    assert!(!home.join("own-continued").exists(), "a refused training leaves nothing behind");
}

//! A trained model and its inputs: found from anywhere, refused where they changed; one writer at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use codistill::data::{Dataset, write_dataset};
use codistill::features::{FeatureStore, Precision, StoreWriter};
use codistill::lock::{DirLock, is_held};
use serde_json::{Value, json};

use crate::program::{Said, codistill, dataset, flip, path, run, tiny};

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target);
        } else {
            fs::copy(source, target).unwrap();
        }
    }
}

/// A run and its data set in a directory of their own, which is not the one where it was trained.
struct Shop {
    home: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        static TRAINED: OnceLock<tempfile::TempDir> = OnceLock::new();
        let template = TRAINED.get_or_init(|| {
            let home = tempfile::tempdir().unwrap();
            let (there, here) = (home.path().join("there"), home.path().join("here"));
            run(&tiny(&there, &["train.epochs=1"])).fine();
            // Nothing may be found at its old place.
            fs::rename(there, here).unwrap();
            home
        });
        let home = tempfile::tempdir().unwrap();
        copy_tree(&template.path().join("here"), &home.path().join("shop"));
        Self { home }
    }

    fn run(&self) -> PathBuf {
        self.home.path().join("shop/quickstart")
    }

    fn data(&self) -> PathBuf {
        dataset(&self.home.path().join("shop"))
    }

    fn text(&self) -> PathBuf {
        self.data().join("features/text")
    }

    /// Arguments of a command on the run; what it writes is new at each call.
    fn args(&self, command: &str, more: &[&str]) -> Vec<String> {
        let out = tempfile::tempdir_in(self.home.path()).unwrap().path().to_owned();
        let (root, out) = (self.run(), path(&out).to_owned());
        let root = path(&root);
        let own: Vec<&str> = match command {
            "recommend" => vec!["recommend", root, "--user", "u1", "-k", "3"],
            "evaluate" => vec!["evaluate", root, "--baseline", "none"],
            "inspect" => vec!["inspect", root, "item", "i3", "-k", "2"],
            "embed" => vec!["embed", "build", root, "--store", &out],
            "export" => vec!["export", root, "--output", &out],
            "train" => vec!["train", "--resume", root, "--set", "train.epochs=2"],
            other => panic!("{other}"),
        };
        let device = ["--device", "cpu"];
        own.iter().chain(&device).chain(more).map(|&arg| arg.to_owned()).collect()
    }

    fn call(&self, command: &str, more: &[&str]) -> Said {
        run(&self.args(command, more))
    }
}

const COMMANDS: [&str; 6] = ["recommend", "evaluate", "inspect", "embed", "export", "train"];

/// Other features for the same items.
pub fn change_features(store: &Path) {
    let (items, width) = {
        let store = FeatureStore::open(store).unwrap();
        (store.items(), store.width())
    };
    fs::remove_dir_all(store).unwrap();
    let mut writer = StoreWriter::create(store, items, 1, width, Precision::F32).unwrap();
    for item in 1..=items as u32 {
        let row: Vec<f32> = (0..width).map(|i| ((item as usize * 31 + i * 7) % 13) as f32 / 13.0).collect();
        writer.push(item, &row).unwrap();
    }
    writer.finish(json!({"source": "another encoder"})).unwrap();
}

/// One user has another history; the catalogue and the features stay.
fn change_data(dir: &Path) {
    let mut dataset = Dataset::open(dir).unwrap();
    let first = dataset.sequences.items[0];
    dataset.sequences.items[0] = first % dataset.items.count() as u32 + 1;
    let beside = dir.with_file_name("changed");
    write_dataset(&beside, &dataset, &json!({}), json!({"report": {}})).unwrap();
    fs::rename(dir.join("features"), beside.join("features")).unwrap();
    fs::remove_dir_all(dir).unwrap();
    fs::rename(beside, dir).unwrap();
}

#[test]
fn every_command_refuses_other_inputs_and_goes_on_where_they_are_accepted() {
    type Kind = (&'static str, fn(&Shop), &'static str, &'static str);
    let kinds: [Kind; 3] = [
        ("features", |shop| change_features(&shop.text()), "the features of view `text`", "--data DIR"),
        ("data set", |shop| change_data(&shop.data()), "the data set", "--data DIR"),
        (
            "damage",
            |shop| flip(&shop.text().join("tokens.safetensors")),
            "damaged (tokens.safetensors: another SHA-256)",
            "make the store anew",
        ),
    ];
    for (kind, change, what, hint) in kinds {
        let shop = Shop::new();
        shop.call("recommend", &[]).fine();
        let before = fs::read(shop.run().join("rows-test.parquet")).unwrap();
        change(&shop);
        for command in COMMANDS {
            println!("{command}, {kind}");
            let said = shop.call(command, &[]);
            said.refused("was trained on other inputs", hint);
            said.refused(what, "--accept-changed");
            let place = if kind == "data set" { shop.data() } else { shop.text() };
            assert!(said.stderr.contains(path(&place)), "{}", said.stderr);
            if kind != "damage" {
                let line = said.stderr.lines().find(|l| l.contains(" at the training, ")).unwrap();
                let hashes = line.rsplit(": ").next().unwrap();
                assert!(hashes.ends_with(" now") && hashes.len() == 12 + 18 + 12 + 4, "{hashes}");
            }
        }
        assert_eq!(
            fs::read(shop.run().join("rows-test.parquet")).unwrap(),
            before,
            "a refusal writes nothing"
        );
        for command in COMMANDS {
            let said = shop.call(command, &["--accept-changed"]).fine();
            let warned =
                said.stderr.contains("warning: --accept-changed goes on") && said.stderr.contains(what);
            assert!(warned, "{command}, {kind}: {}", said.stderr);
        }
    }
}

#[test]
fn a_probe_takes_runs_on_the_features_they_were_trained_on() {
    let shop = Shop::new();
    let (data, root) = (shop.data(), shop.run());
    let probe = |more: &[&str]| {
        let args = ["probe", path(&data), "--no-masks", "--k", "5", "--validity", path(&root)];
        run(&[&args[..], more].concat())
    };
    // One variant is too few: the features themselves were not found at fault.
    probe(&[]).refused("1 feature variants have finished runs", "other feature stores");
    change_features(&shop.text());
    probe(&[]).refused("the features of view `text`", "--accept-changed");
    probe(&["--accept-changed"]).refused("1 feature variants have finished runs", "other feature stores");
    run(&["probe", path(&data), "--accept-changed"]).refused("--validity", "");
}

#[test]
fn two_kinds_of_change_are_told_together() {
    let shop = Shop::new();
    change_features(&shop.text());
    flip(&shop.data().join("features/image/tokens.safetensors"));
    let said = shop.call("recommend", &[]);
    said.refused("the features of view `text`", "--accept-changed");
    said.refused("the features of view `image`", "--accept-changed");
    // A store that is gone can't be gone on with.
    fs::remove_dir_all(shop.text()).unwrap();
    shop.call("recommend", &["--accept-changed"]).refused("not found", "features/NAME");
}

/// The data set again, its items in the opposite order: rows of an ID table would stand for other items.
fn turn_items(dir: &Path) {
    let mut dataset = Dataset::open(dir).unwrap();
    let items = dataset.items.count();
    for column in [
        &mut dataset.items.ids,
        &mut dataset.items.titles,
        &mut dataset.items.texts,
        &mut dataset.items.categories,
        &mut dataset.items.images,
    ] {
        column[1..].reverse();
    }
    dataset.sequences.items.iter_mut().for_each(|item| *item = (items + 1) as u32 - *item);
    let features = dir.with_extension("features");
    fs::rename(dir.join("features"), &features).unwrap();
    fs::remove_dir_all(dir).unwrap();
    write_dataset(dir, &dataset, &json!({}), json!({"source": "test"})).unwrap();
    fs::rename(features, dir.join("features")).unwrap();
}

#[test]
fn other_items_are_no_input_of_a_model_whatever_is_accepted() {
    let shop = Shop::new();
    turn_items(&shop.data());
    for command in COMMANDS {
        shop.call(command, &[]).refused("the data set", "--accept-changed");
        shop.call(command, &["--accept-changed"]).refused("has other items than", "train anew on it");
    }
}

#[test]
fn the_same_data_at_another_place_are_the_same_data() {
    let shop = Shop::new();
    let expected = shop.call("recommend", &[]).fine().stdout;
    let elsewhere = shop.home.path().join("disk/data");
    fs::create_dir(elsewhere.parent().unwrap()).unwrap();
    fs::rename(shop.data(), &elsewhere).unwrap();
    let moved = ["--data", path(&elsewhere)];
    for command in COMMANDS {
        let dir = shop.home.path().join("shop");
        assert!(fs::read_dir(dir.join("data")).unwrap().next().is_none());
        if command != "train" {
            let mut args = shop.args(command, &moved);
            let said = run(&args).fine();
            assert!(!said.stderr.contains("--accept-changed"), "{command}: {}", said.stderr);
            args.truncate(args.len() - 2);
            run(&args).refused("not found", "--data DIR");
        }
    }
    assert_eq!(shop.call("recommend", &moved).fine().stdout, expected);
    // A place that was named is meant, whatever lies elsewhere.
    let none = shop.home.path().join("none");
    shop.call("recommend", &["--data", path(&none)]).refused("not found", "--data DIR");
    // A run that went on at the new place knows it.
    shop.call("train", &[]).refused("not found", "--data DIR");
    shop.call("train", &moved).fine();
    shop.call("recommend", &[]).fine();
}

#[test]
fn a_run_is_opened_from_any_working_directory_also_after_it_moved_with_its_data() {
    let home = tempfile::tempdir().unwrap();
    let first = home.path().join("first");
    fs::create_dir(&first).unwrap();
    run(&tiny(&first, &["train.epochs=1"])).fine();
    let data = dataset(&first);
    fs::rename(&data, first.join("data/set")).unwrap();
    fs::rename(first.join("data/set/features/text"), first.join("text")).unwrap();
    fs::remove_dir_all(first.join("quickstart")).unwrap();
    // Every path of the configuration is relative to this directory.
    let sets = [
        "run.dir=runs",
        "data.path=data/set",
        "data.features.text=text",
        "data.cold.ids=cold.txt",
        "train.epochs=1",
    ];
    fs::write(first.join("cold.txt"), "i1\ni2\n").unwrap();
    let args = tiny(Path::new("runs"), &sets);
    Said::from(codistill(&args).current_dir(&first).output().unwrap()).fine();
    let list = |from: &Path, root: &str| -> Said {
        let args = ["recommend", root, "--user", "u1", "-k", "5", "--device", "cpu"];
        codistill(&args).current_dir(from).output().unwrap().into()
    };
    let expected = list(&first, "runs/quickstart").fine();
    assert!(
        !expected.stderr.contains("note: takes") && expected.stdout.contains("\"items\""),
        "{}",
        expected.stderr
    );
    let from_the_run = list(&first.join("runs/quickstart"), ".").fine();
    assert_eq!(from_the_run.stdout, expected.stdout);
    assert_eq!(list(home.path(), "first/runs/quickstart").fine().stdout, expected.stdout);

    let second = home.path().join("deep/second");
    fs::create_dir(second.parent().unwrap()).unwrap();
    fs::rename(&first, &second).unwrap();
    assert_eq!(list(home.path(), "deep/second/runs/quickstart").fine().stdout, expected.stdout);
    let resumed = ["train", "--resume", "deep/second/runs/quickstart", "--set", "train.epochs=2"];
    Said::from(codistill(&resumed).current_dir(home.path()).output().unwrap()).fine();
    // The configuration still says what was typed, whatever the places are now.
    let steps = fs::read_dir(second.join("runs/quickstart/steps")).unwrap();
    let newest = steps.map(|e| e.unwrap().path()).filter(|p| p.join("config.json").exists()).max().unwrap();
    let config: Value = serde_json::from_slice(&fs::read(newest.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["data"]["path"], "data/set");
    assert_eq!(
        (&config["data"]["features"]["text"], &config["data"]["cold"]["ids"]),
        (&json!("text"), &json!("cold.txt"))
    );

    // A run of an older program says nothing of places; its own leads back to the working directory.
    fs::remove_file(second.join("runs/quickstart/inputs.json")).unwrap();
    list(&second, "runs/quickstart").fine();
    list(home.path(), "deep/second/runs/quickstart").fine();
    fs::rename(second.join("runs"), second.join("other")).unwrap();
    list(&second, "other/quickstart").fine();
    list(home.path(), "deep/second/other/quickstart").refused("not found", "--data DIR");
    // Other items held out are another data set.
    fs::write(second.join("cold.txt"), "i1\n").unwrap();
    list(&second, "other/quickstart").refused("the data set, data/set", "--accept-changed");
}

#[test]
fn data_of_the_training_are_preferred_to_likelier_places() {
    let home = tempfile::tempdir().unwrap();
    let (own, copy) = (home.path().join("own"), home.path().join("copy"));
    run(&tiny(&own, &["train.epochs=1"])).fine();
    copy_tree(&own, &copy);
    let list = |root: &Path| run(&["recommend", path(root), "--user", "u1", "--device", "cpu"]);
    let expected = list(&own.join("quickstart")).fine();
    let said = list(&copy.join("quickstart")).fine();
    assert!(said.stdout == expected.stdout && !said.stderr.contains("note: takes"), "{}", said.stderr);
    change_data(&dataset(&copy));
    let said = list(&copy.join("quickstart")).fine();
    assert!(said.stderr.contains("note: takes the data set from"), "{}", said.stderr);
    // Its default features lie beside the data set that was taken.
    assert_eq!(said.stdout, expected.stdout);
}

#[test]
fn a_run_without_recorded_hashes_opens_with_a_note() {
    let shop = Shop::new();
    fs::remove_file(shop.run().join("inputs.json")).unwrap();
    for step in fs::read_dir(shop.run().join("steps")).unwrap() {
        let file = step.unwrap().path().join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        manifest["about"].as_object_mut().unwrap().remove("parents");
        fs::write(&file, manifest.to_string()).unwrap();
    }
    change_features(&shop.text());
    let said = shop.call("recommend", &["--data", path(&shop.data())]).fine();
    for what in ["the data set (", "the features of view `text` (", "the features of view `image` ("] {
        let note = format!("note: the run records no hash of {what}");
        assert!(said.stderr.contains(&note), "{}", said.stderr);
    }
}

#[test]
fn a_vector_store_remembers_the_features_it_was_built_from() {
    let shop = Shop::new();
    let (own, other) = (shop.home.path().join("own"), shop.home.path().join("other"));
    let root = shop.run();
    let build = |store: &Path, more: &[&str]| {
        let args = ["embed", "build", path(&root), "--store", path(store), "--device", "cpu"];
        run(&args.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let list = |store: &Path, more: &[&str]| {
        let args = ["recommend", path(&root), "--store", path(store), "--user", "u1", "--device", "cpu"];
        run(&args.iter().chain(more).copied().collect::<Vec<_>>())
    };
    build(&own, &[]).fine();
    let kept = shop.home.path().join("kept");
    copy_tree(&shop.text(), &kept);
    change_features(&shop.text());
    list(&own, &[]).refused("was trained on other inputs", "--accept-changed");
    list(&own, &["--accept-changed"]).fine();
    build(&other, &["--accept-changed"]).fine();
    fs::remove_dir_all(shop.text()).unwrap();
    fs::rename(kept, shop.text()).unwrap();
    list(&own, &[]).fine();
    list(&other, &[])
        .refused("was made from other features of view `text`", "build a store from the features");
}

#[test]
fn a_second_resume_is_told_that_the_run_is_in_use_and_a_kill_frees_it() {
    let shop = Shop::new();
    let root = shop.run();
    let resume = ["train", "--resume", path(&root), "--set", "train.epochs=100000", "--device", "cpu"];
    let mut first = codistill(&resume).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !is_held(&root) {
        assert!(first.try_wait().unwrap().is_none(), "the first one ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    let metrics = || fs::metadata(root.join("metrics.jsonl")).map_or(0, |m| m.len());
    let before = metrics();
    while metrics() == before {
        assert!(first.try_wait().unwrap().is_none(), "the first one ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    let holder = format!("is in use by `codistill train`, process {}", first.id());
    shop.call("train", &[]).refused(&holder, "wait for it to end");
    shop.call("evaluate", &[]).refused(&holder, "--rows FILE");
    // Reading goes on meanwhile.
    shop.call("recommend", &[]).fine();
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!is_held(&root));
    shop.call("train", &[]).fine();
}

#[test]
fn studies_and_stores_are_written_by_one_command_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let shop = Shop::new();
    let study = home.path().join("study.toml");
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml");
    let write = |dir: &Path, more: &str| {
        let data = format!("data.path={}", shop.data().display());
        let text = format!("base = {base:?}\ndir = {:?}\nset = [{data:?}]\n{more}\n", path(dir));
        fs::write(&study, text).unwrap();
    };
    let own = |command: &str| format!("is in use by `codistill {command}`, process {}", std::process::id());
    let dir = home.path().join("tuned");
    fs::create_dir(&dir).unwrap();
    write(&dir, "trials = 2\n[space]\n\"optim.lr\" = { log_uniform = [1e-4, 1e-2] }");
    let held = DirLock::take(&dir, "tune").unwrap();
    run(&["tune", path(&study), "--device", "cpu"]).refused(&own("tune"), "wait");
    drop(held);

    write(home.path(), "name = \"ablated\"\nseeds = [1]\nconditions = [\"S-text\"]");
    let root = home.path().join("ablated");
    fs::create_dir(&root).unwrap();
    let held = DirLock::take(&root, "ablate").unwrap();
    for more in [&["--report"][..], &["--device", "cpu"]] {
        run(&[&["ablate", path(&study)], more].concat()).refused(&own("ablate"), "wait");
    }
    drop(held);

    let store = home.path().join("store");
    run(&["embed", "build", path(&shop.run()), "--store", path(&store), "--device", "cpu"]).fine();
    let held = DirLock::take(&store, "embed").unwrap();
    run(&["embed", "delete", "i1", "--store", path(&store)]).refused("is in use", "wait");
    run(&["embed", "compact", "--store", path(&store)]).refused("is in use", "wait");
    drop(held);
    run(&["embed", "delete", "i1", "--store", path(&store)]).fine();
}

#[test]
fn rows_that_are_not_the_reports_are_not_compared() {
    let (shop, other) = (Shop::new(), Shop::new());
    let (a, b) = (shop.run(), other.run());
    let compare = || run(&["compare", path(&a), path(&b), "--draws", "50"]);
    compare().fine();
    // Rows of another checkpoint, with a part of the report's figures by chance.
    other.call("train", &[]).fine();
    let (own, foreign) = (a.join("rows-test.parquet"), b.join("rows-test.parquet"));
    let kept = fs::read(&own).unwrap();
    fs::copy(&foreign, &own).unwrap();
    compare().refused("the rows of `ensemble` are not those of", "codistill evaluate");
    // As an older program would have left them: the figures are computed again.
    let file = a.join("report.json");
    let report = fs::read_to_string(&file).unwrap();
    let mut old: Value = serde_json::from_str(&report).unwrap();
    for evaluation in old["evaluations"].as_array_mut().unwrap() {
        for scored in evaluation["scored"].as_array_mut().unwrap() {
            assert!(scored.as_object_mut().unwrap().remove("rows_sha256").is_some());
        }
    }
    fs::write(&file, old.to_string()).unwrap();
    compare().refused("by the rows and", "codistill evaluate");
    fs::write(&own, kept).unwrap();
    compare().fine();
    // Judged anew under another rule, rows and figures belong together again.
    shop.call("evaluate", &["--history", "keep"]).fine();
    other.call("evaluate", &["--history", "keep"]).fine();
    let said = compare().fine();
    assert!(said.stderr.contains("those of a later `codistill evaluate`"), "{}", said.stderr);
}

//! Artefacts of an older program (commit 37a830e: data sets of schema 1 with whole seconds, runs without `inputs.json`
//! or digests of rows) open and give what they gave.
//!
//! `tests/fixtures/older` was made by that commit's program from a log of 30 users and 20 items: `prepare`, `features
//! import`, `train` (two epochs), `embed build`; `lists.jsonl` and `store.jsonl` are its `recommend --all -k 5` and
//! `recommend --store store --user u1 -k 5`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::inputs::copy_tree;
use crate::program::{Said, codistill, path};

struct Older(tempfile::TempDir);

impl Older {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        copy_tree(&fixtures(), home.path());
        Self(home)
    }

    /// Runs a command where the artefacts lie; the configuration names the data set from there.
    fn run(&self, args: &[&str]) -> Said {
        let device = ["--device", "cpu"];
        let args: Vec<&str> = args.iter().chain(&device).copied().collect();
        codistill(&args).current_dir(self.0.path()).output().unwrap().into()
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/older")
}

/// Users with the items of their lists and the scores.
fn lists(text: &str) -> Vec<(String, Vec<String>, Vec<f64>)> {
    let of = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let items = line["items"].as_array().unwrap();
        let ids = items.iter().map(|item| item["item"].as_str().unwrap().to_owned()).collect();
        let scores = items.iter().map(|item| item["score"].as_f64().unwrap()).collect();
        (line["user"].as_str().unwrap().to_owned(), ids, scores)
    };
    text.lines().map(of).collect()
}

#[track_caller]
fn same(found: &str, file: &str) {
    let expected = lists(&fs::read_to_string(fixtures().join(file)).unwrap());
    let found = lists(found);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((&found.0, &found.1), (&expected.0, &expected.1));
        // Other processors sum in another order.
        assert!(found.2.iter().zip(&expected.2).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?}");
    }
}

#[test]
fn an_older_run_gives_its_lists_and_figures() {
    let older = Older::new();
    let said = older.run(&["recommend", "runs/old", "--all", "-k", "5"]).fine();
    same(&said.stdout, "lists.jsonl");
    let recorded: Value =
        serde_json::from_str(&fs::read_to_string(fixtures().join("runs/old/report.json")).unwrap()).unwrap();
    let report: Value =
        serde_json::from_str(&older.run(&["evaluate", "runs/old", "--json"]).fine().stdout).unwrap();
    let figures = |report: &Value| report["evaluations"][0]["scored"][0]["metrics"].clone();
    assert!(!figures(&recorded).is_null(), "{recorded}");
    assert_eq!(figures(&report), figures(&recorded));
    older.run(&["inspect", "runs/old", "item", "i3"]).fine();
    let out = older.0.path().join("export");
    older.run(&["export", "runs/old", "--output", path(&out)]).fine();
}

#[test]
fn an_older_run_goes_on_and_then_records_its_inputs() {
    let older = Older::new();
    older.run(&["train", "--resume", "runs/old", "--set", "train.epochs=3"]).fine();
    assert!(older.0.path().join("runs/old/inputs.json").is_file());
    older.run(&["recommend", "runs/old", "--user", "u1"]).fine();
}

#[test]
fn an_older_store_is_searched_and_appended_to() {
    let older = Older::new();
    let ask = ["recommend", "runs/old", "--store", "store", "--user", "u1", "-k", "5"];
    same(&older.run(&ask).fine().stdout, "store.jsonl");
    let line = r#"{"id": "new", "title": "Tea", "features": {"text": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}}"#;
    fs::write(older.0.path().join("new.jsonl"), line).unwrap();
    older.run(&["embed", "append", "runs/old", "new.jsonl", "--store", "store"]).fine();
    let said = older.run(&["recommend", "runs/old", "--store", "store", "--item", "new", "-k", "3"]).fine();
    assert_eq!(lists_of_item(&said.stdout), 3);
}

fn lists_of_item(text: &str) -> usize {
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    line["items"].as_array().unwrap().len()
}

#[test]
fn an_older_data_set_has_its_seconds_as_microseconds() {
    let older = Older::new();
    let dataset = codistill::data::Dataset::open(&older.0.path().join("set")).unwrap();
    // u0's first event of the log.
    assert_eq!(dataset.sequences.times_of(0)[0], 1_600_000_000_000_000);
    older.run(&["train", "--dry-run", "runs/old/config.toml"]).fine();
}

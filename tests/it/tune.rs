//! `codistill tune` as a user runs it: resumed after a kill, blind to the test part.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use codistill::config::SynthConfig;
use codistill::data::{Dataset, Part, write_dataset};
use codistill::synth;
use codistill::train::inputs::{Change, Fault, InputsError, What};
use codistill::tune::{self, Event, Request, TuneError};
use serde_json::Value;

use crate::program::{codistill, path, run};

const TRIALS: usize = 6;

fn world() -> synth::World {
    synth::generate(&SynthConfig { users: 120, items: 80, ..SynthConfig::default() }).unwrap()
}

fn write(dir: &Path, drawn: &synth::World, dataset: &Dataset) {
    let nothing = serde_json::json!({});
    let hash = write_dataset(dir, dataset, &nothing, nothing.clone()).unwrap();
    drawn.write_beside(dir, &hash).unwrap();
}

/// A study of six trials in `home`, on the data set `data`; three heads don't divide the width, so that some
/// trials fail.
fn study(home: &Path, name: &str, data: &Path) -> PathBuf {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml");
    let text = format!(
        "base = {base:?}\ndir = {:?}\ntrials = {TRIALS}\neta = 2\nset = [\"data.path={}\", \"data.synth=none\", \
         \"model.width=8\", \"train.batch_users=16\", \"train.epochs=3\", \"optim.lr=1e-3\"]\n\
         [space]\n\"optim.lr\" = {{ log_uniform = [1e-4, 1e-2] }}\n\"model.tower.heads\" = {{ choice = [2, 3, 4] }}\n",
        path(&home.join(name)),
        path(data)
    );
    let file = home.join(format!("{name}.toml"));
    fs::write(&file, text).unwrap();
    file
}

/// Values, rungs and end of every trial.
fn records(dir: &Path) -> Vec<(Value, Value, Value, bool)> {
    let one = |n: usize| {
        let path = dir.join(format!("trial-{n:03}/trial.json"));
        let text = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let all: Value = serde_json::from_slice(&text).unwrap();
        (all["values"].clone(), all["rungs"].clone(), all["finished"].clone(), all.get("failed").is_some())
    };
    (0..TRIALS).map(one).collect()
}

/// Files of the study that only the test part can have made.
fn test_files(dir: &Path) -> usize {
    let trials = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    trials
        .filter(|trial| trial.is_dir())
        .map(|trial| {
            let lines = fs::read_to_string(trial.join("metrics.jsonl")).unwrap_or_default();
            usize::from(lines.contains("\"test/"))
                + usize::from(trial.join("report.json").exists())
                + usize::from(trial.join("rows-test.parquet").exists())
        })
        .sum()
}

#[test]
fn a_killed_study_goes_on_to_the_same_trials_and_only_final_opens_the_test_part() {
    let home = tempfile::tempdir().unwrap();
    let drawn = world();
    let data = home.path().join("data");
    write(&data, &drawn, &drawn.dataset);
    // The same study where every test item is another one.
    let mut other = drawn.dataset.clone();
    for (item, part) in other.sequences.items.iter_mut().zip(&drawn.dataset.sequences.parts) {
        if *part == Part::Test {
            *item = (*item + 39) % 80 + 1;
        }
    }
    let flipped = home.path().join("flipped");
    write(&flipped, &drawn, &other);

    let whole = study(home.path(), "whole", &flipped);
    let tune = |file: &Path, more: &[&str]| run(&[&["tune", path(file), "--device", "cpu"], more].concat());
    let said = tune(&whole, &[]).fine();
    assert!(said.stdout.contains("FAILED") && said.stdout.contains("given up"), "{}", said.stdout);

    let killed = study(home.path(), "killed", &data);
    let dir = home.path().join("killed");
    let mut child = codistill(&["tune", path(&killed), "--device", "cpu", "--quiet"]).spawn().unwrap();
    let start = Instant::now();
    // Two trials have begun; nothing is finished.
    let begun = || (0..TRIALS).filter(|n| dir.join(format!("trial-{n:03}/steps")).exists()).count();
    while begun() < 2 && start.elapsed() < Duration::from_secs(40) {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    tune(&killed, &[]).fine();
    assert_eq!(records(&dir), records(&home.path().join("whole")), "kill or test items changed the study");
    assert_eq!(test_files(&dir), 0);

    // All is done: nothing is trained again, and the best configuration is ready.
    let before = fs::metadata(dir.join("trial-000")).unwrap().modified().unwrap();
    tune(&killed, &[]).fine();
    assert_eq!(fs::metadata(dir.join("trial-000")).unwrap().modified().unwrap(), before);
    run(&["train", path(&dir.join("best.toml")), "--dry-run"]).fine();

    let said = tune(&killed, &["--final"]).fine();
    assert!(said.stdout.contains("test: 120 targets"), "{}", said.stdout);
    assert_eq!(test_files(&dir), 2, "report and rows of one trial");
    assert!(tune(&killed, &["--final"]).fine().stderr.contains("was judged before"));

    // Another space is another study.
    let text = fs::read_to_string(&killed).unwrap().replace("1e-4", "2e-4");
    fs::write(&killed, text).unwrap();
    tune(&killed, &[]).refused("trial of another configuration", "another dir");
}

#[test]
fn a_search_of_the_library_is_finished_or_stopped_and_writes_its_best_trial_when_it_is_finished() {
    let home = tempfile::tempdir().unwrap();
    let drawn = world();
    let data = home.path().join("data");
    write(&data, &drawn, &drawn.dataset);
    let file = study(home.path(), "own", &data);
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace(&format!("trials = {TRIALS}"), "trials = 1").replace("[2, 3, 4]", "[2]");
    fs::write(&file, text).unwrap();
    let dir = home.path().join("own");
    let written = || ["best.toml", "trials.md"].map(|name| dir.join(name).exists());
    let request = Request { device: Some("cpu".into()), ..Request::default() };

    let stopped = tune::run(&file, &request, &AtomicBool::new(true), &mut |_| {}).unwrap();
    assert!(!stopped.is_finished() && stopped.best().is_none());
    assert_eq!(written(), [false, false]);
    // The folder is locked while a search lives.
    drop(stopped);

    let mut rungs = Vec::new();
    let mut on_event = |event: Event<'_>| {
        if let Event::Trained { trial, until } = event {
            rungs.push((trial.number, until));
        }
    };
    let finished = tune::run(&file, &request, &AtomicBool::new(false), &mut on_event).unwrap();
    assert!(finished.is_finished());
    assert_eq!(finished.best().map(|trial| trial.number), Some(0));
    assert_eq!(written(), [true, true]);
    assert_eq!(rungs.last(), Some(&(0, 3)), "{rungs:?}");
    let best = codistill::config::load(&finished.study.best_config(), &[]).unwrap().config;
    let rate: f64 = finished.trials[0].values["optim.lr"].parse().unwrap();
    assert_eq!(best.optim.lr, rate);
    assert_eq!(test_files(&dir), 0);
}

#[test]
fn what_all_trials_read_ends_the_search_where_it_is_absent_and_fails_no_trial() {
    let home = tempfile::tempdir().unwrap();
    let drawn = world();
    let data = home.path().join("data");
    write(&data, &drawn, &drawn.dataset);
    let file = study(home.path(), "own", &data);
    let teacher = home.path().join("big");
    let taught = format!(
        "set = ['objective.distill={{ pairs = [{{ student = \"id\", teacher = \"big\" }}], teachers = [{{ name = \"big\", \
         run = \"{}\" }}] }}', ",
        path(&teacher)
    );
    let text = fs::read_to_string(&file).unwrap().replace("set = [", &taught);
    let text = text.replace(&format!("trials = {TRIALS}"), "trials = 1").replace("[2, 3, 4]", "[2]");
    fs::write(&file, &text).unwrap();
    let tune = || run(&["tune", path(&file), "--device", "cpu"]);
    let record = home.path().join("own/trial-000/trial.json");
    let refused = |what: &str, hint: &str| {
        tune().refused(what, hint);
        assert!(!record.exists(), "{what} is no fault of a trial");
    };
    refused("which does not exist", "directory of a finished run");
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml");
    let sets = [
        "data.synth=none".to_owned(),
        format!("data.path={}", path(&data)),
        format!("run.dir={}", path(home.path())),
        "run.name=big".into(),
        "model.width=8".into(),
        "train.epochs=1".into(),
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    run(&[&["train", base, "--device", "cpu"], &sets[..]].concat()).fine();
    let (there, away) = (data.join("features/text"), home.path().join("text"));
    fs::rename(&there, &away).unwrap();
    refused("view `text`", "");
    fs::rename(&away, &there).unwrap();
    tune().fine();
    assert!(record.exists());

    // What a trial's own values ask of the teacher is the trial's matter.
    let long = text
        .replace("/own\"", "/long\"")
        .replace("[space]", "[space]\n\"data.max_seq_len\" = { choice = [50] }");
    fs::write(&file, long).unwrap();
    let said = tune();
    assert!(
        said.stderr.contains("FAILED") && said.stderr.contains("data.max_seq_len is 50"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_search_names_no_option_that_it_lacks() {
    let change = Change {
        what: What::Dataset,
        path: "data/x".into(),
        fault: Fault::Other { recorded: "a".into(), found: "b".into() },
    };
    let e = TuneError::from(InputsError::Changed { run: "trial-000".into(), changes: vec![change] });
    let hint = e.hint().unwrap();
    assert!(hint.contains("put back what the trial was trained on") && !hint.contains("--"), "{hint}");
}

#[test]
fn nonsense_is_refused_with_a_hint() {
    let home = tempfile::tempdir().unwrap();
    let file = study(home.path(), "bad", &home.path().join("nowhere"));
    let text = fs::read_to_string(&file).unwrap();
    let with = |from: &str, to: &str| {
        fs::write(&file, text.replace(from, to)).unwrap();
        run(&["tune", path(&file)])
    };
    with("model.tower.heads", "model.tower.haeds").refused("haeds", "heads");
    with("[1e-4, 1e-2]", "[0.0, 1e-2]").refused("space.\"optim.lr\"", "configs/tune");
    with("trials = 6", "trials = 0").refused("trials = 0", "configs/tune");
    with("eta = 2", "etta = 2").refused("etta", "configs/tune");
    run(&["tune", "nowhere.toml"]).refused("nowhere.toml", "configs/tune");
}

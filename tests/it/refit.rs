//! Runs that are trained anew on more interactions: what they see, how long they are trained, and what is said of their figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use codistill::config::{OptimConfig, Schedule};
use codistill::data::{Dataset, Part, write_dataset};
use codistill::train::optim::learning_rate;
use codistill::train::run_dir::{RunDir, Which};
use serde_json::{Value, json};

use crate::program::{self, Said, dataset, path, run, tiny};

/// Arguments of a tiny SASRec training, `name` its run in `home`.
fn sasrec(home: &Path, name: &str, more: &[&str]) -> Vec<String> {
    program::sasrec(home, name, 1, more)
}

fn refit(run_dir: &Path, parts: &str, more: &[&str]) -> Said {
    run(&[&["train", "--refit", path(run_dir), "--on", parts, "--device", "cpu"], more].concat())
}

fn weights(run_dir: &Path) -> BTreeMap<String, Vec<f32>> {
    let (_, checkpoint) = RunDir::new(run_dir).checkpoint(&Which::Last).unwrap();
    checkpoint.params.into_iter().map(|(name, values)| (name, values.values)).collect()
}

fn report(run_dir: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(run_dir.join("report.json")).unwrap()).unwrap()
}

/// The data set at `from` with other items in the places of one part, for every user or the first alone.
fn changed(from: &Path, dest: &Path, part: Part, all: bool) {
    let mut data = Dataset::open(from).unwrap();
    let items = data.items.count() as u32;
    let places: Vec<usize> =
        (0..data.sequences.items.len()).filter(|&place| data.sequences.parts[place] == part).collect();
    for &place in if all { &places[..] } else { &places[..1] } {
        let item = &mut data.sequences.items[place];
        *item = (*item + items / 2) % items + 1;
    }
    write_dataset(dest, &data, &json!({}), json!({"report": {}})).unwrap();
}

/// Weights of a run on the data set at `data`, and of its refits on train+valid and on all.
fn trained(home: &Path, data: &Path) -> [BTreeMap<String, Vec<f32>>; 3] {
    let place = format!("data.path={}", data.display());
    run(&sasrec(home, "own", &[&place])).fine();
    let own = home.join("own");
    refit(&own, "train+valid", &["--name", "more"]).fine();
    refit(&own, "all", &["--name", "all"]).fine();
    ["own", "more", "all"].map(|name| weights(&home.join(name)))
}

#[test]
fn a_refit_sees_the_interactions_that_it_names_and_no_others() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&tiny(home, &["train.epochs=1"])).fine();
    let first = dataset(home);
    let places = ["test", "one", "valid"].map(|name| home.join(format!("data-{name}")));
    changed(&first, &places[0], Part::Test, true);
    changed(&first, &places[1], Part::Test, false);
    changed(&first, &places[2], Part::Valid, false);
    let [own, more, all] = trained(&home.join("a"), &first);
    assert!(own != more && more != all && own != all);
    let [test, one, valid] = [0, 1, 2].map(|place| trained(&home.join(format!("b{place}")), &places[place]));
    for changed in [test, one] {
        assert!(changed[0] == own && changed[1] == more, "test items don't reach a refit on train+valid");
        assert!(changed[2] != all, "they reach one on all");
    }
    assert!(valid[0] == own, "validation items don't reach the run itself");
    assert!(valid[1] != more && valid[2] != all, "they reach both refits");
}

/// Learning rates by step, as they were logged.
fn rates(run_dir: &Path) -> Vec<f64> {
    let text = fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter_map(|row| row["train/lr"].as_f64()).collect()
}

fn config(run_dir: &Path) -> toml::Table {
    toml::from_str(&fs::read_to_string(run_dir.join("config.toml")).unwrap()).unwrap()
}

#[test]
fn a_refit_has_the_epochs_and_the_rates_of_the_chosen_checkpoint() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    // Far too high a rate, so that an early epoch is the best.
    let sets = [
        "train.epochs=9",
        "train.patience=2",
        "optim.lr=0.05",
        "optim.schedule=cosine",
        "optim.warmup_steps=20",
        "data.windows=all",
        "data.max_seq_len=3",
    ];
    run(&sasrec(home, "own", &sets)).fine();
    let own = home.join("own");
    let (_, best) = RunDir::new(&own).checkpoint(&Which::Best).unwrap();
    let chosen = best.state.epoch - 1;
    assert!((1..9).contains(&chosen), "the best of nine epochs was {chosen}");
    let said = refit(&own, "train+valid", &[]).fine();
    assert!(said.stderr.contains(&format!("{chosen} of 9 epochs")), "{}", said.stderr);
    let made = home.join("own-refit");

    let then = best.state.step / chosen as u64;
    let (_, last) = RunDir::new(&made).checkpoint(&Which::Last).unwrap();
    assert!(last.state.finished && last.state.epoch == chosen + 1 && last.state.best.is_none());
    let now = last.state.step / chosen as u64;
    assert!(now > then && last.state.step == now * chosen as u64, "{now} and {then} steps of an epoch");
    let found = config(&made);
    let (train, data, optim) = (&found["train"], &found["data"], &found["optim"]);
    assert_eq!(train["epochs"].as_integer(), Some(9));
    assert_eq!(train["stop_after"].as_integer(), Some(chosen as i64));
    assert_eq!(train["patience"].as_integer(), Some(0));
    assert_eq!(data["train_parts"].as_str(), Some("train+valid"));
    let warmup = (20.0 * now as f64 / then as f64).round();
    assert_eq!(optim["warmup_steps"].as_integer(), Some(warmup as i64));
    let settings = OptimConfig {
        lr: 0.05,
        schedule: Schedule::Cosine,
        warmup_steps: warmup as usize,
        ..OptimConfig::default()
    };
    let expected: Vec<f64> =
        (0..last.state.step).map(|step| learning_rate(&settings, 0.05, step, 9 * now)).collect();
    let found = rates(&made);
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {expected:?}");
    // The same function of the share of the schedule: at the ends of epochs within one step of each other.
    let before = rates(&own);
    for epoch in 1..=chosen {
        let (a, b) = (before[epoch * then as usize - 1], expected[epoch * now as usize - 1]);
        assert!((a - b).abs() < 0.05 * 3.0 / (9.0 * then as f64), "epoch {epoch}: {a} {b}");
    }
    let metrics = fs::read_to_string(made.join("metrics.jsonl")).unwrap();
    assert!(!metrics.contains("valid/"), "nothing is validated on what is trained on");
    let origins: BTreeMap<String, Value> =
        serde_json::from_str(&fs::read_to_string(made.join("config.origins.json")).unwrap()).unwrap();
    for key in ["data.train_parts", "train.stop_after", "train.patience", "optim.warmup_steps", "run.name"] {
        assert_eq!(origins[key], "run", "{key}");
    }
    assert_eq!(origins["optim.lr"], "set");
    assert_eq!(origins["optim.beta1"], "default");
}

/// Metrics of a row of a report.
fn row<'r>(report: &'r Value, name: &str) -> Option<&'r Value> {
    let evaluations = report["evaluations"].as_array().unwrap();
    let mut rows = evaluations.iter().flat_map(|e| e["scored"].as_array().unwrap());
    rows.find(|row| row["name"] == name).map(|row| &row["metrics"])
}

const LABEL: &str = "refit on train+valid: test figures of a model that was trained on the validation items";

#[test]
fn the_figures_of_a_refit_are_labelled_and_stand_beside_counters_of_the_same() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&tiny(home, &[])).fine();
    let own = home.join("quickstart");
    let said = refit(&own, "train+valid", &[]).fine();
    let made = home.join("quickstart-refit");
    assert!(said.stdout.lines().take(2).any(|line| line == LABEL), "{}", said.stdout);
    let (ordinary, labelled) = (report(&own), report(&made));
    assert_eq!(labelled["note"], LABEL);
    assert!(ordinary.get("note").is_none());
    assert_eq!(labelled["evaluations"][0]["protocol"]["trained_on"], "train+valid");
    assert!(ordinary["evaluations"][0]["protocol"].get("trained_on").is_none());
    for counter in ["item-knn", "transitions"] {
        let more = row(&ordinary, &format!("{counter} (knows validation)")).unwrap();
        for metric in ["recall@10", "ndcg@10", "mrr@10", "coverage@10"] {
            assert_eq!(row(&labelled, counter).unwrap()[metric], more[metric], "{counter} {metric}");
        }
        assert_eq!(row(&labelled, &format!("{counter} (knows validation)")), None);
    }
    assert!(row(&labelled, "oracle").is_some());

    let judged = |more: &[&str]| run(&[&["evaluate", path(&made), "--device", "cpu"], more].concat());
    judged(&["--part", "valid"]).refused("was trained on the validation items too", "judge the test part");
    judged(&["--baseline", "item-knn (knows validation)"]).refused("knows no more", "leave the row out");
    let card = home.join("card");
    run(&["export", path(&made), "--output", path(&card), "--device", "cpu"]).fine();
    let card = fs::read_to_string(card.join("README.md")).unwrap();
    assert!(card.contains(&format!("| trained on | train+valid |\n\n**{LABEL}**")), "{card}");

    run(&["compare", path(&own), path(&made)])
        .refused("what their models were trained on (train, train+valid)", "data set, split and protocol");
    // Among themselves they are compared, and still told of.
    run(&tiny(home, &["run.name=other", "seed=2"])).fine();
    refit(&home.join("other"), "train+valid", &[]).fine();
    let said = run(&["compare", path(&made), path(&home.join("other-refit"))]).fine();
    assert!(said.stdout.contains(LABEL) || said.stderr.contains(LABEL), "{}{}", said.stdout, said.stderr);

    // Its rows take the place of the run's own.
    let said = judged(&["--protocol", "macrec"]).fine();
    assert!(said.stdout.lines().take(2).any(|line| line == LABEL), "{}", said.stdout);
}

#[test]
fn a_run_that_was_trained_on_everything_has_no_figures_and_serves_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&tiny(home, &[])).fine();
    let own = home.join("quickstart");
    let said = refit(&own, "all", &["--name", "served"]).fine();
    let made = home.join("served");
    let reason =
        "refit on all: there are no test figures, because the model was trained on the test items too";
    assert_eq!(said.stdout.trim_end(), reason);
    let report = report(&made);
    assert_eq!((&report["note"], &report["evaluations"]), (&json!(reason), &json!([])));
    assert!(!made.join("rows-test.parquet").exists());
    for (part, items) in [("valid", "validation"), ("test", "test")] {
        run(&["evaluate", path(&made), "--part", part, "--device", "cpu"])
            .refused(&format!("was trained on the {items} items too"), "the run that it was refit from");
    }
    run(&["compare", path(&own), path(&made)]).refused("there are no test figures", "refit from");
    let lists = run(&["recommend", path(&made), "--user", "u1", "--device", "cpu"]).fine();
    assert!(lists.stdout.contains("\"source\":\"model\""), "{}", lists.stdout);
    run(&["export", path(&made), "--output", path(&home.join("export")), "--device", "cpu"]).fine();
    let card = fs::read_to_string(home.join("export").join("README.md")).unwrap();
    assert!(card.contains(reason), "{card}");
    let store = home.join("store");
    run(&["embed", "build", path(&made), "--store", path(&store), "--device", "cpu"]).fine();
    run(&["recommend", path(&made), "--store", path(&store), "--user", "u1", "--device", "cpu"]).fine();
    run(&["inspect", path(&made), "item", "i1", "--device", "cpu"]).fine();
}

#[test]
fn a_refit_that_was_cut_goes_on_to_the_same_bits() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&sasrec(home, "own", &["train.epochs=3", "train.checkpoint_steps=3", "train.keep=100"])).fine();
    let own = home.join("own");
    let files = |made: &Path| {
        let (last, _) = RunDir::new(made).checkpoint(&Which::Last).unwrap();
        let mut all: Vec<PathBuf> =
            ["model.safetensors", "optimizer.safetensors", "state.json"].map(|name| last.join(name)).into();
        all.push(made.join("report.json"));
        all.into_iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>()
    };
    for parts in ["train+valid", "all"] {
        refit(&own, parts, &["--name", parts.split('+').next_back().unwrap()]).fine();
        let made = home.join(parts.split('+').next_back().unwrap());
        let whole = files(&made);
        for kept in [2, 0] {
            let mut steps: Vec<PathBuf> =
                fs::read_dir(made.join("steps")).unwrap().map(|entry| entry.unwrap().path()).collect();
            steps.sort();
            assert!(steps.len() > 3);
            steps[kept..].iter().for_each(|step| fs::remove_dir_all(step).unwrap());
            fs::remove_file(made.join("report.json")).unwrap();
            run(&["train", "--resume", path(&made), "--device", "cpu"]).fine();
            assert!(files(&made) == whole, "{parts}, {kept} checkpoints left");
        }
        let said = run(&["train", "--resume", path(&made), "--device", "cpu"]).fine();
        assert!(said.stderr.contains("nothing is left to train"), "{}", said.stderr);
    }
}

#[test]
fn a_refit_counts_anew_and_keeps_the_fitted_weights_of_the_ensemble() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let sets = ["train.epochs=2", "model.memory={}", "model.ensemble.weights=fitted", "optim.lr=5e-3"];
    run(&tiny(home, &sets)).fine();
    let own = home.join("quickstart");
    let (_, best) = RunDir::new(&own).checkpoint(&Which::Best).unwrap();
    let fitted = &best.params["ensemble.weights"].values;
    assert!(fitted.iter().any(|weight| *weight != fitted[0] && *weight != 0.0), "{fitted:?}");
    let said = refit(&own, "train+valid", &[]).fine();
    assert!(said.stderr.contains("the ensemble's weights are those that"), "{}", said.stderr);
    let made = home.join("quickstart-refit");
    let whole = weights(&made);
    assert_eq!(&whole["ensemble.weights"], fitted);
    let counted = |run_dir: &Path| fs::read(run_dir.join("memory/memory.safetensors")).unwrap();
    assert!(counted(&own) != counted(&made), "what is counted are the interactions that are trained on");
    let memory = counted(&made);
    // Begun again, it takes what it took.
    fs::remove_dir_all(made.join("steps")).unwrap();
    fs::remove_dir_all(made.join("memory")).unwrap();
    run(&["train", "--resume", path(&made), "--device", "cpu"]).fine();
    assert!(weights(&made) == whole && counted(&made) == memory);
    // A run that a user sets up by hand has nobody to fit them.
    let by_hand = [&sets[..], &["data.train_parts=train+valid", "train.patience=0"]].concat();
    run(&tiny(home, &by_hand)).refused("`model.ensemble.weights`", "train --refit RUN");
    run(&tiny(home, &[&sets[..], &["train.fitted_by=x"]].concat())).refused("`train.fitted_by`", "remove it");
}

#[test]
fn what_can_not_be_refit_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&sasrec(home, "own", &["train.epochs=2"])).fine();
    let own = home.join("own");
    let asked = |more: &[&str]| run(&[&["train", "--device", "cpu", "--refit", path(&own)], more].concat());
    asked(&[]).refused("does not say what to train on", "--on train+valid");
    asked(&["--on", "all", "--data", "x"]).refused("--data does nothing", "--continue RUN --data DIR");
    asked(&["--on", "all", "--resume", path(&own)]).refused("--resume contradicts --refit", "one of them");
    asked(&["--on", "all", "--continue", path(&own)])
        .refused("--refit contradicts --continue", "one of them");
    asked(&["--on", "all", "configs/sasrec.toml"])
        .refused("the run's own configuration", "leave the file out");
    for set in ["optim.lr=0.1", "data.path=x", "train.epochs=3"] {
        let key = set.split('=').next().unwrap();
        asked(&["--on", "all", "--set", set])
            .refused(&format!("`{key}` can't change in a refit"), "device, run, train.checkpoint_steps");
    }
    for word in ["train", "everything"] {
        let said = asked(&["--on", word]);
        assert_eq!(said.code, Some(1));
        assert!(said.stderr.contains("use train+valid or all"), "{}", said.stderr);
    }
    let alone = |more: &[&str]| {
        let mut args = sasrec(home, "never", &[]);
        args.extend(more.iter().map(ToString::to_string));
        run(&args)
    };
    alone(&["--on", "all"]).refused("--on does nothing here", "--refit RUN");
    alone(&["--name", "x"]).refused("--name does nothing here", "--set run.name=NAME");

    run(&["train", "--refit", path(home), "--on", "all"]).refused("no readable checkpoint", "run directory");
    // Unfinished: its last checkpoint is gone.
    let (last, _) = RunDir::new(&own).checkpoint(&Which::Last).unwrap();
    fs::remove_dir_all(last).unwrap();
    asked(&["--on", "all"]).refused("has not ended: its newest checkpoint is of epoch 2", "train --resume");
    assert!(!home.join("own-refit").exists() && !home.join("never").exists());
}

#[test]
fn settings_that_need_validation_are_refused_where_there_is_none() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let more = "data.train_parts=train+valid";
    run(&sasrec(home, "a", &[more, "train.patience=4"])).refused("`train.patience`", "set train.patience=0");
    run(&sasrec(home, "a", &["data.train_parts=all", "data.cold={ share = 0.1 }"]))
        .refused("`data.train_parts`", "leave out data.cold");
    run(&sasrec(home, "a", &["train.stop_after=5"])).refused("`train.stop_after`", "raise the epochs");
    let spec = |more: &str| {
        let file = home.join("study.toml");
        let base = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sasrec.toml");
        let text = format!(
            "base = \"{base}\"\ntrials = 2\nset = [\"device=cpu\", \"train.patience=0\", \"{more}\"]\n\
             [space]\n\"optim.lr\" = {{ choice = [0.1, 0.2] }}\n"
        );
        fs::write(&file, text).unwrap();
        run(&["tune", path(&file)])
    };
    spec(more).refused("`data.train_parts`", "refit the chosen run afterwards");
    spec("train.parent=x").refused("`train.parent`", "random weights");
    // What a refit knows of the items that choose a student, the student would learn.
    run(&sasrec(home, "own", &[])).fine();
    refit(&home.join("own"), "train+valid", &[]).fine();
    let taught = format!(
        r#"objective.distill={{ alpha = 0.9, temperature = 1.0, pairs = [{{ student = "id", teacher = "big" }}], teachers = [{{ name = "big", run = "{}" }}] }}"#,
        home.join("own-refit").display()
    );
    run(&sasrec(home, "student", &[&taught]))
        .refused("it would teach items", "the run that it was refit from");
    run(&sasrec(home, "student", &[&taught, more])).fine();
}

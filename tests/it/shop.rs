//! `train CONFIG --data DIR`: a configuration of three modalities on a data set that has fewer.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{Said, path, run};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/movielens-small.toml");

/// A data set in `home` that has features of `views` alone.
fn shop(home: &Path, views: &[&str]) -> PathBuf {
    let dir = home.join("shop");
    run(&["synth", "-o", path(&dir), "--set", "users=60", "--set", "items=40"]).fine();
    for store in ["text", "image"] {
        if !views.contains(&store) {
            fs::remove_dir_all(dir.join("features").join(store)).unwrap();
        }
    }
    dir
}

/// Trains `config` on `data` for an epoch, its files below `home/runs`.
fn train(home: &Path, config: &str, data: &Path, more: &[&str]) -> Said {
    let runs = format!("run.dir={}", home.join("runs").display());
    let sets = ["model.width=8", "train.epochs=1", "data.max_seq_len=8", &runs];
    let mut args = vec!["train", config, "--data", path(data), "--device", "cpu"];
    args.extend(sets.iter().flat_map(|set| ["--set", set]));
    run(&[&args[..], more].concat())
}

fn saved(home: &Path, name: &str) -> (toml::Table, Value) {
    let dir = home.join("runs").join(name);
    let config = fs::read_to_string(dir.join("config.toml")).unwrap().parse().unwrap();
    let origins = fs::read(dir.join("config.origins.json")).unwrap();
    (config, serde_json::from_slice(&origins).unwrap())
}

fn names(config: &toml::Table, list: &str) -> Vec<String> {
    let entries = config["model"][list].as_array().unwrap().iter();
    entries.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_shop_without_pictures_trains_the_published_configuration() {
    let home = tempfile::tempdir().unwrap();
    let data = shop(home.path(), &["text"]);
    let said = train(home.path(), CONFIG, &data, &[]).fine();
    let dir = data.display();
    let dropped = format!(
        "warning: dropped image: {dir} has no features of that view; `codistill features encode {dir} --modality \
         image --encoder MODEL` makes them"
    );
    assert!(said.stderr.lines().any(|line| line == dropped), "{}", said.stderr);
    assert!(
        said.stderr.contains("left out with image: branch image; distillation image_from_id"),
        "{}",
        said.stderr
    );
    let (config, origins) = saved(home.path(), "movielens-small");
    assert_eq!(
        (names(&config, "views"), names(&config, "branches")),
        (vec!["id".into(), "text".into()], vec!["id".into(), "text".into()])
    );
    assert_eq!(config["data"]["path"].as_str(), Some(path(&data)));
    assert!(config["model"].get("tower").is_some(), "text and ID still meet in the tower");
    assert_eq!(config["objective"]["distill"]["pairs"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&origins["data.path"], &origins["model.branches.image"]),
        (&"data".into(), &"dropped".into())
    );
    let run_dir = home.path().join("runs/movielens-small");
    let report: Value = serde_json::from_slice(&fs::read(run_dir.join("report.json")).unwrap()).unwrap();
    let scored: Vec<&str> = report["evaluations"][0]["scored"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    assert_eq!(scored, ["ensemble", "id", "text"]);
    // The run is whole: it goes on, and recommends, without being told of the data again.
    let more = ["train", "--resume", path(&run_dir), "--set", "train.epochs=2", "--device", "cpu"];
    run(&more).fine();
    run(&["recommend", path(&run_dir), "--user", "u1", "--device", "cpu"]).fine();
    // The same configuration on the same data is the same model.
    let again = train(home.path(), CONFIG, &data, &["--resume", path(&run_dir), "--set", "train.epochs=3"]);
    again.fine();
}

#[test]
fn a_shop_with_ids_alone_trains_one_branch() {
    let home = tempfile::tempdir().unwrap();
    let data = shop(home.path(), &[]);
    let said = train(home.path(), CONFIG, &data, &[]).fine();
    for line in ["dropped text: ", "dropped image: ", "the tower, which has IDs alone to read"] {
        assert!(said.stderr.contains(line), "no `{line}` in\n{}", said.stderr);
    }
    let (config, origins) = saved(home.path(), "movielens-small");
    assert_eq!(names(&config, "branches"), ["id"]);
    assert!(config["model"].get("tower").is_none() && origins["model.tower"] == "dropped");
    // Pictures without texts, through a branch of late fusion.
    fs::remove_dir_all(&data).unwrap();
    let data = shop(home.path(), &["image"]);
    let late = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/late-fusion.toml");
    train(home.path(), late, &data, &[]).fine();
    assert_eq!(names(&saved(home.path(), "late-fusion").0, "branches"), ["id", "image"]);
}

#[test]
fn where_nothing_is_left_the_way_to_features_is_named_and_nothing_is_written() {
    let home = tempfile::tempdir().unwrap();
    let data = shop(home.path(), &[]);
    let content = |names: &[&str]| {
        let lists = names.iter().map(|name| {
            format!(
                "[[model.views]]\nname = \"{name}\"\nkind = \"tokens\"\n[[model.branches]]\nname = \"{name}\"\nview = \"{name}\"\n"
            )
        });
        let file = home.path().join("content.toml");
        fs::write(&file, lists.collect::<String>()).unwrap();
        file
    };
    let file = content(&["text", "image"]);
    let said = train(home.path(), path(&file), &data, &[]);
    said.refused("no features of text, image", "codistill features encode");
    let file = content(&["text_minilm"]);
    train(home.path(), path(&file), &data, &[]).refused("text_minilm", "--modality text --view text_minilm");
    let file = content(&["smell"]);
    train(home.path(), path(&file), &data, &[]).refused("smell", "features import");
    assert!(!home.path().join("runs").exists());
}

#[test]
fn only_an_explicit_data_set_drops_views_and_only_absent_ones() {
    let home = tempfile::tempdir().unwrap();
    let data = shop(home.path(), &["text", "image"]);
    // Nothing is absent: nothing is dropped.
    let said = train(home.path(), CONFIG, &data, &["--dry-run"]).fine();
    assert!(!said.stderr.contains("dropped"), "{}", said.stderr);
    // A store that lies there and can't be read is no absent one.
    fs::remove_file(data.join("features/image/manifest.json")).unwrap();
    train(home.path(), CONFIG, &data, &[]).refused("view `image`", "");
    fs::remove_dir_all(data.join("features/image")).unwrap();
    // A configuration alone is meant as it stands.
    let set = format!("data.path={}", data.display());
    run(&["train", CONFIG, "--set", &set, "--device", "cpu"]).refused("view `image`", "");
    // So is a path to features that somebody wrote.
    let gone = format!("data.features.image={}", home.path().join("gone").display());
    train(home.path(), CONFIG, &data, &["--set", &gone]).refused("view `image`", "");
    train(home.path(), CONFIG, &data, &["--set", &set])
        .refused("names the data set already", "leave one of them out");
    let nowhere = home.path().join("nowhere");
    train(home.path(), CONFIG, &nowhere, &[]).refused("is not a codistill/dataset", "codistill prepare");
    assert!(!home.path().join("runs").exists());
}

#[test]
fn a_resumed_run_finds_data_that_moved() {
    let home = tempfile::tempdir().unwrap();
    let data = shop(home.path(), &["text"]);
    train(home.path(), CONFIG, &data, &[]).fine();
    let moved = home.path().join("moved");
    fs::rename(&data, &moved).unwrap();
    let run_dir = home.path().join("runs/movielens-small");
    let resume = ["train", "--resume", path(&run_dir), "--set", "train.epochs=2", "--device", "cpu"];
    run(&resume).refused("shop", "");
    run(&[&resume[..], &["--data", path(&moved)]].concat()).fine();
}

#[test]
fn a_taken_name_is_told_and_the_new_directory_is_the_last_line() {
    let home = tempfile::tempdir().unwrap();
    let data = shop(home.path(), &[]);
    let first = train(home.path(), CONFIG, &data, &[]).fine();
    assert!(!first.stderr.contains("older run"), "{}", first.stderr);
    let runs = home.path().join("runs");
    for name in ["movielens-small-2", "movielens-small-3"] {
        let said = train(home.path(), CONFIG, &data, &[]).fine();
        let new = runs.join(name);
        let told = format!(
            "warning: {0} is an older run, which `codistill train --resume {0}` goes on with; this one is {1}",
            runs.join("movielens-small").display(),
            new.display()
        );
        assert!(said.stderr.lines().any(|line| line == told), "{}", said.stderr);
        assert_eq!(said.stderr.lines().last(), Some(path(&new)));
        assert!(new.join("report.json").exists());
    }
    // The other command that makes runs.
    let export = home.path().join("export");
    let old = runs.join("movielens-small");
    run(&["export", path(&old), "-o", path(&export), "--device", "cpu"]).fine();
    let config = old.join("config.toml");
    let weights = export.join("weights.safetensors");
    let said = run(&["import", path(&config), path(&weights)]).fine();
    assert_eq!(said.stderr.lines().last(), Some(path(&runs.join("movielens-small-4"))));
}

#[test]
fn a_training_below_the_counters_says_so_and_what_to_try() {
    let home = tempfile::tempdir().unwrap();
    let data = shop(home.path(), &[]);
    let advice = |said: &Said| {
        let lines: Vec<String> =
            said.stderr.lines().filter(|line| line.contains("trains nothing")).map(str::to_owned).collect();
        assert!(lines.len() <= 1, "{lines:?}");
        lines.first().cloned()
    };
    // A step of nothing: scores are those of random weights, of which the best epoch is the first.
    let said = train(home.path(), CONFIG, &data, &["--set", "optim.lr=1e-12"]).fine();
    let line = advice(&said).unwrap();
    assert!(line.starts_with("warning: the model is not above ") && line.contains("optim.lr"), "{line}");
    assert!(line.contains("than 1e-12, e.g. 3e-12 and 3e-13"), "{line}");
    assert!(line.contains("--set train.epochs=2"), "the only epoch is the best one: {line}");
    let short = ["--set", "optim.lr=1e-12", "--set", "data.max_seq_len=2", "--set", "data.windows=last"];
    let line = advice(&train(home.path(), CONFIG, &data, &short).fine()).unwrap();
    assert!(line.contains("data.windows=all ("), "{line}");
}

#[test]
fn searches_and_studies_on_a_data_set_start_from_the_recommended_configuration() {
    let home = tempfile::tempdir().unwrap();
    let data = shop(home.path(), &["text"]);
    let write = |name: &str, rest: &str| {
        let file = home.path().join(name);
        let (data, dir) = (path(&data), path(home.path()));
        let sets = r#"set = ["train.epochs=1", "model.width=8", "model.memory.ridge=5.0"]"#;
        fs::write(&file, format!("data = {data:?}\ndir = {dir:?}\n{sets}\n{rest}")).unwrap();
        file
    };
    let search = write("search.toml", "trials = 1\n[space]\n\"model.dropout\" = { choice = [0.3] }\n");
    let study = write(
        "study.toml",
        "name = \"parts\"\nseeds = [1]\nconditions = [\"I\"]\n[gates]\nepoch_limit = \"warn\"\n",
    );
    let cells = ["trial-000", "parts/C0/seed-1"].map(|cell| home.path().join(cell));
    for (command, file, cell) in [("tune", &search, &cells[0]), ("ablate", &study, &cells[1])] {
        let said = run(&[command, path(file), "--device", "cpu"]).fine();
        assert!(said.stderr.contains("dropped image: the data set has no features of that view"));
        let config: toml::Table = fs::read_to_string(cell.join("config.toml")).unwrap().parse().unwrap();
        assert_eq!(names(&config, "branches"), ["id", "text"], "{command}");
        let (model, objective) = (&config["model"], &config["objective"]);
        assert_eq!(model["ensemble"]["weights"].as_str(), Some("fitted"));
        assert_eq!(model["memory"]["ridge"].as_float(), Some(5.0));
        assert_eq!(objective["kind"].as_str(), Some("in_batch"));
        assert_eq!(config["data"]["path"].as_str(), Some(path(&data)));
    }
    // Neither says what to train on.
    let text = fs::read_to_string(&search).unwrap();
    fs::write(&search, &text[text.find("dir").unwrap()..]).unwrap();
    run(&["tune", path(&search)]).refused("`base` is missing: name", "configs/tune");
    let text = fs::read_to_string(&study).unwrap();
    fs::write(&study, &text[text.find("dir").unwrap()..]).unwrap();
    run(&["ablate", path(&study)]).refused("`base` is missing", "data = \"DIR\"");
}

//! `codistill ablate`: a study from its file to its report.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use codistill::ablate::{Condition, Views};
use codistill::config::{self, Config};
use codistill::features::{Precision, StoreWriter};
use codistill::params;
use codistill::systems::CoDistill;
use codistill::train::run_dir::{RunDir, Which};
use codistill::train::{Setup, System};
use serde_json::Value;

use crate::program::{Said, codistill, dataset, path, run, trained};

/// A tiny model on a tiny world, so that a training takes a second.
const BASE: [&str; 8] = [
    "data.synth.users=120",
    "data.synth.items=80",
    "model.width=8",
    "train.batch_users=16",
    "train.epochs=2",
    "monitor.tensorboard=false",
    "monitor.projector_items=0",
    "device=cpu",
];

/// Writes a study file below `home` and returns its path; the study's directory is `home/study`.
fn study(home: &Path, seeds: &str, more: &str) -> PathBuf {
    let sets: Vec<String> = BASE.iter().map(|set| format!("{set:?}")).collect();
    let text = format!(
        "dir = {:?}\nname = \"study\"\nbase = {:?}\nset = [{}]\nseeds = {seeds}\n\
         gates = {{ collapsed = \"warn\", epoch_limit = \"warn\" }}\n{more}\n",
        path(home),
        concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml"),
        sets.join(", ")
    );
    let file = home.join("study.toml");
    fs::write(&file, text).unwrap();
    file
}

fn ablate(file: &Path, more: &[&str]) -> Said {
    // A report trains nothing, and has no use for a device.
    let device: &[&str] = if more.contains(&"--report") { &[] } else { &["--device", "cpu"] };
    run(&[&["ablate", path(file)], device, more].concat())
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// `done`, `FAILED` or `not done` by `condition/seed`.
fn states(report: &Value) -> BTreeMap<String, String> {
    let cells = report["cells"].as_array().unwrap().iter();
    cells
        .map(|c| {
            (
                format!("{}/{}", c["condition"].as_str().unwrap(), c["seed"]),
                c["state"].as_str().unwrap().into(),
            )
        })
        .collect()
}

fn labels(report: &Value) -> Vec<String> {
    let groups = report["comparison"]["groups"].as_array().unwrap().iter();
    groups.map(|g| g["label"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_study_trains_every_cell_once_and_says_what_text_is_worth() {
    let home = tempfile::tempdir().unwrap();
    let conditions =
        "conditions = [\"S-text\", \"I\", \"X-joint\", \"X-text\", \"N-new\", \"K-0\", \"Q-text\", \"Q-id\"]";
    let file = study(home.path(), "[1, 2]", conditions);
    let root = home.path().join("study");
    let listed = ablate(&file, &["--dry-run", "--json"]).fine();
    let cells: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(cells.as_array().unwrap().len(), 2 * 10);
    assert!(!root.exists(), "a dry run writes nothing");

    assert!(ablate(&file, &["--only", "C0"]).fine().stderr.contains("no report yet"));
    ablate(&file, &["--only", "C0,S-t", "--jobs", "2"]).fine();
    let first = fs::metadata(root.join("C0/seed-1/report.json")).unwrap().modified().unwrap();
    let report = json(&root.join("study.json"));
    assert_eq!(labels(&report), ["full model", "without text"]);
    let said = ablate(&file, &["--jobs", "2"]).fine();
    assert_eq!(fs::metadata(root.join("C0/seed-1/report.json")).unwrap().modified().unwrap(), first);
    assert!(
        said.stdout.contains("What each modality is worth") && said.stdout.contains("A/A"),
        "{}",
        said.stdout
    );

    let report = json(&root.join("study.json"));
    let states = states(&report);
    assert_eq!(states.len(), 20);
    // Constants may collapse, and are then named; nothing else may fail.
    assert!(
        states.iter().all(|(cell, state)| state == "done" || (cell.starts_with("K-0") && state == "FAILED")),
        "{states:?}"
    );
    let verdicts = report["verdicts"].as_array().unwrap();
    assert_eq!((verdicts.len(), verdicts[0]["view"].as_str()), (1, Some("text")));
    assert_eq!(verdicts[0]["seeds"], 2);
    assert!(verdicts[0]["control"].is_string());
    assert!(report["again"]["pairing"] == "order" && report["again"]["seeds"] == 2, "{}", report["again"]);
    assert!(report["floors"].as_array().unwrap().iter().any(|f| f[0] == "transitions"));
    for group in report["comparison"]["groups"].as_array().unwrap() {
        let value = group["metrics"][1][1].as_f64().unwrap();
        assert!(value.is_finite() && value > 0.0, "{group}");
    }
    let html = fs::read_to_string(root.join("study.html")).unwrap();
    assert!(html.contains("Reliance of the trained model, not value") && html.contains("<svg"));
    assert!(fs::read_to_string(root.join("study.md")).unwrap().contains("## All conditions"));

    // Structural removal leaves no parameter; a replacement leaves all.
    let names = |condition: &str| -> Vec<String> {
        let (_, checkpoint) =
            RunDir::new(&root.join(condition).join("seed-1")).checkpoint(&Which::Best).unwrap();
        checkpoint.params.into_keys().collect()
    };
    let of_text = |names: &[String]| names.iter().filter(|n| n.split('.').any(|part| part == "text")).count();
    assert_eq!(of_text(&names("S-text")), 0);
    assert!(of_text(&names("C0")) > 0);
    assert_eq!(names("X-text"), names("C0"));
    let only_id = names("only-id");
    assert!(only_id.iter().all(|n| !n.contains("text") && !n.contains("image")), "{only_id:?}");

    // The report is a function of what lies there, and the cells carry their condition by themselves.
    let before = fs::read(root.join("study.json")).unwrap();
    ablate(&file, &["--report"]).fine();
    assert!(before == fs::read(root.join("study.json")).unwrap());
    let own = fs::read_to_string(root.join("X-text/seed-2/config.toml")).unwrap();
    assert!(own.contains("kind = \"shuffle\""), "{own}");
}

#[test]
fn every_condition_gets_the_draw_that_was_best_for_it_on_validation() {
    let home = tempfile::tempdir().unwrap();
    let more = "conditions = [\"S-text\"]\n[retune]\ntrials = 2\n\
                [retune.space]\n\"optim.lr\" = { log_uniform = [1e-4, 1e-1] }";
    let file = study(home.path(), "[1, 2]", more);
    let root = home.path().join("study");
    let waiting = ablate(&file, &["--dry-run"]).fine();
    assert!(
        waiting.stdout.contains("S-text trial 1") && !waiting.stdout.contains("seed"),
        "{}",
        waiting.stdout
    );
    let said = ablate(&file, &["--jobs", "2"]).fine();
    assert!(said.stdout.contains("optim.lr="), "{}", said.stdout);

    let report = json(&root.join("study.json"));
    let how = report["hyper_parameters"].as_str().unwrap();
    assert!(how.starts_with("re-tuned: for every condition the best of 2 draws"), "{how}");
    let chosen = report["chosen"].as_array().unwrap();
    assert_eq!(chosen.len(), 2, "{chosen:?}");
    let read = |path: PathBuf| config::load(&path, &[]).unwrap().config;
    for (condition, chosen) in ["C0", "S-text"].iter().zip(chosen) {
        let best = |trial: usize| -> f64 {
            let run = root.join(format!("{condition}/trials/trial-{trial:03}/metrics.jsonl"));
            let text = fs::read_to_string(run).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.filter_map(|line| line["valid/ensemble/ndcg@10"].as_f64()).fold(0.0, f64::max)
        };
        let winner = usize::from(best(1) > best(0));
        assert_eq!(
            (chosen["condition"].as_str(), chosen["trial"].as_u64()),
            (Some(*condition), Some(winner as u64))
        );
        let trial = read(root.join(format!("{condition}/trials/trial-{winner:03}/config.toml")));
        assert_eq!(read(root.join(format!("{condition}/seed-2/config.toml"))).optim, trial.optim);
    }
    // Again under other seeds: the full model's own hyper-parameters.
    let lr = |cell: &str| read(root.join(cell).join("config.toml")).optim.lr;
    assert_eq!(lr("AA/seed-3"), lr("C0/seed-1"));

    let fixed = study(home.path(), "[1]", "conditions = [\"S-text\"]");
    ablate(&fixed, &["--retune", "3"]).refused("has no [retune]", "log_uniform");
    let split = study(home.path(), "[1]", &more.replace("optim.lr", "data.max_seq_len"));
    ablate(&split, &[]).refused("`data.max_seq_len` is the same for every condition", "retune");
}

#[test]
fn two_models_under_the_same_conditions_stand_in_one_table() {
    let home = tempfile::tempdir().unwrap();
    let one = study(home.path(), "[1]", "conditions = [\"S-text\", \"X-joint\"]");
    let text = fs::read_to_string(&one).unwrap();
    let other = home.path().join("late.toml");
    let late = text.replace("name = \"study\"", "name = \"late\"");
    fs::write(&other, late.replace("quickstart.toml", "late-fusion.toml").replace("\"S-text\", ", ""))
        .unwrap();
    // The same data for both.
    let data = home.path().join("data");
    run(&["synth", "-o", path(&data), "--set", "users=120", "--set", "items=80"]).fine();
    for file in [&one, &other] {
        let text = fs::read_to_string(file).unwrap();
        let text = text
            .replace("\"data.synth.users=120\", \"data.synth.items=80\"", &format!("'data.path={data:?}'"));
        fs::write(file, text).unwrap();
    }
    let said = run(&["ablate", path(&one), path(&other), "--device", "cpu", "--jobs", "2"]).fine();
    assert!(said.stdout.contains("Models side by side, ndcg@10"), "{}", said.stdout);
    let across = json(&home.path().join("across.json"));
    let full = |study: &str| {
        json(&home.path().join(study).join("study.json"))["comparison"]["groups"][0]["metrics"].clone()
    };
    for (model, name) in across["models"].as_array().unwrap().iter().zip(["study", "late"]) {
        assert_eq!(model[0], name);
        let ndcg = full(name).as_array().unwrap().iter().find(|m| m[0] == "ndcg@10").unwrap()[1].clone();
        assert_eq!(model[1][0]["value"], ndcg);
    }
    let page = fs::read_to_string(home.path().join("across.md")).unwrap();
    let late = page.lines().find(|line| line.starts_with("| late |")).unwrap();
    // "without text" was not asked of it.
    assert_eq!((late.matches('|').count(), late.matches("| - ").count()), (5, 1), "{page}");
    assert!(page.contains("minus best without") && page.contains("fewer than 4 models"), "{page}");

    let otherwise = fs::read_to_string(&other)
        .unwrap()
        .replace("name = \"late\"", "metric = \"recall@10\"\nname = \"late\"");
    fs::write(&other, otherwise).unwrap();
    run(&["ablate", path(&one), path(&other), "--report"]).refused("is about recall@10", "same metric");
}

#[test]
fn a_killed_study_goes_on_to_the_same_report() {
    let home = tempfile::tempdir().unwrap();
    let reports: Vec<String> = ["whole", "killed"]
        .iter()
        .map(|name| {
            let home = home.path().join(name);
            fs::create_dir(&home).unwrap();
            let file = study(&home, "[1, 2]", "conditions = [\"S-image\"]");
            if *name == "killed" {
                let mut child = codistill(&["ablate", path(&file), "--device", "cpu"]).spawn().unwrap();
                let since = Instant::now();
                // Somewhere in the middle of the second cell.
                while !home.join("study/C0/seed-2/metrics.jsonl").exists() && since.elapsed().as_secs() < 300
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                child.kill().unwrap();
                child.wait().unwrap();
                // The training it left behind saves and leaves by itself.
                let log = home.join("study/C0/seed-2.log");
                let left = || fs::read_to_string(&log).unwrap_or_default();
                std::thread::sleep(Duration::from_secs(2));
                assert!(!left().contains("panicked"), "{}", left());
                assert!(!home.join("study/study.json").exists());
            }
            ablate(&file, &[]).fine();
            fs::read_to_string(home.join("study/study.json")).unwrap().replace(path(&home), "")
        })
        .collect();
    assert!(reports[0] == reports[1]);
}

/// Sends SIGTERM once `started` exists, and waits for the end.
#[cfg(unix)]
fn terminated(args: &[&str], started: &Path) -> Said {
    let mut command = codistill(args);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let since = Instant::now();
    while !started.exists() && since.elapsed().as_secs() < 300 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(started.exists(), "{} never came", started.display());
    let sent = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait_with_output().unwrap().into()
}

#[cfg(unix)]
#[test]
fn the_second_of_several_studies_heeds_sigterm_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let one = study(home.path(), "[1]", "conditions = [\"S-image\"]");
    let two = home.path().join("two.toml");
    let text = fs::read_to_string(&one).unwrap().replace("name = \"study\"", "name = \"two\"");
    fs::write(&two, text).unwrap();
    let both = ["ablate", path(&one), path(&two), "--device", "cpu"];
    let said = terminated(&both, &home.path().join("two/C0/seed-1/metrics.jsonl"));
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(said.stderr.contains("the same command goes on"), "{}", said.stderr);
    assert!(!said.stderr.contains("without saving"), "{}", said.stderr);
    assert!(home.path().join("study/study.json").exists(), "the first study was done");
    assert!(!home.path().join("two/S-image/seed-1").exists(), "another cell was begun");
    // The training that ran saved before it left.
    assert!(!codistill::train::checkpoint::list(&home.path().join("two/C0/seed-1/steps")).is_empty());
    run(&both).fine();
    let metrics = |name: &str| -> Vec<Value> {
        let report = json(&home.path().join(name).join("study.json"));
        report["comparison"]["groups"].as_array().unwrap().iter().map(|g| g["metrics"].clone()).collect()
    };
    // The same cells under the same seeds: what was interrupted ends where the other did.
    assert_eq!(metrics("two"), metrics("study"));
    assert_eq!(metrics("two").len(), 2);
    assert!(home.path().join("across.json").exists());
}

#[cfg(unix)]
#[test]
fn the_cells_after_drawn_hyper_parameters_heed_sigterm() {
    let home = tempfile::tempdir().unwrap();
    let more = "conditions = [\"S-image\"]\n[retune]\ntrials = 1\n[retune.space]\n\"optim.lr\" = { log_uniform = [1e-4, 1e-2] }";
    let file = study(home.path(), "[1]", more);
    let args = ["ablate", path(&file), "--device", "cpu"];
    let said = terminated(&args, &home.path().join("study/C0/seed-1/metrics.jsonl"));
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(
        !home.path().join("study/study.json").exists() && !home.path().join("study/S-image/seed-1").exists()
    );
    run(&args).fine();
    assert!(home.path().join("study/study.json").exists());
}

#[test]
fn a_failed_cell_is_named_and_in_no_mean() {
    let home = tempfile::tempdir().unwrap();
    let own = "conditions = [\"S-text\"]\n[[condition]]\nid = \"wild\"\nset = [\"optim.lr=1e30\", \"optim.clip_norm=0\"]";
    let file = study(home.path(), "[1, 2]", own);
    let said = ablate(&file, &[]).fine();
    assert!(said.stderr.contains("wild seed 1 FAILED"), "{}", said.stderr);
    let report = json(&home.path().join("study/study.json"));
    assert_eq!(states(&report)["wild/1"], "FAILED");
    assert!(!labels(&report).contains(&"wild".to_owned()));
    assert!(
        fs::read_to_string(home.path().join("study/study.md")).unwrap().contains("| wild | 1 | FAILED |")
    );
    // A cell that failed is not tried again unasked, and one that breaks afterwards leaves the mean.
    assert!(ablate(&file, &[]).fine().stderr.contains("failed before"));
    let mean = |report: &Value| report["comparison"]["groups"][1]["by_seed"].as_array().unwrap().len();
    assert_eq!(mean(&report), 2);
    let faults = [
        ("rows-test.parquet", "the rows of `ensemble` are not those of"),
        // With the report, too, they belong together, and are another cell's.
        ("report.json", "ranks every target as C0 seed 1 does"),
    ];
    for (name, reason) in faults {
        let of = |condition: &str| home.path().join("study").join(condition).join("seed-1").join(name);
        fs::copy(of("C0"), of("S-text")).unwrap();
        ablate(&file, &["--report"]).fine();
        let report = json(&home.path().join("study/study.json"));
        assert_eq!(mean(&report), 1);
        assert_eq!(states(&report)["S-text/1"], "FAILED");
        let page = fs::read_to_string(home.path().join("study/study.html")).unwrap();
        assert!(page.contains(reason), "{reason}");
    }
}

#[test]
fn a_training_that_was_cut_off_is_no_figure() {
    let home = tempfile::tempdir().unwrap();
    let file = study(home.path(), "[1]", "conditions = [\"S-text\"]");
    // One evaluation, at the end: nothing tells whether more epochs would have helped.
    let text = fs::read_to_string(&file).unwrap().replace("\"device=cpu\"", "\"train.eval_every=2\"");
    let strict = text.replace("epoch_limit = \"warn\"", "epoch_limit = \"fail\"");
    fs::write(&file, &strict).unwrap();
    let said = ablate(&file, &[]);
    said.refused("C0 seed 1: FAILED best ensemble/ndcg@10 at the limit of 2 epochs", "base configuration");
    fs::write(&file, &text).unwrap();
    let said = ablate(&file, &["--report"]).fine();
    assert!(
        said.stderr.contains("note: C0 seed 1, S-text seed 1: best ensemble/ndcg@10 at the limit"),
        "{}",
        said.stderr
    );
}

#[test]
fn cells_of_other_settings_or_data_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = study(home.path(), "[1]", "conditions = [\"S-text\"]");
    let said = ablate(&file, &[]).fine();
    assert!(said.stdout.contains("single run"), "{}", said.stdout);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("train.epochs=2", "train.epochs=3")).unwrap();
    ablate(&file, &[]).refused("train.epochs = 2, the study now asks for 3", "another name");
    fs::write(&file, &text).unwrap();

    // The same settings on other data.
    let cell = home.path().join("study/S-text");
    run(&[
        "synth",
        "-o",
        path(&home.path().join("apart")),
        "--set",
        "users=120",
        "--set",
        "items=80",
        "--set",
        "seed=9",
    ])
    .fine();
    fs::remove_dir_all(cell.join("seed-1")).unwrap();
    let data = format!("data.path={}", home.path().join("apart").display());
    run(&["train", path(&cell.join("seed-1.toml")), "--device", "cpu", "--set", &data]).fine();
    ablate(&file, &[]).refused("the data set", "another name");
    ablate(&file, &["--report"]).refused("not comparable", "faults");
}

#[test]
fn bad_study_files_are_refused_with_the_nearest_word() {
    let home = tempfile::tempdir().unwrap();
    let refused = |seeds: &str, more: &str, what: &str, hint: &str| {
        ablate(&study(home.path(), seeds, more), &["--dry-run"]).refused(what, hint);
    };
    refused("[1]", "marginn = 0.1", ":7:1: unknown key `marginn`", "`margin`");
    refused("[1]", "preset = \"sead\"", "unknown word `sead`", "`seed`");
    refused("[1]", "conditions = [\"S-txt\"]", "`S-txt`", "`S-text`");
    refused("[1]", "conditions = [\"S-text\"]\ncontrasts = [\"S-image\"]", "declared", "conditions");
    refused("[2, 2]", "preset = \"seed\"", "names 2 twice", "second sample");
    refused("[1]", "", "`preset` is missing", "preset = \"seed\"");
    refused("[1]", "preset = \"seed\"\nmetric = \"auc\"", "`metric`", "ndcg@K");
    refused("[1]", "preset = \"seed\"\nagain_seeds = [1]", "shares 1", "their own");
    refused("[1]", "[[condition]]\nid = \"x\"\nremove = [\"sound\"]", "no view `sound`", "text, image, id");
    refused("[1]", "[[condition]]\nid = \"x\"\nset = [\"model.widht=3\"]", "model.widht", "model.width");
    run(&["ablate", path(&home.path().join("absent.toml"))]).refused("absent.toml", "study file");
    let file = study(home.path(), "[1]", "preset = \"seed\"");
    ablate(&file, &["--only", "S-audio"]).refused("`S-audio`", "");
}

#[test]
fn a_study_of_a_model_that_finished_runs_teach_is_refused_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    let file = study(home.path(), "[1]", "preset = \"seed\"");
    let with = |set: &str| {
        let text = fs::read_to_string(&file).unwrap().replace("set = [", &format!("set = ['{set}', "));
        let taught = home.path().join("taught.toml");
        fs::write(&taught, text).unwrap();
        taught
    };
    let taught = with(
        r#"objective.distill={ pairs = [{ student = "id", teacher = "big" }], teachers = [{ name = "big", run = "none" }] }"#,
    );
    let before = fs::read_dir(home.path()).unwrap().count();
    let said = ablate(&taught, &[]);
    said.refused("`objective.distill.teachers` has `big`", "objective.distill.teachers=[]");
    assert!(said.stderr.contains("quickstart.toml"), "{}", said.stderr);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), before, "a data set or a study was made");
    // What the hint says is enough.
    let without = "\"device=cpu\", \"objective.distill.teachers=[]\", \"objective.distill.pairs=[]\"";
    let text = fs::read_to_string(&taught).unwrap().replace("\"device=cpu\"", without);
    fs::write(&taught, text).unwrap();
    ablate(&taught, &["--dry-run"]).fine();
}

/// The tiny base with its data set in `home`.
fn base(home: &Path) -> Config {
    trained(home);
    let mut sets: Vec<String> = BASE.iter().map(|set| (*set).to_owned()).collect();
    sets.push(format!("data.path={}", dataset(home).display()));
    let text = include_str!("../../configs/quickstart.toml");
    config::parse(text, Path::new("quickstart.toml"), &sets).unwrap().config
}

fn vectors(config: Config) -> BTreeMap<String, Vec<Vec<f32>>> {
    let system = CoDistill::open(Setup::open(config, &Device::flex()).unwrap()).unwrap();
    let catalogue = system.catalogue(&system.new_model().valid());
    let branches = system.setup.config.model.branches.iter().zip(catalogue.branches);
    branches
        .map(|(branch, rows)| {
            let [_, width] = rows.dims();
            let values = params::host(rows);
            (branch.name.clone(), values.chunks(width).skip(1).map(<[f32]>::to_vec).collect())
        })
        .collect()
}

#[test]
fn a_hidden_view_is_a_view_that_every_item_lacks() {
    let home = tempfile::tempdir().unwrap();
    let base = base(home.path());
    let empty = home.path().join("empty");
    // The same shape as the world's images, without a row.
    StoreWriter::create(&empty, 80, 6, 32, Precision::F16).unwrap().finish(serde_json::json!({})).unwrap();
    let mut lacking = base.clone();
    lacking.data.features.insert("image".into(), empty);
    let hidden = Condition::named("Q-image", &Views::new(&base)).unwrap().apply(&base, 0).unwrap();
    assert!(vectors(hidden) == vectors(lacking));
    assert!(
        vectors(base.clone())
            != vectors(Condition::named("Q-image", &Views::new(&base)).unwrap().apply(&base, 0).unwrap())
    );
}

#[test]
fn a_branch_is_not_a_modality() {
    let home = tempfile::tempdir().unwrap();
    let base = base(home.path());
    let spread = |id: &str| -> f32 {
        let config = Condition::named(id, &Views::new(&base)).unwrap().apply(&base, 0).unwrap();
        let rows = &vectors(config)["text"];
        rows.iter()
            .map(|row| row.iter().zip(&rows[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
            .fold(0.0, f32::max)
    };
    // Without text the text branch lives on from the image tokens; without both, what is left to tell items apart
    // is how many tokens they have and which are missing.
    assert!(spread("K-1-text") > 1e-3, "{}", spread("K-1-text"));
    assert!(spread("Q-text") > 1e-3, "{}", spread("Q-text"));
    let mut both = base.clone();
    both.model.views.iter_mut().filter(|v| !v.store().is_empty()).for_each(|v| {
        v.replace = Some(config::Replace { kind: config::ReplaceKind::Hidden, seed: 0 });
    });
    let rows = &vectors(both)["text"];
    assert!(rows.iter().all(|row| row.iter().zip(&rows[0]).all(|(a, b)| (a - b).abs() < 1e-6)));
}

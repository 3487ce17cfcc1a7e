//! Stages of a training and groups of parameters, through the command line.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use codistill::params::{self, Values};
use codistill::systems::CoDistill;
use codistill::tensors;
use codistill::train::run_dir::{RunDir, Which};
use codistill::train::{Setup, System};

use crate::program::{path, run, tiny};

/// A first stage in which tables, projections and distillation rest; then all of it.
const STAGES: &str = r#"train.stages=[{ name = "warm", epochs = 2, freeze = ["views.*", "tower.*"], terms = ["in_batch"] }, {}]"#;

type Figures = BTreeMap<String, serde_json::Value>;

fn figures(run_dir: &Path) -> Vec<Figures> {
    let text = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Figures>(line).unwrap());
    let clock = |tag: &String| tag == "time" || tag.starts_with("perf/") || tag.starts_with("memory/");
    rows.map(|row| row.into_iter().filter(|(tag, _)| !clock(tag)).collect()).collect()
}

/// Parameters of the checkpoint of a step, and of a model before its first step.
fn weights(run_dir: &Path, step: u64) -> (BTreeMap<String, Values>, BTreeMap<String, Values>) {
    let (at, checkpoint) = RunDir::new(run_dir).checkpoint(&Which::Step(step)).unwrap();
    let system = CoDistill::open(Setup::open(checkpoint.config, &Device::flex()).unwrap()).unwrap();
    let read = |path: &Path| tensors::read(&path.join("model.safetensors")).unwrap();
    (read(&at), params::read(&system.new_model().valid()))
}

fn moved(before: &BTreeMap<String, Values>, after: &BTreeMap<String, Values>) -> Vec<String> {
    after.iter().filter(|(name, values)| before[*name] != **values).map(|(name, _)| name.clone()).collect()
}

#[test]
fn what_a_stage_freezes_stays_and_terms_that_do_not_count_are_not_computed() {
    let home = tempfile::tempdir().unwrap();
    let sets = [STAGES, "train.epochs=2", "train.keep=9", "train.patience=0", "monitor.log_every=1"];
    run(&tiny(home.path(), &sets)).fine();
    let run_dir = home.path().join("quickstart");
    let rows = figures(&run_dir);
    let logged: Vec<&Figures> = rows.iter().filter(|row| row.contains_key("train/loss/total")).collect();
    let epochs: Vec<u64> = logged.iter().map(|row| row["epoch"].as_u64().unwrap()).collect();
    assert_eq!((epochs[0], *epochs.last().unwrap()), (1, 4), "two epochs of each stage");
    for row in &logged {
        let distills = row.keys().any(|tag| tag.starts_with("train/distill/"));
        let weight = row["train/distill_weight"].as_f64().unwrap();
        let second = row["epoch"].as_u64().unwrap() > 2;
        assert!(distills == second && (weight > 0.0) == second, "{row:?}");
    }
    let steps = logged.len() as u64;
    let (warm, fresh) = weights(&run_dir, steps / 2);
    let learned = moved(&fresh, &warm);
    assert!(!learned.is_empty() && learned.iter().all(|name| name.starts_with("branches.")), "{learned:?}");
    let (done, _) = weights(&run_dir, steps);
    assert_eq!(moved(&warm, &done).len(), done.len(), "in the second stage everything learns");
}

#[test]
fn a_run_that_was_stopped_in_its_first_stage_goes_on_to_the_same_bits() {
    let home = tempfile::tempdir().unwrap();
    let both = |name: &str, more: &[&str]| {
        let dir = home.path().join(name);
        let base =
            [STAGES, "train.epochs=2", "train.patience=0", "monitor.log_every=1", "optim.warmup_steps=3"];
        run(&tiny(&dir, &[&base, more].concat())).fine();
        dir.join("quickstart")
    };
    let whole = both("whole", &["train.keep=9"]);
    let cut = both("cut", &["train.keep=9"]);
    // The checkpoint after the first epoch of the first stage is the newest one left.
    let steps = RunDir::new(&cut).steps();
    let mut all: Vec<_> = std::fs::read_dir(&steps).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all[1..].iter().for_each(|later| std::fs::remove_dir_all(later).unwrap());
    run(&["train", "--resume", path(&cut), "--device", "cpu"]).fine();
    let last = |run_dir: &Path| RunDir::new(run_dir).checkpoint(&Which::Last).unwrap().1;
    let (a, b) = (last(&whole), last(&cut));
    assert_eq!((a.params, a.state), (b.params, b.state));
    assert_eq!(figures(&whole), figures(&cut));
}

#[test]
fn a_group_has_its_own_rate_and_decay() {
    let home = tempfile::tempdir().unwrap();
    let trained = |name: &str, groups: &str| {
        let dir = home.path().join(name);
        run(&tiny(&dir, &[groups, "train.epochs=1", "optim.weight_decay=0.0"])).fine();
        let (weights, fresh) = weights(&dir.join("quickstart"), last_step(&dir.join("quickstart")));
        let gap = |name: &str| {
            let pairs = weights[name].values.iter().zip(&fresh[name].values);
            pairs.map(|(a, b)| f64::from((a - b).abs())).sum::<f64>()
        };
        (gap("views.id.table"), gap("branches.text.encoder.positions"))
    };
    let (table, positions) = trained("plain", "optim.groups=[]");
    let slow = trained("slow", r#"optim.groups=[{ parameters = "views.*", lr = 1e-6 }]"#);
    assert!(slow.0 < 0.01 * table && slow.1 > 0.5 * positions, "{slow:?} against {table} and {positions}");
}

fn last_step(run_dir: &Path) -> u64 {
    RunDir::new(run_dir).checkpoint(&Which::Last).unwrap().1.state.step
}

#[test]
fn patterns_that_match_nothing_and_stages_that_make_no_sense_are_refused_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    let refused = |set: &str, what: &str, hint: &str| {
        run(&tiny(home.path(), &[set])).refused(what, hint);
        assert!(!home.path().join("quickstart").exists(), "{set}");
    };
    refused(r#"train.stages=[{ freeze = ["view.*"] }]"#, "train.stages.0.freeze", "parameters are");
    refused(r#"train.stages=[{ freeze = ["*"] }]"#, "freezes every parameter", "leave some");
    refused(r#"train.stages=[{ terms = ["in-batch"] }]"#, "`in-batch`", "in_batch, distill");
    refused("train.stages=[{ epochs = 3 }]", "train.stages.0.epochs", "train.epochs");
    refused("train.stages=[{}, {}]", "train.stages.0.epochs", "");
    refused(r#"optim.groups=[{ parameters = "views.*" }]"#, "optim.groups.0", "lr or weight_decay");
    refused(
        r#"optim.groups=[{ parameters = "x*", lr = 1.0 }]"#,
        "optim.groups.0.parameters",
        "parameters are",
    );
    let twice =
        r#"optim.groups=[{ parameters = "views.*", lr = 1.0 }, { parameters = "views.id.*", lr = 0.5 }]"#;
    refused(twice, "optim.groups.1.parameters", "narrower pattern first");
    refused(r#"objective.terms=[{ kind = "align" }]"#, "objective.terms.0.kind", "objective.kind");
}

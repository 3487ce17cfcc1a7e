//! A program that adds a system of its own to the library: one file and one line.

mod mf;
mod norm;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use codistill::{objective, systems, tensors};
use codistill_cli as cli;

use crate::program::{Said, path, run, tiny};

/// What the child is to do, an argument a line.
const ARGUMENTS: &str = "CODISTILL_TEST_ARGUMENTS";

/// The program of somebody who has a system of their own.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child_with_a_system_of_its_own() {
    systems::register::<mf::Mf>("mf");
    objective::register("norm", norm::make);
    let arguments = std::env::var(ARGUMENTS).unwrap();
    let exit = cli::run_with(std::iter::once("codistill").chain(arguments.lines()));
    std::process::exit(exit as i32);
}

fn child(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "extend::child_with_a_system_of_its_own", "--ignored", "--nocapture"]);
    command.env(ARGUMENTS, arguments.join("\n")).stdin(Stdio::null());
    command
}

fn mine(arguments: &[&str]) -> Said {
    child(arguments).output().unwrap().into()
}

/// A path as a string of TOML.
fn quoted(path: &Path) -> String {
    toml::Value::from(path.to_str().unwrap()).to_string()
}

fn configuration(home: &Path) -> PathBuf {
    let data = home.join("data");
    run(&["synth", "--set", "users=150", "--set", "items=60", "--output", path(&data)]).fine();
    let file = home.join("mf.toml");
    let text = format!(
        "[run]\ndir = {}\n[system]\nkind = \"mf\"\n[system.settings]\nwidth = 8\n[data]\npath = {}\n\
         [optim]\nlr = 0.02\nweight_decay = 0.0\n[train]\nepochs = 12\nbatch_users = 64\npatience = 0\n\
         checkpoint_steps = 3\n[monitor]\nlog_every = 1\n",
        quoted(home),
        quoted(&data),
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// Figures of a run that do not measure the machine.
fn losses(run_dir: &Path) -> Vec<(u64, f64)> {
    let text = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.filter_map(|row| Some((row["step"].as_u64()?, row["train/loss/bpr"].as_f64()?))).collect()
}

fn kill_after_a_checkpoint(config: &str) {
    let mut training = child(&["train", config, "--device", "cpu", "--set", "run.name=killed"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let steps = Path::new(config).with_file_name("killed").join("steps");
    let begun = Instant::now();
    while std::fs::read_dir(&steps).map_or(0, Iterator::count) < 2 {
        assert!(begun.elapsed() < Duration::from_mins(2), "no checkpoint appeared");
        std::thread::sleep(Duration::from_millis(5));
    }
    // SIGKILL.
    training.kill().unwrap();
    training.wait().unwrap();
}

#[test]
fn a_system_of_one_file_trains_resumes_and_is_evaluated_compared_and_exported() {
    let home = tempfile::tempdir().unwrap();
    let config = configuration(home.path());
    let config = path(&config);
    mine(&["train", config, "--device", "cpu", "--set", "run.name=whole"]).fine();
    kill_after_a_checkpoint(config);
    let [whole, killed] = ["whole", "killed"].map(|name| home.path().join(name));
    mine(&["train", "--resume", path(&killed), "--device", "cpu"]).fine();

    // A resumed run equals an uninterrupted one, to the bit.
    assert_eq!(losses(&whole), losses(&killed));
    let exports = [&whole, &killed].map(|run_dir| {
        let export = run_dir.with_extension("export");
        mine(&["export", path(run_dir), "--output", path(&export), "--device", "cpu"]).fine();
        tensors::read(&export.join("weights.safetensors")).unwrap()
    });
    assert_eq!(exports[0], exports[1]);
    assert_eq!(exports[0].keys().collect::<Vec<_>>(), ["items", "users"]);

    // It learns: BPR of a model that knows nothing is ln 2.
    let curve = losses(&whole);
    assert!((curve[0].1 - std::f64::consts::LN_2).abs() < 0.02, "{curve:?}");
    assert!(curve.last().unwrap().1 < 0.6, "{curve:?}");

    mine(&["train", "--refit", path(&whole), "--on", "train+valid", "--device", "cpu"]).fine();
    let more = std::fs::read_to_string(home.path().join("whole-refit/report.json")).unwrap();
    assert!(more.contains("refit on train+valid"), "{more}");
    let data = home.path().join("data");
    let said = mine(&["train", "--continue", path(&whole), "--data", path(&data), "--device", "cpu"]);
    assert!(
        said.code == Some(1) && said.stderr.contains("by the system `mf`, which has no ID vectors"),
        "{}",
        said.stderr
    );
    assert!(!home.path().join("whole-continued").exists());

    let said = mine(&["evaluate", path(&whole), "--device", "cpu"]).fine();
    assert!(said.stdout.contains("ensemble") && said.stdout.contains("popularity"), "{}", said.stdout);
    let said = mine(&["compare", path(&whole), path(&killed)]).fine();
    assert!(said.stdout.contains("whole") && said.stdout.contains("killed"), "{}", said.stdout);
}

#[test]
fn a_program_without_the_system_and_settings_it_does_not_know_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let config = configuration(home.path());
    let config = path(&config);
    run(&["train", config]).refused("there is no system `mf`", "codistill");
    let refused = |set: &str, what: &str, hint: &str| {
        let said = mine(&["train", config, "--device", "cpu", "--set", set]);
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        assert!(said.stderr.contains(what) && said.stderr.contains(hint), "{}", said.stderr);
    };
    refused("system.settings.depth=2", "unknown field `depth`", "those of the system `mf`");
    refused("model.width=4", "`model` does nothing with system.kind", "set system.kind to codistill");
    let said =
        mine(&["train", config, "--device", "cpu", "--set", "run.name=other", "--set", "train.epochs=1"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let other = home.path().join("other");
    let taught = format!(
        r#"objective.distill={{ pairs = [{{ student = "id", teacher = "mf" }}], teachers = [{{ name = "mf", run = {} }}] }}"#,
        quoted(&other)
    );
    run(&tiny(&home.path().join("own"), &[&taught]))
        .refused("a run of the system `mf`", "of the system `codistill`");
    assert!(!home.path().join("mf").exists(), "a refused training leaves nothing behind");
}

#[test]
fn a_term_of_one_file_is_logged_learned_from_and_chosen_by_a_stage() {
    let home = tempfile::tempdir().unwrap();
    let last = |name: &str, sets: &[&str]| {
        let dir = home.path().join(name);
        let arguments = tiny(&dir, sets);
        mine(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).fine();
        let text = std::fs::read_to_string(dir.join("quickstart/metrics.jsonl")).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let norms: Vec<f64> = rows.filter_map(|row| row["train/loss/norm_text"].as_f64()).collect();
        norms
    };
    let term = |weight: &str| {
        format!(r#"objective.terms=[{{ kind = "norm", weight = {weight}, settings = {{ free = 0.0 }} }}]"#)
    };
    let (weak, strong) = (last("weak", &[&term("1e-9")]), last("strong", &[&term("100.0")]));
    assert_eq!(weak[0], strong[0], "the same fresh model");
    assert!(strong.last().unwrap() < &(0.9 * weak.last().unwrap()), "{weak:?} {strong:?}");
    let without = last("without", &[&term("1.0"), r#"train.stages=[{ terms = ["in_batch"] }]"#]);
    assert!(without.is_empty(), "{without:?}");

    let arguments = tiny(
        &home.path().join("wrong"),
        &[r#"objective.terms=[{ kind = "norm", settings = { fre = 1.0 } }]"#],
    );
    let said = mine(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.code == Some(1) && said.stderr.contains("objective.terms.0.settings"), "{}", said.stderr);
}

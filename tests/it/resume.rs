//! A run that was killed, wherever it was, ends with the same bits as one that was left alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use codistill::artefact;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::program::{Said, codistill, dataset, flip, path, run, tiny};

const RUNS: usize = 4;
/// The last of 3 epochs of 15 steps.
const LAST: &str = "step-00000045";
const SETS: [&str; 5] = [
    "data.synth.users=240",
    "train.epochs=3",
    "train.checkpoint_steps=2",
    "train.keep=3",
    "monitor.projector_items=20",
];

/// What must not depend on how often a run was interrupted.
#[derive(PartialEq)]
pub struct Ended {
    /// Bytes of the last checkpoint and of the report, by file name.
    files: BTreeMap<String, Vec<u8>>,
    /// Lines of `metrics.jsonl` without times, speeds and memory.
    metrics: Vec<BTreeMap<String, String>>,
}

impl Ended {
    pub fn of(run: &Path) -> Self {
        let (last, _) = steps(run).pop().unwrap();
        let of_run = ["report.json", "rows-test.parquet"].map(|name| run.join(name));
        let of_step = ["model.safetensors", "optimizer.safetensors", "state.json"].map(|n| last.join(n));
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let read = |path: PathBuf| (name(&path), std::fs::read(&path).unwrap());
        let files = of_run.into_iter().chain(of_step).map(read).collect();
        let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let line = |line: &str| -> BTreeMap<String, String> {
            let all: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            let stays = |tag: &str| tag != "time" && !tag.starts_with("perf/") && !tag.starts_with("memory/");
            all.into_iter().filter(|(tag, _)| stays(tag)).map(|(tag, v)| (tag, v.to_string())).collect()
        };
        Self { files, metrics: text.lines().map(line).collect() }
    }

    #[track_caller]
    pub fn must_equal(&self, other: &Self) {
        for (name, bytes) in &self.files {
            assert!(other.files[name] == *bytes, "{name} differs");
        }
        assert_eq!(self.metrics.len(), other.metrics.len(), "lines of metrics.jsonl");
        for (ours, theirs) in self.metrics.iter().zip(&other.metrics) {
            assert_eq!(ours, theirs);
        }
    }
}

/// Every checkpoint of a run with whether it is whole, oldest first.
pub fn steps(run: &Path) -> Vec<(PathBuf, Result<(), String>)> {
    let entries = std::fs::read_dir(run.join("steps")).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.file_name().unwrap().to_string_lossy().starts_with("step-"));
    paths.sort();
    let check = |path: &PathBuf| {
        artefact::verify(path, "codistill/checkpoint", 1).map(drop).map_err(|e| e.to_string())
    };
    paths.iter().map(|path| (path.clone(), check(path))).collect()
}

#[track_caller]
fn all_whole(run: &Path) {
    for (path, state) in steps(run) {
        assert_eq!(state, Ok(()), "{}", path.display());
    }
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What the program is doing when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    GeneratingData,
    Starting,
    Training,
    WritingACheckpoint,
    Validating,
    EvaluatingAtTheEnd,
}

const ALL: [Doing; 6] = [
    Doing::GeneratingData,
    Doing::Starting,
    Doing::Training,
    Doing::WritingACheckpoint,
    Doing::Validating,
    Doing::EvaluatingAtTheEnd,
];

impl Doing {
    /// Whether the files in `dir` show it; `lines` of metrics stood there before the program was started.
    fn shows(self, dir: &Path, lines: usize) -> bool {
        let run = dir.join("quickstart");
        let metrics = || std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
        match self {
            Self::GeneratingData => dir.join("data").exists() && !run.exists(),
            Self::Starting => run.exists(),
            Self::Training => metrics().lines().count() > lines,
            Self::WritingACheckpoint => hidden(&run.join("steps")) > 0,
            Self::Validating => metrics().lines().last().is_some_and(|line| line.contains("epoch_mean")),
            Self::EvaluatingAtTheEnd => steps(&run).iter().any(|(path, _)| path.ends_with(LAST)),
        }
    }
}

/// Unfinished directories in `dir`.
fn hidden(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).count()
}

/// Kills `delay` after the files show what it is `doing`, or waits for an earlier end: then there is a status.
fn kill_while(mut child: Child, doing: Doing, dir: &Path, delay: Duration) -> Said {
    let metrics = std::fs::read_to_string(dir.join("quickstart/metrics.jsonl")).unwrap_or_default();
    let lines = metrics.lines().count();
    while child.try_wait().unwrap().is_none() {
        if doing.shows(dir, lines) {
            std::thread::sleep(delay);
            // SIGKILL; a program that has ended already takes no notice.
            let _ = child.kill();
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.wait_with_output().unwrap().into()
}

fn uninterrupted(home: &Path) -> (PathBuf, Ended) {
    run(&tiny(home, &SETS)).fine();
    let run = home.join("quickstart");
    all_whole(&run);
    let ended = Ended::of(&run);
    (run, ended)
}

#[test]
fn killed_runs_resume_to_the_same_bits() {
    let home = tempfile::tempdir().unwrap();
    let (whole, expected) = uninterrupted(&home.path().join("whole"));
    assert!(steps(&whole).last().unwrap().0.ends_with(LAST));
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut kills: BTreeMap<Doing, usize> = BTreeMap::new();
    for n in 0..RUNS {
        let dir = home.path().join(format!("killed-{n}"));
        let run = dir.join("quickstart");
        // Data is generated once a run, and first.
        let more = [(); 2].map(|()| ALL[random.random_range(2..ALL.len())]);
        let plan = ALL.into_iter().chain(more);
        for doing in plan {
            let delay = Duration::from_millis(random.random_range(0..40));
            let said = kill_while(start(next(&dir)), doing, &dir, delay);
            assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
            assert!(!said.stderr.contains("passed over"), "an unreadable checkpoint: {}", said.stderr);
            all_whole(&run);
            match said.code {
                Some(_) => drop(said.fine()),
                None => *kills.entry(doing).or_default() += 1,
            }
        }
        Said::from(next(&dir).output().unwrap()).fine();
        Ended::of(&run).must_equal(&expected);
        assert_eq!(hidden(&run.join("steps")), 0, "unfinished checkpoints stay behind");
    }
    println!("kills: {kills:?}");
    assert!(kills.values().sum::<usize>() >= 20 && kills.len() == ALL.len(), "{kills:?}");
}

/// What a user does next: start again what left no run directory, resume what did.
fn next(dir: &Path) -> Command {
    let run = dir.join("quickstart");
    if run.join("config.toml").exists() {
        return codistill(&["train", "--resume", path(&run)]);
    }
    // A kill between two system calls leaves an empty directory, which a new run would step around.
    let _ = std::fs::remove_dir_all(&run);
    codistill(&tiny(dir, &SETS))
}

#[test]
fn a_run_killed_before_its_first_checkpoint_starts_again_in_its_own_directory() {
    let home = tempfile::tempdir().unwrap();
    let (run_dir, expected) = uninterrupted(home.path());
    std::fs::remove_dir_all(run_dir.join("steps")).unwrap();
    run(&["train", "--resume", path(&run_dir)]).fine();
    Ended::of(&run_dir).must_equal(&expected);
}

#[test]
fn ctrl_c_saves_exits_with_4_and_resumes_to_the_same_bits() {
    let home = tempfile::tempdir().unwrap();
    // Long enough to be caught; the whole run for comparison is as long.
    let sets = [&SETS[..], &["train.epochs=20", "train.checkpoint_steps=0", "train.patience=0"]].concat();
    run(&tiny(&home.path().join("whole"), &sets)).fine();
    let dir = home.path().join("stopped");
    let child = start(codistill(&tiny(&dir, &sets)));
    let run_dir = dir.join("quickstart");
    while std::fs::read_to_string(run_dir.join("metrics.jsonl")).map_or(0, |t| t.lines().count()) < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(said.stderr.contains("--resume"), "{}", said.stderr);
    all_whole(&run_dir);
    assert_eq!(steps(&run_dir).len(), 1);
    run(&["train", "--resume", path(&run_dir)]).fine();
    Ended::of(&run_dir).must_equal(&Ended::of(&home.path().join("whole/quickstart")));
}

#[test]
fn a_damaged_newest_checkpoint_is_passed_over_with_a_warning_and_the_bits_are_the_same() {
    let home = tempfile::tempdir().unwrap();
    let (run_dir, expected) = uninterrupted(home.path());
    let (newest, _) = steps(&run_dir).pop().unwrap();
    flip(&newest.join("model.safetensors"));
    let said = run(&["train", "--resume", path(&run_dir)]).fine();
    assert!(
        said.stderr.contains("warning: passed over") && said.stderr.contains("SHA-256"),
        "{}",
        said.stderr
    );
    all_whole(&run_dir);
    Ended::of(&run_dir).must_equal(&expected);
}

#[test]
fn a_finished_run_can_be_given_more_epochs() {
    let home = tempfile::tempdir().unwrap();
    let (short, _) = uninterrupted(&home.path().join("short"));
    let long = home.path().join("long");
    run(&tiny(&long, &[&SETS[..], &["train.epochs=4"]].concat())).fine();
    run(&["train", "--resume", path(&short), "--set", "train.epochs=4"]).fine();
    Ended::of(&short).must_equal(&Ended::of(&long.join("quickstart")));

    // The same by a configuration file.
    let (short, _) = uninterrupted(&home.path().join("by-file"));
    let mut given = tiny(&short, &[&SETS[..], &["train.epochs=4"]].concat());
    given.extend(["--resume".into(), path(&short).into()]);
    run(&given).fine();
    Ended::of(&short).must_equal(&Ended::of(&long.join("quickstart")));
}

#[test]
fn other_data_or_another_configuration_is_refused_and_nothing_changes() {
    let home = tempfile::tempdir().unwrap();
    let (run_dir, expected) = uninterrupted(home.path());
    let resume = |more: &[&str]| run(&[&["train", "--resume", path(&run_dir)], more].concat());

    resume(&["--set", "optim.lr=0.5"]).refused("`optim.lr` can't change", "train.epochs");
    let mut changed = tiny(home.path(), &[&SETS[..], &["model.dropout=0.3"]].concat());
    changed.extend(["--resume".into(), path(&run_dir).into()]);
    run(&changed).refused("model.dropout = 0.1, not 0.3", "start a new run");

    // Another world where the run's data set was.
    let data = dataset(home.path());
    std::fs::remove_dir_all(&data).unwrap();
    let world = ["users=240", "items=80", "seed=2"];
    let mut synth = vec!["synth", "--output", path(&data)];
    synth.extend(world.iter().flat_map(|set| ["--set", *set]));
    run(&synth).fine();
    resume(&[]).refused("was trained on other inputs", "put back what it was trained on");
    Ended::of(&run_dir).must_equal(&expected);
}

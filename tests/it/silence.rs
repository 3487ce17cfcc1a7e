//! What is not done: `--quiet` prints no tables, `--dry-run` writes nothing, idle options are no options.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::program::{codistill, dataset, path, run, tiny, trained};

/// Every path below `dir` with its size and the time of its last change.
fn listing(dir: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let about = entry.metadata().unwrap();
            if about.is_dir() {
                open.push(entry.path());
            }
            found.insert(entry.path(), (about.len(), about.modified().unwrap()));
        }
    }
    found
}

/// A study file of `kind` (`tune` or `ablate`) on the quick start's world, its directory below `home`.
fn study(home: &Path, kind: &str) -> PathBuf {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml");
    let set =
        "set = [\"data.synth.users=120\", \"data.synth.items=80\", \"model.width=8\", \"train.epochs=1\"]";
    let text = if kind == "tune" {
        let dir = path(&home.join("search")).to_owned();
        format!(
            "base = {base:?}\ndir = {dir:?}\ntrials = 2\n{set}\n[space]\n\"optim.lr\" = {{ log_uniform = [1e-4, 1e-2] }}\n"
        )
    } else {
        let dir = path(home);
        format!(
            "dir = {dir:?}\nname = \"study\"\nbase = {base:?}\n{set}\nseeds = [1, 2]\nconditions = [\"S-text\"]\n"
        )
    };
    let file = home.join(format!("{kind}.toml"));
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_dry_run_writes_nothing_anywhere() {
    let home = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let (tune, ablate) = (study(home.path(), "tune"), study(home.path(), "ablate"));
    let unchanged = |args: &[&str]| {
        let before = listing(home.path());
        let output = codistill(args).env("TMPDIR", scratch.path()).output().unwrap();
        let said = crate::program::Said::from(output).fine();
        assert!(!said.stdout.is_empty(), "{args:?} has no plan");
        assert_eq!(listing(home.path()), before, "{args:?}");
        assert!(listing(scratch.path()).is_empty(), "{args:?} leaves something in the temporary folder");
        said
    };
    let mut fresh = tiny(home.path(), &[]);
    fresh.push("--dry-run".into());
    let fresh: Vec<&str> = fresh.iter().map(String::as_str).collect();
    unchanged(&fresh);
    for study in [["tune", path(&tune)], ["ablate", path(&ablate)]] {
        unchanged(&[&study[..], &["--dry-run"]].concat());
    }
    // With the world and a finished run there.
    let run_dir = trained(home.path());
    unchanged(&fresh);
    let resume = ["train", "--resume", path(&run_dir), "--device", "cpu", "--dry-run"];
    let more = ["--set", "train.epochs=5"];
    let said = unchanged(&[&resume[..], &more[..]].concat());
    assert!(said.stderr.contains("would go on at epoch 3"), "{}", said.stderr);
    assert!(said.stdout.contains(" done"), "{}", said.stdout);
    // A run that was killed before its first checkpoint, with what the kill left.
    let steps = run_dir.join("steps");
    fs::remove_dir_all(&steps).unwrap();
    fs::create_dir_all(steps.join(".codistill-left")).unwrap();
    unchanged(&resume);
    // Studies of which a part is done.
    run(&["tune", path(&tune), "--device", "cpu"]).fine();
    let said = unchanged(&["tune", path(&tune), "--dry-run"]);
    assert!(said.stdout.contains("finished") && said.stderr.contains("nothing is left"), "{}", said.stdout);
}

#[test]
fn quiet_prints_no_tables_and_what_programs_read_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let scratch = home.path().join("log.csv");
    fs::write(
        &scratch,
        "user,item,time\n".to_owned()
            + &(0..60).map(|i| format!("u{},i{},{i}\n", i % 6, i % 7)).collect::<String>(),
    )
    .unwrap();
    let silent = |args: &[&str]| {
        let said = run(&[args, &["-q"]].concat()).fine();
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""), "{args:?}");
    };
    // Items without content are warned of, which is no error.
    let args =
        tiny(home.path(), &["data.synth.missing_text=0.9", "data.synth.missing_image=0.9", "optim.lr=1e-12"]);
    let train: Vec<&str> = args.iter().map(String::as_str).collect();
    silent(&[&train[..], &["--dry-run"]].concat());
    silent(&train);
    silent(&train);
    let (first, second) = (home.path().join("quickstart"), home.path().join("quickstart-2"));
    let data = dataset(home.path());
    let (tune, ablate) = (study(home.path(), "tune"), study(home.path(), "ablate"));
    let out = |name: &str| home.path().join(name).display().to_string();
    silent(&["evaluate", path(&first), "--device", "cpu"]);
    silent(&["compare", path(&first), path(&second)]);
    silent(&["inspect", path(&first), "item", "i1", "--device", "cpu"]);
    silent(&["probe", path(&data), "--no-masks"]);
    silent(&["tune", path(&tune), "--dry-run"]);
    silent(&["ablate", path(&ablate), "--dry-run"]);
    silent(&["prepare", path(&scratch), "-o", &out("log")]);
    silent(&["synth", "-o", &out("world"), "--set", "users=20", "--set", "items=40"]);
    silent(&["features", "encode", path(&data), "--modality", "text", "--view", "words", "--dry-run"]);
    silent(&["features", "encode", path(&data), "--modality", "text", "--view", "words"]);
    silent(&["embed", "build", path(&first), "--store", &out("store"), "--device", "cpu"]);
    silent(&["embed", "status", "--store", &out("store")]);
    silent(&["export", path(&first), "-o", &out("export"), "--device", "cpu"]);
    silent(&["bench", "list"]);
    silent(&["devices"]);

    let asked = |args: &[&str]| {
        let said = run(&[args, &["-q"]].concat()).fine();
        assert!(!said.stdout.is_empty() && said.stderr.is_empty(), "{args:?}: {}", said.stderr);
    };
    asked(&["evaluate", path(&first), "--device", "cpu", "--markdown"]);
    asked(&["evaluate", path(&first), "--device", "cpu", "--json"]);
    asked(&["compare", path(&first), path(&second), "--json"]);
    asked(&["recommend", path(&first), "--user", "u1", "--device", "cpu"]);
    asked(&["completions", "fish"]);
    asked(&["devices", "--json"]);
    let refused = run(&["evaluate", path(&home.path().join("gone")), "-q"]);
    refused.refused("no readable checkpoint", "run directory");
}

#[test]
fn the_help_states_the_rule_of_quiet() {
    let help = run(&["train", "--help"]).fine().stdout;
    assert!(help.contains("Print errors only: no talk, no warnings, no tables"), "{help}");
}

#[test]
fn options_that_would_do_nothing_are_refused_with_a_way_out() {
    let home = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], what: &str, hint: &str| run(args).refused(what, hint);
    refused(&["bench", "list", "--steps", "3"], "--steps does nothing here", "bench list");
    refused(&["bench", "machine", "--profile", "dense"], "--profile does nothing here", "name a workload");
    refused(&["bench", "list", "--device", "wgpu"], "--device does nothing here", "leave it out");
    refused(&["bench", "list", "--threads", "2"], "--threads does nothing here", "leave it out");
    refused(&["bench", "prep-jsonl", "--device", "wgpu:0"], "--device does nothing here", "leave it out");
    refused(&["bench", "eval-arts", "--dropout", "0.1"], "--dropout does nothing here", "odmt");
    refused(&["bench", "ckpt", "--dropout", "0"], "--dropout does nothing here", "sasrec");
    let sasrec = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/beauty-sasrec.toml");
    let out = home.path().join("out");
    refused(&["synth", "-o", path(&out), "--config", sasrec], "has no [data.synth]", "--config");
    let branch = ["compare", "ours:id", "theirs:text", "--branch", "image"];
    refused(&branch, "--branch image does nothing here", "leave it out");
    let twice = ["compare", "a", "b", "--markdown", "r.md", "--html", "r.md"];
    refused(&twice, "would both write r.md", "a file of its own");
    // Those that clap refuses by itself, with the usage.
    let study = study(home.path(), "ablate");
    for args in [
        &["bench", "ckpt", "--write", path(&out), "--steps", "2"][..],
        &["bench", "ckpt", "--write", path(&out), "--warmup", "2"],
        &["ablate", path(&study), "--report", "--jobs", "2"],
        &["ablate", path(&study), "--report", "--device", "cpu"],
        &["ablate", path(&study), "--jobs", "0"],
        &["ablate", path(&study), "--jobs", "1025"],
    ] {
        let said = run(args);
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{args:?}");
        assert!(
            said.stderr.contains("cannot be used with") || said.stderr.contains("is not in 1..=1024"),
            "{}",
            said.stderr
        );
    }
    assert!(!out.exists());
}

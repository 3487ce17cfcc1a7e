//! What a training can't learn from its data, or be judged by, is told before the first epoch.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use codistill::embed::Snapshot;
use codistill::embed::store::{Change, Writer};
use serde_json::Value;

use crate::program::{Said, path, run};

/// 40 users of 12 events: five of ten old items, then seven of `new` newer ones. With a window of five, training reads
/// the newer ones alone.
fn old_and_new(home: &Path, new: usize) -> PathBuf {
    let (mut log, mut items) = ("user,item,timestamp\n".to_owned(), "item,title\n".to_owned());
    for user in 0..40 {
        for step in 0..12 {
            let item = match step {
                0..5 => format!("old{}", (user * 5 + step) % 10),
                _ => format!("new{}", (user * 7 + step * 3) % new),
            };
            writeln!(log, "u{user},{item},{}", 1_000_000 + user * 100 + step).unwrap();
        }
    }
    for n in 0..10 {
        writeln!(items, "old{n},vintage thing of make {n} and kind {}", n % 3).unwrap();
    }
    for n in 0..new {
        writeln!(items, "new{n},modern thing of make {n} and colour {}", n % 7).unwrap();
    }
    fs::write(home.join("log.csv"), log).unwrap();
    fs::write(home.join("items.csv"), items).unwrap();
    let (data, catalogue) = (home.join("data"), home.join("items.csv"));
    prepared(&home.join("log.csv"), &data, &["--items", path(&catalogue)]);
    run(&["features", "encode", path(&data), "--modality", "text"]).fine();
    data
}

fn prepared(log: &Path, data: &Path, more: &[&str]) {
    let keep = ["--user-core", "1", "--item-core", "1", "--duplicates", "keep_all", "-o", path(data)];
    run(&[&["prepare", path(log)][..], &keep, more].concat()).fine();
}

/// An ID branch, and a text branch where `text` is set, in `home/runs/NAME`.
fn config(home: &Path, name: &str, data: &Path, seq: usize, text: bool) -> PathBuf {
    // Paths of temporary folders hold no character that TOML would read otherwise.
    let (data, runs) = (data.display(), home.join("runs"));
    let mut toml = format!(
        "[data]\npath = \"{data}\"\nmax_seq_len = {seq}\n[model]\nwidth = 16\n\
         [[model.views]]\nname = \"id\"\nkind = \"id\"\n[[model.branches]]\nname = \"id\"\nview = \"id\"\n\
         [optim]\nlr = 1e-3\n[train]\nbatch_users = 16\nepochs = 2\n[monitor]\ntensorboard = false\n\
         [run]\nname = {name:?}\ndir = \"{}\"\n",
        runs.display()
    );
    if text {
        toml.push_str("[[model.views]]\nname = \"text\"\nkind = \"tokens\"\n");
        toml.push_str("[[model.branches]]\nname = \"text\"\nview = \"text\"\n");
    }
    let file = home.join(format!("{name}.toml"));
    fs::write(&file, toml).unwrap();
    file
}

fn train(file: &Path, more: &[&str]) -> Said {
    run(&[&["train", path(file), "--device", "cpu", "--no-progress"], more].concat())
}

const OLD: &str = "10 of 30 items stand in no training window (data.windows = \"last\", max_seq_len 4 reads the newest 5); \
                   --set data.windows=all trains them; no window reads 50.0 % of the training events";

#[test]
fn items_that_no_window_reads_are_told_and_count_as_cold_everywhere() {
    let home = tempfile::tempdir().unwrap();
    let data = old_and_new(home.path(), 20);
    let file = config(home.path(), "windows", &data, 4, true);
    let said = train(&file, &["--dry-run", "--json"]).fine();
    assert!(said.stderr.contains(OLD), "{}", said.stderr);
    let plan: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&plan["items_without_window"], &plan["unread_events_share"]), (&10.into(), &0.5.into()));
    let control = train(&file, &["--dry-run", "--set", "data.windows=all"]).fine();
    assert!(!control.stderr.contains("training window"), "{}", control.stderr);
    assert!(control.stdout.contains("0 items, 0.0 % of the events"), "{}", control.stdout);

    let said = train(&file, &[]).fine();
    assert!(said.stderr.contains(OLD), "{}", said.stderr);
    let root = home.path().join("runs/windows");
    let said = run(&["evaluate", path(&root), "--cold-id", "drop", "--device", "cpu"]).fine();
    assert!(said.stdout.contains("cold items (ID vectors: drop): 10 of 30 items"), "{}", said.stdout);
    // 30 items have ten training events or more, 20 of them in a window: the ten random vectors are no examples.
    let store = home.path().join("store");
    let build = |rule: &[&str]| {
        run(&[&["embed", "build", path(&root), "--store", path(&store), "--device", "cpu"], rule].concat())
    };
    let refused = build(&["--cold-id", "ridge", "--min-events", "10"]);
    refused.refused(
        "needs 30 items with 10 training interactions or more, and 20 have them",
        "no training window",
    );
    build(&["--cold-id", "drop"]).fine();
    let rows = fs::read_to_string(store.join("generation-00000001/rows.json")).unwrap();
    let rows: Value = serde_json::from_str(&rows).unwrap();
    for row in rows["rows"].as_array().unwrap() {
        let is_new = row["id"].as_str().unwrap().starts_with("new");
        assert_eq!((&row["trained"], &row["live"][0]), (&is_new.into(), &is_new.into()), "{row}");
    }
    let recommend = |store: &Path| {
        run(&["recommend", path(&root), "--store", path(store), "--user", "u1", "--device", "cpu"])
            .fine()
            .stderr
    };
    assert!(!recommend(&store).contains("count as trained"));
    // A store as it was built when every item with training events counted as trained.
    let mut snapshot = Snapshot::open(&store).unwrap();
    snapshot.rows.iter_mut().for_each(|row| row.trained = true);
    let old = home.path().join("old-store");
    let writer = Writer::create(&old).unwrap();
    let change = Change { rows: snapshot.rows, vectors: snapshot.vectors, deleted: Vec::new() };
    writer.write_whole(writer.draft(1).unwrap(), snapshot.description, &snapshot.head, change).unwrap();
    drop(writer);
    assert!(recommend(&old).contains("10 items count as trained that no training window reads"));
}

#[test]
fn a_program_is_told_what_the_command_prints() {
    let home = tempfile::tempdir().unwrap();
    let data = old_and_new(home.path(), 20);
    let file = config(home.path(), "told", &data, 4, false);
    let finished = |sets: &[&str]| {
        let sets: Vec<String> =
            [&["device=cpu", "train.epochs=1"], sets].concat().iter().map(|s| (*s).to_owned()).collect();
        let config = codistill::config::load(&file, &sets).unwrap().config;
        codistill::run::train(config, &false.into()).unwrap()
    };
    let told = finished(&[]);
    assert_eq!(told.warnings.iter().filter(|warning| *warning == OLD).count(), 1, "{:?}", told.warnings);
    let control = finished(&["data.windows=all"]);
    assert!(
        !control.warnings.iter().any(|warning| warning.contains("training window")),
        "{:?}",
        control.warnings
    );
    assert_eq!(
        (told.dir.root.file_name(), control.dir.root.file_name()),
        (Some("told".as_ref()), Some("told-2".as_ref()))
    );
}

#[test]
fn a_ridge_is_fitted_on_items_that_windows_read_alone() {
    let home = tempfile::tempdir().unwrap();
    let data = old_and_new(home.path(), 31);
    let file = config(home.path(), "windows", &data, 4, true);
    train(&file, &[]).fine();
    let (root, store) = (home.path().join("runs/windows"), home.path().join("store"));
    let rule = ["--cold-id", "ridge", "--min-events", "1"];
    let said = run(&[&["embed", "build", path(&root), "--store", path(&store)], &rule[..]].concat()).fine();
    assert!(said.stderr.contains("ridge: fitted on 31 items"), "{}", said.stderr);
    // Of a model that reads all windows it is fitted on all.
    train(&file, &["--set", "data.windows=all", "--set", "run.name=all"]).fine();
    let (root, store) = (home.path().join("runs/all"), home.path().join("store-all"));
    let said = run(&[&["embed", "build", path(&root), "--store", path(&store)], &rule[..]].concat()).fine();
    assert!(said.stderr.contains("ridge: fitted on 41 items"), "{}", said.stderr);
}

#[test]
fn users_too_short_for_a_window_are_told_with_their_own_setting() {
    let home = tempfile::tempdir().unwrap();
    old_and_new(home.path(), 20);
    // Ten training events a user: none is long enough for 11, but for one user who has more.
    let mut log = fs::read_to_string(home.path().join("log.csv")).unwrap();
    for step in 0..14 {
        writeln!(log, "long,new{},{}", step % 20, 2_000_000 + step).unwrap();
    }
    let (long, file) = (home.path().join("long.csv"), home.path().join("more"));
    fs::write(&long, log).unwrap();
    prepared(&long, &file, &[]);
    let file = config(home.path(), "short", &file, 50, false);
    let said = train(&file, &["--dry-run", "--set", "data.min_train_len=11"]).fine();
    let wanted = "18 of 30 items stand in no training window (their users have fewer than data.min_train_len = 11 training \
                  items); --set data.min_train_len=2 trains them";
    assert!(said.stderr.contains(wanted), "{}", said.stderr);
    assert!(!train(&file, &["--dry-run"]).fine().stderr.contains("training window"));
    // Every item is read, but not every event: five of six.
    let data = repeats(home.path(), 24, 0);
    let note = train(&config(home.path(), "note", &data, 4, false), &["--dry-run"]).fine();
    assert!(note.stderr.contains("note: no window reads 16.7 % of the training events"), "{}", note.stderr);
    assert!(!note.stderr.contains("warning: "), "{}", note.stderr);
}

/// Users of eight events each: the first `repeating` buy one of four things again, the others always something new.
fn repeats(home: &Path, users: usize, repeating: usize) -> PathBuf {
    let mut log = "user,item,timestamp\n".to_owned();
    for user in 0..users {
        for step in 0..8 {
            let item = if user < repeating { (user + step % 4) % 12 } else { (user + step) % 12 };
            writeln!(log, "u{user},i{item},{}", user * 10 + step).unwrap();
        }
    }
    let file = home.join("repeats.csv");
    fs::write(&file, log).unwrap();
    let data = home.join("repeated");
    prepared(&file, &data, &[]);
    data
}

#[test]
fn a_metric_that_is_zero_by_construction_chooses_no_checkpoint() {
    let home = tempfile::tempdir().unwrap();
    let data = repeats(home.path(), 24, 24);
    let file = config(home.path(), "repeat", &data, 6, false);
    let all = "24 of 24 validation targets stand in their own history and can't be hit under eval.history = \"all\"";
    for more in [&[][..], &["--dry-run"]] {
        train(&file, more).refused(all, "eval.history=keep");
    }
    let window = train(&file, &["--set", "eval.history=window"]);
    window.refused("24 of 24 validation targets", "eval.history=keep");
    assert!(!home.path().join("runs").exists(), "a run was made");
    let said = train(&file, &["--set", "eval.history=keep", "--json"]).fine();
    assert!(!said.stderr.contains("their own history"), "{}", said.stderr);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(report["evaluations"][0]["scored"][0]["metrics"]["recall@10"].as_f64() > Some(0.0));
    // The evaluation under another rule says so before its figures.
    let root = home.path().join("runs/repeat");
    let said = run(&["evaluate", path(&root), "--history", "all", "--baseline", "none"]).fine();
    let told = "24 of 24 test targets stand in their own history and can't be hit under eval.history = \"all\"; \
                eval.history = \"keep\" lets them be hit";
    assert!(said.stderr.contains(told), "{}", said.stderr);
}

#[test]
fn some_targets_in_their_own_history_are_a_warning() {
    let home = tempfile::tempdir().unwrap();
    let data = repeats(home.path(), 24, 7);
    let file = config(home.path(), "some", &data, 6, false);
    let told = "warning: 7 of 24 validation targets stand in their own history and can't be hit under eval.history = \
                \"all\"; eval.history = \"keep\" lets them be hit";
    let said = train(&file, &["--dry-run", "--json"]).fine();
    assert!(said.stderr.contains(told), "{}", said.stderr);
    let plan: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&plan["hidden_targets"], &plan["validation_targets"]), (&7.into(), &24.into()));
    assert!(train(&file, &[]).fine().stderr.contains(told));
    // A window of two positions does not reach back to the first purchase.
    let short =
        train(&file, &["--dry-run", "--set", "eval.history=window", "--set", "data.max_seq_len=2"]).fine();
    assert!(!short.stderr.contains("own history"), "{}", short.stderr);
    let said = run(&["recommend", "--help"]).fine();
    assert!(said.stdout.contains("buy the same again"), "{}", said.stdout);
}

//! What a trained model keeps where items lack a view.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use codistill::features::{FeatureStore, Precision, StoreWriter};
use codistill::run::{OpenOptions, Run};
use serde_json::Value;

use crate::inputs::copy_tree;
use crate::program::{Said, dataset, path, run, tiny, trained};

/// A run that nobody changes.
fn shop() -> &'static Path {
    static SHOP: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    &SHOP
        .get_or_init(|| {
            let home = tempfile::tempdir().unwrap();
            let run = trained(home.path());
            (home, run)
        })
        .1
}

/// One at a time: who evaluates a run keeps it, and the tests share one.
fn judge(run_dir: &Path, more: &[&str]) -> Said {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    run(&[&["evaluate", path(run_dir), "--device", "cpu"], more].concat())
}

fn json(said: Said) -> Value {
    serde_json::from_str(&said.fine().stdout).unwrap()
}

/// The model's own evaluation by `evaluate`, with rows beside the run.
fn plain(run_dir: &Path, more: &[&str]) -> Value {
    let rows = tempfile::tempdir().unwrap();
    let rows = rows.path().join("rows.parquet");
    let own = ["--json", "--baseline", "none", "--rows", path(&rows)];
    json(judge(run_dir, &[&own, more].concat()))["evaluations"][0].clone()
}

#[test]
fn nothing_missing_is_the_plain_evaluation_and_all_missing_a_store_without_the_view() {
    let run_dir = shop();
    let (report, rows) = (run_dir.join("report.json"), run_dir.join("rows-test.parquet"));
    let before = [&report, &rows].map(|file| fs::read(file).unwrap());
    let table = json(judge(run_dir, &["--missing", "text=0,text=1,image=0.5,text=1+image=1", "--json"]));
    assert_eq!([&report, &rows].map(|file| fs::read(file).unwrap()), before);
    let saved = fs::read(run_dir.join("retention-test.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&saved).unwrap(), table);

    let whole = plain(run_dir, &[]);
    assert_eq!(table["whole"], whole);
    assert_eq!(table["missing"][0]["evaluation"], whole);
    // The same weights on a data set in which no item has a text, and none has anything.
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    copy_tree(&dataset(run_dir.parent().unwrap()), &data);
    for (view, row) in [("text", 1), ("image", 3)] {
        let dir = data.join("features").join(view);
        let store = FeatureStore::open(&dir).unwrap();
        let (about, items, tokens, width) =
            (store.about().clone(), store.items(), store.tokens(), store.width());
        fs::remove_dir_all(&dir).unwrap();
        let writer = StoreWriter::create(&dir, items, tokens, width, Precision::F32).unwrap();
        writer.finish(about).unwrap();
        let poorer = plain(run_dir, &["--data", path(&data), "--accept-changed"]);
        assert_eq!(table["missing"][row]["evaluation"]["scored"], poorer["scored"], "{view}");
        assert_ne!(poorer["scored"], whole["scored"]);
    }
    assert_eq!(
        table["missing"][3]["counts"],
        serde_json::json!([
            { "before": table["missing"][1]["counts"][0]["before"], "still": 0 },
            { "before": table["missing"][2]["counts"][0]["before"], "still": 0 },
        ])
    );
}

#[test]
fn retention_is_told_in_percent_with_what_was_hidden() {
    let run_dir = shop();
    let arguments = ["--missing", "text=0.3,text=0.6", "--ks", "5,20", "--part", "valid"];
    let table = json(judge(run_dir, &[&arguments[..], &["--json"]].concat()));
    let store = FeatureStore::open(&dataset(run_dir.parent().unwrap()).join("features/text")).unwrap();
    let had = store.items() - store.missing();
    let rows = table["missing"].as_array().unwrap();
    let still: Vec<usize> =
        rows.iter().map(|row| row["counts"][0]["still"].as_u64().unwrap() as usize).collect();
    assert!(rows.iter().all(|row| row["counts"][0]["before"] == had));
    // 24 and 48 of 80 items lose what they have.
    for (still, hidden) in still.iter().zip([24, 48]) {
        assert!((had - hidden..=had - hidden + store.missing()).contains(still), "{still} of {had}");
    }
    assert!(still[1] < still[0]);
    let text = judge(run_dir, &arguments).fine().stdout;
    assert!(text.starts_with("valid: "), "{text}");
    let told = format!("text=0.6: {} of 80 items lose text, {} still have it", had - still[1], still[1]);
    assert!(text.contains(&told), "{told} is not in {text}");
    for row in rows {
        for (n, name) in ["ensemble", "id", "text", "image"].into_iter().enumerate() {
            let figure = |of: &Value| of["scored"][n]["metrics"]["recall@20"].as_f64().unwrap();
            let (whole, now) = (figure(&table["whole"]), figure(&row["evaluation"]));
            assert_eq!(row["evaluation"]["scored"][n]["name"], name);
            let kept = row["kept"][name]["recall@20"].as_f64();
            assert_eq!(kept, (whole > 0.0).then(|| 100.0 * now / whole));
            let label = row["missing"][0]["share"].as_f64().unwrap();
            let kept = kept.map_or_else(|| "-".to_owned(), |kept| format!("{kept:.1} %"));
            let cells = format!("text={label} {name} {whole:.4} {now:.4} {kept}");
            let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            assert!(lines.filter(|line| line.starts_with(&cells)).count() >= 1, "{cells} is not in {text}");
        }
    }
    // Other masks hide other items; the same ones the same.
    let seeded =
        |seed: &str| json(judge(run_dir, &[&arguments[..], &["--json", "--missing-seed", seed]].concat()));
    assert_eq!(seeded("1"), table);
    let other = seeded("2");
    assert_eq!(other["whole"], table["whole"]);
    assert_ne!(other["missing"][0]["evaluation"]["scored"], rows[0]["evaluation"]["scored"]);
    let markdown = judge(run_dir, &[&arguments[..], &["--markdown"]].concat()).fine().stdout;
    assert!(markdown.contains("| text=0.3 | ensemble |"), "{markdown}");
}

#[test]
fn candidates_and_rows_of_ones_own_leave_the_run_as_it_is() {
    let run_dir = shop();
    let home = tempfile::tempdir().unwrap();
    let (items, rows) = (home.path().join("items.txt"), home.path().join("rows.parquet"));
    fs::write(&items, (1..=40).map(|i| format!("i{i}\n")).collect::<String>()).unwrap();
    let saved = run_dir.join("retention-test.json");
    let before = fs::read(&saved).ok();
    let arguments = ["--missing", "image=1", "--candidates", path(&items), "--rows", path(&rows), "--json"];
    let said = judge(run_dir, &arguments).fine();
    assert!(said.stderr.contains("rows ") && !said.stderr.contains("retention-test"), "{}", said.stderr);
    let table: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(table["whole"]["protocol"]["chosen"]["items"], 40);
    if before.is_some() {
        assert!(fs::read(&saved).ok() == before);
    }
    let stored = codistill::eval::rows::read(&rows).unwrap();
    let names: Vec<&str> = stored.scored.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), 8);
    assert!(names.contains(&"ensemble") && names.contains(&"ensemble (image=1 missing)"), "{names:?}");
}

#[test]
fn a_run_with_items_held_out_is_judged_by_its_rule() {
    let home = tempfile::tempdir().unwrap();
    run(&tiny(home.path(), &["data.cold.share=0.2", "train.epochs=1", "data.cold.rule=drop"])).fine();
    let run_dir = home.path().join("quickstart");
    let table = json(judge(&run_dir, &["--missing", "text=0,text=1", "--json"]));
    assert_eq!(table["missing"][0]["evaluation"]["scored"], plain(&run_dir, &[])["scored"]);
    assert_ne!(table["missing"][1]["evaluation"]["scored"], table["whole"]["scored"]);
}

#[test]
fn a_memory_keeps_what_it_counted_and_looks_for_likeness_among_what_is_left() {
    let home = tempfile::tempdir().unwrap();
    run(&tiny(home.path(), &["model.memory={ridge=5.0}", "model.ensemble.weights=fitted"])).fine();
    let run_dir = home.path().join("quickstart");
    let table = json(judge(&run_dir, &["--missing", "text=0,text=1+image=1", "--json"]));
    assert_eq!(table["missing"][0]["evaluation"], plain(&run_dir, &[]));
    assert!(table["missing"][1]["kept"]["memory"]["ndcg@10"].as_f64().unwrap() > 0.0);

    let options = OpenOptions { device: "cpu".into(), ..OpenOptions::default() };
    let opened = Run::open(&run_dir, &options).unwrap();
    let system = &opened.codistill().unwrap().system;
    let own = system.memory().unwrap();
    let poorer = system.hiding(&[(1, vec![true; system.shape.items + 1])]).memory().unwrap();
    assert_eq!(own.weights(), poorer.weights());
    for (own, poorer) in own.sources().iter().zip(poorer.sources()) {
        if own.name == "text" {
            assert!((0..=system.shape.items).all(|item| poorer.lists.row(item).is_empty()));
            assert_ne!(own, poorer);
        } else {
            assert_eq!(own, poorer);
        }
    }
    assert!(own.sources().iter().any(|source| source.name == "text"));
    let half: Vec<bool> = (0..=system.shape.items).map(|item| item % 2 == 0).collect();
    let poorer = system.hiding(&[(1, half)]).memory().unwrap();
    let text = poorer.sources().iter().find(|source| source.name == "text").unwrap();
    let mut met = 0;
    for item in 1..=system.shape.items {
        let row = text.lists.row(item);
        assert!(row.iter().all(|(other, _)| item % 2 == 1 && other % 2 == 1), "{item}");
        met += row.len();
    }
    assert!(met > 0);
}

#[test]
fn what_can_not_be_missing_is_refused() {
    let run_dir = shop();
    let refused =
        |missing: &str, what: &str, hint: &str| judge(run_dir, &["--missing", missing]).refused(what, hint);
    refused("txt=0.3", "the model reads no view `txt`", "views with features: text, image");
    refused("text=0.3,pictures=1", "the model reads no view `pictures`", "views with features: text, image");
    refused("id=0.5", "`id` has no features that could be missing", "views with features: text, image");
    refused("text=1+id=1", "`id` has no features that could be missing", "views with features: text, image");
    refused("text=0.3,image=1,text=0.3", "text=0.3 is asked for twice", "once");
    refused("text=0.3+image=1,text=0.3+image=1", "text=0.3+image=1 is asked for twice", "once");
    refused("text=0.3+text=0.6", "names `text` twice", "rows of their own");
    refused("image=0+image=1", "names `image` twice", "rows of their own");
    for (arguments, told) in [
        (&["--missing", "text=1.5"][..], "between 0 and 1"),
        (&["--missing", "text=-1"], "between 0 and 1"),
        (&["--missing", "text"], "VIEW=SHARE"),
        (&["--missing", "0.3"], "VIEW=SHARE"),
        (&["--missing", "text=1", "--baseline", "none"], "cannot be used with"),
        (&["--missing-seed", "3"], "--missing"),
    ] {
        let said = judge(run_dir, arguments);
        assert!(said.code == Some(1) && said.stderr.contains(told), "{}", said.stderr);
    }
    let home = tempfile::tempdir().unwrap();
    let ids =
        ["model.views=[{ name = \"id\", kind = \"id\" }]", "objective.distill.pairs=[]", "model.tower=none"];
    let branch = "model.branches=[{ name = \"id\", view = \"id\" }]";
    run(&tiny(home.path(), &[&ids[..], &[branch, "train.epochs=1"]].concat())).fine();
    judge(&home.path().join("quickstart"), &["--missing", "text=1"])
        .refused("the model reads no view `text`", "reads no features");
}

#[test]
fn a_protocol_of_another_split_is_refused_before_anything_is_judged() {
    let home = tempfile::tempdir().unwrap();
    let (log, data) = (home.path().join("log.csv"), home.path().join("data"));
    let mut text = "user,item,time\n".to_owned();
    for user in 0..30 {
        for step in 0..8 {
            writeln!(
                text,
                "u{user},i{},{}",
                (user + step * 3) % 12,
                1_600_000_000 + step * 5000 + user * 1700
            )
            .unwrap();
        }
    }
    fs::write(&log, text).unwrap();
    let prepare = ["prepare", path(&log), "--split", "global_time", "--user-core", "1", "--item-core", "1"];
    run(&[&prepare[..], &["-o", path(&data)]].concat()).fine();
    let config = home.path().join("run.toml");
    let own = format!(
        "[data]\npath = \"{}\"\n[model]\nwidth = 8\n[[model.views]]\nname = \"id\"\nkind = \"id\"\n[[model.branches]]\n\
         name = \"id\"\nview = \"id\"\n[train]\nepochs = 1\n[run]\ndir = \"{}\"\nname = \"run\"\n",
        data.display(),
        home.path().display()
    );
    fs::write(&config, own).unwrap();
    run(&["train", path(&config), "--device", "cpu"]).fine();
    for protocol in ["macrec", "rectools"] {
        judge(&home.path().join("run"), &["--protocol", protocol, "--missing", "text=1"])
            .refused(&format!("`{protocol}` judges the last item of every user"), "--split leave_one_out");
    }
}

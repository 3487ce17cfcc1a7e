//! `codistill compare` on runs with known ranks, and on a real one.

use std::fs;
use std::path::{Path, PathBuf};

use codistill::config::{self, HistoryRule, TieRule, TrainParts};
use codistill::eval::metrics::{Evaluation, Ideal, Protocol, Scored};
use codistill::eval::report::SCHEMA;
use codistill::eval::{Report, Row, rows};
use serde_json::Value;

use crate::program::{Said, path, run, trained};

/// A finished run without a training.
struct Fake {
    name: String,
    seed: u64,
    /// What is taken from every rank: better than 0 is worse.
    shift: f64,
    users: usize,
    sets: Vec<String>,
    dataset: String,
    protocol: &'static str,
    ties: TieRule,
    nan_targets: usize,
}

impl Fake {
    fn new(name: &str, seed: u64, shift: f64) -> Self {
        Self {
            name: format!("{name}-{seed}"),
            seed,
            shift,
            users: 400,
            sets: Vec::new(),
            dataset: "one".into(),
            protocol: "leave_one_out",
            ties: TieRule::Mid,
            nan_targets: 0,
        }
    }

    /// A number in [0, 1) that belongs to (what, seed, user).
    fn uniform(what: u64, seed: u64, user: usize) -> f64 {
        let mut x = what.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (seed << 32) ^ user as u64;
        for _ in 0..3 {
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x ^= x >> 27;
        }
        (x >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Ranks that users share between runs, and a part that each training draws anew.
    fn rows(&self) -> Vec<Row> {
        let salt = self.name.bytes().map(u64::from).sum::<u64>();
        (0..self.users)
            .map(|user| {
                let own = 14.0 * Self::uniform(1, 0, user) + 4.0 * Self::uniform(salt, self.seed, user);
                let rank = (own - self.shift).max(0.0).floor() + 1.0;
                Row {
                    user: user as u32,
                    item: 1 + user as u32 % 50,
                    rank,
                    rank_optimistic: rank,
                    rank_pessimistic: rank,
                    candidates: 90,
                    missed: false,
                    item_count: user as u32 % 60,
                    item_age: Some(user as i64 % 40 * 86_400),
                    history: 2 + user as u32 % 20,
                }
            })
            .collect()
    }

    fn write(&self, home: &Path) -> PathBuf {
        let dir = home.join(&self.name);
        fs::create_dir(&dir).unwrap();
        let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml");
        let mut sets = vec![format!("seed={}", self.seed), format!("run.name={}", self.name)];
        sets.extend(self.sets.clone());
        let config = config::load(Path::new(quickstart), &sets).unwrap().config;
        fs::write(dir.join("config.toml"), config.to_toml().unwrap()).unwrap();
        let scored = Scored {
            name: "ensemble".into(),
            metrics: [("coverage@10".to_owned(), 0.5)].into(),
            nan_targets: self.nan_targets,
            item_counts: Vec::new(),
            user_lengths: Vec::new(),
            item_ages: Vec::new(),
            exposure: Vec::new(),
            rows_sha256: None,
            rows: self.rows(),
        };
        let protocol = Protocol {
            name: self.protocol.into(),
            ideal: Ideal::default(),
            trained_on: TrainParts::Train,
            dataset: self.dataset.clone(),
            targets: self.users,
            items: 100,
            history: HistoryRule::All,
            ties: self.ties,
            ks: vec![10],
            bucket_k: 10,
            masked_targets: 0,
            chosen: None,
        };
        let evaluation = Evaluation { part: "test".into(), protocol, scored: vec![scored] };
        rows::write(&dir.join("rows-test.parquet"), &evaluation).unwrap();
        let metrics = "{\"step\":4,\"epoch\":1,\"time\":0,\"valid/ensemble/ndcg@10\":0.1}\n\
                       {\"step\":8,\"epoch\":2,\"time\":0,\"valid/ensemble/ndcg@10\":0.2}\n";
        fs::write(dir.join("metrics.jsonl"), metrics).unwrap();
        let (dataset, seed) = (self.dataset.clone(), self.seed);
        let report = Report {
            schema: SCHEMA,
            evaluations: vec![evaluation],
            dataset,
            seed,
            time_order: None,
            global_time: None,
            cold: None,
            accepted: Vec::new(),
            note: None,
        };
        fs::write(dir.join("report.json"), serde_json::to_string(&report).unwrap()).unwrap();
        dir
    }
}

/// Three seeds of a condition, as one argument.
fn three(home: &Path, name: &str, shift: f64) -> String {
    for seed in 1..=3 {
        Fake::new(name, seed, shift).write(home);
    }
    format!("{}/{name}-*", path(home))
}

fn json(args: &[&str]) -> Value {
    let all: Vec<&str> = ["compare", "--json", "--draws", "200"].iter().chain(args).copied().collect();
    serde_json::from_str(&run(&all).fine().stdout).unwrap()
}

fn compare(args: &[&str]) -> Said {
    run(&["compare", "--draws", "200"].iter().chain(args).copied().collect::<Vec<_>>())
}

#[test]
fn a_planted_gain_is_found_and_written_in_every_form() {
    let home = tempfile::tempdir().unwrap();
    let (base, better) = (three(home.path(), "base", 0.0), three(home.path(), "better", 2.0));
    let found = json(&[&base, &better]);
    let contrast = &found["contrasts"][0];
    assert_eq!(contrast["verdict"], "helps", "{contrast}");
    assert_eq!((&contrast["basis"], &contrast["pairing"]), (&"users_and_seeds".into(), &"seed".into()));
    assert_eq!((contrast["users"].as_u64(), contrast["seeds"].as_u64()), (Some(400), Some(3)));
    let ndcg = |group: usize| {
        let metrics = found["groups"][group]["metrics"].as_array().unwrap();
        metrics.iter().find(|m| m[0] == "ndcg@10").unwrap()[1].as_f64().unwrap()
    };
    let effect = contrast["estimate"]["effect"].as_f64().unwrap();
    assert!((ndcg(1) - ndcg(0) - effect).abs() < 1e-12 && effect > 0.0);
    // The other way round, and of the same condition under other seeds.
    assert_eq!(json(&[&better, &base])["contrasts"][0]["verdict"], "hurts");

    let (markdown, html) = (home.path().join("out/report.md"), home.path().join("report.html"));
    let said = compare(&[&base, &better, "--markdown", path(&markdown), "--html", path(&html)]).fine();
    assert!(said.stdout.contains("better is better than base: ndcg@10 +"), "{}", said.stdout);
    let text = fs::read_to_string(markdown).unwrap();
    assert!(text.contains("- **helps**: better is better than base") && text.contains("| 10-49 |"), "{text}");
    let page = fs::read_to_string(html).unwrap();
    assert_eq!(
        page.matches("<figure>").count(),
        7,
        "differences, epochs, three slices, two sliced differences"
    );
    assert!(page.contains("prefers-color-scheme: dark") && !page.contains("http") && !page.contains("NaN"));
}

#[test]
fn the_column_of_seeds_counts_them() {
    let home = tempfile::tempdir().unwrap();
    let group = |name: &str, seeds: &[u64]| {
        let dirs: Vec<String> = seeds
            .iter()
            .map(|&seed| path(&Fake::new(name, seed, 0.0).write(home.path())).to_owned())
            .collect();
        format!("{name}={}", dirs.join(","))
    };
    let asked = [group("alone", &[42]), group("two", &[7, 1_000_003]), group("four", &[4, 3, 2, 1])];
    let said = compare(&asked.iter().map(String::as_str).collect::<Vec<_>>()).fine();
    let column = |group: &str| {
        let row = said.stdout.lines().find(|line| line.starts_with(group)).unwrap();
        let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        cells[2].to_owned()
    };
    assert!(
        said.stdout.lines().any(|line| line.split_whitespace().eq([
            "group",
            "score",
            "seeds",
            "recall@10",
            "ndcg@10",
            "mrr@10",
            "coverage@10"
        ])),
        "{}",
        said.stdout
    );
    assert_eq!(["alone (reference)", "two", "four"].map(column), ["1", "2", "4"]);
    let which = json(&asked.iter().map(String::as_str).collect::<Vec<_>>())["groups"][1]["seeds"].clone();
    assert_eq!(which, serde_json::json!([7, 1_000_003]));
}

#[test]
fn the_same_condition_under_other_seeds_is_no_effect() {
    let home = tempfile::tempdir().unwrap();
    let list = |seeds: [u64; 3]| {
        let dirs = seeds.map(|seed| path(&Fake::new("same", seed, 0.0).write(home.path())).to_owned());
        dirs.join(",")
    };
    let (a, b) = (list([1, 2, 3]), list([4, 5, 6]));
    let found = json(&[&format!("a={a}"), &format!("b={b}")]);
    let contrast = &found["contrasts"][0];
    assert_eq!(contrast["pairing"], "order");
    let verdict = contrast["verdict"].as_str().unwrap();
    assert!(verdict == "no_evidence" || verdict == "equivalent", "{contrast}");
    assert!(contrast["minimum_detectable"].as_f64() > Some(0.0));
}

#[test]
fn one_training_each_gets_no_verdict_and_identical_ranks_are_told() {
    let home = tempfile::tempdir().unwrap();
    let a = Fake::new("a", 1, 0.0).write(home.path());
    let b = Fake::new("b", 1, 3.0).write(home.path());
    let said = compare(&[path(&a), path(&b)]).fine();
    assert!(said.stdout.contains("single run, training noise unknown, no verdict"), "{}", said.stdout);
    assert!(!said.stdout.contains("is better than"));
    let found = json(&[path(&a), path(&a)]);
    assert_eq!(found["contrasts"][0]["verdict"], "identical");
    assert_eq!(found["groups"][1]["label"], "a-1 (2)");
}

#[test]
fn too_few_users_are_told_with_what_they_could_have_shown() {
    let home = tempfile::tempdir().unwrap();
    let small = |name: &str, shift: f64| {
        for seed in 1..=3 {
            Fake { users: 12, ..Fake::new(name, seed, shift) }.write(home.path());
        }
        format!("{}/{name}-*", path(home.path()))
    };
    let (a, b) = (small("a", 0.0), small("b", 6.0));
    let said = compare(&[&a, &b]).fine();
    assert!(said.stdout.contains("12 users are too few for a verdict (30 are needed)"), "{}", said.stdout);
    assert!(said.stdout.contains("they could show is"), "{}", said.stdout);
}

#[test]
fn runs_on_other_data_or_protocols_are_refused_by_the_fields_name() {
    let home = tempfile::tempdir().unwrap();
    let a = Fake::new("a", 1, 0.0).write(home.path());
    let refused = |fake: Fake, field: &str| {
        let b = fake.write(home.path());
        compare(&[path(&a), path(&b)]).refused(field, "data set, split and protocol");
    };
    refused(Fake { dataset: "other".into(), ..Fake::new("data", 1, 0.0) }, "data set hash (one, other)");
    refused(
        Fake { protocol: "recbole", ties: TieRule::Ascending, ..Fake::new("named", 1, 0.0) },
        "the protocol (leave_one_out, recbole)",
    );
    // Rows of an older program have no name: their rules must be the same.
    let older = Fake { protocol: "", ..Fake::new("older", 1, 2.0) }.write(home.path());
    compare(&[path(&a), path(&older)]).fine();
    refused(Fake { ties: TieRule::Optimistic, ..Fake::new("ties", 1, 0.0) }, "eval.ties (mid, optimistic)");
    refused(Fake { users: 300, ..Fake::new("users", 1, 0.0) }, "the number of targets (400, 300)");
    // Data sets that are still there say what made them different.
    for (name, split) in [("left", "leave_one_out"), ("right", "global_time")] {
        let data = home.path().join("data").join(name);
        fs::create_dir_all(&data).unwrap();
        let about = format!("{{\"about\":{{\"options\":{{\"split\":{{\"kind\":\"{split}\"}}}}}}}}");
        fs::write(data.join("manifest.json"), about).unwrap();
        let sets = vec![format!("data.path={}", data.display())];
        Fake { dataset: name.into(), sets, ..Fake::new(name, 1, 0.0) }.write(home.path());
    }
    let run_of = |name: &str| home.path().join(format!("{name}-1"));
    compare(&[path(&run_of("left")), path(&run_of("right"))])
        .refused("data.options.split.kind (leave_one_out, global_time)", "data set, split and protocol");
}

#[test]
fn a_group_differs_by_the_seed_and_by_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let a = Fake::new("a", 1, 0.0).write(home.path());
    let wide = Fake { sets: vec!["model.width=64".into()], ..Fake::new("wide", 2, 0.0) }.write(home.path());
    let twin = Fake::new("twin", 1, 0.0).write(home.path());
    let group = |b: &Path| format!("{},{}", path(&a), path(b));
    compare(&[&group(&wide), path(&a)]).refused("model.width is 32", "groups of their own");
    compare(&[&group(&twin), path(&a)]).refused("have the same seed 1", "no second sample");
}

#[test]
fn an_unfinished_or_broken_run_is_reported_and_never_averaged_in() {
    let home = tempfile::tempdir().unwrap();
    let (base, better) = (three(home.path(), "base", 0.0), three(home.path(), "better", 2.0));
    let whole = json(&[&base, &better]);
    let unfinished = Fake::new("better", 4, 50.0).write(home.path());
    fs::remove_file(unfinished.join("report.json")).unwrap();
    Fake { nan_targets: 3, ..Fake::new("better", 5, 50.0) }.write(home.path());
    let diverged = Fake::new("better", 6, 50.0).write(home.path());
    fs::remove_file(diverged.join("report.json")).unwrap();
    fs::write(diverged.join("metrics.jsonl"), "{\"step\":7,\"epoch\":1,\"train/loss/total\":null}\n")
        .unwrap();
    let found = json(&[&base, &better]);
    assert_eq!(found["contrasts"][0]["estimate"], whole["contrasts"][0]["estimate"]);
    let reasons: Vec<&str> =
        found["failed"].as_array().unwrap().iter().map(|f| f["reason"].as_str().unwrap()).collect();
    assert!(reasons[0].contains("unfinished: last heard of at step 8"), "{reasons:?}");
    assert!(
        reasons[1].contains("NaN scores for 3 targets") && reasons[2].contains("diverged"),
        "{reasons:?}"
    );
    let said = compare(&[&base, &better]).fine();
    assert!(
        said.stdout.contains("FAILED ") && said.stderr.contains("better-4 is left out"),
        "{}",
        said.stderr
    );
    compare(&[path(&unfinished), &base]).refused("fewer than two groups have a finished run", "--resume");
}

#[test]
fn nonsense_is_refused_with_a_hint() {
    let home = tempfile::tempdir().unwrap();
    let a = Fake::new("a", 1, 0.0).write(home.path());
    let (a, missing) = (path(&a), format!("{}/none-*", path(home.path())));
    compare(&[a, &missing]).refused("matches no run directory", "checkpoints/quickstart");
    compare(&[a, path(home.path())]).refused("it has no config.toml", "checkpoints/quickstart");
    compare(&[a, a, "--metric", "auc"]).refused("`auc` is not a metric", "ndcg@10");
    compare(&[a, &format!("{a}:nobody")]).refused("no rows of `nobody`, only of ensemble", "--branch");
    compare(&[a, a, "--part", "valid"]).refused("no rows of the valid part", "--part valid");
    compare(&[a, a, "--confidence", "95"]).refused("--confidence 95", "between 0.5 and 1");
    run(&["compare", a, a, "--draws", "0"]).refused("--draws 0", "2 to 10000000");
    fs::write(Path::new(a).join("report.json"), "{").unwrap();
    compare(&[a, a]).refused("report.json", "checkpoints/quickstart");
}

#[test]
fn a_real_run_stands_beside_its_own_baselines() {
    let home = tempfile::tempdir().unwrap();
    let dir = trained(home.path());
    let run_dir = path(&dir);
    let found = json(&[
        &format!("{run_dir}:popularity"),
        &format!("{run_dir}:transitions"),
        &format!("{run_dir}:recent-popularity"),
        &format!("{run_dir}:item-knn"),
        &format!("{run_dir}:text-knn"),
        run_dir,
        "--metric",
        "recall@20",
    ]);
    let bases: Vec<&str> =
        found["contrasts"].as_array().unwrap().iter().map(|c| c["basis"].as_str().unwrap()).collect();
    assert_eq!(bases, ["users", "users", "users", "users", "single_run"]);
    // The figures are those of the run's own report.
    let report: Value = serde_json::from_slice(&fs::read(dir.join("report.json")).unwrap()).unwrap();
    for group in found["groups"].as_array().unwrap() {
        let name = group["score"].as_str().unwrap();
        let scored = report["evaluations"].as_array().unwrap().iter();
        let own = scored.flat_map(|e| e["scored"].as_array().unwrap()).find(|s| s["name"] == name).unwrap();
        let ours = group["metrics"][0][1].as_f64().unwrap();
        assert!((ours - own["metrics"]["recall@20"].as_f64().unwrap()).abs() < 1e-12, "{name}");
        assert!(!own["exposure"].as_array().unwrap().is_empty());
    }
    assert!(report["time_order"]["later_training"].as_f64().is_some());
    assert_eq!(report["global_time"]["scored"].as_array().unwrap().len(), 4);
    let said =
        run(&["evaluate", run_dir, "--device", "cpu", "--baseline", "text-knn,popularity", "--markdown"]);
    let said = said.fine();
    assert!(said.stdout.contains("| text-knn |") && !said.stdout.contains("transitions"), "{}", said.stdout);
    assert!(said.stdout.contains("Share of the list entries") && said.stdout.contains("Gini at 10"));
    run(&["evaluate", run_dir, "--device", "cpu", "--baseline", "bpr"])
        .refused("no baseline `bpr`", "image-knn");
}

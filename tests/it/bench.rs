//! Workloads: the same numbers for every contender, figures that can be trusted, lines that programs can read.

use std::path::Path;

use codistill::bench::named::names;
use codistill::bench::workload::BRANCHES;
use codistill::bench::{self, Loaded, Profile, Workload};
use safetensors::Dtype;
use serde_json::Value;

use crate::program::{path, run};

pub fn workload(name: &str, sets: &[&str]) -> Workload {
    let mut workload = Workload::named(name, Profile::Sparse).unwrap();
    sets.iter().for_each(|set| workload.set(set).unwrap());
    workload
}

const TINY: [&str; 8] = [
    "users=3",
    "positions=4",
    "width=8",
    "items=20",
    "text_tokens=5",
    "image_tokens=3",
    "feature_width=6",
    "batches=2",
];

pub fn written(dir: &Path, workload: &Workload) -> Loaded {
    bench::write(workload, dir).unwrap();
    Loaded::open(dir).unwrap()
}

/// `codistill bench ARGS` on the CPU: its lines of JSON.
pub fn lines(args: &[&str]) -> Vec<Value> {
    let all: Vec<&str> = [&["bench", "--device", "cpu", "--json"], args].concat();
    run(&all).fine().stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn with_sets<'a>(args: &[&'a str], sets: &[&'a str]) -> Vec<&'a str> {
    args.iter().copied().chain(sets.iter().flat_map(|&set| ["--set", set])).collect()
}

#[test]
fn a_workload_is_a_pure_function_of_its_seed() {
    let home = tempfile::tempdir().unwrap();
    let sets = ["users=3", "positions=4", "width=8", "items=20"];
    let loss = ["users=3", "width=8", "items=20"];
    let all = [
        ("odmt-small", &TINY[..]),
        ("sasrec-ml1m", &sets),
        ("eval-arts", &sets),
        ("loss-ce", &loss),
        ("loss-odmt-kd", &loss),
        ("ckpt", &["width=8", "items=20", "positions=4"]),
    ];
    for (name, sets) in all {
        let bytes = |dir: &str, workload: &Workload| {
            written(&home.path().join(format!("{name}-{dir}")), workload);
            std::fs::read(home.path().join(format!("{name}-{dir}/workload.safetensors"))).unwrap()
        };
        let once = workload(name, sets);
        let other = Workload { seed: 2, ..once.clone() };
        let first = bytes("first", &once);
        assert_eq!(first, bytes("again", &once), "{name}");
        assert_ne!(first, bytes("other", &other), "{name}");
    }
}

#[test]
fn a_written_odmt_workload_is_what_the_contract_says() {
    let home = tempfile::tempdir().unwrap();
    let workload = workload("odmt-small", &TINY);
    let loaded = written(&home.path().join("w"), &workload);
    assert_eq!(loaded.workload, workload);
    let shapes: Vec<(String, String, Vec<usize>)> =
        loaded.tensors().into_iter().map(|(name, (dtype, shape))| (name, dtype, shape)).collect();
    let expected = [
        ("image", "F16", &[21, 3, 6][..]),
        ("log_popularity", "F32", &[21]),
        ("sequences", "I32", &[6, 5]),
        ("text", "F16", &[21, 5, 6]),
        ("text_length", "I32", &[21]),
    ];
    let expected: Vec<_> = expected.map(|(n, d, s)| (n.to_owned(), d.to_owned(), s.to_vec())).into();
    assert_eq!(shapes, expected);

    let lengths: Vec<i32> = loaded.read("text_length", Dtype::I32, &[None]).unwrap();
    let text: Vec<u16> = loaded.read("text", Dtype::F16, &[None, None, None]).unwrap();
    assert!(lengths[0] == 0 && lengths[1..].iter().all(|n| (2..=5).contains(n)), "{lengths:?}");
    for (item, tokens) in text.chunks(5 * 6).enumerate() {
        let filled = tokens.iter().rposition(|&half| half != 0).map_or(0, |last| last / 6 + 1);
        assert_eq!(filled, lengths[item] as usize, "item {item}");
    }

    let windows = loaded.windows().unwrap();
    let slots: Vec<i32> = loaded.read("sequences", Dtype::I32, &[None, None]).unwrap();
    let mut counts = [0.0f64; 21];
    windows.iter().flatten().for_each(|&item| counts[item as usize] += 1.0);
    for (window, slots) in windows.iter().zip(slots.chunks(5)) {
        let (padding, items) = slots.split_at(5 - window.len());
        assert!(padding.iter().all(|&slot| slot == 0));
        assert!(items.iter().zip(window).all(|(&slot, &item)| slot as u32 == item));
    }
    let total: f64 = counts.iter().sum();
    let log_p: Vec<f32> = loaded.read("log_popularity", Dtype::F32, &[None]).unwrap();
    assert_eq!(log_p[0], 0.0);
    for item in (1..=20).filter(|&item| counts[item] > 0.0) {
        assert!((f64::from(log_p[item]) - (counts[item] / total).ln()).abs() < 1e-6, "item {item}");
    }
}

#[test]
fn a_training_prints_the_lines_of_the_contract_and_the_same_losses_from_a_written_workload() {
    let home = tempfile::tempdir().unwrap();
    let sasrec = ["users=3", "positions=4", "width=8", "items=20"];
    for (name, sets) in [("odmt-small", &TINY[..]), ("sasrec-ml1m", &sasrec)] {
        let steps = ["--warmup", "1", "--steps", "3"];
        let generated = lines(&with_sets(&[&[name], &steps[..]].concat(), sets));
        let dir = home.path().join(name);
        run(&with_sets(&["bench", name, "--write", path(&dir)], sets)).fine();
        let from_disk = lines(&[&[name, "--workload", path(&dir)], &steps[..]].concat());
        let losses = |lines: &[Value]| -> Vec<f64> {
            lines[..3].iter().map(|line| line["loss"].as_f64().unwrap()).collect()
        };
        assert_eq!(losses(&generated), losses(&from_disk));
        assert_eq!(generated.len(), 4);
        for (index, line) in generated[..3].iter().enumerate() {
            assert_eq!((&line["event"], &line["index"]), (&"step".into(), &index.into()), "{line}");
            let seconds = |field: &str| line[field].as_f64().unwrap();
            let parts = ["batch_seconds", "gradient_seconds", "update_seconds"].map(seconds);
            assert!((parts.iter().sum::<f64>() - seconds("seconds")).abs() < 1e-9, "{line}");
        }
        let done = &generated[3];
        assert_eq!((&done["event"], &done["contender"]), (&"done".into(), &"codistill".into()));
        for field in ["peak_rss_bytes", "parameters", "flops_reference", "flops_ours"] {
            assert!(done[field].as_f64().unwrap() > 0.0, "{field} in {done}");
        }
        // Tiny windows of SASRec are all full: nothing can be skipped.
        assert!(done["flops_ours"].as_f64() <= done["flops_reference"].as_f64(), "{done}");
    }
}

#[test]
fn a_window_of_the_longest_history_hides_what_all_of_it_hides() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("w");
    let sets = ["users=40", "items=90", "width=6", "positions=20"];
    let (histories, _) = written(&dir, &workload("eval-arts", &sets)).histories().unwrap();
    // The window is S + 2 long on the test part.
    assert!(histories.iter().all(|history| history.len() <= 22));
    assert!(histories.iter().any(|history| history.len() > 4));
    let figures = |rule: &str| {
        let set = format!("eval.history={rule}");
        let args =
            ["eval-arts", "--workload", path(&dir), "--warmup", "0", "--steps", "1", "--config-set", &set];
        lines(&args)[0]["metrics"].clone()
    };
    assert_eq!(figures("window"), figures("all"));
    assert_ne!(figures("keep"), figures("all"));
}

#[test]
fn a_ranking_equals_a_brute_force_recomputation() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("w");
    let loaded = written(&dir, &workload("eval-arts", &["users=40", "items=90", "width=6"]));
    let lines = lines(&["eval-arts", "--workload", path(&dir), "--warmup", "0", "--steps", "2"]);
    let (histories, targets) = loaded.histories().unwrap();
    let vectors = |name: &str, branch: usize| -> Vec<Vec<f64>> {
        let all: Vec<f32> = loaded.read(&format!("{name}.{branch}"), Dtype::F32, &[None, Some(6)]).unwrap();
        all.chunks(6).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect()
    };
    let scores: Vec<Vec<Vec<f64>>> = (0..3)
        .map(|branch| {
            let items = vectors("items", branch);
            let dot = |u: &Vec<f64>, h: &Vec<f64>| u.iter().zip(h).map(|(a, b)| a * b).sum::<f64>();
            let users = vectors("users", branch);
            users.iter().map(|u| items.iter().map(|h| dot(u, h)).collect()).collect()
        })
        .collect();
    let ensemble = (0..40)
        .map(|u| (0..=90).map(|i| (scores[0][u][i] + scores[1][u][i] + scores[2][u][i]) / 3.0).collect())
        .collect();
    let named = [("ensemble", &ensemble), (BRANCHES[0], &scores[0]), (BRANCHES[2], &scores[2])];
    for (name, scores) in named {
        let (mut recall, mut ndcg) = (0.0, 0.0);
        for (user, &target) in targets.iter().enumerate() {
            let row: &Vec<f64> = &scores[user];
            let above = (1..=90u32)
                .filter(|item| !histories[user].contains(item))
                .filter(|&item| row[item as usize] > row[target as usize])
                .count();
            if above < 10 {
                recall += 1.0 / 40.0;
                ndcg += 1.0 / (above as f64 + 2.0).log2() / 40.0;
            }
        }
        for line in &lines[..2] {
            let figure = |metric: &str| line["metrics"][name][metric].as_f64().unwrap();
            assert!((figure("recall@10") - recall).abs() < 1e-9, "{name}: {line} {recall}");
            assert!((figure("ndcg@10") - ndcg).abs() < 1e-9, "{name}: {line} {ndcg}");
        }
        assert!(recall > 0.1, "{name} finds nothing: {recall}");
    }
    assert_eq!(lines[2]["flops_ours"], 2.0 * 3.0 * 40.0 * 90.0 * 6.0);
}

#[test]
fn dense_flops_are_those_of_the_reference_run_whatever_is_skipped() {
    let args = ["odmt-small", "--profile", "dense", "--warmup", "0", "--steps", "1"];
    let done = lines(&with_sets(&args, &["batches=1"])).remove(1);
    let reference = done["flops_reference"].as_f64().unwrap();
    assert!((reference / 21.6e9 - 1.0).abs() < 0.003, "{reference}");
}

#[test]
fn what_can_not_be_run_is_refused_with_the_nearest_name() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("w");
    written(&dir, &workload("odmt-small", &TINY));
    let refused = |args: &[&str], what: &str, hint: &str| {
        run(&[&["bench", "--device", "cpu", "--quiet"], args].concat()).refused(what, hint);
    };
    refused(&["odmt-smal"], "no workload `odmt-smal`", "odmt-small");
    refused(&["lits"], "no workload `lits`", "list");
    refused(&["odmt-small", "--set", "user=3"], "`user`", "users");
    refused(&["odmt-small", "--set", "users=many"], "`many`", "users=32");
    refused(&["sasrec-ml1m", "--set", "image_tokens=2"], "no image_tokens", "leave it out");
    refused(&["prep-jsonl", "--config-set", "optim.lr=1"], "no model", "leave it out");
    refused(&["ckpt", "--set", "users=2"], "no users", "leave it out");
    refused(&["loss-ce", "--set", "positions=2"], "no positions", "leave it out");
    refused(&["odmt-small", "--set", "width=7"], "heads", "");
    refused(&["odmt-small", "--config-set", "optim.lrr=1"], "optim.lrr", "optim.lr");
    refused(&["odmt-small", "--config-set", "train.epochs=1"], "train.epochs=1", "optim");
    refused(&["odmt-small", "--config-set", "model.memory={}"], "teaches nobody", "objective.distill.pairs");
    refused(&["odmt-small", "--config-set", "model.width=8"], "model.width=8", "--set");
    refused(&["sasrec-ml1m", "--workload", path(&dir)], "holds `odmt-small`", "bench odmt-small");
    refused(&["odmt-small", "--write", path(&dir)], "already exists", "remove");
    refused(&["odmt-small", "--workload", path(home.path())], "is not a", "--write");
}

#[test]
fn the_table_names_every_workload_and_a_run_tells_of_time_memory_and_arithmetic() {
    let list = run(&["bench", "list"]).fine().stdout;
    for name in names() {
        assert!(list.contains(&format!("{name} ")), "{list}");
    }
    let args =
        with_sets(&["bench", "odmt-small", "--device", "cpu", "--steps", "2", "--threads", "1"], &TINY);
    let said = run(&args).fine().stdout;
    for word in ["median", "p90", "steps/s", "GiB peak", "reference graph", "GFLOP/s", "1 threads"] {
        assert!(said.contains(word), "no `{word}` in\n{said}");
    }
    let loss = ["bench", "loss-odmt-kd", "--device", "cpu", "--steps", "2", "--set", "users=4"];
    let said = run(&with_sets(&loss, &["width=8", "items=20"])).fine().stdout;
    for word in ["median", "rows/s", "norms of gradients", "id_from_ensemble", "achieved"] {
        assert!(said.contains(word), "no `{word}` in\n{said}");
    }
    let sets = ["--config-set", "optim.decay=matrices", "--dropout", "0"];
    run(&[&args[..], &sets[..]].concat()).fine();
    let pairs = r#"objective.distill.pairs=[{student="id",teacher="memory"}]"#;
    let sets = ["--config-set", "model.memory={}", "--config-set", pairs];
    run(&[&args[..], &sets[..]].concat()).fine();
}

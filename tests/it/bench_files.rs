//! Workloads that are files rather than tensors.

use serde_json::Value;

use crate::bench::{lines, with_sets, workload, written};
use crate::program::{path, run};

#[test]
fn a_preparation_reads_every_review_once_and_prints_what_prepare_prints() {
    let home = tempfile::tempdir().unwrap();
    let sets = ["users=300", "items=60", "text_tokens=9"];
    let (dir, again) = (home.path().join("w"), home.path().join("again"));
    for dir in [&dir, &again] {
        run(&with_sets(&["bench", "prep-jsonl", "--write", path(dir)], &sets)).fine();
    }
    let reviews = dir.join("reviews.jsonl");
    let text = std::fs::read_to_string(&reviews).unwrap();
    assert_eq!(text, std::fs::read_to_string(again.join("reviews.jsonl")).unwrap());
    let users = |line: &str| -> Value { serde_json::from_str::<Value>(line).unwrap()["reviewerID"].clone() };
    let distinct: std::collections::HashSet<String> = text.lines().map(|l| users(l).to_string()).collect();
    assert_eq!(distinct.len(), 300);
    let lines = lines(&["prep-jsonl", "--workload", path(&dir), "--warmup", "0", "--steps", "2"]);
    let metrics = &lines[0]["metrics"];
    assert_eq!(metrics, &lines[1]["metrics"]);
    let made = home.path().join("made");
    let said = run(&["prepare", path(&reviews), "--output", path(&made), "--json"]).fine().stdout;
    let report = &serde_json::from_str::<Value>(&said).unwrap()["report"];
    let last = report["steps"].as_array().unwrap().last().unwrap();
    for (metric, expected) in [
        ("rows", &report["steps"][0]["interactions"]),
        ("users", &last["users"]),
        ("items", &last["items"]),
        ("interactions", &last["interactions"]),
        ("train", &report["train_interactions"]),
        ("valid", &report["valid_targets"]),
        ("test", &report["test_targets"]),
    ] {
        assert_eq!(&metrics[metric], expected, "{metric}");
    }
    assert_eq!(metrics["rows"], text.lines().count());
    assert!(metrics["users"].as_u64() < Some(300), "the core drops nobody: {metrics}");
}

#[test]
fn a_checkpoint_brings_back_every_number_that_was_saved() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("w");
    let loaded = written(&dir, &workload("ckpt", &["width=8", "items=40", "positions=5"]));
    let lines = lines(&["ckpt", "--workload", path(&dir), "--warmup", "0", "--steps", "2"]);
    let parameters = loaded.parameters().unwrap();
    let values: Vec<f32> = parameters.values().flat_map(|v| v.values.iter().copied()).collect();
    // The parameters x, and of the optimiser 0.1 x and x².
    let all = values.iter().flat_map(|&x| [x, 0.1 * x, x * x].map(f64::from));
    let (sum, squares) = all.fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    for line in &lines[..2] {
        let metrics = &line["metrics"];
        assert_eq!(metrics["numbers"], 3 * values.len());
        for (metric, expected) in [("sum", sum), ("squares", squares)] {
            assert!((metrics[metric].as_f64().unwrap() / expected - 1.0).abs() < 1e-9, "{metrics}");
        }
        let figure = |name: &str| line["figures"][name].as_f64().unwrap();
        assert_eq!(line["seconds"].as_f64().unwrap(), figure("save s") + figure("load s"));
        assert!(figure("on disk MiB") * 1_048_576.0 > 12.0 * values.len() as f64);
    }
    assert_eq!(lines[2]["parameters"], values.len());
}

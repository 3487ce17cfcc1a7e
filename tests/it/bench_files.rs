//! Workloads that are files rather than tensors.

use serde_json::Value;

use crate::bench::{lines, with_sets};
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

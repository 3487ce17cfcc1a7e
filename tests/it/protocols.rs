//! Protocols by name, and the rows that know more than the model.

use std::fs;

use serde_json::Value;

use crate::program::{Said, path, run, tiny, trained};

fn judge(run_dir: &str, more: &[&str]) -> Said {
    run(&[&["evaluate", run_dir, "--device", "cpu"], more].concat())
}

fn names(report: &Value) -> Vec<String> {
    let all = report["evaluations"].as_array().unwrap().iter();
    all.flat_map(|e| e["scored"].as_array().unwrap())
        .map(|s| s["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_report_has_each_view_alone_and_labels_what_knows_more() {
    let home = tempfile::tempdir().unwrap();
    let dir = trained(home.path());
    let report: Value = serde_json::from_slice(&fs::read(dir.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["schema"], 2);
    let found = names(&report);
    let counters = ["popularity", "recent-popularity", "transitions", "item-knn", "text-knn", "image-knn"];
    let knowing = ["transitions (knows validation)", "item-knn (knows validation)"];
    for name in counters.iter().chain(&knowing) {
        assert!(found.iter().any(|other| other == name), "{name} is not among {found:?}");
    }
    assert!(!found.iter().any(|name| name == "content-knn"), "{found:?}");
    for evaluation in report["evaluations"].as_array().unwrap() {
        assert_eq!(evaluation["protocol"]["name"], "leave_one_out");
    }
    // Validation targets leave nothing more to know.
    let dir = path(&dir);
    let valid: Value =
        serde_json::from_str(&judge(dir, &["--part", "valid", "--json"]).fine().stdout).unwrap();
    assert!(names(&valid).iter().all(|name| !name.contains("knows")), "{:?}", names(&valid));
    judge(dir, &["--part", "valid", "--baseline", "item-knn (knows validation)"])
        .refused("knows no more", "test part");
    let said = judge(dir, &["--baseline", "content-knn,popularity (knows validation)"]).fine().stdout;
    assert!(said.contains("\ncontent-knn") && said.contains("\npopularity (knows validation)"), "{said}");
}

#[test]
fn a_protocol_by_name_is_told_everywhere_and_stands_beside_no_other() {
    let home = tempfile::tempdir().unwrap();
    let dir = trained(home.path());
    run(&tiny(home.path(), &["seed=2", "run.name=other"])).fine();
    let other = home.path().join("other");
    let (dir, other) = (path(&dir), path(&other));
    let said = judge(dir, &["--protocol", "rectools"]).fine().stdout;
    let rules = "history all, ties ascending, protocol rectools, ndcg divided by the gain of k hits";
    assert!(said.contains(rules), "{said}");
    for name in ["popularity", "recent-popularity", "transitions", "item-knn"] {
        assert!(said.contains(&format!("\n{name} (knows validation)")), "{name} in {said}");
    }
    run(&["compare", dir, other]).refused("the protocol (rectools, leave_one_out)", "judges a run anew");
    judge(other, &["--protocol", "rectools"]).fine();
    let said = run(&["compare", dir, other, "--metric", "ndcg@10", "--json"]).fine().stdout;
    let found: Value = serde_json::from_str(&said).unwrap();
    assert!(found["protocol"].as_str().unwrap().contains("protocol rectools"), "{found}");
    // What rows say of NDCG is what the report says: both divide by the same.
    let report: Value =
        serde_json::from_slice(&fs::read(format!("{dir}/report-test.json")).unwrap()).unwrap();
    let own = report["evaluations"][0]["scored"][0]["metrics"]["ndcg@10"].as_f64().unwrap();
    let metrics = found["groups"][0]["metrics"].as_array().unwrap();
    let ndcg = metrics.iter().find(|m| m[0] == "ndcg@10").unwrap()[1].as_f64().unwrap();
    assert!((own - ndcg).abs() < 1e-12, "{own} {ndcg}");

    let kept: Value =
        serde_json::from_str(&judge(dir, &["--protocol", "macrec", "--json"]).fine().stdout).unwrap();
    let protocol = &kept["evaluations"][0]["protocol"];
    assert_eq!((&protocol["name"], &protocol["history"]), (&"macrec".into(), &"keep".into()));
    assert!(kept.get("global_time").is_none());
    let rule = judge(dir, &["--history", "keep", "--json"]).fine().stdout;
    let rule: Value = serde_json::from_str(&rule).unwrap();
    assert_eq!(rule["evaluations"][0]["protocol"]["name"], "custom");
}

#[test]
fn a_protocol_excludes_the_options_that_it_settles() {
    let home = tempfile::tempdir().unwrap();
    let dir = trained(home.path());
    let dir = path(&dir);
    for more in [["--history", "keep"], ["--ties", "mid"]] {
        let said = judge(dir, &[&["--protocol", "macrec"], &more[..]].concat());
        assert!(said.code == Some(1) && said.stderr.contains("cannot be used with"), "{}", said.stderr);
    }
    let items = home.path().join("items.txt");
    fs::write(&items, "i1\ni2\n").unwrap();
    judge(dir, &["--protocol", "macrec", "--candidates", path(&items)])
        .refused("--protocol macrec ranks every item", "leave --protocol out");
    let said = judge(dir, &["--protocol", "movielens"]);
    assert!(said.code == Some(1) && said.stderr.contains("mmrec"), "{}", said.stderr);
}

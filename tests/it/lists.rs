//! What `recommend` gives to those of whom nothing is known, in which form, and what it and `evaluate` refuse.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use codistill::data::Dataset;
use serde_json::Value;

use crate::program::{Said, dataset, path, run, trained};

/// A tiny run with its store, made once; nobody changes it.
struct Home {
    dir: tempfile::TempDir,
    root: PathBuf,
    store: PathBuf,
}

impl Home {
    fn open() -> &'static Self {
        static HOME: OnceLock<Home> = OnceLock::new();
        HOME.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let root = trained(dir.path());
            let store = dir.path().join("store");
            run(&["embed", "build", path(&root), "--store", path(&store), "--device", "cpu"]).fine();
            Self { dir, root, store }
        })
    }

    fn ask(&self, more: &[&str]) -> Said {
        run(&[&["recommend", path(&self.root), "--device", "cpu"], more].concat())
    }

    fn judge(&self, more: &[&str]) -> Said {
        run(&[&["evaluate", path(&self.root), "--device", "cpu"], more].concat())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Ids by training interactions, most first, with their number.
    fn popular(&self) -> Vec<(String, u32)> {
        let data = Dataset::open(&dataset(self.dir.path())).unwrap();
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for user in 0..data.sequences.users() {
            data.sequences.train_of(user).iter().for_each(|&item| *counts.entry(item).or_default() += 1);
        }
        let mut order: Vec<(u32, u32)> = counts.into_iter().collect();
        order.sort_by_key(|&(item, n)| (std::cmp::Reverse(n), item));
        order.into_iter().map(|(item, n)| (data.items.ids[item as usize].clone(), n)).collect()
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn listed(line: &Value) -> Vec<(String, f64)> {
    let each = line["items"].as_array().unwrap().iter();
    each.map(|item| (item["item"].as_str().unwrap().to_owned(), item["score"].as_f64().unwrap())).collect()
}

const HISTORIES: &str = "{\"user\":\"known\",\"items\":[\"i3\",\"i9\"]}\n{\"user\":\"fresh\",\"items\":[]}\n\
                         {\"user\":\"stranger\",\"items\":[\"x1\",\"x2\"]}\n";

#[test]
fn users_without_a_known_history_get_popular_items_named_as_such() {
    let home = Home::open();
    let file = home.file("fresh.jsonl", HISTORIES);
    let popular: Vec<(String, f64)> = home.popular().into_iter().map(|(id, n)| (id, f64::from(n))).collect();
    let catalogue: Vec<String> = (1..=5).map(|i| format!("i{i}")).collect();
    for store in [&[][..], &["--store", path(&home.store)]] {
        let said = home.ask(&[&["--histories", &file, "-k", "5"], store].concat()).fine();
        let all = lines(&said.stdout);
        let sources: Vec<&str> = all.iter().map(|line| line["source"].as_str().unwrap()).collect();
        assert_eq!(sources, ["model", "popular", "popular"]);
        assert_eq!(listed(&all[1]), popular[..5]);
        assert_eq!(listed(&all[2]), popular[..5]);
        let ids: Vec<String> = listed(&all[1]).into_iter().map(|(id, _)| id).collect();
        assert_ne!(ids, catalogue, "the data must tell popularity from the order of the catalogue");
        let warned = "2 of 3 users have no known item in their history and get the most popular items";
        assert!(
            said.stderr.contains(warned) && said.stderr.contains("`fresh`, `stranger`"),
            "{}",
            said.stderr
        );

        let empty = [&["--histories", &file, "-k", "5", "--no-history", "empty"], store].concat();
        let all = lines(&home.ask(&empty).fine().stdout);
        assert_eq!(listed(&all[0]).len(), 5);
        assert_eq!((&all[1]["source"], listed(&all[1]).len()), (&"none".into(), 0));
        assert_eq!(listed(&all[2]), []);
    }
}

#[test]
fn popular_items_obey_the_choice_and_the_length() {
    let home = Home::open();
    let nobody = home.file("nobody.jsonl", "{\"items\":[]}\n");
    let popular = home.popular();
    let without: String = popular[..3].iter().map(|(id, _)| format!("{id}\n")).collect();
    let without = home.file("without.txt", &without);
    let all = lines(&home.ask(&["--histories", &nobody, "-k", "4", "--exclude", &without]).fine().stdout);
    let expected: Vec<(String, f64)> =
        popular[3..7].iter().map(|(id, n)| (id.clone(), f64::from(*n))).collect();
    assert_eq!(listed(&all[0]), expected);
    // No more than were ever seen in training.
    let all = lines(&home.ask(&["--histories", &nobody, "-k", "100"]).fine().stdout);
    assert_eq!(listed(&all[0]).len(), popular.len());
}

#[test]
fn a_deleted_item_is_not_popular_any_more() {
    let home = tempfile::tempdir().unwrap();
    let root = trained(home.path());
    let home = Home { root, store: home.path().join("store"), dir: home };
    run(&["embed", "build", path(&home.root), "--store", path(&home.store), "--device", "cpu"]).fine();
    let popular = home.popular();
    run(&["embed", "delete", &popular[0].0, "--store", path(&home.store)]).fine();
    let nobody = home.file("nobody.jsonl", "{\"items\":[\"nowhere\"]}\n");
    let said = home.ask(&["--histories", &nobody, "-k", "3", "--store", path(&home.store)]).fine();
    let ids: Vec<String> = listed(&lines(&said.stdout)[0]).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, popular[1..4].iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
}

#[test]
fn a_list_of_nothing_is_refused_by_every_command() {
    let home = Home::open();
    let data = dataset(home.dir.path());
    let refused = [
        home.ask(&["--user", "u1", "-k", "0"]),
        home.ask(&["--all", "-k", "0"]),
        home.ask(&["--item", "i3", "-k", "0"]),
        home.judge(&["--ks", "0"]),
        home.judge(&["--ks", "5,0"]),
        run(&["inspect", path(&home.root), "item", "i3", "-k", "0"]),
        run(&["probe", path(&data), "--k", "0"]),
        run(&["probe", path(&data), "--k", "10,0"]),
    ];
    for (n, said) in refused.iter().enumerate() {
        assert_eq!(said.code, Some(1), "{n}: {}", said.stderr);
        assert!(said.stdout.is_empty() && said.stderr.contains("use 1"), "{n}: {}", said.stderr);
    }
}

#[test]
fn tables_show_the_cut_offs_that_were_asked_for() {
    let home = Home::open();
    let rows = home.dir.path().join("rows.parquet");
    let judge = |more: &[&str]| home.judge(&[&["--rows", path(&rows)], more].concat()).fine().stdout;
    let heads = |text: &str| -> Vec<String> {
        let first = text.split("\n\n").next().unwrap();
        first.split_whitespace().filter(|word| word.starts_with("recall@")).map(str::to_owned).collect()
    };
    // The same cut-offs stand where the split in time follows.
    assert_eq!(heads(&judge(&["--ks", "20,5"])), ["recall@5", "recall@20"]);
    assert_eq!(heads(&judge(&["--ks", "3"])), ["recall@3"]);
    assert_eq!(heads(&judge(&["--ks", "1,5,10,20,50"])).len(), 5);
    assert_eq!(heads(&judge(&[])), ["recall@10"]);
    let markdown = judge(&["--ks", "5,20", "--markdown", "--baseline", "popularity"]);
    let head = "| | recall@5 | ndcg@5 | mrr@5 | coverage@5 | recall@20 | ndcg@20 | mrr@20 | coverage@20 |";
    assert!(markdown.contains(head), "{markdown}");
    let json: Value = serde_json::from_str(&judge(&["--ks", "5,20", "--json"])).unwrap();
    let metrics = json["evaluations"][0]["scored"][0]["metrics"].as_object().unwrap();
    assert!(
        metrics.contains_key("ndcg@5") && metrics.contains_key("ndcg@20") && !metrics.contains_key("ndcg@10")
    );
    // The figures are those of the report.
    let text = judge(&["--ks", "5,20", "--baseline", "none"]);
    for k in ["recall@5", "recall@20"] {
        let figure = format!("{:.4}", metrics[k].as_f64().unwrap());
        assert!(text.contains(&figure), "{k} = {figure} is missing in\n{text}");
    }
}

#[test]
fn forms_of_a_list_say_the_same() {
    let home = Home::open();
    let line = lines(&home.ask(&["--user", "u1", "-k", "3"]).fine().stdout).remove(0);
    let table = home.ask(&["--user", "u1", "-k", "3", "--format", "table"]).fine().stdout;
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some("user u1"));
    assert_eq!(
        rows.next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["rank", "item", "title", "score"]
    );
    for ((n, (id, score)), row) in (1..).zip(listed(&line)).zip(rows) {
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!((words[0], words[1]), (n.to_string().as_str(), id.as_str()));
        assert_eq!(*words.last().unwrap(), format!("{score:.4}"));
        let title = line["items"][n - 1]["title"].as_str().unwrap();
        assert!(row.contains(title) || title.chars().count() > 60, "{row}");
    }
    // JSON is JSON on every terminal.
    assert_eq!(lines(&home.ask(&["--user", "u1", "-k", "3", "--json"]).fine().stdout), [line]);
    let csv = home.ask(&["--item", "i3", "-k", "2", "--format", "csv"]).fine().stdout;
    assert!(csv.starts_with("item,rank,similar,title,score,id,text,image\ni3,1,"), "{csv}");
}

#[test]
fn options_that_cannot_act_are_refused() {
    let home = Home::open();
    let item = |more: &[&str]| home.ask(&[&["--item", "i3"], more].concat());
    item(&["--allow-seen"]).refused("--allow-seen does nothing with --item", "--exclude");
    item(&["--no-history", "empty"]).refused("--no-history does nothing with --item", "lists of users");
    item(&["--store", path(&home.store), "--calibrate", "off"])
        .refused("--calibrate does nothing with --item", "--branch");
    item(&["--branch", "sound"]).refused("`sound` is no branch", "id, text, image");
    home.ask(&["--user", "u1", "--branch", "text"])
        .refused("--branch does nothing without --item", "--item ID");
    home.ask(&["--all", "--branch", "id"]).refused("--branch does nothing without --item", "--item ID");
    home.ask(&["--user", "u1", "--json", "--format", "csv"]).refused("--format csv contradicts --json", "");
    let said = home.ask(&["--user", "u1", "--calibrate", "off"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("--store") && said.stdout.is_empty(), "{}", said.stderr);
    home.judge(&["--calibrate", "off"]).refused("--calibrate does nothing here", "--cold-id");
    home.judge(&["--min-events", "3"]).refused("--min-events does nothing here", "--cold-id ridge");
    home.judge(&["--cold-id", "mean", "--min-events", "3"]).refused("--min-events does nothing", "ridge");
    home.judge(&["--markdown", "--json"]).refused("--markdown contradicts --json", "");
    home.judge(&["--baseline", "none,popularity"]).refused("--baseline none contradicts", "");
    home.judge(&["--baseline", "popularity,popularity"]).refused("names popularity twice", "");
}

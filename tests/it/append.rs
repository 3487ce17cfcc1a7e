//! Lines of new items as exports write them, deletions that act at once, and stores that keep to their place.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Said, dataset, path, run, tiny};

/// Tokens of the quick start's text view.
fn tokens() -> Vec<f32> {
    (0..32u8).map(|n| f32::from(n * 7 % 11) / 10.0 - 0.5).collect()
}

struct Shop {
    home: tempfile::TempDir,
}

impl Shop {
    /// A run and a store of its catalogue.
    fn open() -> Self {
        Self::with(&[])
    }

    /// The same of a run with these settings.
    fn with(sets: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        run(&tiny(home.path(), sets)).fine();
        let shop = Self { home };
        shop.embed(&["build", &shop.run()], &[]).fine();
        shop
    }

    fn at(&self, name: &str) -> String {
        path(&self.home.path().join(name)).to_owned()
    }

    fn run(&self) -> String {
        self.at("quickstart")
    }

    fn embed(&self, first: &[&str], more: &[&str]) -> Said {
        run(&[&["embed"], first, &["--store", &self.at("store")], more].concat())
    }

    fn append(&self, text: &str, more: &[&str]) -> Said {
        let file = self.at("new.jsonl");
        fs::write(&file, text).unwrap();
        self.embed(&["append", &self.run(), &file], more)
    }

    fn recommend(&self, more: &[&str]) -> Said {
        run(&[&["recommend", &self.run(), "--store", &self.at("store")], more].concat())
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.embed(&["status"], &["--json"]).fine().stdout).unwrap()
    }
}

fn items(said: &Said) -> Vec<String> {
    let list: Value = serde_json::from_str(said.stdout.lines().next().unwrap()).unwrap();
    list["items"].as_array().unwrap().iter().map(|i| i["item"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lines_that_a_catalogue_could_hold_are_taken() {
    let shop = Shop::open();
    let text = tokens();
    let lines = [
        json!({"id": "new1", "title": null, "image": null, "features": {"text": text}}),
        json!({"id": "new2", "title": 1917, "text": ["Leather", "size 38"], "features": {"text": text}}),
        json!({"id": " new3 ", "title": "Shoes", "features": {"text": text}}),
        json!({"id": "new5", "title": "Hat", "features": {"text": text, "image": null}}),
        json!({"id": 6, "title": ["Two", ["part", 7]], "category": ["a", "b"], "text": null, "features": {"text": text}}),
    ];
    for line in &lines {
        shop.append(&line.to_string(), &[]).fine();
    }
    assert_eq!(shop.status()["appended"], 5);
    for id in ["new1", "new2", "new3", "new5", "6"] {
        assert_eq!(items(&shop.recommend(&["--item", id, "-k", "3"]).fine()).len(), 3, "{id}");
    }
    let near = shop.recommend(&["--item", "new3", "-k", "4"]).fine();
    assert!(
        near.stdout.contains("\"title\":\"1917\"") && near.stdout.contains("\"Two part 7\""),
        "{}",
        near.stdout
    );

    let refused = shop.append("{\"id\": \"new4\", \"title\": \"Bag\", \"price\": \"$12.99\"}", &[]);
    refused.refused("new.jsonl:1: unknown field `price`", "--skip-bad N");
    let good = json!({"id": "new7", "features": {"text": text}});
    let bad = [
        "{\"id\": \"nan\"}",
        "{\"id\": \"x\", \"tilte\": \"y\"}",
        "{\"id\": \"z\", \"features\": {\"text\": [1]}}",
    ];
    let file = format!("{good}\n{}\n", bad.join("\n"));
    shop.append(&file, &[]).refused("new.jsonl:2: \"nan\" is no id", "--skip-bad N");
    shop.append(&file, &["--skip-bad", "2"]).refused("new.jsonl:4: a token of `text` has 1 values", "");
    assert_eq!(shop.status()["appended"], 5, "all or nothing");
    let said = shop.append(&file, &["--skip-bad", "3"]).fine();
    for told in [
        "new.jsonl:2: \"nan\"",
        "new.jsonl:3: unknown field `tilte`: did you mean `title`?",
        "new.jsonl:4: a token",
    ] {
        assert!(said.stderr.contains(&format!("passed over: {}", shop.at(told))), "{told}: {}", said.stderr);
    }
    assert_eq!(shop.status()["appended"], 6);
}

/// Items and the memory's scores of a list.
fn remembered(said: &Said) -> Vec<(String, Option<f64>)> {
    let list: Value = serde_json::from_str(said.stdout.lines().next().unwrap()).unwrap();
    let entry = |i: &Value| (i["item"].as_str().unwrap().to_owned(), i["branches"]["memory"].as_f64());
    list["items"].as_array().unwrap().iter().map(entry).collect()
}

#[test]
fn a_memory_knows_appended_items_by_their_content() {
    let shop = Shop::with(&["model.memory={ridge=5.0}"]);
    let line = |id: &str, features: Value| json!({"id": id, "title": id, "features": features}).to_string();
    shop.append(&[line("like", json!({"text": tokens()})), line("bare", json!({}))].join("\n"), &[]).fine();
    let histories = shop.at("histories.jsonl");
    let list = |history: &[&str]| {
        fs::write(&histories, json!({"user": "x", "items": history}).to_string()).unwrap();
        remembered(&shop.recommend(&["--histories", &histories, "-k", "90"]).fine())
    };
    let led = list(&["like"]);
    let nearest =
        led.iter().filter(|(_, score)| score.is_some_and(|s| s > 0.0)).map(|(item, _)| item.as_str());
    let nearest: Vec<&str> = nearest.collect();
    assert!(!nearest.is_empty() && !nearest.contains(&"bare"), "{led:?}");
    let back = list(&nearest[..1]);
    let score = |id: &str| back.iter().find(|(item, _)| item == id).and_then(|(_, score)| *score);
    assert!(score("like").is_some_and(|s| s > 0.0), "{back:?}");
    assert_eq!(score("bare"), None, "nobody had it, and it has no features");
    // A compaction and a deletion move numbers, not what items are like.
    shop.append(&line("more", json!({"text": tokens()})), &[]).fine();
    shop.embed(&["delete", "bare"], &[]).fine();
    shop.embed(&["compact"], &[]).fine();
    let after = list(&nearest[..1]);
    let of = |all: &[(String, Option<f64>)], id: &str| all.iter().find(|(item, _)| item == id).unwrap().1;
    assert_eq!(of(&after, "like"), of(&back, "like"));
    assert_eq!(of(&after, "more"), of(&back, "like"), "two of the same features");
}

#[test]
fn what_is_deleted_is_gone_at_once_and_compaction_changes_nothing() {
    let shop = Shop::open();
    let line = |id: &str| json!({"id": id, "title": id, "features": {"text": tokens()}}).to_string();
    shop.append(&[line("new1"), line("new2"), line("new3")].join("\n"), &[]).fine();
    shop.embed(&["delete", " new1 ", "i7"], &[]).fine();
    assert_eq!((&shop.status()["appended"], &shop.status()["deleted"]), (&2.into(), &2.into()));
    let histories = shop.at("histories.jsonl");
    fs::write(&histories, "{\"user\": \"x\", \"items\": [\"i3\", \"new1\", \"i7\", \"new2\"]}\n").unwrap();
    let seen = || {
        let user = shop.recommend(&["--user", "u1", "-k", "90"]).fine();
        let near = shop.recommend(&["--item", "new2", "-k", "90"]).fine();
        let own = shop.recommend(&["--histories", &histories, "-k", "90"]).fine();
        assert!(own.stderr.contains("1 items of the histories are not in the catalogue"), "{}", own.stderr);
        for list in [&user, &near, &own] {
            let items = items(list);
            assert!(items.contains(&"new3".to_owned()) && !items.iter().any(|i| i == "new1" || i == "i7"));
        }
        shop.recommend(&["--item", "new1"]).refused("`new1` is no item", "");
        run(&["inspect", &shop.run(), "item", "new1", "--store", &shop.at("store")])
            .refused("`new1` is no item", "");
        shop.embed(&["delete", "new1"], &[]).refused("\"new1\" is no item of the store", "");
        [user.stdout, near.stdout, own.stdout]
    };
    let before = seen();
    shop.embed(&["compact"], &[]).fine();
    assert!(seen() == before, "lists changed when the store was compacted");
    assert_eq!((&shop.status()["appended"], &shop.status()["deleted"]), (&2.into(), &1.into()));
    // What comes again is there again.
    shop.append(&[line("new1"), line("i7")].join("\n"), &[]).fine();
    assert!(
        ["new1", "i7"].iter().all(
            |id| items(&shop.recommend(&["--user", "u1", "-k", "90"]).fine()).contains(&(*id).to_owned())
        )
    );
    assert_eq!(shop.status()["deleted"], 0);
}

#[test]
fn nothing_is_made_inside_another_artefact() {
    let shop = Shop::open();
    let data = path(&dataset(shop.home.path())).to_owned();
    let before = names(Path::new(&data));
    let build = |store: &str| run(&["embed", "build", &shop.run(), "--store", store]);
    build(&data).refused("is a data set", "choose a directory outside the data set");
    build(&format!("{data}/store")).refused("which is a data set", "outside the data set");
    build(&format!("{data}/features/text")).refused("is a feature store", "outside the feature store");
    build(&shop.run()).refused("is a run", "outside the run");
    build(&format!("{}/steps/x", shop.run())).refused("which is a run", "outside the run");
    build(&shop.at("store/generation-00000001")).refused("is a generation of a vector store", "");
    build(&shop.at("store")).refused("holds a vector store already", "");

    let export = run(&["export", &shop.run(), "-o", &format!("{}/export", shop.at("store"))]);
    export.refused("which is a vector store", "outside the vector store");
    run(&["synth", "-o", &format!("{}/more", shop.run()), "--set", "users=50"])
        .refused("which is a run", "outside the run");
    let log = shop.at("log.csv");
    fs::write(&log, "user,item,timestamp\n").unwrap();
    run(&["prepare", &log, "-o", &format!("{data}/inner")])
        .refused("which is a data set", "outside the data set");
    let encode = |dest: &str| run(&["features", "encode", &data, "--modality", "text", "--to", dest]);
    encode(&format!("{data}/title")).refused("which is a data set", "outside the data set");
    encode(&format!("{}/title", shop.run())).refused("which is a run", "outside the run");
    let train = |dir: &str| run(&crate::program::tiny(Path::new(dir), &[&format!("data.path={data}")]));
    train(&format!("{data}/runs")).refused("which is a data set", "outside the data set");
    train(&shop.run()).refused("which is a run", "outside the run");
    assert_eq!(names(Path::new(&data)), before);
    assert!(!Path::new(&shop.at("quickstart/more")).exists());
    // A store that is not there is not made by those who only change one.
    let none = shop.at("none");
    run(&["embed", "delete", "i1", "--store", &none]).refused("holds no vector store", "embed build");
    run(&["embed", "compact", "--store", &none]).refused("holds no vector store", "embed build");
    assert!(!Path::new(&none).exists());
    // Features have their place in a data set.
    run(&["features", "encode", &data, "--modality", "text", "--view", "title"]).fine();
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn markup_is_taken_out_where_the_data_set_has_none() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    let (mut log, mut items) = ("user,item,ts\n".to_owned(), "item,title,stock\n".to_owned());
    for user in 0..12 {
        for step in 0..6 {
            log += &format!("u{user},i{},{}\n", (user * 5 + step) % 10, 1_600_000_000 + step);
        }
    }
    for item in 0..10 {
        items += &format!(
            "i{item},<b>{} pot</b> number {item},{}\n",
            ["Tea", "Milk"][item % 2],
            ["yes", "no"][item % 2]
        );
    }
    fs::write(home.path().join("log.csv"), log).unwrap();
    fs::write(home.path().join("items.csv"), items).unwrap();
    let config = format!(
        "[data]\npath = \"{}\"\nmax_seq_len = 8\n[model]\nwidth = 8\n\
         [[model.views]]\nname = \"text\"\nkind = \"tokens\"\n[[model.branches]]\nname = \"text\"\nview = \"text\"\n\
         [train]\nbatch_users = 8\nepochs = 1\n[run]\ndir = \"{}\"\nname = \"run\"\n",
        at("data"),
        at(""),
    );
    fs::write(home.path().join("x.toml"), config).unwrap();
    let new = "{\"id\": \"a\", \"title\": \"<i>Green</i> tea &amp; pot\", \"stock\": \"yes\"}\n{\"id\": \"b\", \"title\": \"Green tea & pot\", \"stock\": [\"no\"]}\n";
    fs::write(home.path().join("new.jsonl"), new).unwrap();
    let (log, items, data) = (at("log.csv"), at("items.csv"), at("data"));
    run(&[
        "prepare",
        &log,
        "--items",
        &items,
        "--user-core",
        "1",
        "--item-core",
        "1",
        "--strip-html",
        "--keep-column",
        "stock",
        "-o",
        &data,
    ])
    .fine();
    run(&["features", "encode", &data, "--modality", "text"]).fine();
    run(&["train", &at("x.toml"), "--device", "cpu"]).fine();
    run(&["embed", "build", &at("run"), "--store", &at("store"), "--device", "cpu"]).fine();
    run(&["embed", "append", &at("run"), &at("new.jsonl"), "--store", &at("store"), "--device", "cpu"])
        .fine();
    let said =
        run(&["recommend", &at("run"), "--store", &at("store"), "--item", "a", "-k", "1", "--device", "cpu"])
            .fine();
    let list: Value = serde_json::from_str(said.stdout.lines().next().unwrap()).unwrap();
    let nearest = &list["items"][0];
    assert_eq!((&nearest["item"], &nearest["title"]), (&json!("b"), &json!("Green tea & pot")));
    assert!((nearest["score"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{nearest}");

    // What is kept for filters comes with the line.
    let ask = |filter: &str| {
        let ask =
            ["recommend", &at("run"), "--store", &at("store"), "--item", "a", "-k", "9", "--device", "cpu"];
        let said = run(&[&ask[..], &["--filter", filter]].concat()).fine();
        let list: Value = serde_json::from_str(said.stdout.lines().next().unwrap()).unwrap();
        let ids = list["items"].as_array().unwrap().iter();
        ids.map(|item| item["item"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ask("stock=no")[0], "b");
    assert!(!ask("stock=yes").contains(&"b".to_owned()));
    fs::write(home.path().join("wrong.jsonl"), "{\"id\": \"c\", \"stok\": \"yes\"}\n").unwrap();
    run(&["embed", "append", &at("run"), &at("wrong.jsonl"), "--store", &at("store"), "--device", "cpu"])
        .refused("unknown field `stok`: did you mean `stock`?", "");

    // What is made may be read by whom the umask says, as any other file.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (dir, file) = (home.path().join("plain"), home.path().join("plain.txt"));
        fs::create_dir(&dir).unwrap();
        fs::write(&file, "").unwrap();
        run(&["export", &at("run"), "--output", &at("export")]).fine();
        for made in ["data", "run", "store", "export"].map(|name| home.path().join(name)) {
            assert_eq!(mode(&made), mode(&dir), "{}", made.display());
            for entry in fs::read_dir(&made).unwrap().map(Result::unwrap) {
                let expected = if entry.path().is_dir() { &dir } else { &file };
                assert_eq!(mode(&entry.path()), mode(expected), "{}", entry.path().display());
            }
        }
    }
}

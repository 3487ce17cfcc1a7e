//! Choosing what may be listed: lists and figures under a choice are those of all items, less what was not chosen.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::module::Module;
use burn::tensor::Device;
use codistill::data::{Choice, Part};
use codistill::eval::{StoredRows, rows};
use codistill::recommend::ModelScorer;
use codistill::systems::CoDistill;
use codistill::train::run_dir::{RunDir, Which};
use codistill::train::{Setup, System};
use serde_json::Value;

use crate::program::{Said, path, run, trained};

const USERS: usize = 40;
const ITEMS: usize = 24;

/// A trained shop: ids from numbers, categories of several parts, kept columns for stock, price and maker.
struct Shop {
    home: tempfile::TempDir,
}

impl Shop {
    /// Trained once; nobody changes it.
    fn open() -> &'static Self {
        static SHOP: OnceLock<Shop> = OnceLock::new();
        SHOP.get_or_init(|| {
            let shop = Self { home: tempfile::tempdir().unwrap() };
            shop.prepare(&["--keep-column", "stock", "--keep-column", "price", "--keep-column", "made by"]).fine();
            let config = format!(
                "[data]\npath = \"{}\"\nmax_seq_len = 8\n[model]\nwidth = 8\n\
                 [[model.views]]\nname = \"id\"\nkind = \"id\"\n[[model.branches]]\nname = \"id\"\nview = \"id\"\n\
                 [train]\nbatch_users = 16\nepochs = 2\n[run]\ndir = \"{}\"\nname = \"shop\"\n",
                shop.path("data").display(),
                shop.home.path().display(),
            );
            fs::write(shop.path("shop.toml"), config).unwrap();
            run(&["train", path(&shop.path("shop.toml")), "--device", "cpu"]).fine();
            shop
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The log and the catalogue, prepared with further options.
    fn prepare(&self, more: &[&str]) -> Said {
        let mut log = "customer,sku,time\n".to_owned();
        for user in 0..USERS {
            for step in 0..8 {
                let item = (user * 5 + step * (1 + user % 3)) % ITEMS;
                writeln!(log, "c{user},{item:03},{}", 1_600_000_000 + user * 10 + step * 1000).unwrap();
            }
        }
        let mut items = "sku,title,genres,stock,price,made by\n".to_owned();
        for item in 0..ITEMS {
            let genres = ["Drama", "Drama|Crime", "\"Home, Garden\"", ""][item % 4];
            let stock = if item % 7 == 0 { "no" } else { "yes" };
            writeln!(items, "{item:03},Title {item},{genres},{stock},{}.50,Maker {}", item % 5, item % 2)
                .unwrap();
        }
        fs::write(self.path("log.csv"), log).unwrap();
        fs::write(self.path("items.csv"), items).unwrap();
        let (log, items, data) = (self.path("log.csv"), self.path("items.csv"), self.path("data"));
        let fixed = ["prepare", path(&log), "--items", path(&items), "--column", "user=customer"];
        let names = ["--column", "item=sku", "--user-core", "1", "--item-core", "1", "-o", path(&data)];
        run(&[&fixed[..], &names, more].concat())
    }

    fn ask(&self, more: &[&str]) -> Said {
        run(&[&["recommend", path(&self.path("shop")), "--device", "cpu"], more].concat())
    }

    fn judge(&self, more: &[&str]) -> Said {
        run(&[&["evaluate", path(&self.path("shop")), "--device", "cpu"], more].concat())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn items_of(line: &Value) -> Vec<&Value> {
    line["items"].as_array().unwrap().iter().collect()
}

fn id_of(item: &Value) -> &str {
    item["item"].as_str().unwrap()
}

/// Asserts that each chosen list is the full one without other items, cut to `k`: same scores to the bit, same order.
#[track_caller]
fn filtered(full: &str, chosen: &str, k: usize, allowed: impl Fn(&str) -> bool) {
    let (full, chosen) = (lines(full), lines(chosen));
    assert_eq!(full.len(), chosen.len());
    for (full, chosen) in full.iter().zip(&chosen) {
        let expected: Vec<&Value> =
            items_of(full).into_iter().filter(|item| allowed(id_of(item))).take(k).collect();
        assert!(!expected.is_empty());
        assert_eq!(items_of(chosen), expected);
        assert_eq!((&chosen["user"], &chosen["source"]), (&full["user"], &full["source"]));
    }
}

#[test]
fn lists_under_a_choice_equal_the_filtered_full_lists() {
    let shop = Shop::open();
    let histories = shop.file(
        "histories.jsonl",
        "{\"user\":\"a\",\"items\":[\"001\",\"005\"]}\n{\"user\":\"b\",\"items\":[\"023\"]}\n",
    );
    let some: Vec<String> = (0..ITEMS).filter(|i| i % 5 < 2).map(|i| format!("{i:03}")).collect();
    let table = shop.file(
        "some.csv",
        &format!("price,sku\n{}", some.iter().map(|i| format!("1,{i}\n")).collect::<String>()),
    );
    let plain = shop.file("some.txt", &some.join("\n\n"));
    let among = |id: &str| some.iter().any(|known| known == id);
    let stock = |id: &str| id.parse::<usize>().unwrap() % 7 != 0;
    let doors: [&[&str]; 5] = [
        &["--all"],
        &["--user", "c3", "--user", "c17"],
        &["--histories", &histories],
        &["--histories", &histories, "--allow-seen"],
        &["--item", "004"],
    ];
    for door in doors {
        let ask = |more: &[&str]| shop.ask(&[door, more].concat()).fine().stdout;
        let full = ask(&["-k", "24"]);
        for file in [&table, &plain] {
            filtered(&full, &ask(&["-k", "3", "--candidates", file]), 3, among);
        }
        filtered(&full, &ask(&["-k", "4", "--exclude", &plain]), 4, |id| !among(id));
        filtered(&full, &ask(&["-k", "24", "--filter", "stock=yes"]), 24, stock);
        let both = [
            "-k",
            "5",
            "--exclude",
            &plain,
            "--filter",
            "stock=yes",
            "--filter",
            "category=Drama,\"Home, Garden\"",
        ];
        filtered(&full, &ask(&both), 5, |id| {
            !among(id) && stock(id) && id.parse::<usize>().unwrap() % 4 != 3
        });
        let crime = ask(&["--filter", "category=Crime", "--filter", "made by=Maker 1"]);
        filtered(&full, &crime, 10, |id| id.parse::<usize>().unwrap() % 4 == 1);
    }
}

#[test]
fn what_the_files_and_filters_do_not_find_is_told_or_refused() {
    let shop = Shop::open();
    let half = shop.file("half.txt", "001\n7\n002\nnowhere\n");
    let said = shop.ask(&["--user", "c1", "--candidates", &half]).fine();
    assert!(
        said.stderr.contains("2 of 4 ids are no items here, such as 7, nowhere; 2 of the file's 4 ids stand in the catalogue, 1 more would; ids like 7 here, 007 there"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("2 of 24 items may be listed"), "{}", said.stderr);
    let said = shop.ask(&["--user", "c1", "--filter", "category=Drama,Horror"]).fine();
    assert!(said.stderr.contains("no item has \"Horror\" in category"), "{}", said.stderr);

    let none = shop.file("none.jsonl", "\"1\"\n\"2\"\n");
    let refused = |more: &[&str], what: &str, hint: &str| {
        shop.ask(&[&["--user", "c1"], more].concat()).refused(what, hint);
        shop.judge(more).refused(what, hint);
    };
    refused(
        &["--candidates", &none],
        "none of the file's 2 ids stands in the catalogue; ids like 1, 2 here, 001, 002 there",
        "dtype=str keeps leading zeros",
    );
    refused(&["--exclude", &none], "they differ in leading zeros", "dtype=str keeps leading zeros");
    let other = shop.file("other.txt", "red\nblue\n");
    refused(&["--candidates", &other], "ids like blue, red here", "one id a line");
    refused(&["--filter", "colour=red"], "no column `colour`", "stock, price, made by, category, title");
    refused(&["--filter", "colour=red"], "no column `colour`", "prepare --keep-column colour");
    refused(&["--filter", "category=drama"], "no item has \"drama\" in category", "category has \"Drama\"");
    refused(&["--filter", "stock=yes", "--filter", "title=Title 7"], "no item is left", "leave one out");
    let usage = shop.ask(&["--user", "c1", "--filter", "category"]);
    assert_eq!(usage.code, Some(1));
    assert!(usage.stderr.contains("FIELD=VALUE"), "{}", usage.stderr);
}

#[test]
fn prepare_refuses_columns_that_it_cannot_keep() {
    let shop = Shop { home: tempfile::tempdir().unwrap() };
    shop.prepare(&["--keep-column", "colour"])
        .refused("no column colour; found sku, title, genres, stock", "");
    shop.prepare(&["--keep-column", "title"]).refused("--keep-column title", "");
    shop.prepare(&["--keep-column", "stock", "--keep-column", "stock"]).refused("named twice", "");
    assert!(!shop.path("data").exists());
    shop.prepare(&[]).fine();
    let said =
        run(&["prepare", path(&shop.path("log.csv")), "--keep-column", "stock", "-o", path(&shop.path("d"))]);
    said.refused("there is no catalogue", "");
}

fn report(said: Said) -> Value {
    serde_json::from_str(&said.fine().stdout).unwrap()
}

#[test]
fn targets_outside_the_candidates_are_counted_apart_for_the_model_and_for_every_baseline() {
    let shop = Shop::open();
    let all = report(shop.judge(&["--json"]));
    let some_rows = shop.path("rows.parquet");
    let some = report(shop.judge(&["--filter", "stock=yes", "--rows", path(&some_rows), "--json"]));
    let (every, chosen) = (&all["evaluations"], &some["evaluations"]);
    assert_eq!(every.as_array().unwrap().len(), chosen.as_array().unwrap().len());
    assert!(every.as_array().unwrap().len() > 3, "the model and its baselines");
    let outside =
        (0..USERS).filter(|user| ((user * 5 + 7 * (1 + user % 3)) % ITEMS).is_multiple_of(7)).count();
    assert!(outside > 0 && outside < USERS);
    for evaluation in chosen.as_array().unwrap() {
        let protocol = &evaluation["protocol"];
        assert_eq!(protocol["targets"], USERS - outside);
        assert_eq!(protocol["chosen"]["outside"], outside);
        assert_eq!(protocol["chosen"]["items"], 20);
        assert_eq!(protocol["items"], ITEMS);
    }
    for evaluation in every.as_array().unwrap() {
        assert!(evaluation["protocol"].get("chosen").is_none());
    }
    let text = shop.judge(&["--filter", "stock=yes"]).fine();
    let told =
        format!("20 of 24 items (--filter stock=yes; {outside} targets are none of them and are left out)");
    assert!(text.stdout.contains(&told), "{}", text.stdout);
    assert!(text.stderr.contains("no rows written"), "{}", text.stderr);

    // Fewer candidates can only lift a target; the rows say by how much.
    let full = shop.path("full.parquet");
    shop.judge(&["--rows", path(&full)]).fine();
    let read = |path: &Path| -> StoredRows { rows::read(path).unwrap() };
    let (full, some) = (read(&full), read(&some_rows));
    for (name, rows) in &some.scored {
        let (_, every) = full.scored.iter().find(|(other, _)| other == name).unwrap();
        for row in rows {
            let same = every.iter().find(|r| r.user == row.user).unwrap();
            assert_eq!(same.item, row.item);
            assert!(row.rank <= same.rank && row.candidates < same.candidates);
        }
    }
    // Nobody's target is among what is left.
    let none: String = (0..ITEMS)
        .filter(|item| !(0..USERS).any(|u| (u * 5 + 7 * (1 + u % 3)) % ITEMS == *item))
        .map(|item| format!("{item:03}\n"))
        .collect();
    if !none.is_empty() {
        let file = shop.file("none.txt", &none);
        shop.judge(&["--candidates", &file]).refused("none of the 40 test targets is among the", "");
    }
}

/// The pass over inner products and the scores written down rank the same candidates alike.
#[test]
fn ranks_under_a_choice_are_counted_among_its_scores() {
    let home = tempfile::tempdir().unwrap();
    let root = trained(home.path());
    let (at, checkpoint) = RunDir::new(&root).checkpoint(&Which::Best).unwrap();
    let system = CoDistill::open(Setup::open(checkpoint.config.clone(), &Device::flex()).unwrap()).unwrap();
    let model = checkpoint.restore(&at, system.new_model()).unwrap().valid();
    let dataset = &system.setup.dataset;
    let s = system.setup.config.data.max_seq_len;
    let vectors = system.catalogue(&model);
    let scorer = ModelScorer::new(&model, &vectors, None, Some(dataset), s, &system.setup.device);
    let items = dataset.items.count();
    for keep in [2usize, 3, 7] {
        let allowed: Vec<bool> = (0..=items).map(|i| i > 0 && i % keep != 0).collect();
        let choice = Choice::new(&allowed, Vec::new());
        let found = system.evaluate(&model, Part::Test, Some(&choice)).unwrap();
        let targets = dataset.targets(Part::Test);
        let targets: Vec<_> = targets.iter().filter(|t| allowed[t.item.index()]).collect();
        let histories: Vec<&[u32]> = targets.iter().map(|t| dataset.history(t)).collect();
        let all = scorer.score_histories(&histories);
        for (scored, scores) in found.scored.iter().zip(&all) {
            assert_eq!(scored.rows.len(), targets.len());
            for ((row, target), scores) in scored.rows.iter().zip(&targets).zip(scores.chunks(items + 1)) {
                let history: BTreeSet<u32> = dataset.history(target).iter().copied().collect();
                let t = scores[target.item.index()];
                let candidates: Vec<u32> =
                    (1..=items as u32).filter(|&i| allowed[i as usize] && !history.contains(&i)).collect();
                assert_eq!((row.item, row.candidates as usize), (target.item.0, candidates.len()));
                if history.contains(&target.item.0) {
                    assert!(row.missed);
                    continue;
                }
                // Sums in f32 and in f64 may differ in the last bits: such neighbours leave a rank open.
                let near = 1e-5 * (1.0 + t.abs());
                let above = candidates.iter().filter(|&&i| scores[i as usize] > t + near).count() as f64;
                let beside =
                    candidates.iter().filter(|&&i| (scores[i as usize] - t).abs() <= near).count() as f64;
                assert!(
                    row.rank >= 1.0 + above && row.rank <= above + beside,
                    "{} {above} {beside}",
                    row.rank
                );
            }
        }
    }
}

#[test]
fn a_store_lists_the_same_items_under_a_choice() {
    let home = tempfile::tempdir().unwrap();
    let root = trained(home.path());
    let store = home.path().join("store");
    run(&["embed", "build", path(&root), "--store", path(&store), "--device", "cpu"]).fine();
    let file = home.path().join("some.jsonl");
    let some: String = (1..=80).filter(|i| i % 3 == 1).map(|i| format!("{{\"item\": \"i{i}\"}}\n")).collect();
    fs::write(&file, some).unwrap();
    for door in [&["--all"][..], &["--item", "i5"]] {
        let ask = |more: &[&str]| {
            let fixed = ["recommend", path(&root), "--store", path(&store), "--device", "cpu"];
            run(&[&fixed[..], door, more].concat()).fine().stdout
        };
        let chosen = ask(&["-k", "6", "--candidates", path(&file)]);
        filtered(&ask(&["-k", "80"]), &chosen, 6, |id| id[1..].parse::<usize>().unwrap() % 3 == 1);
    }
}

#[test]
fn an_id_that_is_written_otherwise_is_told_with_the_one_that_is_meant() {
    let shop = Shop::open();
    shop.ask(&["--item", "7"]).refused("`7` is no item of the data set", "did you mean `007`?");
    run(&["inspect", path(&shop.path("shop")), "item", "7", "--device", "cpu"])
        .refused("`7` is no item of the data set", "did you mean `007`?");
    shop.ask(&["--item", "chair"]).refused("`chair` is no item", "ids are the source's own");
    let histories = shop.file("strange.jsonl", "{\"user\":\"a\",\"items\":[\"1\",\"2\"]}\n{\"user\":\"b\",\"items\":null}\n{\"user\":\"c\",\"items\":[\" 003 \"]}\n");
    let said = shop.ask(&["--histories", &histories]).fine();
    assert!(
        said.stderr.contains("ids like 1, 2 here, 001, 002 there: they differ in leading zeros"),
        "{}",
        said.stderr
    );
    let sources: Vec<Value> = lines(&said.stdout).iter().map(|line| line["source"].clone()).collect();
    assert_eq!(sources, ["popular", "popular", "model"]);
    // A value with a comma that came apart, and how it is written.
    shop.ask(&["--user", "c1", "--filter", "category=Home, Garden"])
        .refused("no item has", "--filter 'category=\"Home, Garden\"'");
}

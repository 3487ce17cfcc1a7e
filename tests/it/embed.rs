//! New items without retraining: exact vectors, refusals, and the way from a JSON line to a list.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use codistill::embed::{ColdId, Embedder, NewItem, Snapshot};
use codistill::model::Recommender;
use codistill::params;
use codistill::systems::CoDistill;
use codistill::train::run_dir::{RunDir, Which};
use codistill::train::{Setup, System};
use serde_json::{Value, json};

use crate::encode;
use crate::program::{path, run, tiny, trained};

/// A trained run, opened as the commands open it.
struct Opened {
    system: CoDistill,
    model: Recommender,
    hash: String,
}

impl Opened {
    fn at(root: &Path) -> Self {
        let (path, checkpoint) = RunDir::new(root).checkpoint(&Which::Best).unwrap();
        let system =
            CoDistill::open(Setup::open(checkpoint.config.clone(), &Device::flex()).unwrap()).unwrap();
        let model = checkpoint.restore(&path, system.new_model()).unwrap().valid();
        Self { system, model, hash: checkpoint.hash }
    }

    fn embedder(&self) -> Embedder<'_> {
        Embedder { system: &self.system, model: &self.model, hash: &self.hash }
    }

    /// A new item with the content of a catalogue item.
    fn copy_of(&self, item: u32, id: &str) -> NewItem {
        let mut new = NewItem { id: id.to_owned(), title: format!("copy of {item}"), ..NewItem::default() };
        for (view, source) in self.system.setup.config.model.views.iter().zip(&self.system.views) {
            let Some(store) = source.as_ref().map(|s| &s.store) else { continue };
            let n = store.length(item);
            let mut tokens = vec![0.0; n * store.width()];
            store.gather_into(item, n, &mut tokens);
            if n > 0 {
                new.features.insert(view.name.clone(), tokens);
            }
        }
        new
    }
}

/// The JSON line of an item.
fn line(item: &NewItem, width: usize) -> String {
    let features: serde_json::Map<String, Value> = item
        .features
        .iter()
        .map(|(view, tokens)| (view.clone(), json!(tokens.chunks(width).collect::<Vec<_>>())))
        .collect();
    json!({"id": item.id, "title": item.title, "features": features}).to_string()
}

fn vector(snapshot: &Snapshot, branch: usize, item: u32) -> &[f32] {
    let d = snapshot.description.width;
    &snapshot.vectors[branch][(item as usize - 1) * d..][..d]
}

#[track_caller]
fn close(a: &[f32], b: &[f32], what: &str) {
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(a.len() == b.len() && worst <= 1e-6, "{what}: {worst}");
}

#[test]
fn a_new_item_has_the_vectors_of_a_full_export_whatever_comes_with_it() {
    let home = tempfile::tempdir().unwrap();
    let opened = Opened::at(&trained(home.path()));
    let whole = opened.system.catalogue(&opened.model);
    let whole: Vec<Vec<f32>> = whole.branches.into_iter().map(params::host).collect();
    let store = home.path().join("store");
    let built = opened.embedder().build(&store, ColdId::Drop, 20).unwrap();
    let items = [3u32, 17, 40, 41, 77];
    let copies: Vec<NewItem> = items.iter().map(|&i| opened.copy_of(i, &format!("new{i}"))).collect();
    // Two alone, the rest together, in another order.
    opened.embedder().append(&store, &copies[..1]).unwrap();
    opened.embedder().append(&store, &copies[1..2]).unwrap();
    let mut rest = copies[2..].to_vec();
    rest.reverse();
    let appended = opened.embedder().append(&store, &rest).unwrap();
    let branches = &opened.system.setup.config.model.branches;
    let d = appended.description.width;
    for item in items {
        let number = appended.item(&format!("new{item}")).unwrap();
        for (b, branch) in branches.iter().enumerate() {
            let found = vector(&appended, b, number);
            if branch.name == "id" {
                assert!(found.iter().all(|&v| v == 0.0) && !appended.rows[number as usize - 1].live[b]);
            } else {
                close(found, &whole[b][item as usize * d..][..d], &format!("{} of {item}", branch.name));
            }
        }
    }
    for (b, vectors) in built.vectors.iter().enumerate() {
        assert_eq!(appended.vectors[b][..vectors.len()], vectors[..], "rows that were there");
        // An item of the catalogue without training has no ID vector worth keeping.
        for item in (1..=80u32).filter(|&item| built.rows[item as usize - 1].live[b]) {
            close(vector(&built, b, item), &whole[b][item as usize * d..][..d], &format!("item {item}"));
        }
    }
    // An item of the catalogue that comes again keeps its ID vector: it is replaced by itself.
    let again = opened.copy_of(17, &opened.system.setup.dataset.items.ids[17]);
    let replaced = opened.embedder().append(&store, &[again]).unwrap();
    assert_eq!(replaced.rows.len(), appended.rows.len());
    for b in 0..branches.len() {
        close(vector(&replaced, b, 17), vector(&built, b, 17), "item 17");
    }
}

#[test]
fn a_title_and_a_picture_become_the_vectors_that_the_catalogue_has() {
    let home = tempfile::tempdir().unwrap();
    let data = encode::prepared(home.path());
    let bert = home.path().join("bert");
    encode::copy_folder(&encode::fixtures("bert"), &bert);
    run(&encode::features(&data, &["--modality", "text", "--encoder", path(&bert)])).fine();
    let vit = encode::fixtures("vit");
    run(&encode::features(&data, &["--modality", "image", "--encoder", path(&vit)])).fine();
    let root = encode::trained_on(&data, home.path());
    let store = home.path().join("store");
    run(&["embed", "build", path(&root), "--store", path(&store)]).fine();
    let opened = Opened::at(&root);
    let items = &opened.system.setup.dataset.items;
    let copies = [3usize, 60, 140];
    let file = home.path().join("new.jsonl");
    let mut text = String::new();
    for item in copies {
        // A relative path starts at the file's folder.
        let image = items.picture(item as u32).unwrap();
        let image = image.strip_prefix(home.path()).unwrap();
        let line = json!({"id": format!("copy{item}"), "title": items.titles[item], "image": image});
        writeln!(text, "{line}").unwrap();
    }
    // Item 17's picture is cut off, so that this one has a title only.
    let broken = json!({"id": "broken", "title": "word", "image": "pictures/17.png"});
    writeln!(text, "{broken}").unwrap();
    fs::write(&file, text).unwrap();
    let append = |more: &[&str]| {
        let mut args = vec!["embed", "append", path(&root), path(&file), "--store", path(&store)];
        args.extend(more);
        run(&args)
    };
    fs::rename(&bert, home.path().join("moved")).unwrap();
    append(&[]).refused("view `text`", "--encoder text=PATH");
    let other = format!("text={}", path(&encode::fixtures("clip")));
    append(&["--encoder", &other]).refused("come from another encoder", "use the encoder that made them");
    append(&["--encoder", "sound=x"]).refused("`sound` is no view", "VIEW=PATH");
    let moved = format!("text={}", path(&home.path().join("moved")));
    let said = append(&["--encoder", &moved]).fine();
    assert!(said.stderr.contains("item \"broken\", view `image`: damaged"), "{}", said.stderr);

    let snapshot = Snapshot::open(&store).unwrap();
    let whole = opened.system.catalogue(&opened.model);
    let whole: Vec<Vec<f32>> = whole.branches.into_iter().map(params::host).collect();
    let d = snapshot.description.width;
    for item in copies {
        let number = snapshot.item(&format!("copy{item}")).unwrap();
        for (b, branch) in opened.system.setup.config.model.branches.iter().enumerate() {
            if branch.name != "id" {
                let (found, wanted) = (vector(&snapshot, b, number), &whole[b][item * d..][..d]);
                // Another batch composition may round a half-precision feature to its neighbour.
                let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst <= 2e-3, "{} of {item}: {worst}", branch.name);
            }
        }
    }
    let broken = snapshot.item("broken").unwrap();
    assert_eq!(snapshot.rows[broken as usize - 1].missing, ["image"]);
    let said = run(&["recommend", path(&root), "--store", path(&store), "--all", "-k", "204"]).fine();
    assert!(said.stdout.contains("\"copy140\"") && said.stdout.contains("\"broken\""));
}

#[test]
fn another_models_store_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let first = trained(home.path());
    run(&tiny(home.path(), &["seed=2"])).fine();
    let store = home.path().join("store");
    run(&["embed", "build", path(&first), "--store", path(&store)]).fine();
    let second = home.path().join("quickstart-2");
    let said = run(&["recommend", path(&second), "--store", path(&store), "--user", "u1"]);
    said.refused("was made by another model", "build a store with this model");
    let said = run(&["embed", "build", path(&first), "--store", path(&store)]);
    said.refused("holds a vector store already", "choose another --store");
    let none = home.path().join("none");
    run(&["recommend", path(&first), "--store", path(&none), "--user", "u1"])
        .refused("holds no vector store", "codistill embed build");
    let file = store.join("generation-00000001/vectors.safetensors");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    run(&["recommend", path(&first), "--store", path(&store), "--user", "u1"])
        .refused("does not match its manifest", "build it anew");
}

#[test]
fn lines_that_do_not_fit_leave_the_store_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let model = trained(home.path());
    let store = home.path().join("store");
    run(&["embed", "build", path(&model), "--store", path(&store)]).fine();
    let items = home.path().join("new.jsonl");
    let append = |text: &str| {
        fs::write(&items, text).unwrap();
        run(&["embed", "append", path(&model), path(&items), "--store", path(&store)])
    };
    append("{\"id\": 1}\n{\"id\": 1}\n")
        .refused("new.jsonl:2: the item \"1\" stands in line 1", "one line per item");
    append("{\"id\": 1, \"features\": {\"text\": [1, 2]}}").refused("2 values instead of 32", "a line is");
    append("{\"id\": 1, \"features\": {\"txt\": [1]}}").refused("no token view `txt`", "a line is");
    append("").refused("lists no items", "JSON line");
    append("{").refused("new.jsonl:1", "a line is");
    let huge = vec!["1e30"; 32].join(",");
    append(&format!("{{\"id\": 1, \"features\": {{\"text\": [{huge}]}}}}")).refused("can't be stored", "");
    run(&["embed", "delete", "none", "--store", path(&store)]).refused("\"none\" is no item", "status");
    let said = run(&["embed", "status", "--store", path(&store), "--json"]).fine();
    let status: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((status["generation"].as_u64(), status["appended"].as_u64()), (Some(1), Some(0)));
    assert_eq!(fs::read_dir(&store).unwrap().count(), 2, "a generation and the lock");
}

#[test]
fn a_line_becomes_a_recommendation_at_once_and_a_deletion_takes_it_away() {
    let home = tempfile::tempdir().unwrap();
    let root = trained(home.path());
    let opened = Opened::at(&root);
    let store = home.path().join("store");
    run(&["embed", "build", path(&root), "--store", path(&store)]).fine();
    let lists = |more: &[&str]| -> Vec<Value> {
        let mut args = vec!["recommend", path(&root), "--store", path(&store), "-k", "81"];
        args.extend(more);
        let said = run(&args).fine();
        let line: Value = serde_json::from_str(said.stdout.lines().next().unwrap()).unwrap();
        line["items"].as_array().unwrap().clone()
    };
    let before = lists(&["--user", "u1"]);
    // Without new items the lists are those of the model.
    let plain = run(&["recommend", path(&root), "-k", "81", "--user", "u1"]).fine();
    let plain: Value = serde_json::from_str(plain.stdout.lines().next().unwrap()).unwrap();
    // Save for items of the catalogue that no training has seen.
    let trained: Vec<&Value> = before.iter().filter(|item| item["branches"]["id"].is_f64()).collect();
    let ids: Vec<&Value> = trained.iter().map(|item| &item["item"]).collect();
    let same = plain["items"].as_array().unwrap().iter().filter(|item| ids.contains(&&item["item"]));
    assert!(trained.len() > 60 && same.eq(trained.iter().copied()));

    let file = home.path().join("new.jsonl");
    let mut text = String::new();
    for (n, item) in [5u32, 30].into_iter().enumerate() {
        writeln!(text, "{}", line(&opened.copy_of(item, &format!("new{n}")), 32)).unwrap();
    }
    fs::write(&file, text).unwrap();
    run(&["embed", "append", path(&root), path(&file), "--store", path(&store)]).fine();
    let after = lists(&["--user", "u1"]);
    let is_new = |item: &&Value| item["item"].as_str().unwrap().starts_with("new");
    assert_eq!(after.iter().filter(is_new).count(), 2);
    // Items that were there keep their scores and their order.
    let old: Vec<&Value> = after.iter().filter(|item| !is_new(item)).collect();
    assert!(old.iter().zip(&before).all(|(a, b)| *a == b));
    let new = after.iter().find(is_new).unwrap();
    assert!(new["branches"]["id"].is_null() && new["branches"]["text"].is_f64() && new["score"].is_f64());

    // A history of new items only is served by the branches that know them.
    let histories = home.path().join("histories.jsonl");
    fs::write(&histories, "{\"user\": \"x\", \"items\": [\"new0\", \"new1\"]}\n").unwrap();
    let list = lists(&["--histories", path(&histories)]);
    assert_eq!(list.len(), 80);
    assert!(list[0]["branches"]["id"].is_null() && list[0]["score"] != list[40]["score"]);

    // Near in content is near in the branches that read it.
    let near = run(&["recommend", path(&root), "--store", path(&store), "--item", "new1", "-k", "1"]).fine();
    let near: Value = serde_json::from_str(&near.stdout).unwrap();
    assert_eq!(near["items"][0]["item"], "i30");
    assert!(near["items"][0]["score"].as_f64() > Some(0.9999));

    run(&["embed", "delete", "new0", "i7", "--store", path(&store)]).fine();
    let left = lists(&["--user", "u1"]);
    let there = |id: &str| left.iter().any(|item| item["item"] == id);
    assert!(!there("new0") && !there("i7") && there("new1"));
    run(&["embed", "compact", "--store", path(&store)]).fine();
    assert_eq!(lists(&["--user", "u1"]), left);
}

#[test]
fn inspect_lists_neighbours_by_branch_and_draws_them() {
    let home = tempfile::tempdir().unwrap();
    run(&tiny(home.path(), &["data.synth.pictures=true"])).fine();
    let root = home.path().join("quickstart");
    let png = home.path().join("i3.png");
    let said = run(&["inspect", path(&root), "item", "i3", "-k", "4", "--png", path(&png)]).fine();
    for section in ["id", "text", "image", "all"] {
        assert!(said.stdout.contains(&format!("\n{section}\n")), "{}", said.stdout);
    }
    let sheet = image::open(&png).unwrap();
    // Four rows of the item and four others, 96 pixels each, 2 between and around.
    assert_eq!((sheet.width(), sheet.height()), (5 * 98 + 2, 4 * 98 + 2));
    let said = run(&["inspect", path(&root), "item", "i3", "-k", "4", "--json"]).fine();
    let shown: Value = serde_json::from_str(&said.stdout).unwrap();
    let plain = run(&["recommend", path(&root), "--item", "i3", "--branch", "text", "-k", "4"]).fine();
    let plain: Value = serde_json::from_str(&plain.stdout).unwrap();
    for n in 0..4 {
        assert_eq!(shown["nearest"][1]["items"][n]["item"], plain["items"][n]["item"]);
    }
    run(&["inspect", path(&root), "item", "none"]).refused("`none` is no item", "ids are the source's own");

    // The same pictures stand in TensorBoard's projector and image tab.
    let board = root.join("tensorboard");
    let config = fs::read_to_string(board.join("projector_config.pbtxt")).unwrap();
    assert_eq!(config.matches("single_image_dim: 48").count(), 6, "{config}");
    let sprite = image::open(board.join("projector/items_text.sprite.png")).unwrap();
    assert_eq!((sprite.width(), sprite.height()), (9 * 48, 9 * 48));
    let events: Vec<u8> = fs::read_dir(&board)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file() && path(p).contains("tfevents"))
        .flat_map(|p| fs::read(p).unwrap())
        .collect();
    let holds = |what: &[u8]| events.windows(what.len()).filter(|w| *w == what).count();
    assert_eq!((holds(b"lists/u"), holds(b"\x89PNG")), (4, 4));
}

/// Figures of the service level; run it alone: `cargo test --release -- --ignored --nocapture level`.
#[test]
#[ignore = "a benchmark"]
fn service_level_from_a_line_to_a_list() {
    let home = tempfile::tempdir().unwrap();
    let mut args = tiny(home.path(), &["train.epochs=3"]);
    for (small, full) in [
        ("data.synth.users=120", "data.synth.users=3000"),
        ("data.synth.items=80", "data.synth.items=2000"),
        ("model.width=8", "model.width=32"),
        ("train.batch_users=16", "train.batch_users=128"),
        ("train.epochs=2", "train.epochs=3"),
    ] {
        args.iter_mut().filter(|arg| *arg == small).for_each(|arg| *arg = full.to_owned());
    }
    run(&args).fine();
    let root = home.path().join("quickstart");
    let opened = Opened::at(&root);
    let store = home.path().join("store");
    run(&["embed", "build", path(&root), "--store", path(&store)]).fine();
    let vectors = opened.system.catalogue(&opened.model);
    let dataset = &opened.system.setup.dataset;
    let s = opened.system.setup.config.data.max_seq_len;
    let scorer = codistill::recommend::ModelScorer::new(
        &opened.model,
        &vectors,
        None,
        None,
        s,
        &opened.system.setup.device,
    );
    let mut seconds = Vec::new();
    let mut appends = Vec::new();
    let mut found = 0;
    for n in 0..100usize {
        // A planted user: the new item has the content that the text and image branches like best for it.
        let user = n * 29;
        let history = dataset.sequences.items_of(user).to_vec();
        let history = codistill::recommend::History::new("", history);
        let all =
            codistill::recommend::top_k(&scorer, &[history], &codistill::recommend::Listing::best(2000))
                .remove(0);
        let liking = |r: &codistill::recommend::Recommendation| r.branches[1] + r.branches[2];
        let best = all.iter().max_by(|a, b| liking(a).total_cmp(&liking(b))).unwrap().item;
        let text = line(&opened.copy_of(best, &format!("new{n}")), 32);
        let file = home.path().join("new.jsonl");
        let start = Instant::now();
        fs::write(&file, text).unwrap();
        run(&["embed", "append", path(&root), path(&file), "--store", path(&store), "--device", "cpu"])
            .fine();
        appends.push(start.elapsed().as_secs_f64());
        let name = &dataset.users[user];
        let said =
            run(&["recommend", path(&root), "--store", path(&store), "--user", name, "--device", "cpu"]);
        seconds.push(start.elapsed().as_secs_f64());
        found += usize::from(said.fine().stdout.contains(&format!("\"new{n}\"")));
    }
    let quantile = |values: &mut Vec<f64>, q: f64| {
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * q).round() as usize]
    };
    println!(
        "line to list, 100 items: p50 {:.2} s, p95 {:.2} s, most {:.2} s; append alone p95 {:.2} s; {found} of 100 in the first ten",
        quantile(&mut seconds, 0.5),
        quantile(&mut seconds, 0.95),
        quantile(&mut seconds, 1.0),
        quantile(&mut appends, 0.95)
    );
    let lists = home.path().join("lists.jsonl");
    let said = run(&[
        "recommend",
        path(&root),
        "--store",
        path(&store),
        "--all",
        "-v",
        "--device",
        "cpu",
        "--output",
        path(&lists),
    ])
    .fine();
    println!("{}", said.stderr);
    assert!(quantile(&mut seconds, 0.95) < 5.0 && found >= 90, "{found}");
}

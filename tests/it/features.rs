//! Features and pictures that are not what they seem: ids that don't meet, stand-ins for missing ones, pictures that
//! lie elsewhere, options that can't act.

use std::fs;
use std::path::{Path, PathBuf};

use codistill::data::Dataset;
use codistill::features::FeatureStore;

use super::bad_input::npy;
use super::encode::fixtures;
use super::program::{Said, codistill, path, run};

/// A folder with a log in which three users take items `ids` in turn.
struct Shop {
    home: tempfile::TempDir,
    ids: Vec<String>,
}

impl Shop {
    fn new<S: AsRef<str>>(ids: &[S]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut log = "user,item,ts\n".to_owned();
        for user in 0..3 {
            for (n, id) in ids.iter().enumerate() {
                log += &format!("u{user},{},{}\n", id.as_ref(), 1_600_000_000 + n);
            }
        }
        fs::write(home.path().join("log.csv"), log).unwrap();
        Self { home, ids: ids.iter().map(|id| id.as_ref().to_owned()).collect() }
    }

    fn numbered(count: usize) -> Self {
        Self::new(&(1..=count).map(|n| n.to_string()).collect::<Vec<_>>())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// A catalogue with the picture that `image` gives for the item's place.
    fn catalogue(&self, image: impl Fn(usize) -> String) -> String {
        let rows: String =
            self.ids.iter().enumerate().map(|(n, id)| format!("{id},Item {id},{}\n", image(n))).collect();
        self.put("items.csv", format!("item_id,title,image\n{rows}"))
    }

    /// Prepares the data set `name` in the working directory `dir`.
    fn prepare(&self, dir: &Path, name: &str, more: &[&str]) -> Said {
        let (log, out) = (self.path("log.csv"), self.path(name));
        let mut args = vec!["prepare", path(&log), "-o", path(&out), "--user-core", "1", "--item-core", "1"];
        args.extend(more);
        codistill(&args).current_dir(dir).output().unwrap().into()
    }

    fn prepared(&self, more: &[&str]) -> PathBuf {
        self.prepare(self.home.path(), "data", more).fine();
        self.path("data")
    }

    /// A matrix `[n, width]` of `value(row, column)`.
    fn matrix(&self, name: &str, rows: usize, width: usize, value: impl Fn(usize, usize) -> f32) -> String {
        let values: Vec<f32> = (0..rows * width).map(|k| value(k / width, k % width)).collect();
        self.tensor(name, &format!("({rows}, {width})"), &values)
    }

    fn tensor(&self, name: &str, shape: &str, values: &[f32]) -> String {
        npy(&self.path(name), shape, values);
        self.path(name).display().to_string()
    }

    fn import(&self, more: &[&str]) -> Said {
        let data = self.path("data");
        run(&[&["features", "import", path(&data)], more].concat())
    }

    /// The vit fixture over the catalogue's pictures, with features in view `image`.
    fn encode(&self, more: &[&str]) -> Said {
        let (data, vit) = (self.path("data"), fixtures("vit"));
        let image = ["--modality", "image", "--encoder", path(&vit), "--device", "cpu", "--no-progress"];
        run(&[&["features", "encode", path(&data)], &image[..], more].concat())
    }

    fn store(&self, view: &str) -> FeatureStore {
        FeatureStore::open(&self.path("data/features").join(view)).unwrap()
    }

    /// Nothing in the data set's features folder but what is named.
    #[track_caller]
    fn features_are(&self, names: &[&str]) {
        let entries = fs::read_dir(self.path("data/features")).into_iter().flatten();
        let mut found: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        found.sort();
        assert_eq!(found, names);
    }
}

fn first(store: &FeatureStore, item: u32) -> Vec<f32> {
    let mut out = vec![0.0; store.width()];
    store.gather_into(item, 1, &mut out);
    out
}

/// Picture `name` of the fixtures.
fn picture(name: &str) -> Vec<u8> {
    fs::read(fixtures("pictures").join(name)).unwrap()
}

const KINDS: [&str; 4] = ["plain.png", "baseline.jpg", "grey.jpg", "alpha.png"];

#[test]
fn an_index_column_is_never_taken_for_the_ids() {
    let shop = Shop::numbered(5);
    shop.prepared(&[]);
    // As pandas writes a frame that begins with item 2: row numbers in front, ids behind.
    let order = [2usize, 3, 4, 5, 1];
    let matrix =
        shop.matrix("text.npy", 5, 3, |row, k| [order[row] as f32, 10.0 * order[row] as f32, 0.5][k]);
    let rows: String = order.iter().enumerate().map(|(n, id)| format!("{n},{id}\n")).collect();
    for (view, header) in [("text", ",item_id"), ("text2", "Unnamed: 0,movieId"), ("text3", "index,Item ID")]
    {
        let ids = shop.put(&format!("{view}.csv"), format!("{header}\n{rows}"));
        let said = shop.import(&["--view", view, "--matrix", &matrix, "--ids", &ids]).fine();
        assert!(said.stderr.contains("5 of 5 items matched"), "{}", said.stderr);
        let column = header.split_once(',').unwrap().1;
        assert!(said.stderr.contains(&format!("column `{column}` (guessed")), "{}", said.stderr);
        let store = shop.store(view);
        for item in 1..=5u32 {
            let id = shop.ids[item as usize - 1].parse::<f32>().unwrap();
            assert_eq!(first(&store, item), [id, 10.0 * id, 0.5], "{view}, item {item}");
        }
        assert_eq!(store.about()["ids"]["read"]["guessed"], true);
    }
    let unnamed = shop.put("unnamed.csv", format!(",\n{rows}"));
    shop.import(&["--view", "x", "--matrix", &matrix, "--ids", &unnamed])
        .refused("several columns", "--id-column NAME");
    let strange = shop.put("strange.csv", format!("n,what\n{rows}"));
    let import = ["--view", "x", "--matrix", &matrix, "--ids", &strange];
    shop.import(&import).refused("several columns", "\"n\", \"what\"");
    shop.import(&[&import[..], &["--id-column", "what"]].concat()).fine();
    assert_eq!(first(&shop.store("x"), 1), first(&shop.store("text"), 1));
    // The row numbers themselves, which meet four of five items.
    let numbers = shop.put("numbers.txt", "0\n1\n2\n3\n4\n");
    let numbers = ["--view", "y", "--matrix", &matrix, "--ids", &numbers];
    let said = shop.import(&numbers).fine();
    assert!(said.stderr.contains("are they the numbers of the rows"), "{}", said.stderr);
    let strict = [&["--view", "z", "--strict"], &numbers[2..]].concat();
    shop.import(&strict).refused("are they the numbers of the rows", "--strict");
    shop.features_are(&["text", "text2", "text3", "x", "y"]);
}

#[test]
fn ids_that_differ_in_writing_are_refused_with_the_cause() {
    let shop = Shop::new(&["0108775015", "0108775044", "0110065001"]);
    shop.prepared(&[]);
    let matrix = shop.matrix("m.npy", 3, 1, |row, _| row as f32 + 1.0);
    let table = [
        ("leading zeros", "108775015\n108775044\n110065001\n", "leading zeros", "dtype=str"),
        (".0", "0108775015.0\n0108775044.0\n0110065001.0\n", "a number's decimals", "Int64"),
        ("white space", "0108775015 \n 0108775044\n0110065001\t\n", "white space", "strip"),
        ("prefix", "item_0108775015\nitem_0108775044\nitem_0110065001\n", "a prefix", "without it"),
        (
            "extension",
            "0108775015.jpg\n0108775044.jpg\n0110065001.jpg\n",
            "a file's extension",
            "file's name",
        ),
        ("null-like", "nan\nNone\nNULL\n", "0108775015", ""),
    ];
    for (name, ids, cause, hint) in table {
        let ids = shop.put("ids.txt", ids);
        let said = shop.import(&["--view", "text", "--matrix", &matrix, "--ids", &ids]);
        said.refused("none of its 3 ids is an item of the data set", cause);
        said.refused("none of its 3 ids", hint);
        println!("pass  {name}");
    }
    let mixed = Shop::new(&["B00x", "B00y", "B00z"]);
    mixed.prepared(&[]);
    let matrix = mixed.matrix("m.npy", 3, 1, |row, _| row as f32 + 1.0);
    let ids = mixed.put("ids.txt", "B00X\nB00Y\nB00Z\n");
    mixed
        .import(&["--view", "text", "--matrix", &matrix, "--ids", &ids])
        .refused("none of its 3", "letter case");
    // One of three: told, and an error only where it is asked to be one.
    let ids = mixed.put("ids.txt", "B00x\nB00Y\nB00z\n");
    let import = ["--view", "text", "--matrix", &matrix, "--ids", &ids];
    mixed.import(&[&import[..], &["--strict"]].concat()).refused("differ in letter case", "--strict");
    mixed.features_are(&[]);
    let said = mixed.import(&import).fine();
    assert!(
        said.stderr.contains("warning: 2 of the data set's 3 items stand in the id table, 1 more would"),
        "{}",
        said.stderr
    );
}

#[test]
fn rows_of_zeros_and_of_no_numbers_can_count_as_missing() {
    let shop = Shop::numbered(6);
    shop.prepared(&[]);
    let ids = shop.put("ids.json", "[1, 2, 3, 4, 5, 6]");
    let stand_in =
        |value: f32| move |row: usize, k: usize| if row % 3 == 1 { value } else { (row + k) as f32 + 1.0 };
    let zeros = shop.matrix("zeros.npy", 6, 4, stand_in(0.0));
    let nan = shop.matrix("nan.npy", 6, 4, stand_in(f32::NAN));
    let import = |view: &str, matrix: &str, more: &[&str]| {
        shop.import(&[&["--view", view, "--matrix", matrix, "--ids", &ids], more].concat())
    };
    let said = import("zeros", &zeros, &[]).fine();
    assert!(said.stderr.contains("6 of 6 items matched, 0 missing"), "{}", said.stderr);
    assert!(
        said.stderr.contains("2 items have all-zero features (2 5)")
            && said.stderr.contains("--missing zeros")
    );
    let said = import("fewer", &zeros, &["--missing", "zeros", "--strict"]).fine();
    assert!(said.stderr.contains("4 of 6 items matched, 2 missing"), "{}", said.stderr);
    let store = shop.store("fewer");
    assert_eq!((store.length(1), store.length(2), store.length(5), store.missing()), (1, 0, 0, 2));
    assert_eq!(
        (&store.about()["missing_zeros"], &store.about()["missing_rule"]["zeros"]),
        (&2.into(), &true.into())
    );
    import("nan", &nan, &[]).refused("row 1 (item id \"2\"), token 0, column 0 is NaN", "--missing nan");
    import("nan", &nan, &["--missing", "zeros"]).refused("is NaN", "--missing nan");
    let said = import("nan", &nan, &["--missing", "zeros,nan"]).fine();
    assert!(said.stderr.contains("4 of 6 items matched, 2 missing"), "{}", said.stderr);
    assert!(said.stderr.contains("2 items count as missing for rows of values that are not a number"));
    // Infinity is an overflow, which no option makes a missing item.
    let inf = shop.matrix("inf.npy", 6, 4, stand_in(f32::INFINITY));
    import("inf", &inf, &["--missing", "zeros,nan"]).refused("is inf", "compute its features again");
    let all = shop.matrix("all.npy", 6, 4, |_, _| 0.0);
    import("all", &all, &["--missing", "zeros", "--strict"]).refused("no item is left with features", "");
    shop.features_are(&["fewer", "nan", "zeros"]);
}

#[test]
fn zero_rows_of_several_tokens_count_as_missing_only_as_a_whole() {
    let shop = Shop::numbered(4);
    shop.prepared(&[]);
    let ids = shop.put("ids.txt", "1\n2\n3\n4\n");
    // Item 2 has no token, item 3 ends in one of zeros, item 4 has one value that is no number.
    let rows = [[1.0, 2.0, 3.0, 4.0], [0.0; 4], [5.0, 6.0, 0.0, 0.0], [7.0, 8.0, 9.0, f32::NAN]];
    let matrix = shop.tensor("m.npy", "(4, 2, 2)", &rows.concat());
    let import = ["--view", "text", "--matrix", &matrix, "--ids", &ids, "--missing", "zeros,nan"];
    let said = shop.import(&import).fine();
    assert!(said.stderr.contains("2 of 4 items matched, 2 missing"), "{}", said.stderr);
    assert!(said.stderr.contains("1 items end in tokens of zeros (3)") && said.stderr.contains("--lengths"));
    let lengths: Vec<usize> = (1..=4).map(|item| shop.store("text").length(item)).collect();
    assert_eq!(lengths, [2, 0, 2, 0]);
}

#[test]
fn features_that_several_items_share_are_told() {
    let shop = Shop::numbered(8);
    shop.prepared(&[]);
    let ids = shop.put("ids.txt", "1\n2\n3\n4\n5\n6\n7\n8\n");
    let same = |row: usize| matches!(row, 1 | 2 | 4 | 5 | 7);
    let matrix = shop.matrix("m.npy", 8, 3, |row, k| if same(row) { 9.0 } else { (row * 3 + k) as f32 });
    let import = ["--view", "image", "--matrix", &matrix, "--ids", &ids];
    shop.import(&[&import[..], &["--strict"]].concat())
        .refused("5 items share one and the same feature row (2 3 5 6 8)", "");
    shop.features_are(&[]);
    let said = shop.import(&import).fine();
    assert!(
        said.stderr.contains("warning: 5 items share one and the same feature row (2 3 5 6 8)"),
        "{}",
        said.stderr
    );
    assert_eq!(shop.store("image").about()["shared"]["items"], 5);
    // What settles it, in the place of the store that lies there.
    for (rule, missing) in [("keep", 0), ("missing", 5)] {
        let again = [&import[..], &["--strict", "--shared-rows", rule]].concat();
        shop.import(&again).refused("already exists", "--overwrite");
        shop.import(&[&again[..], &["--overwrite"]].concat()).fine();
        let without = (1..=8).filter(|&item| shop.store("image").length(item) == 0).count();
        assert_eq!(without, missing, "{rule}");
    }
    // What fails leaves the old store in its place.
    let wrong = shop.put("wrong.txt", "1\n1\n3\n4\n5\n6\n7\n8\n");
    shop.import(&["--view", "image", "--matrix", &matrix, "--ids", &wrong, "--overwrite"])
        .refused("wrong.txt", "");
    assert_eq!(shop.store("image").about()["shared_rule"], "missing");
    shop.features_are(&["image"]);
    // Two variants of one product are nothing to speak of.
    let pair = shop.matrix("p.npy", 8, 3, |row, k| ((row.max(1)) * 3 + k) as f32);
    let said = shop.import(&["--view", "pair", "--matrix", &pair, "--ids", &ids, "--strict"]).fine();
    assert!(!said.stderr.contains("warning"), "{}", said.stderr);
}

#[test]
fn a_picture_that_many_items_share_is_told_and_can_count_as_missing() {
    let shop = Shop::numbered(8);
    for n in 1..=8 {
        let name = if matches!(n, 2 | 3 | 5 | 6 | 8) { "alpha.png" } else { KINDS[n / 3] };
        shop.put(&format!("pics/{n}.png"), picture(name));
    }
    let catalogue = shop.catalogue(|n| format!("pics/{}.png", n + 1));
    shop.prepared(&["--items", &catalogue]);
    let told = "5 items share one and the same picture file (2 3 5 6 8)";
    shop.encode(&["--strict"]).refused(told, "");
    shop.features_are(&[]);
    let said = shop.encode(&[]).fine();
    assert!(said.stderr.contains(told) && said.stderr.contains("is it a placeholder?"), "{}", said.stderr);
    assert!(said.stderr.contains("8 of 8 items encoded"), "{}", said.stderr);
    let said = shop.encode(&["--view", "real", "--shared-pictures", "missing", "--strict"]).fine();
    assert!(said.stderr.contains("3 of 8 items encoded"), "{}", said.stderr);
    let store = shop.store("real");
    let lengths: Vec<usize> = (1..=8).map(|item| store.length(item)).collect();
    assert_eq!(lengths, [1, 0, 0, 1, 0, 0, 1, 0]);
    assert_eq!(store.about()["shared_missing"], 5);
    assert_eq!(first(&store, 4), first(&shop.store("image"), 4));
    let said = shop.encode(&["--view", "kept", "--shared-pictures", "keep", "--strict"]).fine();
    assert!(!said.stderr.contains("warning"), "{}", said.stderr);

    // One path for all, as a shop names its sign for "no picture"; nothing would be left.
    let one = Shop::numbered(4);
    one.put("no-img.png", picture("alpha.png"));
    let catalogue = one.catalogue(|_| "no-img.png".into());
    one.prepared(&["--items", &catalogue]);
    one.encode(&["--shared-pictures", "missing"]).refused("4 items share one and the same picture", "");
    assert!(one.encode(&[]).fine().stderr.contains("4 items share one and the same picture file (1 2 3 4)"));
}

#[test]
fn a_text_that_many_items_share_is_told() {
    let shop = Shop::numbered(6);
    let rows: String =
        (1..=6).map(|n| format!("{n},{}\n", if n < 5 { "No title" } else { "Lamp" })).collect();
    let catalogue = shop.put("items.csv", format!("item_id,title\n{rows}"));
    let data = shop.prepared(&["--items", &catalogue]);
    let encode = ["features", "encode", path(&data), "--modality", "text", "--no-progress"];
    run(&[&encode[..], &["--strict"]].concat())
        .refused("4 items share one and the same text (1 2 3 4): \"No title\"", "");
    shop.features_are(&[]);
    let said = run(&encode).fine();
    assert!(said.stderr.contains("warning: 4 items share one and the same text"), "{}", said.stderr);
}

#[test]
fn picture_paths_hold_from_every_working_directory_and_after_a_move() {
    let shop = Shop::numbered(4);
    for (n, name) in KINDS.iter().enumerate() {
        shop.put(&format!("shop/pics/{}.png", n + 1), picture(name));
    }
    let rows: String = (1..=4).map(|n| format!("{n},Item,pics/{n}.png\n")).collect();
    shop.put("shop/items.csv", format!("item_id,title,image\n{rows}"));
    // The catalogue is named relative to where `prepare` runs; everything else runs elsewhere.
    let said = shop.prepare(&shop.path("shop"), "data", &["--items", "items.csv"]).fine();
    assert!(said.stdout.contains("0 pictures (0 more"), "{}", said.stdout);
    let dataset = Dataset::open(&shop.path("data")).unwrap();
    assert_eq!(dataset.items.images[1..], ["pics/1.png", "pics/2.png", "pics/3.png", "pics/4.png"]);
    assert_eq!(dataset.items.pictures_root, Some(shop.path("shop")));
    assert_eq!(dataset.items.picture(2), Some(shop.path("shop/pics/2.png")));
    assert!(shop.encode(&[]).fine().stderr.contains("4 of 4 items encoded"));

    fs::rename(shop.path("shop"), shop.path("moved")).unwrap();
    let lost = shop.path("shop/pics/1.png").display().to_string();
    let said = shop.encode(&["--view", "again"]);
    said.refused(&format!("none of the 4 pictures is a file; looked for {lost}"), "--pictures DIR");
    shop.encode(&["--view", "again", "--pictures", path(&shop.path("nowhere"))])
        .refused("no such folder", "");
    shop.encode(&["--view", "again", "--pictures", path(&shop.path("moved"))]).fine();
    let (old, new) = (shop.store("image"), shop.store("again"));
    (1..=4).for_each(|item| assert_eq!(first(&old, item), first(&new, item), "item {item}"));
}

#[test]
fn a_data_set_of_the_old_layout_finds_its_pictures() {
    let shop = Shop::numbered(4);
    KINDS.iter().enumerate().for_each(|(n, name)| drop(shop.put(&format!("{}.png", n + 1), picture(name))));
    let catalogue = shop.catalogue(|n| shop.path(&format!("{}.png", n + 1)).display().to_string());
    let data = shop.prepared(&["--items", &catalogue]);
    // Older versions wrote whole paths, and no root into the manifest.
    let manifest = data.join("manifest.json");
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    assert!(value["about"].as_object_mut().unwrap().remove("pictures_root").is_some());
    fs::write(&manifest, value.to_string()).unwrap();
    assert_eq!(Dataset::open(&data).unwrap().items.pictures_root, None);
    assert!(shop.encode(&[]).fine().stderr.contains("4 of 4 items encoded"));
    shop.encode(&["--view", "x", "--pictures", path(&shop.path(""))])
        .refused("--pictures has no effect", "--images");
}

#[test]
fn rooted_paths_of_film_posters_are_counted_with_the_remedy() {
    let shop = Shop::numbered(4);
    KINDS
        .iter()
        .enumerate()
        .for_each(|(n, name)| drop(shop.put(&format!("{}-poster.png", n + 1), picture(name))));
    let catalogue = shop.catalogue(|n| format!("/{}-poster.png", n + 1));
    let data = shop.path("data");
    let said = shop.prepare(shop.home.path(), "data", &["--items", &catalogue]).fine();
    assert!(said.stderr.contains("4 pictures are absolute paths such as /1-poster.png"), "{}", said.stderr);
    assert!(
        said.stderr.contains("strip the leading slash") && said.stderr.contains("--pictures"),
        "{}",
        said.stderr
    );
    shop.encode(&[]).refused("none of the 4 pictures is a file; looked for /1-poster.png", "--pictures");
    shop.encode(&["--pictures", path(&shop.path(""))]).fine();
    assert_eq!((shop.store("image").missing(), data.join("features/image").is_dir()), (0, true));
}

#[test]
fn every_layout_of_pictures_is_found_by_a_pattern() {
    let ids = ["0108775015", "0110065002", "0111565003"];
    type PathOf = fn(usize, &str) -> String;
    let table: [(&str, &str, PathOf); 4] = [
        ("one folder", "one/{id}.png", |_, id| format!("one/{id}.png")),
        ("folders of leading characters", "lead/{id[:3]}/{id}.png", |_, id| {
            format!("lead/{}/{id}.png", &id[..3])
        }),
        ("parts from the end", "deep/{id[-2:]}/{id[3:6]}.png", |_, id| {
            format!("deep/{}/{}.png", &id[8..], &id[3..6])
        }),
        ("several endings", "many/{id}.{webp,jpg,png}", |n, id| {
            format!("many/{id}.{}", ["png", "jpg", "webp"][n])
        }),
    ];
    let shop = Shop::new(&ids);
    for (name, pattern, file) in table {
        let mut wanted = Vec::new();
        for (n, id) in ids.iter().enumerate() {
            let relative = file(n, id);
            shop.put(&relative, picture(KINDS[n]));
            wanted.push(shop.path(&relative));
        }
        // A relative pattern begins at the working directory.
        let out = name.replace(' ', "-");
        shop.prepare(shop.home.path(), &out, &["--images", pattern]).fine();
        let items = Dataset::open(&shop.path(&out)).unwrap().items;
        let found: Vec<PathBuf> = (1..=3).map(|item| items.picture(item).unwrap()).collect();
        assert_eq!(found, wanted, "{name}");
        assert!(items.images[1..].iter().all(|image| Path::new(image).is_relative()), "{:?}", items.images);
        println!("pass  {name}");
    }
    for (pattern, what) in
        [("one/x.png", "has no {id}"), ("one/{asin}.png", "`{asin}` is no placeholder"), ("{id", "brace")]
    {
        shop.prepare(shop.home.path(), "wrong", &["--images", pattern]).refused(what, "{id[:3]}");
    }
    assert!(!shop.path("wrong").exists());
}

#[test]
fn a_view_is_a_name_and_never_a_path() {
    let shop = Shop::numbered(3);
    let catalogue = shop.catalogue(|_| String::new());
    let data = shop.prepared(&["--items", &catalogue]);
    let matrix = shop.matrix("m.npy", 3, 1, |row, _| row as f32 + 1.0);
    let ids = shop.put("ids.txt", "1\n2\n3\n");
    for view in ["../x", "/tmp/x", "a/b", "..", "", "a b", ".x"] {
        let view = format!("--view={view}");
        shop.import(&[&view, "--matrix", &matrix, "--ids", &ids])
            .refused("is not the name of a view", "--output");
        run(&["features", "encode", path(&data), "--modality", "text", &view])
            .refused("is not the name of a view", "--to");
    }
    shop.features_are(&[]);
    assert!(!shop.path("x").exists() && !data.join("x").exists());
}

#[test]
fn options_that_cannot_act_are_refused() {
    let shop = Shop::numbered(3);
    let catalogue = shop.catalogue(|n| format!("{n}.png"));
    KINDS.iter().enumerate().for_each(|(n, name)| drop(shop.put(&format!("{n}.png"), picture(name))));
    let data = shop.prepared(&["--items", &catalogue]);
    let matrix = shop.matrix("m.npy", 3, 1, |row, _| row as f32 + 1.0);
    let ids = shop.put("ids.txt", "1\n2\n3\n");
    let import = ["--view", "x", "--matrix", &matrix, "--ids", &ids];
    shop.import(&[&import[..], &["--tensor", "a"]].concat()).refused("(a) has no effect", "safetensors");
    shop.import(&[&import[..], &["--id-column", "a"]].concat())
        .refused("--id-column a has no effect", ".csv");
    let text =
        |more: &[&str]| run(&[&["features", "encode", path(&data), "--modality", "text"], more].concat());
    let bert = fixtures("bert");
    let bert = ["--encoder", path(&bert)];
    let of_pictures: [&[&str]; 6] = [
        &["--preprocess", "clip"],
        &["--side", "32"],
        &["--max-file", "1"],
        &["--max-pixels", "1"],
        &["--pictures", "."],
        &["--shared-pictures", "keep"],
    ];
    for options in of_pictures {
        text(options).refused(&format!("{} has no effect: it is about pictures", options[0]), "text");
    }
    let of_encoders: [&[&str]; 5] = [
        &["--norm", "after"],
        &["--pool", "mean"],
        &["--unit", "true"],
        &["--max-tokens", "9"],
        &["--device", "wgpu"],
    ];
    for options in of_encoders {
        text(options).refused(&format!("{} has no effect: TF-IDF", options[0]), "");
    }
    for (options, reason) in [
        (&["--onnx-output", "x"][..], "no .onnx file"),
        (&["--output", "tokens", "--pool", "mean"], "the states of all tokens"),
        (&["--output", "tokens", "--unit", "true"], "the states of all tokens"),
    ] {
        text(&[&bert[..], options].concat()).refused(reason, "");
    }
    text(&[&bert[..], &["--max-tokens", "60000"]].concat())
        .refused("--max-tokens has no effect: the model reads", "is the most");
    for options in [&["--max-tokens", "9"][..], &["--field", "title"], &["--tokenizer", "x"]] {
        shop.encode(options).refused(&format!("{} has no effect: it is about texts", options[0]), "picture");
    }
    shop.encode(&["--side", "64"]).refused("--side has no effect", "--preprocess");
    shop.features_are(&[]);
    // What was guessed is printed, and stands in the manifest.
    let said = shop.encode(&[]).fine();
    assert!(
        said.stderr.contains("found out and not asked for: output, layer, norm, pool"),
        "{}",
        said.stderr
    );
    let store = shop.store("image");
    assert!(store.about()["found_out"].as_array().unwrap().iter().any(|name| name == "pool"));
}

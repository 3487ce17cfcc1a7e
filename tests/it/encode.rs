//! Texts and pictures to feature stores, as a user meets it: damaged pictures, kills, the hub, real encoders.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use burn::tensor::Device;
use codistill::data::Dataset;
use codistill::encode::picture::Bounds;
use codistill::encode::{EncodeError, Encoder, Job, Modality, Settings, run as encode};
use codistill::features::FeatureStore;
use serde_json::Value;

use super::program::{codistill, path, run};

const ITEMS: usize = 200;

pub fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoders").join(name)
}

/// A data set of 200 items with titles and pictures, of which two pictures (1 %) are damaged, one is missing and
/// one is animated; items 50 to 54 have neither title nor picture.
pub fn prepared(home: &Path) -> PathBuf {
    let pictures = home.join("pictures");
    fs::create_dir_all(&pictures).unwrap();
    let mut items = "item,title,image\n".to_owned();
    let mut log = "user,item,time\n".to_owned();
    for n in 0..ITEMS {
        let file = format!("{n}.png");
        let source = match n {
            17 => Some("truncated.png"),
            118 => Some("truncated.jpg"),
            60 => Some("animated.gif"),
            61 => None,
            _ => Some(["plain.png", "baseline.jpg", "grey.jpg", "alpha.png"][n % 4]),
        };
        if let Some(source) = source {
            fs::copy(fixtures("pictures").join(source), pictures.join(&file)).unwrap();
        }
        let words =
            ["Toy Story", "Москва слезам", "千と千尋", "word"].iter().cycle().skip(n % 4).take(1 + n % 7);
        let title = format!("{} {n}", words.copied().collect::<Vec<_>>().join(" "));
        let blank = (50..55).contains(&n);
        let (title, image) =
            if blank { (String::new(), String::new()) } else { (title, format!("pictures/{file}")) };
        items += &format!("i{n},{title},{image}\n");
        for user in 0..6 {
            log += &format!("u{},i{n},{}\n", (n * 7 + user * 13) % 60, n * 10 + user);
        }
    }
    fs::write(home.join("items.csv"), items).unwrap();
    fs::write(home.join("log.csv"), log).unwrap();
    let data = home.join("data");
    let (log, items) = (home.join("log.csv"), home.join("items.csv"));
    run(&[
        "prepare",
        path(&log),
        "--items",
        path(&items),
        "-o",
        path(&data),
        "--user-core",
        "1",
        "--item-core",
        "1",
    ])
    .fine();
    data
}

pub fn features(data: &Path, more: &[&str]) -> Vec<String> {
    let mut args = vec!["features", "encode", path(data), "--device", "cpu", "--no-progress"];
    args.extend(more);
    args.into_iter().map(str::to_owned).collect()
}

#[test]
fn damaged_pictures_are_listed_with_their_reasons_and_training_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let data = prepared(home.path());
    let said = run(&features(&data, &["--modality", "image", "--encoder", path(&fixtures("vit"))])).fine();
    assert!(said.stderr.contains("191 of 200 items encoded"), "{}", said.stderr);
    assert!(said.stderr.contains("4 pictures were refused"), "{}", said.stderr);
    let store = data.join("features/image");
    let list = fs::read_to_string(store.join("quarantine.csv")).unwrap();
    for (item, reason) in [("i17", "damaged"), ("i118", "damaged"), ("i60", "animated"), ("i61", "missing")] {
        let line = list.lines().find(|l| l.starts_with(&format!("{item},"))).unwrap();
        assert!(line.contains(reason) && line.contains(&format!("pictures/{}.png", &item[1..])), "{line}");
    }
    assert_eq!(list.lines().count(), 5);
    FeatureStore::open(&store).unwrap().verify().unwrap();
    let store = FeatureStore::open(&store).unwrap();
    assert_eq!((store.items(), store.missing(), store.width()), (200, 9, 16));
    assert_eq!(store.about()["quarantined"], 4);

    run(&features(&data, &["--modality", "text"])).fine();
    trained_on(&data, home.path());
}

/// One epoch of the real run's model on `data`; the run's directory.
pub fn trained_on(data: &Path, home: &Path) -> PathBuf {
    let sets = [
        format!("data.path={}", data.display()),
        format!("run.dir={}", home.display()),
        "run.name=run".into(),
        "model.width=8".into(),
        "train.batch_users=16".into(),
        "train.epochs=1".into(),
    ];
    let mut args =
        vec!["train".to_owned(), concat!(env!("CARGO_MANIFEST_DIR"), "/configs/movielens-small.toml").into()];
    args.extend(["--device".to_owned(), "cpu".into()]);
    args.extend(sets.into_iter().flat_map(|set| ["--set".to_owned(), set]));
    run(&args).fine();
    home.join("run")
}

fn open(encoder: &str, modality: Modality, settings: Settings) -> Encoder {
    let settings = Settings { encoder: encoder.into(), bounds: Bounds::default(), ..settings };
    Encoder::open(&settings, modality, &[], &Device::flex(), &mut |_, _, _| {}).unwrap()
}

fn job(dest: PathBuf) -> Job {
    Job { dest, batch: 16, ..Job::default() }
}

#[test]
fn an_interrupted_run_goes_on_and_ends_in_the_same_bytes() {
    let home = tempfile::tempdir().unwrap();
    let data = prepared(home.path());
    let dataset = Dataset::open(&data).unwrap();
    for (name, modality) in [("bert", Modality::Text), ("clip", Modality::Image)] {
        let encoder =
            open(path(&fixtures(name)), modality, Settings { tokens: Some(true), ..Settings::default() });
        let go = AtomicBool::new(false);
        let whole = job(home.path().join(format!("{name}-whole")));
        let at_once = encode(&dataset, &encoder, &whole, &go, &mut |_, _| {}).unwrap();
        let broken = job(home.path().join(format!("{name}-broken")));
        for round in 1..=3 {
            // Stopped after one batch of each round; the last bytes are then torn off, as a kill would.
            let stop = AtomicBool::new(true);
            let error = encode(&dataset, &encoder, &broken, &stop, &mut |_, _| {}).unwrap_err();
            assert!(matches!(error, EncodeError::Interrupted { .. }), "{error}");
            let rows = home.path().join(format!("{name}-broken.partial/rows.bin"));
            let bytes = fs::read(&rows).unwrap();
            if round == 2 {
                fs::write(&rows, &bytes[..bytes.len() - 3]).unwrap();
            }
        }
        let resumed = encode(&dataset, &encoder, &broken, &go, &mut |_, _| {}).unwrap();
        assert_eq!(resumed.resumed, 32, "{name}: two batches of 16 outlived three rounds and a tear");
        assert_eq!(resumed.hash, at_once.hash, "{name}");
        let file = |job: &Job| fs::read(job.dest.join("tokens.safetensors")).unwrap();
        assert!(file(&whole) == file(&broken), "{name}");
        assert!(!home.path().join(format!("{name}-broken.partial")).exists());
    }
}

#[test]
fn other_settings_do_not_mix_with_what_an_interrupted_run_has_kept() {
    let home = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(&prepared(home.path())).unwrap();
    let encoder = open(path(&fixtures("bert")), Modality::Text, Settings::default());
    let job = job(home.path().join("store"));
    encode(&dataset, &encoder, &job, &AtomicBool::new(true), &mut |_, _| {}).unwrap_err();
    let other = open(
        path(&fixtures("bert")),
        Modality::Text,
        Settings { max_tokens: Some(9), ..Settings::default() },
    );
    let go = AtomicBool::new(false);
    let error = encode(&dataset, &other, &job, &go, &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("recipe.max_tokens was 24, now 9"), "{error}");
    let fresh = Job { restart: true, ..job.clone() };
    assert_eq!(encode(&dataset, &other, &fresh, &go, &mut |_, _| {}).unwrap().resumed, 0);

    // A store names its encoder, and only that one is opened for later items, wherever it lies now.
    let about = FeatureStore::open(&job.dest).unwrap().about().clone();
    let reopen = |about: &Value, elsewhere: Option<&str>| {
        Encoder::reopen(&job.dest, about, elsewhere, &Device::flex(), &mut |_, _, _| {}).map(|_| ())
    };
    reopen(&about, None).unwrap();
    let moved = home.path().join("moved");
    copy_folder(&fixtures("bert"), &moved);
    reopen(&about, Some(path(&moved))).unwrap();
    let mut longer = about.clone();
    longer["settings"]["max_tokens"] = 10.into();
    assert!(reopen(&longer, None).unwrap_err().to_string().contains("max_tokens: 10 instead of 9"));
    let clip = fixtures("clip");
    assert!(matches!(reopen(&about, Some(path(&clip))), Err(EncodeError::OtherEncoder { .. })));
    let nowhere = reopen(&about, Some(path(&home.path().join("nowhere"))));
    assert!(matches!(nowhere, Err(EncodeError::NoEncoder(_))));
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_later_text_gets_the_vector_that_tfidf_gave_it_in_the_catalogue() {
    let home = tempfile::tempdir().unwrap();
    let data = prepared(home.path());
    run(&features(&data, &["--modality", "text", "--encoder", "tfidf:64", "--precision", "f32"])).fine();
    let dir = data.join("features/text");
    let store = FeatureStore::open(&dir).unwrap();
    assert_eq!((store.width(), store.missing()), (64, 5));
    let encoder = Encoder::reopen(&dir, store.about(), None, &Device::flex(), &mut |_, _, _| {}).unwrap();
    let dataset = Dataset::open(&data).unwrap();
    for item in [1usize, 7, 100] {
        let found = encoder.encode_texts(&[&dataset.items.texts[item]]).unwrap().remove(0).unwrap();
        let mut kept = vec![0.0; 64];
        store.gather_into(item as u32, 1, &mut kept);
        assert_eq!(found, kept);
    }
}

#[test]
fn a_dry_run_writes_nothing_and_a_limit_leaves_the_rest_missing() {
    let home = tempfile::tempdir().unwrap();
    let data = prepared(home.path());
    let bert = fixtures("bert");
    let args = ["--modality", "text", "--encoder", path(&bert), "--output", "tokens", "--max-tokens", "10"];
    let said = run(&features(&data, &[&args[..], &["--dry-run", "--json"]].concat())).fine();
    let estimate: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        (&estimate["inputs"], &estimate["tokens"], &estimate["width"]),
        (&195.into(), &10.into(), &16.into())
    );
    assert_eq!(estimate["bytes"], 201 * 10 * 16 * 2 + 201 * 4);
    assert!(estimate["seconds"].as_f64().unwrap() > 0.0);
    assert!(!data.join("features").exists());
    run(&features(&data, &[&args[..], &["--limit", "20"]].concat())).fine();
    let store = FeatureStore::open(&data.join("features/text")).unwrap();
    assert_eq!((store.items(), store.missing()), (200, 180));
    run(&features(&data, &args)).refused("already exists", "another");
}

#[test]
fn wrong_encoders_are_refused_with_a_remedy() {
    let home = tempfile::tempdir().unwrap();
    let data = prepared(home.path());
    let refuse = |more: &[&str], what: &str, hint: &str| run(&features(&data, more)).refused(what, hint);
    refuse(&["--modality", "image"], "pictures need an --encoder", "folder");
    refuse(&["--modality", "text", "--encoder", "no such thing"], "neither a folder", "tfidf");
    refuse(&["--modality", "image", "--encoder", path(&fixtures("bert"))], "not image", "reads image");
    refuse(&["--modality", "image", "--encoder", "tfidf"], "not image", "reads image");
    let clip = fixtures("clip");
    refuse(&["--modality", "image", "--encoder", path(&clip), "--layer", "9"], "layers 0 to 2", "");
    let onnx = home.path().join("x.onnx");
    fs::write(&onnx, b"\x08\x07\x12nonsense").unwrap();
    refuse(&["--modality", "image", "--encoder", path(&onnx), "--preprocess", "clip"], "x.onnx", "");
}

/// A hub on this machine: `/owner/model/resolve/REVISION/FILE` from a folder; the weights by a redirect.
struct LocalHub {
    address: String,
    /// Path of each request, with `!` behind it where a token came along.
    asked: Arc<Mutex<Vec<String>>>,
    /// Bytes that are left out at the end of the weights.
    cut: Arc<AtomicUsize>,
}

impl LocalHub {
    fn start(folder: PathBuf) -> Self {
        Self::start_with(folder, None)
    }

    /// `token` opens it.
    fn start_with(folder: PathBuf, token: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (asked, cut) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (heard, short) = (asked.clone(), cut.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &folder, token, &heard, short.load(Ordering::Relaxed));
            }
        });
        Self { address, asked, cut }
    }
}

fn answer(mut stream: TcpStream, folder: &Path, token: Option<&str>, heard: &Mutex<Vec<String>>, cut: usize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let (mut line, mut given) = (String::new(), None);
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        if let Some(("authorization", value)) = line.trim().to_lowercase().split_once(": ") {
            given = value.strip_prefix("bearer ").map(str::to_owned);
        }
        line.clear();
    }
    let asked = request.split(' ').nth(1).unwrap_or("").to_owned();
    heard.lock().unwrap().push(format!("{asked}{}", if given.is_some() { "!" } else { "" }));
    let file = ["/owner/model/resolve/main/", "/owner/model/resolve/refs%2Fpr%2F1/", "/cdn/"];
    let file = file.iter().find_map(|start| asked.strip_prefix(start));
    let bytes = file.and_then(|file| fs::read(folder.join(file)).ok());
    let head = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n");
    if token.is_some() && given.as_deref() != token && !asked.starts_with("/cdn/") {
        let _ = stream.write_all(head("401 Unauthorized", "Content-Length: 0\r\n").as_bytes());
        return;
    }
    let _ = match bytes {
        None => stream.write_all(head("404 Not Found", "Content-Length: 0\r\n").as_bytes()),
        Some(_) if asked.ends_with("/main/model.safetensors") => {
            let more = "Location: /cdn/model.safetensors\r\nContent-Length: 0\r\n";
            stream.write_all(head("302 Found", more).as_bytes())
        }
        Some(bytes) => {
            let sent = bytes.len() - if asked.starts_with("/cdn/") { cut } else { 0 };
            let head = head("200 OK", &format!("Content-Length: {}\r\n", bytes.len()));
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes[..sent]))
        }
    };
}

#[test]
fn an_encoder_is_downloaded_once_by_its_hub_name() {
    let home = tempfile::tempdir().unwrap();
    let data = prepared(home.path());
    let hub = LocalHub::start(fixtures("bert"));
    let encode = |name: &str, view: &str, base: &str| {
        let args = features(&data, &["--modality", "text", "--encoder", name, "--view", view]);
        let output = codistill(&args)
            .env("HF_ENDPOINT", base)
            .env("CODISTILL_CACHE", home.path().join("cache"))
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .env_remove("ALL_PROXY")
            .output();
        super::program::Said::from(output.unwrap())
    };
    encode("owner/absent", "a", &hub.address).refused("config.json: not found", "HF_ENDPOINT");
    hub.cut.store(100, Ordering::Relaxed);
    let said = encode("owner/model", "a", &hub.address);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("model.safetensors"), "{}", said.stderr);
    hub.cut.store(0, Ordering::Relaxed);
    encode("owner/model", "a", &hub.address).fine();
    let asked = hub.asked.lock().unwrap().clone();
    assert!(asked.contains(&"/owner/model/resolve/main/tokenizer.json".to_owned()), "{asked:?}");
    // The second time nothing is asked: the server could as well be gone.
    encode("owner/model", "b", "http://127.0.0.1:9").fine();
    // A revision whose name has slashes is one part of the address.
    encode("owner/model@refs/pr/1", "d", &hub.address).fine();
    let asked = hub.asked.lock().unwrap().clone();
    assert!(asked.contains(&"/owner/model/resolve/refs%2Fpr%2F1/config.json".to_owned()), "{asked:?}");
    encode("owner/model@refs/../main", "e", &hub.address).refused("owner/model@refs/../main", "");
    let local = features(&data, &["--modality", "text", "--encoder", path(&fixtures("bert")), "--view", "c"]);
    run(&local).fine();
    let tokens = |view: &str| fs::read(data.join("features").join(view).join("tokens.safetensors")).unwrap();
    assert!(tokens("a") == tokens("b") && tokens("a") == tokens("c"));
}

/// Copies all that lies below `from` over what lies below `to`.
fn lay(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let dest = to.join(path.file_name().unwrap());
        if path.is_dir() {
            lay(&path, &dest);
        } else {
            fs::write(&dest, fs::read(&path).unwrap()).unwrap();
        }
    }
}

#[test]
fn a_token_opens_a_hub_and_all_files_of_a_model_with_modules_are_downloaded() {
    let home = tempfile::tempdir().unwrap();
    let data = prepared(home.path());
    let model = home.path().join("model");
    for part in ["base", "dense"] {
        lay(&fixtures("sentence").join(part), &model);
    }
    let prompts = "config_sentence_transformers.json";
    fs::copy(fixtures("sentence/prompt").join(prompts), model.join(prompts)).unwrap();
    let hub = LocalHub::start_with(model.clone(), Some("secret"));
    let cache = home.path().join("cache");
    let encode = |view: &str, token: &[(&str, &str)]| {
        let encoder = ["--encoder", "owner/model", "--precision", "f32"];
        let args = features(&data, &[&["--modality", "text", "--view", view][..], &encoder].concat());
        let mut command = codistill(&args);
        command.env("HF_ENDPOINT", &hub.address).env("CODISTILL_CACHE", &cache).envs(token.iter().copied());
        for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
            command.env_remove(variable);
        }
        super::program::Said::from(command.env("HF_HOME", home.path().join("none")).output().unwrap())
    };
    encode("a", &[("HF_TOKEN", "")]).refused("status 401", "HF_TOKEN");
    encode("a", &[("HF_TOKEN", "wrong")]).refused("the token does not open it", "HF_TOKEN");
    hub.asked.lock().unwrap().clear();
    encode("a", &[("HF_TOKEN", "secret")]).fine();
    let asked = hub.asked.lock().unwrap().clone();
    for file in [prompts, "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"] {
        assert!(asked.contains(&format!("/owner/model/resolve/main/{file}!")), "{file}: {asked:?}");
    }
    // The weights lie with another host, which the token is not for.
    assert!(asked.contains(&"/cdn/model.safetensors".to_owned()), "{asked:?}");
    let path = |view: &str| data.join("features").join(view).join("tokens.safetensors");
    let local = features(&data, &["--modality", "text", "--view", "b", "--precision", "f32", "--encoder"]);
    run(&[local, vec![path_text(&model)]].concat()).fine();
    assert!(fs::read(path("a")).unwrap() == fs::read(path("b")).unwrap());

    // A download of an earlier release lacks files that are read now: they are added, the weights are not fetched again.
    let folder = cache.join("hub/owner--model/main");
    fs::rename(folder.join(".complete-2"), folder.join(".complete")).unwrap();
    fs::remove_file(folder.join(prompts)).unwrap();
    hub.asked.lock().unwrap().clear();
    let kept = home.path().join("token");
    fs::write(&kept, "secret\n").unwrap();
    encode("c", &[("HF_TOKEN", ""), ("HF_TOKEN_PATH", kept.to_str().unwrap())]).fine();
    let asked = hub.asked.lock().unwrap().clone();
    assert!(asked.contains(&format!("/owner/model/resolve/main/{prompts}!")), "{asked:?}");
    let again = ["main/model.safetensors", "cdn/model.safetensors", "2_Dense/model.safetensors"];
    assert!(!asked.iter().any(|path| again.iter().any(|file| path.contains(file))), "{asked:?}");
    assert!(fs::read(path("a")).unwrap() == fs::read(path("c")).unwrap());
}

#[test]
fn a_module_whose_file_the_hub_lacks_ends_the_download() {
    let home = tempfile::tempdir().unwrap();
    let data = prepared(home.path());
    let model = home.path().join("model");
    for part in ["base", "dense"] {
        lay(&fixtures("sentence").join(part), &model);
    }
    let hub = LocalHub::start(model.clone());
    let encode = || {
        let args = features(&data, &["--modality", "text", "--encoder", "owner/model"]);
        let mut command = codistill(&args);
        command.env("HF_ENDPOINT", &hub.address).env("CODISTILL_CACHE", home.path().join("cache"));
        for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
            command.env_remove(variable);
        }
        super::program::Said::from(command.output().unwrap())
    };
    for file in ["1_Pooling/config.json", "2_Dense/config.json"] {
        let bytes = fs::read(model.join(file)).unwrap();
        fs::remove_file(model.join(file)).unwrap();
        encode().refused(&format!("{file}: not found"), "HF_ENDPOINT");
        fs::write(model.join(file), bytes).unwrap();
    }
    encode().fine();
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

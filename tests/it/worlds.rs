//! Twenty generated worlds in which text and image do or do not tell what users like, and what `ablate` says.
//!
//! A quarter of an hour on two quiet cores, so that it runs only when it is asked for:
//! `cargo test --release --test it twenty_worlds -- --ignored --nocapture`
//!
//! `CODISTILL_WORLDS` names a folder that keeps the trainings, `CODISTILL_FIRST_WORLD` the first of the twenty (default 1).

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{path, run};

const WORLDS: u64 = 20;
/// Verdicts on each modality that must be right.
const RIGHT: usize = 19;

/// Whether text and image tell anything in world `n`: every pair of answers in turn.
fn planted(n: u64) -> [bool; 2] {
    [n & 1 == 0, n & 2 == 0]
}

/// One branch that reads the ID's token, to which the tokens of text and image are fused: a view that tells nothing
/// costs such a model little. In an ensemble with a branch for each view the branch of an empty view adds noise, and
/// its removal rightly counts as an improvement.
const BASE: &str = r#"
[data.synth]
users = 1000
items = 2000
min_len = 8
max_len = 12
latent = 4
w_collab = 0.0
w_repeat = 0.0
popularity = 0.0
redundancy = 0.0
drift = 0.0
label_noise = 0.0
missing_text = 0.0
missing_image = 0.0
feature_width = 12
text_tokens = 3
image_tokens = 3
token_noise = 0.2
distractors = 0.0

[model]
width = 16
dropout = 0.0

[[model.views]]
name = "id"
kind = "id"

[[model.views]]
name = "text"
kind = "tokens"

[[model.views]]
name = "image"
kind = "tokens"

[model.tower]
blocks = 1
heads = 2

[[model.branches]]
name = "fused"
view = "id"
encoder = { kind = "sasrec", blocks = 1, heads = 2 }

[optim]
lr = 5e-3
schedule = "cosine"
weight_decay = 0.01

[train]
batch_users = 32
epochs = 14
eval_every = 2
patience = 0

[eval]
ks = [10]

[monitor]
tensorboard = false
projector_items = 0
"#;

/// The study of world `n`, which asks for text and for image. Its directory is `home/world-n`.
fn study(home: &Path, n: u64) -> String {
    let weight = |is_planted: bool| if is_planted { 6.0 } else { 0.0 };
    let [text, image] = planted(n).map(weight);
    format!(
        "dir = {:?}\nname = \"world-{n}\"\nbase = {:?}\nseeds = [1, 2, 3, 4, 5]\n\
         set = [\"data.synth.seed={}\", \"data.synth.w_text={text}\", \"data.synth.w_image={image}\"]\n\
         conditions = [\"S-text\", \"S-image\"]\ngates = {{ epoch_limit = \"warn\" }}\n",
        path(home),
        path(&home.join("base.toml")),
        100 + n
    )
}

#[test]
#[ignore = "a quarter of an hour: 400 trainings"]
fn twenty_worlds_get_the_right_verdicts() {
    let scratch = tempfile::tempdir().unwrap();
    // Kept, so that what was trained is not trained again.
    let kept = std::env::var_os("CODISTILL_WORLDS");
    let home = kept.as_ref().map_or(scratch.path(), Path::new);
    fs::write(home.join("base.toml"), BASE).unwrap();
    let mut right = [0; 2];
    let mut again = Vec::new();
    let first = std::env::var("CODISTILL_FIRST_WORLD").map_or(1, |n| n.parse::<u64>().unwrap());
    let jobs = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    for n in first..first + WORLDS {
        let file = home.join(format!("world-{n}.toml"));
        fs::write(&file, study(home, n)).unwrap();
        run(&["ablate", path(&file), "--device", "cpu", "--jobs", &jobs]).fine();
        let text = fs::read_to_string(home.join(format!("world-{n}/study.json"))).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        let mut line = format!("world {n:2}");
        for (place, view) in ["text", "image"].iter().enumerate() {
            let all = report["verdicts"].as_array().unwrap();
            let Some(own) = all.iter().find(|v| v["view"] == *view) else {
                line += &format!("  {view} without a verdict!");
                continue;
            };
            let word = own["verdict"].as_str().unwrap();
            // What tells nothing neither helps nor hurts.
            let expected = planted(n)[place];
            let is_right =
                if expected { word == "helps" } else { ["equivalent", "no_evidence"].contains(&word) };
            right[place] += usize::from(is_right);
            line += &format!(
                "  {view} {} {word:11} {:+6.1} % (MDE {:4.1} %){}",
                if expected { "tells  " } else { "nothing" },
                100.0 * own["worth"].as_f64().unwrap(),
                100.0 * own["minimum_detectable"].as_f64().unwrap(),
                if is_right { " " } else { "!" }
            );
        }
        let aa = report["again"]["verdict"].as_str().unwrap().to_owned();
        println!("{line}  A/A {aa} {:+.1} %", 100.0 * report["again"]["relative"].as_f64().unwrap());
        again.push(aa);
    }
    let claims = again.iter().filter(|word| ["helps", "hurts"].contains(&word.as_str())).count();
    println!("right: text {}/{WORLDS}, image {}/{WORLDS}; A/A claims {claims}", right[0], right[1]);
    assert!(right.iter().all(|&n| n >= RIGHT) && claims == 0, "{right:?} right, {claims} claims by A/A");
}

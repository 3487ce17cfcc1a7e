//! Twenty generated worlds in which text and image do or do not tell what users like, and what `ablate` says.
//!
//! Half an hour on two cores, so that it runs only when it is asked for:
//! `cargo test --release --test it twenty_worlds -- --ignored --nocapture`

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{path, run};

const WORLDS: u64 = 20;
/// Verdicts on each modality that must be right.
const RIGHT: usize = 19;

/// Whether text and image tell anything in world `n`: every pair of answers in turn.
fn planted(n: u64) -> [bool; 2] {
    [n % 2 == 0, (n / 2) % 2 == 0]
}

/// The study of world `n`, which asks for text and for image. Its directory is `home/world-n`.
fn study(home: &Path, n: u64) -> String {
    let weight = |is_planted: bool| if is_planted { 4.0 } else { 0.0 };
    let [text, image] = planted(n).map(weight);
    let sets = [
        format!("data.synth.seed={}", 100 + n),
        format!("data.synth.w_text={text}"),
        format!("data.synth.w_image={image}"),
        "data.synth.users=600".into(),
        "data.synth.items=300".into(),
        "data.synth.min_len=8".into(),
        "data.synth.max_len=12".into(),
        "data.synth.latent=4".into(),
        // What the crowd knows is known to the model without text and image too.
        "data.synth.w_collab=2.0".into(),
        "data.synth.w_repeat=0".into(),
        "data.synth.popularity=0.3".into(),
        "data.synth.redundancy=0".into(),
        "data.synth.missing_text=0".into(),
        "data.synth.missing_image=0".into(),
        "data.synth.feature_width=12".into(),
        "data.synth.text_tokens=3".into(),
        "data.synth.image_tokens=2".into(),
        "data.synth.token_noise=0.2".into(),
        "data.synth.distractors=0".into(),
        "model.width=16".into(),
        "train.batch_users=32".into(),
        "train.epochs=24".into(),
        "train.patience=4".into(),
        "optim.lr=4e-3".into(),
        "eval.ks=[10]".into(),
        "monitor.tensorboard=false".into(),
        "monitor.projector_items=0".into(),
    ];
    let sets: Vec<String> = sets.iter().map(|set| format!("{set:?}")).collect();
    format!(
        "dir = {:?}\nname = \"world-{n}\"\nbase = {:?}\nset = [{}]\nseeds = [1, 2, 3]\n\
         conditions = [\"S-text\", \"S-image\"]\ngates = {{ epoch_limit = \"warn\" }}\n",
        path(home),
        concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml"),
        sets.join(", ")
    )
}

#[test]
#[ignore = "half an hour: 240 trainings"]
fn twenty_worlds_get_the_right_verdicts() {
    let scratch = tempfile::tempdir().unwrap();
    // Kept, so that what was trained is not trained again.
    let kept = std::env::var_os("CODISTILL_WORLDS");
    let home = kept.as_ref().map_or(scratch.path(), Path::new);
    let mut right = [0; 2];
    let mut again = Vec::new();
    for n in 1..=WORLDS {
        let file = home.join(format!("world-{n}.toml"));
        fs::write(&file, study(home, n)).unwrap();
        run(&["ablate", path(&file), "--device", "cpu"]).fine();
        let text = fs::read_to_string(home.join(format!("world-{n}/study.json"))).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        let mut line = format!("world {n:2}");
        for (place, view) in ["text", "image"].iter().enumerate() {
            let all = report["verdicts"].as_array().unwrap();
            let own = all.iter().find(|v| v["view"] == *view).unwrap();
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

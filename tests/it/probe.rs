//! `codistill probe` as a user runs it.

use std::fs;

use serde_json::Value;

use crate::program::{dataset, path, run, tiny, trained};

fn json(args: &[&str]) -> Value {
    let all: Vec<&str> = ["probe", "--json"].iter().chain(args).copied().collect();
    serde_json::from_str(&run(&all).fine().stdout).unwrap()
}

#[test]
fn planted_features_beat_random_ones_which_stay_at_chance_and_all_parts_are_in_the_report() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("world");
    let sets = ["--set", "users=600", "--set", "items=300", "--set", "w_collab=0"];
    run(&[&["synth", "--output", path(&data)], &sets[..]].concat()).fine();
    let out = home.path().join("out");
    let found = json(&[path(&data), "--output", path(&out)]);
    let features = found["features"].as_array().unwrap();
    let names: Vec<&str> = features.iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["image", "text", "image+text", "random"]);
    let recall = |f: &Value| f["zero_shot"]["metrics"]["recall@10"].as_f64().unwrap();
    let chance = &found["chance"];
    assert!((chance["recall"].as_f64().unwrap() - 10.0 / 290.0).abs() < 0.005, "{chance}");
    assert_eq!(features[3]["within_chance"], true);
    assert!(recall(&features[2]) > chance["high"].as_f64().unwrap(), "{features:?}");
    assert!(features[2]["agreement"]["lift"].as_f64().unwrap() > 1.5, "{}", features[2]["agreement"]);
    assert!(features[3]["agreement"]["lift"].as_f64().unwrap() < 1.5);
    assert_eq!(found["masks"].as_array().unwrap().len(), 2);
    assert_eq!(found["references"].as_array().unwrap().len(), 2);
    let text = fs::read_to_string(out.join("probe.md")).unwrap();
    for part in ["P1 zero-shot", "P2 agreement", "P3 items", "P5 geometry", "99 % interval"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    // The same again, from the same seed.
    let saved: Value = serde_json::from_slice(&fs::read(out.join("probe.json")).unwrap()).unwrap();
    assert_eq!(saved, found);
    assert_eq!(json(&[path(&data)]), found);
    let said = run(&["probe", path(&data), "--part", "test", "--view", "text", "--no-masks"]).fine();
    assert!(said.stdout.starts_with("test: ") && !said.stdout.contains("P3"), "{}", said.stdout);
}

#[test]
fn nonsense_is_refused_with_a_hint() {
    let home = tempfile::tempdir().unwrap();
    let run_dir = trained(home.path());
    let data = dataset(home.path());
    let probe = |more: &[&str]| run(&[&["probe", path(&data)], more].concat());
    probe(&["--view", "sound"]).refused("sound", "");
    probe(&["--k", "0"]).refused("--k", "10,20,50");
    probe(&["--validity", "nowhere-*"]).refused("matches no run directory", "variant");
    probe(&["--no-masks", "--validity", path(&run_dir)]).refused("1 feature variants", "data.features.text");
    fs::remove_dir_all(data.join("features")).unwrap();
    probe(&[]).refused("has no feature stores", "features encode");
    let other = tempfile::tempdir().unwrap();
    let args = tiny(other.path(), &["data.synth.items=90"]);
    run(&args).fine();
    let stranger = dataset(other.path()).join("features/text");
    probe(&["--view", &format!("text={}", path(&stranger))]).refused("other", "");
}

/// P4 on a planted world (docs/studies.md, section 3): eight variants of the text features, from the planted content
/// to nothing but noise; the final metric is that of a small model trained on each, the mean of two seeds.
#[test]
#[ignore = "sixteen trainings, some minutes; run with --ignored"]
fn probe_figures_predict_the_final_metric_of_features_of_known_quality() {
    use codistill::features::normalise;
    use codistill::features::{FeatureStore, Precision, StoreWriter};
    use codistill::probe::vectors::Vectors;

    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("world");
    let sets = ["users=600", "items=300", "w_text=4", "w_image=0", "w_collab=0", "missing_text=0"];
    let sets: Vec<&str> = sets.iter().flat_map(|s| ["--set", s]).collect();
    run(&[&["synth", "--output", path(&data)], &sets[..]].concat()).fine();
    let clean = FeatureStore::open(&data.join("features/text")).unwrap();
    let (items, width) = (clean.items(), clean.width());
    let noise = Vectors::random(width, &vec![true; items + 1], 99);
    for level in 0..8 {
        let share = level as f32 / 7.0;
        let dest = home.path().join(format!("text-{level}"));
        let mut writer = StoreWriter::create(&dest, items, 1, width, Precision::F32).unwrap();
        for item in 1..=items {
            let tokens = clean.length(item as u32);
            let mut all = vec![0.0; tokens * width];
            clean.gather_into(item as u32, tokens, &mut all);
            let mut mean = vec![0.0; width];
            all.iter().enumerate().for_each(|(i, v)| mean[i % width] += v);
            normalise(&mut mean);
            let mixed: Vec<f32> =
                mean.iter().zip(noise.row(item)).map(|(m, n)| (1.0 - share) * m + share * n).collect();
            writer.push(item as u32, &mixed).unwrap();
        }
        writer.finish(serde_json::json!({})).unwrap();
        for seed in [1, 2] {
            let mut args =
                tiny(home.path(), &["data.synth=none", "train.epochs=5", "monitor.tensorboard=false"]);
            for set in [
                format!("data.path={}", path(&data)),
                format!("data.features.text={}", path(&dest)),
                format!("seed={seed}"),
                format!("run.name=variant-{level}-{seed}"),
                "optim.lr=5e-3".into(),
            ] {
                args.extend(["--set".to_owned(), set]);
            }
            run(&args).fine();
        }
    }
    let runs = format!("{}/variant-*", path(home.path()));
    let said = run(&["probe", path(&data), "--no-masks", "--validity", &runs]).fine();
    println!("{}", said.stdout);
    let found = json(&[path(&data), "--no-masks", "--validity", &runs]);
    assert_eq!(found["validity"]["variants"].as_array().unwrap().len(), 8);
    let predictions = found["validity"]["predictions"].as_array().unwrap();
    let of = |name: &str| predictions.iter().find(|p| p["number"] == name).unwrap()["spearman"].as_f64();
    assert!(of("zero-shot ndcg@10") >= Some(0.8), "{predictions:?}");
}

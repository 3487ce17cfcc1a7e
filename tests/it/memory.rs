//! A branch that counts, and weights of the ensemble that are fitted: in training, reports, lists and exports.

use std::path::Path;

use codistill::config::TieRule;
use codistill::data::{Part, Target};
use codistill::eval::inner_product::{Found, Query};
use codistill::eval::rank::Best;
use codistill::run::{Lists, OpenOptions, Run};
use serde_json::Value;

use crate::program::{path, run, tiny};

/// A tiny run of ODMT's three branches with a memory beside them.
fn remembering(home: &Path, more: &[&str]) -> Vec<String> {
    let sets =
        ["model.memory={ridge=5.0}", "model.ensemble.weights=fitted", "train.epochs=3", "optim.lr=3e-3"];
    tiny(home, &[&sets[..], more].concat())
}

fn opened(run_dir: &Path) -> Run {
    Run::open(run_dir, &OpenOptions { device: "cpu".into(), ..OpenOptions::default() }).unwrap()
}

fn metric(run_dir: &Path, name: &str) -> f64 {
    let text = std::fs::read_to_string(run_dir.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let scored = report["evaluations"][0]["scored"].as_array().unwrap();
    let own = scored.iter().find(|scored| scored["name"] == name).unwrap_or_else(|| panic!("no row {name}"));
    own["metrics"]["ndcg@10"].as_f64().unwrap()
}

#[test]
fn the_memory_stands_in_reports_and_every_rank_is_that_of_the_scores() {
    let home = tempfile::tempdir().unwrap();
    run(&remembering(home.path(), &[])).fine();
    let run_dir = home.path().join("quickstart");
    assert!(metric(&run_dir, "memory") > 0.0 && metric(&run_dir, "ensemble") > 0.0);
    let run = opened(&run_dir);
    let dataset = &run.model.setup().dataset;
    let mut scorer = run.model.scorer();
    assert_eq!(scorer.names(), ["ensemble", "id", "text", "image", "memory"]);
    let width = dataset.items.count() + 1;
    for part in [Part::Valid, Part::Test] {
        let targets: Vec<Target> = dataset.targets(part);
        let masks: Vec<Vec<u32>> = targets
            .iter()
            .map(|target| {
                let mut masked = dataset.history(target).to_vec();
                masked.sort_unstable();
                masked.dedup();
                masked
            })
            .collect();
        let each = targets.iter().zip(&masks);
        let queries: Vec<Query> =
            each.map(|(target, masked)| Query { target: target.item.0, masked, added: &[] }).collect();
        let ranked = scorer.rank(&targets, &queries, 10, None).unwrap().unwrap();
        let mut scores = vec![Vec::new(); 5];
        scorer.score(&targets, &mut scores).unwrap();
        for (n, query) in queries.iter().enumerate() {
            for (name, scores) in scores.iter().enumerate() {
                let mut row = scores[n * width..(n + 1) * width].to_vec();
                let all = Found::from_scores(&mut row, query, &mut Best::new(10));
                let own = &ranked[n][name];
                // Products in f32 and sums in f64 may part what is nearly level.
                let gap = own.standing.rank(TieRule::Mid) - all.standing.rank(TieRule::Mid);
                assert!(gap.abs() <= 1.0 || gap.is_nan(), "{part:?} {n} {name}: {gap}");
                assert_eq!(own.standing.missed, all.standing.missed, "{part:?} {n} {name}");
                let common = own.best.iter().filter(|item| all.best.contains(item)).count();
                assert!(common + 1 >= all.best.len(), "{part:?} {n} {name}: {:?} {:?}", own.best, all.best);
            }
        }
    }
}

#[test]
fn lists_of_the_program_and_of_the_library_are_those_of_the_ensemble() {
    let home = tempfile::tempdir().unwrap();
    run(&remembering(home.path(), &[])).fine();
    let run_dir = home.path().join("quickstart");
    let run_of = opened(&run_dir);
    let users = run_of.model.setup().dataset.users.clone();
    let lists = Lists::new(run_of).unwrap();
    let said = run(&["recommend", path(&run_dir), "--user", &users[3], "-k", "5", "--device", "cpu"]).fine();
    let own: Vec<String> =
        lists.recommend(&users[3], 5).unwrap().iter().map(|entry| entry.item.to_owned()).collect();
    for item in &own {
        assert!(said.stdout.contains(item.as_str()), "{item} is not in\n{}", said.stdout);
    }
}

#[test]
fn a_run_that_is_resumed_and_one_that_is_not_have_the_same_weights_and_report() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    run(&remembering(homes[0].path(), &[])).fine();
    run(&remembering(homes[1].path(), &["train.epochs=1"])).fine();
    let run_dir = homes[1].path().join("quickstart");
    run(&["train", "--resume", path(&run_dir), "--set", "train.epochs=3"]).fine();
    let read = |home: &Path, name: &str| std::fs::read(home.join("quickstart").join(name)).unwrap();
    let last = "steps/step-00000024/model.safetensors";
    for name in ["rows-test.parquet", last] {
        assert!(read(homes[0].path(), name) == read(homes[1].path(), name), "{name} differs");
    }
}

#[test]
fn what_is_trained_has_the_same_bits_with_a_memory_and_without() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    run(&tiny(homes[0].path(), &["train.metric=id/ndcg@10"])).fine();
    run(&tiny(homes[1].path(), &["train.metric=id/ndcg@10", "model.memory={}"])).fine();
    let read =
        |home: &Path| std::fs::read(home.join("quickstart/steps/step-00000016/model.safetensors")).unwrap();
    assert!(read(homes[0].path()) == read(homes[1].path()));
}

/// A tiny run whose ID branch learns from the memory.
fn taught(home: &Path, more: &[&str]) -> Vec<String> {
    let distill = "objective.distill={ alpha = 0.9, temperature = 1.0, pairs = [{ student = 'id', teacher = 'memory' }] }";
    tiny(home, &[&["model.memory={ridge=5.0}", distill], more].concat())
}

#[test]
fn a_memory_teaches_and_a_resumed_run_learns_the_same() {
    let homes = [(); 3].map(|()| tempfile::tempdir().unwrap());
    run(&taught(homes[0].path(), &[])).fine();
    run(&taught(homes[1].path(), &["train.epochs=1"])).fine();
    let run_dir = homes[1].path().join("quickstart");
    run(&["train", "--resume", path(&run_dir), "--set", "train.epochs=2"]).fine();
    run(&taught(homes[2].path(), &["objective.distill.pairs=[]"])).fine();
    let weights =
        |home: &Path| std::fs::read(home.join("quickstart/steps/step-00000016/model.safetensors")).unwrap();
    let [whole, resumed, untaught] = [0, 1, 2].map(|n| weights(homes[n].path()));
    assert!(whole == resumed && whole != untaught);
    let log = std::fs::read_to_string(homes[0].path().join("quickstart/metrics.jsonl")).unwrap();
    assert!(log.contains("distill/id_from_memory"), "{log}");
    for kind in ["full", "gbce"] {
        let mut args = taught(homes[2].path(), &[&format!("objective.kind={kind}")]);
        args[1] = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sasrec.toml").into();
        run(&args).refused("objective.distill.pairs", "in_batch");
    }
    run(&taught(homes[2].path(), &["model.memory=none"])).refused("objective.distill.pairs.0.teacher", "");
}

#[test]
fn settings_that_say_nothing_are_refused() {
    let home = tempfile::tempdir().unwrap();
    for (sets, what, hint) in [
        (&["model.memory={name='text'}"][..], "model.memory.name", "name of its own"),
        (&["model.memory={name='ensemble'}"], "model.memory.name", "name of its own"),
        (&["model.memory={neighbours=0}"], "model.memory.neighbours", ""),
        (&["model.memory={decay=1.5}"], "model.memory.decay", ""),
        (&["model.memory={sequence_decay=0}"], "model.memory.sequence_decay", ""),
        (&["model.memory={ridge=0}"], "model.memory.ridge", ""),
        (&["model.memory={weight=2}"], "model.memory", ""),
        (&["model.ensemble.weights=learned"], "model.ensemble.weights", ""),
    ] {
        run(&tiny(home.path(), sets)).refused(what, hint);
    }
    let mut alone = tiny(home.path(), &["model.ensemble.weights=fitted"]);
    alone[1] = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sasrec.toml").into();
    run(&alone).refused("model.ensemble.weights", "model.memory");
}

#[test]
fn a_view_that_is_hidden_from_a_trained_model_is_hidden_from_its_memory() {
    let home = tempfile::tempdir().unwrap();
    let sets = [
        "data.synth.users=120",
        "data.synth.items=80",
        "model.width=8",
        "train.batch_users=16",
        "train.epochs=2",
        "optim.lr=3e-3",
        "model.memory={ridge=5.0}",
        "model.ensemble.weights=fitted",
    ];
    let text = format!(
        "dir = {:?}\nname = \"study\"\nbase = {:?}\nset = {sets:?}\nseeds = [1]\nmetric = \"ndcg@10\"\n\
         conditions = [\"Q-text\", \"Q-id\"]\ngates = {{ collapsed = \"warn\", epoch_limit = \"warn\" }}\n",
        path(home.path()),
        concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml"),
    );
    let file = home.path().join("study.toml");
    std::fs::write(&file, text).unwrap();
    run(&["ablate", path(&file), "--device", "cpu", "--only", "C0,Q-text,Q-id"]).fine();
    let cell = |condition: &str| home.path().join("study").join(condition).join("seed-1");

    // Without the ID branch: what the others and the memory say, by the weights of the trained ensemble.
    let run = opened(&cell("C0"));
    let fitted = run.codistill().unwrap();
    let (dataset, weights) = (&run.model.setup().dataset, fitted.model.ensemble_weights());
    let (targets, width) = (dataset.targets(Part::Test), dataset.items.count() + 1);
    let mut scorer = run.model.scorer();
    let mut scores = vec![Vec::new(); 5];
    scorer.score(&targets, &mut scores).unwrap();
    let mut sum = 0.0;
    for (n, target) in targets.iter().enumerate() {
        let history = dataset.history(target);
        let row = weights.row(None, history.len());
        let score = |item: u32| {
            let own = |name: usize| scores[name][n * width + item as usize];
            let said = [own(2), own(3), own(4).max(0.0)];
            said.iter().zip(&row[1..]).map(|(score, weight)| f64::from(score * weight)).sum::<f64>()
        };
        let own = score(target.item.0);
        let others = (1..width as u32).filter(|item| *item != target.item.0 && !history.contains(item));
        let (mut above, mut level) = (0, 0);
        for item in others.map(score) {
            above += usize::from(item > own);
            level += usize::from(item == own);
        }
        let rank = 1.0 + above as f64 + level as f64 / 2.0;
        if rank <= 10.0 {
            sum += 1.0 / (1.0 + rank).log2();
        }
    }
    let (found, whole) = (metric(&cell("Q-id"), "ensemble"), metric(&cell("C0"), "ensemble"));
    assert!((found - sum / targets.len() as f64).abs() < 1e-4, "{found} {}", sum / targets.len() as f64);
    assert!(found != whole && metric(&cell("Q-text"), "ensemble") != found);
}

/// Validation figures by epoch, as the log has them.
fn validated(run_dir: &Path) -> Vec<Value> {
    let log = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["valid/memory/ndcg@10"].is_f64()).collect()
}

#[test]
fn a_training_may_wait_for_branches_while_the_ensemble_stands_still() {
    const NAMES: [&str; 5] = ["ensemble", "id", "text", "image", "memory"];
    let home = tempfile::tempdir().unwrap();
    let sets =
        ["model.memory={ridge=5.0}", "model.ensemble.weights=fitted", "train.patience=2", "optim.lr=5e-3"];
    let train = |name: &str, more: &[&str]| {
        let name = format!("run.name={name}");
        run(&tiny(home.path(), &[&sets[..], &[&name], more].concat())).fine();
    };
    // Evaluations until two in a row bring nothing better in any of these figures.
    let until_stale = |figures: &[Value], names: &[&str]| {
        let (mut best, mut stale) = (vec![f64::NEG_INFINITY; names.len()], 0);
        let ended = figures.iter().position(|line| {
            let mut rises = false;
            for (best, name) in best.iter_mut().zip(names) {
                let value = line[format!("valid/{name}/ndcg@10")].as_f64().unwrap();
                rises |= value > *best;
                *best = best.max(value);
            }
            stale = if rises { 0 } else { stale + 1 };
            stale == 2
        });
        ended.map(|n| n + 1)
    };
    train("metric", &["train.epochs=40"]);
    let figures = validated(&home.path().join("metric"));
    assert_eq!(until_stale(&figures, &NAMES[..1]), Some(figures.len()));

    let of = "train.patience_of=branches";
    train("branches", &["train.epochs=40", of]);
    let longer = validated(&home.path().join("branches"));
    assert_eq!(until_stale(&longer, &NAMES), Some(longer.len()));
    assert!(longer.len() > figures.len() && longer.len() < 40, "{} and {}", longer.len(), figures.len());
    // A run that was left in between waits for the same figures.
    let left = format!("train.epochs={}", figures.len());
    train("left", &[&left, of]);
    run(&["train", "--resume", path(&home.path().join("left")), "--set", "train.epochs=40"]).fine();
    assert_eq!(validated(&home.path().join("left")).len(), longer.len());
}

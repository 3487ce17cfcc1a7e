//! Figures and weights of small trainings, held to the last bit.
//!
//! `tests/fixtures/bits.json` keeps, for the CPU features it names, a hash of what each training wrote to `metrics.jsonl`
//! (times, speeds and memory left out) and of the weights under the authors' names. A change of structure must leave
//! both as they are; one that means to change numbers writes the file anew and says why:
//! `CODISTILL_WRITE_BITS=tests/fixtures/bits.json cargo test --release --test it bits::`.

use std::collections::BTreeMap;
use std::path::Path;

use codistill::hex::hex;
use codistill::tensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::need::need;
use crate::program::{path, run};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bits.json");

/// Name, configuration, and what is set in it.
type Case = (&'static str, &'static str, &'static [&'static str]);

const SMALL: [&str; 4] =
    ["data.synth.users=400", "data.synth.items=300", "train.epochs=2", "train.batch_users=32"];

const CASES: [Case; 14] = [
    ("quickstart", "quickstart", &[]),
    ("sasrec-in-batch", "sasrec", &SMALL),
    ("sasrec-sampled", "sasrec", &["objective.kind=sampled", "objective.negatives.count=20"]),
    ("sasrec-popular", "sasrec", &["objective.kind=sampled", "objective.negatives.draw=popularity"]),
    ("sasrec-gbce", "sasrec", &["objective.kind=gbce", "objective.negatives.count=20"]),
    ("sasrec-full", "sasrec", &["objective.kind=full"]),
    ("sasrec-row-sparse", "sasrec", &["optim.id_table=row_sparse", "train.accumulate=2"]),
    ("sasrec-sampled-row-sparse", "sasrec", &["objective.kind=sampled", "optim.id_table=row_sparse"]),
    ("gru4rec", "gru4rec", &[]),
    ("nextitnet", "nextitnet", &[]),
    ("late-fusion", "late-fusion", &["data.windows=all", "model.item_dropout=0.1"]),
    (
        "odmt-detached",
        "quickstart",
        &[
            "objective.distill.teacher=detached",
            "objective.distill.divergence=kl",
            "optim.schedule=cosine",
            "optim.warmup_steps=5",
            "optim.decay=matrices",
        ],
    ),
    (
        "odmt-from-features",
        "quickstart",
        &[
            "model.views.0.init=features",
            "model.views.0.init_views=[\"text\", \"image\"]",
            "train.savings.distinct_items=false",
        ],
    ),
    ("cold-sampled", "late-fusion", &["data.cold.share=0.2", "objective.kind=sampled"]),
];

/// Hashes of one training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bits {
    metrics: String,
    weights: String,
}

/// Hashes by case, for CPUs with `features`.
#[derive(Debug, Serialize, Deserialize)]
struct Fixture {
    features: Vec<String>,
    cases: BTreeMap<String, Bits>,
}

/// What of this CPU decides how sums are rounded.
fn cpu_features() -> Vec<String> {
    #[cfg(target_arch = "x86_64")]
    let found = [
        ("x86_64", true),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
        ("kernels", codistill::ops::kernels_are_on()),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let found = [(std::env::consts::ARCH, true), ("kernels", codistill::ops::kernels_are_on())];
    found.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned()).collect()
}

/// Hash of all figures that do not measure the machine, with their tags and steps.
fn metrics_of(run_dir: &Path) -> String {
    let mut hash = Sha256::new();
    for line in std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap().lines() {
        let figures: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let kept = figures.iter().filter(|(tag, _)| {
            tag.as_str() != "time" && !tag.starts_with("perf/") && !tag.starts_with("memory/")
        });
        kept.for_each(|(tag, value)| hash.update(format!("{tag}={value}\n")));
    }
    hex(hash.finalize())
}

/// Hash of names, shapes and values of the exported weights.
fn weights_of(export: &Path) -> String {
    let mut hash = Sha256::new();
    for (name, tensor) in tensors::read(&export.join("weights.safetensors")).unwrap() {
        hash.update(format!("{name} {:?}\n", tensor.shape));
        tensor.values.iter().for_each(|value| hash.update(value.to_bits().to_le_bytes()));
    }
    hex(hash.finalize())
}

fn trained((name, config, sets): Case, home: &Path) -> Bits {
    let config = format!("{}/configs/{config}.toml", env!("CARGO_MANIFEST_DIR"));
    let size: &[&str] = if name == "quickstart" { &["train.epochs=3"] } else { &SMALL };
    let dir = format!("run.dir={}", path(home));
    let run_name = format!("run.name={name}");
    let own = [dir.as_str(), run_name.as_str(), "monitor.log_every=1"];
    let mut args = vec!["train", &config, "--device", "cpu"];
    args.extend(own.iter().chain(size).chain(sets).flat_map(|set| ["--set", set]));
    run(&args).fine();
    let (run_dir, export) = (home.join(name), home.join(format!("{name}-export")));
    run(&["export", path(&run_dir), "--output", path(&export), "--device", "cpu"]).fine();
    Bits { metrics: metrics_of(&run_dir), weights: weights_of(&export) }
}

#[test]
fn figures_and_weights_equal_the_recorded_ones_to_the_last_bit() {
    let features = cpu_features();
    let target = std::env::var_os("CODISTILL_WRITE_BITS");
    let recorded: Vec<Fixture> = std::fs::read_to_string(FIXTURE)
        .map_or_else(|_| Vec::new(), |text| serde_json::from_str(&text).unwrap());
    let mine = recorded.iter().find(|fixture| fixture.features == features);
    let known = (mine.is_some() || target.is_some()).then_some(());
    if need("bits", known.ok_or_else(|| format!("none are recorded for a CPU with {features:?}"))).is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cases: BTreeMap<String, Bits> =
        CASES.into_iter().map(|case| (case.0.to_owned(), trained(case, home.path()))).collect();
    if let Some(target) = target {
        let mut all: Vec<Fixture> =
            recorded.into_iter().filter(|fixture| fixture.features != features).collect();
        all.push(Fixture { features, cases });
        std::fs::write(target, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
        return;
    }
    let other: Vec<&String> = cases
        .iter()
        .filter(|(name, bits)| mine.unwrap().cases.get(*name) != Some(*bits))
        .map(|(name, _)| name)
        .collect();
    assert!(other.is_empty(), "other figures or weights than recorded: {other:?}");
    assert_eq!(mine.unwrap().cases.len(), cases.len(), "a recorded case is no longer run");
}

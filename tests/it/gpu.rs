//! One training step on a GPU device equals the CPU's, with and without kernel fusion, and so does a short training.
//!
//! On a machine without a GPU a software Vulkan device stands in, in a build without the features `autotune`, because
//! tuning kernels there takes longer than anybody waits, and `spirv`, because such devices lack an extension that
//! CubeCL's own compiler needs:
//!
//!     cargo test --release --no-default-features --features wgpu,fusion --test it gpu::
//!
//! Each variant runs in a process of its own, because Burn reads its settings once, and under a time limit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use codistill::config::{OptimConfig, SavingsConfig};
use codistill::device;
use codistill::params;
use codistill::systems::codistill::step::{Dropout, Step};
use codistill::train::optim::AdamW;
use codistill::train::system::Phase;
use codistill::train::update::{Rates, update};

use crate::fixture::{Case, ITEMS, World};
use crate::need::need;
use crate::program::{codistill, tiny};

/// Hard limit of one process; a software device takes minutes to compile its kernels.
const LIMIT: Duration = Duration::from_mins(15);

/// An error where this build has nothing to compare on this machine.
fn gpu() -> Result<(), &'static str> {
    let gpus: Vec<_> = device::list().into_iter().filter(|found| found.flag != "cpu").collect();
    if gpus.is_empty() {
        return Err("this machine has none, not even a software one");
    }
    let tunes = cfg!(any(feature = "autotune", feature = "spirv"));
    if tunes && gpus.iter().all(|found| found.software) {
        return Err("a software GPU needs a build without `autotune` and `spirv`");
    }
    Ok(())
}

/// Runs a command to its end, which must be a good one.
fn within_the_limit(mut command: Command) {
    // One at a time: a software device takes every core.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let start = Instant::now();
    let mut child = command.stdout(Stdio::inherit()).stderr(Stdio::inherit()).spawn().unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("it took longer than {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    println!("{:.0} s: {command:?}", start.elapsed().as_secs_f64());
    assert!(status.success());
}

/// Runs [`child_compares_one_step`] with the given environment.
#[track_caller]
fn in_a_process_of_its_own(environment: &[(&str, &str)]) {
    if need("gpu", gpu()).is_none() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "gpu::child_compares_one_step", "--nocapture"])
        .env("CUBECL_AUTOTUNE_LEVEL", "minimal")
        .envs(environment.iter().copied());
    within_the_limit(command);
}

#[test]
fn one_fused_step_on_the_gpu_equals_the_cpu_step() {
    in_a_process_of_its_own(&[]);
}

#[test]
fn one_unfused_step_on_the_gpu_equals_the_cpu_step() {
    in_a_process_of_its_own(&[("BURN_FUSION_MAX_EXPLORATIONS", "0")]);
}

/// Losses of every step, norms of every gradient and all validation metrics, by line and name.
fn curve(run: &Path) -> Vec<(String, f64)> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().enumerate().flat_map(|(n, line)| {
        let all: BTreeMap<String, f64> = serde_json::from_str(line).unwrap();
        let compared = |tag: &str| tag.starts_with("train/") || tag.starts_with("valid/");
        let kept = all.into_iter().filter(move |(tag, _)| compared(tag));
        kept.map(move |(tag, value)| (format!("line {n}, {tag}"), value)).collect::<Vec<_>>()
    });
    lines.collect()
}

#[test]
fn a_training_on_the_gpu_has_the_curve_of_the_cpu() {
    if need("gpu", gpu()).is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let curves = ["cpu", "wgpu"].map(|device| {
        let home = home.path().join(device);
        let mut args = tiny(&home, &["train.epochs=3", "data.max_seq_len=6"]);
        let at = args.iter().position(|arg| arg == "cpu").unwrap();
        device.clone_into(&mut args[at]);
        within_the_limit(codistill(&args));
        curve(&home.join("quickstart"))
    });
    let [cpu, gpu] = curves;
    assert!(cpu.len() > 100 && cpu.len() == gpu.len(), "{} and {} values", cpu.len(), gpu.len());
    let mut worst = (0.0, &cpu[0].0);
    for ((name, a), (other, b)) in cpu.iter().zip(&gpu) {
        assert_eq!(name, other);
        let gap = (a - b).abs() / a.abs().max(1e-3);
        if gap > worst.0 {
            worst = (gap, name);
        }
    }
    println!("largest relative gap of {} values: {:.1e} ({})", cpu.len(), worst.0, worst.1);
    // A rank that ties within rounding may move a metric of a small data set visibly; losses may not.
    assert!(worst.0 < 1e-3, "{worst:?}");
}

/// Losses, every gradient and every updated weight of one step with dropout.
struct OneStep {
    losses: Vec<f64>,
    gradients: BTreeMap<String, Vec<f32>>,
    weights: BTreeMap<String, Vec<f32>>,
}

fn one_step(world: &World, device: &Device) -> OneStep {
    let case = Case::main(SavingsConfig::default());
    let model = world.model(&case, "none.", device);
    let branches = ["id", "text", "image"].map(String::from);
    let objective = codistill::objective::Objective::new(&case.objective_config(), &branches, ITEMS);
    // Every device computes the same noise, so that dropout is part of the comparison.
    let step = Step::new(
        objective,
        device,
        Dropout { elements: 0.1, item_vectors: 0.1 },
        case.savings.length_groups,
    );
    let batch = world.batch(&world.main.ints("in.item_ids"), &case);
    let (losses, grads) = step.gradients(&model, &batch, 15);
    let gradients = grads.iter().map(|(name, g)| (name.clone(), params::host(g.values()))).collect();
    let config = OptimConfig::default();
    let frozen = BTreeSet::new();
    let rates = Rates { lr: config.lr, clip_norm: config.clip_norm, frozen: &frozen };
    let batches = std::slice::from_ref(&batch);
    let (model, found) = update(&step, &mut AdamW::new(&config), model, batches, Phase::whole(15), rates);
    // The same step again; a GPU may have found a faster kernel by now, which rounds otherwise.
    let again = found.losses[0].total;
    assert!((again - losses.total).abs() <= 1e-5 * losses.total.abs(), "{again} and {}", losses.total);
    let norm = found.grad_norm;
    let weights = params::read(&model).into_iter().map(|(name, v)| (name, v.values)).collect();
    let losses = [vec![losses.total, norm], losses.parts_named("")].concat();
    OneStep { losses, gradients, weights }
}

#[test]
#[ignore = "run by the two tests above, in a process of its own"]
fn child_compares_one_step() {
    let world = World::load();
    let gpu = device::open("wgpu").unwrap();
    println!("{}", gpu.name);
    let cpu = one_step(&world, &Device::flex().autodiff());
    let ours = one_step(&world, &gpu.device.autodiff());
    for (a, b) in ours.losses.iter().zip(&cpu.losses) {
        assert!((a - b).abs() <= 2e-5 * b.abs(), "losses {:?} {:?}", ours.losses, cpu.losses);
    }
    assert_eq!(ours.gradients.keys().collect::<Vec<_>>(), cpu.gradients.keys().collect::<Vec<_>>());
    let norm =
        |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let mut worst = (0.0, String::new());
    for (name, expected) in &cpu.gradients {
        let gap = norm(&mut ours.gradients[name].iter().zip(expected).map(|(a, b)| a - b));
        let relative = gap / norm(&mut expected.iter().copied()).max(1e-12);
        if relative > worst.0 {
            worst = (relative, name.clone());
        }
    }
    println!("largest relative gap of a gradient: {:.1e} ({})", worst.0, worst.1);
    assert!(worst.0 < 1e-4, "{worst:?}");
    for (name, expected) in &cpu.weights {
        let clear = |i: usize| cpu.gradients.get(name).is_none_or(|g| g[i].abs() > 1e-5);
        for (i, (a, b)) in ours.weights[name].iter().zip(expected).enumerate() {
            // Where the gradient is near 0 its sign, and so the step, is rounding.
            assert!(!clear(i) || (a - b).abs() < 2e-6, "{name}[{i}]: {a} {b}");
        }
    }
}

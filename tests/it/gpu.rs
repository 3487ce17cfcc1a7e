//! One training step on a GPU device equals the CPU's, with and without kernel fusion.
//!
//! On a machine without a GPU a software Vulkan device stands in, in a build without the features `autotune`, because
//! tuning kernels there takes longer than anybody waits, and `spirv`, because such devices lack an extension that
//! CubeCL's own compiler needs:
//!
//!     cargo test --release --no-default-features --features wgpu,fusion --test it gpu::
//!
//! Each variant runs in a process of its own, because Burn reads its settings once, and under a time limit.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use burn::tensor::{Device, DeviceKind};
use burn_wgpu::WgpuBackend;
use codistill::config::{OptimConfig, SavingsConfig};
use codistill::device;
use codistill::model::params;
use codistill::train::optim::AdamW;
use codistill::train::step::{Dropout, Step};
use codistill::train::update::{Rates, update};

use crate::fixture::{Case, ITEMS, World};

/// Hard limit of one variant; a software device takes minutes to compile its kernels.
const LIMIT: Duration = Duration::from_mins(15);

/// The machine's GPU, else a software one, else why there is nothing to compare.
fn gpu() -> Result<(Device, String), String> {
    if device::list().iter().any(|found| found.flag != "cpu" && !found.software) {
        let gpu = device::open("wgpu").map_err(|e| e.to_string())?;
        return Ok((gpu.device, gpu.name));
    }
    if cfg!(any(feature = "autotune", feature = "spirv")) {
        return Err(
            "this machine has no GPU, and a software one needs a build without `autotune` and `spirv`".into(),
        );
    }
    let options = Device::wgpu_options().device_kind(DeviceKind::Cpu).graphics_api(WgpuBackend::Vulkan);
    let (device, setup) = options.init_with_setup().map_err(|e| format!("no software Vulkan device: {e}"))?;
    let info = setup.adapter.get_info();
    Ok((device, format!("{} ({:?}, {} {})", info.name, info.backend, info.driver, info.driver_info)))
}

/// Runs [`child_compares_one_step`] with the given environment and returns its output.
fn in_a_process_of_its_own(environment: &[(&str, &str)]) {
    // One at a time: a software device takes every core.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let start = Instant::now();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "gpu::child_compares_one_step", "--nocapture"])
        .env("CUBECL_AUTOTUNE_LEVEL", "minimal")
        .envs(environment.iter().copied())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("the step took longer than {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    println!("{environment:?}: {:.0} s", start.elapsed().as_secs_f64());
    assert!(status.success(), "{environment:?}");
}

#[test]
fn one_fused_step_on_the_gpu_equals_the_cpu_step() {
    in_a_process_of_its_own(&[]);
}

#[test]
fn one_unfused_step_on_the_gpu_equals_the_cpu_step() {
    in_a_process_of_its_own(&[("BURN_FUSION_MAX_EXPLORATIONS", "0")]);
}

/// Losses, every gradient and every updated weight of one step with dropout.
struct OneStep {
    losses: Vec<f64>,
    gradients: std::collections::BTreeMap<String, Vec<f32>>,
    weights: std::collections::BTreeMap<String, Vec<f32>>,
}

fn one_step(world: &World, device: &Device) -> OneStep {
    let case = Case::main(SavingsConfig::default());
    let mut model = world.model(&case, "none.", device);
    let branches = ["id", "text", "image"].map(String::from);
    let objective = codistill::objective::Objective::new(&case.objective_config(), &branches, ITEMS);
    // Every device computes the same noise, so that dropout is part of the comparison.
    let step =
        Step::new(objective, device, Dropout { elements: 0.1, items: 0.1 }, case.savings.length_groups);
    let batch = world.batch(&world.main.ints("in.item_ids"), &case);
    let (losses, grads) = step.gradients(&model, &batch, 15);
    let gradients = grads.iter().map(|(name, g)| (name.clone(), params::host(g.values()))).collect();
    let config = OptimConfig::default();
    let rates = Rates { lr: config.lr, clip_norm: config.clip_norm };
    let batches = std::slice::from_ref(&batch);
    let found = update(&step, &mut AdamW::new(&config), &mut model, batches, 15, rates);
    assert_eq!(found.losses, [losses.clone()], "the same step again");
    let norm = found.grad_norm;
    let weights = params::read(&model).into_iter().map(|(name, v)| (name, v.values)).collect();
    let losses = [vec![losses.total, norm], losses.branches, losses.pairs].concat();
    OneStep { losses, gradients, weights }
}

#[test]
#[ignore = "run by the two tests above, in a process of its own"]
fn child_compares_one_step() {
    let world = World::load();
    let (gpu, name) = match gpu() {
        Ok(found) => found,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    println!("{name}");
    let cpu = one_step(&world, &Device::flex().autodiff());
    let ours = one_step(&world, &gpu.autodiff());
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

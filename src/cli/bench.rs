//! `codistill bench`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::setup::open_device;
use super::{Exit, Failure, Terminal};
use crate::bench::flops::{self, Flops};
use crate::bench::judging::Ranking;
use crate::bench::training::{self, StepTime};
use crate::bench::workload::{NAMES, Workload};
use crate::bench::{
    BenchError, Judging, Kind, Loaded, Machine, Profile, Steps, Summary, Training, disk, machine,
};
use crate::device::{Opened, process_memory};

const GIB: f64 = (1u64 << 30) as f64;

#[derive(Debug, Args)]
#[command(after_help = "\
Every number is a pure function of the workload's seed, and --write makes a directory that programs in other languages \
read too (workload.json, workload.safetensors). With --json: one line per timed step, then one with the event `done`.

Examples:
  codistill bench list
  codistill bench odmt-small --profile sparse
  codistill bench odmt-paper --set users=32 --write /tmp/paper-32
  codistill bench odmt-paper --workload /tmp/paper-32 --warmup 1 --steps 3 --json")]
pub struct BenchArgs {
    /// A workload; `list` shows all; `machine` measures the machine alone.
    name: String,
    /// How long histories and texts are, and which items are frequent. Default: sparse.
    #[arg(long, value_enum, conflicts_with = "workload")]
    profile: Option<Profile>,
    /// Override a dimension, e.g. `users=64` or `width=128`.
    #[arg(long = "set", value_name = "KEY=NUMBER", conflicts_with = "workload")]
    sets: Vec<String>,
    /// Write the workload to a new directory instead of running it.
    #[arg(long, value_name = "DIR", conflicts_with = "workload")]
    write: Option<PathBuf>,
    /// Run a workload that was written before. Default: generate it.
    #[arg(long, value_name = "DIR")]
    workload: Option<PathBuf>,
    /// Steps before the first timed one.
    #[arg(long, default_value_t = 3)]
    warmup: usize,
    /// Timed steps; of an evaluation: repetitions.
    #[arg(long, default_value_t = NonZeroUsize::new(20).unwrap_or(NonZeroUsize::MIN))]
    steps: NonZeroUsize,
    /// CPU threads. Default: all.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// auto, cpu or wgpu[:N].
    #[arg(long, default_value = "auto")]
    device: String,
    /// Probability of every dropout, instead of the workload's.
    #[arg(long)]
    dropout: Option<f64>,
    /// Override a configuration key of our own run, as `train --set` does, e.g. `optim.decay=matrices`.
    #[arg(long = "config-set", value_name = "KEY=VALUE", conflicts_with = "write")]
    config_sets: Vec<String>,
}

pub fn run(args: &BenchArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    if args.name == "list" {
        return list(terminal);
    }
    if let Some(threads) = args.threads {
        // The pool of every parallel loop and matrix product of the process.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global();
        pool.map_err(|e| Failure { exit: Exit::Ours, message: e.to_string(), hint: None })?;
    }
    if args.name == "machine" {
        let device = open_device(&args.device, terminal)?;
        return report_machine(&Machine::measure(&device.device)?, &device, terminal);
    }
    if let Some(dir) = &args.write {
        let workload = described(args)?;
        disk::write(&workload, dir)?;
        terminal.say(format!("{}: {}, {}", dir.display(), workload.name, workload.shape()));
        return Ok(Exit::Done);
    }
    let home;
    let mut loaded = if let Some(dir) = &args.workload {
        open_named(dir, &args.name)?
    } else {
        let workload = described(args)?;
        terminal.say(format!("generating {}, {}", workload.name, workload.shape()));
        home = tempfile::tempdir().map_err(|e| Failure::io(&std::env::temp_dir(), &e))?;
        let dir = home.path().join("workload");
        disk::write(&workload, &dir)?;
        Loaded::open(&dir)?
    };
    if let Some(dropout) = args.dropout {
        loaded.workload.dropout = dropout;
    }
    let device = open_device(&args.device, terminal)?;
    let steps = Steps { warmup: args.warmup, timed: args.steps.get() };
    if loaded.workload.kind == Kind::Evaluate {
        judge(&loaded, &args.config_sets, steps, &device, terminal)
    } else {
        train(&loaded, &args.config_sets, steps, &device, terminal)
    }
}

/// The workload that the arguments describe, of shapes that make a model.
fn described(args: &BenchArgs) -> Result<Workload, Failure> {
    let mut workload = Workload::named(&args.name, args.profile.unwrap_or(Profile::Sparse))?;
    args.sets.iter().try_for_each(|set| workload.set(set))?;
    if let Some(dropout) = args.dropout {
        workload.dropout = dropout;
    }
    training::config(&workload, Path::new("."), &args.config_sets)?;
    Ok(workload)
}

fn open_named(dir: &Path, name: &str) -> Result<Loaded, BenchError> {
    if !NAMES.contains(&name) {
        return Err(BenchError::Unknown(name.to_owned()));
    }
    let loaded = Loaded::open(dir)?;
    if loaded.workload.name != name {
        let found = loaded.workload.name;
        return Err(BenchError::OtherWorkload { dir: dir.to_owned(), found, wanted: name.to_owned() });
    }
    Ok(loaded)
}

fn train(
    loaded: &Loaded,
    sets: &[String],
    steps: Steps,
    device: &Opened,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let mut training = Training::new(loaded, sets, &device.device)?;
    let mut times: Vec<StepTime> = Vec::new();
    training.run(steps, &mut |step| {
        times.push(*step);
        print_line(terminal, &step_line(step))
    })?;
    let n = times.len() as f64;
    let mean = |of: fn(&StepTime) -> f64| times.iter().map(of).sum::<f64>() / n;
    let flops = Flops { reference: mean(|t| t.flops.reference), ours: mean(|t| t.flops.ours) };
    let done = Done { parameters: training.parameters(), flops, peak: peak() };
    if terminal.json {
        return done.print(device, terminal);
    }
    let summary = Summary::of(times.iter().map(|t| t.seconds));
    let part = |of: fn(&StepTime) -> f64| Summary::of(times.iter().map(of)).median;
    let per_second = |count: f64| count / summary.median;
    let rows = vec![
        ("step", times_text(&summary, steps)),
        (
            "of it",
            format!(
                "batch {:.4} s, gradients {:.4} s, update {:.4} s (medians)",
                part(|t| t.batch_seconds),
                part(|t| t.gradient_seconds),
                part(|t| t.update_seconds)
            ),
        ),
        (
            "rate",
            format!(
                "{:.3} steps/s, {:.0} encoded items/s, {:.0} positions/s",
                per_second(1.0),
                per_second(mean(|t| t.items as f64)),
                per_second(mean(|t| t.positions as f64))
            ),
        ),
        (
            "batch",
            format!(
                "{:.0} distinct items, {:.0} positions",
                mean(|t| t.items as f64),
                mean(|t| t.positions as f64)
            ),
        ),
        ("loss", format!("{:.4} to {:.4}", times[0].loss, times[times.len() - 1].loss)),
        ("parameters", done.parameters.to_string()),
    ];
    table(&loaded.workload, rows, &done, summary.median, device, terminal)
}

fn judge(
    loaded: &Loaded,
    sets: &[String],
    steps: Steps,
    device: &Opened,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let mut judging = Judging::new(loaded, sets, &device.device)?;
    let mut rankings: Vec<Ranking> = Vec::new();
    judging.run(steps, &mut |ranking| {
        rankings.push(ranking.clone());
        print_line(terminal, &ranking_line(ranking))
    })?;
    let count = flops::ranking(&loaded.workload);
    let done = Done { parameters: 0, flops: Flops { reference: count, ours: count }, peak: peak() };
    if terminal.json {
        return done.print(device, terminal);
    }
    let summary = Summary::of(rankings.iter().map(|r| r.seconds));
    let mut rows = vec![
        ("ranking", times_text(&summary, steps)),
        ("rate", format!("{:.0} targets/s", loaded.workload.users as f64 / summary.median)),
    ];
    for scored in rankings.iter().take(1).flat_map(|r| &r.evaluation.scored) {
        let figure = |name: &str| scored.metrics.get(name).copied().unwrap_or(f64::NAN);
        rows.push((
            scored.name.as_str(),
            format!("recall@10 {:.6}, ndcg@10 {:.6}", figure("recall@10"), figure("ndcg@10")),
        ));
    }
    table(&loaded.workload, rows, &done, summary.median, device, terminal)
}

/// What stands at the end of every run.
struct Done {
    parameters: usize,
    /// Per step.
    flops: Flops,
    /// In bytes, where the system tells it.
    peak: Option<u64>,
}

impl Done {
    fn print(&self, device: &Opened, terminal: &Terminal) -> Result<Exit, Failure> {
        let line = json!({
            "event": "done",
            "peak_rss_bytes": self.peak,
            "parameters": self.parameters,
            "contender": "codistill",
            "flops_reference": self.flops.reference,
            "flops_ours": self.flops.ours,
            "threads": rayon::current_num_threads(),
            "device": device.flag,
        });
        terminal.data(&line.to_string())?;
        Ok(Exit::Done)
    }
}

fn step_line(step: &StepTime) -> Value {
    json!({
        "event": "step",
        "index": step.index,
        "seconds": step.seconds,
        "loss": step.loss,
        "batch_seconds": step.batch_seconds,
        "gradient_seconds": step.gradient_seconds,
        "update_seconds": step.update_seconds,
    })
}

fn ranking_line(ranking: &Ranking) -> Value {
    let metrics: serde_json::Map<String, Value> = ranking
        .evaluation
        .scored
        .iter()
        .map(|scored| {
            let figure = |name: &str| scored.metrics.get(name).copied();
            let figures = json!({ "recall@10": figure("recall@10"), "ndcg@10": figure("ndcg@10") });
            (scored.name.clone(), figures)
        })
        .collect();
    json!({ "event": "step", "index": ranking.index, "seconds": ranking.seconds, "metrics": metrics })
}

/// A line of JSON where that is asked for.
fn print_line(terminal: &Terminal, line: &Value) -> Result<(), BenchError> {
    if !terminal.json {
        return Ok(());
    }
    // Stdout that can't be written is the only failure.
    terminal
        .data(&line.to_string())
        .map_err(|failure| BenchError::Malformed { path: "stdout".into(), reason: failure.message })
}

fn peak() -> Option<u64> {
    process_memory().map(|(_, peak)| peak)
}

fn times_text(summary: &Summary, steps: Steps) -> String {
    let Summary { median, p10, p90 } = summary;
    format!(
        "{median:.4} s median, {p10:.4} p10, {p90:.4} p90, spread {:.1} % ({} after {} of warm-up)",
        100.0 * summary.spread(),
        steps.timed,
        steps.warmup
    )
}

/// Prints a run beside what the machine can do, which is measured only now: its buffers must not count as memory
/// of the run.
fn table(
    workload: &Workload,
    mut rows: Vec<(&str, String)>,
    done: &Done,
    median: f64,
    device: &Opened,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let machine = Machine::measure(&device.device)?;
    let achieved = done.flops.ours / median / 1e9;
    let memory =
        done.peak.map_or_else(|| "unknown".into(), |peak| format!("{:.3} GiB peak", peak as f64 / GIB));
    rows.push(("memory", memory));
    rows.push((
        "arithmetic",
        format!(
            "{} reference graph, {} reduced graph a step",
            operations(done.flops.reference),
            operations(done.flops.ours)
        ),
    ));
    let share = 100.0 * achieved / machine.matmul_gflops;
    rows.push((
        "achieved",
        format!("{achieved:.1} GFLOP/s of the reduced graph, {share:.0} % of the machine"),
    ));
    rows.push(("machine", machine_text(&machine)));
    rows.push(("device", format!("{}: {}", device.flag, device.name)));
    let head = format!("{}, {}: {}\n", workload.name, workload.profile.name(), workload.shape());
    terminal.data(&(head + &aligned(&rows)))?;
    Ok(Exit::Done)
}

fn report_machine(machine: &Machine, device: &Opened, terminal: &Terminal) -> Result<Exit, Failure> {
    if terminal.json {
        let line = json!({
            "event": "machine",
            "matmul_gflops": machine.matmul_gflops,
            "copy_gb_per_s": machine.copy_gb_per_s,
            "threads": machine.threads,
            "device": device.flag,
            "name": device.name,
        });
        terminal.data(&line.to_string())?;
        return Ok(Exit::Done);
    }
    let rows = [("machine", machine_text(machine)), ("device", format!("{}: {}", device.flag, device.name))];
    terminal.data(&aligned(&rows))?;
    Ok(Exit::Done)
}

fn machine_text(machine: &Machine) -> String {
    format!(
        "{:.0} GFLOP/s in a product of {side} x {side}, {:.1} GB/s copied (read and written), {} threads",
        machine.matmul_gflops,
        machine.copy_gb_per_s,
        machine.threads,
        side = machine::SIDE
    )
}

fn operations(flops: f64) -> String {
    if flops >= 1e12 { format!("{:.2} TFLOP", flops / 1e12) } else { format!("{:.3} GFLOP", flops / 1e9) }
}

fn aligned(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect()
}

fn list(terminal: &Terminal) -> Result<Exit, Failure> {
    let named = |name: &&str| Workload::named(name, Profile::Dense);
    let workloads = NAMES.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    if terminal.json {
        let rows: Vec<Value> = workloads
            .iter()
            .map(|w| json!({ "workload": w, "purpose": Workload::purpose(&w.name) }))
            .collect();
        terminal.data_json(&rows)?;
        return Ok(Exit::Done);
    }
    let rows: String = workloads
        .iter()
        .map(|w| format!("{:<12} {}\n{:<12} {}\n", w.name, w.shape(), "", Workload::purpose(&w.name)))
        .collect();
    terminal.data(&rows)?;
    Ok(Exit::Done)
}

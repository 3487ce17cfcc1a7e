//! What a run prints: lines of JSON, or a table beside what the machine can do.

use serde_json::{Value, json};

use super::super::{Exit, Failure, Terminal};
use codistill::bench::flops::Flops;
use codistill::bench::{BenchError, Loaded, Machine, Steps, Summary, machine as machine_of};
use codistill::device::{Opened, process_memory};
use codistill::table::listing;

const GIB: f64 = (1u64 << 30) as f64;

/// A workload and how it is to be run.
pub(super) struct Run<'a> {
    pub loaded: &'a Loaded,
    /// `key=value` of the configuration.
    pub sets: &'a [String],
    pub steps: Steps,
    pub device: &'a Opened,
    pub terminal: &'a Terminal,
}

/// Name and text.
pub(super) type Row<'a> = (&'a str, String);

/// What stands at the end of every run.
pub(super) struct Done {
    parameters: usize,
    /// Per step; 0 where there are no products.
    flops: Flops,
    /// In bytes, where the system tells it.
    peak: Option<u64>,
}

impl Done {
    /// With the peak memory up to now.
    pub fn now(parameters: usize, flops: Flops) -> Self {
        Self { parameters, flops, peak: process_memory().map(|(_, peak)| peak) }
    }

    fn line(&self, device: &Opened) -> Value {
        json!({
            "event": "done",
            "peak_rss_bytes": self.peak,
            "parameters": self.parameters,
            "contender": "codistill",
            "flops_reference": self.flops.reference,
            "flops_ours": self.flops.ours,
            "threads": rayon::current_num_threads(),
            "device": device.flag,
        })
    }
}

/// A line of JSON where that is asked for.
pub(super) fn print_line(terminal: &Terminal, line: &Value) -> Result<(), BenchError> {
    if !terminal.json {
        return Ok(());
    }
    // Stdout that can't be written is the only failure.
    terminal
        .data(&line.to_string())
        .map_err(|failure| BenchError::Malformed { path: "stdout".into(), reason: failure.message })
}

pub(super) fn times_text(summary: &Summary, steps: Steps) -> String {
    let Summary { median, p10, p90 } = summary;
    format!(
        "{median:.4} s median, {p10:.4} p10, {p90:.4} p90, spread {:.1} % ({} after {} of warm-up)",
        100.0 * summary.spread(),
        steps.timed,
        steps.warmup
    )
}

/// The last line of JSON; or a run's `rows`, beside what the machine can do, which is measured only now: its buffers
/// must not count as memory of the run.
pub(super) fn finish(run: &Run, mut rows: Vec<Row<'_>>, done: &Done, median: f64) -> Result<Exit, Failure> {
    let Run { device, terminal, .. } = run;
    if terminal.json {
        terminal.data(&done.line(device).to_string())?;
        return Ok(Exit::Done);
    }
    let machine = Machine::measure(&device.device)?;
    let memory =
        done.peak.map_or_else(|| "unknown".into(), |peak| format!("{:.3} GiB peak", peak as f64 / GIB));
    rows.push(("memory", memory));
    let Flops { reference, ours } = done.flops;
    if ours > 0.0 {
        let achieved = ours / median / 1e9;
        let share = 100.0 * achieved / machine.matmul_gflops;
        rows.push((
            "arithmetic",
            format!("{} reference graph, {} reduced graph a step", operations(reference), operations(ours)),
        ));
        rows.push((
            "achieved",
            format!("{achieved:.1} GFLOP/s of the reduced graph, {share:.0} % of the machine"),
        ));
    }
    rows.push(("machine", machine_text(&machine)));
    rows.push(("device", format!("{}: {}", device.flag, device.name)));
    let workload = &run.loaded.workload;
    let head = format!("{}, {}: {}\n", workload.name, workload.profile.name(), workload.shape());
    terminal.table(&(head + &aligned(&rows)))?;
    Ok(Exit::Done)
}

/// The machine alone.
pub(super) fn machine(machine: &Machine, device: &Opened, terminal: &Terminal) -> Result<Exit, Failure> {
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
    terminal.table(&aligned(&rows))?;
    Ok(Exit::Done)
}

fn machine_text(machine: &Machine) -> String {
    format!(
        "{:.0} GFLOP/s in a product of {side} x {side}, {:.1} GB/s copied (read and written), {} threads",
        machine.matmul_gflops,
        machine.copy_gb_per_s,
        machine.threads,
        side = machine_of::SIDE
    )
}

fn operations(flops: f64) -> String {
    if flops >= 1e12 { format!("{:.2} TFLOP", flops / 1e12) } else { format!("{:.3} GFLOP", flops / 1e9) }
}

fn aligned(rows: &[Row<'_>]) -> String {
    listing(12, rows.iter().map(|(name, value)| (*name, value)))
}

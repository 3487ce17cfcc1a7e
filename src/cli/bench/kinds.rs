//! Runs a workload of each kind: its lines of JSON, or the rows of its table.

use serde_json::{Map, Value, json};

use super::super::{Exit, Failure};
use super::table::{Done, Row, Run, finish, print_line, times_text};
use codistill::bench::catalogue_loss::LossTime;
use codistill::bench::flops::{self, Flops};
use codistill::bench::judging::Ranking;
use codistill::bench::preparing::Prepared;
use codistill::bench::saving::Saved;
use codistill::bench::training::StepTime;
use codistill::bench::{BenchError, CatalogueLoss, Judging, Kind, Preparing, Saving, Summary, Training};

pub(super) fn run(run: &Run) -> Result<Exit, Failure> {
    match run.loaded.workload.kind {
        Kind::Odmt | Kind::Sasrec => train(run),
        Kind::Evaluate => judge(run),
        Kind::Loss => catalogue_loss(run),
        Kind::Prepare => prepare(run),
        Kind::Checkpoint => save(run),
    }
}

/// Where no model is configured nothing reads a key of one.
pub(super) fn refuse_sets(sets: &[String]) -> Result<(), BenchError> {
    sets.first().map_or(Ok(()), |set| Err(BenchError::NoModel(set.clone())))
}

fn train(run: &Run) -> Result<Exit, Failure> {
    let mut training = Training::new(run.loaded, run.sets, &run.device.device)?;
    let mut times: Vec<StepTime> = Vec::new();
    training.run(run.steps, &mut |step| {
        times.push(*step);
        print_line(run.terminal, &step_line(step))
    })?;
    let mean = |of: fn(&StepTime) -> f64| times.iter().map(of).sum::<f64>() / times.len() as f64;
    let flops = Flops { reference: mean(|t| t.flops.reference), ours: mean(|t| t.flops.ours) };
    let part = |of: fn(&StepTime) -> f64| Summary::new(times.iter().map(of)).median;
    let median = part(|t| t.seconds);
    let phases = format!(
        "batch {:.4} s, gradients {:.4} s, update {:.4} s (medians)",
        part(|t| t.batch_seconds),
        part(|t| t.gradient_seconds),
        part(|t| t.update_seconds)
    );
    let (items, positions) = (mean(|t| t.items as f64), mean(|t| t.positions as f64));
    let rate = format!(
        "{:.3} steps/s, {:.0} encoded items/s, {:.0} positions/s",
        1.0 / median,
        items / median,
        positions / median
    );
    let parameters = training.parameters();
    let rows: Vec<Row> = vec![
        ("step", times_text(&Summary::new(times.iter().map(|t| t.seconds)), run.steps)),
        ("of it", phases),
        ("rate", rate),
        ("batch", format!("{items:.0} distinct items, {positions:.0} positions")),
        ("loss", format!("{:.4} to {:.4}", times[0].loss, times[times.len() - 1].loss)),
        ("parameters", parameters.to_string()),
    ];
    finish(run, rows, &Done::now(parameters, flops), median)
}

fn judge(run: &Run) -> Result<Exit, Failure> {
    let mut judging = Judging::new(run.loaded, run.sets, &run.device.device)?;
    let mut rankings: Vec<Ranking> = Vec::new();
    judging.run(run.steps, &mut |ranking| {
        rankings.push(ranking.clone());
        print_line(run.terminal, &ranking_line(ranking))
    })?;
    let summary = Summary::new(rankings.iter().map(|r| r.seconds));
    let mut rows: Vec<Row> = vec![
        ("ranking", times_text(&summary, run.steps)),
        ("rate", format!("{:.0} targets/s", run.loaded.workload.users as f64 / summary.median)),
    ];
    for scored in rankings.iter().take(1).flat_map(|r| &r.evaluation.scored) {
        let figure = |name: &str| scored.metrics.get(name).copied().unwrap_or(f64::NAN);
        rows.push((
            scored.name.as_str(),
            format!("recall@10 {:.6}, ndcg@10 {:.6}", figure("recall@10"), figure("ndcg@10")),
        ));
    }
    finish(run, rows, &Done::now(0, Flops::same(flops::ranking(&run.loaded.workload))), summary.median)
}

fn catalogue_loss(run: &Run) -> Result<Exit, Failure> {
    let loss = CatalogueLoss::new(run.loaded, run.sets, &run.device.device)?;
    let mut times: Vec<LossTime> = Vec::new();
    loss.run(run.steps, &mut |time| {
        times.push(time.clone());
        print_line(run.terminal, &loss_line(time))
    })?;
    let summary = Summary::new(times.iter().map(|t| t.seconds));
    let mut rows: Vec<Row> = vec![
        ("loss", times_text(&summary, run.steps)),
        ("rate", format!("{:.0} rows/s", run.loaded.workload.users as f64 / summary.median)),
        ("value", format!("{:.6}", times[0].loss)),
    ];
    for branch in &times[0].branches {
        let text = format!(
            "cross-entropy {:.6}; norms of gradients: users {:.6}, items {:.6}",
            branch.cross_entropy, branch.users_gradient, branch.items_gradient
        );
        rows.push((branch.name, text));
    }
    if !times[0].distilled.is_empty() {
        let terms = times[0].distilled.iter().map(|(name, value)| format!("{name} {value:.6}"));
        rows.push(("distilled", terms.collect::<Vec<_>>().join(", ")));
    }
    finish(run, rows, &Done::now(0, Flops::same(flops::loss(&run.loaded.workload))), summary.median)
}

fn prepare(run: &Run) -> Result<Exit, Failure> {
    refuse_sets(run.sets)?;
    let mut all: Vec<Prepared> = Vec::new();
    Preparing::new(run.loaded)?.run(run.steps, &mut |prepared| {
        all.push(prepared.clone());
        print_line(run.terminal, &prepared_line(prepared))
    })?;
    let summary = Summary::new(all.iter().map(|p| p.seconds));
    let Prepared { rows: read, users, items, ref report, .. } = all[0];
    let kept = report.steps.last().map_or(0, |step| step.interactions);
    let rows: Vec<Row> = vec![
        ("preparation", times_text(&summary, run.steps)),
        ("rate", format!("{:.0} reviews/s", read as f64 / summary.median)),
        ("read", format!("{read} reviews")),
        ("kept", format!("{kept} of {users} users on {items} items")),
    ];
    finish(run, rows, &Done::now(0, Flops::default()), summary.median)
}

fn save(run: &Run) -> Result<Exit, Failure> {
    let saving = Saving::new(run.loaded, run.sets, &run.device.device)?;
    let mut all: Vec<Saved> = Vec::new();
    saving.run(run.steps, &mut |saved| {
        all.push(saved.clone());
        print_line(run.terminal, &saved_line(saved))
    })?;
    let times = |of: fn(&Saved) -> f64| Summary::new(all.iter().map(of));
    let both = times(|s| s.save_seconds + s.load_seconds);
    let parameters = saving.parameters();
    let rows: Vec<Row> = vec![
        ("saving", times_text(&times(|s| s.save_seconds), run.steps)),
        ("loading", times_text(&times(|s| s.load_seconds), run.steps)),
        ("on disk", format!("{:.1} MiB", mib(all[0].bytes))),
        ("parameters", parameters.to_string()),
    ];
    finish(run, rows, &Done::now(parameters, Flops::default()), both.median)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 20) as f64
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
    let branch_figures = ranking.evaluation.scored.iter().map(|scored| {
        let figure = |name: &str| scored.metrics.get(name).copied();
        let figures = json!({ "recall@10": figure("recall@10"), "ndcg@10": figure("ndcg@10") });
        (scored.name.clone(), figures)
    });
    let metrics: Map<String, Value> = branch_figures.collect();
    json!({ "event": "step", "index": ranking.index, "seconds": ranking.seconds, "metrics": metrics })
}

fn loss_line(time: &LossTime) -> Value {
    let branch_figures = time.branches.iter().map(|branch| {
        let figures = json!({
            "cross_entropy": branch.cross_entropy,
            "users_gradient": branch.users_gradient,
            "items_gradient": branch.items_gradient,
        });
        (branch.name.to_owned(), figures)
    });
    let mut metrics: Map<String, Value> = branch_figures.collect();
    metrics.insert("total".into(), json!(time.loss));
    if !time.distilled.is_empty() {
        let terms = time.distilled.iter().map(|(name, value)| (name.clone(), json!(value)));
        metrics.insert("distill".into(), Value::Object(terms.collect()));
    }
    json!({
        "event": "step",
        "index": time.index,
        "seconds": time.seconds,
        "loss": time.loss,
        "metrics": metrics,
    })
}

fn prepared_line(prepared: &Prepared) -> Value {
    let Prepared { index, seconds, rows, users, items, report } = prepared;
    json!({
        "event": "step",
        "index": index,
        "seconds": seconds,
        "figures": { "rows/s": *rows as f64 / seconds },
        "metrics": {
            "rows": rows,
            "users": users,
            "items": items,
            "interactions": report.steps.last().map(|step| step.interactions),
            "train": report.train_interactions,
            "valid": report.valid_targets,
            "test": report.test_targets,
        },
    })
}

fn saved_line(saved: &Saved) -> Value {
    let Saved { index, save_seconds, load_seconds, bytes, numbers, sum, squares } = *saved;
    json!({
        "event": "step",
        "index": index,
        "seconds": save_seconds + load_seconds,
        "figures": { "save s": save_seconds, "load s": load_seconds, "on disk MiB": mib(bytes) },
        "metrics": { "numbers": numbers, "sum": sum, "squares": squares },
    })
}

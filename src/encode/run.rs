//! Encoding of a whole data set: all cores load batches while the device computes, every batch is kept, and the store
//! is written at the end.
//!
//! Batches are a function of data set and settings alone, not of an earlier run: the last bits of a matrix product
//! depend on its shape, and a resumed run must give the same bytes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::EncodeError;
use super::encoder::Encoder;
use super::families::Modality;
use super::job::Job;
use super::partial::Partial;
use super::plan::{Plan, picture};
use super::recipe::found_out;
use super::tfidf;
use crate::data::Dataset;
use crate::features::{FeatureError, Shared, StoreWriter, item_ids_hash};

/// Number of batches loaded ahead.
const AHEAD: usize = 2;
/// File of the quarantine list in the store.
pub const QUARANTINE: &str = "quarantine.csv";

/// The report of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub items: usize,
    pub encoded: usize,
    /// Number of items without a text or picture path.
    pub empty: usize,
    /// Number of items whose picture was refused; the store's `quarantine.csv` lists them.
    pub quarantined: usize,
    /// Items that share a picture or text.
    pub shared: Option<Shared>,
    pub shared_missing: usize,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Number of items kept from an earlier run.
    pub resumed: usize,
    pub tokens: usize,
    pub width: usize,
    pub seconds: f64,
    /// Content hash of the store.
    pub hash: String,
}

/// Estimated cost of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    pub items: usize,
    /// Number of items with a text or picture path.
    pub inputs: usize,
    pub tokens: usize,
    pub width: usize,
    /// Size of the store in bytes.
    pub bytes: u64,
    /// Peak disk use in bytes, while rows and store exist together.
    pub peak_bytes: u64,
    pub seconds: f64,
    /// Number of inputs that were encoded for the estimate.
    pub sampled: usize,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// Encodes `dataset` into a new feature store. `progress` is called with (items done, items in total); when `stop` is
/// set, the run ends after its batch. Finished batches are kept in a neighbouring folder of the store, and the same
/// call resumes.
///
/// # Errors
/// No item has an input of this kind, the destination exists, there is an earlier run with other settings, the model or
/// the disk fails, or the run was stopped.
pub fn run(
    dataset: &Dataset,
    encoder: &Encoder,
    job: &Job,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Report, EncodeError> {
    let begun = Instant::now();
    if job.dest.exists() {
        return Err(crate::artefact::ArtefactError::Exists(job.dest.clone()).into());
    }
    let plan = Plan::new(dataset, encoder, job)?;
    let problems = plan.problems();
    if job.strict && !problems.is_empty() {
        return Err(FeatureError::Strict(problems).into());
    }
    let dir = partial_dir(&job.dest);
    let mut described = json!({
        "recipe": encoder.recipe(), "dataset": dataset.hash, "field": job.field, "precision": job.precision,
        "batch": job.batch, "limit": job.limit,
    });
    if plan.shared_missing > 0 {
        described["shared_missing"] = json!(plan.shared_missing);
    }
    let items = dataset.items.count();
    let (batches, total) = (plan.batches.len(), plan.batches.iter().map(Vec::len).sum());
    let mut partial = Partial::open(&dir, &described, items, batches, job.precision, job.restart)?;
    let mut done = partial.kept + partial.refused.len();
    let resumed = done;
    progress(done, total);

    let todo: Vec<usize> = (0..batches).filter(|&batch| !partial.done[batch]).collect();
    std::thread::scope(|scope| -> Result<(), EncodeError> {
        let (sender, loaded) = mpsc::sync_channel(AHEAD);
        let (plan, todo) = (&plan, &todo);
        scope.spawn(move || {
            for &batch in todo {
                // The receiver is gone if the device's side has failed or was stopped.
                if sender.send((batch, plan.load(encoder, batch))).is_err() {
                    return;
                }
            }
        });
        for (batch, inputs) in &loaded {
            let rows = plan.compute(encoder, batch, inputs)?;
            partial.push(batch, &rows)?;
            done += rows.len();
            progress(done, total);
            if stop.load(Ordering::Relaxed) && done < total {
                return Err(EncodeError::Interrupted { dir: dir.clone(), done, total });
            }
        }
        Ok(())
    })?;
    finish(dataset, encoder, job, &plan, partial, resumed, begun)
}

/// The folder of the run's rows, on the store's disk.
fn partial_dir(dest: &Path) -> PathBuf {
    let name = dest.file_name().unwrap_or_default().to_string_lossy();
    dest.with_file_name(format!("{name}.partial"))
}

fn finish(
    dataset: &Dataset,
    encoder: &Encoder,
    job: &Job,
    plan: &Plan,
    mut partial: Partial,
    resumed: usize,
    begun: Instant,
) -> Result<Report, EncodeError> {
    let recipe = encoder.recipe();
    let items = dataset.items.count();
    let mut refused = partial.refused.clone();
    refused.sort_unstable();
    if let (true, Some((item, reason))) = (job.strict, refused.first()) {
        let id = &dataset.items.ids[*item as usize];
        let input = recipe.modality.input();
        let text = format!("{} {input}s are refused; the first, of item {id}: {reason}", refused.len());
        return Err(FeatureError::Strict(vec![text]).into());
    }
    let mut writer = StoreWriter::create(&job.dest, items, recipe.tokens, recipe.width, job.precision)?;
    for item in 1..=items as u32 {
        if let Some(values) = partial.read(item)? {
            writer.push(item, &values)?;
        }
    }
    if recipe.modality == Modality::Image {
        let path = writer.extra_path(QUARANTINE);
        write_quarantine(&path, dataset, &refused)?;
    }
    if let Some(table) = encoder.table() {
        table.write(&writer.extra_path(tfidf::FILE))?;
    }
    let manifest = writer.finish(description(dataset, encoder, job, plan, refused.len())?)?;
    let encoded = partial.kept;
    partial.remove()?;
    Ok(Report {
        items,
        encoded,
        empty: plan.empty,
        quarantined: refused.len(),
        shared: plan.shared.clone(),
        shared_missing: plan.shared_missing,
        warnings: plan.warnings.clone(),
        resumed,
        tokens: recipe.tokens,
        width: recipe.width,
        seconds: begun.elapsed().as_secs_f64(),
        hash: manifest.content_hash(),
    })
}

/// The store's description in its manifest.
fn description(
    dataset: &Dataset,
    encoder: &Encoder,
    job: &Job,
    plan: &Plan,
    refused: usize,
) -> Result<Value, EncodeError> {
    let recipe = encoder.recipe();
    Ok(json!({
        "source": format!("encoded by {}", encoder.name()),
        "settings": encoder.settings(),
        "recipe": recipe,
        "recipe_sha256": recipe.fingerprint()?,
        "dataset": dataset.hash,
        "item_ids_sha256": item_ids_hash(&dataset.items.ids),
        "field": if recipe.modality == Modality::Text { json!(job.field) } else { json!("image") },
        "batch": job.batch,
        "limit": job.limit,
        "empty": plan.empty,
        "quarantined": refused,
        "pictures_root": dataset.items.pictures_root.as_ref().filter(|_| recipe.modality == Modality::Image),
        "shared": plan.shared,
        "shared_missing": plan.shared_missing,
        "found_out": found_out(encoder.settings(), recipe),
        "warnings": plan.warnings,
    }))
}

fn write_quarantine(path: &Path, dataset: &Dataset, refused: &[(u32, String)]) -> Result<(), EncodeError> {
    let failed = |e: csv::Error| super::error::malformed(path, e);
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(["item", "path", "reason"]).map_err(failed)?;
    for (item, reason) in refused {
        let item = *item as usize;
        let path = picture(&dataset.items, item as u32).display().to_string();
        let row = [&dataset.items.ids[item], &path, reason];
        writer.write_record(row).map_err(failed)?;
    }
    writer.flush().map_err(super::error::io_error(path))
}

/// Encodes a few batches, spread over the data set, and estimates the cost of all. Writes nothing.
///
/// # Errors
/// No item has an input of this kind, or the model fails.
pub fn estimate(dataset: &Dataset, encoder: &Encoder, job: &Job) -> Result<Estimate, EncodeError> {
    let plan = Plan::new(dataset, encoder, job)?;
    let (mut seconds, mut cost, mut sampled) = (0.0, 0, 0);
    let count = plan.batches.len();
    let begun = Instant::now();
    // The first batch warms up caches and kernels, and counts only if there is no other.
    let places = [0, count / 4, count / 2, count.saturating_sub(2)];
    for (n, &batch) in places.iter().enumerate() {
        let start = Instant::now();
        plan.compute(encoder, batch, plan.load(encoder, batch))?;
        sampled += plan.batches[batch].len();
        if n > 0 || count == 1 {
            seconds += start.elapsed().as_secs_f64();
            cost += plan.costs[batch];
        }
        if begun.elapsed() > Duration::from_secs(20) && cost > 0 {
            break;
        }
    }
    let all: usize = plan.costs.iter().sum();
    let recipe = encoder.recipe();
    let items = dataset.items.count();
    let inputs: usize = plan.batches.iter().map(Vec::len).sum();
    let row = (recipe.tokens * recipe.width * job.precision.bytes()) as u64;
    let bytes = row * (items as u64 + 1) + 4 * (items as u64 + 1);
    let seconds = seconds / cost.max(1) as f64 * all as f64;
    let (tokens, width) = (recipe.tokens, recipe.width);
    Ok(Estimate {
        items,
        inputs,
        tokens,
        width,
        bytes,
        peak_bytes: bytes + row * inputs as u64,
        seconds,
        sampled,
        warnings: plan.problems(),
    })
}

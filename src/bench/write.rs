//! A workload generated and written, row by row.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use half::f16;
use safetensors::Dtype;
use serde_json::json;

use super::columns::{Column, write_columns};
use super::disk::{IMAGE, KIND, REVIEWS, SCHEMA_VERSION, SHAPES, TENSORS, TEXT};
use super::generate::{self, Items};
use super::workload::{Kind, Workload};
use super::{BenchError, saving, training};
use crate::artefact::{Makes, Staging, io_error, may_make};
use crate::features::{FeatureStore, Precision, StoreWriter};
use crate::params;
use crate::tensors;
use crate::train::setup::feature_dir;

/// Generates `workload` into the directory `dir`.
///
/// # Errors
/// The directory exists or can't be written.
pub fn write(workload: &Workload, dir: &Path) -> Result<(), BenchError> {
    may_make(dir, Makes::Other)?;
    let staging = Staging::create(dir)?;
    let path = staging.path(TENSORS);
    match workload.kind {
        Kind::Odmt => write_odmt(workload, &staging, &path)?,
        Kind::Sasrec => {
            let padded = padded(&sequences(workload), workload.positions + 1);
            write_columns(&path, vec![sequences_column(workload, &padded)])?;
        }
        Kind::Evaluate => write_evaluate(workload, &path)?,
        Kind::Loss => write_loss(workload, &path)?,
        Kind::Checkpoint => tensors::write(&path, &params::read(&saving::fresh(workload)?))?,
        Kind::Prepare => {
            let path = staging.path(REVIEWS);
            write_reviews(workload, &path).map_err(io_error(&path))?;
        }
    }
    staging.write_json(SHAPES, workload)?;
    staging.commit(KIND, SCHEMA_VERSION, json!({ "name": workload.name, "seed": workload.seed }))?;
    Ok(())
}

fn sequences(workload: &Workload) -> Vec<Vec<u32>> {
    let items = Items::new(workload);
    (0..workload.windows()).map(|row| generate::sequence(workload, &items, row)).collect()
}

/// `[rows, span]`, left-padded with 0.
fn padded(rows: &[Vec<u32>], span: usize) -> Vec<i32> {
    let mut all = vec![0; rows.len() * span];
    for (row, slots) in rows.iter().zip(all.chunks_exact_mut(span)) {
        let start = span - row.len();
        slots[start..].iter_mut().zip(row).for_each(|(slot, &item)| *slot = item as i32);
    }
    all
}

fn sequences_column<'a>(workload: &Workload, padded: &'a [i32]) -> Column<'a> {
    let shape = [workload.windows(), workload.positions + 1];
    Column::from_values("sequences", Dtype::I32, &shape, padded)
}

/// One row of token features after another: of item 1, 2, …
type Rows = fn(&Workload, usize) -> Vec<f32>;

fn write_odmt(workload: &Workload, staging: &Staging, path: &Path) -> Result<(), BenchError> {
    let Workload { items, feature_width: f, .. } = *workload;
    let views: [(&str, usize, Rows); 2] =
        [(TEXT, workload.text_tokens, generate::text), (IMAGE, workload.image_tokens, generate::image)];
    let mut stores = Vec::new();
    for (name, tokens, row) in views {
        let dir = feature_dir(&staging.path(""), name);
        let mut writer = StoreWriter::create(&dir, items, tokens, f, Precision::F16)?;
        for item in 1..=items {
            writer.push(item as u32, &row(workload, item))?;
        }
        writer.finish(json!({ "source": "bench", "seed": workload.seed }))?;
        stores.push((name, FeatureStore::open(&dir)?));
    }
    let rows = sequences(workload);
    let padded = padded(&rows, workload.positions + 1);
    let log_popularity = training::log_popularity(workload, &rows);
    let lengths = (0..=items).map(|i| if i == 0 { 0 } else { generate::text_length(workload, i) as i32 });
    let lengths: Vec<i32> = lengths.collect();
    let mut columns = vec![
        sequences_column(workload, &padded),
        Column::from_values("log_popularity", Dtype::F32, &[items + 1], &log_popularity),
        Column::from_values("text_length", Dtype::I32, &[items + 1], &lengths),
    ];
    for (name, store) in &stores {
        let tokens = store.tokens();
        columns.push(Column::new(*name, Dtype::F16, &[items + 1, tokens, f], move |out| {
            let mut row = vec![0.0; tokens * f];
            for item in 0..=items as u32 {
                store.gather_into(item, tokens, &mut row);
                let halves: Vec<f16> = row.iter().map(|&x| f16::from_f32(x)).collect();
                out.write_all(bytemuck::cast_slice(&halves))?;
            }
            Ok(())
        }));
    }
    write_columns(path, columns)
}

fn write_evaluate(workload: &Workload, path: &Path) -> Result<(), BenchError> {
    let mut offsets = vec![0i64];
    let (mut history, mut targets) = (Vec::new(), Vec::new());
    for row in sequences(workload) {
        let Some((&target, before)) = row.split_last() else { continue };
        history.extend(before.iter().map(|&item| item as i32));
        offsets.push(history.len() as i64);
        targets.push(target as i32);
    }
    let mut columns = vec![
        // The widest type first keeps every tensor aligned.
        Column::from_values("history_offsets", Dtype::I64, &[workload.users + 1], &offsets),
        Column::from_values("history_items", Dtype::I32, &[history.len()], &history),
        Column::from_values("targets", Dtype::I32, &[workload.users], &targets),
    ];
    columns.extend(vector_columns(workload, &targets, generate::item_vector));
    write_columns(path, columns)
}

fn write_loss(workload: &Workload, path: &Path) -> Result<(), BenchError> {
    let items = Items::new(workload);
    let labels: Vec<i32> =
        (0..workload.users).map(|row| generate::label(workload, &items, row) as i32).collect();
    let mut columns = vec![Column::from_values("labels", Dtype::I32, &[workload.users], &labels)];
    columns.extend(vector_columns(workload, &labels, generate::table_row));
    write_columns(path, columns)
}

/// Reviews of all users, mixed: no user's stand together, as in the files that are to be had.
fn write_reviews(workload: &Workload, path: &Path) -> std::io::Result<()> {
    let items = Items::new(workload);
    let ends: Vec<usize> = (0..workload.users)
        .scan(0, |end, user| {
            *end += generate::review_count(workload, user);
            Some(*end)
        })
        .collect();
    let count = ends.last().copied().unwrap_or(0);
    // Steps of a length that shares no divisor with the count reach every review once.
    let step = (count * 5 / 8..=count).find(|&step| gcd(step, count) == 1).unwrap_or(1);
    let mut out = BufWriter::with_capacity(1 << 20, File::create_new(path)?);
    for line in 0..count {
        let number = (line as u128 * step as u128 % count as u128) as usize;
        let user = ends.partition_point(|&end| end <= number);
        writeln!(out, "{}", generate::review(workload, &items, number, user))?;
    }
    out.flush()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Users, of whom each leans towards its target, and items, which `item` makes from branch and number.
fn vector_columns<'a>(
    workload: &'a Workload,
    targets: &'a [i32],
    item: fn(&Workload, usize, usize) -> Vec<f32>,
) -> impl Iterator<Item = Column<'a>> {
    let Workload { users, items, width, .. } = *workload;
    (0..workload.branches().len()).flat_map(move |b| {
        let users_column = Column::new(format!("users.{b}"), Dtype::F32, &[users, width], move |out| {
            targets.iter().enumerate().try_for_each(|(user, &target)| {
                let vector = generate::user_vector(workload, b, user, target as u32);
                out.write_all(bytemuck::cast_slice(&vector))
            })
        });
        let items_column = Column::new(format!("items.{b}"), Dtype::F32, &[items + 1, width], move |out| {
            (0..=items).try_for_each(|number| out.write_all(bytemuck::cast_slice(&item(workload, b, number))))
        });
        [users_column, items_column]
    })
}

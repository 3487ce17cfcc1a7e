//! Import of a matrix with a table of item ids as a feature store.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::{Value, json};

use super::FeatureError;
use super::array::{Array, ArrayRef};
use super::element::Element;
use super::findings::Findings;
use super::ids::{IdTable, index, item_ids_hash};
use super::import_options::{ImportOptions, ImportReport, SharedRows};
use super::shared::MANY;
use super::store::Precision;
use super::writer::StoreWriter;
use crate::artefact::hash_file;
use crate::data::Dataset;
use crate::data::join::{self, Explanation, Names};

/// Writes the rows of `matrix` (`[n, f]` or `[n, T, f]`, its rows named by `ids`) that belong to items of
/// `dataset` to a new feature store at `dest`. Values are kept as they are. One row is in memory at a time.
///
/// # Errors
/// Unreadable or contradictory files, shapes that don't agree, duplicate ids, values that are not finite, no id of the
/// data set, or warnings under `strict`. Nothing is then left at `dest`.
pub fn import(
    dataset: &Dataset,
    matrix: &ArrayRef,
    ids: &IdTable,
    dest: &Path,
    options: &ImportOptions,
) -> Result<ImportReport, FeatureError> {
    let mut source = Source::open(matrix, ids, options)?;
    let table = ids.read()?;
    source.check_entries(&ids.path, table.ids.len())?;
    let rows = index(&ids.path, &table.ids)?;
    let mut found = Findings { join: explain(dataset, &table.ids), ..Findings::default() };
    let unknown = count_unknown(dataset, &rows);
    if unknown == rows.len() {
        let (path, count) = (ids.path.clone(), rows.len());
        return Err(FeatureError::NoMatch { path, count, explanation: found.join.map(Box::new) });
    }
    found.numbered = unknown > 0 && are_row_numbers(&table.ids);

    let precision = options.precision.unwrap_or(match source.matrix.element {
        Element::F16 => Precision::F16,
        _ => Precision::F32,
    });
    let items = dataset.items.count();
    let mut writer = StoreWriter::create(dest, items, source.tokens, source.width, precision)?;
    let stand_ins = match options.shared {
        SharedRows::Missing => stand_ins(dataset, &rows, &mut source)?,
        SharedRows::Warn | SharedRows::Keep => HashSet::new(),
    };
    let matched = copy_rows(dataset, &rows, &mut source, options, &stand_ins, &mut found, &mut writer)?;
    let padded = options.lengths.is_none() && source.tokens > 1;
    let warnings = found.warnings(dataset, options, padded);
    if options.strict && !warnings.is_empty() {
        return Err(FeatureError::Strict(warnings));
    }
    let report = ImportReport {
        items,
        tokens: source.tokens,
        width: source.width,
        precision,
        matched,
        missing: items - matched,
        missing_zeros: found.zeros,
        missing_nan: found.nan,
        missing_shared: found.stand_ins,
        unknown,
        all_zero: found.all_zero.len(),
        shared: found.shared(dataset),
        ids: table.choice,
        warnings,
        hash: String::new(),
    };
    let manifest = writer.finish(about(dataset, matrix, ids, options, &report)?)?;
    Ok(ImportReport { hash: manifest.content_hash(), ..report })
}

/// Writes the rows of the data set's items and returns how many there are. Rows that stand for "no features" are
/// skipped.
fn copy_rows(
    dataset: &Dataset,
    rows: &HashMap<&str, usize>,
    source: &mut Source,
    options: &ImportOptions,
    stand_ins: &HashSet<u32>,
    found: &mut Findings,
    writer: &mut StoreWriter,
) -> Result<usize, FeatureError> {
    let mut matched = 0;
    let mut values = Vec::new();
    for (item, id) in dataset.items.ids.iter().enumerate().skip(1) {
        let Some(&row) = rows.get(id.as_str()) else { continue };
        if !source.read(row, &mut values)? {
            continue;
        }
        if options.missing.nan && values.iter().any(|v| v.is_nan()) {
            found.nan += 1;
            continue;
        }
        source.check_finite(row, id, &values)?;
        let zero = values.iter().all(|&v| v == 0.0);
        if zero && options.missing.zeros {
            found.zeros += 1;
            continue;
        }
        if stand_ins.contains(&(item as u32)) {
            found.stand_ins += 1;
            continue;
        }
        found.take(item as u32, &values, source.width, zero);
        writer.push(item as u32, &values)?;
        matched += 1;
    }
    Ok(matched)
}

/// The store's description in its manifest.
fn about(
    dataset: &Dataset,
    matrix: &ArrayRef,
    ids: &IdTable,
    options: &ImportOptions,
    report: &ImportReport,
) -> Result<Value, FeatureError> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file_name = name(&matrix.path);
    Ok(json!({
        "source": if options.source.is_empty() { &file_name } else { &options.source },
        "matrix": { "file": file_name, "tensor": matrix.tensor, "sha256": hash_file(&matrix.path)?.0 },
        "ids": { "file": name(&ids.path), "read": report.ids, "sha256": hash_file(&ids.path)?.0 },
        "dataset": dataset.hash,
        "item_ids_sha256": item_ids_hash(&dataset.items.ids),
        "unknown_rows": report.unknown,
        "all_zero": report.all_zero,
        "missing_rule": options.missing,
        "missing_zeros": report.missing_zeros,
        "missing_nan": report.missing_nan,
        "shared_rule": options.shared,
        "missing_shared": report.missing_shared,
        "shared": report.shared,
        "warnings": report.warnings,
    }))
}

/// Items whose row [`MANY`] or more share. Takes a separate pass, so that one row is in memory at a time.
fn stand_ins(
    dataset: &Dataset,
    rows: &HashMap<&str, usize>,
    source: &mut Source,
) -> Result<HashSet<u32>, FeatureError> {
    let mut found = Findings::default();
    let mut values = Vec::new();
    for (item, id) in dataset.items.ids.iter().enumerate().skip(1) {
        let Some(&row) = rows.get(id.as_str()) else { continue };
        if source.read(row, &mut values)? {
            let zero = values.iter().all(|&v| v == 0.0);
            found.take(item as u32, &values, source.width, zero);
        }
    }
    Ok(found.groups().into_iter().filter(|group| group.len() >= MANY).flatten().collect())
}

fn explain(dataset: &Dataset, ids: &[String]) -> Option<Explanation> {
    let names = Names { left: "the data set", things: "items", right: "the id table" };
    let items = dataset.items.ids.iter().skip(1).map(String::as_str);
    join::explain(names, items, ids.iter().map(String::as_str))
}

fn are_row_numbers(ids: &[String]) -> bool {
    ids.len() > 1 && ids.iter().enumerate().all(|(n, id)| id.parse() == Ok(n))
}

/// The matrix with its lengths.
struct Source {
    matrix: Array,
    lengths: Option<Vec<usize>>,
    tokens: usize,
    width: usize,
}

impl Source {
    fn open(matrix: &ArrayRef, ids: &IdTable, options: &ImportOptions) -> Result<Self, FeatureError> {
        let matrix = Array::open(matrix)?;
        let path = matrix.path.clone();
        let (tokens, width) = match matrix.shape[..] {
            [_, width] => (1, width),
            [_, tokens, width] => (tokens, width),
            _ => (0, 0),
        };
        if tokens == 0 || width == 0 {
            let wanted = "[items, width] or [items, tokens, width]";
            return Err(FeatureError::Shape { path, shape: matrix.shape, wanted });
        }
        if !matrix.element.is_float() {
            return Err(FeatureError::Unsupported {
                path,
                what: format!("holds values of type {:?}", matrix.element),
                hint: format!("features are floats; are matrix and {} swapped?", ids.path.display()),
            });
        }
        let mut source = Self { matrix, lengths: None, tokens, width };
        if let Some(lengths) = &options.lengths {
            let values = Array::open(lengths)?.read_integers()?;
            source.check_entries(&lengths.path, values.len())?;
            let mut checked = Vec::with_capacity(values.len());
            for (row, length) in values.into_iter().enumerate() {
                let fits = usize::try_from(length).ok().filter(|&n| n <= tokens);
                let path = lengths.path.clone();
                checked.push(fits.ok_or(FeatureError::BadLength { path, row, length, tokens })?);
            }
            source.lengths = Some(checked);
        }
        Ok(source)
    }

    /// Checks that a table has one entry for each row of the matrix.
    fn check_entries(&self, table: &Path, entries: usize) -> Result<(), FeatureError> {
        let rows = self.matrix.rows();
        if rows == entries {
            return Ok(());
        }
        Err(FeatureError::RowCount {
            matrix: self.matrix.path.clone(),
            rows,
            table: table.to_owned(),
            entries,
        })
    }

    /// Reads the valid tokens of a row; returns false if there are none.
    fn read(&mut self, row: usize, values: &mut Vec<f32>) -> Result<bool, FeatureError> {
        let length = self.lengths.as_ref().map_or(self.tokens, |lengths| lengths[row]);
        if length == 0 {
            return Ok(false);
        }
        self.matrix.read_floats(row, values)?;
        values.truncate(length * self.width);
        Ok(true)
    }

    fn check_finite(&self, row: usize, id: &str, values: &[f32]) -> Result<(), FeatureError> {
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(place) => Err(FeatureError::NotFinite {
                path: self.matrix.path.clone(),
                row,
                id: id.to_owned(),
                token: place / self.width,
                column: place % self.width,
                value: values[place],
            }),
        }
    }
}

fn count_unknown(dataset: &Dataset, rows: &HashMap<&str, usize>) -> usize {
    let known = dataset.items.ids.iter().skip(1).filter(|id| rows.contains_key(id.as_str())).count();
    rows.len() - known
}

//! From a matrix and a table of item ids to a feature store.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::FeatureError;
use super::array::{Array, ArrayRef, Element};
use super::ids::{IdTable, index, item_ids_hash};
use super::store::Precision;
use super::writer::StoreWriter;
use crate::artefact::hash_file;
use crate::data::Dataset;

/// What may be said besides matrix and ids.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Valid tokens per row of a `[I, T, f]` matrix; absent: all T. A length of 0 makes the item missing.
    pub lengths: Option<ArrayRef>,
    /// Absent: float16 if the matrix is, float32 otherwise.
    pub precision: Option<Precision>,
    /// What made the features, for the manifest; empty: the matrix file's name.
    pub source: String,
}

/// What an import found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// I, T and f of the store.
    pub items: usize,
    pub tokens: usize,
    pub width: usize,
    pub precision: Precision,
    /// Items of the data set that got features.
    pub matched: usize,
    /// Items of the data set without a row, or with a row of length 0.
    pub missing: usize,
    /// Rows whose id is no item of the data set.
    pub unknown: usize,
    /// Matched rows that hold nothing but zeros: often a stand-in for "missing" in the source.
    pub all_zero: usize,
    /// Content hash of the store.
    pub hash: String,
}

/// Writes the rows of `matrix` (`[n, f]` or `[n, T, f]`, its rows named by `ids`) that belong to items of
/// `dataset` to a new feature store at `dest`. Values are kept as they are. One row is in memory at a time.
///
/// # Errors
/// Unreadable or contradictory files, shapes that don't fit, duplicate ids, values that are not finite, or
/// not a single id that is an item of the data set. Nothing is then left at `dest`.
pub fn import(
    dataset: &Dataset,
    matrix: &ArrayRef,
    ids: &IdTable,
    dest: &Path,
    options: &ImportOptions,
) -> Result<ImportReport, FeatureError> {
    let mut source = Source::open(matrix, ids, options)?;
    let id_list = ids.read()?;
    source.check_entries(&ids.path, id_list.len())?;
    let rows = index(&ids.path, &id_list)?;
    let unknown = count_unknown(dataset, &rows);
    if unknown == rows.len() {
        let examples = |ids: &[String]| ids.iter().take(3).cloned().collect();
        return Err(FeatureError::NoMatch {
            path: ids.path.clone(),
            count: rows.len(),
            theirs: examples(&id_list),
            ours: examples(dataset.items.ids.get(1..).unwrap_or(&[])),
        });
    }

    let precision = options.precision.unwrap_or(match source.matrix.element {
        Element::F16 => Precision::F16,
        _ => Precision::F32,
    });
    let items = dataset.items.count();
    let mut writer = StoreWriter::create(dest, items, source.tokens, source.width, precision)?;
    let (mut matched, mut all_zero) = (0, 0);
    let mut values = Vec::new();
    for (item, id) in dataset.items.ids.iter().enumerate().skip(1) {
        let Some(&row) = rows.get(id.as_str()) else { continue };
        if !source.read(row, id, &mut values)? {
            continue;
        }
        writer.push(item as u32, &values)?;
        matched += 1;
        all_zero += usize::from(values.iter().all(|&v| v == 0.0));
    }
    let (sha256, _) = hash_file(&matrix.path)?;
    let file_name = matrix.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let about = json!({
        "source": if options.source.is_empty() { &file_name } else { &options.source },
        "matrix": { "file": file_name, "tensor": matrix.tensor, "sha256": sha256 },
        "dataset": dataset.hash,
        "item_ids_sha256": item_ids_hash(&dataset.items.ids),
        "unknown_rows": unknown,
        "all_zero": all_zero,
    });
    let manifest = writer.finish(about)?;
    Ok(ImportReport {
        items,
        tokens: source.tokens,
        width: source.width,
        precision,
        matched,
        missing: items - matched,
        unknown,
        all_zero,
        hash: manifest.content_hash(),
    })
}

/// The matrix and its lengths.
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

    /// A table beside the matrix must have one entry per row.
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

    /// Reads the valid tokens of a row; false if there are none.
    fn read(&mut self, row: usize, id: &str, values: &mut Vec<f32>) -> Result<bool, FeatureError> {
        let length = self.lengths.as_ref().map_or(self.tokens, |lengths| lengths[row]);
        if length == 0 {
            return Ok(false);
        }
        self.matrix.read_floats(row, values)?;
        values.truncate(length * self.width);
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(true),
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

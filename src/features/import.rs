//! From a matrix and a table of item ids to a feature store.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::FeatureError;
use super::array::{Array, ArrayRef, Element};
use super::ids::{Choice, IdTable, index, item_ids_hash};
use super::shared::{MANY, Shared};
use super::store::Precision;
use super::writer::StoreWriter;
use crate::artefact::hash_file;
use crate::data::Dataset;
use crate::data::join::{self, Explanation, Names};

/// Ids that are shown of items with something peculiar.
const SHOWN: usize = 5;

/// What may be said besides matrix and ids.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Valid tokens per row of a `[I, T, f]` matrix; absent: all T. A length of 0 makes the item missing.
    pub lengths: Option<ArrayRef>,
    /// Absent: float16 if the matrix is, float32 otherwise.
    pub precision: Option<Precision>,
    /// What made the features, for the manifest; empty: the matrix file's name.
    pub source: String,
    /// Which rows make their item a missing one.
    pub missing: MissingRows,
    /// What becomes of rows that several items share.
    pub shared: SharedRows,
    /// Whatever should be warned about is an error, and nothing is written.
    pub strict: bool,
}

/// A row that [`super::MANY`] items or more share is seldom meant so: it stands for "no features".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedRows {
    /// They are taken, and told.
    #[default]
    Told,
    /// They are taken: they are meant so.
    Keep,
    /// Their items count as missing.
    Missing,
}

/// Rows that stand for "no features" in the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRows {
    /// All values of all valid tokens are zero.
    pub zeros: bool,
    /// A value of a valid token is not a number.
    pub nan: bool,
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
    /// Items of the data set without a row, with a row of length 0, or with one that [`ImportOptions::missing`] names.
    pub missing: usize,
    /// Items among them that have a row of zeros, or one with a value that is not a number.
    pub missing_zeros: usize,
    pub missing_nan: usize,
    /// Items among them whose row others share.
    pub missing_shared: usize,
    /// Rows whose id is no item of the data set.
    pub unknown: usize,
    /// Matched rows that hold nothing but zeros: often a stand-in for "missing" in the source.
    pub all_zero: usize,
    /// Items that have one and the same row, which is not of zeros.
    pub shared: Option<Shared>,
    /// How the ids were read.
    pub ids: Choice,
    /// What a person should hear.
    pub warnings: Vec<String>,
    /// Content hash of the store.
    pub hash: String,
}

/// Writes the rows of `matrix` (`[n, f]` or `[n, T, f]`, its rows named by `ids`) that belong to items of
/// `dataset` to a new feature store at `dest`. Values are kept as they are. One row is in memory at a time.
///
/// # Errors
/// Unreadable or contradictory files, shapes that don't fit, duplicate ids, values that are not finite, or
/// not a single id that is an item of the data set; under `strict` whatever would be warned about. Nothing is
/// then left at `dest`.
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
        SharedRows::Told | SharedRows::Keep => HashSet::new(),
    };
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
    let padded = options.lengths.is_none() && source.tokens > 1;
    let warnings = found.warnings(dataset, options, padded);
    if options.strict && !warnings.is_empty() {
        return Err(FeatureError::Strict(warnings));
    }
    let shared = found.shared(dataset);
    let (sha256, _) = hash_file(&matrix.path)?;
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file_name = name(&matrix.path);
    let about = json!({
        "source": if options.source.is_empty() { &file_name } else { &options.source },
        "matrix": { "file": file_name, "tensor": matrix.tensor, "sha256": sha256 },
        "ids": { "file": name(&ids.path), "read": table.choice, "sha256": hash_file(&ids.path)?.0 },
        "dataset": dataset.hash,
        "item_ids_sha256": item_ids_hash(&dataset.items.ids),
        "unknown_rows": unknown,
        "all_zero": found.all_zero.len(),
        "missing_rule": options.missing,
        "missing_zeros": found.zeros,
        "missing_nan": found.nan,
        "shared_rule": options.shared,
        "missing_shared": found.stand_ins,
        "shared": shared,
        "warnings": warnings,
    });
    let manifest = writer.finish(about)?;
    Ok(ImportReport {
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
        shared,
        ids: table.choice,
        warnings,
        hash: manifest.content_hash(),
    })
}

/// What is peculiar about the rows.
#[derive(Default)]
struct Findings {
    join: Option<Explanation>,
    /// The ids are 0, 1, 2, … and not all of them are items.
    numbered: bool,
    /// Rows that made their item a missing one.
    zeros: usize,
    nan: usize,
    stand_ins: usize,
    /// Items with features of zeros.
    all_zero: Vec<u32>,
    /// Items whose last token is of zeros, though another is not.
    zero_end: Vec<u32>,
    /// Items by a hash of their features: for words only, so that 64 bits do.
    alike: HashMap<u64, Vec<u32>>,
}

impl Findings {
    fn take(&mut self, item: u32, values: &[f32], width: usize, zero: bool) {
        if zero {
            self.all_zero.push(item);
            return;
        }
        if values[values.len() - width..].iter().all(|&v| v == 0.0) {
            self.zero_end.push(item);
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(bytemuck::cast_slice(values));
        self.alike.entry(hasher.finish()).or_default().push(item);
    }

    fn groups(&self) -> Vec<Vec<u32>> {
        let mut groups: Vec<Vec<u32>> =
            self.alike.values().filter(|group| group.len() > 1).cloned().collect();
        groups.sort();
        groups
    }

    fn shared(&self, dataset: &Dataset) -> Option<Shared> {
        Shared::of(&self.groups(), &dataset.items.ids)
    }

    fn warnings(&self, dataset: &Dataset, options: &ImportOptions, padded: bool) -> Vec<String> {
        let missing = &options.missing;
        let mut all = Vec::new();
        if self.all_zero.is_empty() && self.alike.is_empty() {
            all.push("no item is left with features: all are missing".to_owned());
        }
        let ids = |items: &[u32]| {
            let shown: Vec<&str> =
                items.iter().take(SHOWN).map(|&item| dataset.items.ids[item as usize].as_str()).collect();
            format!("{}{}", shown.join(" "), if items.len() > SHOWN { " …" } else { "" })
        };
        if let Some(join) = &self.join {
            all.push(join.hint().map_or_else(|| join.to_string(), |hint| format!("{join}; {hint}")));
        }
        if self.numbered {
            all.push(
                "the ids are 0, 1, 2, … in order: are they the numbers of the rows, and not items?"
                    .to_owned(),
            );
        }
        if !self.all_zero.is_empty() && !missing.zeros {
            all.push(format!(
                "{} items have all-zero features ({}); are they missing ones? --missing zeros counts them so",
                self.all_zero.len(),
                ids(&self.all_zero)
            ));
        }
        if padded && !self.zero_end.is_empty() {
            all.push(format!(
                "{} items end in tokens of zeros ({}); if that is padding, name the numbers of tokens with --lengths",
                self.zero_end.len(),
                ids(&self.zero_end)
            ));
        }
        if let Some(shared) = self.shared(dataset).filter(|_| options.shared == SharedRows::Told) {
            all.push(format!(
                "{}; does it stand for a missing one? --shared-rows missing counts it so, --shared-rows keep says that \
                 it is meant",
                shared.told("feature row")
            ));
        }
        all
    }
}

/// Items whose row [`MANY`] or more have: a pass of its own, so that one row at a time is in memory.
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

//! The dataset directory: Parquet and JSON, readable by anything, complete or absent.
//!
//! `interactions.parquet` (user, item, time in microseconds, part; user after user in time order), `items.parquet`
//! (row n is item n + 1; the five fixed columns, then those that `--keep-column` named), `users.parquet` (row n is user n),
//! `report.json`, and the manifest with all hashes. `prepare` and `synth` write it, every other command opens it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::{Row, RowAccessor};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

use super::guard::guarded;
use super::{DataError, Dataset, ItemId, Items, KeptColumn, MICROS, Part, Sequences, TrainedOn};
use crate::artefact::{self, Staging, io_error};

#[cfg(test)]
mod tests;

/// Manifest kind and layout version.
pub const KIND: &str = "codistill/dataset";
pub const SCHEMA: u32 = 2;
/// The previous layout, whose times are whole seconds.
const SECONDS: u32 = 1;

const INTERACTIONS: &str = "interactions.parquet";
const ITEMS: &str = "items.parquet";
const USERS: &str = "users.parquet";
const REPORT: &str = "report.json";
/// The folder of a data set's feature stores.
const FEATURES: &str = "features";
/// The manifest's key of [`Items::pictures_root`].
const PICTURES_ROOT: &str = "pictures_root";

/// Schemas of interactions with times, and with places in the log instead.
const TIMED_SCHEMA: &str = "message interactions {
    required int32 user; required int32 item; required int64 time (TIMESTAMP(MICROS,true)); required int32 part; }";
const UNTIMED_SCHEMA: &str = "message interactions {
    required int32 user; required int32 item; required int64 time; required int32 part; }";

/// Number of rows in a row group; bounds the writer's memory.
const GROUP: usize = 1 << 20;

/// [`write_dataset`] in the place of an older data set, whose feature stores are kept: a store records the items it belongs
/// to, so that one that no longer fits is refused when it's opened.
///
/// # Errors
/// As [`write_dataset`], or `dest` is something other than a data set. The old one is then still there.
pub fn replace_dataset(
    dest: &Path,
    dataset: &Dataset,
    report: &Value,
    about: Value,
) -> Result<String, DataError> {
    if !dest.exists() {
        return write_dataset(dest, dataset, report, about);
    }
    artefact::read_manifest(dest, KIND, SCHEMA)?;
    let parent = dest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch =
        artefact::scratch(0o777).prefix(artefact::SCRATCH).tempdir_in(parent).map_err(io_error(parent))?;
    let fresh = scratch.path().join("dataset");
    let hash = write_dataset(&fresh, dataset, report, about)?;
    let (old, new) = (dest.join(FEATURES), fresh.join(FEATURES));
    if old.exists() {
        fs::rename(&old, &new).map_err(io_error(&old))?;
    }
    let gone = scratch.path().join("old");
    let swapped = fs::rename(dest, &gone).and_then(|()| fs::rename(&fresh, dest)).map_err(io_error(dest));
    if let Err(error) = swapped {
        // What can't be put back stays in the scratch directory, which is then kept.
        let _ = fs::rename(&new, &old).or_else(|_| fs::rename(&new, gone.join(FEATURES)));
        if gone.exists() && fs::rename(&gone, dest).is_err() {
            let _ = scratch.keep();
        }
        return Err(error.into());
    }
    Ok(hash)
}

/// Whether the data set at `dir` was prepared with `--strip-html`, so that new items must be treated alike.
pub fn strips_html(dir: &Path) -> bool {
    let manifest = artefact::read_manifest(dir, KIND, SCHEMA).ok();
    manifest.is_some_and(|manifest| manifest.about["options"]["strip_html"] == true)
}

/// Writes `dataset` to the directory `dest` and returns its content hash.
///
/// # Errors
/// `dest` exists or can't be written; nothing is then left there.
pub fn write_dataset(
    dest: &Path,
    dataset: &Dataset,
    report: &Value,
    mut about: Value,
) -> Result<String, DataError> {
    let staging = Staging::create(dest)?;
    let failed = |name: &str, e: ParquetError| write_error(&dest.join(name), e);
    let s = &dataset.sequences;
    let users: Vec<i32> =
        (0..s.users()).flat_map(|u| std::iter::repeat_n(u as i32, s.offsets[u + 1] - s.offsets[u])).collect();
    write_table(
        &staging.path(INTERACTIONS),
        interactions_schema(dataset.timed),
        s.items.len(),
        |group, rows| {
            int_column(group, &users[rows.clone()])?;
            int_column(group, &s.items[rows.clone()].iter().map(|&i| i as i32).collect::<Vec<_>>())?;
            long_column(group, &s.times[rows.clone()])?;
            int_column(group, &s.parts[rows].iter().map(|&p| p as i32).collect::<Vec<_>>())
        },
    )
    .map_err(|e| failed(INTERACTIONS, e))?;
    let items = &dataset.items;
    let names = Items::FIXED.into_iter().chain(items.kept.iter().map(|column| column.name.as_str()));
    let columns: Vec<&Vec<String>> =
        items.fixed().into_iter().chain(items.kept.iter().map(|column| &column.values)).collect();
    write_table(&staging.path(ITEMS), texts_schema("items", names), items.count(), |group, rows| {
        columns.iter().try_for_each(|column| text_column(group, &column[(rows.start + 1)..=rows.end]))
    })
    .map_err(|e| failed(ITEMS, e))?;
    write_table(&staging.path(USERS), texts_schema("users", ["id"]), dataset.users.len(), |group, rows| {
        text_column(group, &dataset.users[rows])
    })
    .map_err(|e| failed(USERS, e))?;
    staging.write_json(REPORT, report)?;
    if let (Some(root), Some(about)) = (&items.pictures_root, about.as_object_mut()) {
        about.insert(PICTURES_ROOT.into(), root.display().to_string().into());
    }
    Ok(staging.commit(KIND, SCHEMA, about)?.content_hash())
}

/// Unwraps the system's error, which the library boxes, so that a full disk is reported as one.
fn write_error(path: &Path, error: ParquetError) -> DataError {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => io_error(path)(*error).into(),
            Err(other) => malformed(path, other),
        },
        other => malformed(path, other),
    }
}

impl Dataset {
    /// Reads a data set's directory. Every hash and every invariant is checked.
    ///
    /// # Errors
    /// It's no data set's directory, or was changed after it was written.
    pub fn open(dir: &Path) -> Result<Self, DataError> {
        let manifest = artefact::verify(dir, KIND, SCHEMA)?;
        for name in [INTERACTIONS, ITEMS, USERS] {
            // A file that the manifest doesn't name has no hash that guards it.
            if !manifest.files.iter().any(|file| file.name == name) {
                return Err(malformed(&dir.join(name), "missing from the manifest"));
            }
        }
        let users = read_texts(&dir.join(USERS), &["id"])?.swap_remove(0).values;
        let mut items = read_items(&dir.join(ITEMS))?;
        items.pictures_root = pictures_root(dir, &manifest.about, &items);
        check_distinct(&dir.join(USERS), &users)?;
        check_distinct(&dir.join(ITEMS), &items.ids[1..])?;
        let mut sequences = read_sequences(&dir.join(INTERACTIONS), users.len(), items.count())?;
        let report = &manifest.about["report"];
        // Older reports only count rows without a time that were kept.
        let timed = report["timed"]
            .as_bool()
            .unwrap_or_else(|| report["rows_without_time"].as_u64().unwrap_or(0) == 0);
        if timed && manifest.schema_version <= SECONDS {
            sequences.times.iter_mut().for_each(|time| *time = time.saturating_mul(MICROS));
        }
        Ok(Self {
            users,
            items,
            sequences,
            timed,
            hash: manifest.content_hash(),
            trained_on: TrainedOn::default(),
        })
    }
}

fn interactions_schema(timed: bool) -> ParquetResult<TypePtr> {
    Ok(Arc::new(parse_message_type(if timed { TIMED_SCHEMA } else { UNTIMED_SCHEMA })?))
}

/// Required strings, whatever characters their names have.
fn texts_schema<'n>(table: &str, names: impl IntoIterator<Item = &'n str>) -> ParquetResult<TypePtr> {
    let column = |name: &str| {
        Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_repetition(Repetition::REQUIRED)
            .with_converted_type(ConvertedType::UTF8)
            .build()
    };
    let columns: Vec<TypePtr> =
        names.into_iter().map(|name| column(name).map(Arc::new)).collect::<ParquetResult<_>>()?;
    Ok(Arc::new(Type::group_type_builder(table).with_fields(columns).build()?))
}

/// The folder in the manifest; else the data set's directory, where a generated data set keeps its pictures.
fn pictures_root(dir: &Path, about: &Value, items: &Items) -> Option<PathBuf> {
    if let Some(root) = about.get(PICTURES_ROOT).and_then(Value::as_str) {
        return Some(PathBuf::from(root));
    }
    let named = items.images.iter().filter(|image| !image.is_empty());
    let inside = |image: &String| Path::new(image).is_relative() && dir.join(image).is_file();
    // Some pictures may be missing, but not the first hundred.
    let found = named.take(100).any(inside);
    found.then(|| std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()))
}

fn write_table(
    path: &Path,
    schema: ParquetResult<TypePtr>,
    rows: usize,
    mut columns: impl FnMut(&mut SerializedRowGroupWriter<'_, File>, std::ops::Range<usize>) -> ParquetResult<()>,
) -> ParquetResult<()> {
    let schema = schema?;
    let level = ZstdLevel::try_new(3)?;
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::ZSTD(level)).build());
    let mut writer = SerializedFileWriter::new(File::create(path)?, schema, properties)?;
    for start in (0..rows).step_by(GROUP) {
        let mut group = writer.next_row_group()?;
        columns(&mut group, start..(start + GROUP).min(rows))?;
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

macro_rules! column_writer {
    ($name:ident, $kind:ty, $value:ty) => {
        fn $name(group: &mut SerializedRowGroupWriter<'_, File>, values: &[$value]) -> ParquetResult<()> {
            if let Some(mut column) = group.next_column()? {
                column.typed::<$kind>().write_batch(values, None, None)?;
                column.close()?;
            }
            Ok(())
        }
    };
}

column_writer!(int_column, Int32Type, i32);
column_writer!(long_column, Int64Type, i64);
column_writer!(bytes_column, ByteArrayType, ByteArray);

fn text_column(group: &mut SerializedRowGroupWriter<'_, File>, values: &[String]) -> ParquetResult<()> {
    bytes_column(group, &values.iter().map(|v| ByteArray::from(v.as_str())).collect::<Vec<_>>())
}

fn malformed(path: &Path, reason: impl ToString) -> DataError {
    DataError::Malformed { path: path.to_owned(), reason: reason.to_string() }
}

/// An opened table, its rows still unread.
struct Table<'p> {
    path: &'p Path,
    reader: SerializedFileReader<File>,
}

impl<'p> Table<'p> {
    fn open(path: &'p Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(io_error(path))?;
        let reader = guarded(|| SerializedFileReader::new(file)).map_err(|reason| malformed(path, reason))?;
        Ok(Self { path, reader })
    }

    /// Names of the columns, in order.
    fn names(&self) -> Vec<String> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        schema.columns().iter().map(|column| column.path().string()).collect()
    }

    /// Calls `take` with every row and its number, from 1.
    fn for_each_row(
        &self,
        mut take: impl FnMut(usize, &Row) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let wrong = |reason| malformed(self.path, reason);
        let mut rows = guarded(|| self.reader.get_row_iter(None)).map_err(wrong)?;
        let mut number = 0;
        while let Some(row) = guarded(|| rows.next().transpose()).map_err(wrong)? {
            number += 1;
            take(number, &row)?;
        }
        Ok(())
    }
}

/// Checks that every id is there once: other artefacts refer to users and items by them.
fn check_distinct(path: &Path, ids: &[String]) -> Result<(), DataError> {
    let mut seen = HashSet::with_capacity(ids.len());
    for (n, id) in ids.iter().enumerate() {
        if id.is_empty() || !seen.insert(id.as_str()) {
            let what = if id.is_empty() { "empty" } else { "not the first one of its kind" };
            return Err(malformed(path, format!("row {}: the id {id:?} is {what}", n + 1)));
        }
    }
    Ok(())
}

/// Reads a table of strings, column by column. The first columns must be `fixed`; further ones may have any other name.
fn read_texts(path: &Path, fixed: &[&str]) -> Result<Vec<KeptColumn>, DataError> {
    let table = Table::open(path)?;
    let names = table.names();
    if !names.iter().map(String::as_str).take(fixed.len()).eq(fixed.iter().copied()) {
        let reason =
            format!("the columns are {} and don't begin with {}", names.join(", "), fixed.join(", "));
        return Err(malformed(path, reason));
    }
    if let Some(n) = (1..names.len()).find(|&n| names[..n].contains(&names[n])) {
        return Err(malformed(path, format!("two columns are called {:?}", names[n])));
    }
    let mut columns: Vec<KeptColumn> =
        names.into_iter().map(|name| KeptColumn { name, values: Vec::new() }).collect();
    table.for_each_row(|number, record| {
        for (i, column) in columns.iter_mut().enumerate() {
            let cell = record.get_string(i).map_err(|e| malformed(path, format!("row {number}: {e}")))?;
            column.values.push(cell.clone());
        }
        Ok(())
    })?;
    Ok(columns)
}

fn read_items(path: &Path) -> Result<Items, DataError> {
    let mut columns = read_texts(path, &Items::FIXED)?;
    // Place 0 is padding.
    columns.iter_mut().for_each(|column| column.values.insert(0, String::new()));
    let kept = columns.split_off(Items::FIXED.len());
    let mut fixed = columns.into_iter().map(|column| column.values);
    let mut next = || fixed.next().unwrap_or_default();
    Ok(Items {
        ids: next(),
        titles: next(),
        texts: next(),
        categories: next(),
        images: next(),
        kept,
        pictures_root: None,
    })
}

fn read_sequences(path: &Path, users: usize, items: usize) -> Result<Sequences, DataError> {
    let mut s = Sequences { offsets: vec![0], ..Sequences::default() };
    let table = Table::open(path)?;
    let found = table.names().len();
    if found != 4 {
        return Err(malformed(path, format!("{found} columns instead of 4")));
    }
    table.for_each_row(|number, record| {
        let wrong = |what: String| malformed(path, format!("row {number}: {what}"));
        let int = |column| record.get_int(column).map_err(|e| wrong(e.to_string()));
        let (user, item, part) = (int(0)?, int(1)?, int(2 + 1)?);
        let time = record.get_timestamp_micros(2).or_else(|_| record.get_long(2));
        let time = time.map_err(|e| wrong(e.to_string()))?;
        let current = s.offsets.len() as i64 - 1;
        if i64::from(user) < current || user as usize >= users {
            return Err(wrong(format!("user {user} is out of order or range")));
        }
        while (s.offsets.len() as i64 - 1) < i64::from(user) {
            s.end_user();
        }
        if item < 1 || item as usize > items {
            return Err(wrong(format!("item {item} is not among 1..={items}")));
        }
        let part = part_from_code(part).ok_or_else(|| wrong(format!("part {part} is unknown")))?;
        let start = *s.offsets.last().unwrap_or(&0);
        if let (Some(&last), Some(&earlier)) = (s.parts[start..].last(), s.times[start..].last()) {
            let is_target = matches!(part, Part::Valid | Part::Test);
            if last > part || (last == part && is_target) {
                return Err(wrong("the parts of a user are not in time order, each target once".into()));
            }
            if earlier > time {
                return Err(wrong("the times of a user descend".into()));
            }
        }
        s.push(ItemId(item as u32), time, part);
        Ok(())
    })?;
    while s.offsets.len() <= users {
        s.end_user();
    }
    Ok(s)
}

fn part_from_code(code: i32) -> Option<Part> {
    [Part::Train, Part::Valid, Part::History, Part::Test, Part::Unused]
        .into_iter()
        .find(|&p| p as i32 == code)
}

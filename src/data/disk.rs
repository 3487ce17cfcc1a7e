//! The dataset directory: Parquet and JSON, readable by anything, complete or absent.
//!
//! `interactions.parquet` (user, item, time, part; user after user in time order), `items.parquet` (row n is
//! item n + 1), `users.parquet` (row n is user n), `report.json`, and the manifest with all hashes.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::RowAccessor;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

use super::{DataError, Dataset, Items, Part, Sequences};
use crate::artefact::{self, Staging, at};

/// Manifest kind and layout version.
pub const KIND: &str = "codistill/dataset";
pub const SCHEMA: u32 = 1;

const INTERACTIONS: &str = "interactions.parquet";
const ITEMS: &str = "items.parquet";
const USERS: &str = "users.parquet";
const REPORT: &str = "report.json";

const INTERACTIONS_SCHEMA: &str = "message interactions {
    required int32 user; required int32 item; required int64 time; required int32 part; }";
const ITEMS_SCHEMA: &str = "message items {
    required binary id (UTF8); required binary title (UTF8); required binary text (UTF8);
    required binary category (UTF8); required binary image (UTF8); }";
const USERS_SCHEMA: &str = "message users { required binary id (UTF8); }";

/// Rows of a row group: bounds the writer's memory.
const GROUP: usize = 1 << 20;

/// Writes `dataset` to the directory `dest` and returns its content hash.
///
/// # Errors
/// `dest` exists or can't be written; nothing is then left there.
pub fn write_dataset(
    dest: &Path,
    dataset: &Dataset,
    report: &Value,
    about: Value,
) -> Result<String, DataError> {
    let staging = Staging::create(dest)?;
    let failed = |name: &str, e: parquet::errors::ParquetError| DataError::Malformed {
        path: dest.join(name),
        reason: e.to_string(),
    };
    let s = &dataset.sequences;
    let users: Vec<i32> =
        (0..s.users()).flat_map(|u| std::iter::repeat_n(u as i32, s.offsets[u + 1] - s.offsets[u])).collect();
    write_table(&staging.path(INTERACTIONS), INTERACTIONS_SCHEMA, s.items.len(), |group, rows| {
        int_column(group, &users[rows.clone()])?;
        int_column(group, &s.items[rows.clone()].iter().map(|&i| i as i32).collect::<Vec<_>>())?;
        long_column(group, &s.times[rows.clone()])?;
        int_column(group, &s.parts[rows].iter().map(|&p| p as i32).collect::<Vec<_>>())
    })
    .map_err(|e| failed(INTERACTIONS, e))?;
    let items = &dataset.items;
    let texts = [&items.ids, &items.titles, &items.texts, &items.categories, &items.images];
    write_table(&staging.path(ITEMS), ITEMS_SCHEMA, items.count(), |group, rows| {
        texts.iter().try_for_each(|column| text_column(group, &column[rows.start + 1..rows.end + 1]))
    })
    .map_err(|e| failed(ITEMS, e))?;
    write_table(&staging.path(USERS), USERS_SCHEMA, dataset.users.len(), |group, rows| {
        text_column(group, &dataset.users[rows])
    })
    .map_err(|e| failed(USERS, e))?;
    let path = staging.path(REPORT);
    fs::write(&path, serde_json::to_string_pretty(report).unwrap_or_default()).map_err(at(&path))?;
    Ok(staging.commit(KIND, SCHEMA, about)?.content_hash())
}

impl Dataset {
    /// Reads a dataset directory, every hash and every invariant checked.
    ///
    /// # Errors
    /// It is no dataset directory, or was changed after it was written.
    pub fn open(dir: &Path) -> Result<Self, DataError> {
        let manifest = artefact::verify(dir, KIND, SCHEMA)?;
        let users = read_texts::<1>(&dir.join(USERS))?.into_iter().map(|[id]| id).collect::<Vec<_>>();
        let items = read_items(&dir.join(ITEMS))?;
        let sequences = read_sequences(&dir.join(INTERACTIONS), users.len(), items.count())?;
        Ok(Self { users, items, sequences, hash: manifest.content_hash() })
    }
}

fn write_table(
    path: &Path,
    schema: &str,
    rows: usize,
    mut columns: impl FnMut(&mut SerializedRowGroupWriter<'_, File>, std::ops::Range<usize>) -> ParquetResult<()>,
) -> ParquetResult<()> {
    let schema = Arc::new(parse_message_type(schema)?);
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

fn records(path: &Path, columns: usize) -> Result<Vec<parquet::record::Row>, DataError> {
    let reader =
        SerializedFileReader::new(File::open(path).map_err(at(path))?).map_err(|e| malformed(path, e))?;
    let found = reader.metadata().file_metadata().schema_descr().num_columns();
    if found != columns {
        return Err(malformed(path, format!("{found} columns instead of {columns}")));
    }
    let rows = reader.get_row_iter(None).map_err(|e| malformed(path, e))?;
    rows.collect::<Result<_, _>>().map_err(|e| malformed(path, e))
}

fn read_texts<const N: usize>(path: &Path) -> Result<Vec<[String; N]>, DataError> {
    let mut rows = Vec::new();
    for record in records(path, N)? {
        let mut row = [const { String::new() }; N];
        for (i, cell) in row.iter_mut().enumerate() {
            cell.clone_from(record.get_string(i).map_err(|e| malformed(path, e))?);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn read_items(path: &Path) -> Result<Items, DataError> {
    let mut items = Items::default();
    let padding = [const { String::new() }; 5];
    for [id, title, text, category, image] in std::iter::once(padding).chain(read_texts::<5>(path)?) {
        items.ids.push(id);
        items.titles.push(title);
        items.texts.push(text);
        items.categories.push(category);
        items.images.push(image);
    }
    Ok(items)
}

fn read_sequences(path: &Path, users: usize, items: usize) -> Result<Sequences, DataError> {
    let reader =
        SerializedFileReader::new(File::open(path).map_err(at(path))?).map_err(|e| malformed(path, e))?;
    if reader.metadata().file_metadata().schema_descr().num_columns() != 4 {
        return Err(malformed(path, "not the four columns user, item, time, part"));
    }
    let mut s = Sequences { offsets: vec![0], ..Sequences::default() };
    for (n, record) in reader.get_row_iter(None).map_err(|e| malformed(path, e))?.enumerate() {
        let wrong = |what: String| malformed(path, format!("row {}: {what}", n + 1));
        let record = record.map_err(|e| wrong(e.to_string()))?;
        let int = |column| record.get_int(column).map_err(|e| wrong(e.to_string()));
        let (user, item, part) = (int(0)?, int(1)?, int(2 + 1)?);
        let time = record.get_long(2).map_err(|e| wrong(e.to_string()))?;
        let current = s.offsets.len() as i64 - 1;
        if i64::from(user) < current || user as usize >= users {
            return Err(wrong(format!("user {user} is out of order or range")));
        }
        while (s.offsets.len() as i64 - 1) < i64::from(user) {
            s.offsets.push(s.items.len());
        }
        if item < 1 || item as usize > items {
            return Err(wrong(format!("item {item} is not among 1..={items}")));
        }
        let part = part_of(part).ok_or_else(|| wrong(format!("part {part} is unknown")))?;
        let start = *s.offsets.last().unwrap_or(&0);
        if s.parts.len() > start && s.parts.last().is_some_and(|&before| before > part) {
            return Err(wrong("the parts of a user are not in time order".into()));
        }
        s.items.push(item as u32);
        s.times.push(time);
        s.parts.push(part);
    }
    while s.offsets.len() <= users {
        s.offsets.push(s.items.len());
    }
    Ok(s)
}

fn part_of(code: i32) -> Option<Part> {
    [Part::Train, Part::Valid, Part::History, Part::Test, Part::Unused]
        .into_iter()
        .find(|&p| p as i32 == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dataset(lengths: &[usize], items: usize) -> Dataset {
        let mut s = Sequences { offsets: vec![0], ..Sequences::default() };
        for (u, &length) in lengths.iter().enumerate() {
            for k in 0..length {
                s.items.push(1 + ((u * 7 + k * 3) % items) as u32);
                s.times.push(k as i64 * 10 - 5);
                s.parts.push(match length - k {
                    1 => Part::Test,
                    2 => Part::Valid,
                    _ => Part::Train,
                });
            }
            s.offsets.push(s.items.len());
        }
        let column = |name: &str| -> Vec<String> {
            (0..=items).map(|i| if i == 0 { String::new() } else { format!("{name} «{i}»") }).collect()
        };
        let items = Items {
            ids: column("id"),
            titles: column("title"),
            texts: column("text"),
            categories: column(""),
            images: column("image"),
        };
        Dataset {
            users: (0..lengths.len()).map(|u| format!("u{u}")).collect(),
            items,
            sequences: s,
            hash: String::new(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_is_written_is_read_back(lengths in proptest::collection::vec(0usize..6, 1..8), items in 1usize..6) {
            let home = tempfile::tempdir().unwrap();
            let dir = home.path().join("d");
            let mut wrote = dataset(&lengths, items);
            wrote.hash = write_dataset(&dir, &wrote, &serde_json::json!({}), serde_json::json!({"seed": 1})).unwrap();
            prop_assert_eq!(Dataset::open(&dir).unwrap(), wrote);
        }

        #[test]
        fn a_flipped_byte_is_an_error_and_never_a_panic(at in 0usize..4000, bit in 0u8..8) {
            let home = tempfile::tempdir().unwrap();
            let dir = home.path().join("d");
            write_dataset(&dir, &dataset(&[4, 3], 5), &serde_json::json!({}), serde_json::json!({})).unwrap();
            let path = dir.join(INTERACTIONS);
            let mut bytes = fs::read(&path).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            fs::write(&path, &bytes).unwrap();
            prop_assert!(Dataset::open(&dir).is_err());
            // The reader itself must also survive bytes that no hash guards.
            let _ = read_sequences(&path, 2, 5);
        }
    }
}

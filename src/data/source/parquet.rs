//! Parquet tables, column by column in batches of rows, one row group after another.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::delimited::part;
use super::error::Fault;
use super::folder::{FOLDER, SourceFile};
use super::item_lists::no_lists;
use super::names::{InteractionPlaces, ItemPlaces};
use super::nested::{
    append_category, append_field, append_field_text, append_text, category_of_text, kept_text, picture_of,
    picture_of_text,
};
use super::value::{id, join};
use super::{BadLines, OnInteraction, OnItem, RawInteraction, RawItem, Reading, SourceError};
use crate::data::guard;

mod column;
mod record;
#[cfg(test)]
mod tests;

use column::{Cell, Column, Role};

/// Rows decoded at a time; bounds the memory by a few columns of this many cells.
const BATCH: usize = 8192;

pub(super) fn interactions(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    row: OnInteraction<'_>,
) -> Result<u64, SourceError> {
    let table = Table::open(file)?;
    let options = reading.options;
    no_lists(&file.path, &options.columns, &table.header)?;
    let places = InteractionPlaces::new(&options.columns, &file.path, &table.header, &mut reading.plan)?;
    let mut wanted = Wanted { table: &table, columns: Vec::new() };
    let user = wanted.add(places.user, Role::Id)?;
    let items: Vec<usize> = [places.item]
        .iter()
        .chain(&places.item_else)
        .map(|&place| wanted.add(place, Role::Id))
        .collect::<Result<_, _>>()?;
    let time = places.time.map(|place| wanted.add(place, Role::Time)).transpose()?;
    let value = places.value.map(|place| wanted.add(place, Role::Value)).transpose()?;
    let part_of = places.part.map(|place| wanted.add(place, Role::Id)).transpose()?;
    let format = options.time_format.as_deref();
    let columns = wanted.columns;
    let names: Vec<&str> = columns.iter().map(|&(place, _)| table.header[place].as_str()).collect();
    table.rows(&columns, &mut reading.bad, |cells| {
        let at = |n: usize| {
            let name = names[n];
            move |reason: String| Fault::column(name, reason)
        };
        let item = *items.iter().find(|&&n| !cells[n].is_empty()).unwrap_or(&items[0]);
        let (user_text, item_text) =
            (cells[user].text().map_err(at(user))?, cells[item].text().map_err(at(item))?);
        let own_part = part_of
            .map(|n| cells[n].text().map_err(at(n)).and_then(|text| part(&text).map_err(at(n))))
            .transpose()?;
        row(RawInteraction {
            user: id(&user_text, names[user])?,
            item: id(&item_text, names[item])?,
            time: time.map(|n| cells[n].time(format).map_err(at(n))).transpose()?,
            value: value.map(|n| cells[n].value().map_err(at(n))).transpose()?.flatten(),
            part: own_part.or(file.part),
        })
    })
}

pub(super) fn items(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    row: OnItem<'_>,
) -> Result<u64, SourceError> {
    let table = Table::open(file)?;
    let places = ItemPlaces::new(&reading.options.columns, &file.path, &table.header, &mut reading.plan)?;
    let mut wanted = Wanted { table: &table, columns: Vec::new() };
    let mut all = |places: &[usize], role: Role| {
        places.iter().map(|&place| wanted.add(place, role)).collect::<Result<Vec<usize>, _>>()
    };
    let ids = all(&with(Some(places.id), &places.id_else), Role::Id)?;
    let title = all(&with(places.title, &[]), Role::Text)?;
    let text = all(&places.text, Role::Text)?;
    let category = all(&with(places.category, &places.category_else), Role::Text)?;
    let image = all(&with(places.image, &places.image_else), Role::Text)?;
    let kept = all(&places.kept, Role::Text)?;
    let columns = wanted.columns;
    let names: Vec<&str> = columns.iter().map(|&(place, _)| table.header[place].as_str()).collect();
    table.rows(&columns, &mut reading.bad, |cells| {
        let at = |n: usize| {
            let name = names[n];
            move |reason: String| Fault::column(name, reason)
        };
        let append = |n: usize, separator: &str, out: &mut String| -> Result<(), Fault> {
            match &cells[n] {
                Cell::Nested(value) => append_text(value, separator, out),
                flat => join(out, separator, &flat.text().map_err(at(n))?),
            }
            Ok(())
        };
        let own = *ids.iter().find(|&&n| !cells[n].is_empty()).unwrap_or(&ids[0]);
        let own_text = cells[own].text().map_err(at(own))?;
        let mut item = RawItem { id: id(&own_text, names[own])?.to_owned(), ..RawItem::default() };
        for &n in &title {
            append(n, " ", &mut item.title)?;
        }
        for &n in &text {
            match &cells[n] {
                Cell::Nested(value) => append_field(value, &mut item.text),
                flat => append_field_text(&flat.text().map_err(at(n))?, &mut item.text),
            }
        }
        for &n in &category {
            if item.category.is_empty() {
                match &cells[n] {
                    Cell::Nested(value) => append_category(value, &mut item.category),
                    flat => item.category = category_of_text(&flat.text().map_err(at(n))?),
                }
            }
        }
        for &n in &image {
            if item.image.is_empty() {
                let picture = match &cells[n] {
                    Cell::Nested(value) => picture_of(value),
                    flat => picture_of_text(&flat.text().map_err(at(n))?),
                };
                item.image = picture.unwrap_or_default();
            }
        }
        for &n in &kept {
            item.kept.push(match &cells[n] {
                Cell::Nested(value) => kept_text(value),
                flat => flat.text().map_err(at(n))?.trim().to_owned(),
            });
        }
        row(item)
    })
}

fn with(first: Option<usize>, others: &[usize]) -> Vec<usize> {
    first.iter().chain(others).copied().collect()
}

/// An opened file and the names of its top-level columns, those that folders give behind them.
struct Table<'f> {
    file: &'f SourceFile,
    reader: SerializedFileReader<File>,
    header: Vec<String>,
    /// Columns of the file itself.
    own: usize,
}

/// Columns to be read, by place in the header.
struct Wanted<'t, 'f> {
    table: &'t Table<'f>,
    columns: Vec<(usize, Role)>,
}

impl Wanted<'_, '_> {
    /// Where the cells of this column will be.
    fn add(&mut self, place: usize, role: Role) -> Result<usize, SourceError> {
        // A column may have two roles, a text that is kept.
        if let Some(known) = self.columns.iter().position(|&column| column == (place, role)) {
            return Ok(known);
        }
        if place < self.table.own {
            let schema = self.table.reader.metadata().file_metadata().schema_descr();
            column::check(&self.table.file.path, schema, place, role)?;
        }
        self.columns.push((place, role));
        Ok(self.columns.len() - 1)
    }
}

impl<'f> Table<'f> {
    fn open(file: &'f SourceFile) -> Result<Self, SourceError> {
        let path = &file.path;
        let opened = File::open(path).map_err(|e| SourceError::io(path, e))?;
        let reader = guarded(path, || SerializedFileReader::new(opened))?;
        let schema = reader.metadata().file_metadata().schema();
        let mut header: Vec<String> =
            schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
        let own = header.len();
        for (key, _) in &file.keys {
            header.push(if header.contains(key) { format!("{key}{FOLDER}") } else { key.clone() });
        }
        Ok(Self { file, reader, header, own })
    }

    /// Hands the wanted columns' cells of every row to `take`, in the order of `wanted`.
    fn rows(
        &self,
        wanted: &[(usize, Role)],
        bad: &mut BadLines,
        mut take: impl FnMut(&[Cell]) -> Result<(), Fault>,
    ) -> Result<u64, SourceError> {
        let path = &self.file.path;
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let nested = self.nested(wanted);
        let (mut rows, mut number) = (0, 0);
        let mut cells = Vec::with_capacity(wanted.len());
        for group in 0..self.reader.num_row_groups() {
            let group = guarded(path, || self.reader.get_row_group(group))?;
            let mut columns = Vec::with_capacity(wanted.len());
            for &(place, role) in wanted {
                columns.push(match column::leaf(schema, place) {
                    _ if place >= self.own => Origin::Folder(&self.file.keys[place - self.own].1),
                    Some(leaf) => {
                        let reader = guarded(path, || group.get_column_reader(leaf))?;
                        Origin::Flat(Box::new(Column::new(reader, schema.column(leaf), role)))
                    }
                    None => Origin::Nested(nested.names.iter().position(|&n| n == place).unwrap_or(0)),
                });
            }
            let mut records = nested.open(path, group.as_ref())?;
            let expected = u64::try_from(group.metadata().num_rows()).unwrap_or(0);
            let mut left = expected;
            while left > 0 {
                let batch = left.min(BATCH as u64) as usize;
                for column in &mut columns {
                    if let Origin::Flat(column) = column {
                        let read = guarded(path, || column.read(batch))?;
                        if read != batch {
                            return Err(short(path, expected));
                        }
                    }
                }
                for row in 0..batch {
                    number += 1;
                    let mut values = match &mut records {
                        None => Vec::new(),
                        Some(records) => {
                            let record = guarded(path, || records.next().transpose())?;
                            record.map(record::values).ok_or_else(|| short(path, expected))?
                        }
                    };
                    cells.clear();
                    cells.extend(columns.iter_mut().map(|column| match column {
                        Origin::Flat(column) => column.take(row),
                        Origin::Nested(n) => {
                            values.get_mut(*n).map_or(Cell::Null, |v| Cell::Nested(v.take()))
                        }
                        Origin::Folder(value) => Cell::Text((*value).to_owned()),
                    }));
                    match take(&cells) {
                        Ok(()) => rows += 1,
                        Err(fault) => bad.count(path, number, fault)?,
                    }
                }
                left -= batch as u64;
            }
        }
        Ok(rows)
    }

    /// The wanted columns that hold lists or objects, in the file's order.
    fn nested(&self, wanted: &[(usize, Role)]) -> Nested {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let mut names: Vec<usize> = wanted.iter().map(|&(place, _)| place).collect();
        names.retain(|&place| place < self.own && column::leaf(schema, place).is_none());
        names.sort_unstable();
        names.dedup();
        let root = schema.root_schema();
        let fields: Vec<Arc<Type>> = names.iter().map(|&place| root.get_fields()[place].clone()).collect();
        let projection = Type::group_type_builder(root.name()).with_fields(fields).build().ok();
        Nested { projection: projection.filter(|_| !names.is_empty()), names }
    }
}

/// Where a wanted column's cells come from.
enum Origin<'k> {
    Flat(Box<Column>),
    /// Place among the nested columns.
    Nested(usize),
    Folder(&'k str),
}

/// Columns that are read as records, not as cells.
struct Nested {
    projection: Option<Type>,
    /// Places in the header.
    names: Vec<usize>,
}

impl Nested {
    fn open<'g>(
        &self,
        path: &Path,
        group: &'g dyn RowGroupReader,
    ) -> Result<Option<RowIter<'g>>, SourceError> {
        let Some(projection) = &self.projection else { return Ok(None) };
        guarded(path, || RowIter::from_row_group(Some(projection.clone()), group)).map(Some)
    }
}

/// [`guard::guarded`] with the file's name in the error.
fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, SourceError> {
    guard::guarded(call).map_err(|reason| SourceError::Damaged { path: path.to_owned(), reason })
}

fn short(path: &Path, rows: u64) -> SourceError {
    let reason = format!("a column has fewer than the row group's {rows} rows");
    SourceError::Damaged { path: path.to_owned(), reason }
}

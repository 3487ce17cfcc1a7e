//! Parquet tables, column by column in batches of rows, one row group after another.

use std::fs::File;
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::error::Fault;
use super::names::{InteractionPlaces, ItemPlaces};
use super::value::{id, join};
use super::{BadLines, OnInteraction, OnItem, RawInteraction, RawItem, RawTime, Reading, SourceError};
use crate::data::guard;

mod column;
#[cfg(test)]
mod tests;

use column::{Cell, Column, Role};

/// Rows decoded at a time; bounds the memory by a few columns of this many cells.
const BATCH: usize = 8192;

pub(super) fn interactions(
    path: &Path,
    reading: &mut Reading<'_>,
    row: OnInteraction<'_>,
) -> Result<u64, SourceError> {
    let table = Table::open(path)?;
    let header = &table.header;
    let places = InteractionPlaces::new(&reading.options.columns, path, header, &mut reading.plan)?;
    let mut wanted = vec![(places.user, Role::Id), (places.item, Role::Id)];
    wanted.extend(places.time.map(|place| (place, Role::Time)));
    wanted.extend(places.value.map(|place| (place, Role::Value)));
    table.rows(&wanted, &mut reading.bad, |cells| {
        let mut rest = cells[2..].iter();
        let mut next = |place: Option<usize>| place.and_then(|_| rest.next());
        let time = next(places.time).map(|cell| cell.time().unwrap_or(RawTime::Missing));
        let value = match (places.value, next(places.value).and_then(Cell::float)) {
            (Some(place), Some(value)) if !value.is_finite() => {
                return Err(Fault::at(&header[place], "not finite"));
            }
            (_, value) => value,
        };
        let user = cells[0].text().map_err(|reason| Fault::at(&header[places.user], reason))?;
        let item = cells[1].text().map_err(|reason| Fault::at(&header[places.item], reason))?;
        let (user, item) = (id(&user, &header[places.user])?, id(&item, &header[places.item])?);
        row(RawInteraction { user, item, time, value })
    })
}

pub(super) fn items(path: &Path, reading: &mut Reading<'_>, row: OnItem<'_>) -> Result<u64, SourceError> {
    let table = Table::open(path)?;
    let header = &table.header;
    let places = ItemPlaces::new(&reading.options.columns, path, header, &mut reading.plan)?;
    let optional = [places.title, places.category, places.image];
    let mut wanted = vec![(places.id, Role::Id)];
    wanted.extend(places.text.iter().map(|&place| (place, Role::Text(" "))));
    for (place, separator) in optional.iter().zip([" ", "|", " "]) {
        wanted.extend(place.map(|place| (place, Role::Text(separator))));
    }
    wanted.extend(places.kept.iter().map(|&place| (place, Role::Kept)));
    table.rows(&wanted, &mut reading.bad, |cells| {
        let text_of = |n: usize| cells[n].text().map_err(|reason| Fault::at(&header[wanted[n].0], reason));
        let mut item = RawItem { id: id(&text_of(0)?, &header[places.id])?.to_owned(), ..RawItem::default() };
        let mut next = 1;
        for _ in &places.text {
            join(&mut item.text, " ", &text_of(next)?);
            next += 1;
        }
        for (place, out) in optional.iter().zip([&mut item.title, &mut item.category, &mut item.image]) {
            if place.is_some() {
                text_of(next)?.trim().clone_into(out);
                next += 1;
            }
        }
        for n in next..wanted.len() {
            item.kept.push(text_of(n)?.trim().to_owned());
        }
        row(item)
    })
}

/// An opened file and the names of its top-level columns.
struct Table<'p> {
    path: &'p Path,
    reader: SerializedFileReader<File>,
    header: Vec<String>,
}

impl<'p> Table<'p> {
    fn open(path: &'p Path) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|e| SourceError::io(path, e))?;
        let reader = guarded(path, || SerializedFileReader::new(file))?;
        let schema = reader.metadata().file_metadata().schema();
        let header = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
        Ok(Self { path, reader, header })
    }

    /// Hands the wanted columns' cells of every row to `take`, in the order of `wanted`.
    fn rows(
        &self,
        wanted: &[(usize, Role)],
        bad: &mut BadLines,
        mut take: impl FnMut(&[Cell]) -> Result<(), Fault>,
    ) -> Result<u64, SourceError> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let leaves: Vec<usize> = wanted
            .iter()
            .map(|&(root, role)| column::leaf(self.path, schema, root, role))
            .collect::<Result<_, _>>()?;
        let (mut rows, mut number) = (0, 0);
        let mut cells = Vec::with_capacity(wanted.len());
        for group in 0..self.reader.num_row_groups() {
            let group = guarded(self.path, || self.reader.get_row_group(group))?;
            let mut columns = Vec::with_capacity(wanted.len());
            for (&leaf, &(_, role)) in leaves.iter().zip(wanted) {
                let reader = guarded(self.path, || group.get_column_reader(leaf))?;
                columns.push(Column::new(reader, schema.column(leaf), role));
            }
            let expected = u64::try_from(group.metadata().num_rows()).unwrap_or(0);
            let mut left = expected;
            while left > 0 {
                let batch = left.min(BATCH as u64) as usize;
                for column in &mut columns {
                    let read = guarded(self.path, || column.read(batch))?;
                    if read != batch {
                        return Err(short(self.path, expected));
                    }
                }
                for row in 0..batch {
                    number += 1;
                    cells.clear();
                    cells.extend(columns.iter_mut().map(|column| column.take(row)));
                    match take(&cells) {
                        Ok(()) => rows += 1,
                        Err(fault) => bad.count(self.path, number, fault)?,
                    }
                }
                left -= batch as u64;
            }
        }
        Ok(rows)
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

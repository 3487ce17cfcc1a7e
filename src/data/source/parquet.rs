//! Parquet tables, column by column in batches of rows, one row group after another.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::error::Fault;
use super::folder::{FOLDER, SourceFile};
use super::given_part::GivenPart;
use super::item_lists::refuse_lists;
use super::nested::{
    append_category, append_field, append_field_text, append_text, category_from_text, kept_text,
    picture_from_text, picture_in,
};
use super::places::{InteractionPlaces, ItemPlaces};
use super::value::{id, join};
use super::{BadLines, OnInteraction, OnItem, RawInteraction, RawItem, Reading, SourceError};
use crate::data::guard;

mod cell;
mod column;
mod record;
#[cfg(test)]
mod tests;
mod types;

use cell::Cell;
use column::Column;
use types::Role;

/// Number of rows decoded at a time; bounds the memory by a few columns of this many cells.
const BATCH: usize = 8192;

pub(super) fn interactions(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    row: OnInteraction<'_>,
) -> Result<u64, SourceError> {
    let table = Table::open(file)?;
    let options = reading.options;
    refuse_lists(&file.path, &options.columns, &table.header)?;
    let places = InteractionPlaces::new(&options.columns, &file.path, &table.header, &mut reading.plan)?;
    let mut wanted = Wanted { table: &table, columns: Vec::new() };
    let user = wanted.add(places.user, Role::Id)?;
    let items = wanted.add_all([places.item].iter().chain(&places.item_else), Role::Id)?;
    let time = places.time.map(|place| wanted.add(place, Role::Time)).transpose()?;
    let value = places.value.map(|place| wanted.add(place, Role::Value)).transpose()?;
    let part = places.part.map(|place| wanted.add(place, Role::Id)).transpose()?;
    let format = options.time_format.as_deref();
    let Wanted { columns, .. } = wanted;
    let names: Vec<&str> = columns.iter().map(|&(place, _)| table.header[place].as_str()).collect();
    table.rows(&columns, &mut reading.bad, |cells| {
        let row_cells = RowCells { cells, names: &names };
        let item = row_cells.first_filled(&items);
        let (user_text, item_text) = (row_cells.text(user)?, row_cells.text(item)?);
        let row_part =
            part.map(|n| row_cells.parse(n, |cell| GivenPart::parse(&cell.text()?))).transpose()?;
        row(RawInteraction {
            user: id(&user_text, names[user])?,
            item: id(&item_text, names[item])?,
            time: time.map(|n| row_cells.parse(n, |cell| cell.time(format))).transpose()?,
            value: value.map(|n| row_cells.parse(n, Cell::value)).transpose()?.flatten(),
            part: row_part.or(file.part),
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
    let item = ItemColumns {
        ids: wanted.add_all([places.id].iter().chain(&places.id_else), Role::Id)?,
        titles: wanted.add_all(&places.title, Role::Text)?,
        texts: wanted.add_all(&places.text, Role::Text)?,
        categories: wanted.add_all(places.category.iter().chain(&places.category_else), Role::Text)?,
        images: wanted.add_all(places.image.iter().chain(&places.image_else), Role::Text)?,
        kept: wanted.add_all(&places.kept, Role::Text)?,
    };
    let Wanted { columns, .. } = wanted;
    let names: Vec<&str> = columns.iter().map(|&(place, _)| table.header[place].as_str()).collect();
    table.rows(&columns, &mut reading.bad, |cells| row(item.read(&RowCells { cells, names: &names })?))
}

/// The wanted cells of one row, with the names of their columns for faults.
struct RowCells<'r> {
    cells: &'r [Cell],
    names: &'r [&'r str],
}

impl<'r> RowCells<'r> {
    fn parse<T>(&self, n: usize, parse: impl FnOnce(&'r Cell) -> Result<T, String>) -> Result<T, Fault> {
        parse(&self.cells[n]).map_err(|reason| Fault::column(self.names[n], reason))
    }

    fn text(&self, n: usize) -> Result<std::borrow::Cow<'r, str>, Fault> {
        self.parse(n, Cell::text)
    }

    /// The first of `columns` with a filled cell; the first one where all are empty.
    fn first_filled(&self, columns: &[usize]) -> usize {
        *columns.iter().find(|&&n| !self.cells[n].is_empty()).unwrap_or(&columns[0])
    }
}

/// The cells that an item's fields are read from, best first.
struct ItemColumns {
    ids: Vec<usize>,
    titles: Vec<usize>,
    texts: Vec<usize>,
    categories: Vec<usize>,
    images: Vec<usize>,
    kept: Vec<usize>,
}

impl ItemColumns {
    fn read(&self, row: &RowCells<'_>) -> Result<RawItem, Fault> {
        let column = row.first_filled(&self.ids);
        let text = row.text(column)?;
        let mut item = RawItem { id: id(&text, row.names[column])?.to_owned(), ..RawItem::default() };
        for &n in &self.titles {
            match &row.cells[n] {
                Cell::Nested(value) => append_text(value, " ", &mut item.title),
                _ => join(&mut item.title, " ", &row.text(n)?),
            }
        }
        for &n in &self.texts {
            match &row.cells[n] {
                Cell::Nested(value) => append_field(value, &mut item.text),
                _ => append_field_text(&row.text(n)?, &mut item.text),
            }
        }
        for &n in &self.categories {
            if item.category.is_empty() {
                match &row.cells[n] {
                    Cell::Nested(value) => append_category(value, &mut item.category),
                    _ => item.category = category_from_text(&row.text(n)?),
                }
            }
        }
        for &n in &self.images {
            if item.image.is_empty() {
                let picture = match &row.cells[n] {
                    Cell::Nested(value) => picture_in(value),
                    _ => picture_from_text(&row.text(n)?),
                };
                item.image = picture.unwrap_or_default();
            }
        }
        for &n in &self.kept {
            item.kept.push(match &row.cells[n] {
                Cell::Nested(value) => kept_text(value),
                _ => row.text(n)?.trim().to_owned(),
            });
        }
        Ok(item)
    }
}

/// An opened file and its header: the names of its top-level columns, followed by the keys of its folders.
struct Table<'f> {
    file: &'f SourceFile,
    reader: SerializedFileReader<File>,
    header: Vec<String>,
    /// Number of columns of the file itself.
    own: usize,
}

/// Columns to be read, by place in the header.
struct Wanted<'t, 'f> {
    table: &'t Table<'f>,
    columns: Vec<(usize, Role)>,
}

impl Wanted<'_, '_> {
    /// Adds a column and returns the place of its cell in each row.
    ///
    /// # Errors
    /// The column's type doesn't fit the role.
    fn add(&mut self, place: usize, role: Role) -> Result<usize, SourceError> {
        // A column may have two roles, such as a text that is also kept.
        if let Some(known) = self.columns.iter().position(|&column| column == (place, role)) {
            return Ok(known);
        }
        if place < self.table.own {
            let schema = self.table.reader.metadata().file_metadata().schema_descr();
            types::check(&self.table.file.path, schema, place, role)?;
        }
        self.columns.push((place, role));
        Ok(self.columns.len() - 1)
    }

    fn add_all<'p>(
        &mut self,
        places: impl IntoIterator<Item = &'p usize>,
        role: Role,
    ) -> Result<Vec<usize>, SourceError> {
        places.into_iter().map(|&place| self.add(place, role)).collect()
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

    /// Calls `take` with the wanted columns' cells of every row, in the order of `wanted`. Returns the number of rows.
    fn rows(
        &self,
        wanted: &[(usize, Role)],
        bad: &mut BadLines,
        mut take: impl FnMut(&[Cell]) -> Result<(), Fault>,
    ) -> Result<u64, SourceError> {
        let path = &self.file.path;
        let nested = self.nested(wanted);
        let (mut rows, mut number) = (0, 0);
        let mut cells = Vec::with_capacity(wanted.len());
        for group in 0..self.reader.num_row_groups() {
            let group = guarded(path, || self.reader.get_row_group(group))?;
            let mut group = RowGroup {
                path,
                columns: self.columns(group.as_ref(), wanted, &nested)?,
                records: nested.open(path, group.as_ref())?,
                rows: u64::try_from(group.metadata().num_rows()).unwrap_or(0),
            };
            let mut left = group.rows;
            while left > 0 {
                let batch = left.min(BATCH as u64) as usize;
                group.read(batch)?;
                for row in 0..batch {
                    number += 1;
                    group.take(row, &mut cells)?;
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

    /// The origin of each wanted column's cells within a row group.
    fn columns(
        &self,
        group: &dyn RowGroupReader,
        wanted: &[(usize, Role)],
        nested: &Nested,
    ) -> Result<Vec<Origin<'_>>, SourceError> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let mut columns = Vec::with_capacity(wanted.len());
        for &(place, role) in wanted {
            columns.push(match types::leaf(schema, place) {
                _ if place >= self.own => Origin::Folder(&self.file.keys[place - self.own].1),
                Some(leaf) => {
                    let reader = guarded(&self.file.path, || group.get_column_reader(leaf))?;
                    Origin::Flat(Box::new(Column::new(reader, schema.column(leaf), role)))
                }
                None => Origin::Nested(nested.names.iter().position(|&n| n == place).unwrap_or(0)),
            });
        }
        Ok(columns)
    }

    /// The wanted columns that hold lists or objects, in the file's order.
    fn nested(&self, wanted: &[(usize, Role)]) -> Nested {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let mut names: Vec<usize> = wanted.iter().map(|&(place, _)| place).collect();
        names.retain(|&place| place < self.own && types::leaf(schema, place).is_none());
        names.sort_unstable();
        names.dedup();
        let root = schema.root_schema();
        let fields: Vec<Arc<Type>> = names.iter().map(|&place| root.get_fields()[place].clone()).collect();
        let projection = Type::group_type_builder(root.name()).with_fields(fields).build().ok();
        Nested { projection: projection.filter(|_| !names.is_empty()), names }
    }
}

/// One row group while it is read.
struct RowGroup<'g> {
    path: &'g Path,
    columns: Vec<Origin<'g>>,
    /// Records of the nested columns, where there are any.
    records: Option<RowIter<'g>>,
    rows: u64,
}

impl RowGroup<'_> {
    /// Decodes the next `batch` rows of the flat columns.
    fn read(&mut self, batch: usize) -> Result<(), SourceError> {
        for column in &mut self.columns {
            if let Origin::Flat(column) = column {
                let read = guarded(self.path, || column.read(batch))?;
                if read != batch {
                    return Err(too_short(self.path, self.rows));
                }
            }
        }
        Ok(())
    }

    /// Puts the cells of row `row` of the batch into `cells`. Rows are taken in order.
    fn take(&mut self, row: usize, cells: &mut Vec<Cell>) -> Result<(), SourceError> {
        let mut values = match &mut self.records {
            None => Vec::new(),
            Some(records) => {
                let record = guarded(self.path, || records.next().transpose())?;
                record.map(record::values).ok_or_else(|| too_short(self.path, self.rows))?
            }
        };
        cells.clear();
        cells.extend(self.columns.iter_mut().map(|column| match column {
            Origin::Flat(column) => column.take(row),
            Origin::Nested(n) => values.get_mut(*n).map_or(Cell::Null, |v| Cell::Nested(v.take())),
            Origin::Folder(value) => Cell::Text((*value).to_owned()),
        }));
        Ok(())
    }
}

/// The origin of a wanted column's cells.
enum Origin<'k> {
    Flat(Box<Column>),
    /// Place among the nested columns.
    Nested(usize),
    Folder(&'k str),
}

/// The wanted columns that are read as records, not as cells.
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

fn too_short(path: &Path, rows: u64) -> SourceError {
    let reason = format!("a column has fewer than the row group's {rows} rows");
    SourceError::Damaged { path: path.to_owned(), reason }
}

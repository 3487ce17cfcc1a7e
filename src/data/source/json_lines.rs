//! Objects with named fields: JSON lines of any layout (Amazon's reviews and metadata of 2014, 2018 and 2023 among them), Python
//! literals, and lists of objects.
//!
//! The columns are the names that the first objects have; roles are chosen among them as in a table. A field that an
//! object lacks is empty, and where several names of one role stand in a file (`parent_asin` and `asin`, or lines of two
//! years), the first that isn't empty counts.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Value;

use super::error::Fault;
use super::folder::{FOLDER, SourceFile};
use super::given_part::GivenPart;
use super::item_lists::refuse_lists;
use super::json_rows::Rows;
use super::json_slots::{Scalar, field_names, fill};
use super::nested::{append_category, append_field, append_text, kept_text, picture_in};
use super::places::{InteractionPlaces, ItemPlaces};
use super::time::no_text;
use super::value::{id, parse_value};
use super::{OnInteraction, OnItem, RawInteraction, RawItem, RawTime, Reading, SourceError};

/// Number of objects whose names are collected before roles are chosen.
const HEAD: usize = 1000;

pub(super) fn interactions(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    row: OnInteraction<'_>,
) -> Result<u64, SourceError> {
    let (Some(header), own) = header(file, reading)? else { return Ok(0) };
    let options = reading.options;
    refuse_lists(&file.path, &options.columns, &header)?;
    let places = InteractionPlaces::new(&options.columns, &file.path, &header, &mut reading.plan)?;
    let mut wanted = Wanted::new(&header, own, file);
    let users = wanted.slots([places.user].iter().chain(&places.user_else));
    let items = wanted.slots([places.item].iter().chain(&places.item_else));
    let times = wanted.slots(places.time.iter().chain(&places.time_else));
    let values = wanted.slots(places.value.iter().chain(&places.value_else));
    let parts = wanted.slots(&places.part);
    let names = wanted.names();
    let format = options.time_format.as_deref();
    let folder =
        |value: Option<&'_ str>| value.map_or(Scalar::Null, |text| Scalar::Text(text.to_owned().into()));
    rows(file, reading, |line| {
        let mut fields: Vec<Scalar<'_>> = wanted.folder.iter().copied().map(folder).collect();
        fill(line, &names, &mut fields)?;
        let first = |slots: &[usize]| wanted.first(&fields, slots, is_empty);
        // Users and items have at least one slot each.
        let (user, user_name) = first(&users).unwrap_or((&Scalar::Null, ""));
        let (item, item_name) = first(&items).unwrap_or((&Scalar::Null, ""));
        let (user, item) = (id_text(user, user_name)?, id_text(item, item_name)?);
        let time = first(&times)
            .map(|(field, name)| parse_time(field, format).map_err(|reason| Fault::column(name, reason)))
            .transpose()?;
        let value = match first(&values) {
            Some((field, name)) => parse_rating(field).map_err(|reason| Fault::column(name, reason))?,
            None => None,
        };
        let row_part = first(&parts)
            .map(|(field, name)| {
                GivenPart::parse(&id_text(field, name)?).map_err(|reason| Fault::column(name, reason))
            })
            .transpose()?;
        row(RawInteraction {
            user: id(&user, user_name)?,
            item: id(&item, item_name)?,
            time,
            value,
            part: row_part.or(file.part),
        })
    })
}

pub(super) fn items(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    row: OnItem<'_>,
) -> Result<u64, SourceError> {
    let (Some(header), own) = header(file, reading)? else { return Ok(0) };
    let places = ItemPlaces::new(&reading.options.columns, &file.path, &header, &mut reading.plan)?;
    let mut wanted = Wanted::new(&header, own, file);
    let ids = wanted.slots([places.id].iter().chain(&places.id_else));
    let title = wanted.slots(&places.title);
    let text = wanted.slots(&places.text);
    let category = wanted.slots(places.category.iter().chain(&places.category_else));
    let image = wanted.slots(places.image.iter().chain(&places.image_else));
    let kept = wanted.slots(&places.kept);
    let names = wanted.names();
    rows(file, reading, |line| {
        let mut fields: Vec<Value> = wanted.folder.iter().map(|value| Value::from(*value)).collect();
        fill(line, &names, &mut fields)?;
        let (field, name) = wanted.first(&fields, &ids, is_blank).unwrap_or((&Value::Null, ""));
        let field = Scalar::from(field.clone());
        let mut item = RawItem { id: id(&id_text(&field, name)?, name)?.to_owned(), ..RawItem::default() };
        title.iter().for_each(|&slot| append_text(&fields[slot], " ", &mut item.title));
        text.iter().for_each(|&slot| append_field(&fields[slot], &mut item.text));
        for &slot in &category {
            if item.category.is_empty() {
                append_category(&fields[slot], &mut item.category);
            }
        }
        item.image = image.iter().find_map(|&slot| picture_in(&fields[slot])).unwrap_or_default();
        item.kept.extend(kept.iter().map(|&slot| kept_text(&fields[slot])));
        row(item)
    })
}

/// Names of the first objects' fields, followed by folders' keys, and the number of fields; absent for a file without
/// objects. Lines that aren't objects are reported when the rows are read.
fn header(file: &SourceFile, reading: &mut Reading<'_>) -> Result<(Option<Vec<String>>, usize), SourceError> {
    let mut rows = Rows::open(&file.path, reading.lines(&file.path)?)?;
    let mut names = Vec::new();
    let mut known = HashSet::new();
    let mut any = false;
    for _ in 0..HEAD {
        let Some((_, row)) = rows.next()? else { break };
        any = true;
        for name in field_names(row).unwrap_or_default() {
            if known.insert(name.clone()) {
                names.push(name);
            }
        }
    }
    let own = names.len();
    names.extend(file.keys.iter().map(|(key, _)| {
        // The rows' own field is nearer to them than the folder's.
        if known.contains(key) { format!("{key}{FOLDER}") } else { key.clone() }
    }));
    Ok((any.then_some(names), own))
}

/// The columns wanted of every row, each in its slot.
struct Wanted<'h> {
    header: &'h [String],
    columns: Vec<usize>,
    /// The value of each slot where the row has no such field: the folder's, or none.
    folder: Vec<Option<&'h str>>,
    own: usize,
    keys: &'h [(String, String)],
}

impl<'h> Wanted<'h> {
    fn new(header: &'h [String], own: usize, file: &'h SourceFile) -> Self {
        Self { header, columns: Vec::new(), folder: Vec::new(), own, keys: &file.keys }
    }

    /// The slots of `columns`, which are added if they are new.
    fn slots<'c>(&mut self, columns: impl IntoIterator<Item = &'c usize>) -> Vec<usize> {
        let slot = |&column: &usize| {
            self.columns.iter().position(|&known| known == column).unwrap_or_else(|| {
                self.columns.push(column);
                let key = column.checked_sub(self.own).and_then(|n| self.keys.get(n));
                self.folder.push(key.map(|(_, value)| value.as_str()));
                self.columns.len() - 1
            })
        };
        columns.into_iter().map(slot).collect()
    }

    fn name(&self, slot: usize) -> &'h str {
        &self.header[self.columns[slot]]
    }

    fn names(&self) -> Vec<&'h str> {
        (0..self.columns.len()).map(|slot| self.name(slot)).collect()
    }

    /// The first of `slots` that isn't blank, or the first one if all are, with its name.
    fn first<'f, T>(
        &self,
        fields: &'f [T],
        slots: &[usize],
        blank: impl Fn(&T) -> bool,
    ) -> Option<(&'f T, &'h str)> {
        let slot = slots.iter().find(|&&slot| !blank(&fields[slot])).or(slots.first())?;
        Some((&fields[*slot], self.name(*slot)))
    }
}

/// Calls `take` with every object's text. Returns the number of rows.
fn rows(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<u64, SourceError> {
    let mut rows = Rows::open(&file.path, reading.lines(&file.path)?)?;
    let mut read = 0;
    while let Some((line, text)) = rows.next()? {
        match take(text) {
            Ok(()) => read += 1,
            Err(fault) => reading.bad.count(&file.path, line, fault)?,
        }
    }
    Ok(read)
}

fn is_empty(field: &Scalar<'_>) -> bool {
    match field {
        Scalar::Null => true,
        Scalar::Text(text) => text.trim().is_empty(),
        _ => false,
    }
}

fn is_blank(field: &Value) -> bool {
    field.is_null() || field.as_str().is_some_and(|text| text.trim().is_empty())
}

/// The id in a text or whole number; empty for null.
fn id_text<'f>(field: &'f Scalar<'_>, name: &str) -> Result<Cow<'f, str>, Fault> {
    match field {
        Scalar::Null => Ok(Cow::Borrowed("")),
        Scalar::Text(text) => Ok(Cow::Borrowed(text)),
        Scalar::Int(number) => Ok(Cow::Owned(number.to_string())),
        Scalar::UInt(number) => Ok(Cow::Owned(number.to_string())),
        other => Err(Fault::column(name, format!("{} is no id: a text or a whole number is", other.kind()))),
    }
}

fn parse_time(field: &Scalar<'_>, format: Option<&str>) -> Result<RawTime, String> {
    let number = |number: &dyn std::fmt::Display| format!("{number} is no time");
    match field {
        Scalar::Null => Ok(RawTime::Missing),
        Scalar::Text(text) => RawTime::parse(text, format),
        // A format that was asked for reads all times or none.
        Scalar::Int(n) if format.is_some() => RawTime::parse(&n.to_string(), format),
        Scalar::Int(n) => Ok(RawTime::Number(*n)),
        Scalar::UInt(n) => Err(number(n)),
        Scalar::Float(x) if format.is_some() => Err(no_text(x)),
        Scalar::Float(x) => RawTime::from_f64(*x).ok_or_else(|| number(x)),
        other => Err(number(&other.kind())),
    }
}

fn parse_rating(field: &Scalar<'_>) -> Result<Option<f64>, String> {
    match field {
        Scalar::Null => Ok(None),
        Scalar::Int(n) => Ok(Some(*n as f64)),
        Scalar::UInt(n) => Ok(Some(*n as f64)),
        Scalar::Float(x) => Ok(Some(*x)),
        Scalar::Text(text) => parse_value(text),
        other => Err(format!("{} is no number", other.kind())),
    }
}

//! Tables with a header line, or with places instead of names: CSV and TSV, MovieLens' CSV, `RecBole`'s atomic files.

use std::path::Path;

use super::error::Fault;
use super::folder::{FOLDER, SourceFile};
use super::given_part::GivenPart;
use super::header::{guess_delimiter, is_number, remedy};
use super::item_lists::{SUFFIX, item_with_list, list_columns};
use super::nested::{append_field_text, category_from_text, picture_from_text};
use super::places::{InteractionPlaces, ItemPlaces};
use super::value::{id, parse_value, shorten};
use super::{
    Columns, Format, OnInteraction, OnItem, RawInteraction, RawItem, RawTime, Reading, Source, SourceError,
};

mod record;

pub use record::Quoting;
use record::{Fields, Records};

pub(super) fn interactions(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    row: OnInteraction<'_>,
) -> Result<u64, SourceError> {
    let Some((mut table, header)) = Table::open(file, Source::Log, reading)? else { return Ok(0) };
    let options = reading.options;
    if let Some(item) = item_with_list(&options.columns, &header) {
        let columns = list_columns(&file.path, &options.columns, item)?;
        return lists(file, reading, &mut table, &header, &columns);
    }
    let places = InteractionPlaces::new(&options.columns, &file.path, &header, &mut reading.plan)
        .map_err(|error| table.explain_missing(error))?;
    table.check_names(&reading.plan.columns.iter().map(|c| c.column.as_str()).collect::<Vec<_>>())?;
    let format = options.time_format.as_deref();
    let time = |text: &str| RawTime::parse(text, format).map(Some);
    table.rows(reading, |fields| {
        row(RawInteraction {
            user: id(fields.get(places.user)?, &header[places.user])?,
            item: id(fields.first(places.item, &places.item_else)?, &header[places.item])?,
            time: optional(fields, places.time, &header, time)?,
            value: optional(fields, places.value, &header, parse_value)?,
            part: optional(fields, places.part, &header, |text| GivenPart::parse(text).map(Some))?
                .or(file.part),
        })
    })
}

pub(super) fn items(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    row: OnItem<'_>,
) -> Result<u64, SourceError> {
    let Some((mut table, header)) = Table::open(file, Source::Catalogue, reading)? else { return Ok(0) };
    let places = ItemPlaces::new(&reading.options.columns, &file.path, &header, &mut reading.plan)
        .map_err(|error| table.explain_missing(error))?;
    table.check_names(&reading.plan.columns.iter().map(|c| c.column.as_str()).collect::<Vec<_>>())?;
    table.rows(reading, |fields| {
        let field = |place: Option<usize>, others: &[usize]| match place {
            Some(place) => fields.first(place, others).map(|text| text.trim().to_owned()),
            None => Ok(String::new()),
        };
        let mut text = String::new();
        for &place in &places.text {
            append_field_text(fields.get(place)?, &mut text);
        }
        let mut image = None;
        for &place in places.image.iter().chain(&places.image_else) {
            if image.is_none() {
                image = picture_from_text(fields.get(place)?);
            }
        }
        let kept = places.kept.iter().map(|&place| fields.get(place).map(|text| text.trim().to_owned()));
        row(RawItem {
            id: id(fields.first(places.id, &places.id_else)?, &header[places.id])?.to_owned(),
            title: field(places.title, &[])?,
            text,
            category: category_from_text(&field(places.category, &places.category_else)?),
            image: image.unwrap_or_default(),
            kept: kept.collect::<Result<_, _>>()?,
        })
    })
}

/// Adds the rows to the sequences, which are passed on when all files are read.
fn lists(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    table: &mut Table<'_>,
    header: &[String],
    columns: &Columns,
) -> Result<u64, SourceError> {
    let places = InteractionPlaces::new(columns, &file.path, header, &mut reading.plan)?;
    let list = format!("{}{SUFFIX}", header[places.item]);
    let Some(list) = header.iter().position(|name| *name == list) else { return Ok(0) };
    reading.plan.unread.retain(|name| *name != header[list]);
    reading.plan.remark(format!(
        "sequences are put together from `{}` and `{}`: their order stands for time, and times and ratings are not read",
        header[list], header[places.item]
    ));
    let mut built = reading.lists.take().unwrap_or_default();
    let rows = table.rows(reading, |fields| {
        let user = id(fields.get(places.user)?, &header[places.user])?;
        let item = id(fields.get(places.item)?, &header[places.item])?;
        let part =
            optional(fields, places.part, header, |text| GivenPart::parse(text).map(Some))?.or(file.part);
        built.add(user, fields.get(list)?, item, part, &header[list])
    });
    reading.lists = Some(built);
    rows.map(|_| 0)
}

/// The parsed field at an optional place.
fn optional<T>(
    fields: &Fields<'_>,
    place: Option<usize>,
    header: &[String],
    parse: impl Fn(&str) -> Result<Option<T>, String>,
) -> Result<Option<T>, Fault> {
    let Some(place) = place else { return Ok(None) };
    parse(fields.get(place)?).map_err(|reason| Fault::column(&header[place], reason))
}

/// A delimited file past its header.
struct Table<'f> {
    file: &'f SourceFile,
    records: Records,
    /// Number of fields in the header, and so in each record.
    width: usize,
    source: Source,
    /// The first line, if it is taken for the header and looks like data.
    suspect: Option<String>,
    delimiter: u8,
    format: Format,
}

impl<'f> Table<'f> {
    /// Opens a file past its header. Returns the table and its column names, followed by the keys of its folders; absent for
    /// an empty file.
    fn open(
        file: &'f SourceFile,
        source: Source,
        reading: &mut Reading<'_>,
    ) -> Result<Option<(Self, Vec<String>)>, SourceError> {
        let format = reading.plan.format;
        let options = reading.options;
        let no_header = options.columns.no_header;
        let mut lines = reading.lines(&file.path)?;
        let Some(first) = lines.peek()? else { return Ok(None) };
        let fixed = match format {
            Format::Atomic => Some('\t'),
            Format::MovielensCsv => Some(','),
            _ => options.delimiter,
        };
        let delimiter = match fixed {
            Some(c) => u8::try_from(c).ok().filter(u8::is_ascii).ok_or_else(|| SourceError::Malformed {
                path: file.path.clone(),
                line: 1,
                column: None,
                reason: format!("the delimiter {c:?} is not an ASCII character"),
            })?,
            None => guess_delimiter(first),
        };
        let first = String::from_utf8_lossy(first).into_owned();
        let quoting = options.quoting.unwrap_or(match delimiter {
            // Programs that write tabs or spaces rarely quote, and those that do keep fields within a tab and line.
            b'\t' | b' ' => Quoting::Fields,
            _ => Quoting::Csv,
        });
        reading.plan.delimiter = Some(char::from(delimiter));
        reading.plan.quoting = Some(quoting);
        reading.plan.quoting_guessed = options.quoting.is_none();
        let records = Records::new(&file.path, lines, delimiter, quoting);
        let mut table = Self { file, records, width: 0, source, suspect: None, delimiter, format };
        let mut header = table.header(format == Format::Atomic, no_header)?;
        reading.open_quotes += u64::from(!no_header && table.records.fields(&[]).open_quote().is_some());
        if !no_header && header.iter().any(|name| is_number(name)) {
            table.suspect = Some(first);
        }
        for (key, _) in &file.keys {
            header.push(if header.contains(key) { format!("{key}{FOLDER}") } else { key.clone() });
        }
        Ok(Some((table, header)))
    }

    /// Reads the column names.
    fn header(&mut self, typed: bool, no_header: bool) -> Result<Vec<String>, SourceError> {
        let path = &self.file.path;
        let Some(line) = self.records.next()? else { return Ok(Vec::new()) };
        let fields = self.records.fields(&[]);
        self.width = fields.len();
        if no_header {
            self.records.unread();
            return Ok((1..=self.width).map(|n| n.to_string()).collect());
        }
        let names: Result<Vec<String>, Fault> =
            (0..fields.len()).map(|n| fields.get(n).map(|name| name.trim().to_owned())).collect();
        let names = names.map_err(|fault| fault.error(path, line))?;
        if typed { names.iter().map(|name| untyped(path, name)).collect() } else { Ok(names) }
    }

    /// The error for a missing column, or for a missing header if the first line is data.
    fn explain_missing(&self, error: SourceError) -> SourceError {
        match (&error, &self.suspect) {
            (SourceError::MissingColumn { .. } | SourceError::Ambiguous { .. }, Some(first)) => {
                self.missing_header(first)
            }
            _ => error,
        }
    }

    /// Refuses a column whose name is a number: the first row would be lost as its header.
    fn check_names(&self, chosen: &[&str]) -> Result<(), SourceError> {
        match &self.suspect {
            Some(first) if chosen.iter().any(|name| is_number(name)) => Err(self.missing_header(first)),
            _ => Ok(()),
        }
    }

    fn missing_header(&self, first: &str) -> SourceError {
        let remedy = if self.format == Format::Delimited {
            remedy(first, self.delimiter, self.source)
        } else {
            format!("--format {} {}", Format::Delimited, remedy(first, self.delimiter, self.source))
        };
        SourceError::NoHeader { path: self.file.path.clone(), first: shorten(first), remedy }
    }

    /// Calls `take` with the fields of every record. Returns the number of rows.
    fn rows(
        &mut self,
        reading: &mut Reading<'_>,
        mut take: impl FnMut(&Fields<'_>) -> Result<(), Fault>,
    ) -> Result<u64, SourceError> {
        let mut rows = 0;
        let mut open: Option<u64> = None;
        while let Some(line) = self.records.next()? {
            let fields = self.records.fields(&self.file.keys);
            let taken = match fields.len() {
                n if n == self.width => take(&fields),
                n => {
                    let fault = Fault::new(format!("{n} fields where the header has {}", self.width));
                    // A record that a quoted field spreads over several lines, or over a tab.
                    let quoted = fields.open_quote().is_some() || open.is_some_and(|last| line <= last + 1);
                    Err(if quoted { fault.blame_quotes() } else { fault })
                }
            };
            if fields.open_quote().is_some() {
                open = Some(line);
                reading.open_quotes += 1;
            }
            match taken {
                Ok(()) => rows += 1,
                Err(fault) => reading.bad.count(&self.file.path, line, fault)?,
            }
        }
        reading.returns += self.records.returns();
        reading.odd_quotes += self.records.odd_quotes();
        Ok(rows)
    }
}

/// A column's name without its type: `item_id` for `item_id:token`.
fn untyped(path: &Path, name: &str) -> Result<String, SourceError> {
    match name.rsplit_once(':') {
        Some((name, "token" | "token_seq" | "float" | "float_seq")) => Ok(name.to_owned()),
        other => Err(SourceError::WrongType {
            path: path.to_owned(),
            column: other.map_or(name, |(name, _)| name).to_owned(),
            found: other.map_or("untyped", |(_, kind)| kind).to_owned(),
            wanted: "token, token_seq, float or float_seq",
        }),
    }
}

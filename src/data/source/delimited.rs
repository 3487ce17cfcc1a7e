//! Tables with a header line: CSV and TSV, MovieLens' CSV, `RecBole`'s atomic files.

use std::path::Path;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};

use super::error::Fault;
use super::lines::{LONGEST_LINE, Lines, too_long};
use super::names::{InteractionPlaces, ItemPlaces};
use super::value::{id, join, parse_value};
use super::{
    BadLines, Format, OnInteraction, OnItem, RawInteraction, RawItem, RawTime, Reading, SourceError,
};

pub(super) fn interactions(
    path: &Path,
    reading: &mut Reading<'_>,
    row: OnInteraction<'_>,
) -> Result<u64, SourceError> {
    let Some((mut table, header)) = Table::open(path, reading)? else { return Ok(0) };
    let options = reading.options;
    let places = InteractionPlaces::new(&options.columns, path, &header, &mut reading.plan)?;
    let format = options.time_format.as_deref();
    let time = |text: &str| RawTime::parse(text, format).map(Some);
    table.rows(&mut reading.bad, |fields| {
        row(RawInteraction {
            user: id(fields.get(places.user)?, &header[places.user])?,
            item: id(fields.first(places.item, &places.item_else)?, &header[places.item])?,
            time: optional(fields, places.time, &header, time)?,
            value: optional(fields, places.value, &header, parse_value)?,
        })
    })
}

pub(super) fn items(path: &Path, reading: &mut Reading<'_>, row: OnItem<'_>) -> Result<u64, SourceError> {
    let Some((mut table, header)) = Table::open(path, reading)? else { return Ok(0) };
    let places = ItemPlaces::new(&reading.options.columns, path, &header, &mut reading.plan)?;
    table.rows(&mut reading.bad, |fields| {
        let field = |place: Option<usize>, others: &[usize]| match place {
            Some(place) => fields.first(place, others).map(|text| text.trim().to_owned()),
            None => Ok(String::new()),
        };
        let mut text = String::new();
        for &place in &places.text {
            join(&mut text, " ", fields.get(place)?);
        }
        let kept = places.kept.iter().map(|&place| fields.get(place).map(|text| text.trim().to_owned()));
        row(RawItem {
            id: id(fields.first(places.id, &places.id_else)?, &header[places.id])?.to_owned(),
            title: field(places.title, &[])?,
            text,
            category: field(places.category, &places.category_else)?,
            image: field(places.image, &places.image_else)?,
            kept: kept.collect::<Result<_, _>>()?,
        })
    })
}

fn optional<T>(
    fields: &Fields<'_>,
    place: Option<usize>,
    header: &[String],
    parse: impl Fn(&str) -> Result<Option<T>, String>,
) -> Result<Option<T>, Fault> {
    let Some(place) = place else { return Ok(None) };
    parse(fields.get(place)?).map_err(|reason| Fault::at(&header[place], reason))
}

/// One record's fields.
struct Fields<'a> {
    text: &'a [u8],
    /// Where each field ends in `text`.
    ends: &'a [usize],
}

impl Fields<'_> {
    fn get(&self, place: usize) -> Result<&str, Fault> {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        std::str::from_utf8(&self.text[start..self.ends[place]])
            .map_err(|_| Fault::new(format!("field {} is not UTF-8", place + 1)))
    }

    /// The field, or the first of `others` that isn't blank where it is.
    fn first(&self, place: usize, others: &[usize]) -> Result<&str, Fault> {
        let own = self.get(place)?;
        if others.is_empty() || !own.trim().is_empty() {
            return Ok(own);
        }
        for &other in others {
            let text = self.get(other)?;
            if !text.trim().is_empty() {
                return Ok(text);
            }
        }
        Ok(own)
    }
}

/// A delimited file past its header.
struct Table<'p> {
    path: &'p Path,
    lines: Lines,
    parser: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// How much of `text` and `ends` the current record fills.
    found: (usize, usize),
    /// Fields in a record, as in the header.
    width: usize,
}

impl<'p> Table<'p> {
    /// The table and its column names; absent for an empty file.
    fn open(path: &'p Path, reading: &mut Reading<'_>) -> Result<Option<(Self, Vec<String>)>, SourceError> {
        let (format, delimiter) = (reading.plan.format, reading.options.delimiter);
        let mut lines = Lines::open(path)?;
        let Some(first) = lines.peek()? else { return Ok(None) };
        let fixed = match format {
            Format::Atomic => Some('\t'),
            Format::MovielensCsv => Some(','),
            _ => delimiter,
        };
        let delimiter = match fixed {
            Some(c) => u8::try_from(c).ok().filter(u8::is_ascii).ok_or_else(|| SourceError::Malformed {
                path: path.to_owned(),
                line: 1,
                column: None,
                reason: format!("the delimiter {c:?} is not an ASCII character"),
            })?,
            None => guess_delimiter(first),
        };
        reading.plan.delimiter = Some(char::from(delimiter));
        let parser = ReaderBuilder::new()
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            // Atomic files have no quotes: a title may start with one.
            .quoting(format != Format::Atomic)
            .build();
        let mut table =
            Self { path, lines, parser, text: vec![0; 1024], ends: vec![0; 32], found: (0, 0), width: 0 };
        let header = table.header(format == Format::Atomic)?;
        Ok(Some((table, header)))
    }

    fn header(&mut self, typed: bool) -> Result<Vec<String>, SourceError> {
        let path = self.path.to_owned();
        let fault = |f: Fault| SourceError::Malformed { path, line: 1, column: f.column, reason: f.reason };
        if self.next()?.is_none() {
            return Ok(Vec::new());
        }
        self.width = self.found.1;
        let fields = self.fields();
        let names: Result<Vec<String>, Fault> =
            (0..fields.ends.len()).map(|n| fields.get(n).map(|name| name.trim().to_owned())).collect();
        let names = names.map_err(fault)?;
        if typed { names.iter().map(|name| untyped(self.path, name)).collect() } else { Ok(names) }
    }

    /// Reads the next record that isn't blank. Returns the line it starts on.
    fn next(&mut self) -> Result<Option<u64>, SourceError> {
        let (mut text_len, mut ends_len, mut read) = (0, 0, 0);
        let mut start = None;
        loop {
            let Some((number, line)) = self.lines.next()? else {
                let Some(line) = start else { return Ok(None) };
                let reason = "the quoted field is not closed".to_owned();
                return Err(SourceError::Malformed {
                    path: self.path.to_owned(),
                    line,
                    column: None,
                    reason,
                });
            };
            if start.is_none() && line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let first = *start.get_or_insert(number);
            read += line.len() + 1;
            if read > LONGEST_LINE {
                return Err(too_long(self.path, first));
            }
            for mut input in [line, b"\n"] {
                while !input.is_empty() {
                    let (state, used, text, ends) = self.parser.read_record(
                        input,
                        &mut self.text[text_len..],
                        &mut self.ends[ends_len..],
                    );
                    input = &input[used..];
                    text_len += text;
                    ends_len += ends;
                    match state {
                        ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                        ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                        ReadRecordResult::InputEmpty => {}
                        ReadRecordResult::Record | ReadRecordResult::End => {
                            self.found = (text_len, ends_len);
                            return Ok(Some(first));
                        }
                    }
                }
            }
        }
    }

    fn fields(&self) -> Fields<'_> {
        Fields { text: &self.text[..self.found.0], ends: &self.ends[..self.found.1] }
    }

    fn rows(
        &mut self,
        bad: &mut BadLines,
        mut take: impl FnMut(&Fields<'_>) -> Result<(), Fault>,
    ) -> Result<u64, SourceError> {
        let mut rows = 0;
        while let Some(line) = self.next()? {
            let fields = self.fields();
            let taken = match fields.ends.len() {
                n if n == self.width => take(&fields),
                n => Err(Fault::new(format!("{n} fields where the header has {}", self.width))),
            };
            match taken {
                Ok(()) => rows += 1,
                Err(fault) => bad.count(self.path, line, fault)?,
            }
        }
        Ok(rows)
    }
}

/// The separator that occurs most in the header; a comma where there is none.
pub(super) fn guess_delimiter(header: &[u8]) -> u8 {
    let count = |d: u8| header.iter().filter(|&&b| b == d).count();
    // The first of equals wins, so that a tab beats commas inside of names.
    [b'\t', b',', b';', b'|']
        .into_iter()
        .rev()
        .max_by_key(|&d| count(d))
        .filter(|&d| count(d) > 0)
        .unwrap_or(b',')
}

/// `item_id` of `item_id:token`.
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

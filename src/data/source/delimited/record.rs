//! Records of a delimited file: lines split into fields, under one of three meanings of quotes.

use std::path::{Path, PathBuf};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use serde::{Deserialize, Serialize};

use super::super::SourceError;
use super::super::error::{Fault, FaultKind};
use super::super::lines::{LONGEST_LINE, Lines, too_long};

/// What quotes mean in a delimited file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quoting {
    /// A quoted field may hold separators and line ends (RFC 4180): the default of all but tabs and spaces.
    Csv,
    /// A field is quoted if it begins and ends with a quote and those between are doubled; any other quote is a
    /// character. pandas and RecBole's tools quote so, and most others that write tabs don't quote at all.
    Fields,
    /// Quotes are characters.
    None,
}

impl Quoting {
    pub const ALL: [Self; 3] = [Self::Csv, Self::Fields, Self::None];

    /// The name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Fields => "fields",
            Self::None => "none",
        }
    }
}

impl std::str::FromStr for Quoting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|quoting| quoting.name() == text);
        found.ok_or_else(|| "use csv, fields or none".to_owned())
    }
}

/// One record's fields, followed by the values of its folders' keys.
pub struct Fields<'a> {
    text: &'a [u8],
    /// Where each field ends in `text`.
    ends: &'a [usize],
    keys: &'a [(String, String)],
    open_quote: Option<usize>,
}

impl Fields<'_> {
    /// Number of the record's own fields.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The first field that begins with a quote which it doesn't close.
    pub fn open_quote(&self) -> Option<usize> {
        self.open_quote
    }

    /// The field at a place.
    ///
    /// # Errors
    /// It isn't UTF-8.
    pub fn get(&self, place: usize) -> Result<&str, Fault> {
        if let Some((_, value)) = place.checked_sub(self.ends.len()).and_then(|n| self.keys.get(n)) {
            return Ok(value);
        }
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        std::str::from_utf8(&self.text[start..self.ends[place]])
            .map_err(|_| Fault::not_utf8(format!("field {} is not UTF-8", place + 1)))
    }

    /// The field, or if it's blank the first of `others` that isn't.
    pub fn first(&self, place: usize, others: &[usize]) -> Result<&str, Fault> {
        let field = self.get(place)?;
        if others.is_empty() || !field.trim().is_empty() {
            return Ok(field);
        }
        for &other in others {
            let text = self.get(other)?;
            if !text.trim().is_empty() {
                return Ok(text);
            }
        }
        Ok(field)
    }
}

/// Splits a file into records.
pub struct Records {
    path: PathBuf,
    lines: Lines,
    delimiter: u8,
    quoting: Quoting,
    parser: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Lengths of the current record in `text` and `ends`.
    found: (usize, usize),
    open_quote: Option<usize>,
    /// State of the quotes of the current record.
    quotes: Quotes,
    /// Records with text behind a closing quote.
    odd_quotes: u64,
    /// Lines with a carriage return that doesn't belong to their end.
    returns: u64,
    /// Line on which the current record starts.
    line: u64,
    /// Whether the next call returns the same record again.
    again: bool,
}

impl Records {
    pub fn new(path: &Path, lines: Lines, delimiter: u8, quoting: Quoting) -> Self {
        let parser = ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
        Self {
            path: path.to_owned(),
            lines,
            delimiter,
            quoting,
            parser,
            text: vec![0; 1024],
            ends: vec![0; 32],
            found: (0, 0),
            open_quote: None,
            quotes: Quotes::default(),
            odd_quotes: 0,
            returns: 0,
            line: 0,
            again: false,
        }
    }

    /// The current record, with the values of its folders' keys.
    pub fn fields<'a>(&'a self, keys: &'a [(String, String)]) -> Fields<'a> {
        let (text, ends) = self.found;
        Fields { text: &self.text[..text], ends: &self.ends[..ends], keys, open_quote: self.open_quote }
    }

    /// Number of lines so far with a carriage return within them, where other programs begin a record.
    pub fn returns(&self) -> u64 {
        self.returns
    }

    /// Number of records so far with text behind a closing quote: a stray quote may have made them swallow others.
    pub fn odd_quotes(&self) -> u64 {
        self.odd_quotes
    }

    /// Makes the next call return the current record again.
    pub fn unread(&mut self) {
        self.again = true;
    }

    /// Reads the next record that isn't blank. Returns the line it starts on.
    pub fn next(&mut self) -> Result<Option<u64>, SourceError> {
        if std::mem::take(&mut self.again) {
            return Ok(Some(self.line));
        }
        let found = if self.quoting == Quoting::Csv { self.next_quoted()? } else { self.next_line()? };
        self.line = found.unwrap_or(self.line);
        Ok(found)
    }

    fn next_line(&mut self) -> Result<Option<u64>, SourceError> {
        self.open_quote = None;
        loop {
            let Some((number, line)) = self.lines.next()? else { return Ok(None) };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.returns += u64::from(line.contains(&b'\r'));
            self.text.clear();
            self.ends.clear();
            let delimiter = self.delimiter;
            // People align columns with several spaces; no other separator comes in runs.
            let runs = delimiter == b' ';
            let line = if runs { line.trim_ascii() } else { line };
            for field in line.split(|&b| b == delimiter).filter(|field| !runs || !field.is_empty()) {
                if self.quoting == Quoting::Fields && field.first() == Some(&b'"') {
                    if let Some(inner) = quoted(field) {
                        unquote(inner, &mut self.text);
                    } else {
                        self.open_quote.get_or_insert(self.ends.len());
                        self.text.extend_from_slice(field);
                    }
                } else {
                    self.text.extend_from_slice(field);
                }
                self.ends.push(self.text.len());
            }
            self.found = (self.text.len(), self.ends.len());
            return Ok(Some(number));
        }
    }

    fn next_quoted(&mut self) -> Result<Option<u64>, SourceError> {
        let (mut text_len, mut ends_len, mut read) = (0, 0, 0);
        self.quotes = Quotes::default();
        let mut start = None;
        loop {
            let Some((number, line)) = self.lines.next()? else {
                let Some(line) = start else { return Ok(None) };
                let reason = "the quoted field is not closed".to_owned();
                return Err(SourceError::Malformed { path: self.path.clone(), line, column: None, reason });
            };
            if start.is_none() && line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.returns += u64::from(line.contains(&b'\r'));
            let first = *start.get_or_insert(number);
            read += line.len() + 1;
            if read > LONGEST_LINE {
                return Err(too_long(&self.path, first));
            }
            self.quotes.follow(line, self.delimiter);
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
                        ReadRecordResult::Record => {
                            self.found = (text_len, ends_len);
                            self.odd_quotes += u64::from(self.quotes.odd);
                            return Ok(Some(first));
                        }
                        ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
                    }
                }
            }
        }
    }
}

/// The quotes of a record, followed through its lines.
#[derive(Clone, Copy, Debug, Default)]
struct Quotes {
    /// Whether the previous line ended within a quoted field.
    open: bool,
    /// Whether text stands behind a closing quote.
    odd: bool,
}

impl Quotes {
    fn follow(&mut self, line: &[u8], delimiter: u8) {
        let mut place = 0;
        loop {
            if self.open {
                let Some(quote) = line[place..].iter().position(|&b| b == b'"') else { return };
                place += quote + 1;
                match line.get(place) {
                    Some(b'"') => {
                        place += 1;
                        continue;
                    }
                    next => self.odd |= next.is_some_and(|&b| b != delimiter && b != b'\r'),
                }
                self.open = false;
            } else if line.get(place) == Some(&b'"') {
                self.open = true;
                place += 1;
                continue;
            }
            let Some(end) = line[place..].iter().position(|&b| b == delimiter) else { return };
            place += end + 1;
        }
    }
}

/// The content of a field that begins and ends with a quote, with those between doubled.
fn quoted(field: &[u8]) -> Option<&[u8]> {
    let inner = field.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut rest = inner;
    while let Some(quote) = rest.iter().position(|&b| b == b'"') {
        rest = rest[quote + 1..].strip_prefix(b"\"")?;
    }
    Some(inner)
}

/// Appends a quoted field's content, each doubled quote as one.
fn unquote(mut inner: &[u8], text: &mut Vec<u8>) {
    while let Some(quote) = inner.iter().position(|&b| b == b'"') {
        text.extend_from_slice(&inner[..=quote]);
        // The second of the two.
        inner = inner.get(quote + 2..).unwrap_or_default();
    }
    text.extend_from_slice(inner);
}

impl Fault {
    /// The same fault, with quotes as its possible cause.
    pub(super) fn blame_quotes(self) -> Self {
        Self { kind: FaultKind::OpenQuote, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_only_where_it_closes_itself() {
        let cases: [(&str, Option<&str>); 9] = [
            ("\"Say \"\"Hi\"\" again\"", Some("Say \"Hi\" again")),
            ("\"\"\"Heroes\"\"\"", Some("\"Heroes\"")),
            ("\"\"", Some("")),
            ("\"\"\"\"", Some("\"")),
            ("\"Heroes\" and other songs", None),
            ("\"Unclosed one", None),
            ("\"", None),
            ("\"a\"b\"", None),
            ("\"\"\"", None),
        ];
        for (field, expected) in cases {
            let found = quoted(field.as_bytes()).map(|inner| {
                let mut text = Vec::new();
                unquote(inner, &mut text);
                String::from_utf8(text).unwrap()
            });
            assert_eq!(found.as_deref(), expected, "{field}");
        }
    }
}

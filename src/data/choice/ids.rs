//! A file of item ids: one a line, a table with a column of them, or JSON lines.

use std::path::Path;

use serde_json::Value;

use super::ChoiceError;
use crate::data::source::{is_item_column, plain};

/// A description, for messages, of the files that can be read.
pub const FORMS: &str =
    "a file has one id a line, or a header with a column `item` (CSV, TSV), or JSON lines of ids";

/// Reads the ids of a file in file order, without blank lines. `is_item` distinguishes a header from an id of the same name.
///
/// # Errors
/// The file can't be read, isn't UTF-8, or has a malformed line.
pub fn read(path: &Path, is_item: &dyn Fn(&str) -> bool) -> Result<Vec<String>, ChoiceError> {
    let bytes = std::fs::read(path).map_err(|source| ChoiceError::Io { path: path.to_owned(), source })?;
    let malformed =
        |line: u64, reason: String| ChoiceError::Malformed { path: path.to_owned(), line, reason };
    let text = String::from_utf8(bytes).map_err(|e| {
        let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        malformed(1 + valid.iter().filter(|&&b| b == b'\n').count() as u64, "not UTF-8".into())
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let lines =
        || (1u64..).zip(text.lines()).map(|(n, line)| (n, line.trim())).filter(|(_, l)| !l.is_empty());
    let Some((_, first)) = lines().next() else { return Ok(Vec::new()) };
    if let Some((delimiter, place)) = header(first).filter(|_| !is_item(first)) {
        return column(text, delimiter, place).map_err(|(line, reason)| malformed(line, reason));
    }
    let is_json = first.starts_with(['{', '[', '"']) && serde_json::from_str::<Value>(first).is_ok();
    if !is_json {
        return Ok(lines().map(|(_, line)| line.to_owned()).collect());
    }
    let mut ids = Vec::new();
    for (number, line) in lines() {
        let value = serde_json::from_str(line).map_err(|e| {
            let text = e.to_string();
            // The library counts lines within the line, always 1.
            malformed(number, text.split(" at line ").next().unwrap_or(&text).to_owned())
        })?;
        collect(&value, &mut ids).map_err(|reason| malformed(number, reason))?;
    }
    Ok(ids)
}

/// Whether a column's name is one of item ids. `best` excludes `id`, which may be the row's.
fn is_name(name: &str, best: bool) -> bool {
    let plain = plain(name);
    let several = ["items", "itemids"].contains(&plain.as_str());
    (is_item_column(name) || several) && !(best && plain == "id")
}

/// The delimiter of a header line, and which of its columns holds the ids.
fn header(line: &str) -> Option<(u8, usize)> {
    if line.starts_with(['{', '[']) {
        return None;
    }
    b"\t,;|".iter().find_map(|&delimiter| {
        let mut reader = csv_reader(line.as_bytes(), delimiter);
        let names = reader.headers().ok()?;
        // RecBole's headers name a type behind a colon.
        let names: Vec<&str> = names.iter().map(|name| name.split(':').next().unwrap_or(name)).collect();
        let place = |best: bool| names.iter().position(|name| is_name(name, best));
        place(true).or_else(|| place(false)).map(|place| (delimiter, place))
    })
}

fn csv_reader(bytes: &[u8], delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).flexible(true).from_reader(bytes)
}

/// One column of a table. An error is a line and a reason.
fn column(text: &str, delimiter: u8, place: usize) -> Result<Vec<String>, (u64, String)> {
    let mut ids = Vec::new();
    let mut reader = csv_reader(text.as_bytes(), delimiter);
    let width = reader.headers().map_or(0, csv::StringRecord::len);
    for record in reader.records() {
        let record = record.map_err(|e| (e.position().map_or(0, csv::Position::line), e.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        if record.iter().all(str::is_empty) {
            continue;
        }
        if record.len() != width {
            return Err((line, format!("{} fields where the header has {width}", record.len())));
        }
        let id = record.get(place).unwrap_or_default();
        if id.is_empty() {
            return Err((line, "empty id".into()));
        }
        ids.push(id.to_owned());
    }
    Ok(ids)
}

/// The ids of one JSON line: a string, a whole number, a list of them, or an object with one of them under `item`.
fn collect(value: &Value, ids: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::String(id) if id.trim().is_empty() => return Err("empty id".into()),
        Value::String(id) => ids.push(id.trim().to_owned()),
        Value::Number(number) if number.is_f64() => return Err(format!("{number} is no id")),
        Value::Number(number) => ids.push(number.to_string()),
        Value::Array(all) => all.iter().try_for_each(|one| collect(one, ids))?,
        Value::Object(fields) => {
            let named = |best: bool| fields.iter().find(|(name, _)| is_name(name, best));
            let (_, id) = named(true).or_else(|| named(false)).ok_or("no `item` among its fields")?;
            collect(id, ids)?;
        }
        Value::Null | Value::Bool(_) => return Err(format!("{value} is no id")),
    }
    Ok(())
}

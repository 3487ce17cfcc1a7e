//! What format a source is in, from its name and its first lines.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use encoding_rs::Encoding;

use super::delimited::guess_delimiter;
use super::lines::Lines;
use super::sequences::is_header;
use super::value::shorten;
use super::{Format, Source, SourceError, SourceOptions};

/// What every Parquet file starts with.
const PARQUET: &[u8; 4] = b"PAR1";
/// Lines and bytes that are looked at: whether lines are sequences shows only in several.
const HEAD_LINES: usize = 1000;
const HEAD_BYTES: usize = 1 << 20;
/// Lines of one width from which on they are a table.
const MANY_LINES: usize = 100;

/// Finds out the format of a file.
///
/// # Errors
/// [`SourceError::Undetected`], a table without a header, or a file that can't be read.
pub(super) fn of_file(
    path: &Path,
    source: Source,
    options: &SourceOptions,
    encoding: Option<&'static Encoding>,
) -> Result<Format, SourceError> {
    if is_parquet(path)? {
        return Ok(Format::Parquet);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let ending = name.rsplit('.').next();
    if ending == Some("parquet") {
        return Ok(Format::Parquet);
    }
    let mut lines = Lines::open(path, encoding)?;
    let (mut head, mut bytes) = (Vec::new(), 0);
    while head.len() < HEAD_LINES && bytes < HEAD_BYTES {
        let Some((_, line)) = lines.next()? else { break };
        if !line.trim_ascii().is_empty() {
            bytes += line.len();
            head.push(String::from_utf8_lossy(line).into_owned());
        }
    }
    // MovieLens calls a table without header `u.item`: the name alone says nothing.
    let typed = head.first().is_some_and(|first| first.split('\t').any(is_typed));
    if typed && matches!(ending, Some("inter" | "item")) {
        return Ok(Format::Atomic);
    }
    if let (Some(delimiter), Some(first)) = (options.delimiter, head.first())
        && !first.contains(delimiter)
    {
        let likely = char::from(guess_delimiter(first.as_bytes()));
        return Err(SourceError::NotBetweenFields { path: path.to_owned(), delimiter, likely });
    }
    match of_lines(&head, options) {
        Found::Format(format) => Ok(format),
        Found::NoHeader(delimiter) => {
            let first = &head[0];
            let remedy = remedy(first, delimiter, source);
            Err(SourceError::NoHeader { path: path.to_owned(), first: shorten(first), remedy })
        }
        Found::Nothing => Err(SourceError::Undetected { path: path.to_owned() }),
    }
}

fn is_parquet(path: &Path) -> Result<bool, SourceError> {
    let mut magic = Vec::with_capacity(PARQUET.len());
    let file = File::open(path).map_err(|e| SourceError::io(path, e))?;
    file.take(PARQUET.len() as u64).read_to_end(&mut magic).map_err(|e| SourceError::io(path, e))?;
    Ok(magic == PARQUET)
}

enum Found {
    Format(Format),
    /// A table with this between its fields.
    NoHeader(u8),
    Nothing,
}

/// The format by the first lines that aren't blank.
fn of_lines(head: &[String], options: &SourceOptions) -> Found {
    let Some(first) = head.first().map(String::as_str) else { return Found::Nothing };
    if is_json(first.trim_start()) {
        return Found::Format(Format::JsonLines);
    }
    if options.columns.no_header {
        return Found::Format(Format::Delimited);
    }
    if first.contains("::") {
        return Found::Format(Format::MovielensDat);
    }
    let asked = options.delimiter.and_then(|c| u8::try_from(c).ok());
    if asked.is_none() && is_sequences(head) {
        return if is_spaced_table(head) { Found::NoHeader(b' ') } else { Found::Format(Format::Sequences) };
    }
    let delimiter = asked.unwrap_or_else(|| guess_delimiter(first.as_bytes()));
    // Any two words have a space between them.
    if delimiter == b' ' && asked.is_none() && !is_header(first) {
        return Found::Nothing;
    }
    let fields = first.split(char::from(delimiter)).map(|n| n.trim().trim_matches('"'));
    let names: Vec<&str> = fields.filter(|name| delimiter != b' ' || !name.is_empty()).collect();
    if names.len() < 2 {
        return Found::Nothing;
    }
    if names.iter().all(|name| is_typed(name)) {
        return Found::Format(Format::Atomic);
    }
    if names == ["userId", "movieId", "rating", "timestamp"] || names == ["movieId", "title", "genres"] {
        return Found::Format(Format::MovielensCsv);
    }
    if names.iter().any(|name| is_number(name)) {
        Found::NoHeader(delimiter)
    } else {
        Found::Format(Format::Delimited)
    }
}

/// A name of RecBole's with its type.
fn is_typed(name: &str) -> bool {
    name.trim()
        .rsplit_once(':')
        .is_some_and(|(_, kind)| matches!(kind, "token" | "token_seq" | "float" | "float_seq"))
}

/// A first line with a number in it is data: there is no header to name the columns.
pub(super) fn is_number(name: &str) -> bool {
    name.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

/// An object, or a list of objects. A header in brackets (`[user],[item]`) is none.
fn is_json(first: &str) -> bool {
    let list = |rest: &str| rest.is_empty() || rest.starts_with(['{', '[', ']']);
    first.starts_with('{') || first.strip_prefix('[').is_some_and(|rest| list(rest.trim_start()))
}

/// The options that read a table whose first line is data.
pub(super) fn remedy(first: &str, delimiter: u8, source: Source) -> String {
    if source == Source::Catalogue {
        return "--items-no-header --items-column item=1 --items-column title=2".to_owned();
    }
    let delimiter = char::from(delimiter);
    let sequences =
        if delimiter == ' ' { ", or, if each line is a user and its items, --format sequences" } else { "" };
    let fields: Vec<&str> =
        first.split(delimiter).filter(|field| delimiter != ' ' || !field.is_empty()).collect();
    let is_time = |field: &str| {
        let field = field.trim().trim_matches('"');
        let number = field.len() >= 9 && is_number(field);
        let date = field.len() >= 8 && field.matches(['-', '/', ':']).count() >= 2;
        number || (date && field.starts_with(|c: char| c.is_ascii_digit()))
    };
    let rest = 2..fields.len();
    let time = rest.clone().find(|&n| is_time(fields[n]));
    let value = rest.clone().find(|&n| is_number(fields[n]) && Some(n) != time);
    let mut columns = vec![("user", 1), ("item", 2)];
    columns.extend(value.map(|n| ("value", n + 1)));
    columns.extend(time.map(|n| ("time", n + 1)));
    let columns: Vec<String> = columns.iter().map(|(role, n)| format!("--column {role}={n}")).collect();
    format!("--no-header {}{sequences}", columns.join(" "))
}

/// Every line is a user, then at least one item: one tab or none, spaces between items.
fn is_sequences(head: &[String]) -> bool {
    let lines = if is_header(&head[0]) { &head[1..] } else { head };
    if is_header(&head[0]) {
        let rest = head[0].split_once('\t').map_or("", |(_, rest)| rest).trim().to_ascii_lowercase();
        let list = ["items", "item_ids", "sequence", "history"].iter().any(|name| rest.starts_with(name));
        return list && lines.iter().all(|line| looks_like_items(line));
    }
    lines.iter().all(|line| looks_like_items(line) && line.bytes().any(|b| b.is_ascii_digit()))
        && !lines.iter().any(|line| line.contains([',', ';', '|', '"', ':']))
}

fn looks_like_items(line: &str) -> bool {
    line.matches('\t').count() <= 1 && line.split_ascii_whitespace().count() >= 2
}

/// Lines of one number of fields, three or more, whose users come again: a table of user, item, rating, time. Sequences
/// have a line for each user, and pairs of user and item are sequences of one.
fn is_spaced_table(head: &[String]) -> bool {
    let words = |line: &String| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = head.iter().map(words).collect();
    let width = rows[0].len();
    if width < 3 || rows.iter().any(|row| row.len() != width) {
        return false;
    }
    let users: std::collections::HashSet<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    // Items have no numbers as long as a time, all of them in one place.
    let is_time = |word: &String| (9..=19).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit());
    // So many users with one and the same number of items don't occur unless somebody cut them.
    users.len() < rows.len()
        || rows.len() >= MANY_LINES
        || rows.iter().all(|row| is_time(&row[width - 1]) && !is_time(&row[1]))
}

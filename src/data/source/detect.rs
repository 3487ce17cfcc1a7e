//! The format of a source, from its name and its first lines. [`super::Reading`] asks where no option names it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use encoding_rs::Encoding;

use super::header::{guess_delimiter, is_number, remedy};
use super::lines::Lines;
use super::sequences::is_header;
use super::value::shorten;
use super::{Format, Source, SourceError, SourceOptions};

/// The first bytes of every Parquet file.
const PARQUET: &[u8; 4] = b"PAR1";
/// Most lines and bytes that are examined: one line doesn't show whether lines are sequences.
const HEAD_LINES: usize = 1000;
const HEAD_BYTES: usize = 1 << 20;
/// Number of lines of one width that make a table.
const MANY_LINES: usize = 100;

/// Finds out the format of a file.
///
/// # Errors
/// [`SourceError::Undetected`], a table without a header, or a file that can't be read.
pub(super) fn detect_format(
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
    // MovieLens calls a table without header `u.item`: the name alone decides nothing.
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
    match format_by_lines(&head, options) {
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

/// What the first lines of a file show.
enum Found {
    Format(Format),
    /// A table without header, and its separator.
    NoHeader(u8),
    Nothing,
}

/// Decides the format by the first lines that aren't blank.
fn format_by_lines(head: &[String], options: &SourceOptions) -> Found {
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

/// Whether a column's name has a type behind it, as RecBole writes it.
fn is_typed(name: &str) -> bool {
    name.trim()
        .rsplit_once(':')
        .is_some_and(|(_, kind)| matches!(kind, "token" | "token_seq" | "float" | "float_seq"))
}

/// Whether a file begins with an object or a list of objects. A header in brackets (`[user],[item]`) is neither.
fn is_json(first: &str) -> bool {
    let list = |rest: &str| rest.is_empty() || rest.starts_with(['{', '[', ']']);
    first.starts_with('{') || first.strip_prefix('[').is_some_and(|rest| list(rest.trim_start()))
}

/// Whether every line is a user and at least one item, with at most one tab and with spaces between items.
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

/// Whether lines have one number of fields, three or more, and users come again, as in a table of user, item, rating,
/// time. Sequences have one line for each user, and pairs of user and item are sequences of one.
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
    // That many users with the same number of items don't occur unless somebody cut their histories.
    users.len() < rows.len()
        || rows.len() >= MANY_LINES
        || rows.iter().all(|row| is_time(&row[width - 1]) && !is_time(&row[1]))
}

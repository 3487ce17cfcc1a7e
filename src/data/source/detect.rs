//! What format a source is in, from its name and its first lines.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::delimited::guess_delimiter;
use super::lines::Lines;
use super::sequences::is_header;
use super::{Format, SourceError, files};

/// What every Parquet file starts with.
const PARQUET: &[u8; 4] = b"PAR1";

/// Finds out the format of a file, or of a directory by its first part file.
///
/// # Errors
/// [`SourceError::Undetected`], or a file that can't be read.
pub fn detect(path: &Path) -> Result<Format, SourceError> {
    let Some(first) = files(path)?.into_iter().next() else {
        return Err(SourceError::NoFiles { path: path.to_owned() });
    };
    if is_parquet(&first)? {
        return Ok(Format::Parquet);
    }
    let name = first.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit('.').next() {
        Some("inter" | "item") => return Ok(Format::Atomic),
        Some("parquet") => return Ok(Format::Parquet),
        _ => {}
    }
    let mut lines = Lines::open(&first)?;
    let mut head = Vec::new();
    while head.len() < 2 {
        let Some((_, line)) = lines.next()? else { break };
        if !line.trim_ascii().is_empty() {
            head.push(String::from_utf8_lossy(line).into_owned());
        }
    }
    of_lines(&head).ok_or(SourceError::Undetected { path: first })
}

fn is_parquet(path: &Path) -> Result<bool, SourceError> {
    let mut magic = Vec::with_capacity(PARQUET.len());
    let file = File::open(path).map_err(|e| SourceError::io(path, e))?;
    file.take(PARQUET.len() as u64).read_to_end(&mut magic).map_err(|e| SourceError::io(path, e))?;
    Ok(magic == PARQUET)
}

/// The format by the first one or two lines that aren't blank.
fn of_lines(head: &[String]) -> Option<Format> {
    let first = head.first()?.as_str();
    if first.trim_start().starts_with('{') {
        return Some(Format::AmazonJsonl);
    }
    if first.contains("::") {
        return Some(Format::MovielensDat);
    }
    if is_sequences(head) {
        return Some(Format::Sequences);
    }
    let delimiter = char::from(guess_delimiter(first.as_bytes()));
    let names: Vec<&str> = first.split(delimiter).map(|n| n.trim().trim_matches('"')).collect();
    if names.len() < 2 {
        return None;
    }
    if names.iter().all(|n| n.ends_with(":token") || n.ends_with(":float") || n.ends_with("_seq")) {
        return Some(Format::Atomic);
    }
    if names == ["userId", "movieId", "rating", "timestamp"] || names == ["movieId", "title", "genres"] {
        return Some(Format::MovielensCsv);
    }
    // A first line with a number in it is data: there is no header to name the columns.
    let is_name = |n: &&str| n.parse::<f64>().is_err();
    names.iter().all(is_name).then_some(Format::Delimited)
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

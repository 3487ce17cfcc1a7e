//! What the first line of a table shows: its separator, and whether it's a header.
//!
//! [`super::detect`] asks before the format is known, [`super::delimited`] when a table is opened.

use super::format::Source;

/// The separator that occurs most in the header; a comma where there is none.
pub(super) fn guess_delimiter(header: &[u8]) -> u8 {
    let count = |d: u8| header.iter().filter(|&&b| b == d).count();
    // The first of equals wins, so that a tab beats commas inside of names.
    [b'\t', b',', b';', b'|']
        .into_iter()
        .rev()
        .max_by_key(|&d| count(d))
        .filter(|&d| count(d) > 0)
        .unwrap_or(if header.trim_ascii().contains(&b' ') { b' ' } else { b',' })
}

/// Whether a field of a first line is a number, so that the line is data and not a header.
pub(super) fn is_number(name: &str) -> bool {
    name.trim().parse::<f64>().is_ok_and(f64::is_finite)
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

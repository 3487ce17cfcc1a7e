//! Ratings, ids and texts as all formats write them.

use super::error::Fault;

/// Reads a rating; absent for an empty field.
///
/// # Errors
/// It isn't a finite number.
pub(super) fn parse_value(text: &str) -> Result<Option<f64>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(format!("{:?} is no number", shorten(text))),
    }
}

/// The id without surrounding space.
///
/// # Errors
/// It's empty.
pub(super) fn id<'a>(text: &'a str, column: &str) -> Result<&'a str, Fault> {
    let text = text.trim();
    if text.is_empty() { Err(Fault::column(column, "empty id")) } else { Ok(text) }
}

/// The beginning of a field, for a message.
pub(super) fn shorten(text: &str) -> String {
    const MAX: usize = 40;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Appends a field to a text, with a separator if needed.
pub(super) fn join(text: &mut String, separator: &str, part: &str) {
    let part = part.trim();
    if part.is_empty() {
        return;
    }
    if !text.is_empty() {
        text.push_str(separator);
    }
    text.push_str(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_are_finite_or_absent() {
        assert_eq!(parse_value(" 4.5 "), Ok(Some(4.5)));
        assert_eq!(parse_value(""), Ok(None));
        assert!(parse_value("nan").is_err());
    }
}

//! Ratings and ids as the formats write them.

use super::error::Fault;

/// A rating; an empty field has none.
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

/// The id without surrounding space; an empty one is a fault.
pub(super) fn id<'a>(text: &'a str, column: &str) -> Result<&'a str, Fault> {
    let text = text.trim();
    if text.is_empty() { Err(Fault::column(column, "empty id")) } else { Ok(text) }
}

/// Enough of a field to recognise it in a message.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Appends a field to a text of several.
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

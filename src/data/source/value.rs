//! Times, ratings and ids as the formats write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::error::Fault;

/// Unix seconds from seconds, or from the milli-, micro- or nanoseconds that logs write instead. Seconds above
/// 1e11 would lie beyond the year 5138; each step of a thousand above that is the next finer unit.
pub(super) fn seconds(time: i64) -> i64 {
    match time.unsigned_abs() {
        0..=100_000_000_000 => time,
        100_000_000_001..=100_000_000_000_000 => time.div_euclid(1_000),
        100_000_000_000_001..=100_000_000_000_000_000 => time.div_euclid(1_000_000),
        _ => time.div_euclid(1_000_000_000),
    }
}

/// [`seconds`] of a time with a fraction.
pub(super) fn seconds_f64(time: f64) -> Option<i64> {
    // Beyond 9e18 the conversion to 64 bits would saturate.
    (time.abs() < 9e18).then(|| seconds(time.floor() as i64))
}

/// A number of seconds (or finer), or an ISO date, UTC where it names no offset.
pub(super) fn parse_time(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Ok(seconds(time));
    }
    let number = text.parse().ok().and_then(seconds_f64);
    number.or_else(|| parse_date(text)).ok_or_else(|| format!("{:?} is no time", shorten(text)))
}

fn parse_date(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let local = text.parse::<DateTime>().ok().or_else(|| Some(text.parse::<Date>().ok()?.at(0, 0, 0, 0)));
    Some(local?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

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
    if text.is_empty() { Err(Fault::at(column, "empty id")) } else { Ok(text) }
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
    fn every_unit_and_date_gives_the_same_second() {
        for text in [
            "964982703",
            "964982703.7",
            "9.64982703e8",
            "964982703000",
            "964982703000000",
            "964982703000000000",
            "2000-07-30T18:45:03Z",
            "2000-07-30 18:45:03",
            "2000-07-30T20:45:03+02:00",
        ] {
            assert_eq!(parse_time(text), Ok(964_982_703), "{text}");
        }
        assert_eq!(parse_time("2000-07-30"), Ok(964_915_200));
        assert_eq!(parse_time("-5"), Ok(-5));
    }

    #[test]
    fn what_is_no_time_is_an_error() {
        for text in ["", "x", "NaN", "inf", "1e300", "2000-13-01"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ratings_are_finite_or_absent() {
        assert_eq!(parse_value(" 4.5 "), Ok(Some(4.5)));
        assert_eq!(parse_value(""), Ok(None));
        assert!(parse_value("nan").is_err());
    }
}

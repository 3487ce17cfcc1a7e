//! One time as its source wrote it, and the texts that are times.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use super::super::value::shorten;
use crate::data::join::is_null_like;

/// A time as its source wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawTime {
    /// An empty field, or a null.
    Missing,
    /// A whole number, in a unit that only the column decides.
    Number(i64),
    /// A number with a fraction: the whole part, rounded down, and billionths.
    Decimal(i64, u32),
    /// A date, a time stamp with a unit, a text: nanoseconds since 1970.
    Moment(i64),
}

impl RawTime {
    /// A number with or without a fraction; absent for what doesn't fit into 64 bits.
    pub fn from_f64(number: f64) -> Option<Self> {
        // Beyond 9.2e18 the conversion to 64 bits would saturate.
        if number.is_nan() || number.abs() >= 9.2e18 {
            return None;
        }
        if number.fract() == 0.0 {
            return Some(Self::Number(number as i64));
        }
        // The shortest decimal that is this float is what the writer meant: 0.1 and not 0.1000000000000000055.
        Self::decimal(&format!("{number}"))
    }

    /// A number of steps since 1970, of which a second has `per_second`.
    ///
    /// # Errors
    /// The moment lies outside the years that 64 bits of nanoseconds hold.
    pub fn from_steps(steps: i64, per_second: i64) -> Result<Self, String> {
        let nanos = i128::from(steps) * i128::from(1_000_000_000 / per_second);
        i64::try_from(nanos).map(Self::Moment).map_err(|_| out_of_range(steps))
    }

    /// A date without a time of the day, as days since 1970.
    ///
    /// # Errors
    /// As [`RawTime::from_steps`].
    pub fn from_days(days: i64) -> Result<Self, String> {
        let nanos = i128::from(days) * 86_400_000_000_000;
        i64::try_from(nanos).map(Self::Moment).map_err(|_| out_of_range(days))
    }

    /// A number, or a date or time in ISO 8601, UTC where it names no offset. With `format` nothing but that format
    /// (as `strptime` has it) is read.
    ///
    /// # Errors
    /// The text is neither; the message names the forms that are.
    pub fn parse(text: &str, format: Option<&str>) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::Missing);
        }
        if let Some(format) = format {
            return parse_with_format(text, format);
        }
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        if let Some(time) = Self::decimal(text).or_else(|| text.parse().ok().and_then(Self::from_f64)) {
            return Ok(time);
        }
        // pandas, SQL and people write the zone behind a space.
        let stamp = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT")).unwrap_or(text);
        if let Ok(time) = stamp.parse::<Timestamp>() {
            return from_stamp(time);
        }
        let local =
            stamp.parse::<DateTime>().or_else(|_| stamp.parse::<Date>().map(|date| date.at(0, 0, 0, 0)));
        // A zone that these two would pass over must not be lost.
        let local = local.ok().filter(|_| !stamp.contains(['[', '+', 'Z', 'z']));
        match local.and_then(|local| local.to_zoned(TimeZone::UTC).ok()) {
            Some(time) => from_stamp(time.timestamp()),
            None if is_null(text) => Ok(Self::Missing),
            None => Err(format!("{:?} is no time that is read; {READ_FORMS}", shorten(text))),
        }
    }

    /// `-12.5` and the like, exactly; up to nine digits behind the point count.
    fn decimal(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.')?;
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        if !digits(unsigned) || !digits(fraction) || unsigned.len() + fraction.len() == 0 {
            return None;
        }
        let mut number: i64 = if unsigned.is_empty() { 0 } else { unsigned.parse().ok()? };
        let mut billionths: u32 = format!("{fraction:0<9.9}").parse().ok()?;
        if whole.starts_with('-') {
            number = -number;
            if billionths > 0 {
                (number, billionths) = (number - 1, 1_000_000_000 - billionths);
            }
        }
        Some(if billionths == 0 { Self::Number(number) } else { Self::Decimal(number, billionths) })
    }
}

/// The reason why a time format can't read a number.
pub(in crate::data::source) fn no_text(number: &dyn fmt::Display) -> String {
    format!("--time-format reads texts and whole numbers, and {number} is neither; leave it out")
}

/// The readable forms of a time, for messages.
const READ_FORMS: &str = "read are Unix seconds, milli-, micro- and nanoseconds, 20200705, 2020-07-05, \
                          2020-07-05 10:30:00 and 2020-07-05T10:30:00.250+02:00; --time-format reads others";

fn out_of_range(number: i64) -> String {
    format!("{number} lies outside the years 1678 to 2261")
}

/// A time stamp with nanoseconds.
fn from_stamp(time: Timestamp) -> Result<RawTime, String> {
    let nanos = i64::try_from(time.as_nanosecond())
        .map_err(|_| format!("{time} lies outside the years 1678 to 2261"))?;
    Ok(RawTime::Moment(nanos))
}

/// Texts that tables write for a missing value.
fn is_null(text: &str) -> bool {
    is_null_like(text) || text.eq_ignore_ascii_case("\\n")
}

/// Reads a time as `strptime` does.
fn parse_with_format(text: &str, format: &str) -> Result<RawTime, String> {
    let wrong = |reason: String| format!("{:?} is not written as {format:?}: {reason}", shorten(text));
    let parts = BrokenDownTime::parse(format, text).map_err(|e| {
        let colon = if format.contains("%z") { " (%:z reads offsets with a colon)" } else { "" };
        wrong(format!("{e}{colon}"))
    })?;
    if let Ok(time) = parts.to_timestamp() {
        return from_stamp(time);
    }
    if let Some(zone) = parts.iana_time_zone() {
        let reason = format!(
            "{zone} names a zone, whose offsets from UTC are not known here; write times with offsets (%z)"
        );
        return Err(wrong(reason));
    }
    let local = parts.to_datetime().or_else(|_| parts.to_date().map(|date| date.at(0, 0, 0, 0)));
    let time = local.and_then(|local| local.to_zoned(TimeZone::UTC)).map_err(|e| wrong(e.to_string()))?;
    from_stamp(time.timestamp())
}

//! Times as logs write them, and the unit of a whole column of them.
//!
//! A reader hands on what stands in the file ([`RawTime`]), nothing rounded. [`TimeColumn`] packs the values of one
//! column into 64 bits each, in the file's own unit and order, and says at the end what the unit is: a column has one,
//! so a value alone doesn't decide it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::value::shorten;
use crate::data::MICROS;
use crate::data::join::is_null_like;

/// A time as its source wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawTime {
    /// An empty field, or a null.
    Missing,
    /// A whole number of a unit that only the column tells.
    Number(i64),
    /// A number with a fraction: the whole part, rounded down, and billionths.
    Decimal(i64, u32),
    /// A date, a time stamp with a unit, a text: nanoseconds since 1970.
    Moment(i64),
}

impl RawTime {
    /// A number with or without a fraction; what is no number of 64 bits is none.
    pub fn of_f64(number: f64) -> Option<Self> {
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

    /// So many steps, `per_second` of them in a second.
    ///
    /// # Errors
    /// The moment lies outside the years that 64 bits of nanoseconds hold.
    pub fn of_steps(steps: i64, per_second: i64) -> Result<Self, String> {
        let nanos = i128::from(steps) * i128::from(1_000_000_000 / per_second);
        i64::try_from(nanos).map(Self::Moment).map_err(|_| out_of_range(steps))
    }

    /// A date without a time of the day, as days since 1970.
    ///
    /// # Errors
    /// As [`RawTime::of_steps`].
    pub fn of_days(days: i64) -> Result<Self, String> {
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
            return of_format(text, format);
        }
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        if let Some(time) = Self::decimal(text).or_else(|| text.parse().ok().and_then(Self::of_f64)) {
            return Ok(time);
        }
        // pandas, SQL and people write the zone behind a space.
        let stamp = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT")).unwrap_or(text);
        if let Ok(time) = stamp.parse::<Timestamp>() {
            return of_stamp(time);
        }
        let local =
            stamp.parse::<DateTime>().or_else(|_| stamp.parse::<Date>().map(|date| date.at(0, 0, 0, 0)));
        // A zone that these two would pass over must not be lost.
        let local = local.ok().filter(|_| !stamp.contains(['[', '+', 'Z', 'z']));
        match local.and_then(|local| local.to_zoned(TimeZone::UTC).ok()) {
            Some(time) => of_stamp(time.timestamp()),
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

/// A time that a format can't read.
pub(super) fn no_text(number: &dyn fmt::Display) -> String {
    format!("--time-format reads texts and whole numbers, and {number} is neither; leave it out")
}

/// What a message tells the owner of a time that isn't read.
const READ_FORMS: &str = "read are Unix seconds, milli-, micro- and nanoseconds, 20200705, 2020-07-05, \
                          2020-07-05 10:30:00 and 2020-07-05T10:30:00.250+02:00; --time-format reads others";

fn out_of_range(number: i64) -> String {
    format!("{number} lies outside the years 1678 to 2261")
}

fn of_stamp(time: Timestamp) -> Result<RawTime, String> {
    let nanos = i64::try_from(time.as_nanosecond())
        .map_err(|_| format!("{time} lies outside the years 1678 to 2261"))?;
    Ok(RawTime::Moment(nanos))
}

/// Texts that tables write for a missing value.
fn is_null(text: &str) -> bool {
    is_null_like(text) || text.eq_ignore_ascii_case("\\n")
}

fn of_format(text: &str, format: &str) -> Result<RawTime, String> {
    let wrong = |reason: String| format!("{:?} is not written as {format:?}: {reason}", shorten(text));
    let parts = BrokenDownTime::parse(format, text).map_err(|e| {
        let colon = if format.contains("%z") { " (%:z reads offsets with a colon)" } else { "" };
        wrong(format!("{e}{colon}"))
    })?;
    if let Ok(time) = parts.to_timestamp() {
        return of_stamp(time);
    }
    if let Some(zone) = parts.iana_time_zone() {
        let reason = format!(
            "{zone} names a zone, whose offsets from UTC are not known here; write times with offsets (%z)"
        );
        return Err(wrong(reason));
    }
    let local = parts.to_datetime().or_else(|_| parts.to_date().map(|date| date.at(0, 0, 0, 0)));
    let time = local.and_then(|local| local.to_zoned(TimeZone::UTC)).map_err(|e| wrong(e.to_string()))?;
    of_stamp(time.timestamp())
}

/// What one step of a column of numbers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    /// `YYYYMMDD`.
    Date,
    /// `YYYYMMDDhhmmss`.
    DateTime,
}

impl TimeUnit {
    pub const ALL: [Self; 6] = [
        Self::Seconds,
        Self::Milliseconds,
        Self::Microseconds,
        Self::Nanoseconds,
        Self::Date,
        Self::DateTime,
    ];

    /// The name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
            Self::Date => "date",
            Self::DateTime => "date_time",
        }
    }

    /// Steps in a second of the four true units.
    fn per_second(self) -> Option<i64> {
        match self {
            Self::Seconds => Some(1),
            Self::Milliseconds => Some(1_000),
            Self::Microseconds => Some(MICROS),
            Self::Nanoseconds => Some(1_000_000_000),
            Self::Date | Self::DateTime => None,
        }
    }

    /// The unit in which a number of this size is a time of our days: seconds above 1e11 would lie beyond the year
    /// 5138, and each step of a thousand above that is the next finer unit.
    fn of_size(number: i64) -> usize {
        match number.unsigned_abs() {
            0..=100_000_000_000 => 0,
            100_000_000_001..=100_000_000_000_000 => 1,
            100_000_000_000_001..=100_000_000_000_000_000 => 2,
            _ => 3,
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TimeUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let short = match text {
            "s" => "seconds",
            "ms" => "milliseconds",
            "us" | "µs" => "microseconds",
            "ns" => "nanoseconds",
            other => other,
        };
        let found = Self::ALL.into_iter().find(|unit| unit.name() == short);
        found.ok_or_else(|| format!("use {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// The form of a column's values; the first one decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Numbers; each is kept times this, so that fractions stay.
    Numbers {
        scale: i64,
    },
    Moments,
}

/// The times of one log while it is read.
#[derive(Clone, Debug, Default)]
pub struct TimeColumn {
    form: Option<Form>,
    /// Numbers by the unit that their size suggests.
    sizes: [u64; 4],
    /// Numbers that are dates, and times, written as digits.
    dates: u64,
    date_times: u64,
}

/// A value of the column, and by how much the values before it have to be multiplied first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    pub value: i64,
    pub earlier_times: Option<i64>,
}

impl TimeColumn {
    /// The value as 64 bits whose order is that of the times. Where the first fraction of a column turns up, what
    /// came before it is to be multiplied.
    ///
    /// # Errors
    /// Numbers and dates in one column, or a number too large for the column's fractions.
    pub fn pack(&mut self, time: RawTime) -> Result<Packed, String> {
        let as_is = |value| Ok(Packed { value, earlier_times: None });
        match (time, self.form) {
            (RawTime::Missing, _) => Err("no time".into()),
            (RawTime::Moment(nanos), None | Some(Form::Moments)) => {
                self.form = Some(Form::Moments);
                as_is(nanos)
            }
            (RawTime::Moment(_), Some(_)) => Err("a date, where the column's other times are numbers".into()),
            (_, Some(Form::Moments)) => Err("a number, where the column's other times are dates".into()),
            (RawTime::Number(number), None) => {
                self.form = Some(Form::Numbers { scale: 1 });
                self.count(number);
                as_is(number)
            }
            (RawTime::Number(number), Some(Form::Numbers { scale })) => {
                self.count(number);
                let value = number.checked_mul(scale).ok_or_else(|| too_large(number))?;
                as_is(value)
            }
            (RawTime::Decimal(number, billionths), form) => {
                let before = if let Some(Form::Numbers { scale }) = form { scale } else { 1 };
                let scale = if before > 1 { before } else { fraction_scale(number) };
                self.form = Some(Form::Numbers { scale });
                self.count(number);
                let fraction = i64::from(billionths) / (1_000_000_000 / scale);
                let value = number.checked_mul(scale).and_then(|v| v.checked_add(fraction));
                let value = value.ok_or_else(|| too_large(number))?;
                Ok(Packed { value, earlier_times: (scale > before && form.is_some()).then_some(scale) })
            }
        }
    }

    fn count(&mut self, number: i64) {
        self.sizes[TimeUnit::of_size(number)] += 1;
        self.dates += u64::from(date(number).is_some());
        self.date_times += u64::from(date_time(number).is_some());
    }

    /// The unit of the numbers, `asked` or found out; absent for a column of dates.
    ///
    /// # Errors
    /// A unit was asked for that the column's dates don't have.
    pub fn resolve(&self, asked: Option<TimeUnit>) -> Result<Resolved, String> {
        let Some(Form::Numbers { scale }) = self.form else {
            return match (asked, self.form) {
                (Some(unit), Some(_)) => {
                    Err(format!("the times are dates and texts, so that {unit} has no effect"))
                }
                _ => Ok(Resolved { unit: None, scale: 1, odd: 0 }),
            };
        };
        let all: u64 = self.sizes.iter().sum();
        // Of equals the finer one: a clock that starts at zero passes through the sizes of coarser units.
        let (most, &count) =
            self.sizes.iter().enumerate().max_by_key(|&(_, &count)| count).unwrap_or((0, &0));
        for (unit, digits) in [(TimeUnit::Date, self.dates), (TimeUnit::DateTime, self.date_times)] {
            if asked.is_none() && scale == 1 && digits < all && digits * 2 > all {
                return Err(format!(
                    "{digits} of {all} times are dates in digits ({unit}) and the others are none; --time-format {} \
                     --skip-bad N passes over the others, --time-unit seconds reads all as seconds",
                    if unit == TimeUnit::Date { "%Y%m%d" } else { "%Y%m%d%H%M%S" }
                ));
            }
        }
        let guess = match all {
            _ if self.dates == all && scale == 1 => TimeUnit::Date,
            _ if self.date_times == all && scale == 1 => TimeUnit::DateTime,
            _ => TimeUnit::ALL[most],
        };
        let is_digits = matches!(guess, TimeUnit::Date | TimeUnit::DateTime);
        let odd = if asked.is_some() || is_digits { 0 } else { all - count };
        Ok(Resolved { unit: Some(asked.unwrap_or(guess)), scale, odd })
    }
}

/// By how much a column is multiplied so that a fraction of `number` stays: as finely as 64 bits hold times of
/// that size.
fn fraction_scale(number: i64) -> i64 {
    match TimeUnit::of_size(number) {
        0 if number.unsigned_abs() < 9_000_000_000 => 1_000_000_000,
        0 | 1 if number.unsigned_abs() < 9_000_000_000_000 => 1_000_000,
        _ => 1_000,
    }
}

fn too_large(number: i64) -> String {
    format!("{number} is too large for a column whose times have fractions")
}

/// How a column's packed values become times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Absent where the values are dates: they have no unit.
    pub unit: Option<TimeUnit>,
    scale: i64,
    /// Numbers whose size suggests another unit than the column's.
    pub odd: u64,
}

impl Resolved {
    /// Unix time in microseconds of a packed value, rounded down.
    ///
    /// # Errors
    /// The value lies outside the years that 64 bits hold, or is no date where the unit is one.
    pub fn micros(&self, packed: i64) -> Result<i64, String> {
        let number = packed.div_euclid(self.scale);
        let Some(unit) = self.unit else { return Ok(packed.div_euclid(1_000)) };
        let micros = match unit.per_second() {
            Some(steps) => {
                let per = i128::from(steps) * i128::from(self.scale);
                i64::try_from((i128::from(packed) * i128::from(MICROS)).div_euclid(per)).ok()
            }
            None if unit == TimeUnit::Date => date(number).map(|date| date.at(0, 0, 0, 0)).and_then(utc),
            None => date_time(number).and_then(utc),
        };
        // Years beyond 9999 are no times that anybody can read again.
        micros.filter(|&m| Timestamp::from_microsecond(m).is_ok()).ok_or_else(|| {
            format!("{number} is no time in {unit}, as which all are read; --time-unit says otherwise")
        })
    }
}

fn utc(local: DateTime) -> Option<i64> {
    local.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp().as_microsecond())
}

/// `YYYYMMDD` of the years 1900 to 2100.
fn date(number: i64) -> Option<Date> {
    if !(19_000_101..=21_001_231).contains(&number) {
        return None;
    }
    Date::new((number / 10_000) as i16, (number / 100 % 100) as i8, (number % 100) as i8).ok()
}

/// `YYYYMMDDhhmmss` of the same years.
fn date_time(number: i64) -> Option<DateTime> {
    if !(19_000_101_000_000..=21_001_231_235_959).contains(&number) {
        return None;
    }
    let part = |n: i64| (n % 100) as i8;
    date(number / 1_000_000)?
        .at(0, 0, 0, 0)
        .with()
        .hour(part(number / 10_000))
        .minute(part(number / 100))
        .second(part(number))
        .build()
        .ok()
}

#[cfg(test)]
mod tests;

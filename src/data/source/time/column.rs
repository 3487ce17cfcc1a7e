//! A column of times: its values packed, its unit decided.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::raw::RawTime;
use super::unit::TimeUnit;
use crate::data::MICROS;

/// The form of a column's values; the first one decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Numbers; each is kept times this, so that fractions stay.
    Numbers {
        scale: i64,
    },
    Moments,
}

/// The times of one log while it is read: packs them, and counts what their sizes suggest.
#[derive(Clone, Debug, Default)]
pub struct TimeColumn {
    form: Option<Form>,
    /// Numbers by the unit that their size suggests.
    sizes: [u64; 4],
    /// Numbers that are dates, and times, written as digits.
    dates: u64,
    date_times: u64,
}

/// A packed value of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    pub value: i64,
    /// The factor by which all values packed before must be multiplied first.
    pub earlier_times: Option<i64>,
}

impl TimeColumn {
    /// Packs a time into 64 bits whose order is that of the times. At the first fraction of a column, all values before it
    /// must be multiplied.
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
                let old = if let Some(Form::Numbers { scale }) = form { scale } else { 1 };
                let scale = if old > 1 { old } else { fraction_scale(number) };
                self.form = Some(Form::Numbers { scale });
                self.count(number);
                let fraction = i64::from(billionths) / (1_000_000_000 / scale);
                let value = number.checked_mul(scale).and_then(|v| v.checked_add(fraction));
                let value = value.ok_or_else(|| too_large(number))?;
                Ok(Packed { value, earlier_times: (scale > old && form.is_some()).then_some(scale) })
            }
        }
    }

    fn count(&mut self, number: i64) {
        self.sizes[TimeUnit::index_by_size(number)] += 1;
        self.dates += u64::from(date(number).is_some());
        self.date_times += u64::from(date_time(number).is_some());
    }

    /// Decides the unit of the numbers: `asked`, or the most frequent one; absent for a column of dates.
    ///
    /// # Errors
    /// A unit was asked for a column of dates, or only most of the numbers are dates in digits.
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

/// The factor of a column that has a fraction of `number`: as fine as 64 bits allow for times of that size.
fn fraction_scale(number: i64) -> i64 {
    match TimeUnit::index_by_size(number) {
        0 if number.unsigned_abs() < 9_000_000_000 => 1_000_000_000,
        0 | 1 if number.unsigned_abs() < 9_000_000_000_000 => 1_000_000,
        _ => 1_000,
    }
}

/// The reason why a number can't be packed.
fn too_large(number: i64) -> String {
    format!("{number} is too large for a column whose times have fractions")
}

/// The decided unit of a column, which turns packed values into times.
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
        // Years beyond 9999 can't be read again as times.
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

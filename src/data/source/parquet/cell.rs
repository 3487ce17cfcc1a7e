//! One value of a flat Parquet column: its meaning by the column's type and role.

use std::borrow::Cow;

use parquet::basic::ConvertedType;
use parquet::data_type::{ByteArray, Int96};
use parquet::schema::types::ColumnDescriptor;
use serde_json::Value;

use super::super::RawTime;
use super::super::time::no_text;
use super::super::value::parse_value;
use super::types::{Role, Unit, is_half, is_uuid, time_unit};
use crate::hex::hex;

/// One value of one row.
#[derive(Clone, Debug, Default)]
pub enum Cell {
    #[default]
    Null,
    Int(i64),
    Float(f64),
    Bytes(ByteArray),
    Text(String),
    Time(RawTime),
    /// A value that makes no sense in its role, with the reason.
    Wrong(String),
    /// A list or an object.
    Nested(Value),
}

impl Cell {
    /// The cell as text; empty for null.
    pub fn text(&self) -> Result<Cow<'_, str>, String> {
        Ok(match self {
            Self::Null | Self::Time(_) | Self::Nested(_) => Cow::Borrowed(""),
            Self::Int(n) => Cow::Owned(n.to_string()),
            Self::Float(x) => Cow::Owned(x.to_string()),
            Self::Bytes(bytes) => Cow::Borrowed(std::str::from_utf8(bytes.data()).map_err(|_| "not UTF-8")?),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Wrong(reason) => return Err(reason.clone()),
        })
    }

    /// Whether the cell is null or a blank text.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bytes(bytes) => bytes.data().iter().all(u8::is_ascii_whitespace),
            Self::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    /// The cell as a time; texts are read with `format`.
    pub fn time(&self, format: Option<&str>) -> Result<RawTime, String> {
        match self {
            Self::Null => Ok(RawTime::Missing),
            // A format that was asked for reads all times or none.
            Self::Time(RawTime::Number(n)) if format.is_some() => RawTime::parse(&n.to_string(), format),
            Self::Time(_) if format.is_some() => Err(no_text(&"the column's type")),
            Self::Time(time) => Ok(*time),
            other => RawTime::parse(&other.text()?, format),
        }
    }

    /// The cell as a finite number.
    pub fn value(&self) -> Result<Option<f64>, String> {
        match self {
            Self::Null => Ok(None),
            Self::Int(n) => Ok(Some(*n as f64)),
            Self::Float(x) if x.is_finite() => Ok(Some(*x)),
            Self::Float(_) => Err("not finite".into()),
            other => parse_value(&other.text()?),
        }
    }
}

/// Turns the values of a column into cells.
#[derive(Clone, Copy)]
pub struct Decoder {
    pub role: Role,
    unit: Unit,
    /// Number of a decimal's digits after the point.
    scale: Option<i32>,
    converted: ConvertedType,
    uuid: bool,
    half: bool,
}

impl Decoder {
    pub fn new(column: &ColumnDescriptor, role: Role) -> Self {
        let converted = column.converted_type();
        let scale = (converted == ConvertedType::DECIMAL).then(|| column.type_scale());
        let (uuid, half) = (is_uuid(column), is_half(column));
        Self { role, unit: time_unit(column), scale, converted, uuid, half }
    }

    pub fn int32(self, n: i32) -> Cell {
        let unsigned = self.converted == ConvertedType::UINT_32;
        self.int(if unsigned { i64::from(n.cast_unsigned()) } else { i64::from(n) })
    }

    pub fn int64(self, n: i64) -> Cell {
        if self.converted == ConvertedType::UINT_64 && n < 0 {
            return Cell::Text(n.cast_unsigned().to_string());
        }
        self.int(n)
    }

    fn int(self, n: i64) -> Cell {
        if let Some(scale) = self.scale {
            return self.decimal(i128::from(n), scale);
        }
        let time = match self.unit {
            Unit::Column if self.role == Role::Time => Ok(RawTime::Number(n)),
            Unit::Column => return Cell::Int(n),
            Unit::Days => RawTime::from_days(n),
            Unit::PerSecond(steps) => RawTime::from_steps(n, steps),
        };
        self.time(time)
    }

    /// A time where it is one, else its text.
    fn time(self, time: Result<RawTime, String>) -> Cell {
        match time {
            Ok(RawTime::Moment(nanos)) if self.role == Role::Text => {
                let text = jiff::Timestamp::from_nanosecond(i128::from(nanos)).map(|t| t.to_string());
                let days = matches!(self.unit, Unit::Days);
                text.map_or(Cell::Null, |t| Cell::Text(if days { t.chars().take(10).collect() } else { t }))
            }
            Ok(time) => Cell::Time(time),
            Err(reason) => Cell::Wrong(reason),
        }
    }

    pub fn int96(self, n: &Int96) -> Cell {
        // Not `to_seconds` of the library: it overflows on damaged days.
        let [low, high, day] = [n.data()[0], n.data()[1], n.data()[2]].map(i128::from);
        let nanos = (day - 2_440_588) * 86_400_000_000_000 + ((high << 32) | low);
        let out_of_range = |_| format!("Julian day {day} lies outside the years 1678 to 2261");
        self.time(i64::try_from(nanos).map(RawTime::Moment).map_err(out_of_range))
    }

    pub fn float(self, x: f64) -> Cell {
        match self.role {
            // As other programs write a missing number.
            Role::Time | Role::Text if x.is_nan() => Cell::Null,
            Role::Time => self.time(RawTime::from_f64(x).ok_or_else(|| format!("{x} is no time"))),
            _ => Cell::Float(x),
        }
    }

    pub fn bytes(self, bytes: &[u8], whole: impl FnOnce() -> Cell) -> Cell {
        if let Some(scale) = self.scale {
            return big_endian(bytes).map_or_else(
                || Cell::Wrong("a decimal beyond 38 digits".into()),
                |n| self.decimal(n, scale),
            );
        }
        match bytes {
            &[low, high] if self.half => self.float(f64::from(half::f16::from_le_bytes([low, high]))),
            _ if self.uuid => Cell::Text(uuid(bytes)),
            _ => whole(),
        }
    }

    fn decimal(self, unscaled: i128, scale: i32) -> Cell {
        let text = decimal(unscaled, scale);
        if self.role != Role::Id {
            return Cell::Text(text);
        }
        match text.split_once('.') {
            Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => Cell::Text(whole.to_owned()),
            Some(_) => Cell::Wrong(format!("{text} is no id: a decimal with a fraction")),
            None => Cell::Text(text),
        }
    }
}

/// A decimal's digits with its point, `scale` of them after it.
pub fn decimal(unscaled: i128, scale: i32) -> String {
    let Ok(scale) = usize::try_from(scale) else { return unscaled.to_string() };
    if scale == 0 {
        return unscaled.to_string();
    }
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale.min(1 << 10) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale.min(1 << 10));
    format!("{sign}{whole}.{fraction}")
}

/// A signed number of up to 128 bits, in two's complement.
pub fn big_endian(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.first()? >> 7 == 1 { 0xff } else { 0 };
    let split = bytes.len().saturating_sub(16);
    let (head, tail) = bytes.split_at(split);
    let negative = tail.first().is_some_and(|first| first >> 7 == 1);
    if head.iter().any(|&byte| byte != fill) || (split > 0 && negative != (fill == 0xff)) {
        return None;
    }
    let mut number = [fill; 16];
    number[16 - tail.len()..].copy_from_slice(tail);
    Some(i128::from_be_bytes(number))
}

/// A UUID as it's usually written.
fn uuid(bytes: &[u8]) -> String {
    let hex = hex(bytes);
    let group = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [group(0, 8), group(8, 12), group(12, 16), group(16, 20), group(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_with_all_their_digits() {
        assert_eq!(decimal(1_234_567, 2), "12345.67");
        assert_eq!(decimal(-5, 3), "-0.005");
        assert_eq!(decimal(70, 0), "70");
        assert_eq!(big_endian(&[0xff, 0xfe]), Some(-2));
        assert_eq!(big_endian(&[0; 20]), Some(0));
        assert_eq!(big_endian(&[0x80; 17]), None);
        assert_eq!(big_endian(&[]), None);
    }
}

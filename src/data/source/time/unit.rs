//! Units of numeric times.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::MICROS;

/// The unit of a column of numbers.
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

    /// Steps per second; absent for dates in digits.
    pub(super) fn per_second(self) -> Option<i64> {
        match self {
            Self::Seconds => Some(1),
            Self::Milliseconds => Some(1_000),
            Self::Microseconds => Some(MICROS),
            Self::Nanoseconds => Some(1_000_000_000),
            Self::Date | Self::DateTime => None,
        }
    }

    /// The index in [`Self::ALL`] of the unit in which a number of this size is a present-day time: seconds above 1e11 would lie beyond the year
    /// 5138, and each step of a thousand above that is the next finer unit.
    pub(super) fn index_by_size(number: i64) -> usize {
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

//! Training part, validation target and test target of every user.
//!
//! `prepare` applies a [`Split`] once; `evaluate` tries other cut-offs for its report on time order.

use serde::{Deserialize, Serialize};

use super::source::GivenPart;
use super::{DataError, Part, Sequences};

/// The rule by which interactions are assigned to parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Split {
    /// The last item is the test target, the one before the validation target. Training may then know
    /// events that lie after a target of another user.
    #[default]
    LeaveOneOut,
    /// Only what happened before `valid` is trained on. A user's first interaction at or after `valid` (and
    /// before `test`) is its validation target, the first at or after `test` its test target.
    GlobalTime { valid: CutOff, test: CutOff },
    /// The source's own parts. A user's first validation row is its validation target, its first test row its test
    /// target; what follows the former is history of the latter, what follows the latter is never read.
    Given,
}

/// A moment in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CutOff {
    /// Share of the interactions that precede it, between 0 and 1.
    Quantile(f64),
    /// `YYYY-MM-DD` or RFC 3339.
    Date(String),
}

impl std::str::FromStr for CutOff {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Date(text.to_owned()), Self::Quantile))
    }
}

impl CutOff {
    /// The cut-off in the unit of [`Sequences::times`].
    fn moment(&self, option: &str, times: &[i64]) -> Result<i64, DataError> {
        let wrong = |reason: String| DataError::Option { option: option.to_owned(), reason };
        match self {
            Self::Quantile(q) if *q > 0.0 && *q < 1.0 => {
                let mut sorted = times.to_vec();
                sorted.sort_unstable();
                Ok(sorted.get((q * sorted.len() as f64) as usize).copied().unwrap_or(0))
            }
            Self::Quantile(q) => Err(wrong(format!("{q} is no share between 0 and 1"))),
            Self::Date(text) => {
                let moment = text.parse::<jiff::Timestamp>().or_else(|_| {
                    let date: jiff::civil::Date = text.parse()?;
                    Ok::<_, jiff::Error>(date.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp())
                });
                moment
                    .map(jiff::Timestamp::as_microsecond)
                    .map_err(|_| wrong(format!("`{text}` is no share, date or RFC 3339 time")))
            }
        }
    }
}

/// Sets the parts of `sequences`. Returns the number of users too short to have targets.
///
/// # Errors
/// A cut-off can't be read, or no validation or test targets result.
pub fn split(sequences: &mut Sequences, rule: &Split) -> Result<usize, DataError> {
    let short = match rule {
        Split::LeaveOneOut => leave_one_out(sequences),
        Split::GlobalTime { valid, test } => {
            let valid = valid.moment("valid", &sequences.times)?;
            let test = test.moment("test", &sequences.times)?;
            if test <= valid {
                let reason = "the test cut-off does not lie after the validation cut-off".into();
                return Err(DataError::Option { option: "test".into(), reason });
            }
            global_time(sequences, valid, test)
        }
        // The sequences have their parts already.
        Split::Given => count_short_users(sequences),
    };
    for (part, name) in [(Part::Valid, "validation"), (Part::Test, "test")] {
        if !sequences.parts.contains(&part) {
            return Err(DataError::EmptySplit { part: name, given: *rule == Split::Given });
        }
    }
    Ok(short)
}

/// Number of users without a target.
fn count_short_users(sequences: &Sequences) -> usize {
    let is_target = |part: &Part| matches!(part, Part::Valid | Part::Test);
    (0..sequences.users()).filter(|&u| !sequences.parts_of(u).iter().any(is_target)).count()
}

/// Sets the parts of one user's rows, which come in the order training, validation, test. A target needs a history.
pub fn set_given_parts(given: &[GivenPart], parts: &mut [Part]) {
    let is_first = |n: usize| n == 0 || given[n - 1] != given[n];
    for (n, part) in parts.iter_mut().enumerate() {
        *part = match given[n] {
            GivenPart::Train => Part::Train,
            GivenPart::Valid if is_first(n) && n > 0 => Part::Valid,
            GivenPart::Valid => Part::History,
            GivenPart::Test if is_first(n) && n > 0 => Part::Test,
            GivenPart::Test => Part::Unused,
        };
    }
}

fn leave_one_out(sequences: &mut Sequences) -> usize {
    let mut short = 0;
    for u in 0..sequences.users() {
        let parts = &mut sequences.parts[sequences.offsets[u]..sequences.offsets[u + 1]];
        parts.fill(Part::Train);
        match parts {
            [_, .., valid, test] => (*valid, *test) = (Part::Valid, Part::Test),
            // Too short to leave a history: it's for training only.
            _ => short += 1,
        }
    }
    short
}

fn global_time(sequences: &mut Sequences, valid: i64, test: i64) -> usize {
    let mut short = 0;
    for u in 0..sequences.users() {
        let range = sequences.offsets[u]..sequences.offsets[u + 1];
        let times = &sequences.times[range.clone()];
        let first_valid = times.partition_point(|&t| t < valid);
        let first_test = times.partition_point(|&t| t < test);
        let parts = &mut sequences.parts[range];
        parts[..first_valid].fill(Part::Train);
        parts[first_valid..first_test].fill(Part::History);
        parts[first_test..].fill(Part::Unused);
        // A target needs a history.
        if first_valid > 0 && first_valid < first_test {
            parts[first_valid] = Part::Valid;
        }
        if first_test > 0 && first_test < parts.len() {
            parts[first_test] = Part::Test;
        }
        short += usize::from(!parts.iter().any(|p| matches!(p, Part::Valid | Part::Test)));
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::MICROS;

    fn sequences(times: &[&[i64]]) -> Sequences {
        let mut s = Sequences { offsets: vec![0], ..Sequences::default() };
        for user in times {
            s.items.extend((1..=user.len() as u32).collect::<Vec<_>>());
            s.times.extend_from_slice(user);
            s.offsets.push(s.items.len());
        }
        s.parts = vec![Part::Unused; s.items.len()];
        s
    }

    #[test]
    fn leave_one_out_takes_the_last_two_and_lets_short_users_train() {
        let mut s = sequences(&[&[1, 2, 3, 4], &[1, 2]]);
        assert_eq!(split(&mut s, &Split::LeaveOneOut).unwrap(), 1);
        assert_eq!(s.parts_of(0), [Part::Train, Part::Train, Part::Valid, Part::Test]);
        assert_eq!(s.parts_of(1), [Part::Train, Part::Train]);
    }

    #[test]
    fn global_time_trains_on_nothing_after_the_cut_off() {
        let mut s = sequences(&[&[1, 5, 11, 12, 21, 22], &[15, 25], &[2, 23], &[30]]);
        s.times.iter_mut().for_each(|time| *time *= MICROS);
        let rule = Split::GlobalTime {
            valid: CutOff::Date("1970-01-01T00:00:10Z".into()),
            test: CutOff::Date("1970-01-01T00:00:20Z".into()),
        };
        assert_eq!(split(&mut s, &rule).unwrap(), 1);
        use Part::{History, Test, Train, Unused, Valid};
        assert_eq!(s.parts_of(0), [Train, Train, Valid, History, Test, Unused]);
        assert_eq!(s.parts_of(1), [History, Test]);
        assert_eq!(s.parts_of(2), [Train, Test]);
        assert_eq!(s.parts_of(3), [Unused]);
        for (time, part) in s.times.iter().zip(&s.parts) {
            assert!(*part != Train || *time < 10 * MICROS);
        }
    }

    #[test]
    fn an_empty_split_and_nonsense_cut_offs_are_refused() {
        assert!(matches!(
            split(&mut sequences(&[&[1, 2]]), &Split::LeaveOneOut),
            Err(DataError::EmptySplit { .. })
        ));
        for text in ["1.5", "yesterday", "0"] {
            let rule = Split::GlobalTime { valid: text.parse().unwrap(), test: CutOff::Quantile(0.9) };
            assert!(
                matches!(split(&mut sequences(&[&[1, 2, 3]]), &rule), Err(DataError::Option { .. })),
                "{text}"
            );
        }
    }
}

//! The single tests that validation is made of: each checks one value and words its refusal.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::error::ConfigError;
use super::nearest::nearest;

/// Longest name: names become file names and tags.
const NAME_LENGTH: usize = 64;

pub(crate) type Checked = Result<(), ConfigError>;

/// Names become file names, tags and parts of dotted keys.
pub(crate) fn check_name(key: &str, name: &str, punctuation: &str) -> Checked {
    let allowed = |c: char| c.is_ascii_alphanumeric() || punctuation.contains(c);
    if name.is_empty() {
        return Err(invalid(key, "is an empty name"));
    }
    if name.len() > NAME_LENGTH || name.starts_with(['.', '-']) || !name.chars().all(allowed) {
        let listed = punctuation.chars().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
        return Err(invalid(key, format!("= {name:?} can't be a name")).with_hint(format!(
            "names have up to {NAME_LENGTH} letters a-z, digits or {listed}, and start with no dot or hyphen"
        )));
    }
    Ok(())
}

pub(crate) fn known(key: &str, name: &str, allowed: &[&str], what: &str) -> Checked {
    if allowed.contains(&name) {
        return Ok(());
    }
    Err(invalid(key, format!("= \"{name}\" is not one of the {what}")).or_near(name, allowed, what))
}

pub(crate) fn divides(key: &str, heads: usize, width: usize) -> Checked {
    if heads > 0 && width.is_multiple_of(heads) {
        return Ok(());
    }
    let fitting: Vec<_> = [1, 2, 4, 8, 12, 16].into_iter().filter(|h| width.is_multiple_of(*h)).collect();
    Err(invalid(key, format!("= {heads} does not divide model.width = {width}"))
        .with_hint(format!("heads that do: {}", listed(&fitting))))
}

pub(crate) fn check_minimum(key: &str, value: usize, least: usize) -> Checked {
    if value >= least { Ok(()) } else { Err(invalid(key, format!("= {value} must be at least {least}"))) }
}

pub(crate) fn check_count(key: &str, value: usize, range: RangeInclusive<usize>) -> Checked {
    if range.contains(&value) {
        return Ok(());
    }
    Err(invalid(key, format!("= {value} must lie between {} and {}", range.start(), range.end())))
}

pub(crate) fn positive(key: &str, value: f64) -> Checked {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(invalid(key, format!("= {value} must be above 0 and finite")))
    }
}

pub(crate) fn non_negative(key: &str, value: f64) -> Checked {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(invalid(key, format!("= {value} must be 0 or above and finite")))
    }
}

pub(crate) fn check_range(key: &str, value: f64, range: RangeInclusive<f64>) -> Checked {
    if range.contains(&value) {
        return Ok(());
    }
    Err(invalid(key, format!("= {value} must lie between {} and {}", range.start(), range.end())))
}

/// TOML's integers have a sign.
pub(crate) fn check_seed(key: &str, seed: u64) -> Checked {
    match i64::try_from(seed) {
        Ok(_) => Ok(()),
        Err(_) => Err(invalid(key, format!("= {seed} is above the largest integer of TOML"))),
    }
}

fn listed<T: Display>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

pub(crate) fn invalid(key: &str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { place: None, key: key.to_owned(), reason: reason.into(), hint: None }
}

impl ConfigError {
    pub(crate) fn with_hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Invalid { place, key, reason, .. } => {
                Self::Invalid { place, key, reason, hint: Some(text.into()) }
            }
            other => other,
        }
    }

    /// Hints at the nearest allowed name, or lists them all.
    pub(crate) fn or_near(self, name: &str, allowed: &[&str], what: &str) -> Self {
        let allowed: Vec<&str> = allowed.iter().copied().filter(|a| !a.is_empty()).collect();
        match nearest(name, allowed.iter().copied()) {
            Some(near) => self.with_hint(format!("did you mean `{near}`?")),
            None if allowed.is_empty() => self.with_hint(format!("there are no {what}")),
            None => self.with_hint(format!("{what}: {}", listed(&allowed))),
        }
    }
}

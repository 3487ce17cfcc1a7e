//! Differences in writing between two ids of one thing, and ids with them undone.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Extensions of files that hold an item's picture or vector and are named by its id.
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "npy", "pt"];

/// A difference between two ids of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// White space, a byte order mark or a zero-width space around the id.
    WhiteSpace,
    Quotes,
    /// One accented letter, or a letter and its accent.
    UnicodeForm,
    /// `12.jpg` for `12`.
    Extension,
    /// `12.0` or `1.2e+01` for `12`, as pandas writes a column of numbers that has a gap.
    Decimal,
    LeadingZeros,
    LetterCase,
    /// `item_12` for `12`.
    Prefix,
    /// `nan`, `None`, `NULL` and the like: a missing id that was written out.
    NullLike,
}

impl Cause {
    /// The differences that can be undone, in the order in which they are.
    pub(super) const REWRITES: [Self; 7] = [
        Self::WhiteSpace,
        Self::Quotes,
        Self::UnicodeForm,
        Self::Extension,
        Self::Decimal,
        Self::LeadingZeros,
        Self::LetterCase,
    ];

    /// The name of the difference in messages.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::WhiteSpace => "white space around the id",
            Self::Quotes => "quotes around the id",
            Self::UnicodeForm => "the Unicode form of a letter",
            Self::Extension => "a file's extension",
            Self::Decimal => "a number's decimals",
            Self::LeadingZeros => "leading zeros",
            Self::LetterCase => "letter case",
            Self::Prefix => "a prefix",
            Self::NullLike => "missing ids that were written out",
        }
    }

    /// What the user can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::WhiteSpace => "strip the ids on both sides",
            Self::Quotes => "write the ids without quotes",
            Self::UnicodeForm => "write both sides in one Unicode form (NFC)",
            Self::Extension => "name items by their id, not by a file's name",
            Self::Decimal => "read ids as text before they are saved (pandas: dtype=str, or Int64 for gaps)",
            Self::LeadingZeros => "read ids as text on both sides (pandas: dtype=str keeps leading zeros)",
            Self::LetterCase => "write the ids of both sides in one case",
            Self::Prefix => "write the ids of both sides with the prefix, or without it",
            Self::NullLike => "drop the rows without an id before they are saved",
        }
    }

    /// The id with this difference undone.
    pub(super) fn undo(self, id: &str) -> Cow<'_, str> {
        match self {
            Self::WhiteSpace => id.trim_matches(is_blank).into(),
            Self::Quotes => unquoted(id).into(),
            Self::UnicodeForm if is_nfc(id) => id.into(),
            Self::UnicodeForm => id.nfc().collect::<String>().into(),
            Self::Extension => strip_extension(id).into(),
            Self::Decimal => whole_number(id),
            Self::LeadingZeros => strip_zeros(id).into(),
            Self::LetterCase if !id.chars().any(char::is_uppercase) => id.into(),
            Self::LetterCase => id.to_lowercase().into(),
            Self::Prefix | Self::NullLike => id.into(),
        }
    }
}

/// Whether an id is one that programs write for a missing value, such as `nan` or `NULL`.
pub fn is_null_like(id: &str) -> bool {
    let bare = unquoted(id.trim_matches(is_blank)).trim_matches(is_blank);
    const NULLS: [&str; 11] =
        ["", "nan", "none", "null", "na", "n/a", "<na>", "nil", "undefined", "#n/a", "nat"];
    bare.len() <= 9 && NULLS.contains(&bare.to_ascii_lowercase().as_str())
}

/// The id with all differences undone except `kept`.
pub(super) fn rewritten(id: &str, kept: Option<Cause>) -> String {
    let mut text = id.to_owned();
    for cause in Cause::REWRITES.into_iter().filter(|&cause| Some(cause) != kept) {
        // Most ids have none: a borrowed string of the same length is the same one.
        let new = match cause.undo(&text) {
            Cow::Borrowed(same) if same.len() == text.len() => continue,
            other => other.into_owned(),
        };
        text = new;
    }
    text
}

/// The differences that must be undone for two ids to agree.
pub(super) fn differences(a: &str, b: &str) -> Vec<Cause> {
    let needed = |cause: &Cause| rewritten(a, Some(*cause)) != rewritten(b, Some(*cause));
    Cause::REWRITES.into_iter().filter(needed).collect()
}

/// White space, and characters that are invisible like it.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\0')
}

/// The id without a pair of quotes around it.
fn unquoted(id: &str) -> &str {
    for quote in ['"', '\'', '`'] {
        if let Some(inner) = id.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    id
}

/// The id without a file's extension.
fn strip_extension(id: &str) -> &str {
    match id.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() && EXTENSIONS.iter().any(|e| end.eq_ignore_ascii_case(e)) => {
            stem
        }
        _ => id,
    }
}

/// The whole number of `12.0`, `12.` or `1.2e+01`.
pub(super) fn whole_number(id: &str) -> Cow<'_, str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some((whole, rest)) = id.split_once('.')
        && digits(whole.trim_start_matches('-'))
        && rest.bytes().all(|b| b == b'0')
    {
        return whole.into();
    }
    // Beyond 2^53 not every integer has a value of its own.
    let exponent = |c: char| matches!(c, 'e' | 'E');
    let scientific = id
        .split_once(exponent)
        .is_some_and(|(m, e)| digits(&m.replacen('.', "", 1)) && e.strip_prefix('+').is_some_and(digits));
    match id.parse::<f64>() {
        Ok(value) if scientific && value.fract() == 0.0 && value < 9_007_199_254_740_992.0 => {
            format!("{value:.0}").into()
        }
        _ => id.into(),
    }
}

/// The id without leading zeros.
pub(super) fn strip_zeros(id: &str) -> &str {
    let rest = id.trim_start_matches('0');
    if rest.starts_with(|c: char| c.is_alphanumeric()) {
        rest
    } else {
        // Nothing but zeros: one of them stays.
        &id[id.len() - rest.len() - usize::from(rest.len() < id.len())..]
    }
}

//! Two lists of ids that should meet: how many do, and why the others don't.
//!
//! `prepare` asks it of a log and its catalogue, `features import` of a matrix and the data set. Nothing is joined
//! here: ids that differ in writing stay different ids, but the difference is named.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Pairs of ids, or ids of each side, that are shown.
const SHOWN: usize = 3;
/// Ids looked at to find out what prefix they share.
const SAMPLE: usize = 1000;
/// What pictures and vectors of an item are often called behind its id.
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "npy", "pt"];

/// In what two ids of one thing differ.
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
    /// In the order in which they are undone.
    const REWRITES: [Self; 7] = [
        Self::WhiteSpace,
        Self::Quotes,
        Self::UnicodeForm,
        Self::Extension,
        Self::Decimal,
        Self::LeadingZeros,
        Self::LetterCase,
    ];

    fn noun(self) -> &'static str {
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

    /// The id without this peculiarity.
    fn undo(self, id: &str) -> Cow<'_, str> {
        match self {
            Self::WhiteSpace => id.trim_matches(is_blank).into(),
            Self::Quotes => unquoted(id).into(),
            Self::UnicodeForm if is_nfc(id) => id.into(),
            Self::UnicodeForm => id.nfc().collect::<String>().into(),
            Self::Extension => without_extension(id).into(),
            Self::Decimal => whole_number(id),
            Self::LeadingZeros => without_zeros(id).into(),
            Self::LetterCase if !id.chars().any(char::is_uppercase) => id.into(),
            Self::LetterCase => id.to_lowercase().into(),
            Self::Prefix | Self::NullLike => id.into(),
        }
    }
}

/// What the two sides are called, as in "none of `left`'s 5 `things` stands in `right`".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    pub left: &'static str,
    pub things: &'static str,
    pub right: &'static str,
}

/// A join that matches little, with examples and the likely causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub names: Names,
    /// Ids of the left side that stand on the right, letter by letter.
    pub matched: usize,
    /// Distinct ids of each side.
    pub left: usize,
    pub right: usize,
    /// Ids of the left side that would match but for `causes`.
    pub mendable: usize,
    /// Why, all of them at once; empty where it can't be told.
    pub causes: Vec<Cause>,
    /// Ids without a match, left and right; of one thing each where there is a cause.
    pub here: Vec<String>,
    pub there: Vec<String>,
}

impl Explanation {
    /// What the user can do about it; absent where the cause is not known.
    pub fn hint(&self) -> Option<String> {
        let remedies: Vec<&str> = self.causes.iter().map(|cause| cause.remedy()).collect();
        (!remedies.is_empty()).then(|| remedies.join("; "))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { left, things, right } = self.names;
        match self.matched {
            0 => write!(f, "none of {left}'s {} {things} stands in {right}", self.left)?,
            1 => write!(f, "1 of {left}'s {} {things} stands in {right}", self.left)?,
            n => write!(f, "{n} of {left}'s {} {things} stand in {right}", self.left)?,
        }
        if self.mendable > 0 && self.matched > 0 {
            write!(f, ", {} more would", self.mendable)?;
        }
        let (here, there) = (shown(&self.here), shown(&self.there));
        match (here.is_empty(), there.is_empty()) {
            (false, false) => write!(f, "; ids like {here} here, {there} there")?,
            (false, true) => write!(f, "; ids like {here} here")?,
            (true, false) => write!(f, "; ids like {there} there")?,
            (true, true) => {}
        }
        let causes: Vec<&str> = self.causes.iter().map(|cause| cause.noun()).collect();
        let verb = if self.causes == [Cause::NullLike] { "are" } else { "differ in" };
        match causes.split_last() {
            None => Ok(()),
            Some((last, [])) => write!(f, ": they {verb} {last}"),
            Some((last, rest)) => write!(f, ": they {verb} {} and {last}", rest.join(", ")),
        }
    }
}

/// Compares two lists of ids; absent where they meet as well as one may expect.
///
/// That is: where no id without a match would have one if it were written differently (one in twenty must, so
/// that a chance does not speak), and at least half of the shorter list is found in the longer. `left` holds each
/// id once; `right` may repeat some.
pub fn explain<'a>(
    names: Names,
    left: impl IntoIterator<Item = &'a str>,
    right: impl IntoIterator<Item = &'a str>,
) -> Option<Explanation> {
    let right: Vec<&str> = right.into_iter().collect();
    let mut free: HashSet<&str> = right.iter().copied().collect();
    let distinct = free.len();
    let mut alone = Vec::new();
    let mut matched = 0;
    for id in left {
        if free.remove(id) {
            matched += 1;
        } else {
            alone.push(id);
        }
    }
    let count = matched + alone.len();
    if alone.is_empty() || distinct == 0 {
        return None;
    }
    // In file order, so that the examples are always the same.
    let unmet: Vec<&str> = right.into_iter().filter(|id| free.remove(id)).collect();
    let pairs = best_pairs(&alone, &unmet);
    let little = matched * 2 < count.min(distinct);
    let found = pairs.count * 20 >= alone.len() && pairs.count > 0;
    let nulls: Vec<&str> = alone.iter().copied().filter(|id| is_null_like(id)).collect();
    let mut explanation = Explanation {
        names,
        matched,
        left: count,
        right: distinct,
        mendable: 0,
        causes: Vec::new(),
        here: owned(&alone),
        there: owned(&unmet),
    };
    if found {
        explanation.mendable = pairs.count;
        explanation.causes = pairs.causes;
        explanation.here = owned(&pairs.here);
        explanation.there = owned(&pairs.there);
    } else if !nulls.is_empty() && (!little || nulls.len() == alone.len()) {
        explanation.causes = vec![Cause::NullLike];
        explanation.here = owned(&nulls);
        explanation.there = Vec::new();
    } else if !little {
        return None;
    }
    Some(explanation)
}

/// An id that a program writes where it has none.
pub fn is_null_like(id: &str) -> bool {
    let bare = unquoted(id.trim_matches(is_blank)).trim_matches(is_blank);
    const NULLS: [&str; 11] =
        ["", "nan", "none", "null", "na", "n/a", "<na>", "nil", "undefined", "#n/a", "nat"];
    bare.len() <= 9 && NULLS.contains(&bare.to_ascii_lowercase().as_str())
}

/// Ids that are one when written alike.
#[derive(Default)]
struct Pairs<'a> {
    count: usize,
    causes: Vec<Cause>,
    here: Vec<&'a str>,
    there: Vec<&'a str>,
}

/// The most ids that can be paired: as they are, or without the prefix that one side or both have.
fn best_pairs<'a>(left: &[&'a str], right: &[&'a str]) -> Pairs<'a> {
    let (ours, theirs) = (common_head(left), common_head(right));
    let mut best = pairs(left, right, "", "");
    let all = best.count == left.len().min(right.len());
    for (l, r) in [(ours, ""), ("", theirs), (ours, theirs)] {
        if all || l == r {
            continue;
        }
        let found = pairs(left, right, l, r);
        if found.count > best.count {
            best = found;
        }
    }
    best
}

/// Pairs ids that agree once everything in [`Cause::REWRITES`] is undone and the heads are cut off.
fn pairs<'a>(left: &[&'a str], right: &[&'a str], head: &str, their_head: &str) -> Pairs<'a> {
    let mut loose: HashMap<String, Vec<&str>> = HashMap::new();
    for &id in left.iter().filter(|id| !is_null_like(id)) {
        loose.entry(rewritten(cut(id, head), None)).or_default().push(id);
    }
    let mut by_cause: HashMap<Vec<Cause>, Pairs<'a>> = HashMap::new();
    let mut all = 0;
    for &other in right {
        let bare = cut(other, their_head);
        let Some(ids) = loose.remove(&rewritten(bare, None)) else { continue };
        all += ids.len();
        for id in ids {
            let mut causes = differences(cut(id, head), bare);
            if head != their_head && (cut(id, head) != id || bare != other) {
                causes.push(Cause::Prefix);
            }
            let found = by_cause.entry(causes.clone()).or_default();
            found.causes = causes;
            found.count += 1;
            found.here.push(id);
            found.there.push(other);
        }
    }
    // The most frequent cause speaks for all; among equals the first in the order of causes.
    let mut each: Vec<Pairs<'a>> = by_cause.into_values().collect();
    each.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.causes.cmp(&b.causes)));
    let mut best = each.into_iter().next().unwrap_or_default();
    best.count = all;
    best
}

fn cut<'a>(id: &'a str, head: &str) -> &'a str {
    let start = id.trim_start_matches(is_blank);
    if head.is_empty() { id } else { start.strip_prefix(head).unwrap_or(id) }
}

/// The id with everything undone but `kept`.
fn rewritten(id: &str, kept: Option<Cause>) -> String {
    let mut text = id.to_owned();
    for cause in Cause::REWRITES.into_iter().filter(|&cause| Some(cause) != kept) {
        // Most ids need none of it: a string of the same length that was only borrowed is the same one.
        let new = match cause.undo(&text) {
            Cow::Borrowed(same) if same.len() == text.len() => continue,
            other => other.into_owned(),
        };
        text = new;
    }
    text
}

/// What must be undone for two ids to agree.
fn differences(a: &str, b: &str) -> Vec<Cause> {
    let needed = |cause: &Cause| rewritten(a, Some(*cause)) != rewritten(b, Some(*cause));
    Cause::REWRITES.into_iter().filter(needed).collect()
}

/// What stands in front of most ids: up to the last separator, or letters in front of digits. Empty where they
/// don't agree.
fn common_head<'a>(ids: &[&'a str]) -> &'a str {
    let step = (ids.len() / SAMPLE).max(1);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut looked_at = 0;
    for id in ids.iter().step_by(step).filter(|id| !is_null_like(id)) {
        looked_at += 1;
        *counts.entry(head(id.trim_matches(is_blank))).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|&(head, count)| (count, head));
    most.filter(|&(_, count)| count * 2 > looked_at).map_or("", |(head, _)| head)
}

fn head(id: &str) -> &str {
    let separator = |c: char| matches!(c, '_' | ':' | '/' | '#' | '-' | '|');
    let body = id.trim_end_matches(separator);
    if let Some(place) = body.rfind(separator) {
        // Separators are ASCII, one byte each.
        return &id[..=place];
    }
    let letters = id.len() - id.trim_start_matches(char::is_alphabetic).len();
    let rest = &id[letters..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && rest[digits..].chars().all(|c| !c.is_alphanumeric()) { &id[..letters] } else { "" }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\0')
}

fn unquoted(id: &str) -> &str {
    for quote in ['"', '\'', '`'] {
        if let Some(inner) = id.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    id
}

fn without_extension(id: &str) -> &str {
    match id.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() && EXTENSIONS.iter().any(|e| end.eq_ignore_ascii_case(e)) => {
            stem
        }
        _ => id,
    }
}

/// `12` of `12.0`, `12.` and `1.2e+01`.
fn whole_number(id: &str) -> Cow<'_, str> {
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

fn without_zeros(id: &str) -> &str {
    let rest = id.trim_start_matches('0');
    if rest.starts_with(|c: char| c.is_alphanumeric()) {
        rest
    } else {
        // Nothing but zeros: one of them stays.
        &id[id.len() - rest.len() - usize::from(rest.len() < id.len())..]
    }
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().take(SHOWN).map(|&id| id.to_owned()).collect()
}

/// Ids for people: quoted where white space or nothing would not be seen.
pub fn shown(ids: &[String]) -> String {
    let one = |id: &String| {
        let plain = !id.is_empty() && !id.chars().any(|c| is_blank(c) || c.is_control() || c == '"');
        let short: String = id.chars().take(40).collect();
        if plain { short } else { format!("{short:?}") }
    };
    ids.iter().take(SHOWN).map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;

//! Two lists of ids that should match: how many do, and why the others don't.
//!
//! `prepare` compares a log and its catalogue, `features import` a matrix and the data set, `recommend` its users and theirs.
//! Nothing is joined here: ids that differ in writing stay different ids, but the difference is named.

mod cause;

use std::collections::{HashMap, HashSet};
use std::fmt;

pub use cause::{Cause, is_null_like};
use cause::{differences, is_blank, rewritten};

/// Number of pairs of ids, or of ids of each side, that are shown.
const SHOWN: usize = 3;
/// Number of ids examined to find a common prefix.
const SAMPLE: usize = 1000;

/// The names of the two sides, as in "none of `left`'s 5 `things` stands in `right`".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    pub left: &'static str,
    pub things: &'static str,
    pub right: &'static str,
}

/// An explanation of a join that matches little: examples and likely causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub names: Names,
    /// Number of ids of the left side that stand on the right, letter by letter.
    pub matched: usize,
    /// Number of distinct ids of each side.
    pub left: usize,
    pub right: usize,
    /// Number of ids of the left side that would match but for `causes`.
    pub mendable: usize,
    /// The causes, which apply together; empty where none is known.
    pub causes: Vec<Cause>,
    /// Examples of unmatched ids, left and right; pairs of one thing where there is a cause.
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

/// Compares two lists of ids. Returns an explanation unless they match as well as one may expect.
///
/// They do if few unmatched ids would match if they were written differently (fewer than one in twenty, which may be chance),
/// and at least half of the shorter list is found in the longer. `left` holds each id once; `right` may repeat some.
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
    let unmatched: Vec<&str> = right.into_iter().filter(|id| free.remove(id)).collect();
    let pairs = best_pairs(&alone, &unmatched);
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
        there: owned(&unmatched),
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

/// Pairs of ids that are equal once differences are undone.
#[derive(Default)]
struct Pairs<'a> {
    count: usize,
    causes: Vec<Cause>,
    here: Vec<&'a str>,
    there: Vec<&'a str>,
}

/// The most pairs that can be found: with ids as they are, or without the prefix that one side or both have.
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

/// Pairs ids that agree once differences are undone and the heads are removed.
fn pairs<'a>(left: &[&'a str], right: &[&'a str], head: &str, their_head: &str) -> Pairs<'a> {
    let mut loose: HashMap<String, Vec<&str>> = HashMap::new();
    for &id in left.iter().filter(|id| !is_null_like(id)) {
        loose.entry(rewritten(remove_head(id, head), None)).or_default().push(id);
    }
    let mut found_pairs: HashMap<Vec<Cause>, Pairs<'a>> = HashMap::new();
    let mut all = 0;
    for &other in right {
        let bare = remove_head(other, their_head);
        let Some(ids) = loose.remove(&rewritten(bare, None)) else { continue };
        all += ids.len();
        for id in ids {
            let mut causes = differences(remove_head(id, head), bare);
            if head != their_head && (remove_head(id, head) != id || bare != other) {
                causes.push(Cause::Prefix);
            }
            let found = found_pairs.entry(causes.clone()).or_default();
            found.causes = causes;
            found.count += 1;
            found.here.push(id);
            found.there.push(other);
        }
    }
    // The most frequent cause is reported for all; among equals the first in the order of causes.
    let mut ranked: Vec<Pairs<'a>> = found_pairs.into_values().collect();
    ranked.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.causes.cmp(&b.causes)));
    let mut best = ranked.into_iter().next().unwrap_or_default();
    best.count = all;
    best
}

/// The id without a head.
fn remove_head<'a>(id: &'a str, head: &str) -> &'a str {
    let start = id.trim_start_matches(is_blank);
    if head.is_empty() { id } else { start.strip_prefix(head).unwrap_or(id) }
}

/// The head that most ids share: the text up to the last separator, or letters before digits. Empty where they share none.
fn common_head<'a>(ids: &[&'a str]) -> &'a str {
    let step = (ids.len() / SAMPLE).max(1);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut examined = 0;
    for id in ids.iter().step_by(step).filter(|id| !is_null_like(id)) {
        examined += 1;
        *counts.entry(head(id.trim_matches(is_blank))).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|&(head, count)| (count, head));
    most.filter(|&(_, count)| count * 2 > examined).map_or("", |(head, _)| head)
}

/// The text up to an id's last separator, or its letters before digits.
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

/// Copies of the first ids, as examples.
fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().take(SHOWN).map(|&id| id.to_owned()).collect()
}

/// Ids for messages, quoted where they are empty or have white space.
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

//! Users' sequences reassembled from rows of "these items, then this one".
//!
//! RecBole's benchmark files, and those of UniSRec and MISSRec, have a row for each target: `item_id_list` holds the user's items
//! before it, the newest ones where they are many. Read by `item_id` alone, every user's first item would be lost. Rows of a
//! user come in the order of time or (UniSRec's converter) against it; anything else is refused.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::path::Path;

use serde_json::Value;

use super::error::Fault;
use super::given_part::GivenPart;
use super::roles::{Role, is_item_column};
use super::value::shorten;
use super::{Columns, OnInteraction, RawInteraction, SourceError};
use crate::data::intern::Interner;
use crate::data::literal;

/// The suffix of a column of lists, behind the name of the items' column.
pub(super) const SUFFIX: &str = "_list";

/// The column of items that comes with lists of the items before each row's own.
pub(super) fn item_with_list<'h>(asked: &'h Columns, header: &'h [String]) -> Option<&'h str> {
    let has = |name: &str| header.iter().any(|other| other.strip_suffix(SUFFIX) == Some(name));
    match asked.item.as_str() {
        "" => header.iter().map(String::as_str).find(|name| is_item_column(name) && has(name)),
        item => Some(item).filter(|item| has(item)),
    }
}

/// The columns of rows with lists. Nothing gives the times of listed items, so neither times nor ratings are read.
///
/// # Errors
/// One of them was asked for.
pub(super) fn list_columns(path: &Path, asked: &Columns, item: &str) -> Result<Columns, SourceError> {
    let idle = |option: String| {
        let list = format!("{item}{SUFFIX}");
        Err(SourceError::IdleWithLists { path: path.to_owned(), option, list })
    };
    for (role, name) in [(Role::Time, &asked.time), (Role::Value, &asked.value)] {
        if !name.is_empty() {
            return idle(format!("--column {}={name}", role.name()));
        }
    }
    if let Some((_, option)) = asked.needed.iter().find(|(role, _)| matches!(role, Role::Time | Role::Value))
    {
        return idle((*option).to_owned());
    }
    let mut columns = Columns { item: item.to_owned(), ..asked.clone() };
    columns.without.extend([Role::Time, Role::Value]);
    Ok(columns)
}

/// Refuses lists in a format without support for them, where every user's first item would be lost.
///
/// # Errors
/// [`SourceError::ListsOfItems`].
pub(super) fn refuse_lists(path: &Path, asked: &Columns, header: &[String]) -> Result<(), SourceError> {
    match item_with_list(asked, header) {
        Some(item) => {
            Err(SourceError::ListsOfItems { path: path.to_owned(), list: format!("{item}{SUFFIX}") })
        }
        None => Ok(()),
    }
}

/// All users' sequences as far as they are known from rows.
#[derive(Debug, Default)]
pub(super) struct ItemLists {
    users: Interner,
    /// One for each user, in order of their first rows.
    sequences: Vec<Sequence>,
    items: Interner,
    /// Length of the longest list: lists that were cut have this many items.
    longest: usize,
    /// Absent until some row has shown it.
    order: Option<Order>,
}

/// The order in which rows of a user follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Forwards,
    Backwards,
}

/// One user's items, oldest first.
#[derive(Debug)]
struct Sequence {
    items: VecDeque<(u32, Option<GivenPart>)>,
    /// Place of the last row's target.
    last: usize,
    /// Length of the last row's list.
    length: usize,
}

/// How a row continues a sequence.
struct Fit {
    /// Its list is the newest items, so that its target comes after them.
    forwards: bool,
    /// Its list and target are the items before the last row's target.
    backwards: bool,
    /// Backwards, its list begins one item before the first known one.
    prepends: bool,
}

impl Sequence {
    /// The sequence of a user's first row.
    fn new(row: &[u32], part: Option<GivenPart>) -> Self {
        let last = row.len() - 1;
        let mut items: VecDeque<_> = row[..last].iter().map(|&item| (item, listed_part(part))).collect();
        items.push_back((row[last], part));
        Self { items, last, length: last }
    }

    /// Whether the items from `start` on are `expected`.
    fn has(&self, start: usize, expected: &[u32]) -> bool {
        self.items.len() >= start + expected.len()
            && self.items.range(start..start + expected.len()).map(|(item, _)| item).eq(expected)
    }

    /// `cut` says whether the row's list may be cut to the newest items.
    fn fit(&self, row: &[u32], cut: bool) -> Fit {
        let all = self.items.len();
        let history = &row[..row.len() - 1];
        let forwards =
            history.len() <= all && self.has(all - history.len(), history) && (history.len() == all || cut);
        // One place before the last row's target; a list that was cut reaches one item further back.
        let (prepends, backwards) = match (self.last, self.last.checked_sub(row.len())) {
            (0, _) => (false, false),
            (_, Some(start)) => (false, self.has(start, row) && (start == 0 || cut)),
            (last, None) if row.len() == last + 1 => (true, cut && self.has(0, &row[1..])),
            _ => (false, false),
        };
        Fit { forwards, backwards, prepends }
    }

    /// The order that a row which fits both ways shows by the length of its list.
    fn order_by_length(&self, length: usize) -> Option<Order> {
        match length.cmp(&self.length) {
            Ordering::Greater => Some(Order::Forwards),
            Ordering::Less => Some(Order::Backwards),
            Ordering::Equal => None,
        }
    }

    /// Appends items that have no rows of their own: those before a target of the validation or test part. Returns
    /// whether `history` continues the sequence.
    fn append_unseen(&mut self, history: &[u32], part: Option<GivenPart>) -> bool {
        let all = self.items.len();
        let continues = history.len() > all && self.has(0, &history[..all]);
        if continues {
            self.items.extend(history[all..].iter().map(|&item| (item, listed_part(part))));
        }
        continues
    }

    /// Takes a row that fits.
    fn push(&mut self, row: &[u32], part: Option<GivenPart>, order: Order, prepends: bool) {
        self.length = row.len() - 1;
        match order {
            Order::Forwards => {
                self.last = self.items.len();
                self.items.push_back((row[self.length], part));
            }
            // Every place moves on by one, so that the one before the last is the last again.
            Order::Backwards if prepends => self.items.push_front((row[0], listed_part(part))),
            Order::Backwards => self.last -= 1,
        }
    }
}

/// The part of the listed items of a row of `part`.
fn listed_part(part: Option<GivenPart>) -> Option<GivenPart> {
    part.map(|_| GivenPart::Train)
}

impl ItemLists {
    /// Takes a row: `item` follows the items of `list`, which are separated by spaces. Faults name `column`, the list's.
    ///
    /// # Errors
    /// The list can't be read, or contradicts earlier rows.
    pub fn add(
        &mut self,
        user: &str,
        list: &str,
        item: &str,
        part: Option<GivenPart>,
        column: &str,
    ) -> Result<(), Fault> {
        let full = || Fault::new("more than 2^31 users or items");
        let listed = parse_list(list).map_err(|reason| Fault::column(column, reason))?;
        let mut row = Vec::new();
        for id in listed.iter().map(AsRef::as_ref).chain([item]) {
            row.push(self.items.number(id).ok_or_else(full)?);
        }
        let history = &row[..row.len() - 1];
        self.longest = self.longest.max(history.len());
        let number = self.users.number(user).ok_or_else(full)? as usize;
        let Some(known) = self.sequences.get_mut(number) else {
            self.sequences.push(Sequence::new(&row, part));
            return Ok(());
        };
        // A list that is shorter than the longest is whole.
        let fit = known.fit(&row, history.len() == self.longest);
        let order = match (fit.forwards, fit.backwards) {
            (true, false) => Order::Forwards,
            (false, true) => Order::Backwards,
            (true, true) => known.order_by_length(history.len()).or(self.order).ok_or_else(|| {
                Fault::column(
                    column,
                    "nothing tells whether rows of a user come in the order of time or against it",
                )
            })?,
            (false, false) if known.append_unseen(history, part) => Order::Forwards,
            (false, false) => {
                let reason = format!("the list doesn't go on from what earlier rows say of user {user}");
                return Err(Fault::column(column, reason));
            }
        };
        if fit.forwards != fit.backwards {
            self.order = Some(order);
        }
        known.push(&row, part, order, fit.prepends);
        Ok(())
    }

    /// Calls `row` with every user's interactions, oldest first. Returns their number.
    ///
    /// # Errors
    /// `row` refuses one.
    pub fn finish(self, row: OnInteraction<'_>) -> Result<u64, Fault> {
        let (users, ids) = (self.users.into_ids(), self.items.into_ids());
        let mut rows = 0;
        for (user, sequence) in users.iter().zip(&self.sequences) {
            for &(item, part) in &sequence.items {
                row(RawInteraction { user, item: &ids[item as usize], time: None, value: None, part })?;
                rows += 1;
            }
        }
        Ok(rows)
    }
}

/// Reads the ids of a list: words, or a list that a program printed into the field.
fn parse_list(list: &str) -> Result<Vec<Cow<'_, str>>, String> {
    let list = list.trim();
    if list.starts_with(['[', '(']) {
        let parsed = literal::parse_printed(list)
            .map_err(|e| format!("{:?} is no list: {}", shorten(list), e.reason))?;
        let id = |value: &Value| match value {
            Value::String(id) if !id.trim().is_empty() => Ok(Cow::Owned(id.trim().to_owned())),
            Value::Number(number) if !number.is_f64() => Ok(Cow::Owned(number.to_string())),
            other => Err(format!("{other} is no id: a text or a whole number is")),
        };
        return parsed.as_array().ok_or("no list")?.iter().map(id).collect();
    }
    let words: Vec<Cow<'_, str>> = list.split_ascii_whitespace().map(Cow::Borrowed).collect();
    match words.as_slice() {
        [word] if word.contains([',', '|', ';']) => {
            Err(format!("{:?}: the items of a list are separated by spaces", shorten(word)))
        }
        _ if words.iter().any(|word| word.ends_with(',')) => {
            Err(format!("{:?}: the items of a list are separated by spaces alone", shorten(list)))
        }
        _ => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rows as `(list, target)` of one user's sequence whose lists hold `newest` items.
    fn rows(sequence: &[String], newest: usize) -> Vec<(String, String)> {
        (1..sequence.len())
            .map(|n| (sequence[n.saturating_sub(newest)..n].join(" "), sequence[n].clone()))
            .collect()
    }

    fn built(lists: ItemLists) -> Vec<(String, String)> {
        let mut found = Vec::new();
        lists
            .finish(&mut |r| {
                found.push((r.user.to_owned(), r.item.to_owned()));
                Ok(())
            })
            .unwrap();
        found
    }

    proptest! {
        #[test]
        fn sequences_come_back_from_rows_in_either_order(
            sequences in prop::collection::vec(prop::collection::vec(0u8..4, 2..14), 1..5),
            newest in 2usize..6,
            backwards: bool,
        ) {
            let mut lists = ItemLists::default();
            let mut expected = Vec::new();
            // A first user whose rows show the order; without one, users of one item only can't.
            let guide: Vec<u8> = (0..12).collect();
            for (user, sequence) in std::iter::once(&guide).chain(&sequences).enumerate() {
                let user = user.to_string();
                let sequence: Vec<String> = sequence.iter().map(u8::to_string).collect();
                let mut rows = rows(&sequence, newest);
                if backwards { rows.reverse() }
                for (list, target) in &rows {
                    lists.add(&user, list, target, None, "item_id_list").unwrap();
                }
                expected.extend(sequence.into_iter().map(|item| (user.clone(), item)));
            }
            prop_assert_eq!(built(lists), expected);
        }

        #[test]
        fn any_rows_are_taken_or_refused(rows in prop::collection::vec(("[a-c]( [a-c]){0,3}", "[a-c]"), 0..20)) {
            let mut lists = ItemLists::default();
            for (list, target) in &rows {
                let _ = lists.add("u", list, target, None, "item_id_list");
            }
            built(lists);
        }
    }

    #[test]
    fn targets_keep_their_part_and_lists_are_training() {
        use GivenPart::{Test, Train, Valid};
        let mut lists = ItemLists::default();
        // As UniSRec writes them: training rows against time, none for a user with one training item.
        for (user, list, item, part) in [
            ("u", "a b", "c", Train),
            ("u", "a", "b", Train),
            ("u", "a b c", "d", Valid),
            ("v", "x", "y", Valid),
            ("u", "a b c d", "e", Test),
            ("v", "x y", "z", Test),
            ("w", "p q", "r", Test),
        ] {
            lists.add(user, list, item, Some(part), "item_id_list").unwrap();
        }
        let mut found = Vec::new();
        lists
            .finish(&mut |r| {
                found.push((r.item.to_owned(), r.part.unwrap()));
                Ok(())
            })
            .unwrap();
        let part = |items: &str, last: &[GivenPart]| -> Vec<(String, GivenPart)> {
            let n = items.len() - last.len();
            let parts = std::iter::repeat_n(Train, n).chain(last.iter().copied());
            items.chars().map(String::from).zip(parts).collect()
        };
        let expected =
            [part("abcde", &[Valid, Test]), part("xyz", &[Valid, Test]), part("pqr", &[Test])].concat();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_list_that_contradicts_earlier_rows_is_refused() {
        let mut lists = ItemLists::default();
        lists.add("u", "a b", "c", None, "item_id_list").unwrap();
        lists.add("u", "a b c", "d", None, "item_id_list").unwrap();
        let fault = lists.add("u", "a c b d", "e", None, "item_id_list").unwrap_err();
        assert_eq!(fault.reason, "the list doesn't go on from what earlier rows say of user u");
        assert!(
            lists.add("u", "c d", "e", None, "item_id_list").is_err(),
            "a whole list is not the newest items"
        );
    }
}

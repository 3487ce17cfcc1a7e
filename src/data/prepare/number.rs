//! Step 3, `number`: final item numbers, and users' sequences of them with the parts of the split.

use std::collections::HashMap;

use super::filter::FilteredLog;
use super::options::{PrepareOptions, wrong};
use super::read::Log;
use crate::data::filter::Interaction;
use crate::data::ids::{ItemId, LogItem};
use crate::data::source::GivenPart;
use crate::data::split::{Split, set_given_parts, split};
use crate::data::{DataError, Part, Sequences};

/// The log by final numbers.
pub(super) struct NumberedLog {
    pub filtered: FilteredLog,
    pub sequences: Sequences,
    /// Raw ids by user number.
    pub users: Vec<String>,
    /// Raw ids by item number, from item 1.
    pub items: Vec<String>,
    /// Number of items with interactions.
    pub seen: usize,
    /// Whether times are times, not places.
    pub timed: bool,
    /// The split that was followed.
    pub split: Split,
    /// Number of users too short to have targets.
    pub short: usize,
}

/// Numbers the items, makes the sequences and sets their parts: by the split asked for, else as the log gives them, else
/// leave-one-out.
///
/// # Errors
/// The split can't be followed or leaves no targets, or a time is none.
pub(super) fn number(filtered: FilteredLog, options: &PrepareOptions) -> Result<NumberedLog, DataError> {
    let mut filtered = filtered;
    let numbering = Numbering::new(&filtered, options.keep_unseen_items);
    let rule = choose_split(options, &filtered.log)?;
    let mut warnings = Vec::new();
    if filtered.log.given.is_some() && rule != Split::Given {
        warnings.push(
            "the parts that the log gives (train, validation, test) are not used; --split given does"
                .to_owned(),
        );
    }
    let (mut sequences, users) = sequences(&filtered.log, &numbering)?;
    let mut timed = filtered.log.times.is_some();
    if rule == Split::Given && !ascends(&sequences) {
        if timed {
            warnings.push(
                "the given parts are not in the order of time: histories go training, validation, test, and times \
                 are left out"
                    .into(),
            );
        }
        timed = false;
        sequences.times = (0..sequences.items.len() as i64).collect();
    }
    let short = split(&mut sequences, &rule)?;
    if rule == Split::Given {
        warnings.extend(surplus_targets(&sequences));
    }
    warnings.into_iter().for_each(|warning| filtered.plan.warn(warning));
    let Numbering { ids: items, seen, .. } = numbering;
    Ok(NumberedLog { filtered, sequences, users, items, seen, timed, split: rule, short })
}

fn choose_split(options: &PrepareOptions, log: &Log) -> Result<Split, DataError> {
    match (&options.split, &log.given) {
        (Some(Split::Given), None) => Err(wrong(
            "--split given",
            "the log gives no parts: no files called train, valid and test, and no column of the part; name it \
             with --column part=NAME",
        )),
        (Some(rule), _) => Ok(rule.clone()),
        (None, Some(_)) => Ok(Split::Given),
        (None, None) => Ok(Split::LeaveOneOut),
    }
}

/// A warning of rows of a given split that are no targets because a user has one target of each part.
fn surplus_targets(sequences: &Sequences) -> Option<String> {
    let (history, unused) = (sequences.count(Part::History), sequences.count(Part::Unused));
    (history + unused > 0).then(|| {
        format!(
            "a user has one validation and one test target, the first of each part: {history} further rows of \
             validation are history of the test target only, {unused} further rows of test are not read"
        )
    })
}

/// Final item numbers.
struct Numbering {
    /// Item numbers by the log's numbers; padding where the item is not kept.
    numbers: Vec<ItemId>,
    /// Raw ids in final order, from item 1.
    ids: Vec<String>,
    /// Number of items with interactions.
    seen: usize,
}

impl Numbering {
    /// Items follow the catalogue's order where there is one; those that it lacks follow in the log's order.
    fn new(filtered: &FilteredLog, keep_unseen: bool) -> Self {
        let FilteredLog { log, catalogue, .. } = filtered;
        let seen: HashMap<&str, LogItem> = log.items().map(|(item, id)| (id, item)).collect();
        let mut listed: Vec<(usize, &str)> = catalogue
            .rows
            .iter()
            .filter(|(id, _)| keep_unseen || seen.contains_key(id.as_str()))
            .map(|(id, (place, _))| (*place, id.as_str()))
            .collect();
        listed.sort_unstable();
        let unlisted = log.items().map(|(_, id)| id).filter(|id| !catalogue.rows.contains_key(*id));
        let ids: Vec<String> =
            listed.into_iter().map(|(_, id)| id).chain(unlisted).map(str::to_owned).collect();
        let mut numbers = vec![ItemId::PADDING; log.item_ids.len()];
        for (n, id) in ids.iter().enumerate() {
            if let Some(item) = seen.get(id.as_str()) {
                numbers[item.index()] = ItemId(n as u32 + 1);
            }
        }
        Self { numbers, ids, seen: seen.len() }
    }

    fn number(&self, item: LogItem) -> ItemId {
        self.numbers[item.index()]
    }
}

/// Sequences of final numbers, and users' ids; users keep the order of their first interaction in the log.
fn sequences(log: &Log, numbering: &Numbering) -> Result<(Sequences, Vec<String>), DataError> {
    let moment = |i: &Interaction| match &log.times {
        Some(times) => times.micros(i.time).map_err(|reason| wrong("times", reason)),
        None => Ok(i.time),
    };
    let mut s = Sequences { offsets: vec![0], ..Sequences::default() };
    let mut users = Vec::new();
    for run in log.interactions.chunk_by(|a, b| a.user == b.user) {
        users.push(log.user_ids[run[0].user.index()].clone());
        for i in run {
            s.push(numbering.number(i.item), moment(i)?, Part::Train);
        }
        s.end_user();
    }
    if let Some(given) = &log.given {
        let given: Vec<GivenPart> = log.interactions.iter().map(|i| given.part(i)).collect();
        for user in s.offsets.windows(2) {
            set_given_parts(&given[user[0]..user[1]], &mut s.parts[user[0]..user[1]]);
        }
    }
    Ok((s, users))
}

/// Whether every user's times ascend.
fn ascends(s: &Sequences) -> bool {
    (0..s.users()).all(|u| s.times_of(u).is_sorted())
}

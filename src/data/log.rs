//! The raw log in memory: numbered ids, 16 bytes an interaction.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::filter::{self, Interaction, StepCounts, Ties};
use super::intern::Interner;
use super::join::is_null_like;
use super::source::time::Resolved;
use super::source::{self, Fault, GivenPart, RawTime, Reading, Role, TimeColumn};
use super::split::Split;
use super::{DataError, PrepareOptions};

/// What becomes of rows whose field of the time is empty, where the log has times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untimed {
    /// The first one is a malformed line. Default: where it belongs in a history nobody knows.
    #[default]
    Refuse,
    /// They are left out.
    Drop,
}

/// The log as it was read.
pub(super) struct Log {
    /// Times are packed: their order is right, `times` makes times of them.
    pub interactions: Vec<Interaction>,
    pub user_ids: Vec<String>,
    pub item_ids: Vec<String>,
    /// Rows without a time, whose place stands for it.
    pub untimed: u64,
    /// Rows that were left out because they have no time.
    pub untimed_dropped: u64,
    /// Absent where places stand for times.
    pub times: Option<Resolved>,
    /// Rows outside of the training part, where the source gives the parts of a split.
    pub given: Option<Given>,
}

/// The parts of a given split: rows that aren't listed train. Few rows are, so that the others take no more memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    parts: HashMap<(u32, u32, i64), GivenPart>,
    /// Rows that another part has too.
    doubles: u64,
}

impl Given {
    /// `parts` lists places of rows that don't train, in ascending order.
    fn of(parts: Vec<(usize, GivenPart)>, interactions: &[Interaction]) -> Self {
        let mut given = Self::default();
        let mut listed = parts.iter().map(|&(place, _)| place).peekable();
        for &(place, part) in &parts {
            let known = given.parts.entry(key(&interactions[place])).or_insert(part);
            given.doubles += u64::from(*known != part);
            *known = part.min(*known);
        }
        for (place, i) in interactions.iter().enumerate() {
            if listed.next_if_eq(&place).is_none() && given.parts.remove(&key(i)).is_some() {
                given.doubles += 1;
            }
        }
        given
    }

    pub fn part(&self, i: &Interaction) -> GivenPart {
        self.parts.get(&key(i)).copied().unwrap_or(GivenPart::Train)
    }
}

fn key(i: &Interaction) -> (u32, u32, i64) {
    (i.user, i.item, i.time)
}

impl Log {
    /// Numbers and ids of the items that have interactions, by number.
    pub fn present(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut present = vec![false; self.item_ids.len()];
        self.interactions.iter().for_each(|i| present[i.item as usize] = true);
        let ids = self.item_ids.iter().enumerate().zip(present);
        ids.filter(|&(_, present)| present).map(|((number, id), _)| (number, id.as_str()))
    }

    pub fn read(
        options: &PrepareOptions,
        reading: &mut Reading<'_>,
        steps: &mut Vec<StepCounts>,
        on_rows: &mut dyn FnMut(u64),
    ) -> Result<Self, DataError> {
        let (mut users, mut items) = (Interner::default(), Interner::default());
        let mut interactions: Vec<Interaction> = Vec::new();
        let mut column = TimeColumn::default();
        let (mut rows, mut untimed, mut untimed_dropped) = (0u64, 0u64, 0u64);
        let (mut full, mut dropped, mut unrated) = (false, 0u64, 0u64);
        // By place, since a fraction may still change the packed times.
        let mut parts: Option<Vec<(usize, GivenPart)>> = None;
        source::read_interactions(reading, &mut |row| {
            rows += 1;
            if rows % (1 << 18) == 0 {
                on_rows(rows);
            }
            let time = match row.time {
                // A place in the file stands for a time only where no row has one.
                None => rows as i64,
                Some(RawTime::Missing) if options.untimed == Untimed::Drop => {
                    untimed_dropped += 1;
                    return Ok(());
                }
                Some(RawTime::Missing) => {
                    return Err(Fault::at("time", "no time; --untimed drop leaves such rows out"));
                }
                Some(time) => {
                    let packed = column.pack(time).map_err(|reason| Fault::at("time", reason))?;
                    if let Some(factor) = packed.earlier_times {
                        for earlier in &mut interactions {
                            let scaled = earlier.time.checked_mul(factor);
                            earlier.time = scaled.ok_or_else(|| {
                                Fault::at("time", "a fraction, where earlier times are too large for one")
                            })?;
                        }
                    }
                    packed.value
                }
            };
            untimed += u64::from(row.time.is_none());
            unrated += u64::from(row.value.is_none());
            if row.value.zip(options.min_value).is_some_and(|(value, least)| value < least) {
                dropped += 1;
                return Ok(());
            }
            match (users.number(row.user), items.number(row.item)) {
                // Places in the log are numbered in 32 bits when duplicates are dropped.
                (Some(user), Some(item)) if interactions.len() < u32::MAX as usize => {
                    interactions.push(Interaction { user, item, time });
                    if let Some(part) = row.part {
                        let parts = parts.get_or_insert_default();
                        if part != GivenPart::Train {
                            parts.push((interactions.len() - 1, part));
                        }
                    }
                }
                _ => full = true,
            }
            Ok(())
        })?;
        on_rows(rows);
        if full {
            let what = "users, items or interactions";
            return Err(DataError::TooMany { what, limit: u64::from(u32::MAX >> 1) });
        }
        if let Some(least) = options.min_value.filter(|_| unrated > 0 && unrated < rows) {
            reading
                .plan
                .warn(format!("{unrated} of {rows} rows have no rating: --min-value {least} keeps them"));
        }
        let given = parts.map(|parts| Given::of(parts, &interactions));
        if let Some(doubles) = given.as_ref().map(|given| given.doubles).filter(|&doubles| doubles > 0) {
            reading.plan.warn(format!(
                "{doubles} interactions of one user, item and time stand in several parts of the split; each counts as \
                 the earliest of them"
            ));
        }
        let times = times(options, reading, &column, rows, untimed)?;
        let mut step = "read".to_owned();
        for (count, what) in [(dropped, "of low value"), (untimed_dropped, "without a time")] {
            if count > 0 {
                step += &format!(", {count} {what} dropped");
            }
        }
        steps.push(filter::counts(&step, &interactions));
        let (user_ids, item_ids) = (users.into_ids(), items.into_ids());
        Ok(Self { interactions, user_ids, item_ids, untimed, untimed_dropped, times, given })
    }

    /// Ids that tables write for a missing value, and how many interactions they have.
    pub fn null_like(&self) -> Vec<NullLike> {
        let mut found = Vec::new();
        for (ids, role, of) in [
            (&self.user_ids, Role::User, (|i| i.user) as fn(&Interaction) -> u32),
            (&self.item_ids, Role::Item, |i| i.item),
        ] {
            for (number, id) in ids.iter().enumerate().filter(|(_, id)| is_null_like(id)) {
                let interactions = self.interactions.iter().filter(|i| of(i) as usize == number).count();
                found.push(NullLike { role, id: id.clone(), interactions });
            }
        }
        found
    }
}

/// An id that looks like a missing value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NullLike {
    pub role: Role,
    pub id: String,
    pub interactions: usize,
}

/// The unit of the times, if there are any, with what the options ask of them.
fn times(
    options: &PrepareOptions,
    reading: &mut Reading<'_>,
    column: &TimeColumn,
    rows: u64,
    untimed: u64,
) -> Result<Option<Resolved>, DataError> {
    let wrong = |option: &str, reason: String| DataError::Option { option: option.into(), reason };
    if untimed == 0 && rows > 0 {
        let option = if options.time_unit.is_some() { "--time-unit" } else { "times" };
        let resolved = column.resolve(options.time_unit).map_err(|reason| wrong(option, reason))?;
        reading.plan.time_unit = resolved.unit;
        reading.plan.time_unit_guessed = options.time_unit.is_none();
        if let Some(unit) = resolved.unit.filter(|_| resolved.odd > 0) {
            reading.plan.warn(format!(
                "the size of {} of {rows} times suggests another unit than {unit}, which all are read as; \
                 --time-unit says otherwise",
                resolved.odd
            ));
        }
        return Ok(Some(resolved));
    }
    if matches!(options.split, Some(Split::GlobalTime { .. })) && rows > 0 {
        let reason = format!("global_time needs times; {untimed} of {rows} rows have none");
        return Err(wrong("--split", reason));
    }
    if untimed > 0 && untimed < rows {
        let reason = format!("{untimed} of {rows} rows stand in files without a column of times");
        return Err(wrong("interactions", reason));
    }
    if options.ties == Some(Ties::Hash) && rows > 0 {
        let reason = "the log has no times that could be equal".to_owned();
        return Err(wrong("--ties hash", reason));
    }
    for (option, given) in [
        ("--time-unit", options.time_unit.is_some()),
        ("--time-format", options.log.time_format.is_some()),
        ("--untimed", options.untimed != Untimed::Refuse),
    ] {
        if given && rows > 0 {
            let reason = "the log has no column of times; name it with --column time=NAME".to_owned();
            return Err(wrong(option, reason));
        }
    }
    Ok(None)
}

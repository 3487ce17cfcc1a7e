//! Step 1, `read`: the log in memory with numbered ids, 16 bytes an interaction.
//!
//! The catalogue is opened here, so that a wrong path is reported before an hour of reading, and read by the next step,
//! which knows the items of the log.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::given::GivenParts;
use super::options::{PrepareOptions, Untimed, wrong};
use super::sources::SourceHashes;
use crate::data::DataError;
use crate::data::filter::{self, Interaction, StepCounts, Ties};
use crate::data::ids::{LogItem, LogUser};
use crate::data::intern::Interner;
use crate::data::join::is_null_like;
use crate::data::source::time::Resolved;
use crate::data::source::{
    self, BadLines, Fault, GivenPart, RawInteraction, RawTime, Reading, Role, Source, SourcePlan, TimeColumn,
};
use crate::data::split::Split;

/// Most interactions of a log: their places are numbered in 32 bits when duplicates are dropped.
const MOST_INTERACTIONS: u32 = u32::MAX;

/// The log as it was read, and the catalogue, opened.
pub(super) struct RawLog<'o> {
    pub log: Log,
    /// How the log was read.
    pub plan: SourcePlan,
    /// Malformed lines so far: log and catalogue share one allowance.
    pub bad: BadLines,
    /// Absent where there is no catalogue.
    pub catalogue: Option<Reading<'o>>,
    pub sources: SourceHashes,
    /// What the reading counted, for the report.
    pub counts: StepCounts,
    /// Ids that tables write for a missing value, and how many interactions they have.
    pub null_like: Vec<NullLike>,
    /// Rows of files without a column of times, whose place stands for one: all or none.
    pub untimed: u64,
    /// Rows without a value in the column of times, which were left out.
    pub untimed_dropped: u64,
}

/// Interactions by numbered ids.
pub(super) struct Log {
    /// Times are packed ([`Interaction::time`]); [`Log::times`] turns them into moments.
    pub interactions: Vec<Interaction>,
    /// Raw ids by [`LogUser`].
    pub user_ids: Vec<String>,
    /// Raw ids by [`LogItem`].
    pub item_ids: Vec<String>,
    /// Absent where places stand for times.
    pub times: Option<Resolved>,
    /// Rows outside of the training part, where the source gives the parts of a split.
    pub given: Option<GivenParts>,
}

impl Log {
    /// Numbers and ids of the items that have interactions, by number.
    pub fn items(&self) -> impl Iterator<Item = (LogItem, &str)> {
        let mut present = vec![false; self.item_ids.len()];
        self.interactions.iter().for_each(|i| present[i.item.index()] = true);
        let ids = self.item_ids.iter().enumerate().zip(present);
        ids.filter(|&(_, present)| present).map(|((n, id), _)| (LogItem(n as u32), id.as_str()))
    }
}

/// An id that looks like a missing value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NullLike {
    pub role: Role,
    pub id: String,
    pub interactions: usize,
}

/// Reads the log and opens the catalogue. `on_rows` gets the number of rows read so far, now and then.
///
/// # Errors
/// A source can't be read, has too many malformed lines, or lacks a column that an option acts on; no row is left; or
/// there are more users or items than [`Interner::LIMIT`], or more interactions than [`MOST_INTERACTIONS`].
pub(super) fn read<'o>(
    options: &'o PrepareOptions,
    on_rows: &mut dyn FnMut(u64),
) -> Result<RawLog<'o>, DataError> {
    let allowance = BadLines { allowed: options.skip_bad, ..BadLines::default() };
    let mut reading = Reading::new(&options.interactions, Source::Log, &options.log, allowance)?;
    let open =
        |path: &'o PathBuf| Reading::new(path, Source::Catalogue, &options.catalogue, BadLines::default());
    let catalogue = options.items.as_ref().map(open).transpose()?;
    let files = reading.files().chain(catalogue.iter().flat_map(Reading::files));
    let sources = SourceHashes::start(files.map(Path::to_owned).collect());
    let mut rows = Rows::new(options);
    source::read_interactions(&mut reading, &mut |row| rows.push(&row, on_rows))?;
    on_rows(rows.read);
    if let Some((what, limit)) = rows.too_many {
        return Err(DataError::TooMany { what, limit });
    }
    rows.warn_of_unrated(&mut reading.plan);
    let given = rows.given(&mut reading.plan);
    let times = rows.times(&mut reading.plan)?;
    let counts = filter::counts(&rows.step(), &rows.interactions);
    if options.min_value.is_some() && !reading.plan.has_values() {
        let reason = format!("{} has no column of values", options.interactions.display());
        return Err(wrong("--min-value", reason));
    }
    counts.check_not_empty("check the file and its format, or lower --min-value")?;
    let Reading { plan, bad, .. } = reading;
    let Rows { users, items, interactions, untimed, untimed_dropped, .. } = rows;
    let (user_ids, item_ids) = (users.into_ids(), items.into_ids());
    let log = Log { interactions, user_ids, item_ids, times, given };
    let null_like = null_like_ids(&log);
    Ok(RawLog { log, plan, bad, catalogue, sources, counts, null_like, untimed, untimed_dropped })
}

/// Ids that tables write for a missing value, and how many interactions they have.
fn null_like_ids(log: &Log) -> Vec<NullLike> {
    let mut found = Vec::new();
    let mut look = |ids: &[String], role, has: fn(&Interaction, usize) -> bool| {
        for (n, id) in ids.iter().enumerate().filter(|(_, id)| is_null_like(id)) {
            let interactions = log.interactions.iter().filter(|i| has(i, n)).count();
            found.push(NullLike { role, id: id.clone(), interactions });
        }
    };
    look(&log.user_ids, Role::User, |i, n| i.user.index() == n);
    look(&log.item_ids, Role::Item, |i, n| i.item.index() == n);
    found
}

/// The rows of a log while it is read.
struct Rows<'o> {
    options: &'o PrepareOptions,
    users: Interner,
    items: Interner,
    interactions: Vec<Interaction>,
    column: TimeColumn,
    /// Rows so far, dropped ones included.
    read: u64,
    /// Rows of files without a column of times, whose place stands for one.
    untimed: u64,
    /// Rows without a value in the column of times, which `--untimed drop` leaves out.
    untimed_dropped: u64,
    /// Rows with a smaller value than asked for, and rows without one.
    low: u64,
    unrated: u64,
    /// What there is more of than numbers, and how many numbers there are; the rows behind it are not kept.
    too_many: Option<(&'static str, u32)>,
    /// Rows that don't train where the source gives parts: by place, since a fraction may still change packed times
    /// ([`crate::data::source::time::Packed::earlier_times`]).
    parts: Option<Vec<(usize, GivenPart)>>,
}

impl<'o> Rows<'o> {
    fn new(options: &'o PrepareOptions) -> Self {
        Self {
            options,
            users: Interner::default(),
            items: Interner::default(),
            interactions: Vec::new(),
            column: TimeColumn::default(),
            read: 0,
            untimed: 0,
            untimed_dropped: 0,
            low: 0,
            unrated: 0,
            too_many: None,
            parts: None,
        }
    }

    /// Takes one row, unless an option drops it.
    fn push(&mut self, row: &RawInteraction<'_>, on_rows: &mut dyn FnMut(u64)) -> Result<(), Fault> {
        self.read += 1;
        if self.read.is_multiple_of(1 << 18) {
            on_rows(self.read);
        }
        let Some(time) = self.time(row.time)? else {
            self.untimed_dropped += 1;
            return Ok(());
        };
        self.untimed += u64::from(row.time.is_none());
        self.unrated += u64::from(row.value.is_none());
        if row.value.zip(self.options.min_value).is_some_and(|(value, least)| value < least) {
            self.low += 1;
            return Ok(());
        }
        let Some(user) = self.users.number(row.user) else {
            self.too_many = Some(("users", Interner::LIMIT));
            return Ok(());
        };
        let Some(item) = self.items.number(row.item) else {
            self.too_many = Some(("items", Interner::LIMIT));
            return Ok(());
        };
        if self.interactions.len() >= MOST_INTERACTIONS as usize {
            self.too_many = Some(("interactions", MOST_INTERACTIONS));
            return Ok(());
        }
        self.interactions.push(Interaction { user: LogUser(user), item: LogItem(item), time });
        if let Some(part) = row.part {
            let parts = self.parts.get_or_insert_default();
            if part != GivenPart::Train {
                parts.push((self.interactions.len() - 1, part));
            }
        }
        Ok(())
    }

    /// The row's time, packed ([`Interaction::time`]); absent for a row that is to be dropped for want of one. A first
    /// fraction multiplies the times of the rows before it.
    fn time(&mut self, time: Option<RawTime>) -> Result<Option<i64>, Fault> {
        let Some(time) = time else {
            // A place in the file stands for a time only where no row has one.
            return Ok(Some(self.read as i64));
        };
        if time == RawTime::Missing {
            return match self.options.untimed {
                Untimed::Drop => Ok(None),
                Untimed::Refuse => Err(Fault::column("time", "no time; --untimed drop leaves such rows out")),
            };
        }
        let packed = self.column.pack(time).map_err(|reason| Fault::column("time", reason))?;
        if let Some(factor) = packed.earlier_times {
            for earlier in &mut self.interactions {
                let scaled = earlier.time.checked_mul(factor);
                earlier.time = scaled.ok_or_else(|| {
                    Fault::column("time", "a fraction, where earlier times are too large for one")
                })?;
            }
        }
        Ok(Some(packed.value))
    }

    fn warn_of_unrated(&self, plan: &mut SourcePlan) {
        let Self { unrated, read, .. } = *self;
        if let Some(least) = self.options.min_value.filter(|_| unrated > 0 && unrated < read) {
            plan.warn(format!("{unrated} of {read} rows have no rating: --min-value {least} keeps them"));
        }
    }

    /// The parts of a given split, where the source gives one.
    fn given(&mut self, plan: &mut SourcePlan) -> Option<GivenParts> {
        let given = GivenParts::new(self.parts.take()?, &self.interactions);
        if given.repeated > 0 {
            plan.warn(format!(
                "{} interactions of one user, item and time stand in several parts of the split; each counts as \
                 the earliest of them",
                given.repeated
            ));
        }
        Some(given)
    }

    /// The name of the step in the report.
    fn step(&self) -> String {
        let mut step = "read".to_owned();
        for (count, what) in [(self.low, "of low value"), (self.untimed_dropped, "without a time")] {
            if count > 0 {
                step += &format!(", {count} {what} dropped");
            }
        }
        step
    }

    /// The unit of the times, if there are any, under the options that act on it.
    fn times(&self, plan: &mut SourcePlan) -> Result<Option<Resolved>, DataError> {
        let options = self.options;
        if self.untimed > 0 || self.read == 0 {
            self.check_untimed()?;
            return Ok(None);
        }
        let option = if options.time_unit.is_some() { "--time-unit" } else { "times" };
        let resolved = self.column.resolve(options.time_unit).map_err(|reason| wrong(option, reason))?;
        plan.time_unit = resolved.unit;
        plan.time_unit_guessed = options.time_unit.is_none();
        if let Some(unit) = resolved.unit.filter(|_| resolved.odd > 0) {
            plan.warn(format!(
                "the size of {} of {} times suggests another unit than {unit}, which all are read as; \
                 --time-unit says otherwise",
                resolved.odd, self.read
            ));
        }
        Ok(Some(resolved))
    }

    /// Refuses what needs times where the log has none.
    fn check_untimed(&self) -> Result<(), DataError> {
        let Self { options, read, untimed, .. } = *self;
        if read == 0 {
            return Ok(());
        }
        if matches!(options.split, Some(Split::GlobalTime { .. })) {
            let reason = format!("global_time needs times; {untimed} of {read} rows have none");
            return Err(wrong("--split", reason));
        }
        if untimed < read {
            let reason = format!("{untimed} of {read} rows stand in files without a column of times");
            return Err(wrong("interactions", reason));
        }
        if options.ties == Some(Ties::Hash) {
            return Err(wrong("--ties hash", "the log has no times that could be equal"));
        }
        for (option, given) in [
            ("--time-unit", options.time_unit.is_some()),
            ("--time-format", options.log.time_format.is_some()),
            ("--untimed", options.untimed != Untimed::Refuse),
        ] {
            if given {
                let reason = "the log has no column of times; name it with --column time=NAME";
                return Err(wrong(option, reason));
            }
        }
        Ok(())
    }
}

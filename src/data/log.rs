//! The raw log in memory: numbered ids, 16 bytes an interaction.

use super::filter::{self, Interaction, StepCounts};
use super::intern::Interner;
use super::source::{self, BadLines, Format};
use super::split::Split;
use super::{DataError, PrepareOptions};

/// The log as it was read.
pub(super) struct Log {
    pub interactions: Vec<Interaction>,
    pub user_ids: Vec<String>,
    pub item_ids: Vec<String>,
    /// Rows without a time.
    pub untimed: u64,
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
        format: Format,
        bad: &mut BadLines,
        steps: &mut Vec<StepCounts>,
        on_rows: &mut dyn FnMut(u64),
    ) -> Result<Self, DataError> {
        let (mut users, mut items) = (Interner::default(), Interner::default());
        let mut interactions = Vec::new();
        let (mut rows, mut untimed, mut full, mut dropped) = (0u64, 0u64, false, 0u64);
        source::read_interactions(&options.interactions, format, &options.columns, bad, &mut |row| {
            rows += 1;
            if rows % (1 << 18) == 0 {
                on_rows(rows);
            }
            untimed += u64::from(row.time.is_none());
            if row.value.zip(options.min_value).is_some_and(|(value, least)| value < least) {
                dropped += 1;
                return;
            }
            match (users.number(row.user), items.number(row.item)) {
                // Places in the log are numbered in 32 bits when duplicates are dropped.
                (Some(user), Some(item)) if interactions.len() < u32::MAX as usize => {
                    let time = row.time.unwrap_or(rows as i64);
                    interactions.push(Interaction { user, item, time });
                }
                _ => full = true,
            }
        })?;
        on_rows(rows);
        if full {
            let what = "users, items or interactions";
            return Err(DataError::TooMany { what, limit: u64::from(u32::MAX >> 1) });
        }
        timed(rows, untimed, &options.split)?;
        let step = if dropped > 0 { format!("read, {dropped} of low value dropped") } else { "read".into() };
        steps.push(filter::counts(&step, &interactions));
        Ok(Self { interactions, user_ids: users.into_ids(), item_ids: items.into_ids(), untimed })
    }
}

/// A place in the file stands for a time only where no row has one, and says nothing across users.
fn timed(rows: u64, untimed: u64, split: &Split) -> Result<(), DataError> {
    let wrong = |option: &str, reason: String| Err(DataError::Option { option: option.into(), reason });
    if untimed > 0 && matches!(split, Split::GlobalTime { .. }) {
        return wrong("split", format!("global_time needs times; {untimed} of {rows} rows have none"));
    }
    if untimed > 0 && untimed < rows {
        return wrong("interactions", format!("{untimed} of {rows} rows have no time, the others have one"));
    }
    Ok(())
}

//! The catalogue's rows that describe items of the log.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::options::PrepareOptions;
use super::read::Log;
use crate::data::DataError;
use crate::data::html::{glimpse, has_markup, strip_html};
use crate::data::join::{Explanation, Names, explain, is_null_like};
use crate::data::source::{self, RawItem, Reading};

/// Catalogue rows by id, with their place in the file.
pub(super) type Rows = HashMap<String, (usize, RawItem)>;

/// What the catalogue holds of the log's items.
#[derive(Default)]
pub(super) struct Catalogue {
    /// Rows of items with interactions, or of all items if unseen ones are to be kept.
    pub rows: Rows,
    /// Number of rows in the file.
    pub read: usize,
    /// Held rows whose id came before; the first counts. Amazon's metadata has some.
    pub repeated: usize,
    /// Held rows with markup in title or text, counted where no option settles what to do with it, and a glimpse of the
    /// first.
    pub markup: usize,
    pub first_markup: Option<String>,
    /// Held rows whose title looks like a missing value, and the first.
    pub null_titles: usize,
    pub first_null_title: Option<String>,
    /// Why its ids and the log's match less than one may expect.
    pub misses: Option<Explanation>,
}

/// Unmatched ids that are looked at to find out why: enough to compare with any log, and some megabytes.
const MAX_UNMATCHED: usize = 100_000;

impl Catalogue {
    /// Reads the catalogue, if there is one.
    ///
    /// # Errors
    /// It can't be read, or shares no item with `log`.
    pub fn read(
        options: &PrepareOptions,
        reading: Option<&mut Reading<'_>>,
        log: &Log,
    ) -> Result<Self, DataError> {
        let mut catalogue = Self::default();
        let Some(reading) = reading else { return Ok(catalogue) };
        let present: HashSet<&str> = log.items().map(|(_, id)| id).collect();
        let mut unmatched: Vec<String> = Vec::new();
        source::read_items(reading, &mut |row| {
            let place = catalogue.read;
            catalogue.read += 1;
            let known = present.contains(row.id.as_str());
            if !known && unmatched.len() < MAX_UNMATCHED {
                unmatched.push(row.id.clone());
            }
            if known || options.keep_unseen_items {
                catalogue.hold(place, row, options.strip_html);
            }
            Ok(())
        })?;
        let held = catalogue.rows.keys().map(String::as_str).filter(|id| present.contains(id));
        let names = Names { left: "the log", things: "items", right: "the catalogue" };
        let catalogue_ids = held.chain(unmatched.iter().map(String::as_str));
        catalogue.misses = explain(names, log.items().map(|(_, id)| id), catalogue_ids);
        match catalogue.misses.take_if(|misses| misses.matched == 0) {
            Some(misses) => Err(DataError::Apart(misses)),
            None => Ok(catalogue),
        }
    }

    /// Keeps one row, unless its id came before, and counts what is odd about it.
    fn hold(&mut self, place: usize, mut row: RawItem, strip: Option<bool>) {
        if strip.is_none()
            && let Some(text) = [&row.title, &row.text].into_iter().find(|text| has_markup(text))
        {
            self.markup += 1;
            self.first_markup.get_or_insert_with(|| glimpse(text));
        }
        if !row.title.is_empty() && is_null_like(&row.title) {
            self.null_titles += 1;
            self.first_null_title.get_or_insert_with(|| row.title.clone());
        }
        if strip == Some(true) {
            for text in [&mut row.title, &mut row.text] {
                if let Cow::Owned(bare) = strip_html(text) {
                    *text = bare;
                }
            }
        }
        match self.rows.entry(row.id.clone()) {
            Entry::Occupied(_) => self.repeated += 1,
            Entry::Vacant(free) => drop(free.insert((place, row))),
        }
    }
}

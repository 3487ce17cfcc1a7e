//! What the items are: catalogue rows, final numbers, texts and pictures.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::html::{glimpse, has_markup, strip_html};
use super::join::{Explanation, Names, explain, is_null_like};
use super::log::Log;
use super::pictures::Pattern;
use super::source::{self, RawItem, Reading};
use super::{DataError, Items, KeptColumn, PrepareOptions};

/// Catalogue rows by id, with their place in the file.
pub(super) type Rows = HashMap<String, (usize, RawItem)>;

/// The part of the catalogue that describes items of the log.
#[derive(Default)]
pub(super) struct Catalogue {
    pub rows: Rows,
    /// Rows in the file.
    pub read: usize,
    /// Rows of a held item whose id came before; the first counts. Amazon's metadata has some.
    pub repeated: usize,
    /// Held rows with markup in title or text, where nothing was said of it, and a glimpse of the first.
    pub markup: usize,
    pub first_markup: Option<String>,
    /// Held rows whose title looks like a missing value, and the first.
    pub null_titles: usize,
    pub first_null_title: Option<String>,
    /// Why its ids and the log's meet less than one may expect.
    pub misses: Option<Explanation>,
}

/// Ids without a match that are looked at to find out why: enough to compare with any log, and some megabytes.
const STRANGERS: usize = 100_000;

impl Catalogue {
    /// Holds the rows of items with interactions in `log`, or all if unseen ones are to be kept.
    pub fn read(
        options: &PrepareOptions,
        reading: Option<&mut Reading<'_>>,
        log: &Log,
    ) -> Result<Self, DataError> {
        let mut catalogue = Self::default();
        let Some(reading) = reading else { return Ok(catalogue) };
        let present: HashSet<&str> = log.present().map(|(_, id)| id).collect();
        let mut strangers: Vec<String> = Vec::new();
        source::read_items(reading, &mut |mut row| {
            let place = catalogue.read;
            catalogue.read += 1;
            let known = present.contains(row.id.as_str());
            if !known && strangers.len() < STRANGERS {
                strangers.push(row.id.clone());
            }
            if !options.keep_unseen_items && !known {
                return Ok(());
            }
            if options.strip_html.is_none()
                && let Some(text) = [&row.title, &row.text].into_iter().find(|text| has_markup(text))
            {
                catalogue.markup += 1;
                catalogue.first_markup.get_or_insert_with(|| glimpse(text));
            }
            if !row.title.is_empty() && is_null_like(&row.title) {
                catalogue.null_titles += 1;
                catalogue.first_null_title.get_or_insert_with(|| row.title.clone());
            }
            if options.strip_html == Some(true) {
                for text in [&mut row.title, &mut row.text] {
                    if let Cow::Owned(bare) = strip_html(text) {
                        *text = bare;
                    }
                }
            }
            match catalogue.rows.entry(row.id.clone()) {
                Entry::Occupied(_) => catalogue.repeated += 1,
                Entry::Vacant(free) => drop(free.insert((place, row))),
            }
            Ok(())
        })?;
        let held = catalogue.rows.keys().map(String::as_str).filter(|id| present.contains(id));
        let names = Names { left: "the log", things: "items", right: "the catalogue" };
        let there = held.chain(strangers.iter().map(String::as_str));
        catalogue.misses = explain(names, log.present().map(|(_, id)| id), there);
        match catalogue.misses.take_if(|misses| misses.matched == 0) {
            Some(misses) => Err(DataError::Apart(misses)),
            None => Ok(catalogue),
        }
    }
}

/// Final item numbers.
pub(super) struct Numbering {
    /// Final number (from 1) by the log's number; 0 where the item is not kept.
    pub of_log: Vec<u32>,
    /// Ids in final order.
    pub order: Vec<String>,
    /// Items with interactions.
    pub seen: usize,
}

impl Numbering {
    /// Catalogue order where there is one, then the log's order for items it lacks.
    pub fn of(log: &Log, catalogue: &Rows, keep_unseen: bool) -> Self {
        let seen: HashMap<&str, usize> = log.present().map(|(number, id)| (id, number)).collect();
        let mut listed: Vec<(usize, &str)> = catalogue
            .iter()
            .filter(|(id, _)| keep_unseen || seen.contains_key(id.as_str()))
            .map(|(id, (place, _))| (*place, id.as_str()))
            .collect();
        listed.sort_unstable();
        let unlisted = log.present().map(|(_, id)| id).filter(|id| !catalogue.contains_key(*id));
        let order: Vec<String> =
            listed.into_iter().map(|(_, id)| id).chain(unlisted).map(str::to_owned).collect();
        let mut of_log = vec![0; log.item_ids.len()];
        for (n, id) in order.iter().enumerate() {
            if let Some(&log_number) = seen.get(id.as_str()) {
                of_log[log_number] = n as u32 + 1;
            }
        }
        Self { of_log, order, seen: seen.len() }
    }
}

/// The catalogue in final order, and how many items it has no row for.
pub(super) fn describe(
    numbering: &Numbering,
    catalogue: &Rows,
    options: &PrepareOptions,
) -> Result<(Items, usize), DataError> {
    let rows: Vec<Option<&RawItem>> =
        numbering.order.iter().map(|id| catalogue.get(id).map(|(_, row)| row)).collect();
    let named = rows.iter().flatten().any(|row| !row.image.is_empty());
    let finder = Finder::new(options, named)?;
    let kept = options
        .catalogue
        .columns
        .kept
        .iter()
        .map(|name| KeptColumn { name: name.clone(), values: Vec::new() });
    let mut items = Items { kept: kept.collect(), pictures_root: finder.root.clone(), ..Items::default() };
    let empty = RawItem::default();
    let mut push = |id: &str, row: &RawItem| {
        items.ids.push(id.to_owned());
        items.titles.push(row.title.clone());
        let text = [row.title.as_str(), row.text.as_str()].join(" ");
        items.texts.push(text.trim().to_owned());
        items.categories.push(row.category.clone());
        items.images.push(finder.image(id, row));
        for (n, column) in items.kept.iter_mut().enumerate() {
            // An item that the catalogue lacks has no values.
            column.values.push(row.kept.get(n).cloned().unwrap_or_default());
        }
    };
    push("", &empty);
    for (id, row) in numbering.order.iter().zip(&rows) {
        push(id, row.unwrap_or(&empty));
    }
    let missing = rows.iter().filter(|row| row.is_none()).count();
    Ok((items, missing))
}

/// Gives each item its picture's path.
struct Finder {
    /// Folder at which relative paths begin: the catalogue's where it names pictures, else the pattern's.
    root: Option<PathBuf>,
    /// The pattern's folder, absolute, and the pattern from there.
    pattern: Option<(PathBuf, Pattern)>,
}

impl Finder {
    /// `named`: the catalogue names pictures itself.
    fn new(options: &PrepareOptions, named: bool) -> Result<Self, DataError> {
        let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut pattern = None;
        if let Some(text) = &options.images {
            let (folder, rest) = Pattern::parse(text)?.split();
            // A path is empty where the pattern begins with a placeholder.
            pattern = Some((whole(&Path::new(".").join(folder)), rest));
        }
        let folder = options.items.as_deref().and_then(Path::parent);
        let root = match (folder, &pattern) {
            (Some(folder), _) if named => Some(whole(&Path::new(".").join(folder))),
            (_, Some((folder, _))) => Some(folder.clone()),
            _ => None,
        };
        Ok(Self { root, pattern })
    }

    /// The pattern's file where it exists, relative where it can be: it was asked for. Else the catalogue's own path or
    /// address.
    fn image(&self, id: &str, row: &RawItem) -> String {
        let file =
            self.pattern.as_ref().and_then(|(folder, pattern)| Some((folder, pattern.find(folder, id)?)));
        let Some((folder, found)) = file else { return row.image.clone() };
        let path = folder.join(found);
        let root = self.root.as_deref().unwrap_or(folder);
        path.strip_prefix(root).unwrap_or(&path).display().to_string()
    }
}

//! What the items are: catalogue rows, final numbers, texts and pictures.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::log::Log;
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
}

impl Catalogue {
    /// Holds the rows of items with interactions in `log`, or all if unseen ones are to be kept.
    pub fn read(
        options: &PrepareOptions,
        reading: Option<&mut Reading<'_>>,
        log: &Log,
    ) -> Result<Self, DataError> {
        let mut catalogue = Self::default();
        let (Some(path), Some(reading)) = (&options.items, reading) else { return Ok(catalogue) };
        let present: HashSet<&str> = log.present().map(|(_, id)| id).collect();
        source::read_items(path, reading, &mut |row| {
            let place = catalogue.read;
            catalogue.read += 1;
            if !options.keep_unseen_items && !present.contains(row.id.as_str()) {
                return Ok(());
            }
            match catalogue.rows.entry(row.id.clone()) {
                Entry::Occupied(_) => catalogue.repeated += 1,
                Entry::Vacant(free) => drop(free.insert((place, row))),
            }
            Ok(())
        })?;
        Ok(catalogue)
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
pub(super) fn describe(numbering: &Numbering, catalogue: &Rows, options: &PrepareOptions) -> (Items, usize) {
    let kept = options
        .catalogue
        .columns
        .kept
        .iter()
        .map(|name| KeptColumn { name: name.clone(), values: Vec::new() });
    let mut items = Items { kept: kept.collect(), ..Items::default() };
    let mut missing = 0;
    let folder = options.items.as_ref().or(Some(&options.interactions)).and_then(|p| p.parent());
    let empty = RawItem::default();
    let mut push = |id: &str, row: &RawItem| {
        items.ids.push(id.to_owned());
        items.titles.push(row.title.clone());
        let text = [row.title.as_str(), row.text.as_str()].join(" ");
        items.texts.push(text.trim().to_owned());
        items.categories.push(row.category.clone());
        items.images.push(image_path(id, row, options, folder));
        for (n, column) in items.kept.iter_mut().enumerate() {
            // An item that the catalogue lacks has no values.
            column.values.push(row.kept.get(n).cloned().unwrap_or_default());
        }
    };
    push("", &empty);
    for id in &numbering.order {
        let row = catalogue.get(id).map(|(_, row)| row);
        missing += usize::from(row.is_none());
        push(id, row.unwrap_or(&empty));
    }
    (items, missing)
}

/// The catalogue's own path or address, relative ones resolved against its folder; else the pattern's file
/// where it exists.
fn image_path(id: &str, row: &RawItem, options: &PrepareOptions, folder: Option<&Path>) -> String {
    if !row.image.is_empty() {
        let path = Path::new(&row.image);
        return match folder {
            Some(folder) if !is_address(&row.image) && path.is_relative() => {
                folder.join(path).display().to_string()
            }
            _ => row.image.clone(),
        };
    }
    let Some(pattern) = &options.images else { return String::new() };
    // An id with a path in it must not lead out of the folder.
    if id.is_empty() || id.contains(['/', '\\']) {
        return String::new();
    }
    let path = pattern.replace("{id}", id);
    if Path::new(&path).is_file() { path } else { String::new() }
}

fn is_address(image: &str) -> bool {
    image.contains("://")
}

/// A path without a file.
pub(super) fn is_lost(image: &str) -> bool {
    !image.is_empty() && !is_address(image) && !Path::new(image).is_file()
}

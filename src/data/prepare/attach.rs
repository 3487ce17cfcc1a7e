//! Step 4, `attach`: titles, texts, categories, pictures and kept columns beside each item's number.

use std::path::{Path, PathBuf};

use super::number::NumberedLog;
use super::options::PrepareOptions;
use crate::data::pictures::{Pattern, Survey, unused_pattern};
use crate::data::source::RawItem;
use crate::data::{DataError, Items, KeptColumn};

/// The log by final numbers, with its items described.
pub(super) struct DescribedLog {
    pub numbered: NumberedLog,
    pub items: Items,
    /// Number of items that the catalogue has no row for.
    pub undescribed: usize,
    /// Number of items whose picture is a path that leads to no file.
    pub lost_pictures: usize,
    /// What to report of picture paths, with the remedy.
    pub picture_remarks: Vec<String>,
}

/// Describes the items from their catalogue rows, and finds their pictures.
///
/// # Errors
/// The pictures' pattern can't be read.
pub(super) fn attach(numbered: NumberedLog, options: &PrepareOptions) -> Result<DescribedLog, DataError> {
    let rows = &numbered.filtered.catalogue.rows;
    let rows: Vec<Option<&RawItem>> =
        numbered.items.iter().map(|id| rows.get(id).map(|(_, row)| row)).collect();
    let undescribed = rows.iter().filter(|row| row.is_none()).count();
    let items = describe(&numbered.items, &rows, options)?;
    let pictures = Survey::new(&items);
    let unused = options.images.as_ref().and_then(|pattern| unused_pattern(pattern, &items));
    let remarks = pictures.remarks(items.pictures_root.as_deref());
    let picture_remarks = unused.into_iter().chain(remarks).collect();
    Ok(DescribedLog { numbered, items, undescribed, lost_pictures: pictures.lost, picture_remarks })
}

/// The items' columns, padding first.
fn describe(ids: &[String], rows: &[Option<&RawItem>], options: &PrepareOptions) -> Result<Items, DataError> {
    let named = rows.iter().flatten().any(|row| !row.image.is_empty());
    let finder = Finder::new(options, named)?;
    let kept = &options.catalogue.columns.kept;
    let kept = kept.iter().map(|name| KeptColumn { name: name.clone(), values: Vec::new() });
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
    for (id, row) in ids.iter().zip(rows) {
        push(id, row.unwrap_or(&empty));
    }
    Ok(items)
}

/// Finds each item's picture.
struct Finder {
    /// Folder at which relative paths begin: the catalogue's where it names pictures, else the pattern's.
    root: Option<PathBuf>,
    /// The pattern's folder, absolute, and the pattern from there.
    pattern: Option<(PathBuf, Pattern)>,
}

impl Finder {
    /// `named` says whether the catalogue itself names pictures.
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

    /// The pattern's file where it exists, since it was asked for, as a relative path where possible. Otherwise the
    /// catalogue's own path or address.
    fn image(&self, id: &str, row: &RawItem) -> String {
        let file =
            self.pattern.as_ref().and_then(|(folder, pattern)| Some((folder, pattern.find(folder, id)?)));
        let Some((folder, found)) = file else { return row.image.clone() };
        let path = folder.join(found);
        let root = self.root.as_deref().unwrap_or(folder);
        path.strip_prefix(root).unwrap_or(&path).display().to_string()
    }
}

//! Where items' pictures lie: patterns that name a file by the item's id, and the folder at which relative paths
//! begin.
//!
//! `prepare` finds pictures with it, `features encode` opens them. A data set holds picture paths relative to one folder
//! ([`super::Items::pictures_root`]), so that they hold from every working directory and the folder can move. Addresses
//! are kept and never followed.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;

use super::Items;
use crate::artefact::hash_file;

/// Why a pattern can't name pictures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("`{0}` has a brace without its partner")]
    Brace(String),
    #[error("`{pattern}`: `{{{found}}}` is no placeholder")]
    Unknown { pattern: String, found: String },
    #[error("`{0}` has no {{id}}, so all items would have one and the same picture")]
    NoId(String),
}

impl PatternError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        "use {id} for the item's id, {id[:3]}, {id[3:6]} or {id[-2:]} for a part of it, and {jpg,png} for endings that \
         are tried in order, as in posters/{id[:3]}/{id}.{jpg,png}"
            .into()
    }
}

/// A picture's path with the item's id in it, such as `posters/{id[:3]}/{id}.{jpg,png}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// Characters `from..to` of the id, with the meaning of a Python slice.
    Id {
        from: Option<i64>,
        to: Option<i64>,
    },
    /// Tried in order.
    OneOf(Vec<String>),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A brace is not closed, a placeholder is unknown, or none holds the id.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let brace = || PatternError::Brace(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(place) = rest.find(['{', '}']) {
            if rest[place..].starts_with('}') {
                return Err(brace());
            }
            if place > 0 {
                parts.push(Piece::Text(rest[..place].to_owned()));
            }
            let inside = &rest[place + 1..];
            let end =
                inside.find(['{', '}']).filter(|&end| inside[end..].starts_with('}')).ok_or_else(brace)?;
            parts.push(placeholder(&inside[..end]).ok_or_else(|| PatternError::Unknown {
                pattern: text.to_owned(),
                found: inside[..end].to_owned(),
            })?);
            rest = &inside[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Piece::Text(rest.to_owned()));
        }
        if !parts.iter().any(|part| matches!(part, Piece::Id { .. })) {
            return Err(PatternError::NoId(text.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The folder in front of the first placeholder, and the rest of the pattern.
    pub fn split(&self) -> (PathBuf, Self) {
        let mut parts = self.parts.clone();
        let mut folder = PathBuf::new();
        if let Some(Piece::Text(text)) = parts.first_mut()
            && let Some(end) = text.rfind('/')
        {
            folder = PathBuf::from(&text[..=end]);
            *text = text[end + 1..].to_owned();
        }
        (folder, Self { parts })
    }

    /// The paths that an item's picture may have, in the order in which they are tried; empty for an id that would lead
    /// out of the folder.
    pub fn candidates(&self, id: &str) -> Vec<String> {
        // An id with a path in it must not lead anywhere.
        if id.is_empty() || id.contains(['/', '\\', '\0']) {
            return Vec::new();
        }
        let mut all = vec![String::new()];
        for part in &self.parts {
            match part {
                Piece::Text(text) => all.iter_mut().for_each(|path| path.push_str(text)),
                Piece::Id { from, to } => {
                    let text = slice(id, *from, *to);
                    all.iter_mut().for_each(|path| path.push_str(&text));
                }
                Piece::OneOf(choices) => {
                    let longer =
                        |path: &String| choices.iter().map(|c| format!("{path}{c}")).collect::<Vec<_>>();
                    all = all.iter().flat_map(longer).collect();
                }
            }
        }
        // `{id[:2]}/x.jpg` of the id `..a`: only the pattern itself may climb.
        let allowed = self.climbs();
        all.retain(|path| climbs(path) == allowed);
        all
    }

    /// The item's picture below `root`, as a path that begins there.
    pub fn find(&self, root: &Path, id: &str) -> Option<String> {
        self.candidates(id).into_iter().find(|path| root.join(path).is_file())
    }

    /// Number of `..` in the pattern itself.
    fn climbs(&self) -> usize {
        let plain = self.parts.iter().map(|part| match part {
            Piece::Text(text) => text.as_str(),
            Piece::Id { .. } => "x",
            Piece::OneOf(choices) => choices.first().map_or("", String::as_str),
        });
        climbs(&plain.collect::<String>())
    }
}

/// Number of `..` in a path.
fn climbs(path: &str) -> usize {
    Path::new(path).components().filter(|part| *part == Component::ParentDir).count()
}

/// Reads what stands between two braces; absent if it is unknown.
fn placeholder(text: &str) -> Option<Piece> {
    if text == "id" {
        return Some(Piece::Id { from: None, to: None });
    }
    if let Some(range) = text.strip_prefix("id[").and_then(|rest| rest.strip_suffix(']')) {
        let (from, to) = range.split_once(':')?;
        let bound = |text: &str| match text.trim() {
            "" => Some(None),
            number => number.parse().ok().map(Some),
        };
        return Some(Piece::Id { from: bound(from)?, to: bound(to)? });
    }
    let choices: Vec<String> = text.split(',').map(|choice| choice.trim().to_owned()).collect();
    let sound =
        |choice: &String| !choice.contains(['[', ']', ':', '/', '\\']) && choice != "id" && choice != "..";
    (choices.len() > 1 && choices.iter().all(sound)).then_some(Piece::OneOf(choices))
}

/// Python's `text[from:to]`, in characters.
fn slice(text: &str, from: Option<i64>, to: Option<i64>) -> String {
    let count = text.chars().count() as i64;
    let place = |bound: i64| if bound < 0 { (count + bound).max(0) } else { bound.min(count) } as usize;
    let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(count)));
    text.chars().skip(from).take(to.saturating_sub(from)).collect()
}

/// Whether a picture is named by an address, which is never followed.
pub fn is_address(image: &str) -> bool {
    image.contains("://") && !image.starts_with("file://")
}

/// The path of a catalogue's picture; a relative one begins at `root`. Absent for an address and for no picture. Whether the
/// file exists is not checked.
pub fn locate(root: Option<&Path>, image: &str) -> Option<PathBuf> {
    if image.trim().is_empty() || is_address(image) {
        return None;
    }
    let path = Path::new(image.strip_prefix("file://").unwrap_or(image));
    Some(root.map_or_else(|| path.to_owned(), |root| root.join(path)))
}

/// Counts of what a catalogue's picture paths lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Paths and addresses.
    pub named: usize,
    pub addresses: usize,
    /// Paths that lead to no file.
    pub lost: usize,
    /// The first of them, in full.
    pub first_lost: Option<PathBuf>,
    /// Lost absolute paths, and those that lead to a file if they begin at the root.
    pub absolute_lost: usize,
    pub absolute_below_root: usize,
    /// Lost paths that lead to a file with `/` for `\`.
    pub backslashes: usize,
}

impl Survey {
    /// Looks at every picture of a catalogue.
    pub fn new(items: &Items) -> Self {
        let root = items.pictures_root.as_deref();
        let each = |image: &String| {
            let mut one = Self::default();
            if image.trim().is_empty() {
                return one;
            }
            one.named = 1;
            let Some(path) = locate(root, image) else {
                one.addresses = 1;
                return one;
            };
            if path.is_file() {
                return one;
            }
            one.lost = 1;
            if Path::new(image).is_absolute() {
                one.absolute_lost = 1;
                one.absolute_below_root =
                    usize::from(root.is_some_and(|root| find_below(root, image).is_some()));
            }
            let slashed = || locate(root, &image.replace('\\', "/")).is_some_and(|path| path.is_file());
            one.backslashes = usize::from(image.contains('\\') && slashed());
            one.first_lost = Some(path);
            one
        };
        items.images.par_iter().map(each).reduce(Self::default, Self::plus)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            named: self.named + other.named,
            addresses: self.addresses + other.addresses,
            lost: self.lost + other.lost,
            first_lost: self.first_lost.or(other.first_lost),
            absolute_lost: self.absolute_lost + other.absolute_lost,
            absolute_below_root: self.absolute_below_root + other.absolute_below_root,
            backslashes: self.backslashes + other.backslashes,
        }
    }

    /// Warnings with their remedies; empty where every path leads to a file.
    pub fn remarks(&self, root: Option<&Path>) -> Vec<String> {
        let mut found = Vec::new();
        let root = root.map_or_else(|| "the working directory".to_owned(), |root| root.display().to_string());
        let first = self.first_lost.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let paths = self.named - self.addresses;
        if self.lost > 0 && self.lost == paths {
            found
                .push(format!("none of the {} picture paths leads to a file; looked for {first}", self.lost));
        }
        if self.absolute_below_root > 0 {
            found.push(format!(
                "{} pictures are absolute paths such as {first} that lead to no file, but would if they began at {root}: \
                 strip the leading slash in the catalogue, or encode with --pictures {root}",
                self.absolute_below_root
            ));
        } else if self.absolute_lost > 0 {
            found.push(format!(
                "{} pictures are absolute paths such as {first} that lead to no file; if they lie in a folder of their own, \
                 name it when they are read (features encode --pictures DIR)",
                self.absolute_lost
            ));
        }
        if self.backslashes > 0 {
            found.push(format!(
                "{} picture paths are written with \\ and would lead to a file with /: mend them in the catalogue",
                self.backslashes
            ));
        }
        if found.is_empty() && self.lost * 2 > paths {
            found.push(format!("{} of {paths} picture paths lead to no file, such as {first}", self.lost));
        }
        found
    }
}

/// A warning if `pattern` names no picture of any item, with the first path that was tried.
pub fn unused_pattern(pattern: &str, items: &Items) -> Option<String> {
    let (folder, rest) = Pattern::parse(pattern).ok()?.split();
    let folder = std::path::absolute(Path::new(".").join(folder)).ok()?;
    let ids = &items.ids[1..];
    if ids.par_iter().any(|id| rest.find(&folder, id).is_some()) {
        return None;
    }
    let tried = ids.iter().flat_map(|id| rest.candidates(id)).next().map(|path| folder.join(path));
    let tried = tried.map_or_else(String::new, |path| format!("; looked for {}", path.display()));
    Some(format!(
        "--images {pattern} names no file of any item{tried} (a pattern begins at the working directory)"
    ))
}

/// The file that an absolute path leads to if it's taken to begin at `root`, as in lists of film posters (`/1.jpg`).
pub fn find_below(root: &Path, image: &str) -> Option<PathBuf> {
    let path = root.join(image.trim_start_matches('/'));
    (image.starts_with('/') && path.is_file()).then_some(path)
}

/// Groups of at least two indices into `paths` whose files have the same bytes, largest group first, indices ascending.
/// Files are read only where their sizes agree; what can't be read is in no group.
pub fn same_files(paths: &[PathBuf]) -> Vec<Vec<usize>> {
    let size =
        |path: &PathBuf| path.metadata().ok().filter(std::fs::Metadata::is_file).map(|about| about.len());
    let sizes: Vec<Option<u64>> = paths.par_iter().map(size).collect();
    let mut size_groups: HashMap<u64, Vec<usize>> = HashMap::new();
    for (place, size) in sizes.into_iter().enumerate() {
        if let Some(size) = size {
            size_groups.entry(size).or_default().push(place);
        }
    }
    let alike: Vec<Vec<usize>> = size_groups.into_values().filter(|places| places.len() > 1).collect();
    let split = |places: Vec<usize>| {
        // One path of many items is read once.
        let mut hashes: HashMap<&Path, Option<String>> = HashMap::new();
        let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
        for place in places {
            let path = paths[place].as_path();
            let hash = hashes.entry(path).or_insert_with(|| hash_file(path).ok().map(|(hash, _)| hash));
            if let Some(hash) = hash {
                groups.entry(hash.clone()).or_default().push(place);
            }
        }
        groups.into_values().filter(|group| group.len() > 1).collect::<Vec<_>>()
    };
    let mut groups: Vec<Vec<usize>> = alike.into_par_iter().flat_map_iter(split).collect();
    groups.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    groups
}

#[cfg(test)]
mod tests;

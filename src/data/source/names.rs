//! Which column holds what: the names asked for, or the usual ones.

use std::path::Path;

use super::{Columns, SourceError};

const USER: &[&str] = &["user_id", "userId", "user"];
const ITEM: &[&str] = &["item_id", "itemId", "movieId", "item", "asin"];
const TIME: &[&str] = &["timestamp", "time", "ts"];
const VALUE: &[&str] = &["rating", "value"];
const TITLE: &[&str] = &["title", "movie_title"];
const TEXT: &[&str] = &["text", "description", "plot"];
const CATEGORY: &[&str] = &["genres", "genre", "category", "categories", "class"];
const IMAGE: &[&str] = &["image", "poster"];

/// The names under which one column may stand, best first.
pub(super) struct Wanted {
    names: Vec<String>,
    /// Asked for by name: its absence is an error.
    asked: bool,
}

impl Wanted {
    fn new(asked: &str, usual: &[&str]) -> Self {
        if asked.is_empty() {
            return Self { names: usual.iter().map(|&n| n.to_owned()).collect(), asked: false };
        }
        Self { names: vec![asked.to_owned()], asked: true }
    }

    /// Its place in `header`, if it is there.
    pub fn find(&self, path: &Path, header: &[String]) -> Result<Option<usize>, SourceError> {
        let place = self.names.iter().find_map(|name| header.iter().position(|h| h == name));
        if place.is_none() && self.asked { Err(self.missing(path, header)) } else { Ok(place) }
    }

    pub fn require(&self, path: &Path, header: &[String]) -> Result<usize, SourceError> {
        self.find(path, header)?.ok_or_else(|| self.missing(path, header))
    }

    fn missing(&self, path: &Path, header: &[String]) -> SourceError {
        let wanted = self.names.join(" or ");
        SourceError::MissingColumn { path: path.to_owned(), wanted, found: header.to_vec() }
    }
}

/// Columns of an interaction log.
pub(super) struct InteractionNames {
    pub user: Wanted,
    pub item: Wanted,
    pub time: Wanted,
    pub value: Wanted,
}

impl InteractionNames {
    pub fn new(c: &Columns) -> Self {
        Self {
            user: Wanted::new(&c.user, USER),
            item: Wanted::new(&c.item, ITEM),
            time: Wanted::new(&c.time, TIME),
            value: Wanted::new(&c.value, VALUE),
        }
    }
}

/// Columns of a catalogue.
pub(super) struct ItemNames {
    pub id: Wanted,
    pub title: Wanted,
    pub text: Vec<Wanted>,
    pub category: Wanted,
    pub image: Wanted,
    pub kept: Vec<Wanted>,
}

impl ItemNames {
    pub fn new(c: &Columns) -> Self {
        Self {
            id: Wanted::new(&c.item, ITEM),
            title: Wanted::new(&c.title, TITLE),
            text: match c.text.as_slice() {
                [] => vec![Wanted::new("", TEXT)],
                asked => asked.iter().map(|name| Wanted::new(name, &[])).collect(),
            },
            category: Wanted::new(&c.category, CATEGORY),
            image: Wanted::new(&c.image, IMAGE),
            kept: c.kept.iter().map(|name| Wanted::new(name, &[])).collect(),
        }
    }
}

/// Where an interaction's fields are in a row.
pub(super) struct InteractionPlaces {
    pub user: usize,
    pub item: usize,
    pub time: Option<usize>,
    pub value: Option<usize>,
}

impl InteractionPlaces {
    pub fn new(names: &InteractionNames, path: &Path, header: &[String]) -> Result<Self, SourceError> {
        Ok(Self {
            user: names.user.require(path, header)?,
            item: names.item.require(path, header)?,
            time: names.time.find(path, header)?,
            value: names.value.find(path, header)?,
        })
    }
}

/// Where an item's fields are in a row.
pub(super) struct ItemPlaces {
    pub id: usize,
    pub title: Option<usize>,
    pub text: Vec<usize>,
    pub category: Option<usize>,
    pub image: Option<usize>,
    pub kept: Vec<usize>,
}

impl ItemPlaces {
    pub fn new(names: &ItemNames, path: &Path, header: &[String]) -> Result<Self, SourceError> {
        Ok(Self {
            id: names.id.require(path, header)?,
            title: names.title.find(path, header)?,
            text: names
                .text
                .iter()
                .filter_map(|n| n.find(path, header).transpose())
                .collect::<Result<_, _>>()?,
            category: names.category.find(path, header)?,
            image: names.image.find(path, header)?,
            kept: names.kept.iter().map(|n| n.require(path, header)).collect::<Result<_, _>>()?,
        })
    }
}

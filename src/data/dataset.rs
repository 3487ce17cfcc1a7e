//! The prepared data set in memory: users' sequences in time order, the split, the catalogue.
//!
//! `prepare`, `synth` and [`Dataset::open`] make one; training, evaluation and recommendation read it. Items are numbered
//! 1..=I ([`ItemId`]); 0 is padding and never occurs in a sequence. Users are numbered 0..U.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::ids::ItemId;
use super::pictures;
use crate::config::TrainParts;

/// Units of [`Sequences::times`] per second.
pub const MICROS: i64 = 1_000_000;

/// What an interaction is used for. Within a sequence the parts follow each other in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Part {
    /// Seen in training.
    Train = 0,
    /// The validation target.
    Valid = 1,
    /// Between the validation target and the test target: history of the test target only (`global_time`).
    History = 2,
    /// The test target.
    Test = 3,
    /// After the test target: never read (`global_time`).
    Unused = 4,
}

impl Part {
    /// As files and reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::History => "history",
            Self::Test => "test",
            Self::Unused => "unused",
        }
    }
}

/// All users' interactions, user after user, each in time order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences {
    /// `offsets[u]..offsets[u + 1]` are user u's places in the arrays below.
    pub offsets: Vec<usize>,
    /// Item numbers ([`ItemId`]), 1..=I, as plain numbers that kernels take as they are.
    pub items: Vec<u32>,
    /// Unix time in microseconds; the position in the source where the log has no times.
    pub times: Vec<i64>,
    pub parts: Vec<Part>,
}

impl Sequences {
    /// U, the number of users.
    pub fn users(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Appends an interaction of the user whom the next [`Self::end_user`] ends.
    pub fn push(&mut self, item: ItemId, time: i64, part: Part) {
        self.items.push(item.0);
        self.times.push(time);
        self.parts.push(part);
    }

    /// Ends a user's interactions; the next ones belong to the next user.
    pub fn end_user(&mut self) {
        self.offsets.push(self.items.len());
    }

    /// Number of interactions of a part.
    pub fn count(&self, part: Part) -> usize {
        self.parts.iter().filter(|&&p| p == part).count()
    }

    /// User `u`'s item numbers in time order, every part.
    pub fn items_of(&self, u: usize) -> &[u32] {
        &self.items[self.offsets[u]..self.offsets[u + 1]]
    }

    /// The part of each of user `u`'s interactions.
    pub fn parts_of(&self, u: usize) -> &[Part] {
        &self.parts[self.offsets[u]..self.offsets[u + 1]]
    }

    /// The time of each of user `u`'s interactions, ascending.
    pub fn times_of(&self, u: usize) -> &[i64] {
        &self.times[self.offsets[u]..self.offsets[u + 1]]
    }

    /// User `u`'s training items, oldest first: the leading run of [`Part::Train`].
    pub fn train_of(&self, u: usize) -> &[u32] {
        let parts = self.parts_of(u);
        let n = parts.iter().take_while(|&&p| p == Part::Train).count();
        &self.items_of(u)[..n]
    }
}

/// The catalogue. Every vector has I + 1 entries; entry 0 is padding and empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// The source's own ids.
    pub ids: Vec<String>,
    /// Empty where the source gave none.
    pub titles: Vec<String>,
    /// All text fields joined by a space, title first; empty where the source gave none.
    pub texts: Vec<String>,
    pub categories: Vec<String>,
    /// Path or address of the picture; empty where there is none. Relative paths begin at `pictures_root`;
    /// [`Items::picture`] joins the two.
    pub images: Vec<String>,
    /// Further columns of the catalogue that `prepare --keep-column` asked for, in that order.
    pub kept: Vec<KeptColumn>,
    /// Absolute path of the folder at which relative picture paths begin: the catalogue's, that of the pictures'
    /// pattern, or the data set's own. Absent in data sets of an older version, whose paths begin at the working
    /// directory.
    pub pictures_root: Option<PathBuf>,
}

/// A catalogue column stored as the source gave it, for filters over items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptColumn {
    /// The source's own name of the column; none of [`Items::FIXED`].
    pub name: String,
    /// I + 1 entries; empty where the source gave none, and for padding. A list's elements are joined by `|`.
    pub values: Vec<String>,
}

impl Items {
    /// Names of the columns that every catalogue has, in the order of `items.parquet`.
    pub const FIXED: [&str; 5] = ["id", "title", "text", "category", "image"];

    /// I, the number of items without padding.
    pub fn count(&self) -> usize {
        self.ids.len().saturating_sub(1)
    }

    /// The fixed columns, in the order of [`Self::FIXED`].
    pub fn fixed(&self) -> [&Vec<String>; 5] {
        [&self.ids, &self.titles, &self.texts, &self.categories, &self.images]
    }

    /// Item numbers by raw id.
    pub fn numbers(&self) -> HashMap<&str, ItemId> {
        let ids = self.ids.iter().enumerate().skip(1);
        ids.map(|(n, id)| (id.as_str(), ItemId(n as u32))).collect()
    }

    /// The path of `item`'s picture, whether or not a file is there. Absent for items without a picture and for
    /// addresses.
    pub fn picture(&self, item: u32) -> Option<PathBuf> {
        pictures::locate(self.pictures_root.as_deref(), self.images.get(item as usize)?)
    }

    /// Moves the pictures to `root`: relative paths begin there, and so do absolute ones that lead to no file but would
    /// from there. Returns how many paths begin there now.
    pub fn move_pictures(&mut self, root: &Path) -> usize {
        let mut moved = 0;
        for image in self.images.iter_mut().filter(|image| !image.is_empty() && !pictures::is_address(image))
        {
            if Path::new(image).is_relative() {
                moved += 1;
            } else if let (false, Some(path)) =
                (Path::new(image).is_file(), pictures::find_below(root, image))
            {
                *image = path.display().to_string();
                moved += 1;
            }
        }
        self.pictures_root = Some(root.to_owned());
        moved
    }
}

/// One thing to predict: item `item` of user `user`, given the items before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub user: u32,
    /// The true next item.
    pub item: ItemId,
    /// Number of the user's items that precede it: its history is `items_of(user)[..position]`.
    pub position: u32,
}

/// What a data set's training part is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainedOn {
    pub parts: TrainParts,
    /// Whether the data set was split in time, which larger training parts no longer tell.
    pub split_in_time: bool,
}

impl Default for TrainedOn {
    fn default() -> Self {
        Self { parts: TrainParts::Train, split_in_time: false }
    }
}

/// A data set ready for training and evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The source's own user ids.
    pub users: Vec<String>,
    pub items: Items,
    pub sequences: Sequences,
    /// Whether times are times. Otherwise they are places in the source, which don't compare between users.
    pub timed: bool,
    /// Content hash of the data set's directory, which checkpoints and runs refer to.
    pub hash: String,
    /// What the training part is made of; that of the split unless [`Dataset::train_on`] was called.
    pub trained_on: TrainedOn,
}

impl Dataset {
    /// The targets of [`Part::Valid`] or [`Part::Test`], in user order.
    pub fn targets(&self, part: Part) -> Vec<Target> {
        let mut targets = Vec::new();
        for u in 0..self.sequences.users() {
            let found = self.sequences.parts_of(u).iter().position(|&p| p == part);
            if let Some(position) = found {
                let item = self.sequences.items_of(u)[position];
                targets.push(Target { user: u as u32, item: ItemId(item), position: position as u32 });
            }
        }
        targets
    }

    /// The items before a target, oldest first.
    pub fn history(&self, target: &Target) -> &[u32] {
        &self.sequences.items_of(target.user as usize)[..target.position as usize]
    }

    /// Number of items that occur as validation or test targets and nowhere in the training part: a model ranks them
    /// without ever having seen them. Items that occur nowhere do not count.
    pub fn target_only_items(&self) -> usize {
        let mut targets = vec![false; self.items.count() + 1];
        let each = self.sequences.items.iter().zip(&self.sequences.parts);
        for (&item, _) in each.filter(|(_, part)| matches!(part, Part::Valid | Part::Test)) {
            targets[item as usize] = true;
        }
        let counts = self.train_counts();
        counts.iter().zip(targets).filter(|&(&count, target)| target && count == 0).count()
    }

    /// How often each item occurs in the training part; entry 0 is 0.
    pub fn train_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.items.count() + 1];
        for u in 0..self.sequences.users() {
            for &item in self.sequences.train_of(u) {
                counts[item as usize] += 1;
            }
        }
        counts
    }

    /// Time of each item's first training interaction, in microseconds; absent for items without one and for padding,
    /// entry 0.
    pub fn first_training_times(&self) -> Vec<Option<i64>> {
        let mut first_times: Vec<Option<i64>> = vec![None; self.items.count() + 1];
        for u in 0..self.sequences.users() {
            for (&item, &time) in self.sequences.train_of(u).iter().zip(self.sequences.times_of(u)) {
                let first = &mut first_times[item as usize];
                *first = Some(first.map_or(time, |t| t.min(time)));
            }
        }
        first_times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each user is a list of (item, part); `count` items.
    fn dataset(count: usize, users: &[&[(u32, Part)]]) -> Dataset {
        let mut s = Sequences { offsets: vec![0], ..Sequences::default() };
        for &(item, part) in users.iter().copied().flatten() {
            s.items.push(item);
            s.parts.push(part);
            s.times.push(s.times.len() as i64);
        }
        s.offsets = users.iter().fold(vec![0], |mut ends, user| {
            ends.push(ends[ends.len() - 1] + user.len());
            ends
        });
        let empty = vec![String::new(); count + 1];
        let items = Items {
            ids: empty.clone(),
            titles: empty.clone(),
            texts: empty.clone(),
            categories: empty.clone(),
            images: empty,
            ..Items::default()
        };
        Dataset {
            users: vec![String::new(); users.len()],
            items,
            sequences: s,
            timed: true,
            hash: String::new(),
            trained_on: TrainedOn::default(),
        }
    }

    #[test]
    fn items_that_are_targets_alone_are_counted_once_each() {
        use Part::{History, Test, Train, Unused, Valid};
        // 4 and 5 are targets alone, 4 twice; 1 is a target and trained on elsewhere; 6 occurs nowhere.
        let users: [&[(u32, Part)]; 3] = [
            &[(1, Train), (2, Train), (4, Valid), (5, Test)],
            &[(2, Train), (3, Train), (1, Valid), (4, Test)],
            &[(3, Train)],
        ];
        assert_eq!(dataset(6, &users).target_only_items(), 2);
        // Interactions that only stand in a history, or after the test target, are neither.
        let users: [&[(u32, Part)]; 1] = [&[(1, Train), (2, Valid), (3, History), (4, Test), (5, Unused)]];
        assert_eq!(dataset(5, &users).target_only_items(), 2);
        assert_eq!(dataset(3, &[&[(1, Train), (2, Train), (3, Train)]]).target_only_items(), 0);
        assert_eq!(dataset(0, &[]).target_only_items(), 0);
    }
}

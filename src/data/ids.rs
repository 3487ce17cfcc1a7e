//! The numbers that users and items go by.
//!
//! One item has three numbers on its way from a file to a loss, and each has a type or a home of its own:
//!
//! 1. [`LogItem`], from 0 in order of first appearance in the log: from reading to filtering, inside `prepare`. Numbers of
//!    items that a filter drops stay unused.
//! 2. [`ItemId`], 1..=I in catalogue order: the row of the item in the data set's tables, in feature stores and in score
//!    vectors. 0 is padding. Long arrays of them ([`Sequences::items`](super::Sequences)) hold the plain `u32`, so that
//!    they go to kernels as they are.
//! 3. The column of the item among the distinct items of one batch, which `train::batch` assigns.

/// A user's number within the log, from 0 in order of first appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct LogUser(pub u32);

/// An item's number within the log, from 0 in order of first appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct LogItem(pub u32);

/// An item's number in the catalogue: 1..=I, or 0 for padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ItemId(pub u32);

impl LogUser {
    /// The user's place in arrays of the log's users.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl LogItem {
    /// The item's place in arrays of the log's items.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl ItemId {
    /// The number that no item has: it fills the places of short histories.
    pub const PADDING: Self = Self(0);

    /// The item's place in arrays of I + 1 entries, whose entry 0 is padding.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

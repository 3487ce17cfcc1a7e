//! The numbers that users and items go by.
//!
//! An item has these numbers on its way from a file to a loss and to a list:
//!
//! | number | from | what it is | where it holds |
//! | --- | --- | --- | --- |
//! | [`LogItem`] | 0 | order of first appearance in the log; numbers of items that a filter drops stay unused | `prepare`, from reading to numbering |
//! | [`ItemId`] | 1 to I | the catalogue's order, then items that it lacks; 0 is padding | everywhere behind `prepare`: tables of I + 1 entries, rows of feature stores and ID tables, scores. Long arrays ([`Sequences::items`](super::Sequences)) hold the plain `u32`, so that they go to kernels as they are |
//! | row of `items.parquet` | 0 | item number - 1: the file has no row for padding | the data set on disk |
//! | [`Column`](crate::model::Column) | 0 to U - 1 | place among the items that a batch encodes ([`ItemBlock::items`](crate::model::ItemBlock)): one of each distinct item, or one of each occurrence without `train.savings.distinct_items` | one batch: histories, labels and drawn items; padding of histories reads column 0 and is masked. Histories that drop a view go on from U: the copies of [`Masked`](crate::systems::codistill::masked::Masked) |
//! | eligible row | 1 to E | place among the items that training may see, ascending, padding first (`Sampler::eligible`); the item number where these are all | labels of the full softmax |
//! | place in the ID rows | 0 to V - 1 | place among the distinct rows that a batch reads of an ID table ([`IdRows::rows`](crate::model::IdRows)) | the gradient of one batch with `optim.id_table = "row_sparse"` |
//! | place among the chosen | 1 | place among the candidates of a [`Choice`](super::Choice), ascending; 0 for the others | ranking under a choice |
//! | row of a vector store | 0 | place in the store: the data set's items in their order, then new ones, which have no item number; lists count them from 1 | [`embed`](crate::embed), [`Mixed`](crate::recommend::Mixed) |
//!
//! A user has a [`LogUser`] while the log is read, and behind `prepare` a number from 0 on, in the same order without those
//! who were dropped.

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

//! On which terms a baseline is set beside a model: what it counts, what it reads, what it says of all other items.

use crate::data::Part;

/// Ends the name of a row that counts more than the judged model was trained on.
pub const KNOWS_VALIDATION: &str = " (knows validation)";

/// Which interactions are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// Those of the training part, for validation and test targets alike: what a model is trained on.
    #[default]
    Training,
    /// All that precede the targets of the judged part: for test targets the validation items as well, as for a model
    /// that was trained on both parts. For validation targets this is the training part.
    Preceding,
}

impl Known {
    /// The first part that is not counted where targets of `judged` are scored. Parts follow each other in time.
    pub(super) fn end(self, judged: Part) -> Part {
        match self {
            Self::Training => Part::Valid,
            Self::Preceding => judged,
        }
    }
}

/// What becomes of an item that a baseline has no score for: one that nothing in the history leads to, or that was never
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unscored {
    /// It ranks behind all items with a score, by popularity.
    #[default]
    Popular,
    /// It stands in no list, and a target without a score is missed.
    Missed,
}

/// The terms of a comparison. Those by default are a model's own: the training part is counted, the whole history is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    pub known: Known,
    /// Number of last history items that are read; absent: all of them.
    pub last: Option<usize>,
    pub unscored: Unscored,
}

impl Terms {
    /// The same, but with the validation items counted where test targets are scored.
    #[must_use]
    pub fn knowing_validation(self) -> Self {
        Self { known: Known::Preceding, ..self }
    }

    /// The name of a row under these terms: one that knows more says so.
    pub fn name(&self, baseline: &str) -> String {
        match self.known {
            Known::Training => baseline.to_owned(),
            Known::Preceding => format!("{baseline}{KNOWS_VALIDATION}"),
        }
    }

    /// The items of a history, oldest first, that are read.
    pub(super) fn read<'h>(&self, history: &'h [u32]) -> &'h [u32] {
        &history[self.last.map_or(0, |last| history.len().saturating_sub(last))..]
    }
}

/// Whether a row stands on equal terms with a model, by its name.
pub fn is_equal(name: &str) -> bool {
    !name.ends_with(KNOWS_VALIDATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_knows_more_says_so_and_is_not_equal() {
        let terms = Terms::default();
        assert_eq!(terms.name("item-knn"), "item-knn");
        let more = terms.knowing_validation().name("item-knn");
        assert_eq!(more, "item-knn (knows validation)");
        assert!(is_equal("item-knn") && !is_equal(&more));
        assert_eq!([Part::Valid, Part::Test].map(|p| Known::Training.end(p)), [Part::Valid; 2]);
        assert_eq!([Part::Valid, Part::Test].map(|p| Known::Preceding.end(p)), [Part::Valid, Part::Test]);
    }

    #[test]
    fn the_last_items_of_a_history_are_read() {
        let read = |last| Terms { last, ..Terms::default() }.read(&[1, 2, 3]).to_vec();
        assert_eq!((read(None), read(Some(2)), read(Some(9))), (vec![1, 2, 3], vec![2, 3], vec![1, 2, 3]));
    }
}

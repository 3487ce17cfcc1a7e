//! Settings of features that are replaced.

use crate::{choice, section};

section! {
    /// What stands in place of a view's features, in training and inference: a knock-out of what they tell.
    #[derive(Copy, Eq)]
    pub struct Replace {
        /// What is put there.
        pub kind: ReplaceKind,
        /// Draws are a function of this and of the run's seed, so that views of one seed are shuffled alike; up to
        /// 2⁶³ - 1.
        pub seed: u64 = 0,
    }
}

choice! {
    /// Replacements of token features. All but `shuffle` and `hidden` leave token counts and missing items as they are.
    pub enum ReplaceKind {
        /// Rows are permuted between items; tokens, lengths and missing items travel together.
        Shuffle = "shuffle",
        /// Every component is drawn once from a normal with mean 1 and deviation 0.1.
        Noise = "noise",
        /// Every component is drawn once from a normal with the mean and deviation of its column.
        Moments = "moments",
        /// As `moments`, but redrawn in every training step; one more draw serves evaluation.
        Fresh = "fresh",
        /// Every component is 1.
        Ones = "ones",
        /// Every component is 0.
        Zeros = "zeros",
        /// Every token is the mean token of the view.
        Mean = "mean",
        /// No item has this view: its learned missing token stands in everywhere.
        Hidden = "hidden",
    }
}

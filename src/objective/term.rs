//! What a term of an objective is, and what a forward pass gives to it.
//!
//! Shapes: `N` branches, `R` rows (real input positions), `U` columns (items of the batch), `K` drawn items, `D` width.

use std::fmt::Debug;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::kernels::losses::Candidates;
use crate::train::phase::Phase;

/// What a forward pass can give. Nothing is computed before a term asks for it, and nothing twice.
pub trait Forward {
    /// Names of the branches, in order.
    fn branches(&self) -> &[String];

    /// Catalogue numbers of the batch's items, U of them.
    fn block_items(&self) -> &[u32];

    /// Labels and weights of the rows' candidates.
    fn candidates(&self) -> &Arc<Candidates>;

    /// Vectors of the batch's items, `[U, D]` per branch.
    fn items(&self) -> Vec<Tensor<2>>;

    /// User vectors at the rows, `[R, D]` per branch.
    fn users(&self) -> Vec<Tensor<2>>;

    /// Dot products of users and candidates, `[N, R, U]`; `[N, R, 1 + K]` where candidates are drawn.
    fn scores(&self) -> Tensor<3>;

    /// Vectors of all items that training may see, `[E + 1, D]` per branch with padding first. Where a term asks for them, it asks before all others: the
    /// batch's items are then looked up among them. Empty where a branch has none without a pass over all features.
    fn catalogue(&self) -> Vec<Tensor<2>>;

    /// Scores that the finished run number `n` of `objective.distill.teachers` has for the rows' candidates: the mean of
    /// its branches' dot products, in the shape of one branch's [`Self::scores`], without gradient.
    ///
    /// # Panics
    /// It was not opened before ([`crate::train::System::open_teachers`]).
    fn teacher(&self, n: usize) -> Tensor<2>;
}

/// Loss of one term, in named parts.
pub struct TermLosses {
    /// `[1]`: what the term adds to the objective.
    pub total: Tensor<1>,
    /// `[P]`: its parts before they are weighted, without gradient.
    pub parts: Tensor<1>,
    /// P tags below `train/`.
    pub names: Arc<[String]>,
    /// Further figures that the host knows, by tag below `train/`.
    pub figures: Vec<(&'static str, f64)>,
}

/// One term of an objective. Terms that are cheaper together stand as one, under several names.
pub trait Term: Debug + Send + Sync {
    /// Names by which a stage of the training chooses the term.
    fn names(&self) -> Vec<String>;

    /// Whether the rows choose from the whole catalogue.
    fn reads_catalogue(&self) -> bool {
        false
    }

    /// Whether the term is computed at all.
    fn counts(&self, phase: Phase<'_>) -> bool {
        self.names().iter().any(|name| phase.counts(name))
    }

    /// Losses of a micro-batch in which the term counts.
    fn losses(&self, forward: &dyn Forward, phase: Phase<'_>) -> TermLosses;
}

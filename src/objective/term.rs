//! What a term of an objective is, and what a forward pass gives to it.
//!
//! Shapes: `N` branches, `R` rows (real input positions), `U` columns (items of the batch), `K` drawn items, `D` width,
//! `E` items that training may see.
//!
//! What the in-batch softmax calls logits is `scores - log_popularity + log_weight`, over a row's columns; its label has the
//! log-weight 0, the user's other items are [blocked](super::BLOCKED) (docs/odmt.md, section 3.2).

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

    /// Labels and weights of the rows' candidates. With `objective.kind` `in_batch`, labels are columns of
    /// [`Self::scores`]; with `sampled` and `gbce` the label is column 0, and the others are drawn items. With `full`, labels
    /// are rows of [`Self::catalogue`] and there is nothing else: no term that reads more is opened beside it
    /// ([`Term::reads_candidates`]).
    fn candidates(&self) -> &Arc<Candidates>;

    /// Vectors of the batch's items, `[U, D]` per branch.
    fn items(&self) -> Vec<Tensor<2>>;

    /// User vectors at the rows, `[R, D]` per branch.
    fn users(&self) -> Vec<Tensor<2>>;

    /// Dot products of users and candidates, `[N, R, U]`; `[N, R, 1 + K]` where candidates are drawn.
    fn scores(&self) -> Tensor<3>;

    /// Vectors of all items that training may see, `[E + 1, D]` per branch with padding first. The batch's items are then
    /// looked up among them. For terms that say so ([`Term::reads_catalogue`]), so that a model which has no such vectors
    /// is refused.
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
    /// `[P]`: its parts before they are weighted, without gradient (`.inner()`).
    pub parts: Tensor<1>,
    /// P tags below `train/`, e.g. `loss/align`, with the term's name, so that those of terms of different kinds differ. Those
    /// of the second entry of a kind in `[[objective.terms]]` get `_2` at their end, of the third `_3`, in every stage.
    pub tags: Arc<[String]>,
    /// Further figures that the host knows, by tag below `train/`. They get no number: a term that may stand twice in a
    /// configuration tells its figures as parts.
    pub figures: Vec<(&'static str, f64)>,
}

/// One term of an objective. Terms that are cheaper together stand as one, under several names.
pub trait Term: Debug + Send + Sync {
    /// Names by which a stage of the training chooses the term; of an entry of `[[objective.terms]]`, its `kind`.
    fn names(&self) -> Vec<String>;

    /// Whether [`Forward::catalogue`] is read. It is then computed before everything else. Only branches that read an ID
    /// view without a tower have such vectors.
    fn reads_catalogue(&self) -> bool {
        false
    }

    /// Whether [`Forward::scores`] and [`Forward::candidates`] are read, which `objective.kind = "full"` has not. A term
    /// that reads vectors alone says no.
    fn reads_candidates(&self) -> bool {
        true
    }

    /// Whether the term is computed at all.
    fn is_active(&self, phase: Phase<'_>) -> bool {
        self.names().iter().any(|name| phase.is_active(name))
    }

    /// Losses of a micro-batch in which the term is active.
    fn losses(&self, forward: &dyn Forward, phase: Phase<'_>) -> TermLosses;
}

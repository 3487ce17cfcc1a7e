//! Lists from a trained run, for programs that answer requests: everything is owned and may be shared by threads, the
//! catalogue is encoded once, and ranking is the evaluator's.
//!
//! Shapes: `N` histories, `I` items, `D` width.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Run, RunError};
use crate::data::Dataset;
use crate::eval::inner_product::quantized::MAX_WIDTH;
use crate::eval::inner_product::{Catalogue, Query, View};
use crate::memory::Memory;
use crate::model::Recommender;
use crate::params;
use crate::recommend::scorer::Users;
use crate::recommend::{CatalogueVectors, ModelScorer};
use crate::systems::{CoDistill, Fitted};
use crate::train::setup::{Setup, whole_dataset};

/// Why there is no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("the data set has no user `{0}`")]
    UnknownUser(String),
    #[error("the catalogue has no item `{0}`")]
    UnknownItem(String),
}

/// An item of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    pub item: &'a str,
    /// Empty where the catalogue has none.
    pub title: &'a str,
    /// The mean of the branches' inner products, by which the list is ordered.
    pub score: f32,
}

/// A trained model that makes lists, of the best checkpoint or of whichever [`Run::open`] was asked for.
///
/// Every item of the data set can be listed and is scored by the vectors of all branches. An item that no training window
/// reads, as one that `data.cold` holds out, has an ID vector that was never trained; its score is of little worth where
/// there is an ID branch. [`crate::embed`] serves such items by what stands in for that vector.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use codistill::run::{Lists, OpenOptions, Run};
///
/// # let home = tempfile::tempdir()?;
/// # let text = std::fs::read_to_string("configs/quickstart.toml")?;
/// # let sets = [format!("run.dir={}", home.path().display()), "device=cpu".into(), "data.synth.users=120".into(),
/// #     "data.synth.items=80".into(), "model.width=8".into(), "train.epochs=1".into()];
/// # let config = codistill::config::parse(&text, "quickstart.toml".as_ref(), &sets)?.config;
/// # let run_dir = codistill::run::train(config, &false.into())?.dir.root;
/// let run = Run::open(&run_dir, &OpenOptions { device: "cpu".into(), ..OpenOptions::default() })?;
/// let lists = Lists::new(run)?;
/// let user = lists.users()[0].clone();
/// for entry in lists.recommend(&user, 5)? {
///     println!("{:.3} {} {}", entry.score, entry.item, entry.title);
/// }
/// // Somebody who is new, by what they took so far.
/// let seen = lists.recommend(&user, 2)?.iter().map(|entry| entry.item.to_owned()).collect::<Vec<_>>();
/// assert_eq!(lists.recommend_after(&seen, 3)?.len(), 3);
/// # Ok(())
/// # }
/// ```
pub struct Lists {
    system: Arc<CoDistill>,
    model: Recommender,
    vectors: CatalogueVectors,
    catalogue: Catalogue,
    memory: Option<Arc<Memory>>,
    /// Of a run that held items out: what users had of them, which its own data set no longer tells.
    whole: Option<Dataset>,
    items: HashMap<String, u32>,
    users: HashMap<String, usize>,
}

impl Lists {
    /// Encodes the catalogue of a run: a forward pass of the item tower for every item, by far the longest part of the work.
    /// It keeps each branch's `[I + 1, D]` vectors in 32 bits, on the device and on the host, and rounded ones. A list is
    /// then one pass of the user encoders and one over the vectors.
    ///
    /// # Errors
    /// - [`RunError::NoVectors`]: the run's system has no item vectors.
    /// - [`RunError::NotFinite`]: a vector is not finite, since the training diverged.
    /// - [`RunError::TooWide`]: the vectors have more entries than the ranking takes.
    /// - [`RunError::System`]: the data set with the items that were held out can't be read.
    pub fn new(run: Run) -> Result<Self, RunError> {
        run.codistill()?;
        let Ok(fitted) = run.model.into_any().downcast::<Fitted<CoDistill>>() else {
            let kind = run.checkpoint.config.system.kind.clone();
            return Err(RunError::NoVectors { run: run.dir.root, kind });
        };
        let Fitted { system, model } = *fitted;
        let vectors = system.catalogue(&model);
        let rows = vectors.branches.iter().cloned().map(params::host).collect();
        let width = model.config().width;
        if width > MAX_WIDTH {
            return Err(RunError::TooWide { run: run.dir.root.clone(), width, most: MAX_WIDTH });
        }
        let catalogue =
            Catalogue::new(rows, width).ok_or_else(|| RunError::NotFinite { run: run.dir.root.clone() })?;
        let whole = whole_dataset(&system.setup)?;
        let dataset = &system.setup.dataset;
        let items = (1u32..).zip(&dataset.items.ids[1..]).map(|(item, id)| (id.clone(), item)).collect();
        let users = dataset.users.iter().enumerate().map(|(user, id)| (id.clone(), user)).collect();
        let memory = system.memory();
        Ok(Self { system, model, vectors, catalogue, memory, whole, items, users })
    }

    /// The ids of all users of the data set.
    pub fn users(&self) -> &[String] {
        &self.setup().dataset.users
    }

    fn setup(&self) -> &Setup {
        &self.system.setup
    }

    /// The best `k` items for a user of the data set that they haven't had, best first, ties by item number. The model reads
    /// the last `data.max_seq_len` items of the user's whole history, validation and test items included.
    ///
    /// There are fewer than `k` where fewer items are left, and none for a user without a history, of whom the model knows
    /// nothing ([`crate::recommend::Popular`] has items for them). Where the run held items out (`data.cold`), the history
    /// is without them, as the training was, and what the user had of them is not listed either.
    ///
    /// # Errors
    /// There is no such user.
    pub fn recommend(&self, user: &str, k: usize) -> Result<Vec<Entry<'_>>, ListError> {
        let number = self.users.get(user).ok_or_else(|| ListError::UnknownUser(user.to_owned()))?;
        let had = self.whole.as_ref().map_or(&[][..], |whole| whole.sequences.items_of(*number));
        Ok(self.list(self.setup().dataset.sequences.items_of(*number), had, k))
    }

    /// The best `k` items after a history of item ids, oldest first, of which none is listed; fewer than `k` where fewer are
    /// left. Empty after an empty history, of which the model knows nothing.
    ///
    /// # Errors
    /// An id is not in the catalogue.
    pub fn recommend_after<T: AsRef<str>>(
        &self,
        history: &[T],
        k: usize,
    ) -> Result<Vec<Entry<'_>>, ListError> {
        let number = |id: &T| {
            let found = self.items.get(id.as_ref()).copied();
            found.ok_or_else(|| ListError::UnknownItem(id.as_ref().to_owned()))
        };
        let history: Vec<u32> = history.iter().map(number).collect::<Result<_, _>>()?;
        Ok(self.list(&history, &[], k))
    }

    /// The best items after `history`; neither its items nor those of `had` are listed.
    fn list(&self, history: &[u32], had: &[u32], k: usize) -> Vec<Entry<'_>> {
        let items = &self.setup().dataset.items;
        let masked: BTreeSet<u32> = history.iter().chain(had).copied().collect();
        let masked: Vec<u32> = masked.into_iter().collect();
        // Nobody asks for the rank of this one; it only must be a candidate.
        let free = (1..=items.count() as u32).find(|item| masked.binary_search(item).is_err());
        let (Some(target), false) = (free, history.is_empty()) else { return Vec::new() };
        let users = self.ranked_by(history);
        let view = if self.memory.is_some() { View::Ensemble } else { View::all(users.vectors.len())[0] };
        let added = users.added.first().map_or(&[][..], Vec::as_slice);
        let query = Query { target, masked: &masked, added };
        let k = k.min(items.count() - masked.len());
        let found = self.catalogue.rank(&[view], &users.vectors, &[query], k);
        let user: Vec<&[f32]> = users.vectors.iter().map(Vec::as_slice).collect();
        let entry = |&item: &u32| Entry {
            item: &items.ids[item as usize],
            title: &items.titles[item as usize],
            score: self.catalogue.exact_score(view, &user, item) + query.addition(view, item),
        };
        found[0][0].best.iter().take(k).map(entry).collect()
    }

    /// What a history is ranked by.
    fn ranked_by(&self, history: &[u32]) -> Users {
        let setup = self.setup();
        let (positions, memory) = (setup.config.data.max_seq_len, self.memory.clone());
        ModelScorer::new(&self.model, &self.vectors, memory, None, positions, &setup.device)
            .ranked_by(&[history])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_may_share_lists() {
        fn shared<T: Send + Sync>() {}
        shared::<Lists>();
    }
}

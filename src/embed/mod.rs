//! Vectors of new items without retraining, in a store of numbered generations (docs/studies.md, section 6).
//!
//! Reading order: `item` (files of new items), `encoders` (their features), `cold` with `ridge` (rules for missing ID
//! vectors), `encode` (vectors by the trained model), `generation` and `store` (files), `canary` (the check that
//! vectors and model belong together), and [`Embedder`], which combines them. [`crate::recommend::mixed`] makes the
//! scores of new and old items comparable.

pub mod canary;
pub mod cold;
pub mod encode;
pub mod encoders;
mod error;
mod generation;
pub mod item;
mod ridge;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

pub use cold::{ColdId, ColdRule};
pub use encode::token_views;
pub use error::EmbedError;
pub use item::{ItemFile, NewItem, Shape, TokenView, read_items};
pub use store::Snapshot;

use crate::model::Recommender;
use crate::recommend::{Calibration, MixedScorer};
use crate::systems::CoDistill;
use crate::train::System;
use canary::Canary;
use cold::Parts;
use store::{Change, Description, Head, Row, Writer};

/// Writes a trained model's vectors to a store, and opens the store for the model.
pub struct Embedder<'a> {
    pub system: &'a CoDistill,
    /// The model, without autodiff.
    pub model: &'a Recommender,
    /// Content hash of its checkpoint.
    pub hash: &'a str,
}

impl Embedder<'_> {
    /// Writes the first generation: vectors of the whole catalogue, the rule for new items, and the canary.
    ///
    /// # Errors
    /// There is a store already, the rule does not fit the model, or a file can't be written.
    pub fn build(&self, dir: &Path, kind: ColdId, min_events: u32) -> Result<Snapshot, EmbedError> {
        let writer = Writer::create(dir)?;
        if !store::generations(dir)?.is_empty() {
            return Err(EmbedError::StoreExists(dir.to_owned()));
        }
        let system = self.system;
        let rule = ColdRule::fit(system, self.model, kind, min_events)?;
        let (_, encoded) = encode::catalogue(system, self.model, &rule);
        let counts = system.window_counts();
        let items = &system.setup.dataset.items;
        let each = encoded.live.iter().zip(&encoded.missing).enumerate();
        let rows = each.map(|(n, (live, missing))| Row {
            id: items.ids[n + 1].clone(),
            title: items.titles[n + 1].clone(),
            category: items.categories[n + 1].clone(),
            kept: BTreeMap::new(),
            image: items.images[n + 1].clone(),
            trained: counts[n + 1] > 0,
            live: live.clone(),
            missing: missing.clone(),
            alike: BTreeMap::new(),
            generation: 1,
            offered: true,
        });
        let change = Change { rows: rows.collect(), vectors: encoded.branches, deleted: Vec::new() };
        let canary = self.recorded(&change);
        let head = Head { catalogue: items.count(), rule, canary };
        writer.write_whole(writer.draft(1)?, self.description(), &head, change)
    }

    /// Adds items with their features ([`encoders::fill_features`]), or replaces existing ones.
    ///
    /// # Errors
    /// The store is another model's, features don't fit, or a file can't be written. The store is then unchanged.
    pub fn append(&self, dir: &Path, items: &[NewItem]) -> Result<Snapshot, EmbedError> {
        let writer = Writer::lock(dir)?;
        let mut snapshot = self.open(dir)?;
        let counts = self.system.window_counts();
        let trained = |item: u32| counts.get(item as usize).is_some_and(|&n| n > 0);
        let known: Vec<Option<u32>> =
            items.iter().map(|item| snapshot.item(&item.id).filter(|&n| trained(n))).collect();
        let draft = writer.draft(snapshot.description.generation + 1)?;
        let rule = &snapshot.head.rule;
        let features = draft.features();
        let encoded = encode::encode(self.system, self.model, rule, items, &known, &features)?;
        writer.write_next(draft, &mut snapshot, Change::new(items, &known, encoded))?;
        Ok(snapshot)
    }

    /// Opens a store for this model, and checks hashes, widths and the canary.
    ///
    /// # Errors
    /// The store is damaged or another model's, or the canary fails.
    pub fn open(&self, dir: &Path) -> Result<Snapshot, EmbedError> {
        let snapshot = Snapshot::open(dir)?;
        let (theirs, ours) = (&snapshot.description, self.description());
        let other = |what, theirs: &str, ours: &str| EmbedError::OtherParent {
            dir: dir.to_owned(),
            what,
            theirs: theirs.to_owned(),
            ours: ours.to_owned(),
        };
        if theirs.model != ours.model {
            return Err(other("model", &theirs.model, &ours.model));
        }
        // With other inputs accepted, the model's own store may be used as long as its first rows are the same items.
        let accepted = !self.system.setup.accepted.is_empty() && self.lists_the_catalogue(&snapshot);
        if theirs.dataset != ours.dataset && !accepted {
            return Err(other("data set", &theirs.dataset, &ours.dataset));
        }
        for (view, theirs) in theirs.features.iter().filter(|_| !accepted) {
            let ours = ours.features.get(view).map_or("none", String::as_str);
            if theirs != ours {
                return Err(EmbedError::OtherFeatures {
                    dir: dir.to_owned(),
                    view: view.clone(),
                    theirs: theirs.clone(),
                    ours: ours.to_owned(),
                });
            }
        }
        let shape = |description: &Description| {
            format!("{} of width {}", description.branches.join(", "), description.width)
        };
        let rule_fits = snapshot.head.rule.fits(&Parts::new(self.model));
        if theirs.branches != ours.branches || theirs.width != ours.width || !rule_fits {
            let (theirs, ours) = (shape(theirs), shape(&ours));
            return Err(EmbedError::OtherBranches { dir: dir.to_owned(), theirs, ours });
        }
        let mixed = snapshot.mixed(&self.system.setup.device);
        snapshot.head.canary.check(&snapshot, &self.scorer(&mixed))?;
        Ok(snapshot)
    }

    /// Whether the first rows of a snapshot are the data set's items in their order.
    fn lists_the_catalogue(&self, snapshot: &Snapshot) -> bool {
        let items = &self.system.setup.dataset.items;
        let ids = snapshot.rows[..snapshot.head.catalogue].iter().map(|row| &row.id);
        items.count() == snapshot.head.catalogue && items.ids.iter().skip(1).eq(ids)
    }

    /// Number of catalogue items that are marked as trained though no training window reads them, as in stores of older
    /// versions.
    pub fn mistaken(&self, snapshot: &Snapshot) -> usize {
        let trained = self.system.window_counts();
        let rows = snapshot.rows.iter().zip(trained.iter().skip(1));
        rows.filter(|(row, trained)| row.trained && **trained == 0).count()
    }

    /// A scorer of a snapshot's items.
    pub fn scorer<'a>(&'a self, mixed: &'a crate::recommend::Mixed) -> MixedScorer<'a> {
        let s = self.system.setup.config.data.max_seq_len;
        let (memory, device) = (self.system.memory(), &self.system.setup.device);
        MixedScorer::new(self.model, mixed, memory, None, s, Calibration::default(), device)
    }

    fn description(&self) -> Description {
        let config = self.model.config();
        Description {
            generation: 1,
            parent: None,
            model: self.hash.to_owned(),
            dataset: self.system.setup.dataset.hash.clone(),
            features: self.system.parents().features.clone(),
            branches: config.branches.iter().map(|b| b.name.clone()).collect(),
            width: config.width,
            rows: 0,
            deleted: 0,
        }
    }

    /// A canary with the results of the catalogue's vectors.
    fn recorded(&self, change: &Change) -> Canary {
        let system = self.system;
        let mut canary =
            Canary::draw(&system.setup.dataset, system.window_counts(), system.setup.config.data.max_seq_len);
        let mixed = crate::recommend::Mixed::new(
            &change.vectors,
            self.model.config().width,
            change.rows.iter().map(|row| row.trained).collect(),
            change.rows.iter().map(|row| row.live.clone()).collect(),
            vec![true; change.rows.len()],
            &system.setup.device,
        );
        canary.record(&self.scorer(&mixed));
        canary
    }
}

/// Deletes items. Those of the catalogue may still occur in histories; appended ones become unknown.
///
/// # Errors
/// An item is unknown, or a file can't be written. The store is then unchanged.
pub fn delete(dir: &Path, ids: &[String]) -> Result<Snapshot, EmbedError> {
    let writer = Writer::lock(dir)?;
    let mut snapshot = Snapshot::open(dir)?;
    let found = snapshot.find(ids)?;
    let ids: Vec<String> = found.iter().map(|&item| snapshot.rows[item as usize - 1].id.clone()).collect();
    let draft = writer.draft(snapshot.description.generation + 1)?;
    let vectors = vec![Vec::new(); snapshot.description.branches.len()];
    let change = Change { rows: Vec::new(), vectors, deleted: ids };
    writer.write_next(draft, &mut snapshot, change)?;
    Ok(snapshot)
}

/// Merges all generations into one.
///
/// # Errors
/// The store is damaged, or a file can't be written. The store is then unchanged.
pub fn compact(dir: &Path) -> Result<Snapshot, EmbedError> {
    let writer = Writer::lock(dir)?;
    let snapshot = Snapshot::open(dir)?;
    writer.compact(&snapshot)
}

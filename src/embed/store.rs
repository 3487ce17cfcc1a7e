//! The vector store: a directory of immutable generations, each of which holds its changes only.
//!
//! `generation-00000001` holds the catalogue. A later one records its parent's content hash and holds added or replaced
//! rows, their features, and the ids that were deleted. A generation is written atomically, so that a killed writer
//! leaves the previous one as the newest. A reader loads the newest chain into memory, independent of later writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::EmbedError;
use super::generation::{self, Generation, ROWS, read_json};
pub use super::generation::{Change, Description, Head, Row};
use crate::artefact::{self, Makes, Staging, io_error, json_line};
use crate::lock::DirLock;
use crate::memory::{Alike, Memory};

const PREFIX: &str = "generation-";
const HEAD: &str = "head.json";
/// Folder of a generation's token features, one store per view.
const FEATURES: &str = "features";

/// The state of a store at one generation, in memory.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub dir: PathBuf,
    /// Description of the newest generation.
    pub description: Description,
    /// Content hash of the newest generation.
    pub hash: String,
    pub head: Head,
    /// Row n is item n + 1.
    pub rows: Vec<Row>,
    /// Vectors of each branch, `[rows, D]`.
    pub vectors: Vec<Vec<f32>>,
    /// Warning that the store is not locked, where the file system has no locks.
    pub unguarded: Option<String>,
    /// Ids of deleted appended items whose rows are still on disk until `compact`.
    pub dropped: BTreeSet<String>,
    /// Maps ids to rows.
    index: HashMap<String, usize>,
}

/// The exclusive writer of a store.
pub struct Writer {
    dir: PathBuf,
    lock: DirLock,
}

/// A generation under construction.
pub struct Draft {
    staging: Staging,
    generation: u32,
}

impl Draft {
    /// Folder for the feature stores of the generation's items.
    pub fn features(&self) -> PathBuf {
        self.staging.path(FEATURES)
    }
}

impl Writer {
    /// Creates the directory of a new store if it is missing, and locks it.
    ///
    /// # Errors
    /// Another process writes to it, it can't be created, or it is or lies inside another artefact.
    pub fn create(dir: &Path) -> Result<Self, EmbedError> {
        artefact::may_make(dir, Makes::Vectors)?;
        fs::create_dir_all(dir).map_err(io_error(dir))?;
        Self::hold(dir)
    }

    /// Locks a store.
    ///
    /// # Errors
    /// There is none, or another process writes to it.
    pub fn lock(dir: &Path) -> Result<Self, EmbedError> {
        if generations(dir)?.is_empty() {
            return Err(EmbedError::NoStore(dir.to_owned()));
        }
        Self::hold(dir)
    }

    fn hold(dir: &Path) -> Result<Self, EmbedError> {
        let lock = DirLock::take(dir, "embed")?;
        // With the lock held, what killed writers left can be removed.
        artefact::sweep(dir);
        Ok(Self { dir: dir.to_owned(), lock })
    }

    /// Starts generation `number`.
    ///
    /// # Errors
    /// It exists, or can't be written.
    pub fn draft(&self, number: u32) -> Result<Draft, EmbedError> {
        let staging = Staging::create(&self.dir.join(name(number)))?;
        Ok(Draft { staging, generation: number })
    }

    /// Writes a generation that is complete by itself.
    ///
    /// # Errors
    /// It can't be written; nothing of it then remains.
    pub fn write_whole(
        &self,
        draft: Draft,
        description: Description,
        head: &Head,
        change: Change,
    ) -> Result<Snapshot, EmbedError> {
        draft.staging.write(HEAD, &json_line(HEAD, head)?)?;
        let (description, hash, change) = generation::commit(
            draft.staging,
            draft.generation,
            Description { parent: None, ..description },
            change,
        )?;
        let mut snapshot = Snapshot {
            dir: self.dir.clone(),
            description,
            hash,
            head: head.clone(),
            rows: Vec::new(),
            vectors: vec![Vec::new(); change.vectors.len()],
            unguarded: self.lock.warning().map(str::to_owned),
            dropped: BTreeSet::new(),
            index: HashMap::new(),
        };
        snapshot.apply(change);
        Ok(snapshot)
    }

    /// Writes the generation after `snapshot`, and updates `snapshot` to it.
    ///
    /// # Errors
    /// It can't be written; nothing of it then remains.
    pub fn write_next(
        &self,
        draft: Draft,
        snapshot: &mut Snapshot,
        change: Change,
    ) -> Result<(), EmbedError> {
        let description = Description { parent: Some(snapshot.hash.clone()), ..snapshot.description.clone() };
        let (description, hash, change) =
            generation::commit(draft.staging, draft.generation, description, change)?;
        (snapshot.description, snapshot.hash) = (description, hash);
        snapshot.unguarded = self.lock.warning().map(str::to_owned);
        snapshot.apply(change);
        Ok(())
    }

    /// Writes `snapshot` as one complete generation and removes the older ones, with their features and with deleted
    /// appended items.
    ///
    /// # Errors
    /// It can't be written; the older generations then remain.
    pub fn compact(&self, snapshot: &Snapshot) -> Result<Snapshot, EmbedError> {
        let change =
            Change { rows: snapshot.rows.clone(), vectors: snapshot.vectors.clone(), deleted: Vec::new() };
        let draft = self.draft(snapshot.description.generation + 1)?;
        let whole = self.write_whole(draft, snapshot.description.clone(), &snapshot.head, change)?;
        for number in generations(&self.dir)?.into_iter().filter(|&n| n < whole.description.generation) {
            artefact::remove(&self.dir.join(name(number)))?;
        }
        Ok(whole)
    }
}

impl Snapshot {
    /// Opens the newest generation and its ancestors, and checks every hash and size.
    ///
    /// # Errors
    /// There is no store, or a generation is damaged or missing.
    pub fn open(dir: &Path) -> Result<Self, EmbedError> {
        // A compaction may remove what was just listed; there is then a newer generation.
        loop {
            let newest = generations(dir)?.pop();
            match Self::read(dir) {
                Err(_) if generations(dir)?.pop() != newest => {}
                result => return result,
            }
        }
    }

    fn read(dir: &Path) -> Result<Self, EmbedError> {
        let Some(newest) = generations(dir)?.pop() else { return Err(EmbedError::NoStore(dir.to_owned())) };
        let mut chain = Vec::new();
        let mut number = newest;
        loop {
            let generation = Generation::read(&dir.join(name(number)))?;
            let stands_alone = generation.description.parent.is_none();
            let broken = EmbedError::BrokenChain { dir: dir.to_owned(), generation: number };
            if generation.description.generation != number {
                return Err(broken);
            }
            chain.push(generation);
            if stands_alone {
                break;
            }
            number = number.checked_sub(1).filter(|&n| n > 0).ok_or(broken)?;
        }
        let Some(base) = chain.pop() else { return Err(EmbedError::NoStore(dir.to_owned())) };
        let head: Head = read_json(&dir.join(name(number)).join(HEAD))?;
        let path = dir.join(name(number)).join(ROWS);
        if base.change.rows.len() < head.catalogue || !head.canary.fits(head.catalogue) {
            let reason = format!("its {} rows don't fit {HEAD}", base.change.rows.len());
            return Err(EmbedError::Malformed { path, reason });
        }
        let mut snapshot = Self {
            dir: dir.to_owned(),
            description: base.description,
            hash: base.hash,
            head,
            rows: Vec::new(),
            vectors: vec![Vec::new(); base.change.vectors.len()],
            unguarded: None,
            dropped: BTreeSet::new(),
            index: HashMap::new(),
        };
        snapshot.apply(base.change);
        for next in chain.into_iter().rev() {
            let follows = next.description.parent.as_ref() == Some(&snapshot.hash)
                && (
                    &next.description.model,
                    &next.description.dataset,
                    &next.description.branches,
                    next.description.width,
                ) == (
                    &snapshot.description.model,
                    &snapshot.description.dataset,
                    &snapshot.description.branches,
                    snapshot.description.width,
                );
            if !follows {
                let generation = next.description.generation;
                return Err(EmbedError::BrokenChain { dir: dir.to_owned(), generation });
            }
            (snapshot.description, snapshot.hash) = (next.description, next.hash);
            snapshot.apply(next.change);
        }
        Ok(snapshot)
    }

    fn apply(&mut self, change: Change) {
        let d = self.description.width;
        for (n, row) in change.rows.into_iter().enumerate() {
            self.dropped.remove(&row.id);
            let next = self.rows.len();
            let place = *self.index.entry(row.id.clone()).or_insert(next);
            if place == next {
                self.vectors.iter_mut().for_each(|all| all.resize(all.len() + d, 0.0));
                self.rows.push(row.clone());
            }
            for (all, new) in self.vectors.iter_mut().zip(&change.vectors) {
                all[place * d..(place + 1) * d].copy_from_slice(&new[n * d..(n + 1) * d]);
            }
            self.rows[place] = row;
        }
        self.delete(&change.deleted);
    }

    /// Deletes items. An item of the catalogue stops being a candidate and keeps its row for histories; an appended one
    /// becomes unknown.
    fn delete(&mut self, ids: &[String]) {
        let mut gone = vec![false; self.rows.len()];
        for &place in ids.iter().filter_map(|id| self.index.get(id)) {
            self.rows[place].offered = false;
            gone[place] = place >= self.head.catalogue;
        }
        if !gone.contains(&true) {
            return;
        }
        let ids = self.rows.iter().zip(&gone).filter(|(_, gone)| **gone).map(|(row, _)| row.id.clone());
        self.dropped.extend(ids);
        let d = self.description.width;
        let kept = || (0..gone.len()).filter(|&n| !gone[n]);
        for all in &mut self.vectors {
            *all = kept().flat_map(|n| all[n * d..(n + 1) * d].iter().copied()).collect();
        }
        self.rows = kept().map(|n| self.rows[n].clone()).collect();
        self.index = self.rows.iter().enumerate().map(|(n, row)| (row.id.clone(), n)).collect();
    }

    /// Number of an item, from 1.
    pub fn item(&self, id: &str) -> Option<u32> {
        self.index.get(id).map(|&row| row as u32 + 1)
    }

    /// What a memory of the catalogue knows of these items: appended ones are like some of it.
    #[must_use]
    pub fn remembered(&self, memory: Option<Arc<Memory>>) -> Option<Arc<Memory>> {
        let appended: Vec<&Alike> = self.rows[self.head.catalogue..].iter().map(|row| &row.alike).collect();
        let memory = memory?;
        Some(if appended.is_empty() { memory } else { Arc::new(memory.joined(&appended)) })
    }

    /// Number of appended items.
    pub fn appended(&self) -> usize {
        self.rows[self.head.catalogue..].iter().filter(|row| row.offered).count()
    }

    /// Share of the candidates with features, for each view that some lack.
    pub fn coverage(&self) -> BTreeMap<&str, f64> {
        let offered: Vec<&Row> = self.rows.iter().filter(|row| row.offered).collect();
        let mut lacking: BTreeMap<&str, usize> = BTreeMap::new();
        for view in offered.iter().flat_map(|row| &row.missing) {
            *lacking.entry(view).or_default() += 1;
        }
        lacking.into_iter().map(|(view, n)| (view, 1.0 - n as f64 / offered.len() as f64)).collect()
    }

    /// Numbers of the candidates with these ids. Ids are trimmed, unless the store has them untrimmed.
    ///
    /// # Errors
    /// An id is not that of a candidate.
    pub fn find(&self, ids: &[String]) -> Result<Vec<u32>, EmbedError> {
        let one = |id: &String| {
            let item = self.item(id).or_else(|| self.item(id.trim()));
            let offered = item.filter(|&item| self.rows[item as usize - 1].offered);
            offered.ok_or_else(|| EmbedError::UnknownItem { id: id.clone() })
        };
        ids.iter().map(one).collect()
    }
}

fn name(number: u32) -> String {
    format!("{PREFIX}{number:08}")
}

/// Numbers of the generations in `dir`, ascending; empty if there is no such directory.
///
/// # Errors
/// The directory can't be read.
pub fn generations(dir: &Path) -> Result<Vec<u32>, EmbedError> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io_error(dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let file = entry.map_err(io_error(dir))?.file_name();
        let number = file.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|n| n.parse().ok());
        found.extend(number.filter(|&n| file.to_str() == Some(&name(n))));
    }
    found.sort_unstable();
    Ok(found)
}

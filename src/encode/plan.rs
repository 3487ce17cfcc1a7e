//! The plan of a run: the inputs of a data set, those that several items share, and their batches.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::EncodeError;
use super::encoder::{Encoder, Ready};
use super::families::Modality;
use super::job::{Job, SharedPictures};
use super::partial::Row;
use crate::data::pictures::{self, same_files};
use crate::data::{Dataset, Items};
use crate::features::{MANY, Shared};

/// Most characters of a text that are shown.
const SHOWN: usize = 40;

/// The inputs of a data set, grouped into batches.
pub(super) struct Plan<'d> {
    inputs: Inputs<'d>,
    /// Item numbers of each batch.
    pub batches: Vec<Vec<u32>>,
    /// Cost of each batch, in tokens with padding or in pictures.
    pub costs: Vec<usize>,
    /// Number of items without a text or picture path.
    pub empty: usize,
    pub shared: Option<Shared>,
    /// Number of items whose picture is a placeholder and counts as missing.
    pub shared_missing: usize,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Warning of pictures without a file, which are refused later.
    lost: Option<String>,
}

enum Inputs<'d> {
    Texts(&'d [String]),
    Pictures(&'d Items),
}

impl<'d> Plan<'d> {
    /// # Errors
    /// No item has an input of this kind.
    pub fn new(dataset: &'d Dataset, encoder: &Encoder, job: &Job) -> Result<Self, EncodeError> {
        let modality = encoder.recipe().modality;
        let items = &dataset.items;
        let (inputs, all) = match modality {
            Modality::Image => (Inputs::Pictures(items), items.images.as_slice()),
            Modality::Text => (Inputs::Texts(job.field.texts(items)), job.field.texts(items)),
        };
        let last = job.limit.unwrap_or(usize::MAX).min(items.count());
        let full: Vec<u32> =
            (1..=last).filter(|&item| !all[item].trim().is_empty()).map(|item| item as u32).collect();
        if full.is_empty() {
            return Err(EncodeError::NothingToDo(modality.input()));
        }
        let mut plan = Self {
            inputs,
            batches: Vec::new(),
            costs: Vec::new(),
            empty: last - full.len(),
            shared: None,
            shared_missing: 0,
            warnings: Vec::new(),
            lost: None,
        };
        let full = match plan.inputs {
            Inputs::Texts(texts) => plan.look_at_texts(texts, items, full),
            Inputs::Pictures(_) => plan.look_at_pictures(items, job, full)?,
        };
        plan.group(encoder, job, full);
        Ok(plan)
    }

    /// All problems of the inputs.
    pub fn problems(&self) -> Vec<String> {
        self.warnings.iter().chain(&self.lost).cloned().collect()
    }

    fn look_at_texts(&mut self, texts: &[String], items: &Items, full: Vec<u32>) -> Vec<u32> {
        let mut groups: HashMap<&str, Vec<u32>> = HashMap::new();
        for &item in &full {
            groups.entry(texts[item as usize].trim()).or_default().push(item);
        }
        let mut groups: Vec<Vec<u32>> = groups.into_values().filter(|group| group.len() >= MANY).collect();
        groups.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.shared = Shared::find(&groups, &items.ids);
        if let Some(shared) = &self.shared {
            let text = texts[groups[0][0] as usize].trim();
            let short: String = text.chars().take(SHOWN).collect();
            let more = if short.len() < text.len() { "…" } else { "" };
            self.warnings
                .push(format!("{}: {short:?}{more}; does it stand for none?", shared.describe("text")));
        }
        full
    }

    fn look_at_pictures(
        &mut self,
        items: &Items,
        job: &Job,
        full: Vec<u32>,
    ) -> Result<Vec<u32>, EncodeError> {
        let paths: Vec<PathBuf> = full.iter().map(|&item| picture(items, item)).collect();
        let lost: Vec<usize> = (0..paths.len()).into_par_iter().filter(|&n| !paths[n].is_file()).collect();
        let is_address = |n: usize| pictures::is_address(&items.images[full[n] as usize]);
        let addresses = lost.iter().filter(|&&n| is_address(n)).count();
        let looked = lost.iter().find(|&&n| !is_address(n)).map(|&n| paths[n].clone());
        if lost.len() == full.len() {
            let root = items.pictures_root.clone();
            return Err(EncodeError::NoPictures { count: full.len(), addresses, looked, root });
        }
        if let Some(&first) = lost.first() {
            let (count, all, path) = (lost.len(), full.len(), paths[first].display());
            self.lost = Some(format!("{count} of {all} pictures lead to no file; the first: {path}"));
        }
        let numbers = |group: Vec<usize>| group.into_iter().map(|n| full[n]).collect::<Vec<u32>>();
        let groups: Vec<Vec<u32>> =
            same_files(&paths).into_iter().filter(|group| group.len() >= MANY).map(numbers).collect();
        self.shared = Shared::find(&groups, &items.ids);
        let Some(shared) = &self.shared else { return Ok(full) };
        match job.shared {
            SharedPictures::Keep => Ok(full),
            SharedPictures::Warn => {
                self.warnings.push(format!(
                    "{}; is it a placeholder? --shared-pictures missing counts them as items without a picture, keep \
                     accepts them",
                    shared.describe("picture file")
                ));
                Ok(full)
            }
            SharedPictures::Missing => {
                self.shared_missing = shared.items;
                let placeholders: HashSet<u32> = groups.into_iter().flatten().collect();
                let left: Vec<u32> = full.into_iter().filter(|item| !placeholders.contains(item)).collect();
                if left.is_empty() {
                    return Err(EncodeError::Options(format!(
                        "{}, and under --shared-pictures missing no picture is left",
                        shared.describe("picture file")
                    )));
                }
                Ok(left)
            }
        }
    }

    /// Groups items into batches.
    fn group(&mut self, encoder: &Encoder, job: &Job, mut full: Vec<u32>) {
        let lengths: Vec<usize> = match self.inputs {
            // Texts of similar length share a batch, for little padding.
            Inputs::Texts(texts) => {
                let mut keyed: Vec<(usize, u32)> =
                    full.par_iter().map(|&item| (encoder.text_length(&texts[item as usize]), item)).collect();
                keyed.sort_unstable();
                full = keyed.iter().map(|&(_, item)| item).collect();
                keyed.into_iter().map(|(length, _)| length).collect()
            }
            Inputs::Pictures(_) => vec![1; full.len()],
        };
        let size = encoder.batch_limit().unwrap_or(usize::MAX).min(job.batch).max(1);
        self.batches = full.chunks(size).map(<[u32]>::to_vec).collect();
        self.costs = lengths.chunks(size).map(|l| l.iter().copied().max().unwrap_or(1) * l.len()).collect();
    }

    /// Loads a batch: its inputs for the device, and the outcome of each item.
    pub fn load(&self, encoder: &Encoder, batch: usize) -> (Ready, Vec<Result<(), String>>) {
        let items = &self.batches[batch];
        match self.inputs {
            Inputs::Texts(texts) => {
                let texts: Vec<&str> = items.iter().map(|&item| texts[item as usize].as_str()).collect();
                (encoder.ready_texts(&texts), vec![Ok(()); items.len()])
            }
            Inputs::Pictures(catalogue) => {
                let paths: Vec<PathBuf> = items.iter().map(|&item| picture(catalogue, item)).collect();
                let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
                let (ready, outcomes) = encoder.ready_pictures(&paths);
                (ready, outcomes.into_iter().map(|o| o.map_err(|refused| refused.to_string())).collect())
            }
        }
    }

    /// Computes a loaded batch.
    pub fn compute(
        &self,
        encoder: &Encoder,
        batch: usize,
        (ready, outcomes): (Ready, Vec<Result<(), String>>),
    ) -> Result<Vec<Row>, EncodeError> {
        let items = &self.batches[batch];
        let encoded = if outcomes.iter().any(Result::is_ok) { Some(encoder.compute(ready)?) } else { None };
        let mut next = 0;
        let mut rows = Vec::with_capacity(items.len());
        for (&item, outcome) in items.iter().zip(outcomes) {
            let outcome = match (outcome, &encoded) {
                (Ok(()), Some(encoded)) => {
                    next += 1;
                    check_finite(encoded.row(next - 1), item, encoder)
                }
                (Err(reason), _) => Err(reason),
                (Ok(()), None) => Err("not encoded".to_owned()),
            };
            rows.push(Row { item, outcome });
        }
        Ok(rows)
    }
}

/// The path of an item's picture; an address as it is, which is refused later.
pub(super) fn picture(items: &Items, item: u32) -> PathBuf {
    items.picture(item).unwrap_or_else(|| PathBuf::from(&items.images[item as usize]))
}

/// Checks for values that half precision can't hold (above 65504) and for NaN of a damaged model.
fn check_finite(values: &[f32], item: u32, encoder: &Encoder) -> Result<Vec<f32>, String> {
    match values.iter().find(|v| !v.is_finite()) {
        None => Ok(values.to_vec()),
        Some(bad) => Err(format!("{} gave {bad} for item {item}", encoder.name())),
    }
}

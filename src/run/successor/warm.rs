//! Trained weights as the start of a training on a newer data set, whose items may be numbered otherwise.
//!
//! Rows of the ID table follow their items by the ids of the source. An item that is new gets the vector that the rule for
//! cold items foretells from its content, and the mean of the trained vectors where nothing can be foretold.

use std::collections::HashMap;
use std::path::Path;

use super::chosen::{Chosen, place};
use super::error::SuccessorError;
use crate::config::{ColdConfig, ColdId};
use crate::data::{Dataset, Part};
use crate::embed::{ColdRule, EmbedError, encode};
use crate::model::ViewSource;
use crate::params::{self, Values};
use crate::run::{OpenOptions, Run};
use crate::systems::{AnySystem, CoDistill, Fitted};
use crate::train::Training;
use crate::train::checkpoint;
use crate::train::inputs::Input;
use crate::train::run_dir::{RunDir, Which};

/// Common items whose features are compared: evenly spread over the catalogue.
const COMPARED: usize = 256;
/// Cosine of two first tokens below which they are different features, and not the same ones in another precision.
const SAME: f64 = 0.9;

/// What a training starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct Warm {
    /// The run, with the hash of its checkpoint.
    pub parent: Input,
    /// Optimiser step of the checkpoint.
    pub step: u64,
    /// Items of the data set that the run knew, that are new, and items of the run that are gone.
    pub known: usize,
    pub new: usize,
    pub gone: usize,
    /// What new items have for an ID vector; none where the model has no ID table.
    pub rule: Option<NewRows>,
    /// Targets of a part that the run was trained on, and all of that part.
    pub seen: Vec<(Part, usize, usize)>,
}

/// Where the ID vectors of new items come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewRows {
    /// A ridge regression from content.
    Ridge,
    /// The mean of the trained items' vectors.
    Mean,
}

impl Warm {
    /// What was taken over, a line each.
    pub fn notes(&self) -> Vec<String> {
        let Self { known, new, gone, step, .. } = *self;
        let run = self.parent.path.display();
        let mut notes =
            vec![format!("starts from the weights of {run}, step {step}: {known} items keep their vectors")];
        if new > 0 {
            let made = match self.rule {
                Some(NewRows::Ridge) => {
                    ", and begin with ID vectors that a ridge regression foretells from content"
                }
                Some(NewRows::Mean) => ", and begin with the mean of the trained ID vectors",
                None => "",
            };
            notes.push(format!("{new} items are new{made}"));
        }
        if gone > 0 {
            notes.push(format!("{gone} items of {run} are gone: what it learned of them is dropped"));
        }
        notes
    }

    /// What makes figures other than they seem, a line each.
    pub fn warnings(&self) -> Vec<String> {
        let run = self.parent.path.display();
        let line = |&(part, seen, all): &(Part, usize, usize)| {
            let part = if part == Part::Valid { "validation" } else { "test" };
            format!("{run} was trained on {seen} of the {all} {part} targets: figures on them are too high")
        };
        self.seen.iter().map(line).collect()
    }
}

/// Gives `training`, a fresh one of `system`, the weights of the run that its configuration names as `train.parent`; none
/// where it names none. `recorded` is what an earlier start of the same training took.
///
/// # Errors
/// The run has not ended, its inputs are absent or changed, it is of another system or other features, or has no item of the
/// data set.
pub fn warm_start(
    system: &dyn AnySystem,
    training: &mut dyn Training,
    recorded: Option<&Input>,
) -> Result<Option<Warm>, SuccessorError> {
    let setup = system.setup();
    let Some(named) = &setup.config.train.parent else { return Ok(None) };
    let root = place(named, recorded);
    let which = which(root, recorded)?;
    let old = open(root, &which, &setup.config.device)?;
    let other = || SuccessorError::OtherSystem {
        run: root.to_owned(),
        kind: if old.codistill().is_err() { &old.checkpoint.config } else { &setup.config }
            .system
            .kind
            .clone(),
    };
    let Ok(fitted) = old.codistill() else { return Err(other()) };
    let own = system.as_any().downcast_ref::<CoDistill>().ok_or_else(other)?;
    let items = Items::matched(&fitted.system.setup.dataset, &setup.dataset);
    let data = setup.config.data.path.clone().unwrap_or_default();
    if items.known() == 0 {
        let items = fitted.system.shape.items;
        return Err(SuccessorError::NoCommonItems { run: root.to_owned(), data, items });
    }
    if !setup.accepts_changed {
        check_features(fitted, own, &items, (root, &data))?;
    }
    let (weights, rule) = weights(fitted, own, &items).map_err(|e| unopened(root, e.to_string()))?;
    training.warm_start(weights, &old.checkpoint.hash).map_err(Box::new)?;
    let (known, step) = (items.known(), old.checkpoint.state.step);
    Ok(Some(Warm {
        parent: Input::new(root, &old.checkpoint.hash)?,
        step,
        known,
        new: setup.dataset.items.count() - known,
        gone: fitted.system.shape.items - known,
        rule,
        seen: seen_targets(&fitted.system.setup.dataset, &setup.dataset, &items),
    }))
}

/// The checkpoint that was taken before, else the one that the run chose.
fn which(root: &Path, recorded: Option<&Input>) -> Result<Which, SuccessorError> {
    let Some(recorded) = recorded else {
        Chosen::open(root)?;
        return Ok(Which::Best);
    };
    let steps = checkpoint::list(&RunDir::new(root).steps()).into_iter();
    let mut same = steps.filter(|(_, path)| checkpoint::hash(path).is_some_and(|hash| hash == recorded.hash));
    same.next()
        .map(|(step, _)| Which::Step(step))
        .ok_or_else(|| SuccessorError::StartGone { parent: root.to_owned() })
}

/// The finished run with its own data set.
fn open(root: &Path, which: &Which, device: &str) -> Result<Run, SuccessorError> {
    let options =
        OpenOptions { checkpoint: which.clone(), device: device.to_owned(), ..OpenOptions::default() };
    Run::open(root, &options).map_err(|e| unopened(root, e.to_string()))
}

fn unopened(root: &Path, reason: String) -> SuccessorError {
    SuccessorError::Unopened { run: root.to_owned(), reason }
}

/// Which item of the finished run each item is.
struct Items {
    /// I + 1 entries: its number there; 0 for new items and padding.
    before: Vec<u32>,
}

impl Items {
    fn matched(old: &Dataset, new: &Dataset) -> Self {
        let numbers = old.items.numbers();
        let before = new.items.ids.iter().enumerate().map(|(item, id)| {
            let number = numbers.get(id.as_str()).filter(|_| item > 0);
            number.map_or(0, |number| number.0)
        });
        Self { before: before.collect() }
    }

    fn known(&self) -> usize {
        self.before.iter().filter(|&&before| before > 0).count()
    }

    /// (number now, number then) of the items that are known.
    fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0u32..).zip(self.before.iter().copied()).filter(|&(_, before)| before > 0)
    }
}

/// The weights of a trained model, with the rows of its ID table where the items are now.
fn weights(
    old: &Fitted<CoDistill>,
    new: &CoDistill,
    items: &Items,
) -> Result<(std::collections::BTreeMap<String, Values>, Option<NewRows>), EmbedError> {
    let mut weights = params::read(&old.model);
    let Some(view) = old.system.setup.config.model.views.iter().find(|view| view.kind.has_table()) else {
        return Ok((weights, None));
    };
    let Some(table) = weights.get_mut(&format!("views.{}.table", view.name)) else {
        return Ok((weights, None));
    };
    let width = table.shape[1];
    let fresh: Vec<u32> =
        (1u32..).zip(&items.before[1..]).filter(|(_, before)| **before == 0).map(|(item, _)| item).collect();
    let (rows, rule) = new_rows(old, new, &fresh, &table.values, width)?;
    let mut values = vec![0.0; items.before.len() * width];
    values[..width].copy_from_slice(&table.values[..width]);
    for (item, before) in items.pairs() {
        let then = &table.values[before as usize * width..][..width];
        values[item as usize * width..][..width].copy_from_slice(then);
    }
    for (&item, row) in fresh.iter().zip(&rows) {
        values[item as usize * width..][..width].copy_from_slice(row);
    }
    *table = Values { shape: vec![items.before.len(), width], values };
    Ok((weights, Some(rule)))
}

/// ID vectors of the items `fresh`, by content where the model has any to go by.
fn new_rows(
    old: &Fitted<CoDistill>,
    new: &CoDistill,
    fresh: &[u32],
    table: &[f32],
    width: usize,
) -> Result<(Vec<Vec<f32>>, NewRows), EmbedError> {
    let (system, cold) = (old.system.as_ref(), old.system.setup.config.data.cold.as_ref());
    let min_events = cold.map_or_else(|| ColdConfig::default().min_events, |cold| cold.min_events);
    match ColdRule::fit(system, &old.model, ColdId::Ridge, min_events) {
        Ok(rule) => Ok((encode::id_vectors(new, &old.model, &rule, fresh), NewRows::Ridge)),
        Err(EmbedError::NoContent | EmbedError::TooFewTrained { .. }) => {
            Ok((vec![mean(system.window_counts(), table, width); fresh.len()], NewRows::Mean))
        }
        Err(e) => Err(e),
    }
}

/// Mean row of the items that were trained.
fn mean(trained: &[u32], table: &[f32], width: usize) -> Vec<f32> {
    let rows = || table.chunks_exact(width).zip(trained).filter(|(_, events)| **events > 0);
    let n = rows().count().max(1) as f64;
    let mut sum = vec![0.0f64; width];
    rows().for_each(|(row, _)| sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v)));
    sum.into_iter().map(|s| (s / n) as f32).collect()
}

/// Weights are worth nothing over features of another encoder, and look as if they were.
fn check_features(
    old: &Fitted<CoDistill>,
    new: &CoDistill,
    items: &Items,
    (run, data): (&Path, &Path),
) -> Result<(), SuccessorError> {
    let views = old.system.setup.config.model.views.iter().zip(&old.system.views);
    for (view, source) in views {
        let now = new.setup.config.model.views.iter().position(|other| other.name == view.name);
        let Some((then, now)) = source.as_ref().zip(now.and_then(|now| new.views[now].as_ref())) else {
            continue;
        };
        let (compared, differing) = differing(then, now, items);
        if differing * 2 > compared {
            let (run, data, view) = (run.to_owned(), data.to_owned(), view.name.clone());
            return Err(SuccessorError::OtherFeatures { run, data, view, differing, compared });
        }
    }
    Ok(())
}

/// How many common items were compared, and how many of them have other features.
fn differing(then: &ViewSource, now: &ViewSource, items: &Items) -> (usize, usize) {
    let both: Vec<(u32, u32)> = items
        .pairs()
        .filter(|&(item, before)| now.store.length(item) > 0 && then.store.length(before) > 0)
        .collect();
    let stride = both.len().div_ceil(COMPARED).max(1);
    let compared = both.iter().step_by(stride);
    let differs = |&&(item, before): &&(u32, u32)| {
        if then.store.width() != now.store.width() {
            return true;
        }
        let [a, b] = [(then, before), (now, item)].map(|(source, item)| {
            let mut token = vec![0.0; source.store.width()];
            source.store.gather_into(item, 1, &mut token);
            token
        });
        cosine(&a, &b) < SAME
    };
    (compared.clone().count(), compared.filter(differs).count())
}

/// 1 where both are zero.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    if a == b { 1.0 } else { dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE) }
}

/// Targets of each part that the finished run was trained on, where there are any.
fn seen_targets(old: &Dataset, new: &Dataset, items: &Items) -> Vec<(Part, usize, usize)> {
    let users: HashMap<&str, usize> =
        old.users.iter().enumerate().map(|(user, id)| (id.as_str(), user)).collect();
    let mut found = Vec::new();
    for part in [Part::Valid, Part::Test] {
        let targets = new.targets(part);
        let seen = targets.iter().filter(|target| {
            // What stands in the history too was no secret.
            let item = target.item.0;
            let Some(&user) = users.get(new.users[target.user as usize].as_str()) else { return false };
            let before = items.before[target.item.index()];
            before > 0
                && old.sequences.train_of(user).contains(&before)
                && !new.history(target).contains(&item)
        });
        let seen = seen.count();
        if seen > 0 {
            found.push((part, seen, targets.len()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::fixtures::{dataset, leave_one_out};

    /// Items with the ids of these letters; users `u1`, `u2`, … with these items by number.
    fn lettered(ids: &str, users: &[&[u32]]) -> Dataset {
        let mut data = dataset(ids.len(), &leave_one_out(users));
        data.items.ids = std::iter::once(String::new()).chain(ids.chars().map(String::from)).collect();
        data.users = (1..=users.len()).map(|user| format!("u{user}")).collect();
        data
    }

    #[test]
    fn items_are_matched_by_their_ids() {
        let items = Items::matched(&lettered("abc", &[]), &lettered("cxa", &[]));
        assert_eq!((items.before.as_slice(), items.known()), (&[0, 3, 0, 1][..], 2));
        assert_eq!(items.pairs().collect::<Vec<_>>(), [(1, 3), (3, 1)]);
    }

    #[test]
    fn targets_that_were_trained_on_are_counted() {
        // Trained on a b of the first user and on b a of the second.
        let old = lettered("abcd", &[&[1, 2, 3, 4], &[2, 1, 4, 3]]);
        // The second user's b is a target now and was trained on; d and a are new to whom they are targets of.
        let new = lettered("dcba", &[&[4, 3, 2, 1], &[4, 1, 2, 3]]);
        let items = Items::matched(&old, &new);
        assert_eq!(seen_targets(&old, &new, &items), [(Part::Test, 1, 2)]);
        // Another user's events say nothing.
        let mut strangers = new.clone();
        strangers.users = vec!["x".into(), "y".into()];
        assert_eq!(seen_targets(&old, &strangers, &items), []);
        // What was had before is known to everybody.
        let again = lettered("dcba", &[&[4, 3, 2, 1], &[3, 4, 2, 3]]);
        assert_eq!(seen_targets(&old, &again, &items), []);
    }

    #[test]
    fn the_mean_is_that_of_trained_rows() {
        let table = [9.0, 9.0, 1.0, 2.0, 5.0, 5.0, 3.0, 6.0];
        assert_eq!(mean(&[0, 4, 0, 1], &table, 2), [2.0, 4.0]);
    }

    #[test]
    fn features_are_the_same_whatever_their_precision() {
        assert!(cosine(&[1.0, 2.0], &[1.001, 1.999]) > SAME);
        assert!(cosine(&[1.0, 2.0], &[2.0, -1.0]) < SAME);
        assert_eq!(cosine(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
        assert!(cosine(&[0.0, 0.0], &[1.0, 0.0]) < SAME);
    }
}

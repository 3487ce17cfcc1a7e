//! Full ranking over the whole catalogue, in tiles of bounded memory.

use rayon::prelude::*;

use super::metrics::{Evaluation, Protocol, summarise};
use super::rank::{Standing, standing, top_k};
use super::rows::Row;
use super::scorer::{ScoreError, Scorer};
use crate::config::{EvalConfig, HistoryRule, TieRule};
use crate::data::{Dataset, Part, Sequences, Target};

/// Ranks every target of `part` under every score name.
///
/// Memory grows with targets and with the tile, never with their product. `max_seq_len` is S, which the
/// `window` history rule needs. `on_progress` is told how many targets are done.
///
/// # Errors
/// The scorer fails, or there are no targets.
pub fn evaluate(
    scorer: &mut dyn Scorer,
    dataset: &Dataset,
    part: Part,
    config: &EvalConfig,
    max_seq_len: usize,
    on_progress: &mut dyn FnMut(usize),
) -> Result<Evaluation, ScoreError> {
    let part_name = if part == Part::Valid { "valid" } else { "test" };
    let targets = dataset.targets(part);
    if targets.is_empty() {
        return Err(ScoreError::NoTargets(part_name));
    }
    let names = scorer.names();
    let width = scorer.items() + 1;
    let facts = Facts::of(dataset);
    let longest = config.ks.iter().copied().max().unwrap_or(0);
    let mut rows: Vec<Vec<Row>> = vec![Vec::with_capacity(targets.len()); names.len()];
    let mut lists: Vec<Vec<Vec<u32>>> = vec![Vec::with_capacity(targets.len()); names.len()];
    let mut scores = vec![Vec::new(); names.len()];
    let per_target = width * names.len() * size_of::<f32>();
    let tile = ((config.tile_mib << 20) / per_target.max(1)).clamp(1, targets.len());
    for targets in targets.chunks(tile) {
        scorer.score(targets, &mut scores)?;
        let masks: Vec<Vec<u32>> =
            targets.par_iter().map(|t| masked_items(dataset, t, part, config.history, max_seq_len)).collect();
        for (name, scores) in scores.iter().enumerate() {
            let judged: Vec<(Row, Vec<u32>)> = targets
                .par_iter()
                .zip(&masks)
                .zip(scores.par_chunks_exact(width))
                .map(|((target, masked), scores)| {
                    let found = standing(scores, target.item, masked);
                    let list = top_k_sorted_mask(scores, masked, longest);
                    (facts.row(target, &found, config.ties), list)
                })
                .collect();
            for (row, list) in judged {
                rows[name].push(row);
                lists[name].push(list);
            }
        }
        on_progress(rows[0].len());
    }
    let masked_targets = rows[0].iter().filter(|r| r.missed).count();
    let scored = names
        .iter()
        .zip(rows.into_iter().zip(&lists))
        .map(|(name, (rows, lists))| summarise(name, rows, lists, &config.ks, &facts.train_counts))
        .collect();
    let protocol = Protocol {
        targets: targets.len(),
        items: width - 1,
        history: config.history,
        ties: config.ties,
        ks: config.ks.clone(),
        masked_targets,
    };
    Ok(Evaluation { part: part_name.to_owned(), protocol, scored })
}

/// Distinct items that the history rule takes from the candidates, ascending.
///
/// Under `window` these are the items that the authors keep: the last S + 3 interactions less the test
/// item, and for validation less both targets (odmt.md 5.2, 6).
fn masked_items(
    dataset: &Dataset,
    target: &Target,
    part: Part,
    rule: HistoryRule,
    max_seq_len: usize,
) -> Vec<u32> {
    let history = dataset.history(target);
    let kept = match rule {
        HistoryRule::All => history,
        HistoryRule::Keep => &[],
        HistoryRule::Window => {
            let most = if part == Part::Valid { max_seq_len + 1 } else { max_seq_len + 2 };
            &history[history.len().saturating_sub(most)..]
        }
    };
    let mut masked = kept.to_vec();
    masked.sort_unstable();
    masked.dedup();
    masked
}

/// [`top_k`] on a copy of the scores in which masked items are NaN: a long history would make every
/// look-up in it slow.
fn top_k_sorted_mask(scores: &[f32], masked: &[u32], k: usize) -> Vec<u32> {
    if masked.len() < 32 {
        return top_k(scores, masked, k);
    }
    let mut scores = scores.to_vec();
    masked.iter().for_each(|&item| scores[item as usize] = f32::NAN);
    top_k(&scores, &[], k)
}

/// What rows tell of items and users.
struct Facts<'a> {
    sequences: &'a Sequences,
    train_counts: Vec<u32>,
    /// Time of each item's first training interaction.
    first_seen: Vec<Option<i64>>,
}

impl<'a> Facts<'a> {
    fn of(dataset: &'a Dataset) -> Self {
        let mut first_seen: Vec<Option<i64>> = vec![None; dataset.items.count() + 1];
        let sequences = &dataset.sequences;
        for u in 0..sequences.users() {
            for (&item, &time) in sequences.train_of(u).iter().zip(sequences.times_of(u)) {
                let first = &mut first_seen[item as usize];
                *first = Some(first.map_or(time, |t| t.min(time)));
            }
        }
        Self { sequences, train_counts: dataset.train_counts(), first_seen }
    }

    fn row(&self, target: &Target, found: &Standing, ties: TieRule) -> Row {
        let time = self.sequences.times_of(target.user as usize)[target.position as usize];
        Row {
            user: target.user,
            item: target.item,
            rank: found.rank(ties),
            rank_optimistic: found.rank(TieRule::Optimistic),
            rank_pessimistic: found.rank(TieRule::Pessimistic),
            candidates: found.candidates,
            missed: found.missed,
            item_count: self.train_counts[target.item as usize],
            item_age: self.first_seen[target.item as usize].map(|first| time - first),
            history: target.position,
        }
    }
}

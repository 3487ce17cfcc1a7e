//! Full ranking over the whole catalogue, in tiles of bounded memory (docs/odmt.md, section 6).

use rayon::prelude::*;

use super::conditions::{Chosen, Ideal, Protocol};
use super::inner_product::{Found, Query};
use super::metrics::{Evaluation, Tally, bucket_cut_off};
use super::named::{Named, own_name};
use super::rank::{Best, Standing};
use super::row::Row;
use super::scorer::{ScoreError, Scorer};
use crate::config::{EvalConfig, HistoryRule, TieRule};
use crate::data::{Choice, Dataset, MICROS, Part, Sequences, Target};

/// Number of targets ranked between two reports of progress: enough that threads rarely wait for each other.
const TILE: usize = 6144;

/// Ranks every target of `part` ([`Part::Valid`] or [`Part::Test`]) under every score name.
///
/// A target that the history rule masks (the user had it before) counts as a miss, as in the authors' code.
/// Memory grows with the tile, with the targets and with items × cut-offs, never with targets × items.
/// `max_seq_len` is S, which [`HistoryRule::Window`] needs. `on_progress` gets the number of targets done.
///
/// # Errors
/// The scorer fails or has another catalogue, or there are no targets.
pub fn evaluate(
    scorer: &mut dyn Scorer,
    dataset: &Dataset,
    part: Part,
    config: &EvalConfig,
    max_seq_len: usize,
    on_progress: &mut dyn FnMut(usize),
) -> Result<Evaluation, ScoreError> {
    let rules = Rules { eval: config, max_seq_len, named: None, choice: None };
    evaluate_under(scorer, dataset, part, &rules, on_progress)
}

/// What targets are ranked by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub eval: &'a EvalConfig,
    /// S, which [`HistoryRule::Window`] needs.
    pub max_seq_len: usize,
    /// The named protocol whose history rule and ties `eval` has, if it is one's.
    pub named: Option<&'a Named>,
    /// The only candidates, where not all items are. Targets outside can't be hit by any list: they are left out of all
    /// figures and counted apart.
    pub choice: Option<&'a Choice>,
}

/// [`evaluate`] under a named protocol, or among chosen candidates.
///
/// # Errors
/// As [`evaluate`]; or no target is a candidate.
pub fn evaluate_under(
    scorer: &mut dyn Scorer,
    dataset: &Dataset,
    part: Part,
    rules: &Rules<'_>,
    on_progress: &mut dyn FnMut(usize),
) -> Result<Evaluation, ScoreError> {
    let Rules { eval: config, max_seq_len, named, choice } = *rules;
    let part_name = part.name();
    let all_targets = dataset.targets(part);
    let targets = chosen_targets(&all_targets, part_name, choice)?;
    let outside = all_targets.len() - targets.len();
    let items = dataset.items.count();
    if scorer.items() != items {
        return Err(ScoreError::Catalogue { scorer: scorer.items(), dataset: items });
    }
    let ideal = named.map_or(Ideal::Targets, |named| named.ideal);
    let facts = Facts::new(dataset, ideal);
    let masking = Masking { dataset, part, rule: config.history, max_seq_len, choice };
    let (tallies, masked_targets) = rank_all(scorer, &targets, &masking, config, &facts, on_progress)?;
    let trained = scorer.trained_counts().unwrap_or(&facts.train_counts);
    let chosen =
        choice.map(|choice| [&facts.train_counts, trained].map(|counts| chosen_counts(choice, counts)));
    let (train_counts, trained) = match &chosen {
        Some([train_counts, trained]) => (train_counts.as_slice(), trained.as_slice()),
        None => (facts.train_counts.as_slice(), trained),
    };
    let summarised = |(name, tally): (&String, Tally)| tally.summarise(name, train_counts, trained);
    let scored = scorer.names().iter().zip(tallies).map(summarised).collect();
    let name = named.map_or_else(|| own_name(config, dataset), |named| named.name);
    let protocol = Protocol {
        name: name.to_owned(),
        ideal,
        trained_on: dataset.trained_on.parts,
        dataset: dataset.hash.clone(),
        targets: targets.len(),
        items,
        history: config.history,
        ties: config.ties,
        ks: config.ks.clone(),
        bucket_k: bucket_cut_off(&config.ks),
        masked_targets,
        chosen: choice.map(|choice| Chosen {
            rules: choice.rules().to_vec(),
            items: choice.count(),
            hash: choice.hash(),
            outside,
        }),
    };
    Ok(Evaluation { part: part_name.to_owned(), protocol, scored })
}

/// The targets that are candidates.
fn chosen_targets(
    targets: &[Target],
    part: &'static str,
    choice: Option<&Choice>,
) -> Result<Vec<Target>, ScoreError> {
    if targets.is_empty() {
        return Err(ScoreError::NoTargets(part));
    }
    let Some(choice) = choice else { return Ok(targets.to_vec()) };
    let is_candidate = |target: &&Target| choice.place(target.item.0).is_some();
    let chosen: Vec<Target> = targets.iter().filter(is_candidate).copied().collect();
    if chosen.is_empty() {
        return Err(ScoreError::NoneChosen { part, targets: targets.len(), candidates: choice.count() });
    }
    Ok(chosen)
}

/// Ranks all targets, tile by tile. Returns a tally for each score name, and the number of masked targets.
fn rank_all(
    scorer: &mut dyn Scorer,
    targets: &[Target],
    masking: &Masking<'_>,
    config: &EvalConfig,
    facts: &Facts<'_>,
    on_progress: &mut dyn FnMut(usize),
) -> Result<(Vec<Tally>, usize), ScoreError> {
    let choice = masking.choice;
    let width = choice.map_or(scorer.items(), Choice::count) + 1;
    let mut tallies: Vec<Tally> =
        scorer.names().iter().map(|_| Tally::new(&config.ks, width, facts.ideal)).collect();
    let k = config.ks.iter().copied().max().unwrap_or(0).min(width);
    let mut masked_targets = 0;
    for tile in targets.chunks(TILE) {
        let masks: Vec<Vec<u32>> = tile.par_iter().map(|target| masking.places(target)).collect();
        let query = |(target, masked): (&Target, _)| {
            // Targets without a place were left out.
            Query { target: masking.place(target.item.0).unwrap_or_default(), masked, added: &[] }
        };
        let queries: Vec<Query> = tile.iter().zip(masks.iter().map(Vec::as_slice)).map(query).collect();
        masked_targets += queries.iter().filter(|q| q.masked.binary_search(&q.target).is_ok()).count();
        let ranked = match scorer.rank(tile, &queries, k, choice)? {
            Some(ranked) => ranked,
            None => rank_by_scores(scorer, tile, &queries, k, choice, config.tile_mib)?,
        };
        for (target, found) in tile.iter().zip(ranked) {
            for (found, tally) in found.iter().zip(&mut tallies) {
                let row = facts.row(target, &found.standing, config.ties);
                tally.add(row, found.standing.nan > 0, &found.best);
            }
        }
        on_progress(tallies.first().map_or(0, |tally| tally.rows.len()));
    }
    Ok((tallies, masked_targets))
}

/// Which items are no candidates for a target. Candidates go by their places, which are the items' numbers where every
/// item is a candidate.
struct Masking<'a> {
    dataset: &'a Dataset,
    part: Part,
    rule: HistoryRule,
    max_seq_len: usize,
    choice: Option<&'a Choice>,
}

impl Masking<'_> {
    /// The item's place among the candidates, from 1; absent if it's none.
    fn place(&self, item: u32) -> Option<u32> {
        self.choice.map_or(Some(item), |choice| choice.place(item))
    }

    /// Distinct places of the items that the history rule removes from the candidates, ascending as items do.
    fn places(&self, target: &Target) -> Vec<u32> {
        let kept = kept_history(self.dataset, target, self.part, self.rule, self.max_seq_len);
        let mut masked = kept.to_vec();
        masked.sort_unstable();
        masked.dedup();
        masked.into_iter().filter_map(|item| self.place(item)).collect()
    }
}

/// Training counts of the candidates, by their places; entry 0 is padding.
pub fn chosen_counts(choice: &Choice, train_counts: &[u32]) -> Vec<u32> {
    std::iter::once(0).chain(choice.items().iter().map(|&item| train_counts[item as usize])).collect()
}

/// The part of a target's history whose items the rule removes from the candidates.
///
/// Under `window` these are the items that the authors keep: the last S + 3 interactions without the test
/// item, and for validation without both targets (docs/odmt.md, sections 5.2 and 6).
pub(super) fn kept_history<'a>(
    dataset: &'a Dataset,
    target: &Target,
    part: Part,
    rule: HistoryRule,
    max_seq_len: usize,
) -> &'a [u32] {
    let history = dataset.history(target);
    match rule {
        HistoryRule::All => history,
        HistoryRule::Keep => &[],
        HistoryRule::Train => {
            let parts = dataset.sequences.parts_of(target.user as usize);
            &history[..parts.iter().take_while(|&&part| part == Part::Train).count()]
        }
        HistoryRule::Window => {
            let most = if part == Part::Valid { max_seq_len + 1 } else { max_seq_len + 2 };
            &history[history.len().saturating_sub(most)..]
        }
    }
}

/// Ranks targets by stored scores, as many at a time as fit into `tile_mib`: `[N][names]`.
fn rank_by_scores(
    scorer: &mut dyn Scorer,
    targets: &[Target],
    queries: &[Query],
    k: usize,
    choice: Option<&Choice>,
    tile_mib: usize,
) -> Result<Vec<Vec<Found>>, ScoreError> {
    let names = scorer.names();
    let width = scorer.items() + 1;
    let per_target = width.saturating_mul(names.len()).saturating_mul(size_of::<f32>());
    let tile = (tile_mib.saturating_mul(1 << 20) / per_target.max(1)).max(1);
    let mut scores = vec![Vec::new(); names.len()];
    let mut ranked = vec![Vec::with_capacity(names.len()); targets.len()];
    for ((targets, queries), ranked) in
        targets.chunks(tile).zip(queries.chunks(tile)).zip(ranked.chunks_mut(tile))
    {
        scorer.score(targets, &mut scores)?;
        for (name, scores) in names.iter().zip(&mut scores) {
            let (found, expected) = (scores.len(), targets.len() * width);
            if found != expected {
                return Err(ScoreError::Shape { name: name.clone(), found, expected });
            }
            let rows = scores.par_chunks_exact_mut(width).zip(queries).zip(ranked.par_iter_mut());
            rows.for_each_init(
                || (Best::new(k), Vec::new()),
                |(best, kept), ((scores, query), ranked)| {
                    let scores = match choice {
                        None => scores,
                        Some(choice) => {
                            kept.clear();
                            kept.push(f32::NAN);
                            kept.extend(choice.items().iter().map(|&item| scores[item as usize]));
                            kept.as_mut_slice()
                        }
                    };
                    ranked.push(Found::from_scores(scores, query, best));
                },
            );
        }
    }
    Ok(ranked)
}

/// What rows contain of items and users, and what NDCG is divided by.
struct Facts<'a> {
    sequences: &'a Sequences,
    /// I + 1 entries.
    train_counts: Vec<u32>,
    /// Time of each item's first training interaction.
    first_seen: Vec<Option<i64>>,
    ideal: Ideal,
}

impl<'a> Facts<'a> {
    fn new(dataset: &'a Dataset, ideal: Ideal) -> Self {
        // Without times no item has an age.
        let first_seen = if dataset.timed {
            dataset.first_training_times()
        } else {
            vec![None; dataset.items.count() + 1]
        };
        Self { sequences: &dataset.sequences, train_counts: dataset.train_counts(), first_seen, ideal }
    }

    fn row(&self, target: &Target, found: &Standing, ties: TieRule) -> Row {
        let time = self.sequences.times_of(target.user as usize)[target.position as usize];
        Row {
            user: target.user,
            item: target.item.0,
            rank: found.rank(ties),
            rank_optimistic: found.rank(TieRule::Optimistic),
            rank_pessimistic: found.rank(TieRule::Pessimistic),
            candidates: found.candidates,
            missed: found.missed,
            item_count: self.train_counts[target.item.index()],
            item_age: self.first_seen[target.item.index()]
                .map(|first| time.saturating_sub(first).div_euclid(MICROS)),
            history: target.position,
        }
    }
}

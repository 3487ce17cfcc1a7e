//! A branch that counts instead of training: what the training part tells of items by their company, their order and their
//! content, as lists in bounded memory.
//!
//! A memory has several **sources**, each a row-sparse matrix A over the items. For a history with the distinct items
//! h_0 (the newest), h_1, … a source gives item i the sum `m_s(i) = Σ_a decay^a A[h_a, i]`, and the memory scores
//! `Σ_s w_s ln(1 + m_s(i) / scale_s)`: the sums are near to probabilities, and logarithms of probabilities are what trained
//! branches score too, so that both can be added up (logarithmic pooling of opinions, Genest and Zidek 1986). An item that no
//! source leads to scores 0.
//!
//! The weights w come from the training part alone (`weigh`): everything is counted once without the last training item of
//! each user, and these are then foretold. What is kept is counted on the whole training part.
//!
//! Reading order: [`lists`] (row-sparse matrices), [`moments`] and [`regression`] (what two sources are made of),
//! [`co_occurrence`], [`sequence`] and [`content`] (the sources), `weigh`, [`new_items`], [`disk`].

pub mod co_occurrence;
pub mod config;
pub mod content;
pub mod disk;
pub mod lists;
pub mod moments;
pub mod new_items;
pub mod regression;
pub mod sequence;
mod weigh;

use rayon::prelude::*;

use crate::config::MemoryConfig;
use crate::eval::baseline::ContentView;
pub use co_occurrence::CoOccurrence;
pub use lists::Lists;
pub(crate) use lists::largest;
pub use new_items::Alike;
pub use regression::Regression;
pub use sequence::Sequence;

/// Items of a history older than this many weigh nothing, whatever the decay: time stays bounded.
const LOOK_BACK: usize = 200;
/// A history item that weighs less adds nothing that would be seen.
const LEAST_WEIGHT: f32 = 1e-4;
/// Items of a history that have a score, the best: what others would add is near to nothing.
const MOST_SCORED: usize = 128;
/// A sum that is a smaller share of its source's scale counts as nothing where no other source leads to the item.
const LEAST_SUM: f32 = 0.02;
/// At which sum a source counts as much as from there to (e - 1) times as much: probabilities of a hundredth are telling, and
/// cubed cosines of a fifth.
const COUNTED_SCALE: f32 = 0.02;
const CONTENT_SCALE: f32 = 0.2;

/// One way to tell what follows a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// `co_occurrence`, `sequence`, or the name of a view.
    pub name: String,
    pub lists: Lists,
    /// Weight of a history item per newer distinct one.
    pub decay: f32,
    /// The sum at which the logarithm bends.
    pub scale: f32,
}

/// All sources with their weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    items: usize,
    sources: Vec<Source>,
    weights: Vec<f32>,
}

/// An item with its score; lists of these ascend by item, and hold scores above 0 alone.
pub type Scored = (u32, f32);

impl Memory {
    /// Counts the histories of the training part, of items up to `items`, and weighs the sources. The same data and settings give
    /// the same bits.
    ///
    /// Memory: the interactions some times over, and K entries an item in each source.
    pub fn count<'a>(
        config: &MemoryConfig,
        users: usize,
        items: usize,
        history: impl Fn(usize) -> &'a [u32] + Sync,
        views: &[ContentView],
    ) -> Self {
        let content = content_sources(config, items, views);
        let shorter = |u: usize| {
            let all = history(u);
            &all[..all.len().saturating_sub(1)]
        };
        let mut before = counted_sources(config, users, items, shorter);
        let counted = before.len();
        before.extend(content);
        let equal = vec![1.0; before.len()];
        let mut memory = Self { items, sources: before, weights: equal };
        memory.weights =
            weigh::weights(&memory, counted, users, &|u| (shorter(u), history(u).last().copied()));
        let content = memory.sources.split_off(counted);
        memory.sources = counted_sources(config, users, items, history);
        memory.sources.extend(content);
        memory
    }

    /// The same memory where the features of the views called `changed` are other ones: items alike by them are looked for anew.
    /// What was counted, and all weights, stay. `config` and `views` are otherwise those that it was counted with.
    #[must_use]
    pub fn with_content(&self, config: &MemoryConfig, views: &[ContentView], changed: &[&str]) -> Self {
        let counted = self.sources.len() - content_count(config, self.items, views);
        let (counted, content) = self.sources.split_at(counted);
        let content = content_views(config, self.items, views).zip(content).map(|(view, own)| {
            if changed.contains(&view.name.as_str()) {
                Source { lists: content::alike(view, self.items), ..own.clone() }
            } else {
                own.clone()
            }
        });
        let sources = counted.iter().cloned().chain(content).collect();
        Self { items: self.items, sources, weights: self.weights.clone() }
    }

    /// I, the number of items without padding.
    pub fn items(&self) -> usize {
        self.items
    }

    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Weight of each source.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Room for [`Self::scores`], to be used again.
    pub fn scratch(&self) -> Scratch {
        Scratch { sums: vec![0.0; (self.items + 1) * self.sources.len()], ..Scratch::default() }
    }

    /// The best 128 scores above 0 after a history, oldest item first, of which all that is known counts. Items of the history are
    /// among them where others lead to them.
    pub fn scores(&self, history: &[u32], scratch: &mut Scratch) -> Vec<Scored> {
        let mut scored = Vec::new();
        self.pool(
            history,
            scratch,
            |_| true,
            |item, score| {
                if score > 0.0 {
                    scored.push((item, score));
                }
            },
        );
        // Only what stays is sorted: that is cheaper than to sort all that was met.
        largest(scored, MOST_SCORED)
    }

    /// Writes scores of the items that have a column to `out`, however many they are; `columns` has I + 1 entries, `u32::MAX` where there is none.
    pub fn scores_among(&self, history: &[u32], scratch: &mut Scratch, columns: &[u32], out: &mut [f32]) {
        let place = |item: u32| columns[item as usize] as usize;
        let width = out.len();
        self.pool(history, scratch, |item| place(item) < width, |item, score| out[place(item)] = score);
    }

    /// Gives the score of each item that some source leads to, of those that are `wanted`.
    fn pool(
        &self,
        history: &[u32],
        scratch: &mut Scratch,
        wanted: impl Fn(u32) -> bool,
        mut give: impl FnMut(u32, f32),
    ) {
        let n = self.sources.len();
        let met = self.sums(history, scratch);
        let Scratch { sums, logarithms, pooled, .. } = scratch;
        logarithms.clear();
        pooled.clear();
        for &item in &met {
            let sums = &mut sums[item as usize * n..][..n];
            let counts = |(sum, source): (&f32, &Source)| *sum > LEAST_SUM * source.scale;
            // Most items are hardly met, and their logarithms cost as much as any.
            if wanted(item) && sums.iter().zip(&self.sources).any(counts) {
                pooled.push(item);
                logarithms.extend(sums.iter().zip(&self.sources).map(|(sum, source)| source.ratio(*sum)));
            }
            sums.fill(0.0);
        }
        logarithms.iter_mut().for_each(|x| *x = ln_1p(*x));
        for (&item, logarithms) in pooled.iter().zip(logarithms.chunks_exact(n.max(1))) {
            give(
                item,
                logarithms.iter().zip(&self.weights).map(|(logarithm, weight)| weight * logarithm).sum(),
            );
        }
        scratch.met = met;
    }

    /// [`Self::scores`] of many histories.
    pub fn score_all(&self, histories: &[&[u32]]) -> Vec<Vec<Scored>> {
        let run = |scratch: &mut Scratch, history: &&[u32]| self.scores(history, scratch);
        histories.par_iter().with_min_len(64).map_init(|| self.scratch(), run).collect()
    }

    /// Adds up all sources; the items that any of them leads to, some perhaps twice. The sums stand in `scratch`,
    /// `[I + 1, sources]`.
    fn sums(&self, history: &[u32], scratch: &mut Scratch) -> Vec<u32> {
        let n = self.sources.len();
        let mut met = std::mem::take(&mut scratch.met);
        met.clear();
        let distinct = newest_first(history, self.items);
        for (s, source) in self.sources.iter().enumerate() {
            let mut weight = 1.0f32;
            for &item in &distinct {
                for &(other, value) in source.lists.row(item as usize) {
                    let row = &mut scratch.sums[other as usize * n..][..n];
                    // Sums may come back to 0: such an item is met twice, and its sums are read and cleared the first time.
                    if row.iter().all(|sum| *sum == 0.0) {
                        met.push(other);
                    }
                    row[s] += weight * value;
                }
                weight *= source.decay;
                if weight < LEAST_WEIGHT {
                    break;
                }
            }
        }
        met
    }
}

impl Source {
    fn ratio(&self, sum: f32) -> f32 {
        sum.max(0.0) / self.scale
    }

    fn logarithm(&self, sum: f32) -> f32 {
        ln_1p(self.ratio(sum))
    }
}

/// ln(1 + x) for x from 0 on, to 2e-7 of itself or of 1: the area tangent's series around the nearest power of 2. Without branches
/// or calls, so that a loop of it is vector instructions, and the same bits on every machine.
#[inline]
fn ln_1p(x: f32) -> f32 {
    /// Bits of the square root of 1/2: mantissas are taken from there to the square root of 2.
    const LEAST: u32 = 0x3f35_04f3;
    let bits = (1.0 + x).to_bits() - LEAST;
    let exponent = (bits >> 23) as i32 as f32;
    let mantissa = f32::from_bits((bits & 0x007f_ffff) + LEAST);
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0 + square / 9.0)));
    exponent * std::f32::consts::LN_2 + 2.0 * t * series
}

/// What [`Memory::scores`] adds up in; the sums are zeros between its calls.
#[derive(Debug, Default)]
pub struct Scratch {
    /// `[I + 1, sources]`
    sums: Vec<f32>,
    met: Vec<u32>,
    pooled: Vec<u32>,
    /// `[items in pooled, sources]`
    logarithms: Vec<f32>,
}

/// The distinct items of a history, the newest first, as far as they were there to be counted.
fn newest_first(history: &[u32], items: usize) -> Vec<u32> {
    let mut distinct: Vec<u32> = Vec::with_capacity(history.len().min(LOOK_BACK));
    for &item in history.iter().rev().take(LOOK_BACK) {
        if item as usize <= items && !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    distinct
}

fn counted_sources<'a>(
    config: &MemoryConfig,
    users: usize,
    items: usize,
    history: impl Fn(usize) -> &'a [u32] + Sync,
) -> Vec<Source> {
    let source = |name: &str, lists, decay: f64| Source {
        name: name.into(),
        lists,
        decay: decay as f32,
        scale: COUNTED_SCALE,
    };
    let neighbours = config.neighbours;
    let regression = Regression { neighbours, ridge: config.ridge };
    let lists = CoOccurrence { regression, pair_decay: config.pair_decay }.fit(users, items, &history);
    let mut sources = vec![source("co_occurrence", lists, config.decay)];
    if config.sequence {
        // Few items come just before another one: half as many neighbours do as well, and cost an eighth.
        let regression = Regression { neighbours: neighbours.div_ceil(2), ridge: config.sequence_ridge };
        let lists = Sequence { regression, decay: config.sequence_decay }.fit(users, items, history);
        sources.push(source("sequence", lists, config.sequence_decay));
    }
    sources
}

/// Views whose neighbours are looked for.
fn content_views<'v>(
    config: &MemoryConfig,
    items: usize,
    views: &'v [ContentView],
) -> impl Iterator<Item = &'v ContentView> {
    let wanted = config.content;
    views.iter().filter(move |view| wanted && content::work(view, items) <= content::MOST_WORK)
}

fn content_count(config: &MemoryConfig, items: usize, views: &[ContentView]) -> usize {
    content_views(config, items, views).count()
}

fn content_sources(config: &MemoryConfig, items: usize, views: &[ContentView]) -> Vec<Source> {
    let source = |view: &ContentView| Source {
        name: view.name.clone(),
        lists: content::alike(view, items),
        decay: config.decay as f32,
        scale: CONTENT_SCALE,
    };
    content_views(config, items, views).map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORIES: [&[u32]; 6] =
        [&[1, 2, 3, 4], &[2, 3, 1], &[3, 4, 5], &[1, 3, 4, 2], &[5, 4, 1], &[2, 3, 5, 1]];

    fn memory() -> Memory {
        let config = MemoryConfig { ridge: 1.0, ..MemoryConfig::default() };
        Memory::count(&config, 6, 6, |u| HISTORIES[u], &[])
    }

    #[test]
    fn scores_are_weighted_logarithms_of_decayed_sums() {
        let memory = memory();
        let mut scratch = memory.scratch();
        let history = [3, 1, 2, 1];
        let scores = memory.scores(&history, &mut scratch);
        for item in 1..=6u32 {
            let mut expected = 0.0f64;
            for (source, weight) in memory.sources().iter().zip(memory.weights()) {
                let mut sum = 0.0f64;
                for (age, from) in [1usize, 2, 3].into_iter().enumerate() {
                    let row = source.lists.row(from).iter();
                    let value = row.filter(|e| e.0 == item).map(|e| f64::from(e.1)).sum::<f64>();
                    sum += f64::from(source.decay).powi(age as i32) * value;
                }
                expected += f64::from(*weight) * (sum.max(0.0) / f64::from(source.scale)).ln_1p();
            }
            let found = scores.iter().find(|s| s.0 == item).map_or(0.0, |s| f64::from(s.1));
            assert!((found - expected).abs() < 1e-5, "item {item}: {found} and {expected}");
        }
        assert!(scores.is_sorted_by_key(|s| s.0) && scores.iter().all(|s| s.1 > 0.0));
        // Item 6 was never counted.
        assert!(scores.iter().all(|s| s.0 < 6));
        assert!(scratch.sums.iter().all(|&sum| sum == 0.0), "the scratch is clean again");
        assert_eq!(memory.scores(&history, &mut scratch), scores);
    }

    #[test]
    fn logarithms_are_those_of_the_standard_library() {
        let all = (0..40_000).map(|n| (f64::from(n) / 2000.0).exp() - 1.0).chain([1e-8, 1e-3, 0.02]);
        for x in all.map(|x| x as f32) {
            let expected = f64::from(x).ln_1p();
            let gap = (f64::from(ln_1p(x)) - expected).abs();
            assert!(gap < 2e-7 * expected.max(1.0), "{x}: {gap}");
        }
        assert_eq!(ln_1p(0.0), 0.0);
    }

    #[test]
    fn nothing_is_known_of_an_empty_history_or_an_unknown_item() {
        let memory = memory();
        let mut scratch = memory.scratch();
        assert!(memory.scores(&[], &mut scratch).is_empty());
        assert!(memory.scores(&[6], &mut scratch).is_empty());
    }

    #[test]
    fn the_count_is_the_same_with_any_number_of_threads() {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(one.install(memory), three.install(memory));
    }
}

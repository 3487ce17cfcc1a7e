//! Micro-batches as pure functions of (seed, epoch, index), prepared on the host.
//!
//! A batch is (distinct items, inverse index, lengths): every item once, in groups of similar token counts,
//! and for each window the columns of its items in that list (docs/odmt.md, section 7).

use std::collections::HashMap;
use std::sync::Arc;

use super::masked::{HistoryDropout, Masked};
use super::negatives::NegativeSampler;
use super::remembered;
use super::windows::Cut;
pub use super::windows::Window;
use crate::config::{ObjectiveConfig, ObjectiveKind, SavingsConfig, Windows};
use crate::data::{ItemId, Sequences};
use crate::memory::Memory;
use crate::model::{Column, Histories, ItemBlock, ViewSource};
use crate::objective::BLOCKED;
use crate::objective::kernels::drawn::Drawn;
use crate::objective::kernels::losses::Candidates;
use crate::ops::Noise;
use crate::train::system::shuffled;

/// One micro-batch on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Key of this micro-batch's noise.
    pub noise_key: u64,
    /// Items to encode. In-batch softmax: a column each.
    pub block: ItemBlock,
    /// The inputs of B windows, R in all: each is a row of the scores.
    pub histories: Histories<Column>,
    /// What the memory makes of each row's candidates, `[R, U]` or `[R, 1 + K]`, where it teaches.
    pub remembered: Option<Arc<[f32]>>,
    /// What branches read in their place where windows drop views; at most one for each branch.
    pub masked: Vec<Masked>,
    /// Labels, weights and popularity of the rows' softmax: over the block's items, over the drawn ones, or over
    /// the catalogue, which needs labels alone (rows among the items that training may see).
    pub candidates: Arc<Candidates>,
    /// Which of the block's items each row is scored against, where they are drawn.
    pub drawn: Option<Arc<Drawn>>,
}

/// Cuts windows from the training part and makes batches of them.
pub struct Sampler {
    sequences: Sequences,
    windows: Vec<Window>,
    /// Training events that some window reads, by item; entry 0 is 0.
    window_counts: Vec<u32>,
    /// ln p by item; entry 0 is 0.
    log_popularity: Vec<f32>,
    views: Vec<Option<ViewSource>>,
    savings: SavingsConfig,
    objective: ObjectiveKind,
    negatives: NegativeSampler,
    eligible: Option<Arc<[u32]>>,
    seed: u64,
    batch_users: usize,
    /// Whole training sequences are masked, not only the window.
    mask_whole: bool,
    /// Absent where no window drops a view.
    history_dropout: Option<HistoryDropout>,
    /// Absent where it teaches nobody.
    memory: Option<Arc<Memory>>,
}

/// What a sampler needs besides data.
pub struct SamplerOptions {
    pub seed: u64,
    pub batch_users: usize,
    pub max_seq_len: usize,
    pub min_train_len: usize,
    pub windows: Windows,
    pub objective: ObjectiveConfig,
    pub savings: SavingsConfig,
}

impl Sampler {
    /// `items` is I. Popularity is counted over the windows, each training item once.
    pub fn new(
        sequences: &Sequences,
        items: usize,
        views: Vec<Option<ViewSource>>,
        options: &SamplerOptions,
    ) -> Self {
        let SamplerOptions { max_seq_len, min_train_len, windows, .. } = *options;
        let cut = Cut { windows, max_seq_len, min_train_len };
        let window_counts = cut.window_counts(sequences, items);
        let counts: Vec<u64> = window_counts.iter().map(|&n| u64::from(n)).collect();
        Self {
            sequences: sequences.clone(),
            windows: cut.windows(sequences),
            window_counts,
            log_popularity: log_popularity(&counts, options.objective.log_popularity_power),
            views,
            savings: options.savings.clone(),
            objective: options.objective.kind,
            negatives: NegativeSampler::new(&options.objective.negatives, &counts),
            eligible: None,
            seed: options.seed,
            batch_users: options.batch_users,
            mask_whole: options.windows == Windows::All,
            history_dropout: None,
            memory: None,
        }
    }

    /// The same sampler, whose batches hold what `memory` teaches.
    #[must_use]
    pub fn with_memory(self, memory: Option<Arc<Memory>>) -> Self {
        Self { memory, ..self }
    }

    /// The same sampler, whose windows drop views. What else a batch holds stays what it was, to the bit.
    #[must_use]
    pub fn with_history_dropout(self, history_dropout: Option<HistoryDropout>) -> Self {
        Self { history_dropout, ..self }
    }

    /// The same sampler, for which the items of which `held_out` is true (I + 1 entries) are never a wrong answer: neither
    /// drawn nor part of the full softmax. They have no training events. Where no item is held out, the draws are what they
    /// were, to the bit.
    #[must_use]
    pub fn excluding(mut self, held_out: &[bool]) -> Self {
        self.negatives = self.negatives.excluding(held_out);
        let eligible = (0..held_out.len() as u32).filter(|&item| item == 0 || !held_out[item as usize]);
        self.eligible = held_out[1..].contains(&true).then(|| eligible.collect());
        self
    }

    /// Rows of the catalogue that training may see, ascending with padding first; none where these are all.
    pub fn eligible(&self) -> Option<&Arc<[u32]>> {
        self.eligible.as_ref()
    }

    /// The row of an item among those of the full softmax.
    fn row(&self, item: u32) -> u32 {
        match &self.eligible {
            None => item,
            // A label is an item of a training window, and is eligible.
            Some(eligible) => eligible.partition_point(|&other| other < item) as u32,
        }
    }

    /// Items that can be drawn as negatives.
    pub fn drawable(&self) -> usize {
        self.negatives.drawable()
    }

    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Training events of each item that some window reads, each once: an item with none has an ID vector that was
    /// never trained. Entry 0 is 0.
    pub fn window_counts(&self) -> &[u32] {
        &self.window_counts
    }

    /// Micro-batches per epoch; the last may be short.
    pub fn batches(&self) -> usize {
        self.windows.len().div_ceil(self.batch_users)
    }

    pub fn log_popularity(&self) -> &[f32] {
        &self.log_popularity
    }

    /// The order of the windows in `epoch`: a pure function of (seed, epoch).
    pub fn order(&self, epoch: usize) -> Vec<u32> {
        shuffled(self.windows.len(), self.seed, epoch)
    }

    /// Micro-batch `index` of an epoch whose order is given.
    pub fn batch(&self, order: &[u32], epoch: usize, index: usize) -> Batch {
        let start = index * self.batch_users;
        let end = (start + self.batch_users).min(order.len());
        let windows: Vec<Window> = order[start..end].iter().map(|&w| self.windows[w as usize]).collect();
        self.assemble(&windows, Noise::key(self.seed, epoch as u64, index as u64, 0))
    }

    /// A batch of given windows.
    pub fn assemble(&self, windows: &[Window], noise_key: u64) -> Batch {
        let occurrences: Vec<u32> = windows.iter().flat_map(|w| self.items_of(w).iter().copied()).collect();
        let drawn = match self.objective {
            ObjectiveKind::Sampled | ObjectiveKind::Gbce => Some(self.draw(windows, noise_key)),
            ObjectiveKind::InBatch | ObjectiveKind::Full => None,
        };
        let negatives =
            drawn.iter().flat_map(|drawn| &drawn.negatives).map(|item| item.0).collect::<Vec<_>>();
        let (block, mut columns) = self.columns(&occurrences, &negatives, noise_key);
        let negative_columns = columns.split_off(occurrences.len());
        // Each item of a window but the last is an input, and the next one its label.
        let mut rest = columns.as_slice();
        let windows_columns: Vec<&[Column]> = windows
            .iter()
            .map(|window| {
                let (own, others) = rest.split_at(window.length as usize);
                rest = others;
                own
            })
            .collect();
        let histories: Histories<Column> =
            windows_columns.iter().map(|own| own[..own.len() - 1].iter().copied()).collect();
        let groups = self.savings.length_groups;
        let masked = self.history_dropout.iter();
        let masked =
            masked.flat_map(|dropout| dropout.masked(noise_key, &block, &histories, &self.views, groups));
        let masked = masked.collect();
        let labels: Vec<u32> =
            windows_columns.iter().flat_map(|own| &own[1..]).map(|column| column.0).collect();
        let candidates = match (&drawn, self.objective) {
            (Some(drawn), _) => Candidates {
                log_popularity: vec![0.0; 1 + drawn.count],
                log_weight: self.negatives.log_weights(drawn),
                labels: vec![0; labels.len()],
            },
            (None, ObjectiveKind::Full) => {
                let items = labels.iter().map(|&column| self.row(block.items[column as usize]));
                Candidates { labels: items.collect(), ..Candidates::default() }
            }
            (None, _) => Candidates {
                log_popularity: block.items.iter().map(|&i| self.log_popularity[i as usize]).collect(),
                log_weight: self.log_weights(windows, &block, &labels, &columns),
                labels: labels.clone(),
            },
        };
        let drawn = drawn.map(|drawn| {
            let negatives = negative_columns.into_iter().map(u32::from).collect();
            Arc::new(Drawn { labels, negatives, count: drawn.count, group_rows: drawn.group_rows })
        });
        let remembered = self.memory.as_ref();
        let remembered = remembered
            .map(|memory| remembered::scores(memory, &block.items, &histories, drawn.as_deref()).into());
        Batch { noise_key, block, histories, remembered, masked, candidates: Arc::new(candidates), drawn }
    }

    /// Right answers and negatives of the windows' rows.
    fn draw(&self, windows: &[Window], noise_key: u64) -> Drawn<ItemId> {
        let labels = windows.iter().flat_map(|w| self.items_of(w)[1..].iter().copied().map(ItemId)).collect();
        let rows = windows.iter().map(|w| w.length - 1).collect();
        self.negatives.draw(labels, rows, noise_key)
    }

    fn items_of(&self, window: &Window) -> &[u32] {
        let train = self.sequences.train_of(window.user as usize);
        &train[window.start as usize..(window.start + window.length) as usize]
    }

    /// The block to encode, and the column of every occurrence and of every negative.
    fn columns(&self, occurrences: &[u32], negatives: &[u32], noise_key: u64) -> (ItemBlock, Vec<Column>) {
        let mut items = occurrences.to_vec();
        if self.savings.distinct_items {
            items.extend_from_slice(negatives);
            items.sort_unstable();
            items.dedup();
        } else {
            // Every occurrence has a vector of its own; negatives never take part in a history.
            let mut others = negatives.to_vec();
            others.sort_unstable();
            others.dedup();
            others.retain(|item| !occurrences.contains(item));
            items.extend(others);
        }
        let block = ItemBlock::build_with_noise(items, &self.views, self.savings.length_groups, noise_key);
        // Occurrences of an item take its columns in turn: one column, or one each.
        let mut places: HashMap<u32, Vec<u32>> = HashMap::with_capacity(block.items.len());
        for (column, &item) in block.items.iter().enumerate().rev() {
            places.entry(item).or_default().push(column as u32);
        }
        let columns = occurrences.iter().chain(negatives).map(|item| {
            let places = places.get_mut(item).map_or(&mut [][..], |p| p.as_mut_slice());
            // The block was made of these items.
            let column = *places.last().expect("every occurrence has a column");
            places.rotate_right(usize::from(places.len() > 1));
            Column(column)
        });
        let columns = columns.collect();
        (block, columns)
    }

    /// Weight of a column: how many positions of the batch it fills; 0 for items of the row's own user; 1
    /// for the label (docs/odmt.md, section 3.2).
    fn log_weights(
        &self,
        windows: &[Window],
        block: &ItemBlock,
        labels: &[u32],
        columns: &[Column],
    ) -> Vec<f32> {
        let width = block.items.len();
        let mut fills = vec![0u32; width];
        columns.iter().for_each(|column| fills[column.0 as usize] += 1);
        let log_fills: Vec<f32> = fills.iter().map(|&n| (n as f32).ln()).collect();
        let mut item_columns: HashMap<u32, Vec<u32>> = HashMap::with_capacity(width);
        for (column, &item) in block.items.iter().enumerate() {
            item_columns.entry(item).or_default().push(column as u32);
        }
        let mut weights = Vec::with_capacity(labels.len() * width);
        let mut row = 0;
        for window in windows {
            let own = if self.mask_whole {
                self.sequences.train_of(window.user as usize)
            } else {
                self.items_of(window)
            };
            let mut user_weights = log_fills.clone();
            for column in own.iter().filter_map(|item| item_columns.get(item)).flatten() {
                user_weights[*column as usize] = BLOCKED;
            }
            for _ in 1..window.length {
                let start = weights.len();
                weights.extend_from_slice(&user_weights);
                weights[start + labels[row] as usize] = 0.0;
                row += 1;
            }
        }
        weights
    }
}

/// ln of (count^power, normalised); items that never occur take the smallest seen, so that they stay finite.
fn log_popularity(counts: &[u64], power: f64) -> Vec<f32> {
    let raised = |count: u64| (count as f64).powf(power);
    let total: f64 = counts.iter().filter(|&&c| c > 0).map(|&c| raised(c)).sum();
    let mut log_p: Vec<f32> =
        counts.iter().map(|&c| (raised(c.max(1)) / total.max(1.0)).ln() as f32).collect();
    if let Some(padding) = log_p.first_mut() {
        *padding = 0.0;
    }
    log_p
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(distinct_items: bool) -> Sampler {
        let lists: [&[u32]; 3] = [&[7, 1, 3, 2, 3], &[5, 7, 2], &[4, 5]];
        let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
        for list in lists {
            sequences.items.extend_from_slice(list);
            sequences.offsets.push(sequences.items.len());
        }
        sequences.times = (0..sequences.items.len() as i64).collect();
        sequences.parts = vec![crate::data::Part::Train; sequences.items.len()];
        let options = SamplerOptions {
            seed: 3,
            batch_users: 2,
            max_seq_len: 4,
            min_train_len: 2,
            windows: Windows::Last,
            objective: ObjectiveConfig::default(),
            savings: SavingsConfig { distinct_items, ..SavingsConfig::default() },
        };
        Sampler::new(&sequences, 8, vec![None], &options)
    }

    #[test]
    fn rows_labels_and_weights_follow_the_specification() {
        for distinct in [true, false] {
            let sampler = sampler(distinct);
            let batch = sampler.assemble(sampler.windows(), 0);
            let item = |column: u32| batch.block.items[column as usize];
            let inputs = batch.histories.map(|column| item(column.0));
            assert_eq!(inputs, [vec![7, 1, 3, 2], vec![5, 7], vec![4]].into_iter().collect());
            let labels: Vec<u32> = batch.candidates.labels.iter().map(|&c| item(c)).collect();
            assert_eq!(labels, [1, 3, 2, 3, 7, 2, 5]);
            let width = batch.block.items.len();
            assert_eq!(width, if distinct { 6 } else { 10 });
            // Row 4 (user 1, after item 5): own items 5, 7, 2 are out except one 7; what counts is 1 3 3 4.
            let row = &batch.candidates.log_weight[4 * width..5 * width];
            let mut mass: HashMap<u32, f32> = HashMap::new();
            row.iter().enumerate().for_each(|(c, w)| *mass.entry(item(c as u32)).or_default() += w.exp());
            for (item, expected) in [(1, 1.0), (2, 0.0), (3, 2.0), (4, 1.0), (5, 0.0), (7, 1.0)] {
                assert!((mass[&item] - expected).abs() < 1e-6, "item {item}: {}", mass[&item]);
            }
            assert_eq!(row[batch.candidates.labels[4] as usize], 0.0);
        }
    }

    #[test]
    fn order_is_a_pure_function_of_seed_and_epoch() {
        let sampler = sampler(true);
        assert_eq!(sampler.order(3), sampler.order(3));
        let orders: std::collections::HashSet<Vec<u32>> = (0..50).map(|e| sampler.order(e)).collect();
        assert!(orders.len() > 1);
        assert_eq!(sampler.batch(&sampler.order(1), 1, 0), sampler.batch(&sampler.order(1), 1, 0));
        assert_eq!(sampler.batches(), 2);
    }
}

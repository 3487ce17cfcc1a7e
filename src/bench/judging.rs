//! A full ranking by vectors that are given: what an evaluation costs once users and items are encoded.
//!
//! Shapes: `U` users, `N` users of a tile, `I` items, `D` width.

use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};

use super::disk::Loaded;
use super::workload::{BRANCHES, Workload};
use super::{BenchError, Steps, training};
use crate::config::{ENSEMBLE, EvalConfig};
use crate::data::{Choice, Dataset, Items, Part, Sequences, Target, TrainedOn};
use crate::eval::inner_product::{Catalogue, Found, Query, View};
use crate::eval::{Evaluation, ScoreError, Scorer, evaluate};
use crate::recommend::scorer::branch_scores;

/// A ranking workload, ready to run.
pub struct Judging {
    dataset: Dataset,
    scorer: VectorScorer,
    config: EvalConfig,
    /// S, by which the history rule `window` is measured: the workload's longest history.
    max_seq_len: usize,
}

/// One timed ranking of all targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Number of the timed ranking, from 0; warm-ups are not counted.
    pub index: usize,
    pub seconds: f64,
    pub evaluation: Evaluation,
}

impl Judging {
    /// `sets` are `key=value` of the configuration, of which `eval` is read; `device` is a plain device.
    ///
    /// # Errors
    /// A set is refused, or the workload's directory is damaged.
    pub fn new(loaded: &Loaded, sets: &[String], device: &Device) -> Result<Self, BenchError> {
        let Workload { items, width, .. } = loaded.workload;
        let (histories, targets) = loaded.histories()?;
        let mut scorer =
            VectorScorer { users: Vec::new(), items: Vec::new(), catalogue: None, device: device.clone() };
        let mut exact = Vec::new();
        for branch in loaded.vectors()? {
            let items_vd = TensorData::new(branch.items.clone(), [items + 1, width]);
            scorer.items.push(Tensor::from_data(items_vd, device));
            exact.push(branch.items);
            scorer.users.push(branch.users);
        }
        scorer.catalogue = Catalogue::new(exact, width);
        let config = training::config(&loaded.workload, &loaded.dir, sets)?;
        let max_seq_len = config.data.max_seq_len;
        Ok(Self { dataset: dataset(&histories, &targets, items), scorer, config: config.eval, max_seq_len })
    }

    /// Ranks all targets, `steps.timed` times; `on_step` is told of every timed one.
    ///
    /// # Errors
    /// The scores could not be computed.
    pub fn run(
        &mut self,
        steps: Steps,
        on_step: &mut dyn FnMut(&Ranking) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let step = |index, _| {
            let start = Instant::now();
            let evaluation = self.rank()?;
            Ok(Ranking { index, seconds: start.elapsed().as_secs_f64(), evaluation })
        };
        steps.run(step, on_step)
    }

    fn rank(&mut self) -> Result<Evaluation, BenchError> {
        let Self { scorer, dataset, config, max_seq_len } = self;
        Ok(evaluate(scorer, dataset, Part::Test, config, *max_seq_len, &mut |_| {})?)
    }
}

/// Histories as training items, each user's target behind them.
fn dataset(histories: &[Vec<u32>], targets: &[u32], items: usize) -> Dataset {
    let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
    for (history, &target) in histories.iter().zip(targets) {
        sequences.items.extend(history.iter().chain([&target]));
        sequences.parts.extend(history.iter().map(|_| Part::Train).chain([Part::Test]));
        sequences.offsets.push(sequences.items.len());
    }
    sequences.times = vec![0; sequences.items.len()];
    let empty = vec![String::new(); items + 1];
    let items = Items { ids: empty.clone(), titles: empty.clone(), texts: empty.clone(), ..Items::default() };
    let users = vec![String::new(); histories.len()];
    Dataset { users, items, sequences, timed: false, hash: String::new(), trained_on: TrainedOn::default() }
}

/// Dot products of given vectors, by the same calls as a trained model's.
struct VectorScorer {
    /// `[U, D]` per branch, on the host: a tile's users travel to the device, as encoded ones would stand there.
    users: Vec<Vec<f32>>,
    /// `[I + 1, D]` per branch.
    items: Vec<Tensor<2>>,
    catalogue: Option<Catalogue>,
    device: Device,
}

impl VectorScorer {
    /// Rows of one branch, `[N, D]`.
    fn rows(&self, branch: usize, targets: &[Target]) -> Vec<f32> {
        let [_, d] = self.items[branch].dims();
        let row = |t: &Target| self.users[branch][t.user as usize * d..(t.user as usize + 1) * d].iter();
        targets.iter().flat_map(row).copied().collect()
    }
}

impl Scorer for VectorScorer {
    fn names(&self) -> Vec<String> {
        [ENSEMBLE].iter().chain(&BRANCHES).map(|&name| name.to_owned()).collect()
    }

    fn items(&self) -> usize {
        self.items.first().map_or(0, |items| items.dims()[0] - 1)
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let users = self.items.iter().enumerate().map(|(branch, items_vd)| {
            let [_, d] = items_vd.dims();
            Tensor::<2>::from_data(
                TensorData::new(self.rows(branch, targets), [targets.len(), d]),
                &self.device,
            )
        });
        let scores = branch_scores(users.collect(), &self.items);
        out.iter_mut().zip(scores).for_each(|(out, scores)| *out = scores);
        Ok(())
    }

    fn rank(
        &mut self,
        targets: &[Target],
        queries: &[Query],
        k: usize,
        among: Option<&Choice>,
    ) -> Result<Option<Vec<Vec<Found>>>, ScoreError> {
        // The workload has no choice; under one the scores are written down.
        if among.is_some() {
            return Ok(None);
        }
        let users: Vec<Vec<f32>> = (0..self.items.len()).map(|branch| self.rows(branch, targets)).collect();
        let views = View::all(self.items.len());
        Ok(self.catalogue.as_ref().map(|catalogue| catalogue.rank(&views, &users, queries, k)))
    }
}

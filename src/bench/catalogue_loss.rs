//! The loss over the whole catalogue from given vectors, with its gradients: a step without its model.
//!
//! Shapes: `R` rows, `I` items, `D` width.

use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};

use super::disk::Loaded;
use super::workload::Workload;
use super::{BenchError, Steps, training};
use crate::config::DistillPair;
use crate::objective::kernels::full_softmax::Branch;
use crate::objective::{FullSoftmax, TermLosses};
use crate::params::host;
use crate::train::phase::Phase;

/// A loss workload, ready to run.
pub struct CatalogueLoss {
    objective: FullSoftmax,
    branches: Vec<&'static str>,
    pairs: Vec<DistillPair>,
    /// Users `[R, D]` and items `[I + 1, D]` of every branch, on the plain device.
    vectors: Vec<Branch<Tensor<2>>>,
    /// `[R]`
    labels: Vec<u32>,
    device: Device,
}

/// One timed loss.
#[derive(Clone, Debug, PartialEq)]
pub struct LossTime {
    /// Number of the timed step, from 0; warm-ups are not counted.
    pub index: usize,
    /// Forward and backward.
    pub seconds: f64,
    pub loss: f64,
    pub branches: Vec<BranchLoss>,
    /// Distillation terms without their weight, `student_from_teacher`.
    pub distilled: Vec<(String, f64)>,
}

/// What became of one branch.
#[derive(Clone, Debug, PartialEq)]
pub struct BranchLoss {
    pub name: &'static str,
    pub cross_entropy: f64,
    /// Euclidean norms of the whole loss's gradients by the branch's vectors.
    pub users_gradient: f64,
    pub items_gradient: f64,
}

impl CatalogueLoss {
    /// `sets` are `key=value` of the configuration, of which `objective` is read; `device` is a plain device.
    ///
    /// # Errors
    /// A set is refused, or the workload's directory is damaged.
    pub fn new(loaded: &Loaded, sets: &[String], device: &Device) -> Result<Self, BenchError> {
        let Workload { users, items, width, .. } = loaded.workload;
        let config = training::config(&loaded.workload, &loaded.dir, sets)?.objective;
        if let Some(set) = sets.iter().find(|set| set.trim_start().starts_with("objective.terms")) {
            // The loss of given vectors is the softmax and its distillation alone.
            return Err(BenchError::Idle {
                set: set.clone(),
                read: "objective.distill, objective.chunk_items".into(),
            });
        }
        let branches = loaded.workload.branches().to_vec();
        let names: Vec<String> = branches.iter().map(|&name| name.to_owned()).collect();
        let tensor = |values, rows| Tensor::from_data(TensorData::new(values, [rows, width]), device);
        let vectors = loaded.vectors()?.into_iter();
        let vectors =
            vectors.map(|b| Branch { users: tensor(b.users, users), items: tensor(b.items, items + 1) });
        Ok(Self {
            objective: FullSoftmax::new(&config, &names),
            branches,
            pairs: config.distill.pairs,
            vectors: vectors.collect(),
            labels: loaded.labels()?,
            device: device.clone(),
        })
    }

    /// Computes loss and gradients; `on_step` is told of every timed time.
    ///
    /// # Errors
    /// The loss is no number, or the device failed.
    pub fn run(
        &self,
        steps: Steps,
        on_step: &mut dyn FnMut(&LossTime) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        steps.run(|index, _| self.step(index), on_step)
    }

    fn step(&self, index: usize) -> Result<LossTime, BenchError> {
        let leaf = |x: &Tensor<2>| Tensor::from_inner(x.clone()).require_grad();
        let leaves: Vec<_> =
            self.vectors.iter().map(|b| Branch { users: leaf(&b.users), items: leaf(&b.items) }).collect();
        let start = Instant::now();
        // Epoch 1: weights do not change.
        let TermLosses { total, parts, .. } =
            self.objective.walk(leaves.clone(), &self.labels, Phase::whole(1));
        let mut grads = total.backward();
        let mut slope = |x: &Tensor<2>| x.grad_remove(&mut grads);
        let slopes: Vec<_> =
            leaves.iter().map(|b| Branch { users: slope(&b.users), items: slope(&b.items) }).collect();
        self.device.sync().map_err(|e| BenchError::Device(format!("{e:?}")))?;
        let seconds = start.elapsed().as_secs_f64();
        let loss = f64::from(host(total.inner())[0]);
        if !loss.is_finite() {
            return Err(BenchError::Diverged { loss, step: index });
        }
        let terms: Vec<f64> = host(parts).into_iter().map(f64::from).collect();
        let branch_loss =
            |((&name, &cross_entropy), slopes): ((&&'static str, &f64), Branch<_>)| BranchLoss {
                name,
                cross_entropy,
                users_gradient: norm(slopes.users),
                items_gradient: norm(slopes.items),
            };
        let branches = self.branches.iter().zip(&terms).zip(slopes).map(branch_loss).collect();
        let pairs = self.pairs.iter().map(|pair| format!("{}_from_{}", pair.student, pair.teacher));
        let distilled = pairs.zip(terms[self.branches.len()..].iter().copied()).collect();
        Ok(LossTime { index, seconds, loss, branches, distilled })
    }
}

/// 0 where nothing flowed.
fn norm(gradient: Option<Tensor<2>>) -> f64 {
    let values = gradient.map_or_else(Vec::new, host);
    values.into_iter().map(|g| f64::from(g).powi(2)).sum::<f64>().sqrt()
}

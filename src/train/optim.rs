//! AdamW with PyTorch's semantics, clipping and schedules (docs/odmt.md, section 4).

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;

use super::gradients::{Gradient, Gradients};
use super::stages::{PatternError, matching};
use crate::config::{Decay, OptimConfig, Schedule};
use crate::ops::adamw::{Entries, Factors, adamw, adamw_rows};
use crate::params;

/// Optimiser state of one parameter.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Running mean of the gradient, flat.
    pub first: Tensor<1>,
    /// Running mean of its square, flat.
    pub second: Tensor<1>,
    /// Updates made; a parameter outside the graph of a step is not updated and does not decay. Updates of a
    /// table count whichever of its rows they reach, as in PyTorch's SparseAdam.
    pub updates: u64,
}

/// AdamW over all parameters.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: OptimConfig,
    /// Number of the group of each parameter that is in one.
    groups: BTreeMap<String, usize>,
    pub state: BTreeMap<String, Moments>,
}

impl AdamW {
    /// One group of all parameters.
    pub fn new(config: &OptimConfig) -> Self {
        Self { config: config.clone(), groups: BTreeMap::new(), state: BTreeMap::new() }
    }

    /// The groups of `config` among the parameters `names`; the first that matches a parameter has it.
    ///
    /// # Errors
    /// A pattern is malformed, matches none of them, or none that an earlier group has not.
    pub fn grouped(config: &OptimConfig, names: &[String]) -> Result<Self, PatternError> {
        let mut groups = BTreeMap::new();
        for (n, group) in config.groups.iter().enumerate() {
            let key = format!("optim.groups.{n}.parameters");
            let mut own = 0;
            for name in matching(&key, &group.parameters, names)? {
                own += usize::from(*groups.entry(name).or_insert(n) == n);
            }
            if own == 0 {
                return Err(PatternError::Taken { key, pattern: group.parameters.clone() });
            }
        }
        Ok(Self { groups, ..Self::new(config) })
    }

    /// One update. `scale` multiplies every gradient (clipping, averaging).
    ///
    /// Written in place on the CPU where `model` holds the only handles of its values: pass it on, not a clone.
    pub fn step<M: Module>(&mut self, model: M, mut grads: Gradients, lr: f64, scale: f64) -> M {
        params::map(model, &mut |name, shape, value| match grads.remove(name) {
            Some(grad) => self.update(name, shape.len(), value, grad, lr, scale),
            None => value,
        })
    }

    fn update(
        &mut self,
        name: &str,
        rank: usize,
        value: Tensor<1>,
        grad: Gradient,
        lr: f64,
        scale: f64,
    ) -> Tensor<1> {
        let OptimConfig { beta1, beta2, eps, .. } = self.config;
        let Moments { first, second, updates } = self.state.remove(name).unwrap_or_else(|| Moments {
            first: value.zeros_like(),
            second: value.zeros_like(),
            updates: 0,
        });
        let updates = updates + 1;
        let t = updates as f64;
        let group = self.groups.get(name).map(|&n| &self.config.groups[n]);
        // The schedule is linear in its peak.
        let lr = group.and_then(|group| group.lr).map_or(lr, |peak| lr * (peak / self.config.lr));
        let decay = match group.and_then(|group| group.weight_decay) {
            Some(decay) => decay,
            None if self.decays(name, rank) => self.config.weight_decay,
            None => 0.0,
        };
        let factors = Factors {
            beta1,
            beta2,
            eps,
            rate: lr / (1.0 - beta1.powf(t)),
            correction: 1.0 - beta2.powf(t),
            keep: 1.0 - lr * decay,
            scale,
        };
        let entries = Entries { value, first, second };
        let Entries { value, first, second } = match grad {
            Gradient::Dense(grad) => adamw(entries, grad, &factors),
            Gradient::Rows(grad) => adamw_rows(entries, &grad.rows, grad.values, &factors),
        };
        self.state.insert(name.to_owned(), Moments { first, second, updates });
        value
    }

    fn decays(&self, name: &str, rank: usize) -> bool {
        match self.config.decay {
            Decay::All => true,
            Decay::Matrices => rank > 1 && !name.ends_with("table") && !name.ends_with("positions"),
        }
    }
}

/// PyTorch's clipping coefficient: `max / (norm + 1e-6)`, at most 1; `max` 0 switches clipping off.
pub fn clip_coefficient(norm: f64, max: f64) -> f64 {
    if max <= 0.0 { 1.0 } else { (max / (norm + 1e-6)).min(1.0) }
}

/// Learning rate of optimiser step `step` (from 0) of `total`, on a schedule whose peak is `peak`.
pub fn learning_rate(config: &OptimConfig, peak: f64, step: u64, total: u64) -> f64 {
    let warmup = config.warmup_steps as u64;
    if step < warmup {
        return peak * (step + 1) as f64 / warmup as f64;
    }
    let span = total.saturating_sub(warmup).max(1) as f64;
    let done = ((step - warmup) as f64 / span).min(1.0);
    let left = match config.schedule {
        Schedule::Constant => return peak,
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        Schedule::Linear => 1.0 - done,
    };
    peak * (config.final_lr_share + (1.0 - config.final_lr_share) * left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_warm_up_and_end_where_asked() {
        let config = |schedule| OptimConfig {
            lr: 1.0,
            schedule,
            warmup_steps: 4,
            final_lr_share: 0.1,
            ..OptimConfig::default()
        };
        for schedule in [Schedule::Constant, Schedule::Cosine, Schedule::Linear] {
            let config = config(schedule);
            assert_eq!(learning_rate(&config, 1.0, 0, 104), 0.25);
            assert_eq!(learning_rate(&config, 1.0, 4, 104), 1.0);
        }
        let end = |s| learning_rate(&config(s), 1.0, 104, 104);
        assert_eq!(end(Schedule::Constant), 1.0);
        assert!((end(Schedule::Cosine) - 0.1).abs() < 1e-12);
        assert!((end(Schedule::Linear) - 0.1).abs() < 1e-12);
        assert!((learning_rate(&config(Schedule::Linear), 1.0, 54, 104) - 0.55).abs() < 1e-12);
        assert!((learning_rate(&config(Schedule::Cosine), 1.0, 54, 104) - 0.55).abs() < 1e-12);
    }

    #[test]
    fn clipping_matches_pytorch() {
        assert_eq!(clip_coefficient(2.0, 5.0), 1.0);
        assert_eq!(clip_coefficient(20.0, 0.0), 1.0);
        assert!((clip_coefficient(20.0, 5.0) - 5.0 / 20.000_001).abs() < 1e-15);
    }
}

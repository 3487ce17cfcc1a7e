//! What each branch counts in the ensemble: logarithmic pooling, a weighted sum of scores, which are logarithms of
//! probabilities up to a constant (Genest and Zidek 1986, "Combining probability distributions").
//!
//! Shapes: `N` branches, a memory among them and last; `K` folds of users.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::params;
use crate::rng;

/// The weights' name among a model's parameters.
pub const WEIGHTS: &str = "ensemble.weights";
/// Folds of the users of the validation part: the weights of each are fitted on the others.
pub const FOLDS: usize = 4;
/// Least weight: a branch never counts against what it says.
pub const FLOOR: f64 = 1e-3;
/// Features of a history that weights depend on: 1 and its length.
pub const FEATURES: usize = 2;

/// Columns of a row of weights of so many branches.
pub const fn columns(branches: usize) -> usize {
    FEATURES * branches + 1
}

/// Weights as parameters of a model, so that they lie in checkpoints and exports. No gradient reaches them.
#[derive(Module, Debug)]
pub struct Ensemble {
    /// `[1 + K, 2 N + 1]`: row 0 is for everybody, the others for validation targets of a fold. In a row each branch has its
    /// weight and how it changes with the length of the history; the last entry is what an item gains that the user has had.
    pub weights: Param<Tensor<2>>,
}

impl Ensemble {
    /// Equal weights of `branches`.
    pub fn new(branches: usize, device: &Device) -> Self {
        let row = (0..branches).flat_map(|_| [1.0 / branches as f32, 0.0]).chain([0.0]);
        let values: Vec<f32> = row.collect::<Vec<f32>>().repeat(1 + FOLDS);
        Self { weights: parameter(values, branches, device) }
    }

    /// These weights, `[1 + K, 2 N + 1]`.
    ///
    /// # Panics
    /// There are not as many.
    #[must_use]
    pub fn with(self, values: Vec<f32>) -> Self {
        let [_, width] = self.weights.dims();
        let device = self.weights.val().device();
        Self { weights: parameter(values, width / FEATURES, &device) }
    }

    /// On the host.
    pub fn weights(&self) -> Weights {
        let [_, width] = self.weights.dims();
        let fitted = Some(params::host(self.weights.val()));
        Weights { branches: width / FEATURES, fitted, silent: Vec::new() }
    }
}

fn parameter(values: Vec<f32>, branches: usize, device: &Device) -> Param<Tensor<2>> {
    let data = TensorData::new(values, [1 + FOLDS, columns(branches)]);
    Param::from_tensor(Tensor::from_data(data, device))
}

/// What each branch counts for a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    branches: usize,
    /// `[1 + K, 2 N + 1]`; absent where all count the same.
    fitted: Option<Vec<f32>>,
    /// Places of branches that count nothing.
    silent: Vec<usize>,
}

impl Weights {
    pub fn equal(branches: usize) -> Self {
        Self { branches, fitted: None, silent: Vec::new() }
    }

    /// N.
    pub fn branches(&self) -> usize {
        self.branches
    }

    /// The same weights, but for the branches in these places, which count nothing.
    #[must_use]
    pub fn without(self, silent: Vec<usize>) -> Self {
        Self { silent, ..self }
    }

    /// Whether all branches count the same for everybody.
    pub fn are_equal(&self) -> bool {
        self.fitted.is_none() && self.silent.is_empty()
    }

    /// N weights for a history of so many items; those of a fold for a validation target.
    pub fn row(&self, fold: Option<usize>, items: usize) -> Vec<f32> {
        let features = features(items);
        let mut row: Vec<f32> = match &self.fitted {
            None => vec![1.0 / self.branches as f32; self.branches],
            Some(fitted) => {
                let branches = fitted[self.start(fold)..].chunks_exact(FEATURES).take(self.branches);
                let weight = |own: &[f32]| own.iter().zip(features).map(|(w, x)| w * x).sum::<f32>();
                branches.map(|own| weight(own).max(FLOOR as f32)).collect()
            }
        };
        self.silent.iter().for_each(|&place| row[place] = 0.0);
        row
    }

    /// What an item of the history gains, in the ensemble alone: below 0 where nobody takes the same again.
    pub fn seen(&self, fold: Option<usize>) -> f32 {
        self.fitted.as_ref().map_or(0.0, |fitted| fitted[self.start(fold) + FEATURES * self.branches])
    }

    fn start(&self, fold: Option<usize>) -> usize {
        fold.map_or(0, |fold| 1 + fold) * columns(self.branches)
    }
}

/// What weights depend on: 1, and the logarithm of the history's length, which is 0 for ten items.
pub fn features(items: usize) -> [f32; FEATURES] {
    [1.0, ((1.0 + items as f32) / 11.0).ln()]
}

/// The fold of a user: a function of the number alone.
pub fn fold(user: u32) -> usize {
    rng::mix64(u64::from(user)) as usize % FOLDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_weights_are_equal_for_every_history() {
        let weights = Ensemble::new(4, &Device::default()).weights();
        for (fold, items) in [(None, 1), (Some(0), 10), (Some(FOLDS - 1), 400)] {
            assert_eq!(weights.row(fold, items), [0.25; 4]);
        }
        assert_eq!(Weights::equal(4).row(None, 7), [0.25; 4]);
        assert!(Weights::equal(4).are_equal() && !weights.are_equal());
    }

    #[test]
    fn weights_follow_the_length_of_the_history_and_stay_above_zero() {
        let mut values = vec![0.0; (1 + FOLDS) * 5];
        values[..5].copy_from_slice(&[0.5, 0.1, 0.2, -1.0, -7.0]);
        values[10..15].copy_from_slice(&[9.0, 0.0, 8.0, 0.0, 3.0]);
        let weights = Ensemble::new(2, &Device::default()).with(values).weights();
        assert_eq!(weights.row(None, 10), [0.5, 0.2]);
        let long = weights.row(None, 109);
        assert!((long[0] - (0.5 + 0.1 * 10f32.ln())).abs() < 1e-6);
        assert_eq!(long[1], FLOOR as f32);
        assert_eq!(weights.row(Some(1), 109), [9.0, 8.0]);
        assert_eq!(
            (weights.seen(None), weights.seen(Some(1)), Weights::equal(2).seen(None)),
            (-7.0, 3.0, 0.0)
        );
        assert_eq!(weights.without(vec![0]).row(None, 10), [0.0, 0.2]);
        assert_eq!(Weights::equal(2).without(vec![1]).row(None, 10), [0.5, 0.0]);
    }

    #[test]
    fn folds_share_the_users_about_equally() {
        let mut counts = [0; FOLDS];
        (0..40_000).for_each(|user| counts[fold(user)] += 1);
        assert!(counts.iter().all(|&n| (9_600..10_400).contains(&n)), "{counts:?}");
    }
}

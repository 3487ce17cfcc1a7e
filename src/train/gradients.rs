//! Gradients of one optimiser step, by parameter.
//!
//! Shapes: `U` rows of a table that a step read, `F` width.

use std::collections::BTreeMap;

use burn::tensor::{Int, Tensor, TensorData};

use crate::ops::gradient::square_sum;
use crate::ops::use_kernels;
use crate::params;

/// Gradients by parameter name.
pub type Gradients = BTreeMap<String, Gradient>;

/// Gradient of one parameter.
#[derive(Clone, Debug)]
pub enum Gradient {
    /// Of every entry, flat.
    Dense(Tensor<1>),
    /// Of some rows of a table; the others had no part in the loss.
    Rows(RowGradient),
}

/// Gradient of rows of a table.
#[derive(Clone, Debug)]
pub struct RowGradient {
    /// U different rows.
    pub rows: Vec<u32>,
    /// `[U, F]`
    pub values: Tensor<2>,
}

impl Gradient {
    /// The entries that are kept, flat: all that are not 0 by construction.
    pub fn values(&self) -> Tensor<1> {
        match self {
            Self::Dense(grad) => grad.clone(),
            Self::Rows(grad) => {
                let [u, width] = grad.values.dims();
                grad.values.clone().reshape([u * width])
            }
        }
    }
}

impl RowGradient {
    /// The sum of both, over the rows of either.
    fn plus(self, other: Self) -> Self {
        let mut rows = [self.rows.as_slice(), &other.rows].concat();
        rows.sort_unstable();
        rows.dedup();
        let values = self.spread(&rows) + other.spread(&rows);
        Self { rows, values }
    }

    /// Values at `rows`, which ascend and hold all of its own: `[rows, F]`, 0 where it has none.
    fn spread(self, rows: &[u32]) -> Tensor<2> {
        let device = self.values.device();
        let [u, width] = self.values.dims();
        let mut places = vec![u as i32; rows.len()];
        for (place, row) in self.rows.iter().enumerate() {
            if let Ok(at) = rows.binary_search(row) {
                places[at] = place as i32;
            }
        }
        // A look-up, not a scatter: it is fast and in one order on every device.
        let padded = Tensor::cat(vec![self.values, Tensor::zeros([1, width], &device)], 0);
        padded.select(0, Tensor::<1, Int>::from_data(TensorData::new(places, [rows.len()]), &device))
    }
}

/// Adds `other` to `grads`.
pub fn accumulate(grads: &mut Gradients, other: Gradients) {
    for (name, grad) in other {
        let sum = match (grads.remove(&name), grad) {
            (None, grad) => grad,
            (Some(Gradient::Dense(before)), Gradient::Dense(grad)) => Gradient::Dense(before + grad),
            (Some(Gradient::Rows(before)), Gradient::Rows(grad)) => Gradient::Rows(before.plus(grad)),
            // A parameter's gradients all come from one kind of step.
            (Some(_), grad) => grad,
        };
        grads.insert(name, sum);
    }
}

/// L2 norm over all gradients; NaN or infinite if any entry is.
pub fn global_norm(grads: &Gradients) -> f64 {
    let all: Vec<Tensor<1>> = grads.values().map(Gradient::values).collect();
    if all.is_empty() {
        return 0.0;
    }
    if use_kernels(&all[0].device()) {
        return all.into_iter().map(square_sum).sum::<f64>().sqrt();
    }
    // One transfer for all.
    params::host(square_sums(grads)).iter().map(|&s| f64::from(s)).sum::<f64>().sqrt()
}

/// Sum of the squares of each gradient, `[gradients]`, left on the device.
pub fn square_sums(grads: &Gradients) -> Tensor<1> {
    Tensor::cat(grads.values().map(|grad| grad.values().square().sum()).collect(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn rows(rows: &[u32], values: &[f32]) -> Gradients {
        let values = TensorData::new(values.to_vec(), [rows.len(), 2]);
        let values = Tensor::from_data(values, &Device::flex());
        BTreeMap::from([("table".into(), Gradient::Rows(RowGradient { rows: rows.to_vec(), values }))])
    }

    #[test]
    fn rows_of_micro_batches_add_up_by_row_and_count_in_the_norm() {
        let mut sum = Gradients::new();
        accumulate(&mut sum, rows(&[7, 2], &[1.0, 2.0, 3.0, 4.0]));
        accumulate(&mut sum, rows(&[9, 7], &[0.5, 0.0, 10.0, 20.0]));
        assert_eq!(global_norm(&sum), (9.0 + 16.0 + 121.0 + 484.0 + 0.25f64).sqrt());
        let Some(Gradient::Rows(sum)) = sum.remove("table") else { panic!("the kind changed") };
        assert_eq!(sum.rows, [2, 7, 9]);
        assert_eq!(params::host(sum.values), [3.0, 4.0, 11.0, 22.0, 0.5, 0.0]);
    }
}

//! Loss values of a micro-batch: on the device while it computes, and on the host.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use crate::params;

/// Losses of one micro-batch, as a system returns them.
pub struct Losses {
    /// `[1]`: what is minimised.
    pub total: Tensor<1>,
    /// `[P]`: the parts that are logged, without gradient.
    pub parts: Tensor<1>,
    /// P tags below `train/`, e.g. `loss/id`.
    pub tags: Arc<[String]>,
    /// Further figures that the host knows, by tag below `train/`.
    pub figures: Vec<(&'static str, f64)>,
    /// Leaves of the graph that stand in for rows of a table.
    pub rows: Vec<TableRows>,
}

/// Rows of a table that a micro-batch reads, as a leaf of the graph in place of the table.
#[derive(Clone, Debug)]
pub struct TableRows {
    /// The table's name among the parameters.
    pub table: String,
    /// V different rows.
    pub rows: Vec<u32>,
    /// `[V, F]`, with gradient.
    pub values: Tensor<2>,
}

/// Loss values of one micro-batch on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct LossValues {
    pub total: f64,
    /// By tag below `train/`.
    pub parts: Vec<(String, f64)>,
    /// Further figures, by tag below `train/`.
    pub figures: Vec<(&'static str, f64)>,
}

impl LossValues {
    /// The values of the parts whose tags begin with `prefix`, e.g. `loss/`.
    pub fn parts_named(&self, prefix: &str) -> Vec<f64> {
        self.parts.iter().filter(|(tag, _)| tag.starts_with(prefix)).map(|(_, value)| *value).collect()
    }

    /// A further figure by its tag.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(tag, _)| *tag == name).map(|(_, value)| *value)
    }
}

/// Loss values of one micro-batch that may still be being computed.
#[derive(Clone, Debug)]
pub struct DeviceLosses {
    /// `[1 + P]`: the total and the parts.
    values: Tensor<1>,
    tags: Arc<[String]>,
    figures: Vec<(&'static str, f64)>,
}

impl DeviceLosses {
    /// Values of `losses`, whose gradients have been taken.
    pub fn new(total: Tensor<1>, losses: Losses) -> Self {
        let values = Tensor::cat(vec![total.inner(), losses.parts], 0);
        Self { values, tags: losses.tags, figures: losses.figures }
    }

    /// Waits for the values.
    pub fn read(self) -> LossValues {
        let values = params::host(self.values.clone());
        self.named(&values)
    }

    /// The values as they lie on the device.
    pub fn values(&self) -> Tensor<1> {
        self.values.clone()
    }

    /// How many [`Self::values`] there are.
    pub fn count(&self) -> usize {
        self.values.dims()[0]
    }

    /// The device that computes them.
    pub fn device(&self) -> Device {
        self.values.device()
    }

    /// [`Self::values`] that were brought to the host, under their names.
    pub fn named(self, values: &[f32]) -> LossValues {
        let parts = self.tags.iter().cloned().zip(values[1..].iter().copied().map(f64::from));
        LossValues { total: f64::from(values[0]), parts: parts.collect(), figures: self.figures }
    }
}

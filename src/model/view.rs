//! The views of an item, brought to the model's width.
//!
//! Shapes: `N` items, `T` tokens, `F` feature width, `D` width, `I` items of the catalogue.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

use super::input::GroupTokens;
use crate::nn::init::Scheme;
use crate::nn::{Init, linear};
use crate::ops::lookup::lookup;

/// One view of an item.
#[derive(Module, Debug)]
pub enum View {
    Id(IdView),
    Tokens(TokenView),
}

/// A trainable vector per item.
#[derive(Module, Debug)]
pub struct IdView {
    /// `[I + 1, F]`; row 0 is padding and never read.
    pub table: Param<Tensor<2>>,
    /// F -> D; absent where the table has the model's width (SASRec).
    pub project: Option<Linear>,
}

/// Frozen token features.
#[derive(Module, Debug)]
pub struct TokenView {
    /// F -> D
    pub project: Linear,
    /// `[D]`: the only token of an item that lacks this view.
    pub missing: Param<Tensor<1>>,
}

impl View {
    pub fn id(table: Param<Tensor<2>>, project_to: Option<usize>, init: &mut Init) -> Self {
        let [_, width] = table.dims();
        let project = project_to.map(|d| init.linear(width, d, true, Scheme::Uniform));
        Self::Id(IdView { table, project })
    }

    pub fn tokens(feature_width: usize, width: usize, init: &mut Init) -> Self {
        let project = init.linear(feature_width, width, true, Scheme::Uniform);
        // As a projected token starts: bounded by the projection's own bias.
        let missing = init.uniform([width], (feature_width as f64).sqrt().recip());
        Self::Tokens(TokenView { project, missing })
    }

    /// Tokens of the items `ids`; `tokens` are their features in a token view.
    ///
    /// # Shapes
    /// - ID view: `[N] -> [N, 1, D]`
    /// - token view: `[N, T, F] -> [N, T, D]`
    pub fn forward(&self, ids: &[u32], tokens: Option<&GroupTokens>, device: &Device) -> Tensor<3> {
        match (self, tokens) {
            (Self::Tokens(view), Some(tokens)) => view.forward(ids.len(), tokens, device),
            (Self::Tokens(view), None) => view.all_missing(ids.len()),
            (Self::Id(view), _) => view.forward(ids),
        }
    }
}

impl IdView {
    fn forward(&self, ids: &[u32]) -> Tensor<3> {
        self.tokens(lookup(self.table.val(), ids))
    }

    /// Rows of the table as tokens at the model's width.
    ///
    /// # Shapes
    /// `[N, F] -> [N, 1, D]`
    pub(super) fn tokens(&self, rows_nf: Tensor<2>) -> Tensor<3> {
        let rows_nd = self.projected(rows_nf);
        let [n, d] = rows_nd.dims();
        rows_nd.reshape([n, 1, d])
    }

    /// Every item at the model's width, `[I + 1, D]`, padding included.
    pub fn all(&self) -> Tensor<2> {
        self.projected(self.table.val())
    }

    fn projected(&self, rows_nf: Tensor<2>) -> Tensor<2> {
        match &self.project {
            Some(project) => project.forward(rows_nf),
            None => rows_nf,
        }
    }
}

impl TokenView {
    fn forward(&self, n: usize, tokens: &GroupTokens, device: &Device) -> Tensor<3> {
        let missing = tokens.lengths.iter().filter(|&&length| length == 0).count();
        if missing == n {
            return self.all_missing(n);
        }
        let data = TensorData::new(tokens.values.clone(), [n, tokens.count, tokens.width]);
        let x_ntd = linear(&self.project, Tensor::<3>::from_data(data, device));
        if missing == 0 {
            return x_ntd;
        }
        // A missing item's features are zeros; its projected bias is replaced by the learned token.
        let is_missing = tokens.lengths.iter().map(|&length| f32::from(u8::from(length == 0))).collect();
        let is_missing_n11 = Tensor::<3>::from_data(TensorData::new(is_missing, [n, 1, 1]), device);
        let has = is_missing_n11.clone().neg() + 1.0;
        x_ntd * has + self.missing.val().unsqueeze() * is_missing_n11
    }

    fn all_missing(&self, n: usize) -> Tensor<3> {
        let [d] = self.missing.dims();
        self.missing.val().reshape([1, 1, d]).expand([n, 1, d])
    }
}

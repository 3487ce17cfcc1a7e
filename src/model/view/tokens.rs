//! Frozen token features.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

use super::config::{IdInit, ViewConfig};
use super::{ItemView, ViewContext};
use crate::config::rules::{Checked, check_name, check_seed, invalid};
use crate::model::input::GroupTokens;
use crate::nn::init::Scheme;
use crate::nn::{Init, linear};

/// Frozen token features.
#[derive(Module, Debug)]
pub struct TokenView {
    /// F -> D
    pub project: Linear,
    /// `[D]`: the only token of an item that lacks this view.
    pub missing: Param<Tensor<1>>,
}

impl ItemView for TokenView {
    const READS_FEATURES: bool = true;

    fn check(view: &ViewConfig, _: &[ViewConfig], _: usize, key: &dyn Fn(&str) -> String) -> Checked {
        let id_only = "belongs to views of kind \"id\"";
        if !view.features.is_empty() {
            check_name(&key("features"), &view.features, "_-")?;
        }
        if let Some(replace) = view.replace {
            check_seed(&key("replace.seed"), replace.seed)?;
        }
        if view.width != 0 {
            return Err(
                invalid(&key("width"), id_only).with_hint("the feature store says how wide its tokens are")
            );
        }
        if view.init != IdInit::Xavier {
            return Err(invalid(&key("init"), id_only));
        }
        if !view.init_views.is_empty() {
            return Err(invalid(&key("init_views"), id_only));
        }
        if !view.project {
            return Err(invalid(&key("project"), "= false is for ID views only")
                .with_hint("features are mapped to model.width by a linear layer"));
        }
        Ok(())
    }

    fn new(_: &ViewConfig, context: &ViewContext<'_>, init: &mut Init) -> Self {
        let (features, width) = (context.feature_widths[context.number], context.width);
        let project = init.linear(features, width, true, Scheme::Uniform);
        // As a projected token starts: bounded by the projection's own bias.
        let missing = init.uniform([width], (features as f64).sqrt().recip());
        Self { project, missing }
    }

    fn forward(&self, items: &[u32], features: Option<&GroupTokens>, device: &Device) -> Tensor<3> {
        let n = items.len();
        // Whoever opens a model opens the store of each of these views.
        let tokens = features.expect("a view of kind `tokens` has features");
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
}

impl TokenView {
    fn all_missing(&self, n: usize) -> Tensor<3> {
        let [d] = self.missing.dims();
        self.missing.val().reshape([1, 1, d]).expand([n, 1, d])
    }
}

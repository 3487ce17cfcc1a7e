//! A trainable vector per item.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::config::{IdInit, ViewConfig};
use super::{ItemView, ViewContext};
use crate::config::rules::{Checked, invalid, known};
use crate::model::input::GroupTokens;
use crate::nn::Init;
use crate::nn::init::Scheme;
use crate::ops::lookup::lookup;

/// A trainable vector per item.
#[derive(Module, Debug)]
pub struct IdView {
    /// `[I + 1, F]`; row 0 is padding and never read.
    pub table: Param<Tensor<2>>,
    /// F -> D; absent where the table has the model's width (SASRec).
    pub project: Option<Linear>,
}

impl IdView {
    /// Rows of the table as tokens at the model's width.
    ///
    /// # Shapes
    /// `[N, F] -> [N, 1, D]`
    pub fn tokens(&self, rows_nf: Tensor<2>) -> Tensor<3> {
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

impl ItemView for IdView {
    const HAS_TABLE: bool = true;

    fn check(
        view: &ViewConfig,
        others: &[ViewConfig],
        width: usize,
        key: &dyn Fn(&str) -> String,
    ) -> Checked {
        let tokens_only = "belongs to views of kind \"tokens\"";
        if !view.features.is_empty() {
            return Err(invalid(&key("features"), tokens_only));
        }
        if view.max_tokens != 0 {
            return Err(invalid(&key("max_tokens"), tokens_only));
        }
        if view.replace.is_some() {
            return Err(invalid(&key("replace"), tokens_only).with_hint("remove the view to do without IDs"));
        }
        check_init(view, others, key)?;
        let fits = view.width == width || (view.width == 0 && view.init == IdInit::Xavier);
        if !view.project && !fits {
            return Err(invalid(&key("project"), format!("= false needs a table of model.width = {width}"))
                .with_hint("remove the view's width, or set project = true"));
        }
        Ok(())
    }

    fn new(config: &ViewConfig, context: &ViewContext<'_>, init: &mut Init) -> Self {
        let rows = context.items + 1;
        let width = table_width(config, context);
        let table = match config.init {
            IdInit::Xavier => init.normal([rows, width], (2.0 / (rows + width) as f64).sqrt()),
            IdInit::Features => init.param(mean_of_first(config, context, rows * width), [rows, width]),
        };
        let project = config.project.then(|| init.linear(width, context.width, true, Scheme::Uniform));
        Self { table, project }
    }

    fn forward(&self, items: &[u32], _: Option<&GroupTokens>, _: &Device) -> Tensor<3> {
        self.tokens(lookup(self.table.val(), items))
    }

    fn table(&self) -> Option<&IdView> {
        Some(self)
    }

    fn table_mut(&mut self) -> Option<&mut IdView> {
        Some(self)
    }
}

fn check_init(view: &ViewConfig, others: &[ViewConfig], key: &dyn Fn(&str) -> String) -> Checked {
    let sources: Vec<&str> =
        others.iter().filter(|v| v.kind.reads_features()).map(|v| v.name.as_str()).collect();
    for (i, name) in view.init_views.iter().enumerate() {
        let key = key(&format!("init_views.{i}"));
        known(&key, name, &sources, "views of kind \"tokens\"")?;
        if view.init_views[..i].contains(name) {
            return Err(invalid(&key, format!("= \"{name}\" is named twice")));
        }
    }
    match (view.init, view.init_views.is_empty()) {
        (IdInit::Features, true) => Err(invalid(&key("init"), "= \"features\" needs init_views")
            .with_hint("name the views to copy from, e.g. init_views = [\"text\", \"image\"]")),
        (IdInit::Xavier, false) => Err(invalid(&key("init_views"), "is only read with init = \"features\"")
            .with_hint("add init = \"features\", or remove init_views")),
        _ => Ok(()),
    }
}

/// F of the table.
fn table_width(config: &ViewConfig, context: &ViewContext<'_>) -> usize {
    match (config.init, config.width) {
        (IdInit::Features, _) => context
            .views
            .iter()
            .position(|v| config.init_views.contains(&v.name))
            .map_or(context.width, |v| context.feature_widths[v]),
        (IdInit::Xavier, 0) => context.width,
        (IdInit::Xavier, width) => width,
    }
}

/// Mean over the views of `init_views`, `count` values.
fn mean_of_first(config: &ViewConfig, context: &ViewContext<'_>, count: usize) -> Vec<f32> {
    let mut mean = vec![0.0f32; count];
    let share = 1.0 / config.init_views.len().max(1) as f32;
    let views = context.views.iter().enumerate();
    for (v, _) in views.filter(|(_, v)| config.init_views.contains(&v.name)) {
        for (m, x) in mean.iter_mut().zip((context.first_tokens)(v)) {
            *m += share * x;
        }
    }
    mean
}

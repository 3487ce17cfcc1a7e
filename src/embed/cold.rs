//! Rules for the ID vectors of items that no training has seen (docs/studies.md, section 6.2).
//!
//! Shapes: `I` items of the catalogue, `F` width of the ID table, `D` width of the model.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::EmbedError;
use super::ridge::Ridge;
pub use crate::config::ColdId;
use crate::config::{IdInit, IdVisibility, ModelConfig};
use crate::model::{Recommender, ViewSource};
use crate::params;
use crate::recommend::CatalogueVectors;
use crate::systems::CoDistill;

/// Fewest items that a ridge regression is fitted on.
const FEWEST: usize = 30;

/// A rule fitted to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColdRule {
    pub kind: ColdId,
    /// Mean ID vector of the trained items, `[F]`, for ID tokens without a vector.
    typical: Vec<f32>,
    ridge: Option<Ridge>,
}

/// The parts of a model that new items depend on.
pub(super) struct Parts {
    /// View and width of the ID table, if there is one.
    pub id: Option<(usize, usize)>,
    /// Whether each branch reads the ID view.
    pub id_branches: Vec<bool>,
    /// Branches whose vectors don't depend on the ID table.
    pub content_branches: Vec<usize>,
}

impl Parts {
    pub fn new(model: &Recommender) -> Self {
        let config = model.config();
        let id = config.views.iter().position(|v| v.kind.has_table());
        let width = id.and_then(|v| Some(model.views[v].table()?.table.dims()[1]));
        let reads_id = |view: &str| id.is_some_and(|v| config.views[v].name == view);
        let id_branches: Vec<bool> = config.branches.iter().map(|b| reads_id(&b.view)).collect();
        let leaks = id.is_some() && shows_id(config);
        let content_branches = (0..id_branches.len()).filter(|&b| !id_branches[b] && !leaks).collect();
        Self { id: id.zip(width), id_branches, content_branches }
    }
}

/// Whether text and image read the ID token in the tower.
fn shows_id(config: &ModelConfig) -> bool {
    config.tower.as_ref().is_some_and(|tower| tower.id_visible == IdVisibility::All)
}

impl ColdRule {
    /// Fails where `kind` could never judge a model of this system, before it is trained.
    ///
    /// # Errors
    /// No branch can distinguish new items.
    pub fn check(system: &CoDistill, kind: ColdId) -> Result<(), EmbedError> {
        let config = &system.setup.config.model;
        let reads_id = |name: &str| config.views.iter().any(|v| v.name == name && v.kind.has_table());
        let has_content = system.views.iter().flatten().next().is_some();
        let drops_all = kind == ColdId::Drop && config.branches.iter().all(|branch| reads_id(&branch.view));
        if !has_content || drops_all { Err(EmbedError::NoContent) } else { Ok(()) }
    }

    /// Fits `kind` to a trained model.
    ///
    /// # Errors
    /// The model can't distinguish new items, or lacks what the rule needs.
    pub fn fit(
        system: &CoDistill,
        model: &Recommender,
        kind: ColdId,
        min_events: u32,
    ) -> Result<Self, EmbedError> {
        Self::check(system, kind)?;
        let parts = Parts::new(model);
        let Some((view, width)) = parts.id else {
            return Ok(Self { kind, typical: Vec::new(), ridge: None });
        };
        let table = id_table(model, view);
        let counts = system.window_counts();
        let trained: Vec<u32> = (1..counts.len() as u32).filter(|&i| counts[i as usize] > 0).collect();
        let mut typical = vec![0.0; width];
        for &item in &trained {
            let row = &table[item as usize * width..][..width];
            typical.iter_mut().zip(row).for_each(|(t, r)| *t += r / trained.len() as f32);
        }
        if kind == ColdId::Mean && mean_views(model.config(), &system.views, width).is_empty() {
            return Err(EmbedError::NoMean { width });
        }
        let ridge = if kind == ColdId::Ridge {
            Some(fit_ridge(system, model, &parts, &table, width, min_events)?)
        } else {
            None
        };
        Ok(Self { kind, typical, ridge })
    }

    /// The ridge regression, if the rule uses one.
    pub fn ridge(&self) -> Option<&Ridge> {
        self.ridge.as_ref()
    }

    /// Whether the rule has the model's widths.
    pub(super) fn fits(&self, parts: &Parts) -> bool {
        parts.id.map_or(0, |(_, width)| width) == self.typical.len()
    }

    /// Whether each branch has vectors for items without an ID vector of their own.
    pub(super) fn live(&self, parts: &Parts) -> Vec<bool> {
        parts.id_branches.iter().map(|&id| !id || self.kind != ColdId::Drop).collect()
    }

    /// ID vectors `[F]` of the items `wanted`, whose features are in `views`.
    pub(super) fn rows(
        &self,
        model: &Recommender,
        parts: &Parts,
        views: &[Option<ViewSource>],
        wanted: &[u32],
        encode: &dyn Fn(&Recommender) -> CatalogueVectors,
    ) -> Vec<Vec<f32>> {
        let typical = || wanted.iter().map(|_| self.typical.clone()).collect();
        match (self.kind, &self.ridge) {
            (ColdId::Mean, _) => {
                let sources = mean_views(model.config(), views, self.typical.len());
                wanted.iter().map(|&item| mean_of_first(&sources, item, self.typical.len())).collect()
            }
            (ColdId::Ridge, Some(ridge)) => {
                let content = Content::new(model, parts, views, wanted, encode);
                let predict = |x: &[f64]| ridge.predict(x).into_iter().map(|v| v as f32).collect();
                content.values.chunks_exact(content.width).map(predict).collect()
            }
            _ => typical(),
        }
    }
}

fn fit_ridge(
    system: &CoDistill,
    model: &Recommender,
    parts: &Parts,
    table: &[f32],
    width: usize,
    min_events: u32,
) -> Result<Ridge, EmbedError> {
    let counts = system.window_counts();
    let known: Vec<u32> =
        (1..counts.len() as u32).filter(|&i| counts[i as usize] >= min_events.max(1)).collect();
    if known.len() < FEWEST {
        return Err(EmbedError::TooFewTrained { found: known.len(), needed: FEWEST, min_events });
    }
    let content = Content::new(model, parts, &system.views, &known, &|model| system.catalogue(model));
    let y: Vec<f64> = known
        .iter()
        .flat_map(|&i| table[i as usize * width..][..width].iter().map(|&v| f64::from(v)))
        .collect();
    Ok(Ridge::fit(&content.values, &y, content.width, width))
}

/// Inputs of the ridge regression.
struct Content {
    /// `[items, width]`
    values: Vec<f64>,
    width: usize,
}

impl Content {
    /// Vectors of the branches that don't depend on the ID table; without such branches, mean tokens and presence of
    /// each view.
    fn new(
        model: &Recommender,
        parts: &Parts,
        views: &[Option<ViewSource>],
        wanted: &[u32],
        encode: &dyn Fn(&Recommender) -> CatalogueVectors,
    ) -> Self {
        let d = model.config().width;
        if parts.content_branches.is_empty() {
            let sources: Vec<&ViewSource> = views.iter().flatten().collect();
            let width = sources.iter().map(|v| v.store.width() + 1).sum();
            let values = wanted.iter().flat_map(|&item| mean_tokens(&sources, item)).collect();
            return Self { values, width };
        }
        let vectors = encode(model);
        let branches: Vec<Vec<f32>> =
            parts.content_branches.iter().map(|&b| params::host(vectors.branches[b].clone())).collect();
        let row = |item: u32| {
            let start = item as usize * d;
            branches.iter().flat_map(move |b| b[start..start + d].iter().map(|&v| f64::from(v)))
        };
        Self { values: wanted.iter().flat_map(|&item| row(item)).collect(), width: d * branches.len() }
    }
}

/// Mean token of each view, and whether it has any.
fn mean_tokens(sources: &[&ViewSource], item: u32) -> Vec<f64> {
    let mut all = Vec::new();
    for view in sources {
        let (width, n) = (view.store.width(), view.store.length(item).min(view.max_tokens));
        let mut tokens = vec![0.0; n * width];
        view.store.gather_into(item, n, &mut tokens);
        let mut mean = vec![0.0; width];
        for token in tokens.chunks_exact(width) {
            mean.iter_mut().zip(token).for_each(|(m, &t)| *m += f64::from(t) / n as f64);
        }
        all.extend(mean);
        all.push(f64::from(u8::from(n > 0)));
    }
    all
}

/// The views whose first tokens make an ID vector: those that initialised the table, or all of its width.
fn mean_views<'a>(
    config: &ModelConfig,
    views: &'a [Option<ViewSource>],
    width: usize,
) -> Vec<&'a ViewSource> {
    let start = config.views.iter().find(|v| v.kind.has_table() && v.init == IdInit::Features);
    config
        .views
        .iter()
        .zip(views)
        .filter(|(view, _)| start.is_none_or(|id| id.init_views.contains(&view.name)))
        .filter_map(|(_, source)| source.as_ref())
        .filter(|source| source.store.width() == width)
        .collect()
}

/// Mean of the first tokens. A view that the item lacks counts as zero, as in the table's initialisation.
fn mean_of_first(sources: &[&ViewSource], item: u32, width: usize) -> Vec<f32> {
    let mut mean = vec![0.0; width];
    let mut token = vec![0.0; width];
    for view in sources.iter().filter(|view| view.store.length(item) > 0) {
        view.store.gather_into(item, 1, &mut token);
        mean.iter_mut().zip(&token).for_each(|(m, t)| *m += t / sources.len() as f32);
    }
    mean
}

/// The ID table on the host, row-major.
pub(super) fn id_table(model: &Recommender, view: usize) -> Vec<f32> {
    model.views[view].table().map_or_else(Vec::new, |id| params::host(id.table.val()))
}

/// The model with another ID table, `[rows, F]` with the padding row first.
pub(super) fn replace_table(model: &Recommender, view: usize, table: Vec<f32>, width: usize) -> Recommender {
    let mut model = model.clone();
    if let Some(id) = model.views[view].table_mut() {
        let rows = table.len() / width.max(1);
        let device = id.table.val().device();
        id.table = Param::from_tensor(Tensor::from_data(TensorData::new(table, [rows, width]), &device));
    }
    model
}

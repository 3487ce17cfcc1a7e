//! Vectors of new items, computed by the trained model.
//!
//! A new item is a row of a small feature store and of a small ID table that the trained model reads. Under `id_visible
//! = "itself"` text and image vectors don't depend on the ID table, and equal those of a full export of a catalogue
//! with the item.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::cold::{ColdRule, Parts, id_table, replace_table};
use super::{EmbedError, NewItem, TokenView};
use crate::config::ViewConfig;
use crate::eval::baseline::ContentView;
use crate::features::{FeatureStore, StoreWriter, item_ids_hash};
use crate::memory::Alike;
use crate::model::{Recommender, ViewSource};
use crate::params;
use crate::recommend::CatalogueVectors;
use crate::systems::CoDistill;

/// Vectors of items, with what they lack.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// Vectors of each branch, `[n, D]`; zeros where there are none.
    pub branches: Vec<Vec<f32>>,
    /// Whether each item has a vector in each branch.
    pub live: Vec<Vec<bool>>,
    /// The token views that each item lacks.
    pub missing: Vec<Vec<String>>,
    /// What each item is like, for a memory.
    pub alike: Vec<Alike>,
}

/// The token views of a model, with widths and precisions.
pub fn token_views(system: &CoDistill) -> Vec<TokenView> {
    let named = system.setup.config.model.views.iter().zip(&system.views);
    let view = |(config, source): (&ViewConfig, &Option<ViewSource>)| {
        let store = &source.as_ref()?.store;
        Some(TokenView { name: config.name.clone(), width: store.width(), precision: store.precision() })
    };
    named.filter_map(view).collect()
}

/// Encodes the whole catalogue; items that no training has seen get their ID vectors by `rule`.
pub fn catalogue(system: &CoDistill, model: &Recommender, rule: &ColdRule) -> (CatalogueVectors, Encoded) {
    let parts = Parts::new(model);
    let counts = system.window_counts();
    let cold: Vec<u32> = (1..counts.len() as u32).filter(|&i| counts[i as usize] == 0).collect();
    let mut own = None;
    if let Some((view, width)) = parts.id.filter(|_| !cold.is_empty()) {
        let encode = |model: &Recommender| system.catalogue(model);
        let rows = rule.rows(model, &parts, &system.views, &cold, &encode);
        let mut table = id_table(model, view);
        for (&item, row) in cold.iter().zip(rows) {
            table[item as usize * width..][..width].copy_from_slice(&row);
        }
        own = Some(replace_table(model, view, table, width));
    }
    let vectors = system.catalogue(own.as_ref().unwrap_or(model));
    let cold_live = rule.live(&parts);
    let all = vec![true; cold_live.len()];
    let live =
        (1..counts.len()).map(|i| if counts[i] == 0 { cold_live.clone() } else { all.clone() }).collect();
    let missing = (1..counts.len() as u32).map(|item| missing(system, &system.views, item)).collect();
    let alike = vec![Alike::new(); counts.len() - 1];
    let encoded = cut(&vectors, live, missing, alike);
    (vectors, encoded)
}

/// ID vectors `[F]` by `rule` of the items `wanted` of the data set that `system` was opened on, for a model that may have been
/// trained on other items. None where it has no ID table.
pub fn id_vectors(system: &CoDistill, model: &Recommender, rule: &ColdRule, wanted: &[u32]) -> Vec<Vec<f32>> {
    let parts = Parts::new(model);
    let Some((view, width)) = parts.id else { return Vec::new() };
    // The rule reads branches that don't depend on the table, whose rows must exist all the same.
    let blank = replace_table(model, view, vec![0.0; (system.shape.items + 1) * width], width);
    let encode = |model: &Recommender| system.catalogue(model);
    rule.rows(&blank, &parts, &system.views, wanted, &encode)
}

/// Encodes `items` and writes their features to the stores `<features>/<view>`. `known` has the number of each item
/// that was trained on and keeps its ID vector.
///
/// # Errors
/// Features don't fit or can't be stored.
pub fn encode(
    system: &CoDistill,
    model: &Recommender,
    rule: &ColdRule,
    items: &[NewItem],
    known: &[Option<u32>],
    features: &Path,
) -> Result<Encoded, EmbedError> {
    let parts = Parts::new(model);
    let mut views = Vec::new();
    for (config, source) in system.setup.config.model.views.iter().zip(&system.views) {
        views.push(match source {
            None => None,
            Some(source) => Some(store(&config.name, source, items, &features.join(&config.name))?),
        });
    }
    let batch = system.setup.config.eval.item_batch;
    let vectors_of = |model: &Recommender| {
        CatalogueVectors::encode(model, &views, items.len(), batch, &system.setup.device)
    };
    let mut own = model.clone();
    if let Some((view, width)) = parts.id {
        let trained = id_table(model, view);
        let all: Vec<u32> = (1..=items.len() as u32).collect();
        // The rule reads branches that don't depend on the table, whose rows must exist all the same.
        let blank = replace_table(model, view, vec![0.0; (items.len() + 1) * width], width);
        let rows = rule.rows(&blank, &parts, &views, &all, &vectors_of);
        let mut table = vec![0.0; width];
        for (row, known) in rows.into_iter().zip(known) {
            match known {
                Some(item) => table.extend_from_slice(&trained[*item as usize * width..][..width]),
                None => table.extend(row),
            }
        }
        own = replace_table(model, view, table, width);
    }
    let cold_live = rule.live(&parts);
    let live_of = |known: &Option<u32>| match known {
        Some(_) => vec![true; cold_live.len()],
        None => cold_live.clone(),
    };
    let missing = (1..=items.len() as u32).map(|item| missing(system, &views, item)).collect();
    let alike = alike(system, &views, items.len());
    Ok(cut(&vectors_of(&own), known.iter().map(live_of).collect(), missing, alike))
}

/// What the memory makes of items with these features.
fn alike(system: &CoDistill, views: &[Option<ViewSource>], count: usize) -> Vec<Alike> {
    let Some(memory) = system.memory() else { return vec![Alike::new(); count] };
    let named = system.setup.config.model.views.iter().zip(views);
    let new = named.filter_map(|(view, source)| {
        Some(ContentView { name: view.name.clone(), store: source.as_ref()?.store.clone() })
    });
    memory.alike(&system.content(), &new.collect::<Vec<_>>(), count)
}

/// Names of the views without features of the item.
fn missing(system: &CoDistill, views: &[Option<ViewSource>], item: u32) -> Vec<String> {
    let named = system.setup.config.model.views.iter().zip(views);
    let lacking = named.filter(|(_, source)| source.as_ref().is_some_and(|s| s.store.length(item) == 0));
    lacking.map(|(view, _)| view.name.clone()).collect()
}

/// Drops the padding row, and sets vectors that are not live to zeros.
fn cut(
    vectors: &CatalogueVectors,
    live: Vec<Vec<bool>>,
    missing: Vec<Vec<String>>,
    alike: Vec<Alike>,
) -> Encoded {
    let one = |(branch, x): (usize, &burn::tensor::Tensor<2>)| {
        let d = x.dims()[1];
        let mut rows = params::host(x.clone()).split_off(d);
        for (row, live) in rows.chunks_exact_mut(d).zip(&live) {
            if !live[branch] {
                row.fill(0.0);
            }
        }
        rows
    };
    Encoded { branches: vectors.branches.iter().enumerate().map(one).collect(), live, missing, alike }
}

/// Writes a feature store of the items' tokens with the precision and token count of the trained one.
fn store(view: &str, trained: &ViewSource, items: &[NewItem], dest: &Path) -> Result<ViewSource, EmbedError> {
    let width = trained.store.width();
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let tokens = item.features.get(view).map_or(&[][..], Vec::as_slice);
        if tokens.len() % width != 0 {
            let reason = format!("{} values are no tokens of {width}", tokens.len());
            return Err(EmbedError::Features { id: item.id.clone(), view: view.to_owned(), reason });
        }
        let most = tokens.len().min(trained.max_tokens * width);
        rows.push(tokens[..most].to_vec());
    }
    let longest = rows.iter().map(|row| row.len() / width).max().unwrap_or(0).max(1);
    let mut writer = StoreWriter::create(dest, items.len(), longest, width, trained.store.precision())?;
    for (row, item) in rows.iter().zip(1u32..).filter(|(row, _)| !row.is_empty()) {
        writer.push(item, row)?;
    }
    let ids: Vec<String> = std::iter::once(String::new()).chain(items.iter().map(|i| i.id.clone())).collect();
    writer.finish(json!({ "source": "embed", "item_ids_sha256": item_ids_hash(&ids) }))?;
    let store = FeatureStore::open(dest)?;
    Ok(ViewSource { max_tokens: store.tokens(), store: Arc::new(store) })
}

//! Views of a configuration on a data set: feature stores and the shapes that they determine.

use std::sync::Arc;

use crate::config::{Config, ViewConfig};
use crate::data::Dataset;
use crate::features::FeatureStore;
use crate::model::{DataShape, ViewSource};
use crate::train::setup::{SystemError, feature_dir};

/// Feature stores of the views, in their order, none for a view that reads no features; and what the data determine about a
/// model's shape.
///
/// # Errors
/// A store can't be read, is of other items, or starts an ID table together with one of another width.
pub(super) fn open(
    config: &Config,
    dataset: &Dataset,
) -> Result<(Vec<Option<ViewSource>>, DataShape), SystemError> {
    let mut views = Vec::new();
    for view in &config.model.views {
        views.push(open_view(config, view, dataset)?);
    }
    let widths =
        views.iter().map(|v: &Option<ViewSource>| v.as_ref().map_or(0, |v| v.store.width())).collect();
    let shape = DataShape {
        items: dataset.items.count(),
        max_seq_len: config.data.max_seq_len,
        feature_widths: widths,
    };
    check_init_widths(config, &shape)?;
    Ok((views, shape))
}

fn open_view(
    config: &Config,
    view: &ViewConfig,
    dataset: &Dataset,
) -> Result<Option<ViewSource>, SystemError> {
    if !view.kind.reads_features() {
        return Ok(None);
    }
    let wrap = |source| SystemError::Features { view: view.name.clone(), source };
    let name = view.store();
    let dataset_dir = config.data.path.as_deref().ok_or(SystemError::NoData)?;
    let dir = config.data.features.get(name).cloned().unwrap_or_else(|| feature_dir(dataset_dir, name));
    let store = FeatureStore::open(&dir).map_err(wrap)?;
    store.check_items(dataset).map_err(wrap)?;
    let store = match view.replace {
        Some(replace) => store.replaced(replace, config.seed),
        None => store,
    };
    let most = if view.max_tokens == 0 { store.tokens() } else { view.max_tokens.min(store.tokens()) };
    Ok(Some(ViewSource { store: Arc::new(store), max_tokens: most }))
}

fn check_init_widths(config: &Config, shape: &DataShape) -> Result<(), SystemError> {
    for view in &config.model.views {
        let mut widths = config
            .model
            .views
            .iter()
            .zip(&shape.feature_widths)
            .filter(|(other, _)| view.init_views.contains(&other.name));
        let Some((_, &expected)) = widths.next() else { continue };
        if let Some((other, &found)) = widths.find(|(_, width)| **width != expected) {
            let (view, other) = (view.name.clone(), other.name.clone());
            return Err(SystemError::InitWidth { view, other, found, expected });
        }
    }
    Ok(())
}

//! The feature stores to probe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ProbeError;
use crate::data::Dataset;
use crate::eval::baseline::ContentView;
use crate::features::{FeatureStore, store_names};
use crate::train::setup::feature_dir;

/// Opens feature stores of `dataset`, whose directory is `data`: those of `views`, each a name in `<data>/features` or
/// `NAME=PATH`, or all in that folder if `views` is empty.
///
/// # Errors
/// There are none, one can't be opened, or it was made for other items.
pub fn open_views(data: &Path, dataset: &Dataset, views: &[String]) -> Result<Vec<ContentView>, ProbeError> {
    let own = |name: &str| (name.to_owned(), feature_dir(data, name));
    let named: Vec<(String, PathBuf)> = if views.is_empty() {
        store_names(data).iter().map(|name| own(name)).collect()
    } else {
        let place = |view: &String| match view.split_once('=') {
            Some((name, path)) => (name.to_owned(), path.into()),
            None => own(view),
        };
        views.iter().map(place).collect()
    };
    if named.is_empty() {
        return Err(ProbeError::NoStores { dir: data.join("features") });
    }
    named.into_iter().map(|(name, path)| open_view(name, &path, dataset)).collect()
}

/// Opens a store, which must be for the items of `dataset`.
pub(super) fn open_view(name: String, path: &Path, dataset: &Dataset) -> Result<ContentView, ProbeError> {
    let store = FeatureStore::open(path)?;
    store.check_items(dataset)?;
    Ok(ContentView { name, store: Arc::new(store) })
}

//! Features of new items, computed from titles and pictures by the encoders of the model's features.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;

use super::{EmbedError, NewItem};
use crate::artefact::MANIFEST;
use crate::encode::{EncodeError, Encoder, Modality, Recipe, TextField};
use crate::features::FeatureStore;
use crate::systems::CoDistill;

/// Inputs of a batch.
const BATCH: usize = 32;

/// A picture that can't be used; its item lacks the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedInput {
    pub item: String,
    pub view: String,
    pub reason: String,
}

/// Computes the features that `items` lack, view by view, with the encoder that made the view's store. `elsewhere` has
/// the place of encoders that have moved, by view. Imported views, which have no encoder, and items without title or
/// picture are left as they are.
///
/// # Errors
/// An encoder is missing, is not the one of the model's features, or fails.
pub fn fill_features(
    system: &CoDistill,
    items: &mut [NewItem],
    elsewhere: &BTreeMap<String, String>,
    device: &Device,
    on_download: &mut dyn FnMut(&str, u64, Option<u64>),
) -> Result<Vec<RefusedInput>, EmbedError> {
    if let Some(view) = elsewhere.keys().find(|view| encoded_store(system, view).is_none()) {
        return Err(EmbedError::NoSuchEncoder(view.clone()));
    }
    let mut refused = Vec::new();
    for config in &system.setup.config.model.views {
        let view = &config.name;
        let Some((store, recipe)) = encoded_store(system, view) else { continue };
        let field = text_field(store, recipe.modality)?;
        let todo: Vec<usize> = (0..items.len())
            .filter(|&n| !items[n].features.contains_key(view))
            .filter(|&n| !input(&items[n], recipe.modality, field).trim().is_empty())
            .collect();
        if todo.is_empty() {
            continue;
        }
        let wrap = |source| EmbedError::Encode { view: view.clone(), source: Box::new(source) };
        let moved = elsewhere.get(view).map(String::as_str);
        let encoder =
            Encoder::reopen(store.dir(), store.about(), moved, device, on_download).map_err(wrap)?;
        for batch in todo.chunks(BATCH) {
            let inputs: Vec<&str> = batch.iter().map(|&n| input(&items[n], recipe.modality, field)).collect();
            let found = encode(&encoder, recipe.modality, &inputs).map_err(wrap)?;
            for (&n, found) in batch.iter().zip(found) {
                match found {
                    Ok(tokens) => drop(items[n].features.insert(view.clone(), tokens)),
                    Err(reason) => {
                        refused.push(RefusedInput { item: items[n].id.clone(), view: view.clone(), reason });
                    }
                }
            }
        }
    }
    Ok(refused)
}

/// The store of a view with its recipe, if an encoder made it.
pub fn encoded_store<'e>(system: &'e CoDistill, view: &str) -> Option<(&'e FeatureStore, Recipe)> {
    let place = system.setup.config.model.views.iter().position(|config| config.name == view)?;
    let store = system.views[place].as_ref()?.store.as_ref();
    Some((store, Recipe::from_manifest(store.about())?))
}

/// What the texts of a store were made of: titles, where a store does not say; pictures have no field.
fn text_field(store: &FeatureStore, modality: Modality) -> Result<TextField, EmbedError> {
    match store.about().get("field") {
        Some(field) if modality == Modality::Text => serde_json::from_value(field.clone()).map_err(|e| {
            EmbedError::Malformed { path: store.dir().join(MANIFEST), reason: format!("field: {e}") }
        }),
        _ => Ok(TextField::default()),
    }
}

fn input(item: &NewItem, modality: Modality, field: TextField) -> &str {
    match (modality, field) {
        (Modality::Image, _) => &item.image,
        (Modality::Text, TextField::Title) => &item.title,
        (Modality::Text, TextField::Text) => &item.text,
    }
}

/// The tokens of each input, or the reason why there are none.
fn encode(
    encoder: &Encoder,
    modality: Modality,
    inputs: &[&str],
) -> Result<Vec<Result<Vec<f32>, String>>, EncodeError> {
    let mut found: Vec<Result<Vec<f32>, String>> = match modality {
        Modality::Image => {
            let paths: Vec<&Path> = inputs.iter().map(Path::new).collect();
            let found = encoder.encode_pictures(&paths)?;
            found.into_iter().map(|one| one.map_err(|refused| refused.to_string())).collect()
        }
        Modality::Text => {
            let found = encoder.encode_texts(inputs)?;
            found.into_iter().map(|one| one.ok_or_else(|| "the text is empty".to_owned())).collect()
        }
    };
    for one in &mut found {
        if one.as_ref().is_ok_and(|tokens| tokens.iter().any(|value| !value.is_finite())) {
            *one = Err(format!("{} gave a value that is no number", encoder.name()));
        }
    }
    Ok(found)
}

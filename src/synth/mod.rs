//! Synthetic data with planted truth (docs/studies.md, section 1).
//!
//! The truth behind real data is unknown, so that nothing about a recommender can be proved on them. Here it is known:
//! every item has a text, an image and a collaborative latent vector, every user a slowly drifting preference for each,
//! and
//!
//! ```text
//! P(next = i) ∝ pop_i^gamma · exp(w_text <p_t, t_i> + w_image <p_g, g_i> + w_collab <p_c, c_i> + w_repeat [recent theme])
//! ```
//!
//! The model sees interactions, noisy token features and titles. [`Truth`] holds the rest; ranking by the true
//! probability gives a ceiling that no model can pass. The collaborative latent is in no feature. A world is a pure
//! function of its [`SynthConfig`].
//!
//! Reading order: `catalogue`, `walk`, `truth`, then the visible side of an item: `tokens`, `words`, `picture`.

mod catalogue;
pub mod config;
pub(crate) mod draws;
mod error;
mod fingerprint;
mod picture;
mod tokens;
mod truth;
mod walk;
mod words;

#[cfg(test)]
mod tests;

pub use error::SynthError;
pub use fingerprint::{GENERATOR, fingerprint};
pub use tokens::ViewRows;
pub use truth::Truth;

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::config::SynthConfig;
use crate::data::{Dataset, Items, TrainedOn, write_dataset};
use crate::features::{Precision, StoreWriter, item_ids_hash};
use catalogue::Catalogue;
use draws::{Draws, Stream};

/// A generated data set with its truth.
pub struct World {
    pub config: SynthConfig,
    /// Data set split by leave-one-out; its hash is empty until it is written.
    pub dataset: Dataset,
    /// Token features of the items' texts and images.
    pub text: ViewRows,
    pub image: ViewRows,
    pub truth: Truth,
}

/// Draws a world.
///
/// # Errors
/// A parameter is out of its range; the message names it.
pub fn generate(config: &SynthConfig) -> Result<World, SynthError> {
    config.validate()?;
    let catalogue = Catalogue::draw(config);
    let text = ViewRows::text(config, &catalogue);
    let image = ViewRows::image(config, &catalogue);
    let walks = walk::draw(config, &catalogue);
    let dataset = Dataset {
        users: (1..=config.users).map(|u| format!("u{u}")).collect(),
        items: describe(config, &catalogue, &text, &image),
        sequences: walks.sequences,
        timed: true,
        hash: String::new(),
        trained_on: TrainedOn::default(),
    };
    let truth = Truth::new(config.clone(), catalogue, walks.preferences, walks.positions);
    Ok(World { config: config.clone(), dataset, text, image, truth })
}

/// Draws a world and writes it to the directory `dest`, which must not exist: a data set, with feature stores and truth
/// beside it. Returns the data set's content hash.
///
/// # Errors
/// As [`generate`]; or it can't be written.
pub fn write(config: &SynthConfig, dest: &Path) -> Result<String, SynthError> {
    let world = generate(config)?;
    let counts = json!({
        "users": world.dataset.sequences.users(),
        "items": world.dataset.items.count(),
        "interactions": world.dataset.sequences.items.len(),
    });
    let about = json!({"source": "synth", "config": config, "seed": config.seed, "counts": counts});
    let hash = write_dataset(dest, &world.dataset, &counts, about)?;
    world.write_beside(dest, &hash)?;
    Ok(hash)
}

impl World {
    /// Writes the files around the data set to its existing directory `dir`: `pictures/` if the configuration asks for
    /// them, `features/text`, `features/image`, and last `truth`, each store an artefact of its own.
    ///
    /// # Errors
    /// Any I/O failure, or one of them exists.
    pub fn write_beside(&self, dir: &Path, dataset_hash: &str) -> Result<(), SynthError> {
        if self.config.pictures {
            self.write_pictures(dir)?;
        }
        self.write_view(&dir.join("features/text"), &self.text, dataset_hash)?;
        self.write_view(&dir.join("features/image"), &self.image, dataset_hash)?;
        self.truth.save(&dir.join("truth"), dataset_hash)
    }

    fn write_view(&self, dest: &Path, rows: &ViewRows, dataset_hash: &str) -> Result<(), SynthError> {
        let items = self.dataset.items.count();
        let mut writer = StoreWriter::create(dest, items, rows.tokens(), rows.width(), Precision::F16)?;
        for item in 1..=items as u32 {
            if rows.length(item) > 0 {
                writer.push(item, &rows.row(item))?;
            }
        }
        writer.finish(json!({
            "source": "synth",
            "synth": self.config,
            "dataset": dataset_hash,
            "item_ids_sha256": item_ids_hash(&self.dataset.items.ids),
        }))?;
        Ok(())
    }

    /// Draws the items' pictures to `dir`, under the paths that the catalogue names.
    fn write_pictures(&self, dir: &Path) -> Result<(), SynthError> {
        let io = |path: &Path, source| SynthError::Io { path: path.to_owned(), source };
        let folder = dir.join("pictures");
        fs::create_dir_all(&folder).map_err(|e| io(&folder, e))?;
        for (item, relative) in
            self.dataset.items.images.iter().enumerate().filter(|(_, path)| !path.is_empty())
        {
            let path = dir.join(relative);
            let mut draws = Draws::new(self.config.seed, Stream::Picture, item as u64);
            let picture = picture::draw(self.image.latent(item as u32), &mut draws);
            picture.save(&path).map_err(|source| SynthError::Picture { path: path.clone(), source })?;
        }
        Ok(())
    }
}

/// Titles, texts, categories and picture paths; empty where the view is missing.
fn describe(config: &SynthConfig, catalogue: &Catalogue, text: &ViewRows, image: &ViewRows) -> Items {
    let n = catalogue.items() + 1;
    let mut items = Items {
        ids: vec![String::new(); n],
        titles: vec![String::new(); n],
        texts: vec![String::new(); n],
        categories: vec![String::new(); n],
        images: vec![String::new(); n],
        ..Items::default()
    };
    for item in 1..n {
        items.ids[item] = format!("i{item}");
        if text.length(item as u32) > 0 {
            let mut draws = Draws::new(config.seed, Stream::Words, item as u64);
            let written = words::write(text.latent(item as u32), config.distractors, &mut draws);
            items.titles[item] = written.title;
            items.texts[item] = written.text;
            items.categories[item] = written.category;
        }
        if config.pictures && image.length(item as u32) > 0 {
            items.images[item] = format!("pictures/i{item}.png");
        }
    }
    items
}

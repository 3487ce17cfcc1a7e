//! An encoder, whatever computes it: opened, asked, and described.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use rayon::prelude::*;
use serde_json::Value;

use super::EncodeError;
use super::error::malformed;
use super::families::{self, Modality};
use super::hub::{self, Hub};
use super::onnx::Onnx;
use super::picture::{Refused, decode};
use super::recipe::{Engine, Recipe, Settings};
use super::resolve::{MAX_TOKENS, native_output, open_tokenizer, picture_settings, text_limit};
use super::tfidf::{self, Tfidf};
use super::tokenizer::Tokenizer;
use super::tower::{Encoded, Output, Pool, Tower};
use crate::artefact::hash_file;

/// An encoder that is ready.
pub struct Encoder {
    recipe: Recipe,
    body: Body,
    tokenizer: Option<Tokenizer>,
    settings: Settings,
}

enum Body {
    Native(Box<Tower>),
    Onnx(Box<Onnx>),
    Tfidf(Tfidf),
}

/// An input made ready: what loading threads hand to the device.
pub enum Ready {
    /// Token ids per text.
    Ids(Vec<Vec<u32>>),
    /// `[count, 3, side, side]`.
    Pixels { values: Vec<f32>, count: usize },
    /// TF-IDF works on the text itself.
    Texts(Vec<String>),
}

impl Encoder {
    /// Opens the encoder that `settings` name for `modality`. `texts` are the catalogue's, which TF-IDF counts;
    /// `tell` hears of downloads.
    ///
    /// # Errors
    /// There is no such encoder; its files are damaged, contradict each other or ask for what is not here; or
    /// the settings contradict it.
    pub fn open(
        settings: &Settings,
        modality: Modality,
        texts: &[String],
        device: &Device,
        tell: &mut dyn FnMut(&str, u64, Option<u64>),
    ) -> Result<Self, EncodeError> {
        let name = &settings.encoder;
        let path = PathBuf::from(name);
        if name == "tfidf" || name.starts_with("tfidf:") {
            let width = match name.strip_prefix("tfidf:") {
                None => tfidf::DEFAULT_WIDTH,
                Some(width) => {
                    width.parse().ok().filter(|w| (1..=65_536).contains(w)).ok_or_else(|| {
                        EncodeError::Options(format!("`{name}`: the width is not 1 to 65536"))
                    })?
                }
            };
            if modality != Modality::Text {
                let reads = "text";
                let family = name.clone();
                return Err(EncodeError::WrongModality { path, family, reads, asked: modality.name() });
            }
            if settings.tokens == Some(true) || settings.layer.is_some() || settings.odmt {
                return Err(EncodeError::Options(
                    "tfidf has neither tokens nor layers, so --output tokens, --layer and --preset odmt don't fit"
                        .into(),
                ));
            }
            let table = Tfidf::fit(texts.iter().map(String::as_str), width);
            return Ok(Self::of_table(table, settings));
        }
        if path.extension().is_some_and(|e| e == "onnx") {
            return Self::open_onnx(&path, settings, modality);
        }
        if path.join("config.json").is_file() {
            return Self::open_folder(&path, settings, modality, device);
        }
        if !path.exists() && hub::is_name(name) {
            let folder = Hub::from_environment().folder(name, tell)?;
            return Self::open_folder(&folder, settings, modality, device);
        }
        Err(EncodeError::NoEncoder(name.clone()))
    }

    /// Opens the encoder that the store at `store` was made with; all that the store depends on must be as it was.
    /// `elsewhere` says where the encoder lies now, if it has moved.
    ///
    /// # Errors
    /// As [`Encoder::open`]; or it is another encoder than the store's.
    pub fn reopen(
        store: &Path,
        about: &Value,
        elsewhere: Option<&str>,
        device: &Device,
        tell: &mut dyn FnMut(&str, u64, Option<u64>),
    ) -> Result<Self, EncodeError> {
        let other = |what: String| EncodeError::OtherEncoder { dir: store.to_owned(), what };
        let (Some(recipe), Some(mut settings)) = (Recipe::of(about), Settings::of(about)) else {
            return Err(other("its manifest tells of none".into()));
        };
        if let Some(elsewhere) = elsewhere {
            elsewhere.clone_into(&mut settings.encoder);
        }
        let encoder = if recipe.engine == Engine::Tfidf {
            Self::of_table(Tfidf::read(&store.join(tfidf::FILE))?, &settings)
        } else {
            Self::open(&settings, recipe.modality, &[], device, tell)?
        };
        // What a picture may cost decides which are refused, not what the others give.
        let same = Recipe { bounds: recipe.bounds, ..encoder.recipe.clone() };
        match same.difference(&recipe) {
            None => Ok(encoder),
            Some(what) => Err(other(what)),
        }
    }

    fn of_table(table: Tfidf, settings: &Settings) -> Self {
        let recipe = Recipe {
            modality: Modality::Text,
            engine: Engine::Tfidf,
            weights_sha256: table.hash(),
            config_sha256: None,
            tokenizer_sha256: None,
            preprocessing: None,
            output: Output {
                layer: 0,
                final_norm: false,
                pool: Some(Pool::Mean),
                projection: false,
                unit: true,
            },
            onnx_output: None,
            tokens: 1,
            width: table.width(),
            max_tokens: None,
            bounds: settings.bounds,
        };
        Self { recipe, body: Body::Tfidf(table), tokenizer: None, settings: settings.anchored() }
    }

    fn open_folder(
        folder: &Path,
        settings: &Settings,
        modality: Modality,
        device: &Device,
    ) -> Result<Self, EncodeError> {
        let weights = folder.join("model.safetensors");
        if !weights.exists() {
            return Err(EncodeError::Unsupported {
                path: folder.to_owned(),
                what: "there is no model.safetensors".into(),
                hint: "save the model again with `save_pretrained`, which writes safetensors in one file"
                    .into(),
            });
        }
        let loaded = families::load(folder, modality, device)?;
        let output = native_output(folder, settings, &loaded)?;
        let (mut tokenizer, mut tokenizer_sha256, mut max_tokens, mut preprocessing) =
            (None, None, None, None);
        let mut tokens = 1;
        if modality == Modality::Text {
            let (found, hash) = open_tokenizer(folder, settings)?;
            if found.largest() as usize >= loaded.vocabulary {
                let reason = format!(
                    "its largest id is {}, but the model knows {} tokens",
                    found.largest(),
                    loaded.vocabulary
                );
                return Err(malformed(&folder.join("tokenizer.json"), reason));
            }
            let most = text_limit(settings, folder)?.min(loaded.input_size);
            if output.pool.is_none() {
                tokens = most;
            }
            (tokenizer, tokenizer_sha256, max_tokens) = (Some(found), Some(hash), Some(most));
        } else {
            let found = picture_settings(folder, settings, Some(loaded.input_size as u32))?;
            if found.side as usize != loaded.input_size {
                let reason =
                    format!("pictures of {} pixels, but the model reads {}", found.side, loaded.input_size);
                return Err(EncodeError::Options(reason));
            }
            if output.pool.is_none() {
                tokens = loaded.tower.picture_tokens();
            }
            preprocessing = Some(found);
        }
        let recipe = Recipe {
            modality,
            engine: Engine::Native(loaded.family),
            weights_sha256: hash_file(&weights)?.0,
            config_sha256: Some(hash_file(&folder.join("config.json"))?.0),
            tokenizer_sha256,
            preprocessing,
            width: loaded.tower.output_width(&output),
            output,
            onnx_output: None,
            tokens,
            max_tokens,
            bounds: settings.bounds,
        };
        let settings = settings.anchored();
        Ok(Self { recipe, body: Body::Native(Box::new(loaded.tower)), tokenizer, settings })
    }

    fn open_onnx(path: &Path, settings: &Settings, modality: Modality) -> Result<Self, EncodeError> {
        if settings.layer.is_some() || settings.final_norm.is_some() {
            return Err(EncodeError::Options(
                "an ONNX file has no layers to choose; --onnx-output names one of its outputs".into(),
            ));
        }
        let onnx = Onnx::open(path, modality, settings.onnx_output.as_deref())?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let pool = settings.pool.unwrap_or(if modality == Modality::Text { Pool::Mean } else { Pool::Cls });
        let pool = (!settings.tokens.unwrap_or(settings.odmt)).then_some(pool);
        let unit = settings.unit.unwrap_or(false);
        let mut recipe = Recipe {
            modality,
            engine: Engine::Onnx,
            weights_sha256: hash_file(path)?.0,
            config_sha256: None,
            tokenizer_sha256: None,
            preprocessing: None,
            output: Output { layer: 0, final_norm: false, pool, projection: false, unit },
            onnx_output: settings.onnx_output.clone(),
            tokens: 1,
            width: 1,
            max_tokens: None,
            bounds: settings.bounds,
        };
        let mut tokenizer = None;
        // A first run finds out the width, and that the model works at all.
        let probe = if modality == Modality::Text {
            let (found, hash) = open_tokenizer(folder, settings)?;
            let most = text_limit(settings, folder)?;
            (recipe.tokenizer_sha256, recipe.max_tokens) = (Some(hash), Some(most));
            let ids = found.encode("a", most);
            tokenizer = Some(found);
            onnx.encode_texts(&[&ids], &recipe.output)?
        } else {
            let found = picture_settings(folder, settings, onnx.side)?;
            let side = found.side as usize;
            recipe.preprocessing = Some(found);
            onnx.encode_pictures(vec![0.0; 3 * side * side], 1, side, &recipe.output)?
        };
        recipe.width = probe.width;
        recipe.tokens = match (pool, recipe.max_tokens) {
            (None, Some(most)) if probe.tokens > 1 => most,
            _ => probe.tokens,
        };
        Ok(Self { recipe, body: Body::Onnx(Box::new(onnx)), tokenizer, settings: settings.anchored() })
    }

    /// What its features depend on.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// As the user named it.
    pub fn name(&self) -> &str {
        &self.settings.encoder
    }

    /// What was asked for, with whole paths.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Inputs that are best computed at once; absent: any number.
    pub(super) fn batch_limit(&self) -> Option<usize> {
        match &self.body {
            Body::Onnx(onnx) if onnx.single => Some(1),
            _ => None,
        }
    }

    /// The table to keep beside the features.
    pub(super) fn table(&self) -> Option<&Tfidf> {
        if let Body::Tfidf(table) = &self.body { Some(table) } else { None }
    }

    /// Number of tokens of a text, 1 for TF-IDF.
    pub(super) fn text_length(&self, text: &str) -> usize {
        self.ids(text).len().max(1)
    }

    fn ids(&self, text: &str) -> Vec<u32> {
        let most = self.recipe.max_tokens.unwrap_or(MAX_TOKENS);
        self.tokenizer.as_ref().map_or_else(Vec::new, |t| t.encode(text, most))
    }

    /// Tokenises, on all cores.
    pub(super) fn ready_texts(&self, texts: &[&str]) -> Ready {
        if self.table().is_some() {
            return Ready::Texts(texts.iter().map(|&text| text.to_owned()).collect());
        }
        Ready::Ids(texts.par_iter().map(|text| self.ids(text)).collect())
    }

    /// Decodes and preprocesses, on all cores; only those that could be decoded are in the result.
    pub(super) fn ready_pictures(&self, paths: &[&Path]) -> (Ready, Vec<Result<(), Refused>>) {
        let one = |path: &&Path| -> Result<Vec<f32>, Refused> {
            let picture = decode(path, &self.recipe.bounds)?;
            let mut values = Vec::new();
            if let Some(preprocessing) = &self.recipe.preprocessing {
                preprocessing.apply(&picture, &mut values);
            }
            Ok(values)
        };
        let done: Vec<Result<Vec<f32>, Refused>> = paths.par_iter().map(one).collect();
        let mut values = Vec::new();
        let mut count = 0;
        let outcomes = done
            .into_iter()
            .map(|outcome| {
                outcome.map(|pixels| {
                    values.extend(pixels);
                    count += 1;
                })
            })
            .collect();
        (Ready::Pixels { values, count }, outcomes)
    }

    /// The computation proper.
    pub(super) fn compute(&self, ready: Ready) -> Result<Encoded, EncodeError> {
        let output = &self.recipe.output;
        let side = self.recipe.preprocessing.as_ref().map_or(0, |p| p.side as usize);
        match (&self.body, ready) {
            (Body::Native(tower), Ready::Ids(ids)) => {
                Ok(tower.encode_texts(&ids.iter().map(Vec::as_slice).collect::<Vec<_>>(), output))
            }
            (Body::Native(tower), Ready::Pixels { values, count }) => {
                Ok(tower.encode_pictures(values, count, side, output))
            }
            (Body::Onnx(onnx), Ready::Ids(ids)) => {
                onnx.encode_texts(&ids.iter().map(Vec::as_slice).collect::<Vec<_>>(), output)
            }
            (Body::Onnx(onnx), Ready::Pixels { values, count }) => {
                onnx.encode_pictures(values, count, side, output)
            }
            (Body::Tfidf(table), Ready::Texts(texts)) => {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let values = table.encode_all(&texts).concat();
                Ok(Encoded { values, tokens: 1, width: table.width(), lengths: vec![1; texts.len()] })
            }
            _ => Err(EncodeError::Options(format!("this encoder reads {}s", self.recipe.modality.input()))),
        }
    }

    /// Features of each text, `[tokens, width]` flat; none for an empty text. One batch: the caller bounds it.
    ///
    /// # Errors
    /// It is no text encoder, or the model fails.
    pub fn encode_texts(&self, texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>, EncodeError> {
        let full: Vec<&str> = texts.iter().copied().filter(|text| !text.trim().is_empty()).collect();
        if full.is_empty() {
            return Ok(vec![None; texts.len()]);
        }
        let encoded = self.compute(self.ready_texts(&full))?;
        let mut rows = (0..full.len()).map(|n| encoded.row(n).to_vec());
        Ok(texts.iter().map(|text| if text.trim().is_empty() { None } else { rows.next() }).collect())
    }

    /// Features of each picture, or why it has none. One batch: the caller bounds it.
    ///
    /// # Errors
    /// It is no picture encoder, or the model fails.
    pub fn encode_pictures(&self, paths: &[&Path]) -> Result<Vec<Result<Vec<f32>, Refused>>, EncodeError> {
        let (ready, outcomes) = self.ready_pictures(paths);
        if outcomes.iter().all(Result::is_err) {
            return Ok(outcomes.into_iter().map(|o| o.map(|()| Vec::new())).collect());
        }
        let encoded = self.compute(ready)?;
        let mut place = 0..;
        let rows = outcomes.into_iter().map(|outcome| {
            // As many rows as outcomes without error.
            outcome.map(|()| place.next().map_or_else(Vec::new, |n| encoded.row(n).to_vec()))
        });
        Ok(rows.collect())
    }
}

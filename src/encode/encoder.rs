//! Encoders behind one interface: opening, computing, describing.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use rayon::prelude::*;
use serde_json::Value;

use super::EncodeError;
use super::error::malformed;
use super::families::{self, Loaded, Modality};
use super::head::Head;
use super::hub::{self, Hub};
use super::onnx::Onnx;
use super::picture::{Preprocessing, Refused, decode};
use super::pool::Pool;
use super::recipe::{Engine, Recipe, Settings, found_out};
use super::resolve::{Asked, MAX_TOKENS, open_tokenizer, picture_settings, text_limit, wants_tokens};
use super::sentence;
use super::tfidf::{self, Tfidf};
use super::tokenizer::Tokenizer;
use super::tower::{Encoded, Output, Tower};
use super::weights;
use crate::artefact::hash_file;

/// Files that may accompany an ONNX file, the most informative first.
const ASSETS: [&str; 6] = [
    sentence::MODULES,
    "tokenizer.json",
    "vocab.txt",
    "processor_config.json",
    "preprocessor_config.json",
    "config.json",
];

/// An open encoder.
pub struct Encoder {
    recipe: Recipe,
    body: Body,
    /// Modules behind the pooling.
    head: Head,
    tokenizer: Option<Tokenizer>,
    settings: Settings,
}

enum Body {
    Native(Box<Tower>),
    Onnx(Box<Onnx>),
    Tfidf(Tfidf),
}

/// A preprocessed batch, passed from loading threads to the device.
pub enum Ready {
    /// Token ids of each text.
    Ids(Vec<Vec<u32>>),
    /// `[count, 3, side, side]`.
    Pixels { values: Vec<f32>, count: usize },
    /// Plain texts, for TF-IDF.
    Texts(Vec<String>),
    /// The tokenizer failed on a text.
    Failed(EncodeError),
}

impl Encoder {
    /// Opens the encoder that `settings` name for `modality`. `texts` are the catalogue's, which TF-IDF counts;
    /// `on_download` is called for downloads.
    ///
    /// # Errors
    /// There is no such encoder, its files are damaged, contradictory or unsupported, or the settings contradict it.
    pub fn open(
        settings: &Settings,
        modality: Modality,
        texts: &[String],
        device: &Device,
        on_download: &mut dyn FnMut(&str, u64, Option<u64>),
    ) -> Result<Self, EncodeError> {
        Self::open_made(settings, modality, texts, device, None, on_download)
    }

    /// As [`Self::open`]. `made` is the recipe of a store that gets more items; it overrides what the encoder's files
    /// would choose today.
    fn open_made(
        settings: &Settings,
        modality: Modality,
        texts: &[String],
        device: &Device,
        made: Option<&Recipe>,
        on_download: &mut dyn FnMut(&str, u64, Option<u64>),
    ) -> Result<Self, EncodeError> {
        let name = &settings.encoder;
        let path = PathBuf::from(name);
        if name == "tfidf" || name.starts_with("tfidf:") {
            return Self::open_tfidf(settings, modality, texts);
        }
        if path.extension().is_some_and(|e| e == "onnx") {
            return Self::open_onnx(&path, settings, modality, made);
        }
        // Older sentence-transformers folders keep their transformer in a subfolder.
        if path.join("config.json").is_file() || path.join(sentence::MODULES).is_file() {
            return Self::open_folder(&path, settings, modality, device, made);
        }
        if !path.exists() && hub::is_name(name) {
            let folder = Hub::from_environment().folder(name, on_download)?;
            return Self::open_folder(&folder, settings, modality, device, made);
        }
        Err(EncodeError::NoEncoder(name.clone()))
    }

    /// Opens the encoder of the store at `store`. Everything that its features depend on must be unchanged. `elsewhere`
    /// is the encoder's new place, if it has moved.
    ///
    /// # Errors
    /// As [`Encoder::open`], or the encoder is not the store's.
    pub fn reopen(
        store: &Path,
        manifest: &Value,
        elsewhere: Option<&str>,
        device: &Device,
        on_download: &mut dyn FnMut(&str, u64, Option<u64>),
    ) -> Result<Self, EncodeError> {
        let other = |what: String| EncodeError::OtherEncoder { dir: store.to_owned(), what };
        let (Some(recipe), Some(mut settings)) =
            (Recipe::from_manifest(manifest), Settings::from_manifest(manifest))
        else {
            return Err(other("its manifest tells of none".into()));
        };
        if let Some(elsewhere) = elsewhere {
            elsewhere.clone_into(&mut settings.encoder);
        }
        let encoder = if recipe.engine == Engine::Tfidf {
            Self::from_table(Tfidf::read(&store.join(tfidf::FILE))?, &settings)
        } else {
            Self::open_made(&settings, recipe.modality, &[], device, Some(&recipe), on_download)?
        };
        // Bounds decide which pictures are refused, but don't change the features of others.
        let same = Recipe { bounds: recipe.bounds, ..encoder.recipe.clone() };
        match same.difference(&recipe)? {
            None => Ok(encoder),
            Some(what) => Err(other(what)),
        }
    }

    fn open_tfidf(settings: &Settings, modality: Modality, texts: &[String]) -> Result<Self, EncodeError> {
        let name = &settings.encoder;
        let width = match name.strip_prefix("tfidf:") {
            None => tfidf::DEFAULT_WIDTH,
            Some(width) => width
                .parse()
                .ok()
                .filter(|w| (1..=65_536).contains(w))
                .ok_or_else(|| EncodeError::Options(format!("`{name}`: the width is not 1 to 65536")))?,
        };
        if modality != Modality::Text {
            let (path, family, reads) = (PathBuf::from(name), name.clone(), "text");
            return Err(EncodeError::WrongModality { path, family, reads, asked: modality.name() });
        }
        if settings.tokens == Some(true) || settings.layer.is_some() || settings.odmt {
            return Err(EncodeError::Options(
                "tfidf has neither tokens nor layers, so --output tokens, --layer and --preset odmt don't fit".into(),
            ));
        }
        Ok(Self::from_table(Tfidf::fit(texts.iter().map(String::as_str), width), settings))
    }

    fn from_table(table: Tfidf, settings: &Settings) -> Self {
        let output = Output {
            layer: 0,
            final_norm: false,
            pool: Some(Pool::Mean.into()),
            projection: false,
            unit: true,
            skip: 0,
        };
        let recipe = Recipe {
            width: table.width(),
            bounds: settings.bounds,
            ..Recipe::new(Modality::Text, Engine::Tfidf, table.hash(), output)
        };
        let settings = settings.anchored();
        Self { recipe, body: Body::Tfidf(table), head: Head::default(), tokenizer: None, settings }
    }

    fn open_folder(
        folder: &Path,
        settings: &Settings,
        modality: Modality,
        device: &Device,
        made: Option<&Recipe>,
    ) -> Result<Self, EncodeError> {
        let asked = Asked::open(folder, settings, modality, made)?;
        let folder = asked.transformer(folder);
        let weights = weights::files(folder)?;
        let loaded = families::load(folder, modality, device)?;
        let (output, head) = asked.native_output(folder, &loaded)?;
        let width = loaded.tower.output_width(&output);
        let width = head.width(width).map_err(|reason| malformed(&folder.join(sentence::MODULES), reason))?;
        let engine = Engine::Native(loaded.family);
        let mut recipe = Recipe {
            config_sha256: Some(hash_file(&folder.join("config.json"))?.0),
            width,
            modules: head.described.clone(),
            bounds: settings.bounds,
            ..Recipe::new(modality, engine, weights::hash(&weights)?, output)
        };
        let mut tokenizer = None;
        if modality == Modality::Text {
            tokenizer = Some(read_native_texts(folder, &asked, &loaded, &mut recipe)?);
        } else {
            recipe.preprocessing = Some(read_native_pictures(folder, settings, made, &loaded)?);
            if recipe.output.pool.is_none() {
                recipe.tokens = loaded.tower.picture_tokens();
            }
        }
        let settings = settings.anchored();
        Ok(Self { recipe, body: Body::Native(Box::new(loaded.tower)), head, tokenizer, settings })
    }

    fn open_onnx(
        path: &Path,
        settings: &Settings,
        modality: Modality,
        made: Option<&Recipe>,
    ) -> Result<Self, EncodeError> {
        if settings.layer.is_some() || settings.final_norm.is_some() {
            return Err(EncodeError::Options(
                "an ONNX file has no layers to choose; --onnx-output names one of its outputs".into(),
            ));
        }
        let onnx = Onnx::open(path, modality, settings.onnx_output.as_deref())?;
        let folder = onnx_folder(path);
        let asked = Asked::open(&folder, settings, modality, made)?;
        let folder = asked.transformer(&folder);
        let (output, mut head) = asked.onnx_output(modality)?;
        let mut recipe = Recipe {
            onnx_output: settings.onnx_output.clone(),
            bounds: settings.bounds,
            ..Recipe::new(modality, Engine::Onnx, hash_file(path)?.0, output)
        };
        let mut tokenizer = None;
        // A first run determines the width, and checks that the model works.
        let (probe, vector) = if modality == Modality::Text {
            let (found, hash) = open_tokenizer(folder, settings, &asked)?;
            let most = text_limit(settings, folder, asked.sentence.as_ref())?;
            asked.describe_texts(&mut recipe, &found, hash, most)?;
            let ids = found.encode("a", most)?;
            tokenizer = Some(found);
            onnx.encode_texts(&[&ids], &recipe.output)?
        } else {
            let found = picture_settings(folder, settings, onnx.side, made)?;
            let side = found.side as usize;
            recipe.preprocessing = Some(found);
            onnx.encode_pictures(vec![0.0; 3 * side * side], 1, side, &recipe.output)?
        };
        // A graph that pools was exported with the modules after the pooling.
        if vector {
            head = Head::default();
        }
        recipe.width =
            head.width(probe.width).map_err(|reason| malformed(&folder.join(sentence::MODULES), reason))?;
        recipe.modules.clone_from(&head.described);
        recipe.tokens = match (wants_tokens(settings), recipe.max_tokens) {
            (true, Some(most)) if probe.tokens > 1 => most,
            _ => probe.tokens,
        };
        let settings = settings.anchored();
        Ok(Self { recipe, body: Body::Onnx(Box::new(onnx)), head, tokenizer, settings })
    }

    /// Everything that its features depend on.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The encoder's name as the user gave it.
    pub fn name(&self) -> &str {
        &self.settings.encoder
    }

    /// The settings, with absolute paths.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// One line that names the encoder and its settings, and which of them were not given. `default` marks an encoder
    /// that was not given either.
    pub fn description(&self, default: bool) -> String {
        let named = if default { " (the default)" } else { "" };
        let mut parts = vec![format!("encoder {}{named}", self.name())];
        let recipe = &self.recipe;
        if matches!(recipe.engine, Engine::Native(_)) {
            let norm = if recipe.output.final_norm { "behind" } else { "before" };
            parts.push(format!("layer {} {norm} the final norm", recipe.output.layer));
        }
        parts.extend(Some(recipe.describe()).filter(|told| !told.is_empty()));
        let found = found_out(&self.settings, recipe);
        if !found.is_empty() {
            parts.push(format!("found out and not asked for: {}", found.join(", ")));
        }
        parts.join("; ")
    }

    /// Largest batch, if there is a limit.
    pub(super) fn batch_limit(&self) -> Option<usize> {
        match &self.body {
            Body::Onnx(onnx) if onnx.single => Some(1),
            _ => None,
        }
    }

    /// The table to store with the features.
    pub(super) fn table(&self) -> Option<&Tfidf> {
        if let Body::Tfidf(table) = &self.body { Some(table) } else { None }
    }

    /// Number of tokens of a text, 1 for TF-IDF.
    pub(super) fn text_length(&self, text: &str) -> usize {
        // If the tokenizer fails on a text, encoding reports it.
        self.ids(text).map_or(1, |ids| ids.len().max(1))
    }

    fn ids(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        let most = self.recipe.max_tokens.unwrap_or(MAX_TOKENS);
        let Some(tokenizer) = &self.tokenizer else { return Ok(Vec::new()) };
        match &self.recipe.prompt {
            Some(prompt) => tokenizer.encode(&format!("{prompt}{text}"), most),
            None => tokenizer.encode(text, most),
        }
    }

    /// Tokenises texts on all cores.
    pub(super) fn ready_texts(&self, texts: &[&str]) -> Ready {
        if self.table().is_some() {
            return Ready::Texts(texts.iter().map(|&text| text.to_owned()).collect());
        }
        let ids: Result<Vec<Vec<u32>>, EncodeError> = texts.par_iter().map(|text| self.ids(text)).collect();
        ids.map_or_else(Ready::Failed, Ready::Ids)
    }

    /// Decodes and preprocesses pictures on all cores. The batch holds those that could be decoded.
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

    /// Computes the features of a batch.
    pub(super) fn compute(&self, ready: Ready) -> Result<Encoded, EncodeError> {
        Ok(self.head.apply(self.states(ready)?))
    }

    /// Computes states or vectors, before the modules after the pooling.
    fn states(&self, ready: Ready) -> Result<Encoded, EncodeError> {
        let output = &self.recipe.output;
        let side = self.recipe.preprocessing.as_ref().map_or(0, |p| p.side as usize);
        match (&self.body, ready) {
            (_, Ready::Failed(error)) => Err(error),
            (Body::Native(tower), Ready::Ids(ids)) => {
                Ok(tower.encode_texts(&ids.iter().map(Vec::as_slice).collect::<Vec<_>>(), output))
            }
            (Body::Native(tower), Ready::Pixels { values, count }) => {
                Ok(tower.encode_pictures(values, count, side, output))
            }
            (Body::Onnx(onnx), Ready::Ids(ids)) => {
                let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
                Ok(onnx.encode_texts(&ids, output)?.0)
            }
            (Body::Onnx(onnx), Ready::Pixels { values, count }) => {
                Ok(onnx.encode_pictures(values, count, side, output)?.0)
            }
            (Body::Tfidf(table), Ready::Texts(texts)) => {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let values = table.encode_all(&texts).concat();
                Ok(Encoded { values, tokens: 1, width: table.width(), lengths: vec![1; texts.len()] })
            }
            _ => Err(EncodeError::Options(format!("this encoder reads {}s", self.recipe.modality.input()))),
        }
    }

    /// Features of each text, `[tokens, width]`; `None` for an empty text. Computed as one batch, whose size the caller
    /// bounds.
    ///
    /// # Errors
    /// It is not a text encoder, or the model fails.
    pub fn encode_texts(&self, texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>, EncodeError> {
        let full: Vec<&str> = texts.iter().copied().filter(|text| !text.trim().is_empty()).collect();
        if full.is_empty() {
            return Ok(vec![None; texts.len()]);
        }
        let encoded = self.compute(self.ready_texts(&full))?;
        let mut rows = (0..full.len()).map(|n| encoded.row(n).to_vec());
        Ok(texts.iter().map(|text| if text.trim().is_empty() { None } else { rows.next() }).collect())
    }

    /// Features of each picture, or the reason why it has none. Computed as one batch, whose size the caller bounds.
    ///
    /// # Errors
    /// It is not a picture encoder, or the model fails.
    pub fn encode_pictures(&self, paths: &[&Path]) -> Result<Vec<Result<Vec<f32>, Refused>>, EncodeError> {
        let (ready, outcomes) = self.ready_pictures(paths);
        if outcomes.iter().all(Result::is_err) {
            return Ok(outcomes.into_iter().map(|o| o.map(|()| Vec::new())).collect());
        }
        let encoded = self.compute(ready)?;
        let mut place = 0..;
        let rows = outcomes.into_iter().map(|outcome| {
            // There are as many rows as outcomes without error.
            outcome.map(|()| place.next().map_or_else(Vec::new, |n| encoded.row(n).to_vec()))
        });
        Ok(rows.collect())
    }
}

/// Opens the tokenizer of a native model and records it in `recipe`.
fn read_native_texts(
    folder: &Path,
    asked: &Asked<'_>,
    loaded: &Loaded,
    recipe: &mut Recipe,
) -> Result<Tokenizer, EncodeError> {
    let (tokenizer, hash) = open_tokenizer(folder, asked.settings, asked)?;
    if tokenizer.largest() as usize >= loaded.vocabulary {
        let (largest, known) = (tokenizer.largest(), loaded.vocabulary);
        let reason = format!("its largest id is {largest}, but the model knows {known} tokens");
        return Err(malformed(&folder.join("tokenizer.json"), reason));
    }
    let most = text_limit(asked.settings, folder, asked.sentence.as_ref())?.min(loaded.input_size);
    asked.describe_texts(recipe, &tokenizer, hash, most)?;
    if recipe.output.pool.is_none() {
        recipe.tokens = most;
    }
    Ok(tokenizer)
}

/// The preprocessing of pictures for a native model.
fn read_native_pictures(
    folder: &Path,
    settings: &Settings,
    made: Option<&Recipe>,
    loaded: &Loaded,
) -> Result<Preprocessing, EncodeError> {
    let found = picture_settings(folder, settings, Some(loaded.input_size as u32), made)?;
    if found.side as usize != loaded.input_size {
        let reason = format!("pictures of {} pixels, but the model reads {}", found.side, loaded.input_size);
        return Err(EncodeError::Options(reason));
    }
    Ok(found)
}

/// The folder of the files that accompany an ONNX file: its own, or the parent where exporters use a subfolder
/// (`onnx/model.onnx`).
fn onnx_folder(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = whole.parent().unwrap_or(Path::new("."));
    let Some(parent) = folder.parent().filter(|_| folder.ends_with("onnx")) else { return folder.to_owned() };
    // A list of modules determines the vector; exporters leave it in the parent even if they copy the tokenizer.
    let first = |file: &&'static str| [folder, parent].into_iter().find(|folder| folder.join(file).is_file());
    ASSETS.iter().find_map(first).unwrap_or(folder).to_owned()
}

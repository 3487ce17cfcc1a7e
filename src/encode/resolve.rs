//! Resolution of settings from the encoder's own files.

use std::path::Path;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::EncodeError;
use super::families::{self, Family, Modality};
use super::files::optional;
use super::head::Head;
use super::picture::{PRESETS, Preprocessing};
use super::pool::{Pool, Pools};
use super::recipe::{Recipe, Settings};
use super::sentence::{Sentence, pooling_of};
use super::tokenizer::Tokenizer;
use super::tower::Output;
use crate::artefact::hash_file;
use crate::hex::hex;

/// Default length of a text in tokens.
pub(super) const MAX_TOKENS: usize = 128;
/// Limit of a text in tokens.
const MOST_TOKENS: usize = 1 << 16;
/// Files of the preprocessing of pictures: the older one, and since release 5 of transformers a part of the
/// processor's.
const PREPROCESSOR: &str = "preprocessor_config.json";
const PROCESSOR: &str = "processor_config.json";
/// ODMT's texts (docs/odmt.md, section 5.3).
const ODMT_TOKENS: usize = 30;

/// Opens the tokenizer, with the hash of its file and of departures from it.
pub(super) fn open_tokenizer(
    folder: &Path,
    settings: &Settings,
    asked: &Asked,
) -> Result<(Tokenizer, String), EncodeError> {
    let lowercase = asked.lowercase();
    let (tokenizer, path) = if let Some(path) = &settings.tokenizer {
        (Tokenizer::read(path, lowercase)?, path.clone())
    } else {
        let none = Map::new();
        let given = asked.sentence.as_ref().map_or(&none, |sentence| &sentence.tokenizer);
        let json = folder.join("tokenizer.json");
        let path = if json.exists() { json } else { folder.join("vocab.txt") };
        (Tokenizer::open_handed(folder, lowercase, given)?, path)
    };
    let hash = hash_file(&path)?.0;
    // The hash keeps an older store, whose texts were read by the file alone, from being continued with other tokens.
    let hash = match tokenizer.departures() {
        [] => hash,
        departures => {
            let whole = format!("{hash} {}", departures.join(" "));
            hex(Sha256::digest(whole.as_bytes()))
        }
    };
    Ok((tokenizer, hash))
}

/// Longest text: as set, ODMT's, sentence-transformers' own, or of a plain folder its tokenizer's limit, else 128.
pub(super) fn text_limit(
    settings: &Settings,
    folder: &Path,
    sentence: Option<&Sentence>,
) -> Result<usize, EncodeError> {
    let limit = match (settings.max_tokens, sentence) {
        (Some(most), _) => most,
        (None, _) if settings.odmt => ODMT_TOKENS,
        // The library overrides the tokenizer's limit. Without any, the model's positions bound a text.
        (None, Some(sentence)) => sentence.max_tokens.unwrap_or(MOST_TOKENS),
        (None, None) => {
            let number = |root: Option<Value>, pointer: &str| root?.pointer(pointer)?.as_u64();
            let cut = number(optional(&folder.join("tokenizer.json"))?, "/truncation/max_length");
            let stated = number(optional(&folder.join("sentence_bert_config.json"))?, "/max_seq_length");
            cut.or(stated).map_or(MAX_TOKENS, |n| n as usize)
        }
    };
    if (2..=MOST_TOKENS).contains(&limit) {
        return Ok(limit);
    }
    Err(EncodeError::Options(format!("texts of {limit} tokens; 2 to {MOST_TOKENS} are possible")))
}

/// Preprocessing of pictures: as set, ODMT's, that of the store to extend (`made`), or the folder's.
pub(super) fn picture_settings(
    folder: &Path,
    settings: &Settings,
    side: Option<u32>,
    made: Option<&Recipe>,
) -> Result<Preprocessing, EncodeError> {
    let side = settings.side.or(side).unwrap_or(224);
    if !(8..=4096).contains(&side) {
        return Err(EncodeError::Options(format!("pictures of {side} pixels; 8 to 4096 are possible")));
    }
    let preset = |name: &str| Preprocessing::named(name, side);
    if let Some(wanted) = &settings.preprocess {
        return match preset(wanted) {
            Some(found) => Ok(found),
            None if Path::new(wanted).is_file() => Preprocessing::read(Path::new(wanted)),
            None => Err(EncodeError::Options(format!(
                "`--preprocess {wanted}` is neither a file nor one of {}",
                PRESETS.join(", ")
            ))),
        };
    }
    if settings.odmt {
        // A name of the table above.
        return Ok(preset("odmt").unwrap_or_else(|| unreachable!("odmt is a preset")));
    }
    // Later pictures are preprocessed like the earlier ones.
    if let Some(made) = made.and_then(|recipe| recipe.preprocessing.clone()) {
        return Ok(made);
    }
    // transformers prefers the newer file, if it has this part.
    for name in [PROCESSOR, PREPROCESSOR] {
        let own = folder.join(name);
        if let Some(root) = optional(&own)?
            && (name == PREPROCESSOR || root.get("image_processor").is_some())
        {
            return Preprocessing::from_json(&own, &root);
        }
    }
    Err(EncodeError::Options(format!(
        "{} has neither {PREPROCESSOR} nor {PROCESSOR} with an image_processor; name the preprocessing with \
         --preprocess ({})",
        folder.display(),
        PRESETS.join(", ")
    )))
}

/// The inputs of a recipe besides the model.
pub(super) struct Asked<'a> {
    pub settings: &'a Settings,
    pub sentence: Option<Sentence>,
}

impl<'a> Asked<'a> {
    /// Reads the folder's files; `made` is the recipe of a store to extend.
    pub fn open(
        folder: &Path,
        settings: &'a Settings,
        modality: Modality,
        made: Option<&Recipe>,
    ) -> Result<Self, EncodeError> {
        let made_plain = made.is_some_and(|recipe| recipe.modules.is_empty());
        let whole = settings.pool.is_none() && !wants_tokens(settings) && !made_plain;
        // An unused prompt need not be supported.
        let default_prompt = modality == Modality::Text && settings.prompt.is_none() && !settings.odmt;
        let mut sentence = Sentence::open(folder, modality, whole, default_prompt && made.is_none())?;
        if let (Some(sentence), Some(made)) = (&mut sentence, made) {
            sentence.restore_choices(made);
        }
        Ok(Self { settings, sentence })
    }

    /// The folder of the transformer and its tokenizer.
    pub fn transformer<'p>(&'p self, folder: &'p Path) -> &'p Path {
        self.sentence.as_ref().map_or(folder, |sentence| &sentence.transformer)
    }

    /// Records in `recipe` how texts become at most `most` tokens; `hash` is the tokenizer's.
    pub fn describe_texts(
        &self,
        recipe: &mut Recipe,
        tokenizer: &Tokenizer,
        hash: String,
        most: usize,
    ) -> Result<(), EncodeError> {
        let skip = self.skip(tokenizer, most)?;
        if recipe.output.pool.is_some() {
            recipe.output.skip = skip;
        }
        recipe.tokenizer_sha256 = Some(hash);
        recipe.max_tokens = Some(most);
        recipe.prompt = Some(self.prompt().to_owned()).filter(|prompt| !prompt.is_empty());
        recipe.lowercase = self.lowercase();
        Ok(())
    }

    /// The prompt before every text; ODMT's extraction has none.
    pub fn prompt(&self) -> &str {
        match (&self.settings.prompt, &self.sentence) {
            (Some(asked), _) => asked,
            (None, Some(sentence)) if !self.settings.odmt => &sentence.prompt,
            _ => "",
        }
    }

    /// Whether texts are lowercased first.
    pub fn lowercase(&self) -> bool {
        self.sentence.as_ref().is_some_and(|sentence| sentence.lowercase)
    }

    /// Number of first tokens that are not pooled.
    ///
    /// # Errors
    /// The prompt leaves no room for a text, so that all would be equal.
    pub fn skip(&self, tokenizer: &Tokenizer, most: usize) -> Result<usize, EncodeError> {
        if self.prompt().is_empty() {
            return Ok(0);
        }
        let (length, closed) = tokenizer.prompt_length(self.prompt())?;
        let pooled = self.sentence.as_ref().is_none_or(|s| s.include_prompt);
        // A text that loses its beginning loses the prompt first.
        let safe = pooled && tokenizer.cuts_the_beginning();
        if length + usize::from(closed) < most || safe {
            return Ok(if pooled { 0 } else { length });
        }
        let what = format!(
            "the prompt alone has {length} tokens, and {most} of a text are read, so that nothing of it would be \
             left; a larger --max-tokens or a shorter --prompt gives it room"
        );
        Err(EncodeError::Options(what))
    }

    /// Pooling, scaling to unit length, and further modules: as set, the folder's, or `default`.
    fn pooling(&self, default: Pools) -> Result<(Pools, bool, Head), EncodeError> {
        let sentence = self.sentence.as_ref();
        let mut head = sentence.map(Sentence::head).transpose()?.unwrap_or_default();
        match self.settings.unit {
            Some(true) => head.push_unit(),
            Some(false) => head.pop_unit(),
            None => {}
        }
        let unit = head.take_first_unit();
        let own = sentence.and_then(|sentence| sentence.pools.clone());
        Ok((self.settings.pool.map_or(own.unwrap_or(default), Pools::from), unit, head))
    }

    /// The output of an ONNX file.
    pub fn onnx_output(&self, modality: Modality) -> Result<(Output, Head), EncodeError> {
        let none =
            Output { layer: 0, final_norm: false, pool: None, projection: false, unit: false, skip: 0 };
        if wants_tokens(self.settings) {
            return Ok((none, Head::default()));
        }
        let default = if modality == Modality::Text { Pool::Mean } else { Pool::Cls };
        let (pools, unit, head) = self.pooling(default.into())?;
        Ok((Output { pool: Some(pools), unit, ..none }, head))
    }

    /// The output of a native encoder: layer, norm, pooling.
    pub fn native_output(
        &self,
        folder: &Path,
        loaded: &families::Loaded,
    ) -> Result<(Output, Head), EncodeError> {
        let settings = self.settings;
        let depth = loaded.tower.blocks.len();
        let layer = match settings.layer {
            None => depth,
            Some(n) => usize::try_from(if n < 0 { depth as i64 + 1 + n } else { n })
                .ok()
                .filter(|&n| n <= depth)
                .ok_or_else(|| {
                    EncodeError::Options(format!("--layer {n}: the model has layers 0 to {depth}"))
                })?,
        };
        let last = layer == depth;
        let final_norm = |own: bool| settings.final_norm.unwrap_or(own) && loaded.tower.final_norm.is_some();
        // As `last_hidden_state` of transformers: CLIP's picture tower norms only the pooled vector.
        let norms_states = last && loaded.family != Family::ClipVision;
        let mut output =
            Output { layer, final_norm: false, pool: None, projection: false, unit: false, skip: 0 };
        if wants_tokens(settings) {
            output.final_norm = final_norm(norms_states && !settings.odmt);
            return Ok((output, Head::default()));
        }
        let default = match loaded.family {
            Family::Bert => self.own_pooling(folder)?,
            Family::ClipText => Pool::End.into(),
            Family::Vit | Family::ClipVision => Pool::Cls.into(),
        };
        let (pools, unit, head) = self.pooling(default)?;
        if pools.modes().contains(&Pool::End) && loaded.family != Family::ClipText {
            return Err(EncodeError::Options("--pool end is for texts of CLIP".into()));
        }
        // A Pooling module reads the states; CLIP's own vector comes from its projection.
        let pools_by_module =
            settings.pool.is_none() && self.sentence.as_ref().is_some_and(|s| s.pools.is_some());
        output.final_norm = final_norm(if pools_by_module { norms_states } else { last });
        output.projection = last
            && output.final_norm
            && settings.pool.is_none()
            && !pools_by_module
            && loaded.tower.projection.is_some();
        (output.pool, output.unit) = (Some(pools), unit);
        Ok((output, head))
    }

    /// Pooling of a BERT: the mean, or that of a pooling file without a list of modules.
    fn own_pooling(&self, folder: &Path) -> Result<Pools, EncodeError> {
        let path = folder.join("1_Pooling/config.json");
        if self.sentence.is_none() && path.exists() {
            return Ok(pooling_of(&path)?.0);
        }
        Ok(Pool::Mean.into())
    }
}

/// Whether the states of all tokens are wanted.
pub(super) fn wants_tokens(settings: &Settings) -> bool {
    settings.tokens.unwrap_or(settings.odmt)
}

//! Tokenisation of texts by a `tokenizer.json`, as Hugging Face's `tokenizers` reads it, or BERT's older `vocab.txt`.
//!
//! The library does the work. It checks some properties of a file only when a text needs them, or not at all, and then
//! panics; the code here turns damaged files into errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tokenizers::{NormalizerWrapper, PostProcessor, TruncationDirection};

use super::EncodeError;
use super::error::{io_error, malformed};
use super::files::optional;

/// Longest text in bytes; the rest can't reach the first thousand tokens.
const MOST_BYTES: usize = 64 << 10;

/// Classes that build BERT's normalizer from their settings and ignore the one in `tokenizer.json`.
const REBUILT: [&str; 12] = [
    "BertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "MobileBertTokenizer",
    "SqueezeBertTokenizer",
    "ConvBertTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MPNetTokenizer",
    "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer",
    "DPRReaderTokenizer",
];
/// Models whose tokenizer is of such a class if no file names one.
const REBUILT_MODELS: [&str; 13] = [
    "bert",
    "distilbert",
    "electra",
    "mobilebert",
    "squeezebert",
    "convbert",
    "layoutlm",
    "lxmert",
    "megatron-bert",
    "mpnet",
    "nomic_bert",
    "visual_bert",
    "dpr",
];

/// A tokenizer.
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    /// Number of special tokens around a text.
    added: usize,
    /// The side on which long texts are truncated.
    cut: TruncationDirection,
    largest: u32,
    /// Departures from the tokenizer's file.
    departures: Vec<String>,
}

impl Tokenizer {
    /// Opens the tokenizer of an encoder's folder: `tokenizer.json`, or BERT's older `vocab.txt`. `lowercase`
    /// lowercases texts first, as some sentence-transformers folders require.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn open(folder: &Path, lowercase: bool) -> Result<Self, EncodeError> {
        Self::open_handed(folder, lowercase, &Map::new())
    }

    /// As [`Tokenizer::open`], with settings that override `tokenizer_config.json`.
    ///
    /// # Errors
    /// As [`Tokenizer::open`], or a setting has an invalid value.
    pub(super) fn open_handed(
        folder: &Path,
        lowercase: bool,
        given: &Map<String, Value>,
    ) -> Result<Self, EncodeError> {
        let path = folder.join("tokenizer.json");
        let vocabulary = folder.join("vocab.txt");
        let settings = folder.join("tokenizer_config.json");
        let mut config = match optional(&settings)? {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(config)) => config,
            Some(_) => return Err(malformed(&settings, "not an object of settings")),
        };
        // Older recipes read it from this place only.
        let known = cut_of(&settings, &config)?.unwrap_or(TruncationDirection::Right);
        config.extend(given.clone());
        let asked = cut_of(&settings, &config)?;
        let mut tokenizer = if !path.exists() && vocabulary.exists() {
            Self::from_vocabulary(&Value::Object(config), vocabulary, lowercase)?
        } else {
            let root = read_json(&path)?;
            let rebuilt = is_rebuilt(folder, &config)?;
            let normalizer = if rebuilt { Some(normalizer_of(&settings, &config)?) } else { None };
            Self::parse(&path, root, lowercase, normalizer)?
        };
        tokenizer.cut = asked.unwrap_or(tokenizer.cut);
        if tokenizer.cut != known {
            tokenizer.departures.push(format!("cut {:?}", tokenizer.cut));
        }
        Ok(tokenizer)
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// As [`Tokenizer::open`].
    pub fn read(path: &Path, lowercase: bool) -> Result<Self, EncodeError> {
        let mut tokenizer = Self::parse(path, read_json(path)?, lowercase, None)?;
        if tokenizer.cut == TruncationDirection::Left {
            tokenizer.departures.push("cut Left".into());
        }
        Ok(tokenizer)
    }

    fn from_vocabulary(config: &Value, path: PathBuf, lowercase: bool) -> Result<Self, EncodeError> {
        let text = std::fs::read_to_string(&path).map_err(io_error(&path))?;
        let ids: Map<String, Value> =
            text.lines().enumerate().map(|(n, token)| (token.trim_end().to_owned(), n.into())).collect();
        let token = |name: &str| -> Result<Value, EncodeError> {
            let id = ids.get(name).ok_or_else(|| malformed(&path, format!("no token {name}")))?;
            Ok(json!([name, id]))
        };
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let added: Vec<Value> = special
            .iter()
            .filter_map(|name| {
                Some(json!({"id": ids.get(*name)?, "content": name, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}))
            })
            .collect();
        let flag = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(true);
        let root = json!({
            "version": "1.0",
            "added_tokens": added,
            "normalizer": {"type": "BertNormalizer", "clean_text": true,
                "handle_chinese_chars": flag("tokenize_chinese_chars"),
                "strip_accents": config.get("strip_accents").cloned().unwrap_or_default(),
                "lowercase": flag("do_lower_case")},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "cls": token("[CLS]")?, "sep": token("[SEP]")?},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": ids},
        });
        Self::parse(&path, root, lowercase, None)
    }

    /// Parses the file's content. `normalizer` replaces the file's, for classes that ignore it.
    fn parse(
        path: &Path,
        mut root: Value,
        lowercase: bool,
        normalizer: Option<Value>,
    ) -> Result<Self, EncodeError> {
        check_model(path, root.get("model").unwrap_or(&Value::Null))?;
        let mut departures = Vec::new();
        if let Some(normalizer) = normalizer.filter(|_| is_word_piece(&root)) {
            check_normalizer(path, root.get("normalizer"))?;
            let pieces = json!({"type": "BertPreTokenizer"});
            if root.get("pre_tokenizer") != Some(&pieces)
                || !same_normalizer(&root["normalizer"], &normalizer)
            {
                departures.push(normalizer.to_string());
                root["normalizer"] = normalizer;
                root["pre_tokenizer"] = pieces;
            }
        }
        if lowercase {
            prepend_lowercase(&mut root);
        }
        let cut = match root.pointer("/truncation/direction").and_then(Value::as_str) {
            Some("Left") => TruncationDirection::Left,
            _ => TruncationDirection::Right,
        };
        // The encoder determines truncation and padding.
        for key in ["truncation", "padding"] {
            root[key] = Value::Null;
        }
        let json = root.to_string();
        let inner: tokenizers::Tokenizer =
            guarded(|| json.parse().map_err(|e: tokenizers::Error| e.to_string()))
                .map_err(|reason| malformed(path, reason))?;
        let added = inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        let largest = inner.get_vocab(true).into_values().max().unwrap_or(0);
        let mut tokenizer = Self { path: path.to_owned(), inner, added, cut, largest, departures };
        // Ids of special tokens may be outside the vocabulary. A first text reveals other contradictions.
        let special = tokenizer.encode("", MOST_BYTES)?;
        tokenizer.encode("a 1", MOST_BYTES)?;
        tokenizer.largest = special.into_iter().max().unwrap_or(0).max(largest);
        Ok(tokenizer)
    }

    /// The largest id that can occur.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// Departures from the tokenizer's file, usually none.
    pub(super) fn departures(&self) -> &[String] {
        &self.departures
    }

    /// Whether long texts lose their beginning.
    pub(super) fn cuts_the_beginning(&self) -> bool {
        self.cut == TruncationDirection::Left
    }

    /// The ids of `text` with special tokens, at most `most`.
    ///
    /// # Errors
    /// The tokenizer has no token for a part of the text, or contradicts itself.
    pub fn encode(&self, text: &str, most: usize) -> Result<Vec<u32>, EncodeError> {
        let text = &text[..text.floor_char_boundary(MOST_BYTES)];
        let run = || -> tokenizers::Result<Vec<u32>> {
            let mut encoding = self.inner.encode_fast(text, false)?;
            encoding.truncate(most.saturating_sub(self.added), 0, self.cut);
            encoding.take_overflowing();
            let whole = match self.inner.get_post_processor() {
                Some(processor) => processor.process(encoding, None, true)?,
                None => encoding,
            };
            Ok(whole.get_ids()[..whole.len().min(most)].to_vec())
        };
        guarded(|| run().map_err(|e| e.to_string())).map_err(|reason| malformed(&self.path, reason))
    }

    /// Number of tokens that `prompt` takes at the beginning of a text, without a special one at its end, and whether
    /// there is one.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn prompt_length(&self, prompt: &str) -> Result<(usize, bool), EncodeError> {
        let ids = self.encode(prompt, MOST_BYTES)?;
        let special = self.inner.get_added_tokens_decoder();
        let closed = ids.last().is_some_and(|id| special.get(id).is_some_and(|token| token.special));
        Ok((ids.len() - usize::from(closed), closed))
    }
}

fn read_json(path: &Path) -> Result<Value, EncodeError> {
    let text = std::fs::read_to_string(path).map_err(io_error(path))?;
    serde_json::from_str(&text).map_err(|e| malformed(path, e))
}

/// The truncation side in `config`, if given.
fn cut_of(path: &Path, config: &Map<String, Value>) -> Result<Option<TruncationDirection>, EncodeError> {
    match config.get("truncation_side") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(side)) if side == "left" => Ok(Some(TruncationDirection::Left)),
        Some(Value::String(side)) if side == "right" => Ok(Some(TruncationDirection::Right)),
        Some(other) => Err(malformed(path, format!("truncation_side {other} is neither left nor right"))),
    }
}

/// Whether transformers 5 reads the tokenizer by a class of [`REBUILT`]: that of the tokenizer's settings, of the
/// model, or of the model's type.
fn is_rebuilt(folder: &Path, config: &Map<String, Value>) -> Result<bool, EncodeError> {
    let model = optional(&folder.join("config.json"))?.unwrap_or_default();
    let class = config.get("tokenizer_class").or_else(|| model.get("tokenizer_class"));
    if let Some(name) = class.and_then(Value::as_str) {
        return Ok(REBUILT.contains(&name.strip_suffix("Fast").unwrap_or(name)));
    }
    let kind = model.get("model_type").and_then(Value::as_str);
    Ok(kind.is_some_and(|kind| REBUILT_MODELS.contains(&kind)))
}

/// The normalizer that a class of [`REBUILT`] builds.
fn normalizer_of(path: &Path, config: &Map<String, Value>) -> Result<Value, EncodeError> {
    let flag = |key: &str, default: Value| match config.get(key) {
        None => Ok(default),
        Some(value) if value.is_boolean() || (default.is_null() && value.is_null()) => Ok(value.clone()),
        Some(other) => Err(malformed(path, format!("{key} {other} is neither true nor false"))),
    };
    Ok(json!({"type": "BertNormalizer", "clean_text": true,
        "handle_chinese_chars": flag("tokenize_chinese_chars", true.into())?,
        "strip_accents": flag("strip_accents", Value::Null)?,
        "lowercase": flag("do_lower_case", true.into())?}))
}

/// Whether the model is WordPiece. Older files omit the type, but only this model has a prefix of pieces.
fn is_word_piece(root: &Value) -> bool {
    let model = root.get("model").unwrap_or(&Value::Null);
    match model.get("type").and_then(Value::as_str) {
        Some(kind) => kind == "WordPiece",
        None => model.get("continuing_subword_prefix").is_some() && model.get("merges").is_none(),
    }
}

/// Checks a normalizer, even if another one replaces it.
fn check_normalizer(path: &Path, normalizer: Option<&Value>) -> Result<(), EncodeError> {
    let Some(normalizer) = normalizer.filter(|v| !v.is_null()) else { return Ok(()) };
    let read = || serde_json::from_value::<NormalizerWrapper>(normalizer.clone()).map_err(|e| e.to_string());
    guarded(read).map(drop).map_err(|reason| malformed(path, reason))
}

/// Whether two normalizers of BERT are equivalent.
fn same_normalizer(a: &Value, b: &Value) -> bool {
    let flag = |value: &Value, key: &str| value.get(key).and_then(Value::as_bool);
    let flags = |value: &Value| {
        let lowercase = flag(value, "lowercase");
        // By default accents are stripped exactly when texts are lowercased.
        let accents = flag(value, "strip_accents").or(lowercase);
        [flag(value, "clean_text"), flag(value, "handle_chinese_chars"), accents, lowercase]
    };
    a.get("type") == b.get("type") && flags(a) == flags(b)
}

/// Checks what the library would find in the middle of a run, or misread.
fn check_model(path: &Path, model: &Value) -> Result<(), EncodeError> {
    let Some(vocabulary) = model.get("vocab").filter(|v| v.is_object() || v.is_array()) else {
        return Err(malformed(path, "the model has no vocab"));
    };
    if let Some(entries) = vocabulary.as_object() {
        let valid = |id: &Value| id.as_u64().is_some_and(|id| i32::try_from(id).is_ok());
        if let Some((token, _)) = entries.iter().find(|(_, id)| !valid(id)) {
            return Err(malformed(path, format!("{token:?} has no valid id")));
        }
        let bpe = model.get("merges").is_some();
        let unknown = model.get("unk_token").and_then(Value::as_str).unwrap_or("[UNK]");
        if !bpe && !entries.contains_key(unknown) {
            return Err(malformed(path, format!("{unknown:?} is not in the vocabulary")));
        }
    }
    Ok(())
}

/// Prepends a lowercasing step, if there is none.
fn prepend_lowercase(root: &mut Value) {
    let old = root.get("normalizer").cloned().unwrap_or_default();
    if lowercases(&old) {
        return;
    }
    let mut steps = vec![json!({"type": "Lowercase"})];
    match (old.get("type").and_then(Value::as_str), old.get("normalizers").and_then(Value::as_array)) {
        (Some("Sequence"), Some(inner)) => steps.extend(inner.iter().cloned()),
        (Some(_), _) => steps.push(old),
        _ => {}
    }
    root["normalizer"] = json!({"type": "Sequence", "normalizers": steps});
}

fn lowercases(normalizer: &Value) -> bool {
    let kind = normalizer.get("type").and_then(Value::as_str);
    match kind {
        Some("Lowercase") => true,
        Some("Sequence") => {
            normalizer.get("normalizers").and_then(Value::as_array).into_iter().flatten().any(lowercases)
        }
        _ => normalizer.get("lowercase").and_then(Value::as_bool).unwrap_or(false),
    }
}

/// Turns panics of the library, which asserts properties of a file, into errors of the file.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err("a part of it contradicts another".to_owned()))
}

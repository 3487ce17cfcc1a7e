//! Texts to token ids, by a `tokenizer.json` as Hugging Face's `tokenizers` reads it, or BERT's older `vocab.txt`.
//!
//! The library computes; what stands here keeps a damaged file an error: it checks some things when it meets them in a
//! text, or not at all, and then panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tokenizers::{PostProcessor, TruncationDirection};

use super::EncodeError;
use super::error::{at, malformed};
use super::resolve::optional;

/// Longest text that is read, in bytes; what lies behind it can't reach the first thousand tokens.
const MOST_BYTES: usize = 64 << 10;

/// A tokenizer, ready to use.
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    /// Special tokens that are put around a text.
    added: usize,
    /// The end that is kept where a text is too long.
    cut: TruncationDirection,
    largest: u32,
}

impl Tokenizer {
    /// Opens the tokenizer of an encoder's folder: `tokenizer.json`, or BERT's older `vocab.txt`. `lowercase` writes
    /// texts small first, as sentence-transformers does where a folder asks for it.
    ///
    /// # Errors
    /// No such file, or one that is damaged.
    pub fn open(folder: &Path, lowercase: bool) -> Result<Self, EncodeError> {
        let path = folder.join("tokenizer.json");
        let vocabulary = folder.join("vocab.txt");
        let config = optional(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let mut tokenizer = if !path.exists() && vocabulary.exists() {
            Self::from_vocabulary(&config, vocabulary, lowercase)?
        } else {
            Self::read(&path, lowercase)?
        };
        if config.get("truncation_side").and_then(Value::as_str) == Some("left") {
            tokenizer.cut = TruncationDirection::Left;
        }
        Ok(tokenizer)
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// As [`Tokenizer::open`].
    pub fn read(path: &Path, lowercase: bool) -> Result<Self, EncodeError> {
        let text = std::fs::read_to_string(path).map_err(at(path))?;
        let root: Value = serde_json::from_str(&text).map_err(|e| malformed(path, e))?;
        Self::parse(path, root, lowercase)
    }

    fn from_vocabulary(config: &Value, path: PathBuf, lowercase: bool) -> Result<Self, EncodeError> {
        let text = std::fs::read_to_string(&path).map_err(at(&path))?;
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
        Self::parse(&path, root, lowercase)
    }

    fn parse(path: &Path, mut root: Value, lowercase: bool) -> Result<Self, EncodeError> {
        check_model(path, root.get("model").unwrap_or(&Value::Null))?;
        if lowercase {
            prepend_lowercase(&mut root);
        }
        // Cut and padding are the encoder's to choose.
        for key in ["truncation", "padding"] {
            root[key] = Value::Null;
        }
        let json = root.to_string();
        let inner: tokenizers::Tokenizer =
            guarded(|| json.parse().map_err(|e: tokenizers::Error| e.to_string()))
                .map_err(|reason| malformed(path, reason))?;
        let added = inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        let largest = inner.get_vocab(true).into_values().max().unwrap_or(0);
        let cut = TruncationDirection::Right;
        let mut tokenizer = Self { path: path.to_owned(), inner, added, cut, largest };
        // Ids of special tokens need not be those of the vocabulary. The first text shows what else does not fit.
        let around = tokenizer.encode("", MOST_BYTES)?;
        tokenizer.encode("a 1", MOST_BYTES)?;
        tokenizer.largest = around.into_iter().max().unwrap_or(0).max(largest);
        Ok(tokenizer)
    }

    /// The largest id that can come out.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// The ids of `text` with special tokens, cut to `most` in all.
    ///
    /// # Errors
    /// The tokenizer's file has no token for something in the text, or contradicts itself.
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

    /// Tokens that `prompt` takes at the beginning of a text: all of its own but a special one at the end.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn prompt_length(&self, prompt: &str) -> Result<usize, EncodeError> {
        let ids = self.encode(prompt, MOST_BYTES)?;
        let special = self.inner.get_added_tokens_decoder();
        let closed = ids.last().is_some_and(|id| special.get(id).is_some_and(|token| token.special));
        Ok(ids.len() - usize::from(closed))
    }
}

/// What the library finds out in the middle of a run, or takes for something else.
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

/// Puts a step that writes texts small before the others, if none does.
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

/// The library asserts some things about a file instead of checking them: its panic is the file's fault.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err("a part of it contradicts another".to_owned()))
}

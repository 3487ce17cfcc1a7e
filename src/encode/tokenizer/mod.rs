//! Texts to token ids, by a `tokenizer.json` of the sorts that BERT and CLIP use.
//!
//! A file that asks for a component which is not here is refused by name: an approximate tokenizer would give
//! plausible and wrong features. Results equal those of Hugging Face's `tokenizers` (fixtures in `tests/`).
//!
//! The way of a text: added tokens are cut out, the rest is normalised, split into words, the words into
//! pieces of the vocabulary; the template puts its special tokens around it.

mod bpe;
mod normal;
mod split;
mod wordpiece;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::EncodeError;
use super::error::{at, malformed};
use bpe::Bpe;
use normal::Normal;
use split::Splitter;
use wordpiece::WordPiece;

/// Longest text that is read, in bytes; what lies behind it can't reach the first thousand tokens.
const MOST_BYTES: usize = 64 << 10;

/// A token that is found in the text as it stands.
#[derive(Clone, Debug, Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    /// Looked for in the normalised text.
    #[serde(default)]
    normalized: bool,
    /// Put around texts rather than a part of them.
    #[serde(default)]
    special: bool,
}

#[derive(Debug)]
enum Model {
    WordPiece(WordPiece),
    Bpe(Bpe),
}

/// A tokenizer, ready to use.
#[derive(Debug)]
pub struct Tokenizer {
    added: Vec<Added>,
    normal: Normal,
    splitter: Splitter,
    model: Model,
    before: Vec<u32>,
    behind: Vec<u32>,
    largest: u32,
}

/// Collects what a file asks for and this module lacks.
struct Source<'a>(&'a Path);

impl Source<'_> {
    fn lacks(&self, what: &str, value: &Value) -> EncodeError {
        let shown: String = value.to_string().chars().take(80).collect();
        EncodeError::Unsupported {
            path: self.0.to_owned(),
            what: format!("{what} {shown} is not supported"),
            hint: "tokenizers of BERT (WordPiece) and CLIP (byte-level BPE) are; encode outside and use \
                   `codistill features import`"
                .into(),
        }
    }
}

fn kind(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or("")
}

fn flag(value: &Value, key: &str, default: bool) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(default)
}

impl Tokenizer {
    /// Opens the tokenizer of an encoder's folder: `tokenizer.json`, or BERT's older `vocab.txt`. `lowercase` writes
    /// texts small first, as sentence-transformers does where a folder asks for it.
    ///
    /// # Errors
    /// No such file, or one that asks for something this module lacks.
    pub fn open(folder: &Path, lowercase: bool) -> Result<Self, EncodeError> {
        let path = folder.join("tokenizer.json");
        let vocabulary = folder.join("vocab.txt");
        if !path.exists() && vocabulary.exists() {
            return Self::from_vocabulary(folder, vocabulary, lowercase);
        }
        Self::read(&path, lowercase)
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// As [`Tokenizer::open`].
    pub fn read(path: &Path, lowercase: bool) -> Result<Self, EncodeError> {
        let text = std::fs::read_to_string(path).map_err(at(path))?;
        let mut root: Value = serde_json::from_str(&text).map_err(|e| malformed(path, e))?;
        if lowercase {
            prepend_lowercase(&mut root);
        }
        Self::parse(path, &root)
    }

    fn from_vocabulary(folder: &Path, path: PathBuf, lowercase: bool) -> Result<Self, EncodeError> {
        let text = std::fs::read_to_string(&path).map_err(at(&path))?;
        let ids: serde_json::Map<String, Value> =
            text.lines().enumerate().map(|(n, token)| (token.trim_end().to_owned(), n.into())).collect();
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let added: Vec<Value> = special
            .iter()
            .filter_map(|token| {
                Some(serde_json::json!({"id": ids.get(*token)?, "content": token, "special": true}))
            })
            .collect();
        let settings = std::fs::read_to_string(folder.join("tokenizer_config.json")).unwrap_or_default();
        let settings: Value = serde_json::from_str(&settings).unwrap_or_default();
        let mut root = serde_json::json!({
            "added_tokens": added,
            "normalizer": {"type": "BertNormalizer", "lowercase": flag(&settings, "do_lower_case", true)},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing",
                "cls": ["[CLS]", ids.get("[CLS]")], "sep": ["[SEP]", ids.get("[SEP]")]},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": ids},
        });
        if lowercase {
            prepend_lowercase(&mut root);
        }
        Self::parse(&path, &root)
    }

    fn parse(path: &Path, root: &Value) -> Result<Self, EncodeError> {
        let source = Source(path);
        let part = |key: &str| root.get(key).cloned().unwrap_or_default();
        let added: Vec<Added> = match part("added_tokens") {
            Value::Null => Vec::new(),
            list => {
                serde_json::from_value(list).map_err(|e| malformed(path, format!("added_tokens: {e}")))?
            }
        };
        let model = part("model");
        // Older files leave the type out.
        let is_bpe = kind(&model) == "BPE" || (kind(&model).is_empty() && model.get("merges").is_some());
        let model = if is_bpe {
            Model::Bpe(Bpe::parse(&source, &model)?)
        } else if matches!(kind(&model), "WordPiece" | "") {
            Model::WordPiece(WordPiece::parse(&source, &model)?)
        } else {
            return Err(source.lacks("model", &serde_json::json!(kind(&model))));
        };
        let (before, behind) = template(&source, &part("post_processor"))?;
        let in_model = match &model {
            Model::WordPiece(m) => m.largest(),
            Model::Bpe(m) => m.largest(),
        };
        let others = added.iter().map(|a| a.id).chain(before.iter().chain(&behind).copied());
        let largest = others.max().unwrap_or(0).max(in_model);
        Ok(Self {
            normal: Normal::parse(&source, &part("normalizer"))?,
            splitter: Splitter::parse(&source, &part("pre_tokenizer"))?,
            added: added.into_iter().filter(|a| !a.content.is_empty()).collect(),
            model,
            before,
            behind,
            largest,
        })
    }

    /// The largest id that can come out.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// Tokens that `prompt` takes at the beginning of a text: all of its own but a special one at the end.
    pub fn prompt_length(&self, prompt: &str) -> usize {
        let ids = self.encode(prompt, MOST_BYTES);
        let closed = ids.last().is_some_and(|id| self.added.iter().any(|a| a.special && a.id == *id));
        ids.len() - usize::from(closed)
    }

    /// The ids of `text` with special tokens, cut to `most` in all.
    pub fn encode(&self, text: &str, most: usize) -> Vec<u32> {
        let text = &text[..text.floor_char_boundary(MOST_BYTES)];
        let room = most.saturating_sub(self.before.len() + self.behind.len());
        let mut ids = self.before.clone();
        let limit = self.before.len() + room;
        for piece in self.cut(text, false) {
            match piece {
                Piece::Token(id) => ids.push(id),
                Piece::Text(text) => self.encode_plain(text, limit, &mut ids),
            }
            if ids.len() >= limit {
                break;
            }
        }
        ids.truncate(limit);
        ids.extend(&self.behind);
        ids
    }

    fn encode_plain(&self, text: &str, limit: usize, ids: &mut Vec<u32>) {
        let normal = self.normal.apply(text);
        for piece in self.cut(&normal, true) {
            let text = match piece {
                Piece::Token(id) => {
                    ids.push(id);
                    continue;
                }
                Piece::Text(text) => text,
            };
            for word in self.splitter.split(text) {
                if ids.len() >= limit {
                    return;
                }
                match &self.model {
                    Model::WordPiece(model) => model.encode(&word, ids),
                    Model::Bpe(model) => model.encode(&word, ids),
                }
            }
        }
    }

    /// Cuts the added tokens of one sort out of `text`: leftmost first, the longest of several.
    fn cut<'t>(&self, text: &'t str, normalized: bool) -> Vec<Piece<'t>> {
        let tokens: Vec<&Added> = self.added.iter().filter(|a| a.normalized == normalized).collect();
        let mut pieces = Vec::new();
        let (mut from, mut place) = (0, 0);
        while !tokens.is_empty() && place < text.len() {
            let here = &text[place..];
            let step = here.chars().next().map_or(1, char::len_utf8);
            let found = tokens.iter().filter(|a| here.starts_with(a.content.as_str()));
            let Some(token) = found.max_by_key(|a| a.content.len()) else {
                place += step;
                continue;
            };
            let end = place + token.content.len();
            let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            if token.single_word
                && (word(text[..place].chars().next_back()) || word(text[end..].chars().next()))
            {
                place += step;
                continue;
            }
            let left = if token.lstrip { text[from..place].trim_end().len() + from } else { place };
            let rest = &text[end..];
            let right = if token.rstrip { end + rest.len() - rest.trim_start().len() } else { end };
            if left > from {
                pieces.push(Piece::Text(&text[from..left]));
            }
            pieces.push(Piece::Token(token.id));
            (from, place) = (right, right);
        }
        if from < text.len() {
            pieces.push(Piece::Text(&text[from..]));
        }
        pieces
    }
}

/// Puts a step that writes texts small before the others, if none does.
fn prepend_lowercase(root: &mut Value) {
    let old = root.get("normalizer").cloned().unwrap_or_default();
    if lowercases(&old) {
        return;
    }
    let mut steps = vec![serde_json::json!({"type": "Lowercase"})];
    match (old.get("type").and_then(Value::as_str), old.get("normalizers").and_then(Value::as_array)) {
        (Some("Sequence"), Some(inner)) => steps.extend(inner.iter().cloned()),
        (Some(_), _) => steps.push(old),
        _ => {}
    }
    root["normalizer"] = serde_json::json!({"type": "Sequence", "normalizers": steps});
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

enum Piece<'t> {
    Token(u32),
    Text(&'t str),
}

/// Special tokens before and behind a single text.
fn template(source: &Source, value: &Value) -> Result<(Vec<u32>, Vec<u32>), EncodeError> {
    let pair = |key: &str| -> Result<Vec<u32>, EncodeError> {
        let id = value.get(key).and_then(|v| v.get(1)).and_then(Value::as_u64);
        id.map(|id| vec![id as u32])
            .ok_or_else(|| malformed(source.0, format!("post_processor has no {key:?}")))
    };
    match kind(value) {
        "" if value.is_null() => Ok((Vec::new(), Vec::new())),
        "BertProcessing" | "RobertaProcessing" => Ok((pair("cls")?, pair("sep")?)),
        "ByteLevel" => Ok((Vec::new(), Vec::new())),
        "Sequence" => {
            let (mut before, mut behind) = (Vec::new(), Vec::new());
            for part in value.get("processors").and_then(Value::as_array).into_iter().flatten() {
                let (b, e) = template(source, part)?;
                before.splice(0..0, b);
                behind.extend(e);
            }
            Ok((before, behind))
        }
        "TemplateProcessing" => {
            let ids: HashMap<String, Vec<u32>> = value
                .get("special_tokens")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(name, token)| {
                    let ids = token.get("ids").and_then(Value::as_array).into_iter().flatten();
                    (name.clone(), ids.filter_map(Value::as_u64).map(|id| id as u32).collect())
                })
                .collect();
            let (mut before, mut behind, mut seen) = (Vec::new(), Vec::new(), false);
            for part in value.get("single").and_then(Value::as_array).into_iter().flatten() {
                if part.get("Sequence").is_some() {
                    seen = true;
                    continue;
                }
                let name = part.pointer("/SpecialToken/id").and_then(Value::as_str).unwrap_or("");
                let Some(ids) = ids.get(name) else {
                    return Err(malformed(source.0, format!("the template's {name:?} has no ids")));
                };
                if seen { behind.extend(ids) } else { before.extend(ids) }
            }
            Ok((before, behind))
        }
        _ => Err(source.lacks("post_processor", value)),
    }
}

//! WordPiece: a word becomes the longest vocabulary entries from left to right.

use std::collections::HashMap;

use serde_json::Value;

use super::Source;
use crate::encode::EncodeError;
use crate::encode::error::malformed;

#[derive(Debug)]
pub(super) struct WordPiece {
    ids: HashMap<String, u32>,
    prefix: String,
    unknown: u32,
    most_characters: usize,
}

/// The `vocab` object of a model.
pub(super) fn vocabulary(source: &Source, model: &Value) -> Result<HashMap<String, u32>, EncodeError> {
    let Some(entries) = model.get("vocab").and_then(Value::as_object) else {
        return Err(malformed(source.0, "the model has no vocab"));
    };
    entries
        .iter()
        .map(|(token, id)| {
            let id =
                id.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|&id| i32::try_from(id).is_ok());
            let id = id.ok_or_else(|| malformed(source.0, format!("{token:?} has no valid id")))?;
            Ok((token.clone(), id))
        })
        .collect()
}

impl WordPiece {
    pub fn parse(source: &Source, model: &Value) -> Result<Self, EncodeError> {
        let ids = vocabulary(source, model)?;
        let text =
            |key: &str, default: &str| model.get(key).and_then(Value::as_str).unwrap_or(default).to_owned();
        let unknown = text("unk_token", "[UNK]");
        let Some(&unknown) = ids.get(&unknown) else {
            return Err(malformed(source.0, format!("{unknown:?} is not in the vocabulary")));
        };
        let most = model.get("max_input_chars_per_word").and_then(Value::as_u64).unwrap_or(100);
        let prefix = text("continuing_subword_prefix", "##");
        Ok(Self { ids, prefix, unknown, most_characters: most as usize })
    }

    pub fn largest(&self) -> u32 {
        self.ids.values().copied().max().unwrap_or(0)
    }

    pub fn encode(&self, word: &str, out: &mut Vec<u32>) {
        let before = out.len();
        if word.chars().count() > self.most_characters {
            out.push(self.unknown);
            return;
        }
        let mut start = 0;
        let mut piece = String::new();
        while start < word.len() {
            let mut end = word.len();
            let found = loop {
                piece.clear();
                if start > 0 {
                    piece.push_str(&self.prefix);
                }
                piece.push_str(&word[start..end]);
                if let Some(&id) = self.ids.get(&piece) {
                    break Some(id);
                }
                end = word.floor_char_boundary(end - 1);
                if end <= start {
                    break None;
                }
            };
            let Some(id) = found else {
                // A word with one unknown part is unknown as a whole.
                out.truncate(before);
                out.push(self.unknown);
                return;
            };
            out.push(id);
            start = end;
        }
    }
}

//! From a normalised text to words.

use regex::Regex;
use serde_json::Value;
use unicode_general_category::{GeneralCategory as G, get_general_category};

use super::normal::pattern;
use super::{Source, flag, kind};
use crate::encode::EncodeError;

/// Steps in order, each on the words of the one before.
#[derive(Debug, Default)]
pub(super) struct Splitter(Vec<Step>);

#[derive(Debug)]
enum Step {
    /// White space parts and is dropped; punctuation stands alone.
    Bert,
    Whitespace,
    /// What the pattern matches are the words.
    Matches(Regex),
    /// Bytes are spelled in printable characters.
    Bytes,
}

impl Splitter {
    pub fn parse(source: &Source, value: &Value) -> Result<Self, EncodeError> {
        let mut steps = Vec::new();
        collect(source, value, &mut steps)?;
        Ok(Self(steps))
    }

    pub fn split(&self, text: &str) -> Vec<String> {
        let mut words = vec![text.to_owned()];
        for step in &self.0 {
            words = words.iter().flat_map(|word| step.apply(word)).collect();
        }
        words.retain(|word| !word.is_empty());
        words
    }
}

fn collect(source: &Source, value: &Value, steps: &mut Vec<Step>) -> Result<(), EncodeError> {
    match kind(value) {
        "" if value.is_null() => {}
        "Sequence" => {
            for part in value.get("pretokenizers").and_then(Value::as_array).into_iter().flatten() {
                collect(source, part, steps)?;
            }
        }
        "BertPreTokenizer" => steps.push(Step::Bert),
        "WhitespaceSplit" => steps.push(Step::Whitespace),
        "Split" => {
            let behaviour = value.get("behavior").and_then(Value::as_str).unwrap_or("");
            if behaviour != "Removed" || !flag(value, "invert", false) {
                return Err(source.lacks("pre_tokenizer", value));
            }
            steps.push(Step::Matches(pattern(source, value)?));
        }
        "ByteLevel" => {
            // Its own pattern looks ahead for white space; behind CLIP's split there is none and it changes
            // nothing.
            let behind_split = matches!(steps.last(), Some(Step::Matches(_)));
            if flag(value, "add_prefix_space", true) || (flag(value, "use_regex", true) && !behind_split) {
                return Err(source.lacks("pre_tokenizer", value));
            }
            steps.push(Step::Bytes);
        }
        _ => return Err(source.lacks("pre_tokenizer", value)),
    }
    Ok(())
}

impl Step {
    fn apply(&self, text: &str) -> Vec<String> {
        match self {
            Self::Bert => {
                let mut words = vec![String::new()];
                for c in text.chars() {
                    if c.is_whitespace() {
                        words.push(String::new());
                    } else if is_punctuation(c) {
                        words.extend([c.to_string(), String::new()]);
                    } else if let Some(word) = words.last_mut() {
                        word.push(c);
                    }
                }
                words.retain(|word| !word.is_empty());
                words
            }
            Self::Whitespace => text.split_whitespace().map(str::to_owned).collect(),
            Self::Matches(pattern) => pattern.find_iter(text).map(|m| m.as_str().to_owned()).collect(),
            Self::Bytes => vec![text.bytes().map(spell).collect()],
        }
    }
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(
            get_general_category(c),
            G::ConnectorPunctuation
                | G::DashPunctuation
                | G::OpenPunctuation
                | G::ClosePunctuation
                | G::InitialPunctuation
                | G::FinalPunctuation
                | G::OtherPunctuation
        )
}

/// Byte-level vocabularies spell printable Latin-1 as itself and the other bytes from U+0100 on, in order.
fn spell(byte: u8) -> char {
    let code = u32::from(byte);
    let shifted = match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => return char::from(byte),
        0..=0x20 => 256 + code,
        0x7F..=0xA0 => 256 + 33 + (code - 0x7F),
        0xAD => 256 + 33 + 34,
    };
    // At most U+0143, which is a character.
    char::from_u32(shifted).unwrap_or('\u{100}')
}

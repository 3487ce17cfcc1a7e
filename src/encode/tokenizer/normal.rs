//! Normalisation: what a text looks like before it is split.

use regex::Regex;
use serde_json::Value;
use unicode_general_category::{GeneralCategory as G, get_general_category};
use unicode_normalization::UnicodeNormalization;

use super::{Source, flag, kind};
use crate::encode::EncodeError;
use crate::encode::error::malformed;

/// Steps in order.
#[derive(Debug, Default)]
pub(super) struct Normal(Vec<Step>);

#[derive(Debug)]
enum Step {
    /// Removes control characters, makes every white space a space.
    Clean,
    /// Puts spaces around CJK ideographs.
    Ideographs,
    StripAccents,
    Lowercase,
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    Replace(Regex, String),
    Strip,
}

impl Normal {
    pub fn parse(source: &Source, value: &Value) -> Result<Self, EncodeError> {
        let mut steps = Vec::new();
        collect(source, value, &mut steps)?;
        Ok(Self(steps))
    }

    pub fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, step| step.apply(&text))
    }
}

fn collect(source: &Source, value: &Value, steps: &mut Vec<Step>) -> Result<(), EncodeError> {
    match kind(value) {
        "" if value.is_null() => {}
        "Sequence" => {
            for part in value.get("normalizers").and_then(Value::as_array).into_iter().flatten() {
                collect(source, part, steps)?;
            }
        }
        "BertNormalizer" => {
            let lowercase = flag(value, "lowercase", true);
            if flag(value, "clean_text", true) {
                steps.push(Step::Clean);
            }
            if flag(value, "handle_chinese_chars", true) {
                steps.push(Step::Ideographs);
            }
            if flag(value, "strip_accents", lowercase) {
                steps.extend([Step::Nfd, Step::StripAccents]);
            }
            if lowercase {
                steps.push(Step::Lowercase);
            }
        }
        "Lowercase" => steps.push(Step::Lowercase),
        "StripAccents" => steps.push(Step::StripAccents),
        "NFC" => steps.push(Step::Nfc),
        "NFD" => steps.push(Step::Nfd),
        "NFKC" => steps.push(Step::Nfkc),
        "NFKD" => steps.push(Step::Nfkd),
        "Strip" if flag(value, "strip_left", true) && flag(value, "strip_right", true) => {
            steps.push(Step::Strip);
        }
        "Replace" => {
            let content = value.get("content").and_then(Value::as_str).unwrap_or("").to_owned();
            steps.push(Step::Replace(pattern(source, value)?, content));
        }
        _ => return Err(source.lacks("normalizer", value)),
    }
    Ok(())
}

/// `{"pattern": {"Regex": …}}` or `{"pattern": {"String": …}}`.
pub(super) fn pattern(source: &Source, value: &Value) -> Result<Regex, EncodeError> {
    let pattern = value.get("pattern").cloned().unwrap_or_default();
    let text = |key: &str| pattern.get(key).and_then(Value::as_str).map(str::to_owned);
    let Some(written) = text("Regex").or_else(|| text("String").map(|s| regex::escape(&s))) else {
        return Err(source.lacks("pattern", &pattern));
    };
    Regex::new(&written).map_err(|e| malformed(source.0, format!("pattern {written:?}: {e}")))
}

impl Step {
    fn apply(&self, text: &str) -> String {
        match self {
            Self::Clean => text
                .chars()
                .filter(|&c| !(c == '\0' || c == '\u{fffd}' || is_control(c)))
                .map(|c| if c.is_whitespace() { ' ' } else { c })
                .collect(),
            Self::Ideographs => {
                let mut out = String::with_capacity(text.len() * 2);
                for c in text.chars() {
                    if is_ideograph(c) {
                        out.extend([' ', c, ' ']);
                    } else {
                        out.push(c);
                    }
                }
                out
            }
            Self::StripAccents => {
                text.chars().filter(|&c| get_general_category(c) != G::NonspacingMark).collect()
            }
            // Character by character: the rule for a final sigma looks at the word and is not applied.
            Self::Lowercase => text.chars().flat_map(char::to_lowercase).collect(),
            Self::Nfc => text.nfc().collect(),
            Self::Nfd => text.nfd().collect(),
            Self::Nfkc => text.nfkc().collect(),
            Self::Nfkd => text.nfkd().collect(),
            Self::Replace(pattern, content) => {
                pattern.replace_all(text, regex::NoExpand(content)).into_owned()
            }
            Self::Strip => text.trim().to_owned(),
        }
    }
}

fn is_control(c: char) -> bool {
    if matches!(c, '\t' | '\n' | '\r') {
        return false;
    }
    // Characters without a meaning yet are kept: the reference knows fewer than there are today.
    matches!(get_general_category(c), G::Control | G::Format | G::PrivateUse | G::Surrogate)
}

/// The blocks that BERT's authors list.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x2_0000..=0x2_A6DF | 0x2_A700..=0x2_B73F | 0x2_B740..=0x2_B81F
        | 0x2_B920..=0x2_CEAF | 0xF900..=0xFAFF | 0x2_F800..=0x2_FA1F)
}

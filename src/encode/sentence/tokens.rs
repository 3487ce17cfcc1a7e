//! Tokens of a sentence-transformers folder: the settings of the transformer module, those passed to the tokenizer, and
//! the length of texts.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::super::EncodeError;
use super::super::families::Modality;
use super::super::files::optional;

/// Files of the transformer module's settings; the first existing one is used.
pub(in crate::encode) const SETTINGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];
/// Supported settings that the transformer module passes to its tokenizer.
const HANDED: [&str; 5] =
    ["model_max_length", "truncation_side", "do_lower_case", "strip_accents", "tokenize_chinese_chars"];
/// Settings without effect on tokens, such as the origin of files.
const HARMLESS: [&str; 11] = [
    "clean_up_tokenization_spaces",
    "use_fast",
    "backend",
    "revision",
    "subfolder",
    "token",
    "cache_dir",
    "local_files_only",
    "trust_remote_code",
    "code_revision",
    "is_local",
];

/// Reads the settings of the transformer module, with their file.
pub(super) fn settings(transformer: &Path) -> Result<(PathBuf, Value), EncodeError> {
    for name in SETTINGS {
        let path = transformer.join(name);
        if let Some(found) = optional(&path)? {
            return Ok((path, found));
        }
    }
    Ok((transformer.join(SETTINGS[0]), Value::Null))
}

/// The settings for the tokenizer; the older key overrides the newer.
pub(super) fn handed((path, settings): &(PathBuf, Value)) -> Result<Map<String, Value>, EncodeError> {
    let mut handed = Map::new();
    if let Some(name) = settings.get("tokenizer_name_or_path").filter(|v| !v.is_null()) {
        return Err(unread(path, format!("tokenizer_name_or_path {name} is not supported")));
    }
    let Some((group, given)) =
        ["tokenizer_args", "processor_kwargs"].iter().find_map(|key| Some((*key, settings.get(*key)?)))
    else {
        return Ok(handed);
    };
    for (key, value) in given.as_object().into_iter().flatten() {
        if HANDED.contains(&key.as_str()) {
            handed.insert(key.clone(), value.clone());
        } else if !HARMLESS.contains(&key.as_str()) && !value.is_null() && !is_right(key, value) {
            return Err(unread(path, format!("{key} {value} in {group} is not supported")));
        }
    }
    Ok(handed)
}

/// Whether padding is at the end, as here.
fn is_right(key: &str, value: &Value) -> bool {
    key == "padding_side" && value == "right"
}

/// The settings of every call of the tokenizer: the limit of a text's length, if any.
pub(super) fn calls(
    (path, settings): &(PathBuf, Value),
    modality: Modality,
) -> Result<Option<usize>, EncodeError> {
    let Some(calls) = settings.get("processing_kwargs").filter(|v| !v.is_null()) else { return Ok(None) };
    let refused = |group: &str, key: &str, value: &Value| {
        unread(path, format!("{key} {value} in processing_kwargs.{group} is not supported"))
    };
    if let (Modality::Image, Some(own)) = (modality, calls.get("image").and_then(Value::as_object))
        && let Some((key, value)) = own.iter().next()
    {
        return Err(refused("image", key, value));
    }
    let mut most = None;
    // The library ignores groups of other names too.
    for group in ["text", "common"] {
        for (key, value) in calls.get(group).and_then(Value::as_object).into_iter().flatten() {
            let known = match (key.as_str(), value) {
                ("max_length", Value::Null) => true,
                ("max_length", _) => {
                    let length =
                        value.as_u64().filter(|n| (1..1_000_000_000).contains(n)).map(|n| n as usize);
                    // The precedence of two depends on the processor's class.
                    let alone = most.is_none_or(|earlier| Some(earlier) == length);
                    most = most.or(length);
                    length.is_some() && alone
                }
                ("truncation", Value::Bool(true)) => true,
                ("truncation", Value::String(how)) => matches!(how.as_str(), "longest_first" | "only_first"),
                // Padding is masked.
                ("padding" | "pad_to_multiple_of" | "return_tensors" | "verbose", _) => true,
                ("add_special_tokens", Value::Bool(true)) => true,
                (key, value) => is_right(key, value),
            };
            if !known {
                return Err(refused(group, key, value));
            }
        }
    }
    Ok(most)
}

/// Longest text as in the library: the transformer module's own limit, or the tokenizer's within the model's positions.
pub(super) fn max_tokens(
    transformer: &Path,
    settings: &Value,
    handed: &Map<String, Value>,
) -> Result<Option<usize>, EncodeError> {
    let field = |value: &Value, key: &str| number(value.get(key));
    if let Some(length) = number(handed.get("model_max_length")).or(field(settings, "max_seq_length")) {
        return Ok(Some(length));
    }
    let tokenizer = optional(&transformer.join("tokenizer_config.json"))?.unwrap_or_default();
    let config = optional(&transformer.join("config.json"))?.unwrap_or_default();
    let lengths = [field(&tokenizer, "model_max_length"), field(&config, "max_position_embeddings")];
    Ok(lengths.into_iter().flatten().min())
}

/// Error of an unsupported setting that would change the tokens.
fn unread(path: &Path, what: String) -> EncodeError {
    EncodeError::Unsupported {
        path: path.to_owned(),
        what,
        hint: "take the key out to have the encoder without it, or encode outside and use `codistill features import`"
            .into(),
    }
}

/// A length; the tokenizers' 10^30 means none.
pub(super) fn number(value: Option<&Value>) -> Option<usize> {
    value?.as_f64().filter(|n| (1.0..1e9).contains(n)).map(|n| n as usize)
}

//! What the settings leave open follows from the encoder's own files.

use std::path::Path;

use serde_json::Value;

use super::EncodeError;
use super::error::{at, malformed};
use super::families::{self, Family};
use super::picture::{PRESETS, Preprocessing};
use super::recipe::Settings;
use super::tokenizer::Tokenizer;
use super::tower::{Output, Pool};
use crate::artefact::hash_file;

/// Tokens of a text where neither user nor model say.
pub(super) const MAX_TOKENS: usize = 128;
/// ODMT's texts (odmt.md 5.3).
const ODMT_TOKENS: usize = 30;

pub(super) fn open_tokenizer(folder: &Path, settings: &Settings) -> Result<(Tokenizer, String), EncodeError> {
    if let Some(path) = &settings.tokenizer {
        return Ok((Tokenizer::read(path)?, hash_file(path)?.0));
    }
    let tokenizer = Tokenizer::open(folder)?;
    let json = folder.join("tokenizer.json");
    let path = if json.exists() { json } else { folder.join("vocab.txt") };
    Ok((tokenizer, hash_file(&path)?.0))
}

/// A small JSON file that may be absent.
fn optional(path: &Path) -> Result<Option<Value>, EncodeError> {
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(at(path))?;
    serde_json::from_str(&text).map(Some).map_err(|e| malformed(path, e))
}

/// Longest text: asked for, ODMT's, sentence-transformers' or the tokenizer's own, 128.
pub(super) fn text_limit(settings: &Settings, folder: &Path) -> Result<usize, EncodeError> {
    let limit = match settings.max_tokens {
        Some(most) => most,
        None if settings.odmt => ODMT_TOKENS,
        None => {
            let number = |root: Option<Value>, pointer: &str| root?.pointer(pointer)?.as_u64();
            // The tokenizer's own cut is what the model was published with where both are stated.
            let cut = number(optional(&folder.join("tokenizer.json"))?, "/truncation/max_length");
            let stated = number(optional(&folder.join("sentence_bert_config.json"))?, "/max_seq_length");
            cut.or(stated).map_or(MAX_TOKENS, |n| n as usize)
        }
    };
    if (2..=1 << 16).contains(&limit) {
        return Ok(limit);
    }
    Err(EncodeError::Options(format!("texts of {limit} tokens; 2 to 65536 are possible")))
}

pub(super) fn picture_settings(
    folder: &Path,
    settings: &Settings,
    side: Option<u32>,
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
    let own = folder.join("preprocessor_config.json");
    match (settings.odmt, own.exists()) {
        // A name of the table above.
        (true, _) => Ok(preset("odmt").unwrap_or_else(|| unreachable!("odmt is a preset"))),
        (false, true) => Preprocessing::read(&own),
        (false, false) => Err(EncodeError::Options(format!(
            "{} has no preprocessor_config.json; name the preprocessing with --preprocess ({})",
            folder.display(),
            PRESETS.join(", ")
        ))),
    }
}

/// Resolves layer, norm and pooling of a native encoder.
pub(super) fn native_output(
    folder: &Path,
    settings: &Settings,
    loaded: &families::Loaded,
) -> Result<Output, EncodeError> {
    let depth = loaded.tower.blocks.len();
    let layer = match settings.layer {
        None => depth,
        Some(n) => usize::try_from(if n < 0 { depth as i64 + 1 + n } else { n })
            .ok()
            .filter(|&n| n <= depth)
            .ok_or_else(|| EncodeError::Options(format!("--layer {n}: the model has layers 0 to {depth}")))?,
    };
    let as_tokens = settings.tokens.unwrap_or(settings.odmt);
    let last = layer == depth;
    if as_tokens {
        // What `last_hidden_state` is in transformers: CLIP's picture tower leaves its norm to the pooled vector.
        let own = last && loaded.family != Family::ClipVision && !settings.odmt;
        let final_norm = settings.final_norm.unwrap_or(own) && loaded.tower.final_norm.is_some();
        return Ok(Output { layer, final_norm, pool: None, projection: false, unit: false });
    }
    let (mut pool, mut unit) = match loaded.family {
        Family::Bert => (Pool::Mean, false),
        Family::ClipText => (Pool::End, false),
        Family::Vit | Family::ClipVision => (Pool::Cls, false),
    };
    if loaded.family == Family::Bert
        && let Some(config) = optional(&folder.join("1_Pooling/config.json"))?
    {
        let on = |key: &str| config.get(key).and_then(Value::as_bool) == Some(true);
        let modes = [
            ("pooling_mode_cls_token", Pool::Cls),
            ("pooling_mode_mean_tokens", Pool::Mean),
            ("pooling_mode_max_tokens", Pool::Max),
        ];
        if let Some((_, found)) = modes.into_iter().find(|(key, _)| on(key)) {
            pool = found;
        }
        let modules = optional(&folder.join("modules.json"))?.unwrap_or_default();
        let kinds = modules.as_array().into_iter().flatten().filter_map(|m| m.get("type")?.as_str());
        unit = kinds.clone().any(|kind| kind.ends_with("Normalize"));
        let dense = kinds.into_iter().find(|kind| kind.ends_with("Dense"));
        if let Some(other) = dense.filter(|_| settings.pool.is_none()) {
            return Err(EncodeError::Unsupported {
                path: folder.join("modules.json"),
                what: format!("a further layer {other}"),
                hint: "name a --pool to have the encoder without it".into(),
            });
        }
    }
    pool = settings.pool.unwrap_or(pool);
    unit = settings.unit.unwrap_or(unit);
    if pool == Pool::End && loaded.family != Family::ClipText {
        return Err(EncodeError::Options("--pool end is for texts of CLIP".into()));
    }
    let final_norm = settings.final_norm.unwrap_or(last) && loaded.tower.final_norm.is_some();
    let projection = last && final_norm && settings.pool.is_none() && loaded.tower.projection.is_some();
    Ok(Output { layer, final_norm, pool: Some(pool), projection, unit })
}

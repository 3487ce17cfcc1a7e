//! Parameters that make no world, and what can go wrong while one is written.

use std::io;
use std::path::PathBuf;

use crate::artefact::ArtefactError;
use crate::config::SynthConfig;
use crate::features::FeatureError;

/// Errors of synthetic data.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    #[error("synth.{key} = {value}: must be {wanted}")]
    Parameter { key: &'static str, value: String, wanted: String },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Picture { path: PathBuf, source: image::ImageError },
    #[error(transparent)]
    Feature(#[from] FeatureError),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error("{path}: {reason}")]
    Truth { path: PathBuf, reason: String },
    #[error("the truth of user {user} is not known at position {position}")]
    Position { user: u32, position: u32 },
}

impl SynthError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Feature(error) => error.hint(),
            Self::Truth { .. } => Some("generate the data set again with `codistill synth`".into()),
            Self::Position { .. } => {
                Some("the truth is kept at validation and test targets of the generated data set only".into())
            }
            _ => None,
        }
    }
}

/// Most items or users; numbers are u32 and random streams are split by them.
const MAX_COUNT: usize = 1 << 31;

/// Checks every parameter, so that drawing can't fail.
pub(super) fn check(c: &SynthConfig) -> Result<(), SynthError> {
    let whole = |key, value: usize, low: usize, high: usize| {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        let wanted = format!("from {low} to {high}");
        Err(SynthError::Parameter { key, value: value.to_string(), wanted })
    };
    let real = |key, value: f64, low: f64, high: f64| {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        let wanted = format!("from {low} to {high}");
        Err(SynthError::Parameter { key, value: value.to_string(), wanted })
    };
    whole("users", c.users, 1, MAX_COUNT)?;
    whole("items", c.items, 4, MAX_COUNT)?;
    real("new_items", c.new_items, 0.0, 0.9)?;
    // A user never takes an item twice, and brand-new items are on offer at the very end only.
    let on_offer = c.items - share(c.new_items, c.items);
    whole("min_len", c.min_len, 3, c.max_len)?;
    whole("max_len", c.max_len, 3, on_offer.saturating_sub(1))?;
    whole("latent", c.latent, 1, 256)?;
    whole("feature_width", c.feature_width, 1, 1 << 16)?;
    whole("text_tokens", c.text_tokens, 1, 1 << 12)?;
    whole("image_tokens", c.image_tokens, 1, 1 << 12)?;
    for (key, weight) in
        [("w_text", c.w_text), ("w_image", c.w_image), ("w_collab", c.w_collab), ("w_repeat", c.w_repeat)]
    {
        real(key, weight, 0.0, 20.0)?;
    }
    real("popularity", c.popularity, 0.0, 4.0)?;
    real("redundancy", c.redundancy, -1.0, 1.0)?;
    real("token_noise", c.token_noise, 0.0, 100.0)?;
    for (key, part) in [
        ("drift", c.drift),
        ("missing_text", c.missing_text),
        ("missing_image", c.missing_image),
        ("label_noise", c.label_noise),
        ("distractors", c.distractors),
    ] {
        real(key, part, 0.0, 1.0)?;
    }
    Ok(())
}

/// `part` of `whole`, rounded.
pub(super) fn share(part: f64, whole: usize) -> usize {
    (part * whole as f64).round() as usize
}

//! Errors of drawing, writing and reading a world.

use std::io;
use std::path::PathBuf;

use crate::artefact::ArtefactError;
use crate::config::ConfigError;
use crate::data::DataError;
use crate::features::FeatureError;

/// Errors of synthetic data.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// A parameter is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Picture { path: PathBuf, source: image::ImageError },
    #[error(transparent)]
    Data(#[from] DataError),
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
    /// What the user can do about the error.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Data(error) => error.hint(),
            Self::Feature(error) => error.hint(),
            Self::Truth { .. } => Some("generate the data set again with `codistill synth`".into()),
            Self::Position { .. } => {
                Some("the truth is kept at validation and test targets of the generated data set only".into())
            }
            _ => None,
        }
    }
}

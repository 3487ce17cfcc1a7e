use std::path::PathBuf;

use super::validity::ENOUGH;
use crate::artefact::ArtefactError;
use crate::config::ConfigError;
use crate::data::DataError;
use crate::eval::ScoreError;
use crate::features::FeatureError;
use crate::train::inputs::InputsError;

/// Why features can't be probed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{dir} has no feature stores")]
    NoStores { dir: PathBuf },
    #[error("{run} was trained on another data set")]
    OtherData { run: PathBuf },
    #[error("{found} feature variants have finished runs; P4 needs three, better {ENOUGH}")]
    FewVariants { found: usize },
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Features(#[from] FeatureError),
    #[error(transparent)]
    Inputs(#[from] InputsError),
    #[error(transparent)]
    Score(#[from] ScoreError),
}

impl ProbeError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoStores { .. } => Some(
                "make some with `codistill features encode` or `import`, or name one with --view NAME=PATH".into(),
            ),
            Self::OtherData { .. } => Some("name runs on the data set that is probed".into()),
            Self::FewVariants { .. } => Some(
                "train the same model on other feature stores (--set data.features.text=PATH) and name the runs".into(),
            ),
            Self::Artefact(e) => e.hint(),
            Self::Config(e) => e.hint(),
            Self::Data(e) => e.hint(),
            Self::Features(e) => e.hint(),
            Self::Inputs(e) => e.hint(),
            Self::Score(e) => e.hint(),
        }
    }
}

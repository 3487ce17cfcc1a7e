//! Errors of vector stores, with hints for the user.

use std::io;
use std::path::PathBuf;

use crate::artefact::ArtefactError;
use crate::encode::EncodeError;
use crate::features::FeatureError;
use crate::lock::LockError;
use crate::tensors::TensorsError;

/// Why a store can't be built, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Tensors(#[from] TensorsError),
    #[error(transparent)]
    Store(#[from] FeatureError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error("{0} holds no vector store")]
    NoStore(PathBuf),
    #[error("{0} holds a vector store already")]
    StoreExists(PathBuf),
    #[error("{dir}: generation {generation} does not follow the one before it")]
    BrokenChain { dir: PathBuf, generation: u32 },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{dir} was made by another {what}: {theirs} there, {ours} here")]
    OtherParent { dir: PathBuf, what: &'static str, theirs: String, ours: String },
    #[error("{dir} was made from other features of view `{view}`: {theirs} there, {ours} here")]
    OtherFeatures { dir: PathBuf, view: String, theirs: String, ours: String },
    #[error("{dir}: branches {theirs} there, {ours} here")]
    OtherBranches { dir: PathBuf, theirs: String, ours: String },
    #[error(
        "{dir}: the store fails its canary: {found} of {expected} known next items stand in the first {k}"
    )]
    Canary { dir: PathBuf, found: usize, expected: usize, k: usize },
    #[error("{dir}: the store fails its canary: {same} of {pairs} known scores come out as they did")]
    CanaryScores { dir: PathBuf, same: usize, pairs: usize },
    #[error("{path}:{line}: {reason}")]
    BadLine { path: PathBuf, line: usize, reason: String },
    #[error("{path}:{line}: the item {id:?} stands in line {first} already")]
    Duplicate { path: PathBuf, line: usize, first: usize, id: String },
    #[error("{path} lists no items")]
    NoItems { path: PathBuf },
    #[error("{id:?} is no item of the store")]
    UnknownItem { id: String },
    #[error("item {id:?}, view `{view}`: {reason}")]
    Features { id: String, view: String, reason: String },
    #[error("view `{view}`: {source}")]
    Encode { view: String, source: Box<EncodeError> },
    #[error("`{0}` is no view whose features were encoded")]
    NoSuchEncoder(String),
    #[error("the model has no branch that works without an ID vector, so that new items can't be told apart")]
    NoContent,
    #[error("cold_id = mean needs token features as wide as the ID table ({width})")]
    NoMean { width: usize },
    #[error(
        "cold_id = ridge needs {needed} items with {min_events} training interactions or more, and {found} have them"
    )]
    TooFewTrained { found: usize, needed: usize, min_events: u32 },
}

impl EmbedError {
    /// What the user can do about the error.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Artefact(ArtefactError::Damaged { .. }) | Self::Tensors(_) | Self::Malformed { .. } => {
                "the store changed after it was written; build it anew, or remove its newest generation".into()
            }
            Self::Artefact(e @ ArtefactError::Inside { .. }) => return e.hint(),
            Self::Store(e) => return e.hint(),
            Self::Encode { view, source } if matches!(**source, EncodeError::NoEncoder(_)) => {
                format!("say where the encoder lies now: --encoder {view}=PATH")
            }
            Self::Encode { source, .. } => return source.hint(),
            Self::NoSuchEncoder(_) => "--encoder VIEW=PATH is for views made by `features encode`".into(),
            Self::NoStore(_) => "make one with `codistill embed build RUN --store DIR`".into(),
            Self::StoreExists(_) => "append to it, or choose another --store".into(),
            Self::BrokenChain { .. } => "generations were removed or mixed; build the store anew".into(),
            Self::Lock(e) => return e.hint(),
            Self::OtherParent { .. } | Self::OtherBranches { .. } => {
                "build a store with this model; vectors of two models can't be compared".into()
            }
            Self::OtherFeatures { .. } => {
                "build a store from the features that the model was trained on".into()
            }
            Self::Canary { .. } | Self::CanaryScores { .. } => "its vectors are not this model's; build the store anew".into(),
            Self::BadLine { .. } => {
                "a line is {\"id\": …, \"title\": …, \"text\": …, \"image\": …, \"category\": …, \"features\": {\"VIEW\": [[…]]}}; \
                 --skip-bad N passes over up to N lines"
                    .into()
            }
            Self::Duplicate { .. } => "keep one line per item, or pass over up to N lines with --skip-bad N".into(),
            Self::NoItems { .. } => "write one JSON line per item".into(),
            Self::UnknownItem { .. } => "`codistill embed status` counts what is there".into(),
            Self::NoContent => "train a model with a text or image branch".into(),
            Self::NoMean { .. } => "use --cold-id ridge or drop".into(),
            Self::TooFewTrained { .. } => "interactions that no training window reads don't count: train with data.windows = \"all\", lower \
                 --min-events, or use --cold-id drop"
                    .into(),
            Self::Artefact(_) | Self::Io { .. } | Self::Features { .. } => return None,
        })
    }
}

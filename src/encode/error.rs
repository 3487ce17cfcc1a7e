//! Errors of encoders and their files, with hints for the user.

use std::io;
use std::path::{Path, PathBuf};

use crate::artefact::ArtefactError;
use crate::device::DeviceError;
use crate::features::FeatureError;

/// Errors of encoders, their weights, tokenizers and runs.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Feature(#[from] FeatureError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// A file that contradicts itself or its format.
    #[error("{path}: {reason}")]
    Malformed { path: PathBuf, reason: String },
    /// A valid file that requires an unsupported feature.
    #[error("{path}: {what}")]
    Unsupported { path: PathBuf, what: String, hint: String },
    #[error("{0} is neither a folder, nor an .onnx file, nor the name of an encoder")]
    NoEncoder(String),
    #[error("{path}: `{family}` encoders read {reads}, not {asked}")]
    WrongModality { path: PathBuf, family: String, reads: &'static str, asked: &'static str },
    #[error("{path}: weights and config.json disagree: {}", problems.join("; "))]
    Weights { path: PathBuf, problems: Vec<String> },
    /// Options that contradict each other or the encoder.
    #[error("{0}")]
    Options(String),
    #[error("{path}: the model failed: {reason}")]
    Model { path: PathBuf, reason: String },
    #[error("{dir} was begun with other settings ({what})")]
    OtherRecipe { dir: PathBuf, what: String },
    #[error("the features of {dir} come from another encoder ({what})")]
    OtherEncoder { dir: PathBuf, what: String },
    #[error("no item has a {0} to encode")]
    NothingToDo(&'static str),
    /// Pictures are named, and none of them exists.
    #[error("none of the {count} pictures is a file{}", looked_for(looked.as_deref(), *addresses))]
    NoPictures { count: usize, addresses: usize, looked: Option<PathBuf>, root: Option<PathBuf> },
    #[error("{url}: {reason}")]
    Download { url: String, reason: String, status: Option<u16> },
    #[error("interrupted; {done} of {total} items are kept in {dir}")]
    Interrupted { dir: PathBuf, done: usize, total: usize },
}

impl EncodeError {
    /// What the user can do about the error.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Feature(e) => return e.hint(),
            Self::Device(e) => return e.hint(),
            Self::Unsupported { hint, .. } => hint.clone(),
            Self::NoEncoder(_) => "give a folder with config.json and model.safetensors, a hub name such as \
                 sentence-transformers/all-MiniLM-L6-v2, a file.onnx, or tfidf:256"
                .into(),
            Self::WrongModality { asked, .. } => format!("choose an encoder that reads {asked}"),
            Self::Weights { .. } => "config.json and model.safetensors must come from the same model".into(),
            Self::OtherRecipe { .. } => "repeat the command it was begun with, or add --restart".into(),
            Self::OtherEncoder { .. } => "use the encoder that made them, or encode everything anew".into(),
            Self::NothingToDo("picture") => {
                "prepare the data set with --images PATTERN or a catalogue that names pictures".into()
            }
            Self::NothingToDo(_) => "prepare the data set with a catalogue (--items) that has titles".into(),
            Self::NoPictures { looked: None, .. } => {
                "addresses are not fetched: download them, and prepare the data set with --images PATTERN"
                    .into()
            }
            Self::NoPictures { root: Some(root), .. } => format!(
                "their paths begin at {}; if the pictures moved, name the folder with --pictures DIR",
                root.display()
            ),
            Self::NoPictures { .. } => "--pictures DIR names the folder at which their paths begin".into(),
            Self::Download { status: Some(401 | 403), .. } => {
                "check the name; HF_TOKEN opens repositories that are not public".into()
            }
            Self::Download { status: Some(_), .. } => {
                "check the name; HF_ENDPOINT chooses another hub, and a folder works without any".into()
            }
            Self::Download { .. } => {
                "no folder of this name is here, so that it was looked for on the hub: check the path or the network".into()
            }
            Self::Interrupted { .. } => "run the same command again to go on".into(),
            Self::Artefact(ArtefactError::Exists(_)) => "remove it, or choose another --view".into(),
            _ => return None,
        })
    }
}

fn looked_for(path: Option<&Path>, addresses: usize) -> String {
    let addresses = if addresses > 0 { format!("; {addresses} are addresses") } else { String::new() };
    let path = path.map_or_else(String::new, |path| format!("; looked for {}", path.display()));
    path + &addresses
}

/// Attaches the path to an I/O error.
pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> EncodeError + '_ {
    move |source| EncodeError::Io { path: path.to_owned(), source }
}

pub(super) fn malformed(path: &Path, reason: impl ToString) -> EncodeError {
    EncodeError::Malformed { path: path.to_owned(), reason: reason.to_string() }
}

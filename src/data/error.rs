//! Errors of data sets, each with what the user can do about it.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::join::Explanation;
use super::pictures::PatternError;
use super::source::SourceError;
use crate::artefact::ArtefactError;

/// Why a data set can't be prepared, written or read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error("{path}: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error("nothing is left after `{step}`")]
    Empty { step: String, advice: &'static str },
    #[error("the split leaves no {part} targets")]
    EmptySplit { part: &'static str, given: bool },
    #[error("images: {0}")]
    Pattern(#[from] PatternError),
    /// Log and catalogue share no item.
    #[error("{0}")]
    Apart(Explanation),
    #[error("{option}: {reason}")]
    Option { option: String, reason: String },
    #[error("more than {limit} {what}")]
    TooMany { what: &'static str, limit: u32 },
}

impl DataError {
    /// What the user can do about it; absent where nothing helps in general.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Source(e) => return e.hint(),
            Self::Artefact(ArtefactError::Exists(_)) => {
                "choose another --output, or remove the old one".into()
            }
            Self::Artefact(ArtefactError::NotAnArtefact { .. }) => {
                "make one with `codistill prepare` or `codistill synth`".into()
            }
            Self::Artefact(ArtefactError::Damaged { .. }) => "prepare the data set anew".into(),
            Self::Artefact(ArtefactError::Io { source, .. })
                if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                "make room, or choose an --output on another disk".into()
            }
            Self::Artefact(e @ (ArtefactError::Io { .. } | ArtefactError::Inside { .. })) => return e.hint(),
            Self::Malformed { .. } => "prepare the data set anew".into(),
            Self::Empty { advice, .. } => (*advice).into(),
            Self::Apart(misses) => misses.hint().unwrap_or_else(|| {
                "name the item column of each: --column item=NAME for the log, --items-column item=NAME for the \
                 catalogue"
                    .into()
            }),
            Self::EmptySplit { given: true, part } => {
                format!("the given split has no {part} part: add one, or cut it anew with --split leave_one_out")
            }
            Self::EmptySplit { .. } => "use sequences of 3 or more, or an earlier cut-off".into(),
            Self::Pattern(e) => e.hint(),
            Self::Option { .. } => "see `codistill prepare --help`".into(),
            Self::TooMany { what, .. } => format!("prepare a part of the log, with fewer {what}"),
        })
    }
}

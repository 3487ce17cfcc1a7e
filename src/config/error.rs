//! What can be wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::nearest::nearest;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file; line and column count from 1, columns in characters.
    File { path: PathBuf, line: usize, column: usize },
    /// On the command line, as `--set` had it.
    Set(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Set(set) => write!(f, "--set {set}"),
        }
    }
}

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    /// Not TOML, or a value of the wrong type.
    #[error("{place}: {reason}")]
    Malformed { place: Place, reason: String, hint: Option<String> },
    /// `key` is dotted, from the root.
    #[error("{place}: unknown key `{key}`")]
    UnknownKey { place: Place, key: String, nearest: Option<String>, known: Vec<String> },
    /// Well-formed, but out of range or at odds with another value.
    #[error("{}`{key}` {reason}", prefix(.place.as_ref()))]
    Invalid { place: Option<Place>, key: String, reason: String, hint: Option<String> },
    /// [`super::Loaded::drop_views`] took every branch away.
    #[error("every branch needs features of {}, which the data set lacks", .views.join(", "))]
    NothingLeft { views: Vec<String> },
}

fn prefix(place: Option<&Place>) -> String {
    place.map_or_else(String::new, |p| format!("{p}: "))
}

impl ConfigError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("give the path of a TOML file, e.g. configs/quickstart.toml".into())
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::IsADirectory => Some(
                "give the path of a TOML file, e.g. configs/quickstart.toml, and the data set by --data DIR"
                    .into(),
            ),
            Self::Read { .. } => None,
            Self::Malformed { hint, .. } | Self::Invalid { hint, .. } => hint.clone(),
            Self::UnknownKey { key, .. }
                if ["base", "conditions", "space", "trials"].contains(&key.as_str()) =>
            {
                Some("it looks like a study, which `codistill ablate` or `codistill tune` takes".into())
            }
            Self::UnknownKey { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::NothingLeft { .. } => {
                Some("make them with `codistill features encode` or `codistill features import`".into())
            }
            Self::UnknownKey { known, .. } => Some(format!("known keys here: {}", known.join(", "))),
        }
    }
}

/// The TOML reader's message, which may span lines, on one.
pub(crate) fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(", ")
}

/// The nearest allowed name where serde says that a name is not one of a list.
pub(super) fn variant_hint(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown variant `")?;
    let mut quoted = rest.split('`');
    let given = quoted.next()?;
    let allowed: Vec<&str> = quoted.skip(1).step_by(2).collect();
    let nearest = nearest(given, allowed.iter().copied())?;
    Some(format!("did you mean `{nearest}`?"))
}

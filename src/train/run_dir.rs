//! The directory of a run: configuration, checkpoints, metrics, reports.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Checkpoint, CheckpointError};
use crate::artefact::{self, Makes, io_error, write_atomic};

/// Paths inside a run directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    pub root: PathBuf,
}

/// Which checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// By the validation metric; the last one where nothing was validated.
    Best,
    Last,
    Step(u64),
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "best" => Ok(Self::Best),
            "last" => Ok(Self::Last),
            other => other.parse().map(Self::Step).map_err(|_| "use best, last or a step's number".into()),
        }
    }
}

impl RunDir {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// A new directory `<dir>/<name>`, or `<name>-2`, `<name>-3`, … where that exists: nothing is overwritten.
    /// It appears with its resolved configuration and the origins of the values in it, or not at all.
    ///
    /// # Errors
    /// It can't be made, or would lie inside another artefact.
    pub fn create(dir: &Path, name: &str, config: &str, origins: &str) -> Result<Self, CheckpointError> {
        artefact::may_make(&dir.join(name), Makes::Run)?;
        fs::create_dir_all(dir).map_err(io_error(dir))?;
        let scratch =
            artefact::scratch(0o777).prefix(artefact::SCRATCH).tempdir_in(dir).map_err(io_error(dir))?;
        let inside = Self::new(scratch.path());
        inside.write(&inside.config(), config)?;
        inside.write(&inside.origins(), origins)?;
        for n in 1u32.. {
            let root = dir.join(if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
            // Renaming would replace an empty directory, which may be somebody's.
            if root.exists() {
                continue;
            }
            match fs::rename(scratch.path(), &root) {
                Ok(()) => {
                    let _ = scratch.keep();
                    return Ok(Self { root });
                }
                Err(_) if root.exists() => {}
                Err(e) => return Err(io_error(&root)(e).into()),
            }
        }
        Err(CheckpointError::None { dir: dir.to_owned(), problems: Vec::new() })
    }

    /// Folder of the `step-*` checkpoints.
    pub fn steps(&self) -> PathBuf {
        self.root.join("steps")
    }

    /// The resolved configuration, and where each value comes from.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    pub fn origins(&self) -> PathBuf {
        self.root.join("config.origins.json")
    }

    /// Where the run's inputs lay and what they held ([`super::inputs`]).
    pub fn inputs(&self) -> PathBuf {
        self.root.join("inputs.json")
    }

    /// Metrics of the final evaluation, as JSON and as text.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.json")
    }

    /// Metrics of the last `codistill evaluate` of a part.
    pub fn report_of(&self, part: &str) -> PathBuf {
        self.root.join(format!("report-{part}.json"))
    }

    /// What the model keeps of its figures on a part where items lack views, by the last `codistill evaluate --missing`.
    pub fn retention(&self, part: &str) -> PathBuf {
        self.root.join(format!("retention-{part}.json"))
    }

    /// One row per user, target and score name.
    pub fn rows(&self, part: &str) -> PathBuf {
        self.root.join(format!("rows-{part}.parquet"))
    }

    /// Replaces a file of the run atomically.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, path: &Path, content: &str) -> Result<(), CheckpointError> {
        Ok(write_atomic(path, content.as_bytes())?)
    }

    /// The newest whole checkpoint, and what was wrong with newer ones.
    ///
    /// # Errors
    /// There is none.
    pub fn latest(&self) -> Result<(PathBuf, Checkpoint, Vec<String>), CheckpointError> {
        checkpoint::latest(&self.steps())
    }

    /// The checkpoint with the content hash `hash`, if the run keeps it.
    pub fn kept(&self, hash: &str) -> Option<PathBuf> {
        let all = checkpoint::list(&self.steps()).into_iter();
        all.map(|(_, path)| path).find(|path| checkpoint::hash(path).is_some_and(|found| found == hash))
    }

    /// The chosen checkpoint.
    ///
    /// # Errors
    /// It is absent or damaged.
    pub fn checkpoint(&self, which: &Which) -> Result<(PathBuf, Checkpoint), CheckpointError> {
        let named = |step: u64| self.steps().join(format!("step-{step:08}"));
        let path = match which {
            Which::Step(step) => named(*step),
            Which::Last | Which::Best => {
                let (path, last, _) = self.latest()?;
                match last.state.best {
                    Some((_, step)) if *which == Which::Best => named(step),
                    _ => return Ok((path, last)),
                }
            }
        };
        let checkpoint = checkpoint::load(&path)?;
        Ok((path, checkpoint))
    }
}

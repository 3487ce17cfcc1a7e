//! SHA-256 of the source files, computed in parallel with the reading: each takes seconds per gigabyte.

use std::path::PathBuf;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use crate::artefact::hash_file;
use crate::data::DataError;

/// A source file with its size in bytes and its SHA-256 in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceHash {
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: String,
}

/// The hashes of some files, computed by a thread of their own.
pub(super) struct SourceHashes {
    files: Vec<PathBuf>,
    thread: Option<JoinHandle<Result<Vec<SourceHash>, DataError>>>,
}

impl SourceHashes {
    /// Starts to hash. If the preparation fails, the thread, which only reads, isn't waited for.
    pub fn start(files: Vec<PathBuf>) -> Self {
        let own = files.clone();
        let thread = std::thread::Builder::new().spawn(move || hash_all(&own)).ok();
        Self { files, thread }
    }

    /// Waits for the hashes.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn finish(self) -> Result<Vec<SourceHash>, DataError> {
        // Where no thread could be started, the files are hashed now.
        self.thread.and_then(|thread| thread.join().ok()).unwrap_or_else(|| hash_all(&self.files))
    }
}

fn hash_all(files: &[PathBuf]) -> Result<Vec<SourceHash>, DataError> {
    let hash = |path: &PathBuf| {
        let (sha256, bytes) = hash_file(path)?;
        Ok(SourceHash { path: path.clone(), bytes, sha256 })
    };
    files.iter().map(hash).collect()
}

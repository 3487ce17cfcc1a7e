//! Advisory locks on directories: one writer at a time.
//!
//! The lock belongs to the open file, not to its name, and the system releases it when the process ends in any way: a
//! kill leaves nothing to clean up. The file remains and names the last holder.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::artefact::{ArtefactError, io_error};

/// Name of the lock file in a directory.
pub const LOCK: &str = "lock";
/// Time between two attempts.
const POLL: Duration = Duration::from_millis(50);

/// Why a directory can't be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{} is in use{}", dir.display(), holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default())]
    InUse { dir: PathBuf, holder: Option<Holder> },
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
}

impl LockError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { .. } => Some("wait for it to end, or end it first".into()),
            Self::Artefact(_) => None,
        }
    }
}

/// The holder of a lock, as the lock file names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Name of the command, e.g. `train`.
    pub command: String,
    pub pid: u32,
    /// Name of the machine; empty if unknown.
    #[serde(default)]
    pub host: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`codistill {}`, process {}", self.command, self.pid)?;
        if self.host.is_empty() { Ok(()) } else { write!(f, " on {}", self.host) }
    }
}

/// Exclusive write access to a directory while the value lives.
#[derive(Debug)]
pub struct DirLock {
    /// The locked file; absent where the file system has no locks.
    _file: Option<File>,
    unguarded: Option<String>,
}

impl DirLock {
    /// Locks `dir`, which exists, for `command`.
    ///
    /// # Errors
    /// Another process has it, or the lock file can't be written.
    pub fn take(dir: &Path, command: &str) -> Result<Self, LockError> {
        Self::take_within(dir, command, Duration::ZERO)
    }

    /// As [`DirLock::take`], waiting for another process for at most `patience`.
    ///
    /// # Errors
    /// As [`DirLock::take`].
    pub fn take_within(dir: &Path, command: &str, patience: Duration) -> Result<Self, LockError> {
        let path = dir.join(LOCK);
        // Not truncated: the content belongs to the holder.
        let opened = File::options().create(true).read(true).write(true).truncate(false).open(&path);
        let mut file = opened.map_err(io_error(&path))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => std::thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::InUse { dir: dir.to_owned(), holder: read_holder(&path) });
                }
                Err(TryLockError::Error(e)) => {
                    let unguarded = format!(
                        "{} can't be locked ({e}); see to it that no other command writes there",
                        dir.display()
                    );
                    return Ok(Self { _file: None, unguarded: Some(unguarded) });
                }
            }
        }
        let holder = Holder { command: command.to_owned(), pid: std::process::id(), host: host() };
        write_holder(&mut file, &holder).map_err(io_error(&path))?;
        Ok(Self { _file: Some(file), unguarded: None })
    }

    /// The warning that the directory is unguarded, where the file system has no locks.
    pub fn warning(&self) -> Option<&str> {
        self.unguarded.as_deref()
    }
}

/// Whether another process holds the lock of `dir`. Writes nothing.
pub fn is_held(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join(LOCK)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn read_holder(path: &Path) -> Option<Holder> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

fn write_holder(file: &mut File, holder: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    let text = serde_json::to_string(holder).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
    writeln!(file, "{text}")?;
    file.flush()
}

/// The name of this machine.
fn host() -> String {
    let kernel =
        fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    let name =
        kernel.ok().or_else(|| std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok());
    name.map(|name| name.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_has_it_and_the_end_of_the_first_frees_it() {
        let home = tempfile::tempdir().unwrap();
        assert!(!is_held(home.path()));
        let first = DirLock::take(home.path(), "train").unwrap();
        assert!(first.warning().is_none() && is_held(home.path()));
        let refused = DirLock::take(home.path(), "evaluate").unwrap_err();
        let own = format!("is in use by `codistill train`, process {}", std::process::id());
        assert!(refused.to_string().contains(&own), "{refused}");
        drop(first);
        assert!(!is_held(home.path()));
        DirLock::take(home.path(), "evaluate").unwrap();
    }

    #[test]
    fn a_lock_file_without_a_holder_is_no_lock_and_one_that_cannot_be_read_names_none() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(LOCK), "{\"command\": \"train\", \"pid\": 1").unwrap();
        let held = DirLock::take(home.path(), "tune").unwrap();
        fs::write(home.path().join(LOCK), "torn").unwrap();
        let refused = DirLock::take(home.path(), "tune").unwrap_err();
        assert_eq!(refused.to_string(), format!("{} is in use", home.path().display()));
        drop(held);
    }

    #[test]
    fn patience_outlasts_a_holder_that_leaves() {
        let home = tempfile::tempdir().unwrap();
        let held = DirLock::take(home.path(), "train").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                drop(held);
            });
            DirLock::take_within(home.path(), "train", Duration::from_secs(30)).unwrap();
        });
    }
}

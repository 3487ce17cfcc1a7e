//! Artefacts: directories that are either complete or absent.
//!
//! Data sets, feature stores and checkpoints are written to a neighbouring scratch directory, synced, and renamed into
//! place. `manifest.json` is written last and holds the SHA-256 of every other file, so that damage is found before
//! anything is read.

mod json;
mod place;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::hex::hex;

pub use json::{json_line, json_text, json_value, write_json};
pub use place::{Makes, may_make};

/// Name of the file that completes an artefact.
pub const MANIFEST: &str = "manifest.json";
/// Prefix of the names of scratch directories: unfinished ones and those about to be removed.
pub const SCRATCH: &str = ".codistill-";

/// What can go wrong while an artefact is written or checked.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} already exists")]
    Exists(PathBuf),
    #[error("{dir} is not a {wanted}: {reason}")]
    NotAnArtefact { dir: PathBuf, wanted: String, reason: String },
    #[error("{path} does not match its manifest: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("{dest} {place} {what}", place = if dest == owner { "is".to_owned() } else { format!("lies inside {}, which is", owner.display()) })]
    Inside {
        dest: PathBuf,
        owner: PathBuf,
        /// Its name with an article.
        what: String,
    },
}

impl ArtefactError {
    /// What the user can do about the error.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Exists(_) => "choose another path, or remove the old directory first".into(),
            Self::Damaged { .. } => "make it anew; the file changed after it was written".into(),
            Self::Inside { what, .. } => {
                let bare = what.split_once(' ').map_or(what.as_str(), |(_, bare)| bare);
                format!("choose a directory outside the {bare}")
            }
            Self::Io { .. } | Self::NotAnArtefact { .. } => return None,
        })
    }
}

/// Attaches the path to an I/O error.
pub fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ArtefactError + '_ {
    move |source| ArtefactError::Io { path: path.to_owned(), source }
}

/// The manifest's entry of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// `manifest.json`: the kind of the artefact, its description, and its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Kind: `codistill/dataset`, `codistill/features`, `codistill/checkpoint`, …
    pub kind: String,
    /// Version of the kind's layout; readers refuse newer ones.
    pub schema_version: u32,
    /// Version of the program that wrote it.
    pub program_version: String,
    /// Description by the writer: rules, counts, parents' hashes, seed.
    pub about: Value,
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// SHA-256 of the whole artefact: over kind, description and the files' hashes.
    pub fn content_hash(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.kind.as_bytes());
        hasher.update(self.about.to_string().as_bytes());
        for file in &self.files {
            hasher.update(file.name.as_bytes());
            hasher.update(file.sha256.as_bytes());
        }
        hex(hasher.finalize())
    }
}

/// An artefact under construction; it is removed when dropped without [`Staging::commit`].
pub struct Staging {
    scratch: tempfile::TempDir,
    destination: PathBuf,
}

impl Staging {
    /// Starts an artefact that will appear at `destination`.
    ///
    /// # Errors
    /// The destination exists, or its parent can't be written.
    pub fn create(destination: &Path) -> Result<Self, ArtefactError> {
        if destination.exists() {
            return Err(ArtefactError::Exists(destination.to_owned()));
        }
        let parent = match destination.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent).map_err(io_error(&parent))?;
        let scratch = scratch(0o777).prefix(SCRATCH).tempdir_in(&parent).map_err(io_error(&parent))?;
        Ok(Self { scratch, destination: destination.to_owned() })
    }

    /// The path to write a file of the artefact to. Parent folders are not created.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes the indented JSON of `value` to the file `name`.
    ///
    /// # Errors
    /// `value` has no JSON form, or the file can't be written.
    pub fn write_json(&self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), ArtefactError> {
        self.write(name, &json_text(name, value)?)
    }

    /// Writes a text to the file `name`.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), ArtefactError> {
        let path = self.path(name);
        fs::write(&path, text).map_err(io_error(&path))
    }

    /// Hashes every file, syncs all files and folders, writes the manifest last, and renames the directory into place.
    ///
    /// # Errors
    /// Any I/O failure; nothing is then left at the destination.
    pub fn commit(self, kind: &str, schema_version: u32, about: Value) -> Result<Manifest, ArtefactError> {
        let root = self.scratch.path();
        let mut files = Vec::new();
        let Tree { files: names, folders } = Tree::read(root)?;
        for name in names {
            let path = root.join(&name);
            File::open(&path).and_then(|f| f.sync_all()).map_err(io_error(&path))?;
            let (sha256, bytes) = hash_file(&path)?;
            files.push(FileEntry { name, bytes, sha256 });
        }
        let program_version = env!("CARGO_PKG_VERSION").to_owned();
        let manifest = Manifest { kind: kind.to_owned(), schema_version, program_version, about, files };
        let path = root.join(MANIFEST);
        write_synced(&path, json_text(MANIFEST, &manifest)?.as_bytes())?;
        // The names of files are content of their folders: without them a power cut could leave a manifest over nothing.
        for folder in folders.iter().rev() {
            sync_dir(&root.join(folder))?;
        }
        fs::rename(root, &self.destination).map_err(io_error(&self.destination))?;
        let _ = self.scratch.keep();
        if let Some(parent) = self.destination.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
        Ok(manifest)
    }
}

/// Reads the manifest of `dir` and checks its kind and version, not the files' hashes.
///
/// # Errors
/// No manifest, another kind, or a newer schema.
pub fn read_manifest(dir: &Path, kind: &str, schema_version: u32) -> Result<Manifest, ArtefactError> {
    let refuse = |reason: String| ArtefactError::NotAnArtefact {
        dir: dir.to_owned(),
        wanted: kind.to_owned(),
        reason,
    };
    let path = dir.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|e| refuse(format!("{MANIFEST}: {e}")))?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|e| refuse(format!("{MANIFEST}: {e}")))?;
    if manifest.kind != kind {
        return Err(refuse(format!("its manifest says {}", manifest.kind)));
    }
    if manifest.schema_version > schema_version {
        return Err(refuse(format!("its schema {} is newer than {schema_version}", manifest.schema_version)));
    }
    Ok(manifest)
}

/// [`read_manifest`], then compares size and hash of every file.
///
/// # Errors
/// As [`read_manifest`]; or a file is missing, or differs from what was written.
pub fn verify(dir: &Path, kind: &str, schema_version: u32) -> Result<Manifest, ArtefactError> {
    let manifest = read_manifest(dir, kind, schema_version)?;
    for file in &manifest.files {
        let path = dir.join(&file.name);
        let damaged = |reason: &str| ArtefactError::Damaged { path: path.clone(), reason: reason.to_owned() };
        if file.name.starts_with('/') || file.name.split('/').any(|part| part == "..") {
            return Err(damaged("its name leaves the directory"));
        }
        let (sha256, bytes) = hash_file(&path)?;
        if bytes != file.bytes {
            return Err(damaged(&format!("{bytes} bytes instead of {}", file.bytes)));
        }
        if sha256 != file.sha256 {
            return Err(damaged("another SHA-256"));
        }
    }
    Ok(manifest)
}

/// Whether `path` is a pipe or a device, which can be written to but not replaced.
pub fn is_stream(path: &Path) -> bool {
    path.metadata().is_ok_and(|there| !there.is_file())
}

/// Replaces a file atomically: writes a neighbouring file, syncs and renames it. A pipe or a device is written to
/// directly.
///
/// # Errors
/// Any I/O failure; the old content then remains.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<(), ArtefactError> {
    if is_stream(path) {
        return fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut f| f.write_all(content))
            .map_err(io_error(path));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = scratch(0o666).tempfile_in(parent).map_err(io_error(path))?;
    file.write_all(content).map_err(io_error(path))?;
    file.as_file().sync_all().map_err(io_error(path))?;
    file.persist(path).map_err(|e| io_error(path)(e.error))?;
    sync_dir(parent)
}

/// A builder of scratch files and directories that are renamed when complete. The umask decides who may read them, as
/// with other files; private ones would stay private under their final names.
pub fn scratch(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// Calls `make` with the path of a new artefact, and puts it in place of an older one of its `kind` at `dest`. The
/// older one remains until the new one is complete.
///
/// # Errors
/// What is at `dest` is no such artefact or can't be replaced, or `make` fails; the older one then remains.
pub fn replacing<T, E: From<ArtefactError>>(
    dest: &Path,
    kind: &str,
    schema_version: u32,
    make: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    if !dest.exists() {
        return make(dest);
    }
    read_manifest(dest, kind, schema_version)?;
    let name = dest.file_name().unwrap_or_default().to_string_lossy();
    let fresh = dest.with_file_name(format!("{name}.new"));
    if fresh.exists() {
        remove(&fresh)?;
    }
    let made = make(&fresh)?;
    remove(dest)?;
    fs::rename(&fresh, dest).map_err(io_error(dest))?;
    Ok(made)
}

/// Removes an artefact. Killed midway, it leaves no partial artefact under its name.
///
/// # Errors
/// It can't be renamed or removed.
pub fn remove(dir: &Path) -> Result<(), ArtefactError> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let hidden = dir.with_file_name(format!("{SCRATCH}gone-{name}"));
    if hidden.exists() {
        fs::remove_dir_all(&hidden).map_err(io_error(&hidden))?;
    }
    fs::rename(dir, &hidden).map_err(io_error(dir))?;
    fs::remove_dir_all(&hidden).map_err(io_error(&hidden))
}

/// Removes from `dir` what killed writers left. No other process may be writing there.
pub fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
            // What can't be removed costs disk space only.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// SHA-256 in hexadecimal and the size in bytes of a file.
///
/// # Errors
/// The file can't be read.
pub fn hash_file(path: &Path) -> Result<(String, u64), ArtefactError> {
    let mut file = File::open(path).map_err(io_error(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buffer).map_err(io_error(path))?;
        if n == 0 {
            return Ok((hex(hasher.finalize()), bytes));
        }
        hasher.update(&buffer[..n]);
        bytes += n as u64;
    }
}

fn write_synced(path: &Path, content: &[u8]) -> Result<(), ArtefactError> {
    let mut file = File::create(path).map_err(io_error(path))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(io_error(path))
}

fn sync_dir(dir: &Path) -> Result<(), ArtefactError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(io_error(dir))
}

/// What lies below a directory, by paths relative to it.
#[derive(Debug, PartialEq)]
struct Tree {
    /// Sorted, with `/` as separator.
    files: Vec<String>,
    /// The directory itself first, each before those inside it.
    folders: Vec<PathBuf>,
}

impl Tree {
    fn read(root: &Path) -> Result<Self, ArtefactError> {
        let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
        let mut next = 0;
        while let Some(folder) = folders.get(next).cloned() {
            let dir = root.join(&folder);
            for entry in fs::read_dir(&dir).map_err(io_error(&dir))? {
                let entry = entry.map_err(io_error(&dir))?;
                let relative = folder.join(entry.file_name());
                if entry.file_type().map_err(io_error(&dir))?.is_dir() {
                    folders.push(relative);
                } else {
                    files.push(relative.to_string_lossy().replace('\\', "/"));
                }
            }
            next += 1;
        }
        files.sort();
        Ok(Self { files, folders })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dir: &Path) -> Manifest {
        let staging = Staging::create(dir).unwrap();
        fs::write(staging.path("a.txt"), b"one").unwrap();
        staging.commit("codistill/test", 1, serde_json::json!({"seed": 7})).unwrap()
    }

    #[test]
    fn a_flipped_byte_is_found_and_an_untouched_directory_verifies() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("x");
        let manifest = written(&dir);
        assert_eq!(verify(&dir, "codistill/test", 1).unwrap(), manifest);
        fs::write(dir.join("a.txt"), b"onf").unwrap();
        assert!(matches!(verify(&dir, "codistill/test", 1), Err(ArtefactError::Damaged { .. })));
    }

    #[test]
    fn an_abandoned_artefact_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let staging = Staging::create(&home.path().join("x")).unwrap();
        fs::write(staging.path("a.txt"), b"one").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_folder_of_an_artefact_is_synced_once_and_every_file_named() {
        let home = tempfile::tempdir().unwrap();
        let staging = Staging::create(&home.path().join("x")).unwrap();
        fs::create_dir_all(staging.path("b/c")).unwrap();
        fs::create_dir(staging.path("a")).unwrap();
        fs::write(staging.path("b/c/two.txt"), "2").unwrap();
        fs::write(staging.path("one.txt"), "1").unwrap();
        let Tree { files, folders } = Tree::read(staging.scratch.path()).unwrap();
        assert_eq!(files, ["b/c/two.txt", "one.txt"]);
        let place = |name: &str| folders.iter().position(|folder| folder == Path::new(name)).unwrap();
        assert_eq!((folders.len(), place("")), (4, 0));
        assert!(place("b") < place("b/c") && place("a") > 0);
        let manifest = staging.commit("codistill/test", 1, Value::Null).unwrap();
        assert_eq!(manifest.files.len(), 2);
        assert_eq!(verify(&home.path().join("x"), "codistill/test", 1).unwrap(), manifest);
    }

    #[test]
    fn another_kind_and_a_newer_schema_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("x");
        written(&dir);
        assert!(read_manifest(&dir, "codistill/dataset", 1).is_err());
        assert!(read_manifest(&dir, "codistill/test", 0).is_err());
    }
}

//! Where the inputs of a run may lie, seen from any working directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::inputs::{Asked, Inputs, InputsError};
use crate::artefact::io_error;
use crate::config::Config;

/// What is known of the places of a run's inputs.
pub(super) struct Places {
    /// The run directory, absolute.
    root: PathBuf,
    record: Option<Inputs>,
    /// Where the data set lies, as the user says.
    data: Option<PathBuf>,
    /// Where runs that teach lie, as the user says.
    teachers: BTreeMap<String, PathBuf>,
    /// The working directory of the training, where the run's own place tells it.
    base: Option<PathBuf>,
}

impl Places {
    pub fn new(
        root: &Path,
        config: &Config,
        record: Option<Inputs>,
        asked: &Asked,
    ) -> Result<Self, InputsError> {
        let root = root.canonicalize().map_err(io_error(root))?;
        let base = base(&root, &config.run.dir);
        Ok(Self { root, record, data: asked.data.clone(), teachers: asked.teachers.clone(), base })
    }

    /// Places of the data set that the configuration calls `named`, the likeliest first.
    pub fn dataset(&self, named: &Path) -> Vec<PathBuf> {
        match &self.data {
            // Who names a place means that and no other.
            Some(data) => vec![data.clone()],
            None => self.candidates(named, self.record.as_ref().map(|r| r.dataset.path.as_path())),
        }
    }

    /// Places of a feature store that the configuration lists as `listed`; `dataset` is where the data set lies
    /// now, `default` where its stores of that name lie.
    pub fn features(&self, view: &str, listed: &Path, dataset: &Path, default: PathBuf) -> Vec<PathBuf> {
        let recorded = self.record.as_ref().and_then(|r| Some((r, &r.features.get(view)?.path)));
        let inside =
            recorded.and_then(|(r, path)| Some(dataset.join(path.strip_prefix(&r.dataset.path).ok()?)));
        let others = self.candidates(listed, recorded.map(|(_, path)| path.as_path()));
        inside.into_iter().chain(others).chain([default]).collect()
    }

    /// Places of the run that teaches under `name`, which the configuration lists as `listed`.
    pub fn teacher(&self, name: &str, listed: &Path) -> Vec<PathBuf> {
        if let Some(place) = self.teachers.get(name) {
            return vec![place.clone()];
        }
        let recorded =
            self.record.as_ref().and_then(|r| r.teachers.get(name)).map(|input| input.path.as_path());
        self.candidates(listed, recorded)
    }

    /// Place of the file of held-out items.
    pub fn held_out(&self, named: &Path) -> PathBuf {
        if named.as_os_str().is_empty() {
            return named.to_owned();
        }
        let recorded = self.record.as_ref().and_then(|r| r.held_out.as_deref());
        let there = self.candidates(named, recorded).into_iter().find(|path| path.is_file());
        there.unwrap_or_else(|| named.to_owned())
    }

    fn candidates(&self, named: &Path, recorded: Option<&Path>) -> Vec<PathBuf> {
        let mut all = Vec::new();
        if let (Some(record), Some(recorded)) = (&self.record, recorded) {
            all.extend(moved(&record.run, recorded, &self.root));
            all.push(recorded.to_owned());
            all.push(record.working_dir.join(named));
        }
        all.push(named.to_owned());
        all.extend(self.base.as_ref().map(|base| base.join(named)));
        // A place under two names is told as the configuration writes it.
        if let Ok(same) = named.canonicalize() {
            all.iter_mut().filter(|path| **path == same).for_each(|path| named.clone_into(path));
        }
        all
    }

    /// The first of `candidates` with the hash that is `wanted`; else the first that has one; else the first.
    pub fn choose(
        candidates: Vec<PathBuf>,
        wanted: Option<&str>,
        hash_of: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Choice {
        let mut first: Option<Choice> = None;
        for path in candidates {
            let hash = hash_of(&path);
            let fits = hash.is_ok() && (wanted.is_none() || hash.as_deref().ok() == wanted);
            if fits {
                let passed_over = first.filter(|first| first.hash.is_ok()).map(|first| first.path);
                return Choice { path, hash, passed_over };
            }
            if first.as_ref().is_none_or(|first| first.hash.is_err() && hash.is_ok()) {
                first = Some(Choice { path, hash, passed_over: None });
            }
        }
        let nowhere = || Err("it has no place".into());
        first.unwrap_or_else(|| Choice { path: PathBuf::new(), hash: nowhere(), passed_over: None })
    }
}

/// The place that was chosen for an input.
pub(super) struct Choice {
    pub path: PathBuf,
    /// Content hash, or why there is none.
    pub hash: Result<String, String>,
    /// A likelier place, which holds something else.
    pub passed_over: Option<PathBuf>,
}

/// Where `path` is now if it lies to the run as it did, the run having gone from `from` to `to`; all absolute.
fn moved(from: &Path, path: &Path, to: &Path) -> Option<PathBuf> {
    let same = from.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let ups = from.components().count() - same;
    let rest: PathBuf = path.components().skip(same).collect();
    let shared = to.ancestors().nth(ups)?;
    // Joined with nothing, a path would end with a separator.
    Some(if same == path.components().count() { shared.to_owned() } else { shared.join(rest) })
}

/// The directory from which `dir`, the configured folder of runs, leads to the run at `root`.
fn base(root: &Path, dir: &Path) -> Option<PathBuf> {
    if dir.is_absolute() {
        return None;
    }
    let parent = root.parent()?;
    let dir: PathBuf =
        dir.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    parent.ends_with(&dir).then(|| parent.ancestors().nth(dir.components().count()).map(Path::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_moved_with_its_run_is_found_as_it_lay() {
        let at = |from: &str, path: &str, to: &str| {
            moved(Path::new(from), Path::new(path), Path::new(to)).map(|p| p.to_string_lossy().into_owned())
        };
        assert_eq!(at("/a/runs/x", "/a/data/d", "/b/c/runs/x").as_deref(), Some("/b/c/data/d"));
        assert_eq!(at("/a/x", "/a/x/data", "/b").as_deref(), Some("/b/data"));
        assert_eq!(at("/a/x", "/a/x", "/b").as_deref(), Some("/b"));
        // Higher up than there is anything.
        assert_eq!(at("/a/b/c", "/d", "/x"), None);
    }

    #[test]
    fn a_runs_own_place_tells_the_working_directory_of_its_training() {
        let of = |root: &str, dir: &str| base(Path::new(root), Path::new(dir));
        assert_eq!(of("/p/checkpoints/x", "checkpoints"), Some("/p".into()));
        assert_eq!(of("/p/runs/big/x", "./runs/big"), Some("/p".into()));
        assert_eq!(of("/p/elsewhere/x", "checkpoints"), None);
        assert_eq!(of("/p/checkpoints/x", "/p/checkpoints"), None);
        assert_eq!(of("/p/x", "."), Some("/p".into()));
    }
}

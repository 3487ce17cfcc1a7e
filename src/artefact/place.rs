//! Where a new directory may be created: never inside another artefact.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{ArtefactError, MANIFEST, Manifest};

/// Folder of a data set or workload for feature stores.
const FEATURES: &str = "features";

/// The kind of directory that a command is about to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// A run; it is renamed if its name is taken, and may lie in a study.
    Run,
    /// A study, new or old.
    Study,
    /// A feature store, usually `features/NAME` of a data set.
    Features,
    /// A vector store, new or old.
    Vectors,
    /// A folder of reports, new or old.
    Report,
    /// A data set, an export, a workload.
    Other,
}

/// Checks that `dest` is not, and does not lie inside, the directory of another artefact: a data set, feature store,
/// run, checkpoint, vector store, study, export or workload. `dest` need not exist; symbolic links and `..` are
/// resolved.
///
/// # Errors
/// [`ArtefactError::Inside`]
pub fn may_make(dest: &Path, makes: Makes) -> Result<(), ArtefactError> {
    let real = resolved(dest);
    let mut relative = PathBuf::new();
    for (depth, dir) in real.ancestors().enumerate() {
        if let Some(what) = owner(dir)
            && !is_allowed(makes, what, depth, &relative)
        {
            let (dest, owner) = (dest.to_owned(), dir.to_owned());
            return Err(ArtefactError::Inside { dest, owner, what: what.name().to_owned() });
        }
        if let Some(name) = dir.file_name() {
            relative = Path::new(name).join(&relative);
        }
    }
    Ok(())
}

/// Whether `makes` may be created in `owner`. `depth` 0 is the destination itself; `relative` is its path within the
/// owner.
fn is_allowed(makes: Makes, owner: Owner, depth: usize, relative: &Path) -> bool {
    match (makes, owner) {
        // Nothing is overwritten: a run takes another name, the others report that the destination exists.
        (Makes::Run | Makes::Features | Makes::Other, _) if depth == 0 => true,
        (Makes::Run | Makes::Study, Owner::Study) => true,
        (Makes::Vectors, Owner::Vectors) => depth == 0,
        (Makes::Features, Owner::Dataset | Owner::Workload) => {
            depth == 2 && relative.components().next() == Some(Component::Normal(FEATURES.as_ref()))
        }
        _ => false,
    }
}

/// A kind of directory that is complete as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Dataset,
    Features,
    Checkpoint,
    Generation,
    Export,
    Workload,
    Truth,
    Run,
    Study,
    Vectors,
}

impl Owner {
    /// Its name with an article.
    fn name(self) -> &'static str {
        match self {
            Self::Dataset => "a data set",
            Self::Features => "a feature store",
            Self::Checkpoint => "a checkpoint",
            Self::Generation => "a generation of a vector store",
            Self::Export => "an export",
            Self::Workload => "a workload",
            Self::Truth => "a planted truth",
            Self::Run => "a run",
            Self::Study => "a study",
            Self::Vectors => "a vector store",
        }
    }
}

/// The kind of artefact that `dir` is, if any.
fn owner(dir: &Path) -> Option<Owner> {
    let manifest: Option<Manifest> =
        fs::read(dir.join(MANIFEST)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let closed = manifest.and_then(|manifest| {
        Some(match manifest.kind.strip_prefix("codistill/")? {
            "dataset" => Owner::Dataset,
            "features" => Owner::Features,
            "checkpoint" => Owner::Checkpoint,
            "vectors" => Owner::Generation,
            "export" => Owner::Export,
            "workload" => Owner::Workload,
            "truth" => Owner::Truth,
            _ => return None,
        })
    });
    let has = |name: &str| dir.join(name).is_file();
    let child = |prefix: &str, file: &str| {
        let mut all = fs::read_dir(dir).into_iter().flatten().flatten();
        all.any(|e| e.file_name().to_string_lossy().starts_with(prefix) && e.path().join(file).is_file())
    };
    let open = || {
        if has("config.toml") && has("config.origins.json") {
            return Some(Owner::Run);
        }
        if has("declared.json") || has("study.json") || child("trial-", "trial.json") {
            return Some(Owner::Study);
        }
        child("generation-", MANIFEST).then_some(Owner::Vectors)
    };
    closed.or_else(open)
}

/// The path with links and `..` resolved, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut real = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(real.pop()),
            part => {
                real.push(part);
                if let Ok(there) = real.canonicalize() {
                    real = there;
                }
            }
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artefact::Staging;

    fn closed(dir: &Path, kind: &str) {
        let staging = Staging::create(dir).unwrap();
        staging.commit(&format!("codistill/{kind}"), 1, serde_json::json!({})).unwrap();
    }

    fn make(dir: &Path, files: &[&str]) {
        for file in files {
            let path = dir.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
    }

    const ALL: [Makes; 6] =
        [Makes::Run, Makes::Study, Makes::Features, Makes::Vectors, Makes::Report, Makes::Other];

    /// One directory of every kind; by its name what may be made in `x` of it, and in its own place.
    fn kinds(home: &Path) -> Vec<(&'static str, &'static str, Vec<Makes>, Vec<Makes>)> {
        // A maker that finds its place taken says so itself.
        let taken = vec![Makes::Run, Makes::Features, Makes::Other];
        let study = vec![Makes::Run, Makes::Study];
        for kind in ["dataset", "features", "checkpoint", "export", "workload", "truth"] {
            closed(&home.join(kind), kind);
        }
        make(&home.join("run"), &["config.toml", "config.origins.json"]);
        make(&home.join("ablation"), &["declared.json"]);
        make(&home.join("search"), &["trial-000/trial.json"]);
        fs::create_dir(home.join("store")).unwrap();
        closed(&home.join("store/generation-00000001"), "vectors");
        vec![
            ("dataset", "data set", vec![], taken.clone()),
            ("features", "feature store", vec![], taken.clone()),
            ("checkpoint", "checkpoint", vec![], taken.clone()),
            ("export", "export", vec![], taken.clone()),
            ("workload", "workload", vec![], taken.clone()),
            ("truth", "planted truth", vec![], taken.clone()),
            ("run", "run", vec![], taken.clone()),
            ("ablation", "study", study.clone(), [&taken[..], &[Makes::Study]].concat()),
            ("search", "study", study, [&taken[..], &[Makes::Study]].concat()),
            ("store", "vector store", vec![], [&taken[..], &[Makes::Vectors]].concat()),
            ("store/generation-00000001", "vector store", vec![], vec![]),
        ]
    }

    #[test]
    fn nothing_is_made_inside_another_artefact() {
        let home = tempfile::tempdir().unwrap();
        for (dir, what, relative, itself) in kinds(home.path()) {
            for makes in ALL {
                for (dest, allowed) in [("x", &relative), ("x/y/z", &relative), ("", &itself)] {
                    let path = home.path().join(dir).join(dest);
                    let found = may_make(&path, makes);
                    assert_eq!(
                        found.is_ok(),
                        allowed.contains(&makes),
                        "{makes:?} at {dir}/{dest}: {found:?}"
                    );
                    if let Err(e) = found {
                        assert!(e.to_string().contains(what) && e.hint().is_some(), "{e}");
                    }
                }
            }
        }
        for makes in ALL {
            assert!(may_make(&home.path().join("free/x"), makes).is_ok());
        }
    }

    #[test]
    fn feature_stores_go_to_the_features_of_a_data_set_and_nowhere_else_in_it() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        closed(&data, "dataset");
        let allowed = |place: &str, makes| may_make(&data.join(place), makes).is_ok();
        assert!(allowed("features/text", Makes::Features));
        for place in ["text", "features", "features/text/more", "truth/text", "features/../text"] {
            assert!(!allowed(place, Makes::Features), "{place}");
        }
        for makes in [Makes::Run, Makes::Study, Makes::Vectors, Makes::Report, Makes::Other] {
            assert!(!allowed("features/text", makes), "{makes:?}");
        }
        // Inside a store that is there.
        closed(&data.join("features/text"), "features");
        assert!(!allowed("features/text/more", Makes::Features));
    }

    #[test]
    fn links_and_parent_folders_lead_nowhere_new() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        closed(&data, "dataset");
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        for path in
            [link.join("x"), link.clone(), home.path().join("none/../data/x"), data.join("../link/./x")]
        {
            assert!(may_make(&path, Makes::Vectors).is_err(), "{}", path.display());
        }
        assert!(may_make(&data.join("../x"), Makes::Other).is_ok());
        // Another program's manifest means nothing.
        let other = home.path().join("other");
        make(&other, &["manifest.json", "config.toml"]);
        assert!(may_make(&other.join("x"), Makes::Other).is_ok());
    }
}

//! Groups of runs that differ only by the seed, and the rules of comparability.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::CompareError;
use super::run::{Opened, Run};
use crate::artefact::MANIFEST;
use crate::config::section::Fact;
use crate::config::{Leaves, flatten, has_fact};
use crate::eval::metrics::Protocol;

/// A parsed argument: `[LABEL=]PATH[,PATH…][:NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    pub label: String,
    pub dirs: Vec<PathBuf>,
    /// Score name: a branch or a baseline.
    pub score: Option<String>,
}

impl GroupSpec {
    /// Parses an argument and expands patterns (`runs/odmt-*`) to the directories that match, in order.
    ///
    /// # Errors
    /// A pattern matches nothing.
    pub fn parse(text: &str) -> Result<Self, CompareError> {
        // An existing path is taken as it is, whatever characters it holds.
        if Path::new(text).is_dir() {
            return Ok(Self { label: label_of(text), dirs: vec![text.into()], score: None });
        }
        let named = text.split_once('=').filter(|(label, _)| !label.contains(['/', '\\', ',']));
        let (label, rest) = named.map_or((None, text), |(label, rest)| (Some(label.to_owned()), rest));
        // A colon may stand in a Windows path; what follows the last one is a name only without a separator.
        let scored = rest
            .rsplit_once(':')
            .filter(|(path, name)| path.len() > 1 && !name.is_empty() && !name.contains(['/', '\\', '*']));
        let (paths, score) = scored.map_or((rest, None), |(paths, name)| (paths, Some(name.to_owned())));
        let mut dirs: Vec<PathBuf> = Vec::new();
        for pattern in paths.split(',').filter(|p| !p.is_empty()) {
            let found = expand(pattern)?;
            dirs.extend(found.into_iter().filter(|dir| !dirs.contains(dir)).collect::<Vec<_>>());
        }
        if dirs.is_empty() {
            return Err(CompareError::NoMatch { pattern: text.to_owned() });
        }
        let label = label.unwrap_or_else(|| {
            let name =
                if dirs.len() == 1 { label_of(&dirs[0].to_string_lossy()) } else { shared(&dirs, paths) };
            score.as_ref().map_or(name.clone(), |score| format!("{name}:{score}"))
        });
        Ok(Self { label, dirs, score })
    }
}

fn expand(pattern: &str) -> Result<Vec<PathBuf>, CompareError> {
    if Path::new(pattern).exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![pattern.into()]);
    }
    let no_match = || CompareError::NoMatch { pattern: pattern.to_owned() };
    let found: Vec<PathBuf> =
        glob::glob(pattern).map_err(|_| no_match())?.filter_map(Result::ok).filter(|p| p.is_dir()).collect();
    if found.is_empty() { Err(no_match()) } else { Ok(found) }
}

/// The last component of a path.
fn label_of(path: &str) -> String {
    let name = Path::new(path).file_name().map(|n| n.to_string_lossy().into_owned());
    name.unwrap_or_else(|| path.to_owned())
}

/// The common prefix of the names of a group, without the separator before the seed.
fn shared(dirs: &[PathBuf], otherwise: &str) -> String {
    let names: Vec<String> = dirs.iter().map(|d| label_of(&d.to_string_lossy())).collect();
    let first: Vec<char> = names[0].chars().collect();
    let same = (0..first.len())
        .take_while(|&i| names.iter().all(|name| name.chars().nth(i) == Some(first[i])))
        .count();
    let start: String = first[..same].iter().collect();
    let start = start.trim_end_matches(['-', '_', '.', ' ']);
    if start.is_empty() { otherwise.to_owned() } else { start.to_owned() }
}

/// Finished runs of one condition, and those that have no figures.
pub struct Group {
    pub label: String,
    /// In order of the seed; only one where nothing was trained.
    pub runs: Vec<Run>,
    pub failed: Vec<(PathBuf, String)>,
}

/// Whether runs of a group may differ in a setting: it is the seed, or changes nothing that is learned.
fn is_free(key: &str) -> bool {
    has_fact(key, Fact::Idle) || has_fact(key, Fact::Replicate)
}

impl Group {
    /// Opens every run of an argument.
    ///
    /// # Errors
    /// A directory is no run, or runs differ in more than the seed, or have the same seed.
    pub fn open(spec: &GroupSpec, part: &str, score: Option<&str>) -> Result<Self, CompareError> {
        let mut group = Self { label: spec.label.clone(), runs: Vec::new(), failed: Vec::new() };
        for dir in &spec.dirs {
            match Opened::open(dir, part, spec.score.as_deref().or(score))? {
                Opened::Finished(run) => group.runs.push(*run),
                Opened::Failed { dir, reason } => group.failed.push((dir, reason)),
            }
        }
        group.check()?;
        group.runs.sort_by_key(|run| run.seed);
        if group.runs.iter().all(|run| !run.trained) {
            group.runs.truncate(1);
        }
        Ok(group)
    }

    fn check(&self) -> Result<(), CompareError> {
        let Some((first, others)) = self.runs.split_first() else { return Ok(()) };
        for run in others {
            let (a, b) = (first.dir.clone(), run.dir.clone());
            if let Some((field, left, right)) = first_difference(&first.settings, &run.settings, is_free) {
                let group = self.label.clone();
                return Err(CompareError::NotOneGroup { group, a, b, field, left, right });
            }
            comparable(first, run)?;
        }
        for (i, run) in self.runs.iter().enumerate() {
            let twin = self.runs[..i].iter().find(|other| other.seed == run.seed && run.trained);
            if let Some(twin) = twin {
                let (a, b) = (twin.dir.clone(), run.dir.clone());
                return Err(CompareError::SameSeed { group: self.label.clone(), a, b, seed: run.seed });
            }
        }
        Ok(())
    }

    /// Whether any run was trained, so that seeds matter.
    pub fn trained(&self) -> bool {
        self.runs.iter().any(|run| run.trained)
    }
}

/// The first key in which two maps differ and that is not `free`, and both values.
pub(crate) fn first_difference(
    left: &BTreeMap<String, String>,
    right: &BTreeMap<String, String>,
    free: impl Fn(&str) -> bool,
) -> Option<(String, String, String)> {
    let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let shown = |value: Option<&String>| value.cloned().unwrap_or_else(|| "absent".into());
    keys.into_iter()
        .find(|key| left.get(*key) != right.get(*key) && !free(key))
        .map(|key| (key.clone(), shown(left.get(key)), shown(right.get(key))))
}

/// Checks that two runs are comparable: same data, split, targets, candidates and rules.
///
/// # Errors
/// [`CompareError::Differ`] with the first field that differs.
pub fn comparable(a: &Run, b: &Run) -> Result<(), CompareError> {
    let differ = |field: &str, left: String, right: String| CompareError::Differ {
        a: a.dir.display().to_string(),
        b: b.dir.display().to_string(),
        field: field.to_owned(),
        left,
        right,
    };
    let (p, q) = (&a.protocol, &b.protocol);
    if p.dataset != q.dataset {
        let cause = data_difference(a, b);
        let short = |hash: &str| hash.chars().take(12).collect::<String>();
        let (field, left, right) =
            cause.unwrap_or_else(|| ("data set hash".into(), short(&p.dataset), short(&q.dataset)));
        return Err(differ(&field, left, right));
    }
    let chosen = |p: &Protocol| match &p.chosen {
        None => "every item".to_owned(),
        Some(chosen) => format!("{} items ({})", chosen.items, chosen.hash),
    };
    // Rows of older programs have no name; the rules below tell them apart.
    let named = !p.name.is_empty() && !q.name.is_empty();
    let name = |p: &Protocol| if named { p.name.clone() } else { String::new() };
    let fields = [
        ("the protocol", name(p), name(q)),
        ("what their models were trained on", p.trained_on.word().into(), q.trained_on.word().into()),
        ("eval.history", p.history.word().into(), q.history.word().into()),
        ("eval.ties", p.ties.word().into(), q.ties.word().into()),
        ("the candidates", chosen(p), chosen(q)),
        ("the number of items", p.items.to_string(), q.items.to_string()),
        ("the number of targets", p.targets.to_string(), q.targets.to_string()),
    ];
    if let Some((field, left, right)) = fields.into_iter().find(|(_, left, right)| left != right) {
        return Err(differ(field, left, right));
    }
    if a.rows.len() != b.rows.len() {
        return Err(differ("the number of rows", a.rows.len().to_string(), b.rows.len().to_string()));
    }
    for (place, (x, y)) in a.rows.iter().zip(&b.rows).enumerate() {
        if (x.user, x.item) != (y.user, y.item) {
            let what = format!("the target of row {place}");
            let shown = |r: &crate::eval::Row| format!("user {} item {}", r.user, r.item);
            return Err(differ(&what, shown(x), shown(y)));
        }
        if x.candidates != y.candidates {
            let what = format!("the candidates of row {place}");
            return Err(differ(&what, x.candidates.to_string(), y.candidates.to_string()));
        }
    }
    Ok(())
}

/// The first difference between the manifests of two data sets, if both still exist.
fn data_difference(a: &Run, b: &Run) -> Option<(String, String, String)> {
    let options = |run: &Run| -> Option<Leaves> {
        let text = std::fs::read_to_string(run.dataset_dir.as_ref()?.join(MANIFEST)).ok()?;
        let manifest: Value = serde_json::from_str(&text).ok()?;
        let mut leaves = Leaves::new();
        flatten("data", manifest.get("about")?, &mut leaves);
        Some(leaves)
    };
    let (left, right) = (options(a)?, options(b)?);
    // The split comes first: a cause rather than one of its consequences.
    let split = |all: &Leaves| -> Leaves {
        all.iter().filter(|(k, _)| k.contains("split")).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let (a, b) = (split(&left), split(&right));
    let split_difference =
        if a.is_empty() || b.is_empty() { None } else { first_difference(&a, &b, |_| false) };
    split_difference.or_else(|| first_difference(&left, &right, |_| false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_a_label_paths_and_a_score_name() {
        let home = tempfile::tempdir().unwrap();
        for name in ["odmt-1", "odmt-2", "sasrec"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
        }
        let path = |name: &str| home.path().join(name);
        let root = home.path().display();
        let group = GroupSpec::parse(&format!("{root}/odmt-*")).unwrap();
        assert_eq!(group.dirs, [path("odmt-1"), path("odmt-2")]);
        assert_eq!((group.label.as_str(), group.score), ("odmt", None));
        let one = GroupSpec::parse(&format!("{root}/sasrec:transitions")).unwrap();
        assert_eq!((one.label.as_str(), one.dirs.len()), ("sasrec:transitions", 1));
        assert_eq!(one.score.as_deref(), Some("transitions"));
        let named = GroupSpec::parse(&format!("ours={root}/odmt-2,{root}/odmt-*")).unwrap();
        assert_eq!((named.label.as_str(), named.dirs), ("ours", vec![path("odmt-2"), path("odmt-1")]));
        assert!(matches!(GroupSpec::parse(&format!("{root}/x-*")), Err(CompareError::NoMatch { .. })));
        assert!(matches!(GroupSpec::parse(","), Err(CompareError::NoMatch { .. })));
    }

    #[test]
    fn settings_that_change_nothing_may_differ() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let a = map(&[("seed", "1"), ("run.name", "a"), ("optim.lr", "0.1")]);
        let b = map(&[("seed", "2"), ("run.name", "b"), ("optim.lr", "0.1"), ("monitor.log_every", "5")]);
        assert_eq!(first_difference(&a, &b, is_free), None);
        let c = map(&[("seed", "1"), ("optim.lr", "0.2")]);
        let (key, left, right) = first_difference(&a, &c, is_free).unwrap();
        assert_eq!((key.as_str(), left.as_str(), right.as_str()), ("optim.lr", "0.1", "0.2"));
    }
}

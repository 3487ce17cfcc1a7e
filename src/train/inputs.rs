//! What a model was trained on, and whether that is what lies there now.
//!
//! A run keeps in `inputs.json` where its data set, its feature stores and the runs that taught it lay, and each
//! checkpoint what they held.
//! Whatever opens a trained model goes through [`resolve`]: it finds the inputs from any working directory, also
//! where run and data moved together, compares their hashes with those of the training, reads every feature store
//! once against its manifest, and refuses what changed unless it was told to go on. Runs that teach are looked for where
//! the training goes on, and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::changes::way_out;
pub use super::changes::{Change, Fault, What};
use super::checkpoint::{self, Parents};
use super::places::{Choice, Places};
use super::run_dir::{RunDir, Which};
use super::setup::{Setup, SystemError, TeacherPlace, feature_dir};
use super::system::System;
use crate::artefact::{self, ArtefactError, write_atomic};
use crate::config::{Config, DataConfig};
use crate::data::{self, Dataset};
use crate::features::{self, item_ids_hash};

/// Layout version of `inputs.json`.
const SCHEMA: u32 = 1;

/// Where the inputs of a run lay when it was trained, and what they held: `inputs.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    schema_version: u32,
    /// The run directory, absolute.
    pub run: PathBuf,
    /// Where relative paths of the configuration begin.
    pub working_dir: PathBuf,
    pub dataset: Input,
    /// By view.
    pub features: BTreeMap<String, Input>,
    /// Runs that teach, by their names as teachers, with the hashes of the checkpoints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub teachers: BTreeMap<String, Input>,
    #[serde(default, skip_serializing_if = "Start::is_random")]
    pub start: Start,
    /// File of the items that were held out of the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<PathBuf>,
    /// SHA-256 of the items' ids in their order, which the rows of ID tables have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<String>,
}

/// Runs that a training takes weights from, with the hashes of the checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    /// That which it starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Input>,
    /// That which fitted the weights of the ensemble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fitted_by: Option<Input>,
}

impl Start {
    fn is_random(&self) -> bool {
        *self == Self::default()
    }
}

/// One artefact that was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Absolute.
    pub path: PathBuf,
    /// Content hash.
    pub hash: String,
}

/// What the user says about the inputs of a run.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Where the data set lies now.
    pub data: Option<PathBuf>,
    /// Go on with other inputs than the run's.
    pub accept_changed: bool,
    /// The training goes on, so that its teachers are needed too.
    pub trains: bool,
    /// Where runs that teach lie now, by their names as teachers.
    pub teachers: BTreeMap<String, PathBuf>,
}

/// Why the inputs of a run are refused.
#[derive(Debug, thiserror::Error)]
pub enum InputsError {
    #[error("{run} was trained on other inputs than there are now:{}", changes.iter().map(|c| format!("\n  {c}")).collect::<String>())]
    Changed { run: PathBuf, changes: Vec<Change> },
    /// Accepted as another data set, and still no input of this model.
    #[error(
        "{data} has other items than {run} was trained on, or in another order: their ID vectors would be those of other items"
    )]
    OtherItems { run: PathBuf, data: PathBuf },
    #[error("{path}: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    System(#[from] SystemError),
}

impl InputsError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Changed { changes, .. } => Some(way_out(changes)),
            Self::OtherItems { .. } => Some(
                "train anew on it; the run with its own data set (preparing the old log again gives the same) takes new items by \
                 `embed append` and new users by `recommend --histories`"
                    .into(),
            ),
            Self::Malformed { .. } => {
                Some("remove the file; the checkpoints know what the run was trained on".into())
            }
            Self::Artefact(_) => None,
            Self::System(e) => e.hint(),
        }
    }

    /// Whether something was not found, so that another place may have it.
    pub(crate) fn is_absence(&self) -> bool {
        let Self::Changed { changes, .. } = self else { return false };
        changes.iter().any(|change| matches!(change.fault, Fault::Absent(_)))
    }
}

impl Inputs {
    /// What `system`, whose run lies at `run`, reads and where.
    ///
    /// # Errors
    /// A path can't be made absolute.
    pub fn new<S: System>(system: &S, run: &Path) -> Result<Self, InputsError> {
        let dataset = &system.setup().dataset;
        let data = &system.setup().config.data;
        let mut features = BTreeMap::new();
        for (view, store) in system.features() {
            features.insert(view.to_owned(), Input::new(store.dir(), store.hash())?);
        }
        let mut teachers = BTreeMap::new();
        for teacher in system.teachers() {
            teachers.insert(teacher.name, Input::new(&teacher.run, &teacher.hash)?);
        }
        let ids = data.cold.as_ref().map(|cold| &cold.ids).filter(|ids| !ids.as_os_str().is_empty());
        Ok(Self {
            schema_version: SCHEMA,
            run: absolute(run)?,
            working_dir: absolute(Path::new("."))?,
            dataset: Input::new(&data.path.clone().unwrap_or_default(), &dataset.hash)?,
            features,
            teachers,
            start: Start::default(),
            held_out: ids.map(|ids| absolute(ids)).transpose()?,
            items: Some(item_ids_hash(&dataset.items.ids)),
        })
    }

    /// The same with the runs that the training takes weights from.
    #[must_use]
    pub fn with_start(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// Reads `inputs.json` of a run; absent in runs of older programs.
    ///
    /// # Errors
    /// It can't be read, or says something else.
    pub fn read(run: &RunDir) -> Result<Option<Self>, InputsError> {
        let path = run.inputs();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(artefact::io_error(&path)(e).into()),
        };
        let malformed = |reason: String| InputsError::Malformed { path: path.clone(), reason };
        let inputs: Self = serde_json::from_str(&text).map_err(|e| malformed(e.to_string()))?;
        if inputs.schema_version > SCHEMA {
            return Err(malformed(format!("its schema {} is newer than {SCHEMA}", inputs.schema_version)));
        }
        Ok(Some(inputs))
    }

    /// Writes `inputs.json`.
    ///
    /// # Errors
    /// It can't be written, or a path is not UTF-8.
    pub fn write(&self, run: &RunDir) -> Result<(), InputsError> {
        let path = run.inputs();
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| InputsError::Malformed { path: path.clone(), reason: e.to_string() })?;
        Ok(write_atomic(&path, text.as_bytes())?)
    }

    fn parents(&self) -> Parents {
        let hashes = |inputs: &BTreeMap<String, Input>| {
            inputs.iter().map(|(name, input)| (name.clone(), input.hash.clone())).collect()
        };
        Parents {
            dataset: self.dataset.hash.clone(),
            features: hashes(&self.features),
            teachers: hashes(&self.teachers),
            start: self.start.parent.as_ref().map(|parent| parent.hash.clone()),
        }
    }
}

impl Input {
    /// What lies at `path` and has the content hash `hash`.
    ///
    /// # Errors
    /// The path can't be made absolute.
    pub fn new(path: &Path, hash: &str) -> Result<Self, InputsError> {
        Ok(Self { path: absolute(path)?, hash: hash.to_owned() })
    }
}

fn absolute(path: &Path) -> Result<PathBuf, InputsError> {
    Ok(path.canonicalize().map_err(artefact::io_error(path))?)
}

/// What a run's newest checkpoint was trained on; of a run without one, what it was started with. Empty where
/// neither says.
///
/// # Errors
/// `inputs.json` can't be read.
pub fn recorded(run: &RunDir) -> Result<Parents, InputsError> {
    let mut newest = checkpoint::list(&run.steps()).into_iter().rev();
    if let Some(parents) = newest.find_map(|(_, path)| checkpoint::parents(&path)) {
        return Ok(parents);
    }
    Ok(Inputs::read(run)?.map(|inputs| inputs.parents()).unwrap_or_default())
}

/// What was found about the inputs of a run that may be used.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Changes that the user accepted.
    pub accepted: Vec<Change>,
    /// What can't be checked, because the run does not record it.
    pub unchecked: Vec<String>,
    /// Inputs that were passed over for those of the training, which lie elsewhere.
    pub passed_over: Vec<String>,
    /// Where the runs lie that teach, by their names as teachers, if the training goes on.
    pub teachers: BTreeMap<String, TeacherPlace>,
}

impl Found {
    fn pass_over(&mut self, what: &What, taken: &Path, other: Option<&Path>) {
        if let Some(other) = other {
            let (taken, other) = (taken.display(), other.display());
            self.passed_over
                .push(format!("takes {what} from {taken}, as at the training: {other} holds another"));
        }
    }

    /// What to warn of, a line each.
    pub fn warnings(&self) -> Vec<String> {
        let accepted =
            self.accepted.iter().map(|c| format!("--accept-changed goes on with other inputs: {c}"));
        accepted.collect()
    }

    /// What to say beside, a line each.
    pub fn notes(&self) -> Vec<String> {
        let unchecked = self.unchecked.iter();
        let unchecked =
            unchecked.map(|what| format!("the run records no hash of {what}, so that it can't be checked"));
        unchecked.chain(self.passed_over.iter().cloned()).collect()
    }
}

/// Puts into `config` where the inputs of the run at `root` lie now, and holds them against `parents`.
///
/// Content hashes are compared and every byte of the feature stores; the bytes of the data set are compared when
/// it is opened. An input with the recorded hash is taken wherever it is found: at the place that was asked for;
/// as the run lay to it; at its old place; where the configuration says, seen from here.
///
/// # Errors
/// Something is absent, or changed and not accepted.
pub fn resolve(
    root: &Path,
    config: &mut Config,
    parents: &Parents,
    asked: &Asked,
) -> Result<Found, InputsError> {
    let record = Inputs::read(&RunDir::new(root))?;
    let items = record.as_ref().and_then(|record| record.items.clone());
    let places = Places::new(root, config, record, asked)?;
    let mut found = Found::default();
    let mut changes = Vec::new();
    if let Some(cold) = &mut config.data.cold {
        cold.ids = places.held_out(&cold.ids);
    }
    let cold = config.data.cold.clone();
    let hash_of = |dir: &Path| -> Result<String, String> {
        let manifest = artefact::read_manifest(dir, data::disk::KIND, data::disk::SCHEMA).map_err(reason)?;
        let Some(cold) = &cold else { return Ok(manifest.content_hash()) };
        let mut dataset = Dataset::open(dir).map_err(|e| e.to_string())?;
        dataset.hold_out(cold).map_err(|e| e.to_string())?;
        Ok(dataset.hash)
    };
    let Some(named) = config.data.path.clone() else { return Err(SystemError::NoData.into()) };
    let wanted = Some(parents.dataset.as_str()).filter(|hash| !hash.is_empty());
    let Choice { path: dataset, hash, passed_over } =
        Places::choose(places.dataset(&named), wanted, &hash_of);
    found.pass_over(&What::Dataset, &dataset, passed_over.as_deref());
    judge(&What::Dataset, &dataset, wanted, hash, &mut found, &mut changes);
    config.data.path = Some(dataset.clone());
    let has_ids = config.model.views.iter().any(|view| view.kind.has_table());
    if asked.accept_changed && has_ids && !changes.is_empty() {
        let there = Dataset::open(&dataset).ok().map(|dataset| item_ids_hash(&dataset.items.ids));
        match (&items, there) {
            (Some(then), Some(now)) if *then != now => {
                return Err(InputsError::OtherItems { run: root.to_owned(), data: dataset });
            }
            (None, Some(_)) => found.unchecked.push("the order of the items".into()),
            _ => {}
        }
    }

    let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
    for view in config.model.views.clone().iter().filter(|view| view.kind.reads_features()) {
        let name = view.store();
        let what = What::Features(view.name.clone());
        let wanted = parents.features.get(&view.name).map(String::as_str);
        let default = feature_dir(&dataset, name);
        let candidates = match (seen.get(name), config.data.features.get(name)) {
            (Some(place), _) => vec![place.clone()],
            (None, Some(listed)) => places.features(&view.name, listed, &dataset, default.clone()),
            (None, None) => vec![default.clone()],
        };
        let Choice { path: dir, hash, passed_over } =
            Places::choose(candidates, wanted.map(stem), &store_hash);
        found.pass_over(&what, &dir, passed_over.as_deref());
        if judge(&what, &dir, wanted, hash, &mut found, &mut changes)
            && !seen.contains_key(name)
            && let Err(e) = artefact::verify(&dir, features::KIND, features::SCHEMA_VERSION)
        {
            changes.push(Change { what, path: dir.clone(), fault: Fault::Damaged(reason(e)) });
        }
        if dir != default || config.data.features.contains_key(name) {
            config.data.features.insert(name.to_owned(), dir.clone());
        }
        seen.insert(name.to_owned(), dir);
    }
    for teacher in config.objective.distill.teachers.iter().filter(|_| asked.trains) {
        let what = What::Teacher(teacher.name.clone());
        let wanted = parents.teachers.get(&teacher.name).map(String::as_str);
        let candidates = places.teacher(&teacher.name, &teacher.run);
        let Choice { path: run, hash, passed_over } =
            Places::choose(candidates, wanted, &|dir| teacher_hash(dir, wanted));
        found.pass_over(&what, &run, passed_over.as_deref());
        let taught = wanted.filter(|wanted| hash.as_deref() == Ok(wanted)).map(str::to_owned);
        judge(&what, &run, wanted, hash, &mut found, &mut changes);
        found.teachers.insert(teacher.name.clone(), TeacherPlace { run, taught });
    }
    let absent = changes.iter().any(|change| matches!(change.fault, Fault::Absent(_)));
    if !changes.is_empty() && (absent || !asked.accept_changed) {
        return Err(InputsError::Changed { run: root.to_owned(), changes });
    }
    found.accepted = changes;
    Ok(found)
}

/// Where the data set of a run seems to lie, whatever it holds now.
pub fn dataset_dir(run: &RunDir, config: &Config) -> Option<PathBuf> {
    let named = config.data.path.as_ref()?;
    let record = Inputs::read(run).ok()?;
    let places = Places::new(&run.root, config, record, &Asked::default()).ok()?;
    places.dataset(named).into_iter().find(|path| path.join(artefact::MANIFEST).is_file())
}

/// Compares one input; false where there is nothing to look into further.
fn judge(
    what: &What,
    path: &Path,
    wanted: Option<&str>,
    hash: Result<String, String>,
    found: &mut Found,
    changes: &mut Vec<Change>,
) -> bool {
    let mut change = |fault| changes.push(Change { what: what.clone(), path: path.to_owned(), fault });
    match (hash, wanted) {
        (Err(reason), _) => {
            change(Fault::Absent(reason));
            return false;
        }
        (Ok(_), None) => found.unchecked.push(format!("{what} ({})", path.display())),
        (Ok(hash), Some(wanted)) if hash != stem(wanted) => {
            change(Fault::Other { recorded: wanted.to_owned(), found: hash });
        }
        (Ok(_), Some(_)) => {}
    }
    true
}

/// Of the checkpoint that would teach: the one that taught before while the run keeps it, though a training on may have
/// made another the best.
fn teacher_hash(dir: &Path, wanted: Option<&str>) -> Result<String, String> {
    let run = RunDir::new(dir);
    if let Some(wanted) = wanted.filter(|wanted| run.kept(wanted).is_some()) {
        return Ok(wanted.to_owned());
    }
    let best = run.checkpoint(&Which::Best);
    best.map(|(_, checkpoint)| checkpoint.hash).map_err(|e| e.to_string())
}

fn store_hash(dir: &Path) -> Result<String, String> {
    let manifest = artefact::read_manifest(dir, features::KIND, features::SCHEMA_VERSION);
    manifest.map(|manifest| manifest.content_hash()).map_err(reason)
}

/// A store's own hash: a declared replacement of its features is part of the configuration.
fn stem(hash: &str) -> &str {
    hash.split('+').next().unwrap_or(hash)
}

/// An artefact's error without the path, which stands beside it.
fn reason(e: ArtefactError) -> String {
    match e {
        ArtefactError::NotAnArtefact { reason, .. } => reason,
        ArtefactError::Damaged { path, reason } => {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            format!("{name}: {reason}")
        }
        ArtefactError::Io { path, source } => {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            format!("{name}: {source}")
        }
        other @ (ArtefactError::Exists(_) | ArtefactError::Inside { .. }) => other.to_string(),
    }
}

/// Opens what a run was trained on: [`resolve`], then [`Setup::open`]. Checkpoints that are written from the setup name its
/// inputs as `config` does.
///
/// # Errors
/// As [`resolve`] and [`Setup::open`].
pub fn open(
    root: &Path,
    mut config: Config,
    parents: &Parents,
    asked: &Asked,
    device: &Device,
) -> Result<(Setup, Found), InputsError> {
    let named: DataConfig = config.data.clone();
    let found = resolve(root, &mut config, parents, asked)?;
    let mut setup = Setup::open(config, device)?;
    setup.named = named;
    setup.accepted = found.accepted.iter().map(ToString::to_string).collect();
    setup.accepts_changed = asked.accept_changed;
    setup.run = Some(root.to_owned());
    setup.teachers.clone_from(&found.teachers);
    Ok((setup, found))
}

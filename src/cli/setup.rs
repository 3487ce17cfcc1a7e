//! From a configuration or a run directory to ready objects.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tempfile::TempDir;

use super::{Failure, Terminal};
use codistill::config::{
    Config, ConfigError, Dropped, Loaded, RECOMMENDED_NAME, RunConfig, SynthConfig, load, load_on,
    load_recommended,
};
use codistill::data::Part;
use codistill::device::{self, Opened};
use codistill::lock::DirLock;
use codistill::model::Recommender;
use codistill::run::{OpenOptions, Protocol, Run, data};
use codistill::systems::{self, AnySystem, CoDistill, Fitted};
use codistill::train::checkpoint::Parents;
use codistill::train::inputs::{self, Asked};
use codistill::train::run_dir::{RunDir, Which};
use codistill::train::setup::absent_views;

/// A configuration with its sets; on the data set `data` where that is given, and then without the views that it has
/// no features of, which is told. A configuration alone is taken by its word; without one it is the recommended one.
pub fn load_config(
    path: Option<&Path>,
    sets: &[String],
    data: Option<&Path>,
    terminal: &Terminal,
) -> Result<Loaded, Failure> {
    let (Some(data), name) = (data, path.unwrap_or(Path::new(RECOMMENDED_NAME))) else {
        // Clap requires one of them.
        return Ok(load(path.unwrap_or(Path::new("")), sets)?);
    };
    let mut loaded = match path {
        Some(path) => load_on(path, sets, data)?,
        None => load_recommended(sets, data)?,
    };
    drop_absent_views(&mut loaded, name, data, terminal)?;
    Ok(loaded)
}

/// Takes away the views that the data set has no features of, and says so; `name` is the configuration's.
fn drop_absent_views(
    loaded: &mut Loaded,
    name: &Path,
    data: &Path,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let absent = absent_views(&loaded.config)?;
    let stores: Vec<(String, String)> = absent
        .iter()
        .filter_map(|name| loaded.config.model.views.iter().find(|view| view.name == *name))
        .map(|view| (view.name.clone(), features_command(data, view.store())))
        .collect();
    let dropped = loaded.drop_views(&absent).map_err(|e| match e {
        ConfigError::NothingLeft { views } => Failure::user(
            format!(
                "{} has no features of {}, and without them {} has no branch",
                data.display(),
                views.join(", "),
                name.display()
            ),
            stores.first().map_or_else(String::new, |(_, command)| format!("`{command}` makes some")),
        ),
        other => other.into(),
    })?;
    for (view, command) in &stores {
        let data = data.display();
        terminal.warn(format!("dropped {view}: {data} has no features of that view; `{command}` makes them"));
    }
    if let Some(rest) = rest_of(&dropped) {
        terminal.say(format!("left out with {}: {rest}", dropped.views.join(" and ")));
    }
    for (key, value) in &dropped.changed {
        terminal.say(format!("{key} is now {value}"));
    }
    Ok(())
}

/// What went with the views, in words.
fn rest_of(dropped: &Dropped) -> Option<String> {
    let listed =
        |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")));
    let parts = [
        listed("branch", &dropped.branches),
        listed("distillation", &dropped.pairs),
        listed("teacher", &dropped.teachers),
        dropped.tower.then(|| "the tower, which has IDs alone to read".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The command that makes the feature store `name` of a data set.
fn features_command(data: &Path, name: &str) -> String {
    let data = data.display();
    let modality = ["text", "image"].into_iter().find(|modality| name.starts_with(modality));
    match modality {
        Some(modality) => {
            // Texts have an encoder that needs no download.
            let encoder = if modality == "image" { " --encoder MODEL" } else { "" };
            let view = if modality == name { String::new() } else { format!(" --view {name}") };
            format!("codistill features encode {data} --modality {modality}{view}{encoder}")
        }
        None => format!("codistill features import {data} --view {name} --matrix FILE --ids FILE"),
    }
}

/// Makes sure that `config.data.path` is set, generating the data set that the configuration describes.
pub fn ensure_data(config: &mut Config, terminal: &Terminal) -> Result<(), Failure> {
    data::generate(config, &mut |world| tell_generated(world, terminal))?;
    Ok(())
}

/// As [`ensure_data`], but what is generated goes with the folder that is returned.
pub fn borrow_data(config: &mut Config, terminal: &Terminal) -> Result<Option<TempDir>, Failure> {
    Ok(data::borrow(config, &mut |world| tell_generated(world, terminal))?)
}

/// Says that a data set is about to be generated.
pub fn tell_generated(world: &SynthConfig, terminal: &Terminal) {
    terminal.say(format!("generating {} users x {} items with planted truth", world.users, world.items));
}

/// Says that a run could not have the name it asked for, and which is which: whoever types the old name next means
/// this run and gets the older one.
pub fn tell_taken(run: &RunDir, asked: &RunConfig, terminal: &Terminal) -> bool {
    let wanted = asked.dir.join(&asked.name);
    let taken = run.root != wanted;
    if taken {
        let (old, new) = (wanted.display(), run.root.display());
        terminal.warn(format!(
            "{old} is an older run, which `codistill train --resume {old}` goes on with; this one is {new}"
        ));
    }
    taken
}

/// Says before a training what it can't learn from its data, or be judged by.
pub fn tell_data(system: &dyn AnySystem, terminal: &Terminal) {
    let notices = systems::notices(system);
    notices.warnings.iter().for_each(|warning| terminal.warn(warning));
    notices.notes.iter().for_each(|note| terminal.say(format!("note: {note}")));
}

/// Opens a device by its flag; Burn's own default follows it, which optimiser records would otherwise ignore.
pub fn open_device(flag: &str, terminal: &Terminal) -> Result<Opened, Failure> {
    let opened = device::open(flag)?;
    terminal.detail(format!("device {}: {}", opened.flag, opened.name));
    Ok(opened)
}

/// Where the inputs of a run are, and what to do where they changed.
#[derive(Clone, Debug, Default, Args)]
pub struct InputArgs {
    /// Dataset directory, if it has moved.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Go on where the data set or the features are not those that the run was trained on.
    #[arg(long)]
    accept_changed: bool,
}

impl InputArgs {
    /// Where the data set lies, if that was said.
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    pub fn accepts_changed(&self) -> bool {
        self.accept_changed
    }

    pub fn asked(&self) -> Asked {
        Asked { data: self.data.clone(), accept_changed: self.accept_changed, ..Asked::default() }
    }
}

/// A run of the program's own system, opened for use.
pub struct Trained {
    pub run: Run,
}

impl Trained {
    fn fitted(&self) -> &Fitted<CoDistill> {
        self.run.codistill().expect("its system was looked at when it was opened")
    }

    pub fn system(&self) -> &CoDistill {
        &self.fitted().system
    }

    /// The plain model with the checkpoint's weights.
    pub fn model(&self) -> &Recommender {
        &self.fitted().model
    }
}

/// Opens a run directory at the chosen checkpoint, with the inputs that it was trained on.
pub fn open_any_run(
    root: &Path,
    which: &Which,
    inputs: &InputArgs,
    device: &str,
    protocol: &Protocol,
    terminal: &Terminal,
) -> Result<Run, Failure> {
    let options = OpenOptions {
        checkpoint: which.clone(),
        inputs: inputs.asked(),
        device: device.to_owned(),
        protocol: protocol.clone(),
    };
    let run = Run::open(root, &options)?;
    terminal.detail(format!("device {}: {}", run.device.flag, run.device.name));
    tell_inputs(&run.found, terminal);
    Ok(run)
}

/// [`open_any_run`] of a run whose items and users have vectors.
pub fn open_run(
    root: &Path,
    which: &Which,
    inputs: &InputArgs,
    device: &str,
    terminal: &Terminal,
) -> Result<Trained, Failure> {
    let run = open_any_run(root, which, inputs, device, &Protocol::default(), terminal)?;
    run.codistill()?;
    Ok(Trained { run })
}

/// Opens the system of the run at `root` on what it was trained on, to go on with its training, and tells what was
/// accepted or can't be checked.
pub fn open_inputs(
    root: &Path,
    config: Config,
    parents: &Parents,
    asked: &Asked,
    device: &Opened,
    terminal: &Terminal,
) -> Result<Arc<dyn AnySystem>, Failure> {
    let (setup, found) = inputs::open(root, config, parents, asked, &device.device)?;
    let system = systems::open(setup)?;
    tell_inputs(&found, terminal);
    Ok(system)
}

/// What was accepted or can't be checked.
pub fn tell_inputs(found: &inputs::Found, terminal: &Terminal) {
    found.warnings().iter().for_each(|warning| terminal.warn(warning));
    found.notes().iter().for_each(|note| terminal.say(format!("note: {note}")));
}

/// Locks a directory that `command` is about to change, waiting at most `patience` for another one to end.
pub fn lock(dir: &Path, command: &str, patience: Duration, terminal: &Terminal) -> Result<DirLock, Failure> {
    let lock = DirLock::take_within(dir, command, patience)?;
    if let Some(warning) = lock.warning() {
        terminal.warn(warning);
    }
    Ok(lock)
}

/// `valid` or `test`.
pub fn parse_part(text: &str) -> Result<Part, String> {
    match text {
        "valid" => Ok(Part::Valid),
        "test" => Ok(Part::Test),
        _ => Err("use valid or test".into()),
    }
}

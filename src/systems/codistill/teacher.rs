//! A finished run as a teacher: frozen, with the scores that `recommend` and `evaluate` have for it.
//!
//! Its catalogue is encoded once. Its user encoders read the histories of a batch as they read those of its own
//! training: a window in one pass, so that the vector at a row has seen the window up to there, and positions are counted
//! from the window's end.
//!
//! Shapes: `I` items, `U` items of a batch, `R` rows, `B` windows and `S` positions of a group, `D` width.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Tensor;

use super::batch::Batch;
use super::views;
use crate::config::{Config, TeacherConfig};
use crate::model::Recommender;
use crate::nn::Init;
use crate::objective::kernels::drawn::drawn_scores;
use crate::ops::Noise;
use crate::ops::lookup::lookup;
use crate::recommend::CatalogueVectors;
use crate::systems::config::OWN;
use crate::train::changes::short;
use crate::train::checkpoint::{self, Checkpoint, CheckpointError};
use crate::train::inputs::{self, Asked, Change, InputsError};
use crate::train::run_dir::{RunDir, Which};
use crate::train::setup::{Setup, SystemError};
use crate::train::system::TeacherRun;

/// Histories of a batch are padded in at most so many groups of similar length, as those of a list are.
const LENGTH_GROUPS: usize = 4;
/// What can be a teacher at all.
const ADVICE: &str =
    "give the directory of a finished run, e.g. checkpoints/NAME, from the current directory";

/// A trained model that teaches and never learns.
pub struct Teacher {
    pub run: TeacherRun,
    /// Inputs that are not those of its own training, and were accepted.
    accepted: Vec<Change>,
    /// On the plain device.
    model: Recommender,
    vectors: CatalogueVectors,
}

/// Why a run can't teach, and what can be done about it.
struct Refusal {
    reason: String,
    hint: String,
    /// Other values of the student's configuration would do.
    is_of_settings: bool,
}

impl Refusal {
    fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: hint.into(), is_of_settings: false }
    }

    /// As the error of the entry `n` of the list of teachers, which leads to `dir`.
    fn into_error(self, n: usize, dir: &Path) -> SystemError {
        let Self { reason, hint, is_of_settings } = self;
        let key = format!("objective.distill.teachers.{n}.run");
        let reason = format!("names {}, {reason}", dir.display());
        if is_of_settings {
            SystemError::Settings { key, reason, hint: Some(hint) }
        } else {
            SystemError::Teacher { key, reason, hint }
        }
    }
}

impl Teacher {
    /// All teachers of a configuration, in its order.
    ///
    /// # Errors
    /// One is no finished run of this system on the data set of `setup`, its features are not those of its training, or
    /// it reads shorter histories. Other data and features are accepted where those of the student are.
    pub fn open_all(setup: &Setup) -> Result<Vec<Self>, SystemError> {
        let listed = setup.config.objective.distill.teachers.iter().enumerate();
        let opened = listed.map(|(n, teacher)| {
            let place = setup.teachers.get(&teacher.name);
            let dir = place.map_or(&teacher.run, |place| &place.run);
            let taught = place.and_then(|place| place.taught.as_deref());
            Self::open(setup, teacher, dir, taught).map_err(|refusal| refusal.into_error(n, dir))
        });
        opened.collect()
    }

    fn open(
        setup: &Setup,
        teacher: &TeacherConfig,
        dir: &Path,
        taught: Option<&str>,
    ) -> Result<Self, Refusal> {
        let (path, checkpoint) = chosen(dir, taught)?;
        check_system(&checkpoint.config)?;
        check_data(setup, &checkpoint, dir)?;
        check_parts(setup, &checkpoint.config)?;
        check_positions(setup, &checkpoint.config)?;
        let spoilt = |reason: String| {
            Refusal::new(
                format!("whose inputs are not those of its training: {reason}"),
                "put back what the teacher was trained on, or train it anew",
            )
        };
        let (config, accepted) = resolved(setup, &checkpoint, dir).map_err(|e| spoilt(e.to_string()))?;
        let (views, shape) = views::open(&config, &setup.dataset).map_err(|e| spoilt(e.to_string()))?;
        let mut init = Init::new(0, &setup.device.clone().autodiff());
        // Every parameter takes the checkpoint's value, whatever a table started from.
        let fresh =
            Recommender::new(&config.model, &config.train.savings, &shape, &|_| Vec::new(), &mut init);
        let model = checkpoint
            .restore(&path, fresh)
            .map_err(|e| Refusal::new(format!("whose weights can't be used: {e}"), "train it anew"))?
            .valid();
        let run = TeacherRun {
            name: teacher.name.clone(),
            run: dir.to_owned(),
            step: checkpoint.state.step,
            hash: checkpoint.hash,
        };
        let batch = config.eval.item_batch;
        let vectors = CatalogueVectors::encode(&model, &views, shape.items, batch, &setup.device);
        Ok(Self { accepted, ..Self::new(run, model, vectors) })
    }

    /// A teacher out of a model on the plain device and its item vectors.
    pub fn new(run: TeacherRun, model: Recommender, vectors: CatalogueVectors) -> Self {
        Self { run, accepted: Vec::new(), model, vectors }
    }

    /// What to warn of, a line each.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        let name = &self.run.name;
        self.accepted.iter().map(move |change| {
            format!("the teacher `{name}` scores with other inputs than it was trained on: {change}")
        })
    }

    /// Scores of the rows' candidates: the mean of the branches' dot products, `[R, U]` with all items of the batch or
    /// `[R, 1 + K]` with the drawn ones. On the plain device, without noise.
    ///
    /// # Panics
    /// Never: a model has a branch.
    pub fn scores(&self, batch: &Batch) -> Tensor<2> {
        let histories = &batch.histories;
        let padded = histories.padded(self.model.group_windows(&histories.lengths(), LENGTH_GROUPS));
        let rows = histories.rows(&padded);
        let branches = self.vectors.branches.iter().enumerate().map(|(branch, items_vd)| {
            let items_ud = lookup(items_vd.clone(), &batch.block.items);
            let users_rd = self.model.encode_histories(branch, &items_ud, &padded, &rows, &mut Noise::off());
            match &batch.drawn {
                Some(drawn) => drawn_scores(users_rd, items_ud, drawn),
                None => users_rd.matmul(items_ud.transpose()),
            }
        });
        let count = self.vectors.branches.len();
        let sum = branches.reduce(|sum, scores| sum + scores).expect("a model has a branch");
        if count > 1 { sum / count as f64 } else { sum }
    }

    /// Numbers that it keeps in memory.
    pub fn entries(&self) -> u64 {
        let vectors = self.vectors.branches.iter().map(|x_vd| x_vd.shape().num_elements()).sum::<usize>();
        (vectors + self.model.num_params()) as u64
    }
}

/// The configuration of a teacher with its inputs where they lie: where its own run knows them, or with the student's data
/// set. Others are taken where the student's own may be others.
fn resolved(
    setup: &Setup,
    checkpoint: &Checkpoint,
    dir: &Path,
) -> Result<(Config, Vec<Change>), InputsError> {
    let seek = |asked: &Asked| {
        let mut config = checkpoint.config.clone();
        let found = inputs::resolve(dir, &mut config, &checkpoint.parents, asked)?;
        Ok((config, found.accepted))
    };
    let here = Asked { data: setup.config.data.path.clone(), ..Asked::default() };
    let is_ours = checkpoint.parents.dataset == setup.dataset.hash;
    let own = if is_ours { seek(&Asked::default()) } else { seek(&here) };
    let found = own.or_else(|own: InputsError| {
        // Of two places that lack something, ours is the one that can be mended.
        seek(&here).map_err(|ours| if own.is_absence() { ours } else { own })
    });
    match found {
        Err(_) if setup.accepts_changed => seek(&Asked { accept_changed: true, ..here }),
        found => found,
    }
}

/// The checkpoint with the content hash `taught`, whatever became of its run since; without one the best of a run whose
/// training has ended, or of an imported one.
fn chosen(dir: &Path, taught: Option<&str>) -> Result<(PathBuf, Checkpoint), Refusal> {
    let run = RunDir::new(dir);
    let damaged = |e: CheckpointError| {
        let hint = e.hint().unwrap_or_else(|| "train it anew".into());
        Refusal::new(format!("which can't be read: {e}"), hint)
    };
    if let Some(path) = taught.and_then(|hash| run.kept(hash)) {
        return Ok((path.clone(), checkpoint::load(&path).map_err(damaged)?));
    }
    if !dir.exists() {
        return Err(Refusal::new("which does not exist", ADVICE));
    }
    if !run.config().is_file() {
        return Err(Refusal::new("which is no run: it has no config.toml", ADVICE));
    }
    let unfinished = |how: String| {
        let hint = format!("let it end: codistill train --resume {}", dir.display());
        Refusal::new(format!("whose training has not ended: {how}"), hint)
    };
    if checkpoint::list(&run.steps()).is_empty() {
        return Err(unfinished("it has no checkpoint yet".into()));
    }
    let (_, last, _) = run.latest().map_err(damaged)?;
    if !last.state.finished && !last.state.is_imported() {
        return Err(unfinished(format!("its newest checkpoint is of epoch {}", last.state.epoch)));
    }
    run.checkpoint(&Which::Best).map_err(damaged)
}

fn check_system(config: &Config) -> Result<(), Refusal> {
    if config.system.reads_model() {
        return Ok(());
    }
    let reason = format!("a run of the system `{}`, which has no item and user vectors", config.system.kind);
    Err(Refusal::new(reason, format!("a teacher is a run of the system `{OWN}`")))
}

fn check_data(setup: &Setup, checkpoint: &Checkpoint, dir: &Path) -> Result<(), Refusal> {
    let (theirs, ours) = (&checkpoint.parents.dataset, &setup.dataset.hash);
    if theirs == ours {
        return Ok(());
    }
    if setup.accepts_changed && !theirs.is_empty() {
        return Ok(());
    }
    if theirs.is_empty() {
        let reason = "which does not record what data set it was trained on";
        return Err(Refusal::new(reason, "train it anew: an older program made it"));
    }
    let recorded = inputs::Inputs::read(&RunDir::new(dir)).ok().flatten().map(|inputs| inputs.dataset.path);
    let at = recorded.or_else(|| checkpoint.config.data.path.clone()).unwrap_or_default();
    let own = setup.config.data.path.clone().unwrap_or_default();
    let reason = format!(
        "which was trained on another data set: {} ({}), and here it is {} ({})",
        short(theirs),
        at.display(),
        short(ours),
        own.display()
    );
    let held_out = if checkpoint.config.data.cold == setup.config.data.cold {
        String::new()
    } else {
        "; items that data.cold holds out make another data set too".into()
    };
    let hint =
        format!("train the teacher on {}, or its student on the teacher's data set{held_out}", own.display());
    Err(Refusal::new(reason, hint))
}

/// What a teacher has seen of the items that choose and measure its student, the student learns from it.
fn check_parts(setup: &Setup, config: &Config) -> Result<(), Refusal> {
    let (theirs, ours) = (config.data.train_parts, setup.config.data.train_parts);
    if !theirs.exceeds(ours) {
        return Ok(());
    }
    let reason = format!(
        "which was trained on \"{}\", and here data.train_parts is \"{}\": it would teach items that are to be foretold",
        theirs.word(),
        ours.word()
    );
    let hint = format!("name the run that it was refit from, or set data.train_parts={} here", theirs.word());
    Err(Refusal { is_of_settings: true, ..Refusal::new(reason, hint) })
}

/// Whatever its encoders are, a model was trained on histories of so many items and makes its lists by them. A window is
/// encoded in one pass, which can't be cut for each of its rows: those behind would be read as the model never reads.
fn check_positions(setup: &Setup, config: &Config) -> Result<(), Refusal> {
    let (theirs, ours) = (config.data.max_seq_len, setup.config.data.max_seq_len);
    if theirs >= ours {
        return Ok(());
    }
    let reason = format!(
        "which never reads more than histories of up to {theirs} items, and here data.max_seq_len is {ours}"
    );
    let hint = format!("set data.max_seq_len={theirs} here, or train the teacher with {ours} or more");
    Err(Refusal { is_of_settings: true, ..Refusal::new(reason, hint) })
}

//! Who trains a cell: this process, another one, or another machine.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::StudyError;
use super::cell::Cell;
use crate::artefact::io_error;
use crate::lock::is_held;

/// How long a training may take to save after an interruption.
const GRACE: Duration = Duration::from_mins(1);
pub(super) const POLL: Duration = Duration::from_millis(50);

/// A cell that is to be trained.
pub struct Job<'a> {
    /// Its [`Cell::config`] is the configuration, its [`Cell::dir`] the run directory, which does not exist unless the
    /// training is resumed.
    pub cell: &'a Cell,
    /// The run directory has checkpoints, and the training goes on from the newest.
    pub resume: bool,
    /// Most trainings that run at one time, for those who share out threads.
    pub jobs: usize,
    /// Once it is set the training is to save and return [`Ended::Interrupted`] soon.
    pub stop: &'a AtomicBool,
}

/// How a training ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The run directory holds its report.
    Trained,
    /// It was asked to stop, and saved.
    Interrupted,
    /// It was asked to stop, took too long and was ended. Its checkpoints are whole.
    Overdue,
    /// It was killed by somebody else. Its checkpoints are whole.
    Killed,
    /// Another training has the run directory; the message says which.
    Held(String),
    /// It failed, and would fail again; with the reason.
    Failed(String),
}

/// Trains the cells of a study, several at one time from as many threads.
///
/// Every function of this signature is a launcher, so that a program can train in its own process.
pub trait Launcher: Sync {
    /// Trains one cell to its end; a run directory with a `report.json` and the rows of the test part is left behind.
    ///
    /// Where [`Job::resume`] is set, the run in [`Cell::dir`] is to be gone on with ([`crate::run::train`] says how), or
    /// [`Ended::Failed`] to be returned: [`crate::run::train`] itself would begin a second run beside it, `<cell>-2`, of
    /// which the study knows nothing.
    ///
    /// # Errors
    /// The training can't be started. That ends the study, other than [`Ended::Failed`].
    fn train(&self, job: &Job<'_>) -> Result<Ended, StudyError>;
}

impl<F: Fn(&Job<'_>) -> Result<Ended, StudyError> + Sync> Launcher for F {
    fn train(&self, job: &Job<'_>) -> Result<Ended, StudyError> {
        self(job)
    }
}

/// Trains every cell by a process of the program `codistill`.
#[derive(Clone, Debug)]
pub struct Processes {
    /// The program.
    pub program: PathBuf,
    /// Instead of the configuration's device.
    pub device: Option<String>,
}

impl Launcher for Processes {
    fn train(&self, job: &Job<'_>) -> Result<Ended, StudyError> {
        let Job { cell, stop, .. } = *job;
        let mut process = self.spawn(job)?;
        // Closed, it asks the training to save and leave; it closes by itself when this process ends.
        let mut leash = process.stdin.take();
        let mut asked = None;
        loop {
            if let Some(status) = process.try_wait().map_err(io_error(&cell.dir))? {
                return Ok(ended(status, cell));
            }
            if asked.is_none() && stop.load(Ordering::SeqCst) {
                drop(leash.take());
                asked = Some(Instant::now());
            }
            if asked.is_some_and(|asked| asked.elapsed() > GRACE) {
                // What is wanted is that it has ended; it may have done so by now.
                let _ = process.kill();
                let _ = process.wait();
                return Ok(Ended::Overdue);
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Processes {
    fn spawn(&self, job: &Job<'_>) -> Result<Child, StudyError> {
        let cell = job.cell;
        let mut command = Command::new(&self.program);
        // Not --quiet: the log must hold what a training warns of.
        command.args(["train", "--no-progress", "--stop-with-stdin"]);
        if job.resume {
            command.arg("--resume").arg(&cell.dir);
        } else {
            command.arg(cell.write_config()?);
        }
        if let Some(device) = &self.device {
            command.args(["--device", device]);
        }
        if let Some(threads) = threads(job.jobs) {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let path = cell.log_path();
        let log = OpenOptions::new().create(true).append(true).open(&path).map_err(io_error(&path))?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        Ok(command.spawn().map_err(io_error(&self.program))?)
    }
}

/// CPU threads of each of `jobs` trainings; none to leave it to them.
fn threads(jobs: usize) -> Option<usize> {
    let free = jobs > 1 && std::env::var_os("RAYON_NUM_THREADS").is_none();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    free.then(|| (cores / jobs).max(1))
}

/// What the exit status of `codistill train` means.
fn ended(status: ExitStatus, cell: &Cell) -> Ended {
    match status.code() {
        Some(0) => Ended::Trained,
        Some(4) => Ended::Interrupted,
        // Nothing is wrong with the cell: another training has it.
        Some(1) if is_held(&cell.dir) => Ended::Held(last_error(cell)),
        Some(_) => Ended::Failed(last_error(cell)),
        None => Ended::Killed,
    }
}

/// What a failed training said last.
fn last_error(cell: &Cell) -> String {
    let text = fs::read_to_string(cell.log_path()).unwrap_or_default();
    let last = text.lines().rev().find_map(|line| line.strip_prefix("error: "));
    last.map_or_else(|| format!("it left no message, see {}", cell.log_path().display()), str::to_owned)
}

//! The trainings of a study, a process each.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Exit, Failure, Terminal};
use crate::ablate::{Cell, State};
use crate::lock::is_held;

/// How long trainings may take to save after an interruption.
const GRACE: Duration = Duration::from_mins(1);
pub(super) const POLL: Duration = Duration::from_millis(50);

/// CPU threads of each of `jobs` trainings; none to leave it to them.
fn threads(jobs: usize) -> Option<usize> {
    let free = jobs > 1 && std::env::var_os("RAYON_NUM_THREADS").is_none();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    free.then(|| (cores / jobs).max(1))
}

/// Trainings that run.
pub(super) struct Crew<'a> {
    running: Vec<Training<'a>>,
    threads: Option<usize>,
    done: usize,
    total: usize,
}

struct Training<'a> {
    cell: &'a Cell,
    process: Child,
    /// Closed, it asks the training to save and leave; it closes by itself when this process ends.
    leash: Option<ChildStdin>,
    since: Instant,
}

impl<'a> Crew<'a> {
    /// `total` trainings, `jobs` at one time.
    pub fn new(jobs: usize, total: usize) -> Self {
        Self { running: Vec::new(), threads: threads(jobs), done: 0, total }
    }

    /// Trainings that run now.
    pub fn busy(&self) -> usize {
        self.running.len()
    }

    /// Begins a training, or goes on with it.
    pub fn start(
        &mut self,
        cell: &'a Cell,
        state: &State,
        device: Option<&str>,
        terminal: &Terminal,
    ) -> Result<(), Failure> {
        let program = std::env::current_exe().map_err(|e| Failure::io(&PathBuf::from("codistill"), &e))?;
        let mut command = Command::new(program);
        // Not --quiet: the log must hold what a training warns of.
        command.args(["train", "--no-progress", "--stop-with-stdin"]);
        if *state == State::Unfinished {
            command.arg("--resume").arg(&cell.dir);
        } else {
            // An empty folder would make the training choose another name.
            let _ = fs::remove_dir(&cell.dir);
            if cell.dir.exists() {
                return Err(Failure::user(
                    format!("{} is in the way: it is no run", cell.dir.display()),
                    "move it elsewhere",
                ));
            }
            command.arg(cell.write_config()?);
        }
        if let Some(device) = device {
            command.args(["--device", device]);
        }
        if let Some(threads) = self.threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let path = cell.log_path();
        let log =
            OpenOptions::new().create(true).append(true).open(&path).map_err(|e| Failure::io(&path, &e))?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let mut process = command.spawn().map_err(|e| Failure::io(&path, &e))?;
        let leash = process.stdin.take();
        let word = if *state == State::Unfinished { "going on" } else { "training" };
        terminal.detail(format!("{}: {word}", cell.name()));
        self.running.push(Training { cell, process, leash, since: Instant::now() });
        Ok(())
    }

    /// Takes in the trainings that have ended; [`Exit::Interrupted`] if one was.
    pub fn collect(&mut self, terminal: &Terminal) -> Result<Exit, Failure> {
        let mut interrupted = Exit::Done;
        let mut place = 0;
        while place < self.running.len() {
            let path = self.running[place].cell.dir.clone();
            let Some(status) = self.running[place].process.try_wait().map_err(|e| Failure::io(&path, &e))?
            else {
                place += 1;
                continue;
            };
            let ended = self.running.swap_remove(place);
            let (name, seconds) = (ended.cell.name(), ended.since.elapsed().as_secs_f64());
            self.done += 1;
            let count = format!("{}/{}", self.done, self.total);
            match status.code() {
                Some(0) => terminal.say(format!("{count} {name}: trained in {seconds:.0} s")),
                Some(4) => interrupted = Exit::Interrupted,
                // Nothing is wrong with the cell: another training has it.
                Some(1) if is_held(&path) => {
                    terminal.warn(format!("{count} {name} is left: {}", last_error(ended.cell)));
                }
                Some(_) => {
                    let reason = last_error(ended.cell);
                    terminal.warn(format!("{count} {name} FAILED: {reason}"));
                    ended.cell.write_failure(&reason)?;
                }
                None => {
                    terminal
                        .warn(format!("{count} {name} was killed; it goes on when the study is run again"));
                }
            }
        }
        Ok(interrupted)
    }

    /// Lets every training save and leave; those that take too long are ended, their checkpoints are whole.
    pub fn dismiss(&mut self, terminal: &Terminal) {
        for training in &mut self.running {
            training.leash = None;
        }
        let since = Instant::now();
        while !self.running.is_empty() && since.elapsed() < GRACE {
            self.running.retain_mut(|training| matches!(training.process.try_wait(), Ok(None)));
            std::thread::sleep(POLL);
        }
        for training in &mut self.running {
            terminal.warn(format!("{} takes too long to leave and is ended", training.cell.name()));
            let _ = training.process.kill();
            let _ = training.process.wait();
        }
    }
}

/// What a failed training said last.
fn last_error(cell: &Cell) -> String {
    let text = fs::read_to_string(cell.log_path()).unwrap_or_default();
    let last = text.lines().rev().find_map(|line| line.strip_prefix("error: "));
    last.map_or_else(|| format!("it left no message, see {}", cell.log_path().display()), str::to_owned)
}

//! A study run to its report: what is missing is trained, what needs no training is judged, and all of it is compared.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::across::Model;
use super::cell::{Cell, State};
use super::condition::REFERENCE;
use super::launch::{Ended, Job, Launcher, POLL};
use super::plan::Plan;
use super::report::StudyReport;
use super::{StudyError, gates, knockout};
use crate::artefact::{Makes, io_error, may_make};
use crate::data::Dataset;
use crate::device::{self, Opened};
use crate::lock::DirLock;

/// What is asked of a study this time.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Conditions to train; none: all of them. The report covers what there is.
    pub only: Vec<String>,
    /// Trains failed cells once more.
    pub retry: bool,
    /// Trains nothing, and reports on what there is.
    pub report_only: bool,
}

/// What happens while a study runs.
pub enum Event<'a> {
    /// A condition of the preset is left out, and why.
    Skipped(&'a str),
    /// Something that a reader of the report should know.
    Warning(&'a str),
    /// A cell was complete before.
    Done(&'a Cell),
    /// A cell failed before, and why. It is not trained again.
    Failed(&'a Cell, &'a str),
    Started {
        cell: &'a Cell,
        resumed: bool,
    },
    /// A training came to its end, as the `count`-th of `total`.
    Ended {
        cell: &'a Cell,
        ended: &'a Ended,
        count: usize,
        total: usize,
        after: Duration,
    },
    /// The device on which cells without a training are judged.
    Device(&'a Opened),
    /// A cell without a training was judged, or why it could not be.
    Judged(&'a Cell, Result<(), &'a str>),
    /// A cell without a training can't be judged before another one is trained.
    Waits {
        cell: &'a Cell,
        reference: &'a Cell,
    },
}

/// What a study came to.
pub enum Outcome {
    /// A training was interrupted; the same call goes on.
    Interrupted,
    /// Only a part of the study was asked for, and there is nothing to compare yet.
    NoReport,
    Reported(Box<Reported>),
}

/// A study with its report.
pub struct Reported {
    pub report: StudyReport,
    /// Where the report's pages lie: `study.md`, `study.html`, `study.json`.
    pub root: PathBuf,
    /// The study as a row of a table over several; absent where the full model has no usable run.
    pub model: Option<Model>,
}

/// Runs a study: trials of hyper-parameters first where it draws them, then the cells, then those that are judged
/// without a training, then the report, which is written to the study's directory. What is complete there is not
/// trained again, and what was interrupted goes on.
///
/// `stop` ends the study early; trainings then save. `on_event` is told of everything that happens, from the calling
/// thread.
///
/// # Errors
/// The directory belongs to something else or is in use, a cell lies there that was made with other settings or data,
/// a training can't be started, or there is nothing to compare. A training that fails is no error: its cell is left out
/// of the report and named there.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::atomic::AtomicBool;
///
/// use codistill::ablate::{Ended, Event, Job, Outcome, Plan, Request, Study, run};
///
/// # let home = tempfile::tempdir()?;
/// # let file = home.path().join("study.toml");
/// # let text = std::fs::read_to_string("configs/studies/quickstart.toml")?;
/// # let text = text.replace("users=1000", "users=120").replace("items=600", "items=80").replace("epochs=40", "epochs=1");
/// # let here = format!("seeds = [1]\ndir = {:?}", home.path().join("study"));
/// # let device = format!("set = [\n\"device=cpu\", \"run.dir={}\",", home.path().display());
/// # let text = text.replace("seeds = [1, 2, 3]", &here).replace("set = [", &device);
/// # std::fs::write(&file, text + "\n[gates]\nepoch_limit = \"warn\"\n")?;
/// let study = Study::load(&file)?;
/// let base = study.base()?;
/// let plan = Plan::new(study, base)?;
/// // Trains in this process; [`Processes`](super::Processes) starts the program for each cell.
/// let launcher = |job: &Job<'_>| {
///     // `run::train` begins new runs alone: beside an interrupted one it would make another, which the study does not know.
///     if job.resume {
///         let reason = "it was interrupted, and this program goes on with no run: remove its directory";
///         return Ok(Ended::Failed(reason.into()));
///     }
///     match codistill::run::train(job.cell.config.clone(), job.stop) {
///         Ok(finished) if finished.report.is_some() => Ok(Ended::Trained),
///         Ok(_) => Ok(Ended::Interrupted),
///         Err(e) => Ok(Ended::Failed(e.to_string())),
///     }
/// };
/// let stop = AtomicBool::new(false);
/// let outcome = run(plan, &Request::default(), &launcher, &stop, &mut |event| {
///     if let Event::Ended { cell, ended: Ended::Trained, count, total, .. } = event {
///         println!("{count} of {total}: {}", cell.name());
///     }
/// })?;
/// let Outcome::Reported(reported) = outcome else { panic!("it was stopped") };
/// println!("{}", reported.report.plain());
/// # Ok(())
/// # }
/// ```
pub fn run(
    mut plan: Plan,
    request: &Request,
    launcher: &dyn Launcher,
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Outcome, StudyError> {
    may_make(&plan.root, Makes::Study)?;
    std::fs::create_dir_all(&plan.root).map_err(io_error(&plan.root))?;
    let lock = DirLock::take(&plan.root, "ablate")?;
    if let Some(warning) = lock.warning() {
        on_event(Event::Warning(warning));
    }
    if !request.report_only && !plan.trials.is_empty() {
        let trials = plan.chosen(&plan.trials, &request.only)?;
        if (Training { plan: &plan, request, launcher, stop }).all(&trials, on_event)?.is_break() {
            return Ok(Outcome::Interrupted);
        }
        // The trials say which hyper-parameters the cells have.
        plan = Plan::new(plan.study, plan.base)?;
    }
    plan.skipped.iter().for_each(|reason| on_event(Event::Skipped(reason)));
    let cells = plan.chosen(&plan.cells, &request.only)?;
    if !request.report_only {
        if let Some(warning) = plan.declare_once()? {
            on_event(Event::Warning(&warning));
        }
        if (Training { plan: &plan, request, launcher, stop }).all(&cells, on_event)?.is_break() {
            return Ok(Outcome::Interrupted);
        }
    }
    report(&plan, !request.only.is_empty())
}

/// Judges what there is; `partial` where only a part of the study was asked for.
fn report(plan: &Plan, partial: bool) -> Result<Outcome, StudyError> {
    let mut judged = gates::judge(plan)?;
    let report = match StudyReport::new(plan, &judged) {
        // What was asked for is trained.
        Err(StudyError::NothingToCompare { .. }) if partial => return Ok(Outcome::NoReport),
        other => other?,
    };
    report.write(&plan.root)?;
    let model = Model::new(plan, &mut judged, &report);
    Ok(Outcome::Reported(Box::new(Reported { report, root: plan.root.clone(), model })))
}

/// Passes a message on; failures of cells are written down.
fn heed(
    message: Message<'_>,
    leave: &AtomicBool,
    count: &mut usize,
    total: usize,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<(), StudyError> {
    match message {
        Message::Started { cell, resumed } => on_event(Event::Started { cell, resumed }),
        Message::Ended { cell, ended, after } => {
            *count += 1;
            // Of trainings that were asked to leave, only those that had to be ended are worth a word.
            if leave.load(Ordering::SeqCst) && ended != Ended::Overdue {
                return Ok(());
            }
            on_event(Event::Ended { cell, ended: &ended, count: *count, total, after });
            if let Ended::Failed(reason) = &ended {
                cell.write_failure(reason)?;
            }
        }
        Message::Broken(e) => return Err(e),
    }
    Ok(())
}

/// Whether the study goes on, or was interrupted.
type Flow = std::ops::ControlFlow<()>;

/// Trains cells of a plan.
struct Training<'a> {
    plan: &'a Plan,
    request: &'a Request,
    launcher: &'a dyn Launcher,
    stop: &'a AtomicBool,
}

/// What a thread that trains says.
enum Message<'a> {
    Started {
        cell: &'a Cell,
        resumed: bool,
    },
    Ended {
        cell: &'a Cell,
        ended: Ended,
        after: Duration,
    },
    /// A training can't be started.
    Broken(StudyError),
}

impl<'a> Training<'a> {
    /// Trains what is not complete among `cells`, then judges those without a training.
    fn all(&self, cells: &[&'a Cell], on_event: &mut dyn FnMut(Event<'_>)) -> Result<Flow, StudyError> {
        let dataset = match &self.plan.base.data.path {
            Some(path) => Some(Dataset::open(path)?.hash),
            None => None,
        };
        let mut to_do = VecDeque::new();
        let mut quick = Vec::new();
        for &cell in cells {
            if self.request.retry {
                cell.forget_failure();
            }
            match cell.state(dataset.as_deref())? {
                State::Complete => on_event(Event::Done(cell)),
                State::Failed(reason) => on_event(Event::Failed(cell, &reason)),
                _ if cell.quick => quick.push(cell),
                state => to_do.push_back((cell, state == State::Unfinished)),
            }
        }
        if self.crew(to_do, on_event)?.is_break() {
            return Ok(Flow::Break(()));
        }
        self.judge_quick(&quick, on_event)
    }

    /// Trains the cells of `to_do`, as many at one time as the study says.
    fn crew(
        &self,
        to_do: VecDeque<(&'a Cell, bool)>,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Flow, StudyError> {
        let total = to_do.len();
        let to_do = Mutex::new(to_do);
        // Not the caller's flag: a training that is interrupted by itself ends the others too, and so does one that
        // can't be started.
        let leave = AtomicBool::new(false);
        let (sender, messages) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..self.plan.study.jobs.min(total) {
                let (sender, to_do, leave) = (sender.clone(), &to_do, &leave);
                scope.spawn(move || self.work(to_do, leave, &sender));
            }
            drop(sender);
            let mut count = 0;
            let mut broken = None;
            loop {
                // Also while the threads are at work, so that the caller's flag reaches the trainings soon.
                if self.stop.load(Ordering::SeqCst) {
                    leave.store(true, Ordering::SeqCst);
                }
                let heeded = match messages.recv_timeout(POLL) {
                    Ok(message) => heed(message, &leave, &mut count, total, on_event),
                    Err(RecvTimeoutError::Timeout) => Ok(()),
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                if let Err(e) = heeded {
                    leave.store(true, Ordering::SeqCst);
                    broken.get_or_insert(e);
                }
            }
            match broken {
                Some(e) => Err(e),
                None if leave.load(Ordering::SeqCst) => Ok(Flow::Break(())),
                None => Ok(Flow::Continue(())),
            }
        })
    }

    /// Trains one cell after another, until there are none or `leave` is set.
    fn work(
        &self,
        to_do: &Mutex<VecDeque<(&'a Cell, bool)>>,
        leave: &AtomicBool,
        messages: &Sender<Message<'a>>,
    ) {
        while !leave.load(Ordering::SeqCst) {
            let next = to_do.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((cell, resume)) = next else { return };
            let since = Instant::now();
            // The receiver lives as long as the threads, so that nothing is lost.
            let say = |message| drop(messages.send(message));
            let job = Job { cell, resume, jobs: self.plan.study.jobs, stop: leave };
            say(Message::Started { cell, resumed: resume });
            match cell.make_room(resume).and_then(|()| self.launcher.train(&job)) {
                Ok(ended) => {
                    let interrupted = ended == Ended::Interrupted;
                    say(Message::Ended { cell, ended, after: since.elapsed() });
                    if interrupted {
                        leave.store(true, Ordering::SeqCst);
                    }
                }
                Err(e) => {
                    leave.store(true, Ordering::SeqCst);
                    say(Message::Broken(e));
                }
            }
        }
    }

    /// Judges conditions that hide a view of the trained full model.
    fn judge_quick(&self, cells: &[&Cell], on_event: &mut dyn FnMut(Event<'_>)) -> Result<Flow, StudyError> {
        if cells.is_empty() {
            return Ok(Flow::Continue(()));
        }
        let device = device::open(&self.plan.base.device)?;
        on_event(Event::Device(&device));
        for cell in cells {
            if self.stop.load(Ordering::SeqCst) {
                return Ok(Flow::Break(()));
            }
            let same_seed = |other: &&Cell| other.condition == REFERENCE && other.seed == cell.seed;
            let (Some(reference), Some(condition)) =
                (self.plan.cells.iter().find(same_seed), self.plan.condition(&cell.condition))
            else {
                continue;
            };
            if reference.state(None)? != State::Complete {
                on_event(Event::Waits { cell, reference });
                continue;
            }
            match knockout::judge(cell, condition, reference, &device.device) {
                Ok(()) => on_event(Event::Judged(cell, Ok(()))),
                Err(e) => {
                    let reason = e.to_string();
                    on_event(Event::Judged(cell, Err(&reason)));
                    cell.write_failure(&reason)?;
                }
            }
        }
        Ok(Flow::Continue(()))
    }
}

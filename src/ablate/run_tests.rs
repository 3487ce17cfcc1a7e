//! The scheduling of a study, with trainings that are none.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::launch::POLL;
use super::{Ended, Event, Job, Outcome, Plan, Request, Study, StudyError, run};

/// Three conditions under two seeds, the A/A row among them: six cells.
fn plan(home: &Path, jobs: usize) -> Plan {
    let path = home.join("study.toml");
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/quickstart.toml");
    let text = format!(
        "dir = {home:?}\nbase = {base:?}\nseeds = [1, 2]\nconditions = [\"S-text\"]\njobs = {jobs}\n"
    );
    std::fs::write(&path, text).unwrap();
    let study = Study::load(&path).unwrap();
    let base = study.base().unwrap();
    Plan::new(study, base).unwrap()
}

/// Runs the study; what it came to, and how many cells ended.
fn study(
    home: &Path,
    jobs: usize,
    request: &Request,
    stop: &AtomicBool,
    train: impl Fn(&Job<'_>) -> Result<Ended, StudyError> + Sync,
) -> (Result<Outcome, StudyError>, usize) {
    let mut ended = 0;
    let outcome = run(plan(home, jobs), request, &train, stop, &mut |event| {
        ended += usize::from(matches!(event, Event::Ended { .. }));
    });
    (outcome, ended)
}

#[test]
fn as_many_cells_train_at_one_time_as_the_study_says_and_failures_are_remembered() {
    let home = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let (busy, most, started) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let train = |job: &Job<'_>| {
        assert!(!job.resume && job.jobs == 2 && !job.cell.dir.exists());
        started.fetch_add(1, Ordering::SeqCst);
        most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(4 * POLL);
        busy.fetch_sub(1, Ordering::SeqCst);
        Ok(Ended::Failed("no luck".into()))
    };
    let (outcome, ended) = study(home.path(), 2, &Request::default(), &stop, train);
    assert!(matches!(outcome, Err(StudyError::NoReference { .. })));
    assert_eq!((ended, most.load(Ordering::SeqCst)), (6, 2));
    study(home.path(), 2, &Request::default(), &stop, train).0.err().unwrap();
    assert_eq!(started.load(Ordering::SeqCst), 6, "a failure would only come again");
    let again = Request { only: vec!["S-text".into()], retry: true, ..Request::default() };
    study(home.path(), 2, &again, &stop, train).0.err().unwrap();
    assert_eq!(started.load(Ordering::SeqCst), 8);
    let nothing = Request { report_only: true, ..Request::default() };
    study(home.path(), 2, &nothing, &stop, train).0.err().unwrap();
    assert_eq!(started.load(Ordering::SeqCst), 8);
}

#[test]
fn an_interrupted_cell_ends_the_others_and_nothing_is_begun_after_it() {
    let home = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let started = AtomicUsize::new(0);
    let train = |job: &Job<'_>| {
        if started.fetch_add(1, Ordering::SeqCst) == 1 {
            return Ok(Ended::Interrupted);
        }
        while !job.stop.load(Ordering::SeqCst) {
            std::thread::sleep(POLL);
        }
        Ok(Ended::Interrupted)
    };
    let (outcome, _) = study(home.path(), 2, &Request::default(), &stop, train);
    assert!(matches!(outcome, Ok(Outcome::Interrupted)));
    assert_eq!(started.load(Ordering::SeqCst), 2);
    assert!(!stop.load(Ordering::SeqCst), "the flag is the caller's");
}

#[test]
fn the_callers_flag_reaches_trainings_that_run() {
    let home = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let train = |job: &Job<'_>| {
        stop.store(true, Ordering::SeqCst);
        while !job.stop.load(Ordering::SeqCst) {
            std::thread::sleep(POLL);
        }
        Ok(Ended::Interrupted)
    };
    let (outcome, _) = study(home.path(), 1, &Request::default(), &stop, train);
    assert!(matches!(outcome, Ok(Outcome::Interrupted)));
}

#[test]
fn what_cant_be_started_ends_the_study_and_no_foreign_directory_is_touched() {
    let home = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let foreign = home.path().join("study/C0/seed-1");
    std::fs::create_dir_all(foreign.join("notes")).unwrap();
    let train = |_: &Job<'_>| -> Result<Ended, StudyError> { panic!("nothing is trained") };
    let (outcome, _) = study(home.path(), 1, &Request::default(), &stop, train);
    assert!(matches!(outcome, Err(StudyError::NotARun { dir }) if dir == foreign));
    assert!(foreign.join("notes").exists());
}

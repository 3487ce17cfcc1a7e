//! A taught training goes on with the teacher that it began with, wherever that is now and whatever became of it.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use codistill::systems;
use codistill::train::run_dir::{RunDir, Which};
use codistill::train::{Setup, SystemError, TrainError};

use super::{big, sasrec, taught};
use crate::inputs::change_features;
use crate::program::{Said, dataset, path, run, tiny};

/// Checkpoints of a run, oldest first.
pub fn steps(run_dir: &Path) -> Vec<PathBuf> {
    let mut steps: Vec<PathBuf> =
        fs::read_dir(run_dir.join("steps")).unwrap().map(|entry| entry.unwrap().path()).collect();
    steps.sort();
    steps
}

fn resumed(run_dir: &Path, more: &[&str]) -> Said {
    run(&[&["train", "--resume", path(run_dir), "--device", "cpu"], more].concat())
}

#[test]
fn a_taught_run_that_was_cut_goes_on_to_the_same_bits_with_the_same_teacher_alone() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let teacher = big(home);
    let sets = [taught(&teacher), "train.checkpoint_steps=3".into(), "train.keep=100".into()];
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    run(&sasrec(home, "student", &sets)).fine();
    let student = home.join("student");
    let all = steps(&student);
    let last = all.last().unwrap().clone();
    let read = || ["model.safetensors", "optimizer.safetensors"].map(|f| fs::read(last.join(f)).unwrap());
    let expected = read();
    let cut = |kept: usize| steps(&student)[kept..].iter().for_each(|step| fs::remove_dir_all(step).unwrap());
    cut(4);
    resumed(&student, &[]).fine();
    assert!(read() == expected, "cut in the middle of an epoch");
    // Before its first checkpoint the run is begun again, from what inputs.json says of the teacher.
    cut(0);
    resumed(&student, &[]).fine();
    assert!(read() == expected, "cut before the first checkpoint");

    for kept in [4, 0] {
        cut(kept);
        let away = home.join("away");
        fs::rename(&teacher, &away).unwrap();
        let gone = resumed(&student, &[]);
        gone.refused("the teacher `big`", "put that run back there");
        assert!(!gone.stderr.contains("--data"), "{}", gone.stderr);
        run(&sasrec(home, "big", &["train.epochs=1"])).fine();
        let said = resumed(&student, &[]);
        said.refused("the teacher `big`", "--accept-changed learns from this one");
        assert!(
            said.stderr.contains(" at the training, ") && said.stderr.contains(" now"),
            "{}",
            said.stderr
        );
        resumed(&student, &["--set", "objective.distill.teachers.0.name=x"])
            .refused("can't change when a run is resumed", "objective.distill.teachers.N.run");
        fs::remove_dir_all(&teacher).unwrap();
        fs::rename(&away, &teacher).unwrap();
    }
    resumed(&student, &[]).fine();
    assert!(read() == expected, "with its own teacher again");
    // Another one is taken by who says so, and then is the run's.
    cut(4);
    fs::rename(&teacher, home.join("away")).unwrap();
    run(&sasrec(home, "big", &["train.epochs=1"])).fine();
    let said = resumed(&student, &["--accept-changed"]).fine();
    assert!(
        said.stderr.contains("--accept-changed goes on with other inputs: the teacher `big`"),
        "{}",
        said.stderr
    );
    assert!(read() != expected, "another teacher taught");
    resumed(&student, &["--set", "train.epochs=5"]).fine();
}

#[test]
fn a_run_and_its_teacher_that_moved_together_find_each_other() {
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (home.path().join("first"), home.path().join("second"));
    let teacher = big(&first);
    run(&sasrec(&first, "student", &[&taught(&teacher), "train.epochs=1"])).fine();
    fs::rename(&first, &second).unwrap();
    resumed(&second.join("student"), &["--set", "train.epochs=2"]).fine();
}

/// A student of `teacher` that was cut after four of its checkpoints, and its weights as they were at its end.
fn cut(home: &Path, teacher: &Path) -> (PathBuf, Vec<u8>) {
    let taught = taught(teacher);
    run(&sasrec(home, "student", &[&taught, "train.checkpoint_steps=3", "train.keep=100"])).fine();
    let student = home.join("student");
    let end = weights(&student);
    cut_again(&student);
    (student, end)
}

/// Of the newest checkpoint.
fn weights(run_dir: &Path) -> Vec<u8> {
    fs::read(steps(run_dir).pop().unwrap().join("model.safetensors")).unwrap()
}

fn cut_again(run_dir: &Path) {
    steps(run_dir)[4..].iter().for_each(|step| fs::remove_dir_all(step).unwrap());
}

#[test]
fn a_teacher_that_has_moved_is_named_anew() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let teacher = big(home);
    let (student, end) = cut(home, &teacher);
    let away = home.join("away");
    fs::rename(&teacher, &away).unwrap();
    let key = "objective.distill.teachers.0.run";
    let place = |dir: &Path| format!("{key}={}", dir.display());
    resumed(&student, &["--set", &place(&away)]).fine();
    assert!(weights(&student) == end, "named by --set");
    // The new place is the run's from then on.
    cut_again(&student);
    resumed(&student, &[]).fine();
    assert!(weights(&student) == end, "named before");

    cut_again(&student);
    let elsewhere = home.join("elsewhere");
    fs::rename(&away, &elsewhere).unwrap();
    resumed(&student, &[]).refused("the teacher `big`", "objective.distill.teachers.N.run=DIR");
    let file = home.join("student.toml");
    let text = fs::read_to_string(student.join("config.toml")).unwrap();
    fs::write(&file, text.replace(path(&teacher), path(&elsewhere))).unwrap();
    run(&["train", path(&file), "--resume", path(&student), "--device", "cpu"]).fine();
    assert!(weights(&student) == end, "named by a configuration");

    // Who names a place means that, though the right run lies at another.
    cut_again(&student);
    run(&sasrec(home, "other", &["train.epochs=1"])).fine();
    let other = home.join("other");
    resumed(&student, &["--set", &place(&other)]).refused("the teacher `big`", "--accept-changed learns");
    resumed(&student, &["--set", &place(&home.join("none"))]).refused("not found", "run=DIR");
}

#[test]
fn a_teacher_that_was_trained_on_teaches_as_before_while_it_keeps_its_checkpoint() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let teacher = home.join("big");
    run(&sasrec(home, "big", &["train.epochs=1", "train.keep=100"])).fine();
    let best = || RunDir::new(&teacher).checkpoint(&Which::Best).unwrap().0;
    let then = best();
    let (student, end) = cut(home, &teacher);
    resumed(&teacher, &["--set", "train.epochs=4"]).fine();
    assert!(best() != then, "training on made nothing better, and the test is none");
    resumed(&student, &[]).fine();
    assert!(weights(&student) == end, "another checkpoint taught");

    cut_again(&student);
    fs::remove_dir_all(&then).unwrap();
    resumed(&student, &[]).refused("the teacher `big`", "put back the checkpoint that taught");
    resumed(&student, &["--accept-changed"]).fine();
    assert!(weights(&student) != end, "the checkpoint that taught is gone");
}

#[test]
fn a_finished_student_is_judged_again_without_its_teacher() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let teacher = big(home);
    run(&sasrec(home, "student", &[&taught(&teacher), "train.epochs=2"])).fine();
    let student = home.join("student");
    let inputs = || fs::read_to_string(student.join("inputs.json")).unwrap();
    let (end, then) = (weights(&student), inputs());
    let away = home.join("away");
    fs::rename(&teacher, &away).unwrap();
    fs::remove_file(student.join("report.json")).unwrap();
    let said = resumed(&student, &[]).fine();
    assert!(said.stderr.contains("nothing is left to train"), "{}", said.stderr);
    assert!(student.join("report.json").exists() && weights(&student) == end);
    assert_eq!(inputs(), then, "the teacher is still known");
    // Whatever takes a step needs it.
    for more in [&["--set", "train.epochs=3"][..], &["--dry-run"]] {
        resumed(&student, more).refused("the teacher `big`", "put that run back there");
    }
    fs::rename(&away, &teacher).unwrap();
    resumed(&student, &["--set", "train.epochs=3"]).fine();
}

#[test]
fn changed_features_that_are_accepted_are_so_for_the_teacher_too() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let teacher = big(home);
    let sets = ["run.name=student", "train.epochs=1", &taught(&teacher)];
    run(&tiny(home, &sets)).fine();
    change_features(&dataset(home).join("features/text"));
    let student = home.join("student");
    let more = ["--set", "train.epochs=2"];
    resumed(&student, &more).refused("the features of view `text`", "--accept-changed");
    let said = resumed(&student, &[&more[..], &["--accept-changed"]].concat()).fine();
    let warned =
        "the teacher `big` scores with other inputs than it was trained on: the features of view `text`";
    assert!(said.stderr.contains(warned), "{}", said.stderr);
    // A new training takes no such teacher.
    run(&sasrec(home, "new", &[&taught(&teacher)])).refused("whose inputs are not those of its training", "");
}

#[test]
fn a_teachers_features_lie_where_its_own_run_knows_them() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let teacher = big(home);
    let own = dataset(home);
    // The same data set once more, without features: the student reads none.
    let copy = home.join("copy");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
    }
    let train = |name: &str, data: &Path| {
        let data = format!("data.path={}", data.display());
        run(&sasrec(home, name, &["data.synth=none", &data, &taught(&teacher), "train.epochs=1"]))
    };
    train("apart", &copy).fine();
    // Where the teacher's data set has gone, its features are those of the student's.
    let moved = home.join("moved");
    fs::rename(&own, &moved).unwrap();
    train("beside", &moved).fine();
    train("nowhere", &copy)
        .refused("the features of view `text`", "put back what the teacher was trained on");
}

#[test]
fn a_program_that_goes_on_by_itself_is_refused_another_teacher() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let teacher = big(home);
    run(&sasrec(home, "student", &[&taught(&teacher), "train.epochs=1"])).fine();
    fs::remove_dir_all(&teacher).unwrap();
    run(&sasrec(home, "big", &["train.epochs=1"])).fine();
    let (path, checkpoint, _) = RunDir::new(&home.join("student")).latest().unwrap();
    let resume = |accepts_changed: bool| {
        let mut setup = Setup::open(checkpoint.config.clone(), &Device::flex()).unwrap();
        setup.accepts_changed = accepts_changed;
        let system = systems::open(setup).unwrap();
        system.training().unwrap().resume(&path, &checkpoint)
    };
    let Err(TrainError::System(e @ SystemError::Teacher { .. })) = resume(false) else {
        panic!("another run teaches unseen")
    };
    assert!(
        e.to_string().contains(" at the training, ") && e.hint().unwrap().contains("Asked::trains"),
        "{e}"
    );
    resume(true).unwrap();
}

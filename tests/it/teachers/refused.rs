//! Who can be no teacher.

use std::fs;
use std::path::Path;

use super::resumed::steps;
use super::{sasrec, taught};
use crate::program::{run, tiny};

#[test]
fn who_can_be_no_teacher_is_told_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let refused = |from: &Path, more: &[&str], what: &str, hint: &str| {
        let taught = taught(from);
        let said = run(&sasrec(home, "student", &[&[taught.as_str()], more].concat()));
        said.refused(what, hint);
        assert!(said.stderr.contains("`objective.distill.teachers"), "{}", said.stderr);
        assert!(!home.join("student").exists(), "{what}");
    };
    refused(&home.join("none"), &[], "none, which does not exist", "directory of a finished run");
    let bare = home.join("bare");
    fs::create_dir_all(&bare).unwrap();
    refused(&bare, &[], "bare, which is no run: it has no config.toml", "directory of a finished run");

    run(&sasrec(home, "short", &["data.max_seq_len=5", "train.epochs=1"])).fine();
    refused(
        &home.join("short"),
        &[],
        "histories of up to 5 items, and here data.max_seq_len is 12",
        "data.max_seq_len=5",
    );
    run(&sasrec(home, "other", &["data.synth.users=60", "train.epochs=1"])).fine();
    refused(&home.join("other"), &[], "which was trained on another data set", "train the teacher on");
    run(&sasrec(home, "cut", &["train.keep=9", "train.epochs=2"])).fine();
    let cut = home.join("cut");
    // Held-out items are no part of a training, and none of its teacher's.
    let sets = ["run.name=student", "data.cold.share=0.2", &taught(&cut)];
    run(&tiny(home, &sets)).refused("which was trained on another data set", "data.cold");
    fs::remove_dir_all(steps(&cut).pop().unwrap()).unwrap();
    refused(&cut, &[], "whose training has not ended", "codistill train --resume");
    fs::remove_dir_all(steps(&cut).pop().unwrap()).unwrap();
    refused(&cut, &[], "it has no checkpoint yet", "codistill train --resume");

    let unused = format!(r#"objective.distill.teachers=[{{ name = "big", run = "{}" }}]"#, bare.display());
    run(&sasrec(home, "student", &[&unused])).refused("is the teacher of no pair", "objective.distill.pairs");
    refused(&bare, &["objective.kind=full"], "objective.distill.teachers", "in_batch or sampled");
}

//! Event files as TensorBoard's own loader reads them: `tests/tensorboard_loader.py`.

use crate::need::need;
use crate::program::{path, python, run, script, tiny, trained};

/// Passes if every line says `ok`; `tests/tensorboard_loader.py` exits with 1 otherwise.
#[track_caller]
fn loads(python: &str, args: &[&str]) {
    let said = script(python, "tensorboard_loader.py", args);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.ends_with("\n0 failures\n"), "{}", said.stdout);
}

#[test]
fn tensorboards_own_loader_finds_every_figure_once_also_after_a_resume() {
    let Some(python) = need("tensorboard", python(&["tensorboard"])) else { return };
    let home = tempfile::tempdir().unwrap();
    let finished = trained(home.path());
    loads(&python, &[path(&finished)]);

    let resumed = home.path().join("resumed");
    let sets = ["run.name=resumed", "train.epochs=1"];
    run(&tiny(home.path(), &sets)).fine();
    run(&["train", "--resume", path(&resumed), "--set", "train.epochs=3"]).fine();
    loads(&python, &[path(&resumed)]);
}

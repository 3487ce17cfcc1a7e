//! Event files as TensorBoard's own loader reads them: `tests/tensorboard_loader.py`.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::need::need;
use crate::program::{codistill, path, python, run, script, tiny, trained};

/// Passes if every line says `ok`; `tests/tensorboard_loader.py` exits with 1 otherwise.
#[track_caller]
fn loads(python: &str, run_dir: &Path) {
    let said = script(python, "tensorboard_loader.py", &[path(run_dir)]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.ends_with("\n0 failures\n"), "{}", said.stdout);
}

#[test]
fn tensorboards_own_loader_finds_every_figure_once_also_after_a_kill() {
    let Some(python) = need("tensorboard", python(&["tensorboard"])) else { return };
    let home = tempfile::tempdir().unwrap();
    let finished = trained(home.path());
    loads(&python, &finished);

    let killed = home.path().join("killed");
    let sets = ["run.name=killed", "train.epochs=40", "train.checkpoint_steps=5"];
    let mut child = codistill(&tiny(home.path(), &sets)).stderr(Stdio::null()).spawn().unwrap();
    let lines = || fs::read_to_string(killed.join("metrics.jsonl")).unwrap_or_default().lines().count();
    while lines() < 30 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    run(&["train", "--resume", path(&killed)]).fine();
    loads(&python, &killed);
}

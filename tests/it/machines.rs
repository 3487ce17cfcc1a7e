//! What must not depend on the machine: ranks on its instructions, permissions on anything but the umask.

use std::fs;
use std::path::Path;

use crate::program::{codistill, path, run};

/// A training of a model whose vectors come from the same operations with and without our kernels.
fn trained(home: &Path, more: &[&str]) {
    let dir = format!("run.dir={}", path(home));
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/gru4rec.toml");
    let mut args = vec!["train", config, "--device", "cpu", "--set", &dir, "--set", "train.epochs=1"];
    more.iter().for_each(|set| args.extend(["--set", set]));
    run(&args).fine();
}

#[test]
fn rows_of_an_evaluation_do_not_depend_on_the_instructions() {
    let home = tempfile::tempdir().unwrap();
    trained(home.path(), &[]);
    let rows = |kernels: &str| {
        let rows = home.path().join(format!("{kernels}.parquet"));
        let run = home.path().join("gru4rec");
        let args = ["evaluate", path(&run), "--device", "cpu", "--baseline", "none", "--rows", path(&rows)];
        let output = codistill(&args).env("CODISTILL_KERNELS", kernels).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read(rows).unwrap()
    };
    // Scores that are multiplied out in f32 give some of the three thousand targets another rank.
    assert!(rows("on") == rows("off"), "the rows differ");
}

/// All files and folders below `dir`, it included.
#[cfg(unix)]
fn tree(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(place) = found.get(next).cloned() {
        if place.is_dir() {
            found.extend(fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()));
        }
        next += 1;
    }
    found
}

#[cfg(unix)]
#[test]
fn the_umask_alone_says_who_may_read_what_is_made() {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    for (umask, folder, file) in [("077", 0o700, 0o600), ("002", 0o775, 0o664), ("022", 0o755, 0o644)] {
        let home = tempfile::tempdir().unwrap();
        let run_masked = |args: &[&str]| {
            let mut shell = Command::new("sh");
            shell.args([
                "-c",
                &format!("umask {umask}; exec \"$0\" \"$@\""),
                env!("CARGO_BIN_EXE_codistill"),
            ]);
            let output = shell.args(args).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let made = home.path().join("made");
        let dir = format!("run.dir={}", path(&made));
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sasrec.toml");
        let sets = ["data.synth.users=60", "data.synth.items=40", "model.width=8", "train.epochs=1", &dir];
        let mut args = vec!["train", config, "--device", "cpu"];
        sets.iter().for_each(|set| args.extend(["--set", set]));
        run_masked(&args);
        let (run, export) = (made.join("sasrec"), made.join("export"));
        run_masked(&["evaluate", path(&run), "--device", "cpu"]);
        run_masked(&["export", path(&run), "--output", path(&export)]);
        let lists = made.join("lists.jsonl");
        run_masked(&["recommend", path(&run), "--all", "--device", "cpu", "--output", path(&lists)]);
        assert!(run.join("report.json").is_file() && export.join("manifest.json").is_file());
        for place in tree(&made) {
            let mode = fs::metadata(&place).unwrap().permissions().mode() & 0o777;
            let expected = if place.is_dir() { folder } else { file };
            assert_eq!(mode, expected, "umask {umask}, {}: {mode:o}", place.display());
        }
    }
}

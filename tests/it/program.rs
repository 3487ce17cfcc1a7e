//! The built program, run as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where the program stands, which files it left, and what it said.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Said {
    /// Asserts success and that no panic was printed on the way.
    #[track_caller]
    pub fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Asserts exit status 1, an error that names `what`, a hint with `hint`, nothing on stdout, no panic.
    #[track_caller]
    pub fn refused(&self, what: &str, hint: &str) {
        let said = &self.stderr;
        assert_eq!(self.code, Some(1), "{said}");
        assert!(!said.contains("panicked") && self.stdout.is_empty(), "{said}{}", self.stdout);
        let line = |start: &str| said.lines().find(|l| l.starts_with(start)).unwrap_or_default().to_owned();
        assert!(said.contains("error: ") && said.contains(what), "no `{what}` in\n{said}");
        assert!(line("hint:").contains(hint), "no hint `{hint}` in\n{said}");
    }
}

/// `codistill ARGS…`, not yet started, with nothing on stdin.
pub fn codistill<S: AsRef<str>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codistill"));
    command.args(args.iter().map(AsRef::as_ref)).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

/// Runs it to its end.
pub fn run<S: AsRef<str>>(args: &[S]) -> Said {
    codistill(args).output().unwrap().into()
}

/// Arguments of a tiny ODMT training of the quick start on the CPU, its files below `dir`.
pub fn tiny(dir: &Path, more: &[&str]) -> Vec<String> {
    let dir = format!("run.dir={}", dir.display());
    let sets = [
        "data.synth.users=120",
        "data.synth.items=80",
        "model.width=8",
        "train.batch_users=16",
        "train.epochs=2",
        "monitor.log_every=1",
        &dir,
    ];
    let mut args = vec![
        "train".to_owned(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml").into(),
        "--device".into(),
        "cpu".into(),
    ];
    args.extend(sets.iter().chain(more).flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
    args
}

/// Arguments of a tiny SASRec training of so many epochs, `name` its run in `home`.
pub fn sasrec(home: &Path, name: &str, epochs: usize, more: &[&str]) -> Vec<String> {
    let (name, epochs) = (format!("run.name={name}"), format!("train.epochs={epochs}"));
    let sets = [&["optim.lr=5e-3", "train.patience=0", epochs.as_str(), name.as_str()], more].concat();
    let mut args = tiny(home, &sets);
    args[1] = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sasrec.toml").into();
    args
}

/// A finished tiny run in `home`.
pub fn trained(home: &Path) -> PathBuf {
    run(&tiny(home, &[])).fine();
    home.join("quickstart")
}

/// The data set of the tiny runs in `home`.
pub fn dataset(home: &Path) -> PathBuf {
    let all = std::fs::read_dir(home.join("data")).unwrap();
    all.map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("synth-"))
        .unwrap()
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Flips one bit in the middle of a file.
pub fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// The Python interpreter (`CODISTILL_PYTHON`, or else `python3`), if it has these modules.
pub fn python(modules: &[&str]) -> Result<String, String> {
    let python = std::env::var("CODISTILL_PYTHON").unwrap_or_else(|_| "python3".into());
    let import = format!("import {}", modules.join(", "));
    let tried = Command::new(&python).args(["-c", &import]).stdin(Stdio::null()).output();
    let output = tried.map_err(|error| format!("{python}: {error}"))?;
    if output.status.success() {
        return Ok(python);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{python}: {}", said.trim_end().lines().last().unwrap_or_default()))
}

/// Runs a script of `tests/` from the repository's root.
pub fn script(python: &str, name: &str, args: &[&str]) -> Said {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python);
    command.arg(root.join("tests").join(name)).args(args).current_dir(root).stdin(Stdio::null());
    command.output().unwrap().into()
}

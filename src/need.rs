//! What a test needs beside the repository: it skips where that is missing, and says so, or fails where it must not.
//!
//! Unit tests have this file as `crate::need`, those of `tests/it` include it by its path. A test begins with
//! `let Some(path) = need("real-data", found(..)) else { return };`.
//!
//! libtest swallows what a passing test prints. So a skipped test appends a line to the file that `CODISTILL_SKIPPED`
//! names, and `.ci/run` prints it at its end. `CODISTILL_REQUIRE=gpu,real-data` lists what this machine must have: a test
//! that misses one of these fails.

use std::fmt::Display;
use std::io::Write;
use std::panic::Location;
use std::path::PathBuf;

/// Everything that a test may need.
const NAMES: [&str; 10] = [
    // The data sets below `CODISTILL_REAL_DATA`.
    "real-data",
    // The weights of a real encoder in the folder `CODISTILL_MINILM`.
    "encoders",
    // A GPU that this build can use, be it a software one.
    "gpu",
    // AVX-512 with VNNI.
    "avx512",
    // AVX2 with FMA.
    "avx2",
    // The fused CPU kernels, which `CODISTILL_KERNELS=off` turns off.
    "kernels",
    // Figures recorded for a CPU like this one.
    "bits",
    // The right to mount a file system.
    "root",
    // PyTorch and safetensors, of `CODISTILL_PYTHON` or else `python3`.
    "torch",
    // TensorBoard, of the same interpreter.
    "tensorboard",
];

/// Returns what was found; where it is missing, records that the test is skipped and why.
///
/// # Panics
/// Panics where `CODISTILL_REQUIRE` lists `name` and it is missing, and where the list holds a name that no test has.
#[track_caller]
pub(crate) fn need<T, E: Display>(name: &str, found: Result<T, E>) -> Option<T> {
    assert!(NAMES.contains(&name), "`{name}` is none of {NAMES:?}");
    let required = is_required(name, &std::env::var("CODISTILL_REQUIRE").unwrap_or_default());
    match found {
        Ok(found) => Some(found),
        Err(reason) if required => panic!("CODISTILL_REQUIRE lists `{name}`: {reason}"),
        Err(reason) => {
            record(&skipped_line(name, &reason, Location::caller()));
            None
        }
    }
}

/// Returns `path` below the folder that an environment variable names, where it exists.
pub(crate) fn locate(variable: &str, path: &str) -> Result<PathBuf, String> {
    let folder = std::env::var_os(variable).ok_or_else(|| format!("{variable} names no folder"))?;
    let found = PathBuf::from(folder).join(path);
    if found.exists() { Ok(found) } else { Err(format!("{path} is not below {variable}")) }
}

/// Whether the list of `CODISTILL_REQUIRE` holds `name`.
fn is_required(name: &str, list: &str) -> bool {
    let mut listed = list.split(',').map(str::trim).filter(|listed| !listed.is_empty());
    listed.clone().for_each(|listed| {
        assert!(NAMES.contains(&listed), "CODISTILL_REQUIRE lists `{listed}`, which is none of {NAMES:?}");
    });
    listed.any(|listed| listed == name)
}

/// A line without line breaks, so that lines of tests running at one time stay whole.
fn skipped_line(name: &str, reason: &dyn Display, place: &Location) -> String {
    let thread = std::thread::current();
    // libtest names a test's thread after the test, unless it runs all of them on the main thread.
    let test = thread.name().filter(|name| *name != "main").map_or_else(|| place.to_string(), str::to_owned);
    format!("{name}: {test}: {reason}").replace(['\n', '\r'], " ") + "\n"
}

fn record(line: &str) {
    eprint!("skipped: {line}");
    let Some(file) = std::env::var_os("CODISTILL_SKIPPED") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
    // One write a line: lines that are appended at one time don't mix.
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("CODISTILL_SKIPPED names a file to write");
}

#[test]
fn a_required_thing_is_found_in_the_list_and_an_unknown_name_is_refused() {
    assert!(
        is_required("gpu", "real-data, gpu") && !is_required("gpu", "") && !is_required("gpu", "torch,,root")
    );
    assert!(std::panic::catch_unwind(|| is_required("gpu", "gpu,graphics")).is_err());
}

#[test]
fn a_missing_thing_is_recorded_in_one_line_with_the_test_that_needs_it() {
    let line = skipped_line("root", &"no right\nto mount", Location::caller());
    let test = "a_missing_thing_is_recorded_in_one_line_with_the_test_that_needs_it";
    assert!(line.starts_with("root: ") && line.ends_with("no right to mount\n"), "{line}");
    assert!(line.contains(test) || line.contains("need.rs"), "{line}");
    assert_eq!(line.lines().count(), 1);
}

//! Calls of a library on bytes that nobody vouches for.

use std::cell::Cell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call of the Parquet library, which asserts some things about a file's bytes instead of checking
/// them: its panic is the file's damage. Nothing that a panic left half-done may be used again.
///
/// # Errors
/// What the library says is wrong with the file.
pub(crate) fn guarded<T, E: Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    let outer = INSIDE.replace(true);
    let done = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(outer);
    match done {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err("bytes that can't be decoded".to_owned()),
    }
}

/// Keeps panics inside guarded calls, which become errors, off stderr.
pub(crate) fn silence_guarded_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !INSIDE.get() {
            usual(panic);
        }
    }));
}

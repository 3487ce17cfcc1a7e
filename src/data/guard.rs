//! Calls of a parser that panics on some damaged files, as errors.
//!
//! Everything that reads Parquet or SentencePiece's and tokenizers' files goes through [`guarded`]; `main` calls
//! [`silence_guarded_panics`] once.

use std::cell::Cell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call of a library that asserts some things about a file's bytes instead of checking them: a panic means that the
/// file is damaged. Nothing that a panic left half-done may be used again.
///
/// # Errors
/// The library's message, or a general one after a panic.
pub(crate) fn guarded<T, E: Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    let outer = INSIDE.replace(true);
    let done = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(outer);
    match done {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err("bytes that can't be decoded".to_owned()),
    }
}

/// Keeps panics inside guarded calls off stderr, since they become errors.
pub fn silence_guarded_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !INSIDE.get() {
            usual(panic);
        }
    }));
}

//! Calls of the Parquet library on bytes that nobody vouches for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;

/// Runs a call of the library, which asserts some things about a file's bytes instead of checking them: its
/// panic is the file's damage. Nothing that a panic left half-done may be used again.
///
/// # Errors
/// What the library says is wrong with the file.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err("bytes that can't be decoded".to_owned()),
    }
}

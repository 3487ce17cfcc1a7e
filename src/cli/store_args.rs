//! What `features import` and `features encode` have in common.

use std::path::Path;

use clap::ValueEnum;

use super::Failure;
use codistill::features::Precision;

/// What becomes of what several items share.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SharedRule {
    Keep,
    Missing,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Stored {
    F16,
    F32,
}

impl From<Stored> for Precision {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::F16 => Self::F16,
            Stored::F32 => Self::F32,
        }
    }
}

/// Refuses to put a store where something lies, unless it is to be replaced.
pub fn refuse_taken(dest: &Path, overwrite: bool) -> Result<(), Failure> {
    if overwrite || !dest.exists() {
        return Ok(());
    }
    Err(Failure::user(
        format!("{} already exists", dest.display()),
        "choose another --view, or replace the old store with --overwrite",
    ))
}

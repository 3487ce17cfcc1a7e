//! Files of an encoder's folder.

use std::path::Path;

use serde_json::Value;

use super::EncodeError;
use super::error::{io_error, malformed};

/// Reads a small JSON file that may be absent.
pub(super) fn optional(path: &Path) -> Result<Option<Value>, EncodeError> {
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(io_error(path))?;
    serde_json::from_str(&text).map(Some).map_err(|e| malformed(path, e))
}

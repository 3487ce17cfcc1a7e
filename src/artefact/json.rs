//! The one way to JSON: what can't be written is an error and never an empty file.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::{ArtefactError, io_error, write_atomic};

/// Replaces the file `path` with the indented JSON of `value`, atomically.
///
/// # Errors
/// `value` has no JSON form or the file can't be written; the old content is then still there.
pub fn write_json(path: &Path, value: &(impl Serialize + ?Sized)) -> Result<(), ArtefactError> {
    write_atomic(path, json_text(path, value)?.as_bytes())
}

/// Indented JSON; `what` names the value in an error.
///
/// # Errors
/// `value` has no JSON form: a map whose keys are no text, for example.
pub fn json_text(what: impl AsRef<Path>, value: &(impl Serialize + ?Sized)) -> Result<String, ArtefactError> {
    serde_json::to_string_pretty(value).map_err(unwritable(what))
}

/// JSON on one line; `what` names the value in an error.
///
/// # Errors
/// As [`json_text`].
pub fn json_line(what: impl AsRef<Path>, value: &(impl Serialize + ?Sized)) -> Result<String, ArtefactError> {
    serde_json::to_string(value).map_err(unwritable(what))
}

/// A JSON value; `what` names it in an error.
///
/// # Errors
/// As [`json_text`].
pub fn json_value(what: impl AsRef<Path>, value: &(impl Serialize + ?Sized)) -> Result<Value, ArtefactError> {
    serde_json::to_value(value).map_err(unwritable(what))
}

fn unwritable(what: impl AsRef<Path>) -> impl FnOnce(serde_json::Error) -> ArtefactError {
    move |e| io_error(what.as_ref())(e.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::artefact::Staging;

    /// Keys of JSON objects are texts.
    fn unwritable() -> BTreeMap<Vec<u8>, u8> {
        [(vec![1, 2], 3)].into()
    }

    #[test]
    fn what_has_no_json_form_is_an_error_and_leaves_the_old_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("report.json");
        write_json(&path, &[1, 2]).unwrap();
        let failed = write_json(&path, &unwritable()).unwrap_err();
        assert!(failed.to_string().starts_with(&path.display().to_string()), "{failed}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1,\n  2\n]");
        let staging = Staging::create(&home.path().join("made")).unwrap();
        assert!(staging.write_json("items.json", &unwritable()).is_err());
        assert!(!staging.path("items.json").exists());
        assert!(
            json_line("a recipe", &unwritable()).is_err() && json_value("a recipe", &unwritable()).is_err()
        );
    }
}

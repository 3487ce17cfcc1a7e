//! Names of views, which are folders in the data set's `features`.

use std::path::{Path, PathBuf};

use super::FeatureError;

/// Longest name in bytes. File systems allow 255, and the folder of an unfinished store has a longer name.
const LONGEST: usize = 200;

/// The default directory of view `name`'s feature store for the data set at `dataset_dir`.
///
/// # Errors
/// `name` is a path, empty, or no name for a folder.
pub fn view_dir(dataset_dir: &Path, name: &str) -> Result<PathBuf, FeatureError> {
    check_view_name(name)?;
    Ok(dataset_dir.join("features").join(name))
}

/// Names in the `features` folder of the data set at `dataset_dir`, in order; without hidden ones, which are stores
/// that are being written.
pub fn store_names(dataset_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dataset_dir.join("features")).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Checks that a name stays inside the `features` folder and can be written in a configuration.
///
/// # Errors
/// [`FeatureError::ViewName`].
pub fn check_view_name(name: &str) -> Result<(), FeatureError> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
    let sound =
        !name.is_empty() && name.len() <= LONGEST && name.chars().all(plain) && !name.starts_with(['.', '-']);
    if sound { Ok(()) } else { Err(FeatureError::ViewName(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_a_name_and_never_a_path() {
        for name in ["text", "image_clip", "img-2", "v1.5", "Bild", "текст"] {
            assert_eq!(view_dir(Path::new("d"), name).unwrap(), Path::new("d/features").join(name));
        }
        let long = "x".repeat(201);
        for name in ["../x", "", ".", "..", "a/b", "/x", "a\\b", "a b", "~", "x\n", ".hidden", "-x", &long] {
            assert!(matches!(view_dir(Path::new("d"), name), Err(FeatureError::ViewName(_))), "{name}");
        }
    }
}

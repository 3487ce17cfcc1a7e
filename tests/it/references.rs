//! Sources and documents name only pages that the repository holds.

use std::fs;
use std::path::{Path, PathBuf};

/// Pages that the program writes and that tests read back.
const WRITTEN: [&str; 7] =
    ["across.md", "probe.md", "r.md", "report.md", "study.md", "table.md", "trials.md"];

const KINDS: [&str; 5] = ["rs", "py", "md", "toml", "sh"];

/// Every text of the repository below `dir`, build outputs and hidden folders left out.
fn texts(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') || ["target", "shared", "checkpoints"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            texts(&path, found);
        } else if path.extension().is_some_and(|e| KINDS.iter().any(|kind| e == *kind)) {
            found.push(path);
        }
    }
}

/// Paths in `text` that end in `.md`.
fn pages(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let words = text.split(move |c| !is_path(c));
    let words = words.map(|word| word.trim_end_matches('.'));
    // What starts with two slashes is the rest of an address.
    words.filter(|word| Path::new(word).extension().is_some_and(|end| end == "md") && !word.starts_with("//"))
}

#[test]
fn every_page_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    texts(root, &mut files);
    assert!(files.len() > 300, "only {} files in {}", files.len(), root.display());
    let mut missing = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("tests/it/references.rs")) {
        let text = fs::read_to_string(file).unwrap();
        for page in pages(&text) {
            let name = page.rsplit('/').next().unwrap_or(page);
            let folders = [root, file.parent().unwrap(), &root.join("docs")];
            if !WRITTEN.contains(&name) && !folders.iter().any(|folder| folder.join(page).exists()) {
                missing.push(format!("{}: {page}", file.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(missing.is_empty(), "pages that the repository does not hold:\n{}", missing.join("\n"));
}

#[test]
fn a_page_is_found_in_prose_and_links() {
    let text = "see docs/odmt.md, section 2, [it](docs/odmt.md), or (lost.md 3); https://docs.rs/a.md";
    assert_eq!(pages(text).collect::<Vec<_>>(), ["docs/odmt.md", "docs/odmt.md", "lost.md"]);
}

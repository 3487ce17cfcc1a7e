//! The files of a source: one file, or those of a folder, with what the names of folders and files say.
//!
//! Folders called `key=value` are columns (Hive's partitions, as Spark, DuckDB and pyarrow write them); files of a split have
//! their part in their names.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::given_part::GivenPart;
use super::{Format, Source, SourceError};

/// One file of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    pub path: PathBuf,
    /// Columns from its folders' names, with the value that all its rows have; empty for null.
    pub keys: Vec<(String, String)>,
    pub part: Option<GivenPart>,
}

/// The files that are read, in reading order, and warnings about the others.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub files: Vec<SourceFile>,
    pub warnings: Vec<String>,
    /// A catalogue in the folder of a log.
    pub catalogue: Option<PathBuf>,
}

/// The files of a source in reading order: the file itself, or the part files of a directory and its
/// sub-directories by name. Names that start with `_` or `.` are left out, as Spark does.
///
/// # Errors
/// A path that can't be read, a directory without any part file, or with files of several formats.
pub(super) fn list(path: &Path, source: Source, format: Option<Format>) -> Result<Listing, SourceError> {
    let about = std::fs::metadata(path).map_err(|e| SourceError::io(path, e))?;
    if !about.is_dir() {
        let file = SourceFile { path: path.to_owned(), keys: Vec::new(), part: None };
        return Ok(Listing { files: vec![file], ..Listing::default() });
    }
    let mut listing = Listing::default();
    let mut found = Vec::new();
    collect(path, MAX_DEPTH, &mut found, &mut listing.warnings)?;
    let found = choose_format(path, found, source, format, &mut listing)?;
    if found.is_empty() {
        return Err(SourceError::NoFiles { path: path.to_owned() });
    }
    let mut files: Vec<SourceFile> = found
        .into_iter()
        .map(|file| SourceFile { keys: folder_keys(path, &file), part: named_part(path, &file), path: file })
        .collect();
    if source == Source::Log {
        order_split(path, &mut files)?;
    }
    listing.files = files;
    Ok(listing)
}

/// Partitioned tables nest one directory a key; more than this is a loop of links.
const MAX_DEPTH: usize = 16;

fn collect(
    folder: &Path,
    depth: usize,
    found: &mut Vec<PathBuf>,
    warnings: &mut Vec<String>,
) -> Result<(), SourceError> {
    let io = |e| SourceError::io(folder, e);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        entries.push(entry.map_err(io)?.path());
    }
    entries.sort();
    for entry in entries {
        let name = file_name(&entry);
        if name.starts_with(['_', '.']) {
            if name == "_delta_log" {
                warnings.push(format!(
                    "{} is a Delta table: files of rows that were deleted or replaced are read too; write it out \
                     as Parquet first",
                    folder.display()
                ));
            } else if file_kind(&name).is_some() && !name.starts_with("._") && !entry.is_dir() {
                warnings.push(format!("{} is not read: its name starts with `_` or `.`", entry.display()));
            }
            continue;
        }
        match entry.is_dir() {
            true if depth == 0 => {
                return Err(SourceError::io(&entry, std::io::Error::other("nested too deep")));
            }
            true => collect(&entry, depth - 1, found, warnings)?,
            false => found.push(entry),
        }
    }
    Ok(())
}

/// The content of a file by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Parquet,
    Table,
    Json,
    Interactions,
    Items,
    /// Another of RecBole's atomic files.
    OtherAtomic,
    Text,
}

/// Absent where the name is no indication.
fn file_kind(name: &str) -> Option<Kind> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    Some(match name.rsplit_once('.')?.1 {
        "parquet" | "pq" => Kind::Parquet,
        "csv" | "tsv" | "tab" => Kind::Table,
        "json" | "jsonl" | "ndjson" => Kind::Json,
        "inter" => Kind::Interactions,
        "item" => Kind::Items,
        "user" | "net" | "kg" | "link" => Kind::OtherAtomic,
        "txt" | "dat" | "data" => Kind::Text,
        _ => return None,
    })
}

/// Whether a name is that of something other than data: a note, a program, a picture, a checksum.
fn is_not_data(name: &str) -> bool {
    const NOT_DATA: [&str; 31] = [
        "md", "rst", "html", "htm", "pdf", "log", "yaml", "yml", "toml", "ini", "cfg", "py", "ipynb", "sh",
        "sql", "r", "crc", "md5", "sha1", "sha256", "png", "jpg", "jpeg", "gif", "webp", "npy", "npz", "pt",
        "pkl", "zip", "lock",
    ];
    let name = name.to_ascii_lowercase();
    let bare = ["readme", "license", "copying", "changelog", "makefile"].contains(&name.as_str());
    bare || name.rsplit_once('.').is_some_and(|(_, extension)| NOT_DATA.contains(&extension))
}

/// Chooses the files of a folder that are read, all of one format.
fn choose_format(
    folder: &Path,
    found: Vec<PathBuf>,
    source: Source,
    format: Option<Format>,
    listing: &mut Listing,
) -> Result<Vec<PathBuf>, SourceError> {
    let found: Vec<PathBuf> = found.into_iter().filter(|file| !is_not_data(&file_name(file))).collect();
    let kind = |file: &PathBuf| file_kind(&file_name(file));
    let has = |wanted: Kind| found.iter().any(|file| kind(file) == Some(wanted));
    // A folder of RecBole's holds log and catalogue; each is read for itself.
    let atomic = match source {
        Source::Log => Kind::Interactions,
        Source::Catalogue => Kind::Items,
    };
    let wanted: Option<Vec<Kind>> = match format {
        Some(Format::Parquet) => Some(vec![Kind::Parquet]),
        Some(Format::JsonLines) => Some(vec![Kind::Json, Kind::Text]),
        Some(Format::Delimited | Format::MovielensCsv) => Some(vec![Kind::Table, Kind::Text]),
        Some(Format::MovielensDat | Format::Sequences) => Some(vec![Kind::Text, Kind::Table]),
        Some(Format::Atomic) | None if has(atomic) => Some(vec![atomic]),
        Some(Format::Atomic) | None => None,
    };
    if let Some(wanted) = wanted {
        let (read, left): (Vec<PathBuf>, Vec<PathBuf>) =
            found.into_iter().partition(|file| kind(file).is_none_or(|kind| wanted.contains(&kind)));
        for file in left {
            match (kind(&file), source) {
                (Some(Kind::Items), Source::Log) => listing.catalogue = Some(file),
                // The log of this catalogue.
                (Some(Kind::Interactions), Source::Catalogue) => {}
                _ => listing.warnings.push(format!("{} is not read", file.display())),
            }
        }
        return Ok(read);
    }
    let mut kinds: Vec<Option<Kind>> = Vec::new();
    let mut examples = Vec::new();
    for file in &found {
        if !kinds.contains(&kind(file)) {
            kinds.push(kind(file));
            examples.push(file.strip_prefix(folder).unwrap_or(file).display().to_string());
        }
    }
    if kinds.len() > 1 {
        return Err(SourceError::MixedFolder { path: folder.to_owned(), files: examples });
    }
    Ok(found)
}

/// Columns from the folders between `root` and `file`.
fn folder_keys(root: &Path, file: &Path) -> Vec<(String, String)> {
    let folders = file.strip_prefix(root).ok().and_then(Path::parent).into_iter().flat_map(Path::components);
    let pairs = folders.filter_map(|folder| {
        let folder = folder.as_os_str().to_string_lossy().into_owned();
        let (key, value) = folder.split_once('=')?;
        let value = if value == HIVE_NULL { String::new() } else { decoded(value) };
        (!key.is_empty()).then(|| (decoded(key), value))
    });
    pairs.collect()
}

/// The suffix of a folder's key whose name the file's own columns have too: the latter are closer to the rows.
pub(super) const FOLDER: &str = " (folder)";

/// Null in a folder's name.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The part in the name of a file or of a folder above it: `toy.train.inter`, `validation-00000-of-00001.parquet`,
/// `test/part-0.csv`.
fn named_part(root: &Path, file: &Path) -> Option<GivenPart> {
    let relative = file.strip_prefix(root).unwrap_or(file);
    let name = file_name(relative);
    let word =
        |word: &str| GivenPart::named(word).filter(|_| word.starts_with(|c: char| c.is_ascii_alphabetic()));
    let folders = relative.parent().into_iter().flat_map(Path::components);
    let folder = folders.filter_map(|folder| word(&folder.as_os_str().to_string_lossy())).next_back();
    let mut words = name.split(['.', '-', '_', ' ']).filter_map(word);
    match (words.next(), words.next()) {
        (Some(part), None) => Some(part),
        // `train_test.csv` names no part.
        (Some(_), Some(_)) => None,
        (None, _) => folder,
    }
}

/// Keeps the parts only if the files are a split, and sorts the files by part.
fn order_split(folder: &Path, files: &mut [SourceFile]) -> Result<(), SourceError> {
    let has = |part: GivenPart| files.iter().any(|file| file.part == Some(part));
    if !has(GivenPart::Train) || !(has(GivenPart::Valid) || has(GivenPart::Test)) {
        // `test-log-1.csv` and `test-log-2.csv` are no split.
        files.iter_mut().for_each(|file| file.part = None);
        return Ok(());
    }
    if let Some(other) = files.iter().find(|file| file.part.is_none()) {
        let name =
            |file: &SourceFile| file.path.strip_prefix(folder).unwrap_or(&file.path).display().to_string();
        let parts = files.iter().filter(|file| file.part.is_some()).map(name).collect();
        return Err(SourceError::PartlySplit { path: folder.to_owned(), parts, other: name(other) });
    }
    files.sort_by(|a, b| (a.part, &a.path).cmp(&(b.part, &b.path)));
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "user,item\n1,2\n").unwrap();
        }
        dir
    }

    fn names(listing: &Listing, dir: &tempfile::TempDir) -> Vec<String> {
        let name = |file: &SourceFile| file.path.strip_prefix(dir.path()).unwrap().display().to_string();
        listing.files.iter().map(name).collect()
    }

    #[test]
    fn partitions_are_columns_decoded_and_null() {
        let dir = folder(&[
            "year=2024/category=caf%C3%A9%2Fbar/x.csv",
            "year=2025/category=__HIVE_DEFAULT_PARTITION__/x.csv",
        ]);
        let listing = list(dir.path(), Source::Catalogue, None).unwrap();
        let keys: Vec<_> = listing.files.iter().map(|file| file.keys.clone()).collect();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(keys[0], [pair("year", "2024"), pair("category", "café/bar")]);
        assert_eq!(keys[1], [pair("year", "2025"), pair("category", "")]);
    }

    #[test]
    fn files_of_a_split_say_their_part_and_come_in_its_order() {
        for set in [
            ["toy.test.inter", "toy.train.inter", "toy.valid.inter"],
            ["dev.csv", "test.csv", "train.csv"],
            [
                "data/test-00000-of-00001.parquet",
                "data/train-00000-of-00001.parquet",
                "data/validation-00000-of-00001.parquet",
            ],
            ["a/test/x.csv", "a/train/x.csv", "a/val/x.csv"],
        ] {
            let dir = folder(&set);
            let listing = list(dir.path(), Source::Log, None).unwrap();
            let parts: Vec<_> = listing.files.iter().map(|file| file.part.unwrap()).collect();
            assert_eq!(parts, [GivenPart::Train, GivenPart::Valid, GivenPart::Test], "{set:?}");
            assert!(listing.warnings.is_empty());
        }
    }

    #[test]
    fn files_that_only_sound_like_parts_are_no_split() {
        for set in [["test-1.csv", "test-2.csv"], ["train_test.csv", "x.csv"], ["valid.csv", "test.csv"]] {
            let dir = folder(&set);
            let listing = list(dir.path(), Source::Log, None).unwrap();
            assert!(listing.files.iter().all(|file| file.part.is_none()), "{set:?}");
        }
        let dir = folder(&["train.csv", "test.csv", "more.csv"]);
        let error = list(dir.path(), Source::Log, None).unwrap_err();
        assert!(matches!(&error, SourceError::PartlySplit { other, .. } if other == "more.csv"), "{error}");
        // A catalogue has no parts.
        assert_eq!(list(dir.path(), Source::Catalogue, None).unwrap().files.len(), 3);
    }

    #[test]
    fn a_folder_of_several_formats_is_refused_by_its_files() {
        let dir = folder(&["a.csv", "b.parquet", "README.md"]);
        let error = list(dir.path(), Source::Log, None).unwrap_err();
        assert!(matches!(&error, SourceError::MixedFolder { files, .. } if *files == ["a.csv", "b.parquet"]));
        let listing = list(dir.path(), Source::Log, Some(Format::Parquet)).unwrap();
        assert_eq!(names(&listing, &dir), ["b.parquet"]);
        assert!(listing.warnings[0].ends_with("a.csv is not read"), "{:?}", listing.warnings);
    }

    #[test]
    fn a_recbole_folder_gives_log_and_catalogue_each_its_own() {
        let dir = folder(&["ml.inter", "ml.item", "ml.user"]);
        let log = list(dir.path(), Source::Log, None).unwrap();
        assert_eq!(names(&log, &dir), ["ml.inter"]);
        assert_eq!(log.catalogue, Some(dir.path().join("ml.item")));
        let items = list(dir.path(), Source::Catalogue, None).unwrap();
        assert_eq!(names(&items, &dir), ["ml.item"]);
        // Neither gives a warning that the other isn't read.
        let user = [format!("{} is not read", dir.path().join("ml.user").display())];
        assert_eq!((log.warnings, items.warnings), (user.to_vec(), user.to_vec()));
    }

    #[test]
    fn data_behind_a_marker_name_is_told_and_markers_are_not() {
        let dir = folder(&["x.csv", "_old.csv", ".backup.parquet", "_SUCCESS", ".x.csv.crc", "._x.csv"]);
        let listing = list(dir.path(), Source::Log, None).unwrap();
        assert_eq!(names(&listing, &dir), ["x.csv"]);
        assert_eq!(listing.warnings.len(), 2, "{:?}", listing.warnings);
        let delta = folder(&["x.parquet", "_delta_log/0.json"]);
        let listing = list(delta.path(), Source::Log, None).unwrap();
        assert!(listing.warnings[0].contains("Delta table"), "{:?}", listing.warnings);
    }
}

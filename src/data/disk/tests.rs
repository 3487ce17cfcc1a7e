//! The dataset directory: read as written, refused when changed.

use std::io::{Seek, SeekFrom, Write};

use super::*;
use crate::artefact::Manifest;
use proptest::prelude::*;

fn dataset(lengths: &[usize], items: usize) -> Dataset {
    let mut s = Sequences { offsets: vec![0], ..Sequences::default() };
    for (u, &length) in lengths.iter().enumerate() {
        for k in 0..length {
            s.items.push(1 + ((u * 7 + k * 3) % items) as u32);
            s.times.push(k as i64 * 10 - 5);
            s.parts.push(match length - k {
                1 => Part::Test,
                2 => Part::Valid,
                _ => Part::Train,
            });
        }
        s.offsets.push(s.items.len());
    }
    let column = |name: &str| -> Vec<String> {
        (0..=items).map(|i| if i == 0 { String::new() } else { format!("{name} «{i}»") }).collect()
    };
    let items = Items {
        ids: column("id"),
        titles: column("title"),
        texts: column("text"),
        categories: column(""),
        images: column("image"),
        kept: ["stock level", "Größe;(cm)"]
            .map(|name| KeptColumn { name: name.into(), values: column(name) })
            .into(),
        pictures_root: Some("/pictures".into()),
    };
    Dataset {
        users: (0..lengths.len()).map(|u| format!("u{u}")).collect(),
        items,
        sequences: s,
        timed: true,
        hash: String::new(),
        trained_on: TrainedOn::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_written_is_read_back(lengths in proptest::collection::vec(0usize..6, 1..8), items in 1usize..6) {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("d");
        let mut wrote = dataset(&lengths, items);
        wrote.hash = write_dataset(&dir, &wrote, &serde_json::json!({}), serde_json::json!({"seed": 1})).unwrap();
        prop_assert_eq!(Dataset::open(&dir).unwrap(), wrote);
    }

    #[test]
    fn a_flipped_byte_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8, table in 0usize..3) {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("d");
        written(&dir, &dataset(&[4, 3], 5));
        let path = dir.join([INTERACTIONS, ITEMS, USERS][table]);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        prop_assert!(matches!(Dataset::open(&dir), Err(DataError::Artefact(_))));
    }
}

/// The readers must also survive bytes that no hash guards. Every place is tried: few make the library panic.
#[test]
fn no_changed_byte_is_a_panic() {
    type Reader = fn(&Path);
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("d");
    written(&dir, &dataset(&[4, 3], 5));
    let readers: [(&str, Reader); 3] = [
        (INTERACTIONS, |path| drop(read_sequences(path, 2, 5))),
        (ITEMS, |path| drop(read_items(path))),
        (USERS, |path| drop(read_texts(path, &["id"]))),
    ];
    for (name, read) in readers {
        let path = dir.join(name);
        let whole = fs::read(&path).unwrap();
        // In place: replacing the file each time waits for the disk.
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let mut put = |at: usize, byte: u8| {
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&[byte]).unwrap();
        };
        for (at, &byte) in whole.iter().enumerate() {
            for change in [0x01, 0x80, 0xff] {
                put(at, byte ^ change);
                read(&path);
            }
            put(at, byte);
        }
    }
}

fn written(dir: &Path, dataset: &Dataset) -> Manifest {
    write_dataset(dir, dataset, &serde_json::json!({}), serde_json::json!({})).unwrap();
    artefact::read_manifest(dir, KIND, SCHEMA).unwrap()
}

/// Makes the manifest name the files as they are.
fn agree(dir: &Path, manifest: &mut Manifest) {
    for file in &mut manifest.files {
        (file.sha256, file.bytes) = artefact::hash_file(&dir.join(&file.name)).unwrap();
    }
    fs::write(dir.join(artefact::MANIFEST), serde_json::to_string(manifest).unwrap()).unwrap();
}

#[test]
fn a_directory_that_breaks_a_promise_is_refused_and_the_row_named() {
    type Break = fn(&mut Dataset);
    let breaks: [(&str, Break); 6] = [
        ("interactions.parquet: row 1: item 6 is not among 1..=5", |d| d.sequences.items[0] = 6),
        ("row 4: the parts of a user are not in time order", |d| d.sequences.parts[2] = Part::Test),
        ("row 2: the parts of a user are not in time order", |d| d.sequences.parts[0] = Part::Unused),
        ("row 2: the times of a user descend", |d| d.sequences.times[0] = 999),
        ("users.parquet: row 2: the id \"u0\" is not the first", |d| d.users[1] = "u0".into()),
        ("items.parquet: row 3: the id \"\" is empty", |d| d.items.ids[3].clear()),
    ];
    for (expected, breaks) in breaks {
        let home = tempfile::tempdir().unwrap();
        let mut wrong = dataset(&[4, 3], 5);
        breaks(&mut wrong);
        written(&home.path().join("d"), &wrong);
        let message = Dataset::open(&home.path().join("d")).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} instead of {expected}");
    }
}

/// The first layout had whole seconds; what it held are the same moments.
#[test]
fn a_data_set_of_whole_seconds_opens_with_its_moments_in_microseconds() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("d");
    let mut old = dataset(&[4, 3], 5);
    // Without times the column is a plain number, as it was.
    old.timed = false;
    let mut manifest = written(&dir, &old);
    manifest.schema_version = SECONDS;
    for (untimed, per_second) in [(0, MICROS), (7, 1)] {
        manifest.about = serde_json::json!({"report": {"rows_without_time": untimed}});
        agree(&dir, &mut manifest);
        let opened = Dataset::open(&dir).unwrap();
        let expected: Vec<i64> = old.sequences.times.iter().map(|time| time * per_second).collect();
        assert_eq!(opened.sequences.times, expected);
        assert_eq!(opened.timed, untimed == 0);
    }
}

/// Data sets of before there were kept columns are these.
#[test]
fn a_data_set_without_kept_columns_opens_with_none() {
    let home = tempfile::tempdir().unwrap();
    let mut plain = dataset(&[4, 3], 5);
    plain.items.kept.clear();
    written(&home.path().join("d"), &plain);
    assert_eq!(Table::open(&home.path().join("d").join(ITEMS)).unwrap().names(), Items::FIXED);
    assert_eq!(Dataset::open(&home.path().join("d")).unwrap().items, plain.items);
}

#[test]
fn a_kept_column_of_another_ones_name_is_refused() {
    for (name, expected) in
        [("title", "two columns are called \"title\""), ("stock level", "\"stock level\"")]
    {
        let home = tempfile::tempdir().unwrap();
        let mut wrong = dataset(&[4, 3], 5);
        wrong.items.kept[1].name = name.into();
        written(&home.path().join("d"), &wrong);
        let message = Dataset::open(&home.path().join("d")).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} instead of {expected}");
    }
}

#[test]
fn a_table_that_the_manifest_does_not_name_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("d");
    let mut manifest = written(&dir, &dataset(&[4, 3], 5));
    manifest.files.retain(|file| file.name != ITEMS);
    agree(&dir, &mut manifest);
    assert!(matches!(Dataset::open(&dir), Err(DataError::Malformed { path, .. }) if path.ends_with(ITEMS)));
}

#[test]
fn a_full_disk_is_told_as_one() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let error = write_error(Path::new("d/items.parquet"), ParquetError::from(full));
    assert!(error.to_string().starts_with("d/items.parquet: "), "{error}");
    assert!(error.hint().unwrap().contains("make room"));
}

#[test]
fn pictures_inside_a_data_set_move_with_it() {
    let home = tempfile::tempdir().unwrap();
    let (dir, moved) = (home.path().join("d"), home.path().join("moved"));
    let mut generated = dataset(&[4, 3], 2);
    generated.items.pictures_root = None;
    generated.items.images = ["", "pictures/1.png", "pictures/2.png"].map(str::to_owned).into();
    written(&dir, &generated);
    // Older versions wrote no root: without a picture in the data set, paths begin at the working directory.
    let items = Dataset::open(&dir).unwrap().items;
    assert_eq!((items.pictures_root.clone(), items.picture(2)), (None, Some("pictures/2.png".into())));
    fs::create_dir(dir.join("pictures")).unwrap();
    fs::write(dir.join("pictures/2.png"), "").unwrap();
    fs::rename(&dir, &moved).unwrap();
    let items = Dataset::open(&moved).unwrap().items;
    assert_eq!(items.picture(2), Some(moved.join("pictures/2.png")));
    assert_eq!(items.picture(0), None);
}

//! Generations on disk: what a reader sees, and what it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::canary::Canary;
use super::store::{Change, Description, Head, Row, Snapshot, Writer, generations};
use super::{ColdRule, EmbedError, compact, delete};
use crate::lock::LockError;

/// Vectors of width 2 in two branches: the item's number and a mark.
fn change(ids: &[&str], mark: f32) -> Change {
    let row = |id: &&str| Row {
        id: (*id).to_owned(),
        title: format!("title of {id}"),
        category: String::new(),
        kept: std::collections::BTreeMap::new(),
        image: String::new(),
        trained: true,
        live: vec![true, true],
        missing: if *id == "d" { vec!["image".into()] } else { Vec::new() },
        alike: BTreeMap::new(),
        generation: 0,
        offered: true,
    };
    let vectors = |scale: f32| (0..ids.len()).flat_map(|n| [scale * (n as f32 + 1.0), mark]).collect();
    Change {
        rows: ids.iter().map(row).collect(),
        vectors: vec![vectors(1.0), vectors(-1.0)],
        deleted: Vec::new(),
    }
}

fn description() -> Description {
    Description {
        generation: 1,
        parent: None,
        model: "m".into(),
        dataset: "d".into(),
        features: BTreeMap::default(),
        branches: vec!["id".into(), "text".into()],
        width: 2,
        rows: 0,
        deleted: 0,
    }
}

fn head() -> Head {
    let rule: ColdRule =
        serde_json::from_str(r#"{"kind": "drop", "typical": [0.0, 0.0], "ridge": null}"#).unwrap();
    Head { catalogue: 3, rule, canary: Canary { k: 10, pairs: Vec::new() } }
}

/// Three catalogue items; then `d` and a new `b`; then `c` deleted.
fn three_generations(dir: &Path) -> Snapshot {
    let writer = Writer::create(dir).unwrap();
    let mut snapshot = writer
        .write_whole(writer.draft(1).unwrap(), description(), &head(), change(&["a", "b", "c"], 1.0))
        .unwrap();
    let draft = writer.draft(2).unwrap();
    writer.write_next(draft, &mut snapshot, change(&["d", "b"], 2.0)).unwrap();
    drop(writer);
    delete(dir, &["c".to_owned()]).unwrap()
}

/// Id, whether it is on offer, and vector in the first branch.
fn shown(snapshot: &Snapshot) -> Vec<(&str, bool, [f32; 2])> {
    let vectors = snapshot.vectors[0].chunks_exact(2);
    snapshot.rows.iter().zip(vectors).map(|(row, v)| (row.id.as_str(), row.offered, [v[0], v[1]])).collect()
}

#[test]
fn what_a_writer_holds_is_what_a_reader_opens() {
    let home = tempfile::tempdir().unwrap();
    let written = three_generations(home.path());
    let opened = Snapshot::open(home.path()).unwrap();
    let expected =
        [("a", true, [1.0, 1.0]), ("b", true, [2.0, 2.0]), ("c", false, [3.0, 1.0]), ("d", true, [1.0, 2.0])];
    assert_eq!(shown(&opened), expected);
    assert_eq!(shown(&written), expected);
    assert_eq!((opened.description.generation, opened.appended(), &opened.hash), (3, 1, &written.hash));
    assert_eq!(opened.vectors[1][6..], [-1.0, 2.0]);
    assert_eq!(opened.rows[1].generation, 2);
    let coverage: Vec<(&str, f64)> = opened.coverage().into_iter().collect();
    assert!(matches!(coverage[..], [("image", share)] if (share - 2.0 / 3.0).abs() < 1e-12), "{coverage:?}");
}

#[test]
fn compaction_changes_nothing_a_reader_sees_and_leaves_one_generation() {
    let home = tempfile::tempdir().unwrap();
    let before = three_generations(home.path());
    let after = compact(home.path()).unwrap();
    assert_eq!(shown(&after), shown(&before));
    assert_eq!(generations(home.path()).unwrap(), [4]);
    assert_eq!(shown(&Snapshot::open(home.path()).unwrap()), shown(&before));
    // An item that is new and deleted goes for good; one of the catalogue keeps its place for histories.
    delete(home.path(), &["d".to_owned()]).unwrap();
    let ids: Vec<String> = compact(home.path()).unwrap().rows.into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn a_writer_killed_at_any_point_leaves_the_old_generation() {
    let home = tempfile::tempdir().unwrap();
    let before = three_generations(home.path());
    // What a kill leaves: the scratch directory with any of its files, even all of them.
    let whole = home.path().join("generation-00000002");
    let names: Vec<_> = fs::read_dir(&whole).unwrap().map(|e| e.unwrap().file_name()).collect();
    for kept in 0..=names.len() {
        let scratch = home.path().join(format!(".codistill-{kept}"));
        fs::create_dir(&scratch).unwrap();
        for name in &names[..kept] {
            fs::copy(whole.join(name), scratch.join(name)).unwrap();
        }
        assert_eq!(shown(&Snapshot::open(home.path()).unwrap()), shown(&before));
    }
    delete(home.path(), &["a".to_owned()]).unwrap();
    let left = fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with(".codistill")).count(), 0);
}

#[test]
fn a_reader_keeps_its_generation_while_others_write() {
    let home = tempfile::tempdir().unwrap();
    three_generations(home.path());
    let reader = Snapshot::open(home.path()).unwrap();
    delete(home.path(), &["d".to_owned()]).unwrap();
    compact(home.path()).unwrap();
    assert!(reader.find(&["d".to_owned()]).is_ok());
    assert!(matches!(
        Snapshot::open(home.path()).unwrap().find(&["d".to_owned()]),
        Err(EmbedError::UnknownItem { .. })
    ));
}

#[test]
fn damage_is_refused_and_never_a_panic() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("store");
    three_generations(&dir);
    let files = ["vectors.safetensors", "rows.json", "manifest.json", "head.json"];
    for (file, generation) in files.into_iter().flat_map(|f| [(f, 1), (f, 2)]) {
        let path = dir.join(format!("generation-{generation:08}")).join(file);
        let Ok(bytes) = fs::read(&path) else { continue };
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(Snapshot::open(&dir).is_err(), "{file} of {length} bytes");
        }
        fs::remove_file(&path).unwrap();
        assert!(Snapshot::open(&dir).is_err(), "without {file}");
        fs::write(&path, &bytes).unwrap();
    }
    assert!(Snapshot::open(&dir).is_ok());
    // A generation in the middle of the chain is gone, or another's.
    let (second, aside) = (dir.join("generation-00000002"), home.path().join("aside"));
    fs::rename(&second, &aside).unwrap();
    assert!(Snapshot::open(&dir).is_err());
    let other = home.path().join("other");
    let writer = Writer::create(&other).unwrap();
    let mut snapshot = writer
        .write_whole(writer.draft(1).unwrap(), description(), &head(), change(&["a", "b", "x"], 1.0))
        .unwrap();
    writer.write_next(writer.draft(2).unwrap(), &mut snapshot, change(&["y"], 2.0)).unwrap();
    fs::rename(other.join("generation-00000002"), &second).unwrap();
    assert!(matches!(Snapshot::open(&dir), Err(EmbedError::BrokenChain { generation: 2, .. })));
}

#[test]
fn a_second_writer_is_turned_away() {
    let home = tempfile::tempdir().unwrap();
    three_generations(home.path());
    let writer = Writer::lock(home.path()).unwrap();
    assert!(matches!(delete(home.path(), &["a".to_owned()]), Err(EmbedError::Lock(LockError::InUse { .. }))));
    drop(writer);
    assert!(delete(home.path(), &["a".to_owned()]).is_ok());
    assert!(matches!(delete(home.path(), &["a".to_owned()]), Err(EmbedError::UnknownItem { .. })));
}

#[test]
fn no_store_is_said_as_such() {
    let home = tempfile::tempdir().unwrap();
    assert!(matches!(Snapshot::open(&home.path().join("none")), Err(EmbedError::NoStore(_))));
    assert!(matches!(Snapshot::open(home.path()), Err(EmbedError::NoStore(_))));
}

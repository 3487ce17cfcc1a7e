//! Stores and imports as a user meets them: files in, files out.

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::data::{Dataset, Items, Sequences, TrainedOn};

const IDS: [&str; 4] = ["10", "20", "30", "40"];

/// A data set of the items 10, 20, 30 and 40, without users.
fn dataset() -> Dataset {
    let mut ids = vec![String::new()];
    ids.extend(IDS.map(str::to_owned));
    let items = Items { ids, ..Items::default() };
    Dataset {
        users: Vec::new(),
        items,
        sequences: Sequences::default(),
        timed: true,
        hash: "d".into(),
        trained_on: TrainedOn::default(),
    }
}

fn npy(descr: &str, fortran: bool, shape: &str, values: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut dict = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (dict.len() + 11) % 64 != 0 {
        dict.push(' ');
    }
    dict.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dict.len() as u16).to_le_bytes());
    bytes.extend(dict.bytes());
    bytes.extend(values);
    bytes
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A float32 matrix file.
    fn matrix(&self, shape: &str, values: &[f32]) -> ArrayRef {
        ArrayRef { path: self.put("m.npy", &npy("<f4", false, shape, &f32_bytes(values))), tensor: None }
    }

    fn ids(&self, name: &str, text: &str) -> IdTable {
        IdTable { path: self.put(name, text.as_bytes()), column: None }
    }

    fn dest(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn import(&self, matrix: &ArrayRef, ids: &IdTable) -> Result<ImportReport, FeatureError> {
        import(&dataset(), matrix, ids, &self.dest(), &ImportOptions::default())
    }
}

fn row(store: &FeatureStore, item: u32) -> Vec<f32> {
    let mut out = vec![f32::NAN; store.length(item) * store.width()];
    store.gather_into(item, store.length(item), &mut out);
    out
}

#[test]
fn rows_find_their_items_by_id_and_the_rest_is_counted() {
    let home = Home::new();
    let matrix = home.matrix("(4, 2)", &[3.0, 3.5, 1.0, 1.5, 9.0, 9.5, 0.0, 0.0]);
    let report = home.import(&matrix, &home.ids("ids.txt", "30\r\n10\n99\n20\n")).unwrap();
    assert_eq!((report.matched, report.missing, report.unknown, report.all_zero), (3, 1, 1, 1));
    let store = FeatureStore::open(&home.dest()).unwrap();
    assert_eq!((store.items(), store.tokens(), store.width(), store.missing()), (4, 1, 2, 1));
    assert_eq!((store.length(0), store.length(3), store.length(4)), (0, 1, 0));
    assert_eq!((row(&store, 1), row(&store, 3)), (vec![1.0, 1.5], vec![3.0, 3.5]));
    assert_eq!(store.hash(), report.hash);
    FeatureStore::open(&home.dest()).unwrap().verify().unwrap();
    store.check_items(&dataset()).unwrap();
}

#[test]
fn a_store_of_another_numbering_is_refused() {
    let home = Home::new();
    home.import(&home.matrix("(1, 1)", &[1.0]), &home.ids("ids.txt", "10")).unwrap();
    let mut other = dataset();
    other.items.ids.swap(1, 2);
    let store = FeatureStore::open(&home.dest()).unwrap();
    assert!(matches!(store.check_items(&other), Err(FeatureError::OtherItems { .. })));
}

#[test]
fn every_sort_of_id_table_gives_the_same_store() {
    let wide = |text: &str| text.bytes().flat_map(|b| u32::from(b).to_le_bytes()).collect::<Vec<u8>>();
    let integers: Vec<u8> = [20i64, 10].iter().flat_map(|v| v.to_le_bytes()).collect();
    let tables: Vec<(&str, Vec<u8>, Option<&str>)> = vec![
        ("a.txt", b"20\n10".to_vec(), None),
        ("a.csv", b"item,name\n20,\"a, b\"\n10,c\n".to_vec(), None),
        ("b.tsv", b"name\titem\n\"open\t20\nc\t10\n".to_vec(), Some("item")),
        ("a.json", b"[20, \"10\"]".to_vec(), None),
        ("a.npy", npy("<i8", false, "(2,)", &integers), None),
        ("b.npy", npy("|S3", false, "(2,)", b"20\x0010\x00"), None),
        ("c.npy", npy("<U2", false, "(2,)", &wide("2010")), None),
        ("d.npy", npy("|u1", false, "(2,)", &[20, 10]), None),
    ];
    for (name, bytes, column) in tables {
        let home = Home::new();
        let ids = IdTable { path: home.put(name, &bytes), column: column.map(str::to_owned) };
        home.import(&home.matrix("(2, 1)", &[2.0, 1.0]), &ids).unwrap();
        let store = FeatureStore::open(&home.dest()).unwrap();
        assert_eq!((row(&store, 1), row(&store, 2)), (vec![1.0], vec![2.0]), "{name}");
    }
}

#[test]
fn token_level_features_keep_their_lengths_and_a_length_of_0_is_missing() {
    let home = Home::new();
    // The token behind the length is not a number: it must never be looked at.
    let matrix = home.matrix("(2, 2, 1)", &[5.0, f32::NAN, 7.0, 8.0]);
    let lengths = ArrayRef {
        path: home.put("n.npy", &npy("<i4", false, "(2,)", &[1, 0, 0, 0, 0, 0, 0, 0])),
        tensor: None,
    };
    let options = ImportOptions { lengths: Some(lengths), ..ImportOptions::default() };
    let report = import(&dataset(), &matrix, &home.ids("i.txt", "10\n20"), &home.dest(), &options).unwrap();
    assert_eq!((report.matched, report.missing), (1, 3));
    let store = FeatureStore::open(&home.dest()).unwrap();
    let mut both = [f32::NAN; 2];
    store.gather_into(1, 2, &mut both);
    assert_eq!((store.length(1), both), (1, [5.0, 0.0]));
}

#[test]
fn safetensors_matrices_are_found_by_name() {
    let home = Home::new();
    let half: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
    let double: Vec<u8> = [0.25f64, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = |dtype, bytes| safetensors::tensor::TensorView::new(dtype, vec![2, 1], bytes).unwrap();
    let tensors =
        [("half", view(safetensors::Dtype::F16, &half)), ("double", view(safetensors::Dtype::F64, &double))];
    let path = home.put("m.safetensors", &safetensors::serialize(tensors, None).unwrap());
    let ids = home.ids("i.txt", "10\n40");
    let named = |name: Option<&str>| ArrayRef { path: path.clone(), tensor: name.map(str::to_owned) };

    let ambiguous = home.import(&named(None), &ids).unwrap_err();
    assert!(ambiguous.hint().unwrap().contains("\"half\""), "{ambiguous}");
    assert!(matches!(home.import(&named(Some("x")), &ids), Err(FeatureError::NoSuchTensor { .. })));
    let report = home.import(&named(Some("half")), &ids).unwrap();
    assert_eq!(report.precision, Precision::F16);
    assert_eq!(row(&FeatureStore::open(&home.dest()).unwrap(), 4), vec![-2.0]);
    fs::remove_dir_all(home.dest()).unwrap();
    home.import(&named(Some("double")), &ids).unwrap();
    assert_eq!(row(&FeatureStore::open(&home.dest()).unwrap(), 1), vec![0.25]);
}

/// Imports, expects a failure and nothing left behind, and returns message and hint.
fn failure(home: &Home, matrix: &ArrayRef, ids: &IdTable) -> (String, String) {
    let error = home.import(matrix, ids).unwrap_err();
    assert!(!home.dest().exists());
    assert!(!fs::read_dir(home.0.path()).unwrap().any(|e| e.unwrap().file_type().unwrap().is_dir()));
    (error.to_string(), error.hint().unwrap_or_default())
}

#[test]
fn mistakes_are_named_and_leave_nothing_behind() {
    let home = Home::new();
    let ids = home.ids("i.txt", "10\n20");
    let says = |(message, hint): (String, String), wanted: &str| {
        let all = format!("{message} / {hint}");
        assert!(all.contains(wanted), "{all}");
    };
    let good = home.matrix("(2, 1)", &[1.0, 2.0]);
    says(failure(&home, &good, &home.ids("three.txt", "10\n20\n30")), "2 rows, but");
    says(failure(&home, &good, &home.ids("twice.txt", "10\n10")), "row 1 and row 0 have the same id \"10\"");
    says(
        failure(&home, &good, &home.ids("none.txt", "tt10\ntt20")),
        "ids like 10, 20 here, tt10, tt20 there: they differ in a prefix",
    );
    says(failure(&home, &good, &home.ids("gap.txt", "10\n\n")), "it is empty");
    says(failure(&home, &good, &home.ids("float.json", "[1.5, 2]")), "row 0 is not an id: 1.5");
    says(failure(&home, &good, &home.ids("header.csv", "10\n20\n")), "header line");
    let column = IdTable { path: home.put("c.csv", b"a,b\n1,2\n"), column: Some("item".into()) };
    says(failure(&home, &good, &column), "its columns are \"a\", \"b\"");
    says(failure(&home, &home.matrix("(2,)", &[1.0, 2.0]), &ids), "shape [2], wanted [items, width]");
    says(
        failure(&home, &home.matrix("(2, 3)", &[1.0, 2.0]), &ids),
        "8 bytes of values do not make shape [2, 3]",
    );
    says(
        failure(&home, &home.matrix("(2, 2)", &[1.0, 2.0, 3.0, f32::INFINITY]), &ids),
        "row 1 (item id \"20\"), token 0, column 1 is inf",
    );
    let fortran = home.put("f.npy", &npy("<f4", true, "(2, 1)", &f32_bytes(&[1.0, 2.0])));
    says(failure(&home, &ArrayRef { path: fortran, tensor: None }, &ids), "ascontiguousarray");
    let integers = home.put("n.npy", &npy("<i4", false, "(2, 1)", &[0; 8]));
    says(failure(&home, &ArrayRef { path: integers, tensor: None }, &ids), "swapped?");
}

#[test]
fn a_value_too_large_for_float16_is_an_error_not_infinity() {
    let home = Home::new();
    let mut writer = StoreWriter::create(&home.dest(), 1, 1, 1, Precision::F16).unwrap();
    let error = writer.push(1, &[1e6]).unwrap_err();
    assert!(matches!(error, FeatureError::OutOfRange { item: 1, .. }), "{error}");
}

#[test]
fn rows_out_of_order_or_of_a_wrong_size_are_refused() {
    let home = Home::new();
    let mut writer = StoreWriter::create(&home.dest(), 3, 2, 2, Precision::F32).unwrap();
    for (item, values) in [(0, 2), (4, 2), (1, 0), (1, 1), (1, 6)] {
        assert!(writer.push(item, &vec![0.0; values]).is_err(), "{item} {values}");
    }
    writer.push(2, &[1.0, 2.0]).unwrap();
    assert!(writer.push(2, &[1.0, 2.0]).is_err());
    assert!(
        StoreWriter::create(&home.0.path().join("y"), usize::MAX / 8, 1 << 20, 1 << 20, Precision::F32)
            .is_err()
    );
}

/// A store of 2 items, 2 tokens and 3 values, item 2 missing.
fn small_store(dir: &Path) {
    let mut writer = StoreWriter::create(dir, 2, 2, 3, Precision::F32).unwrap();
    writer.push(1, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    writer.finish(json!({ "source": "test" })).unwrap();
}

#[test]
fn a_flipped_byte_of_the_features_is_found_by_verify() {
    let home = Home::new();
    small_store(&home.dest());
    FeatureStore::open(&home.dest()).unwrap().verify().unwrap();
    let path = home.dest().join("tokens.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(FeatureStore::open(&home.dest()).unwrap().verify().is_err());
    fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
    assert!(FeatureStore::open(&home.dest()).is_err());
}

#[test]
fn headers_and_lengths_that_lie_are_errors() {
    let home = Home::new();
    small_store(&home.dest());
    let path = home.dest().join("tokens.safetensors");
    let good = fs::read(&path).unwrap();
    let header_len = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let text = std::str::from_utf8(&good[8..8 + header_len]).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        [&good[..8], changed.as_bytes(), &good[8 + header_len..]].concat()
    };
    let mut cases = vec![
        replaced("[3,2,3]", "[3,2,9]"),
        replaced("[3,2,3]", "[3,0,3]"),
        replaced("\"tokens\"", "\"tokenz\""),
        replaced("\"I32\"", "\"F32\""),
        replaced("[12,84]", "[13,85]"),
        replaced("[0,12]", "[0,99]"),
    ];
    for length in [3u32, u32::MAX] {
        let mut bytes = good.clone();
        bytes[8 + header_len + 4..][..4].copy_from_slice(&length.to_le_bytes());
        cases.push(bytes);
    }
    let mut padding = good.clone();
    padding[8 + header_len] = 1;
    cases.push(padding);
    for (n, bytes) in cases.iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        assert!(FeatureStore::open(&home.dest()).is_err(), "case {n}");
    }
    fs::write(&path, &good).unwrap();
    assert!(FeatureStore::open(&home.dest()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_gathered(
        lengths in prop::collection::vec(0usize..=3, 1..8),
        width in 1usize..6,
        values in prop::collection::vec(-2048i32..2048, 120),
        half: bool,
    ) {
        let home = Home::new();
        let precision = if half { Precision::F16 } else { Precision::F32 };
        let mut writer = StoreWriter::create(&home.dest(), lengths.len(), 3, width, precision).unwrap();
        // Whole numbers to 2048 are exact in both precisions.
        let value = |item: usize, k: usize| values[(item * 17 + k) % values.len()] as f32;
        let wanted: Vec<Vec<f32>> =
            lengths.iter().enumerate().map(|(i, n)| (0..n * width).map(|k| value(i, k)).collect()).collect();
        for (i, tokens) in wanted.iter().enumerate().filter(|(_, t)| !t.is_empty()) {
            writer.push(i as u32 + 1, tokens).unwrap();
        }
        writer.finish(json!({})).unwrap();
        let store = FeatureStore::open(&home.dest()).unwrap();
        for (i, tokens) in wanted.iter().enumerate() {
            prop_assert_eq!(&row(&store, i as u32 + 1), tokens);
        }
        let mut padding = vec![1.0; 3 * width];
        store.gather_into(0, 3, &mut padding);
        prop_assert!(padding.iter().all(|&v| v == 0.0));
    }

    #[test]
    fn arbitrary_bytes_in_any_role_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        magic in 0usize..4,
        name in 0usize..5,
    ) {
        let home = Home::new();
        let head: &[u8] = [&b""[..], b"\x93NUMPY\x01\x00", b"\x20\0\0\0\0\0\0\0{\"a\":", b"[\"10\","][magic];
        let junk = [head, &bytes].concat();
        let junk = home.put(["x.npy", "x.safetensors", "x.csv", "x.json", "x.txt"][name], &junk);
        let matrix = home.matrix("(1, 1)", &[1.0]);
        let ids = home.ids("ids.txt", "10");
        let _ = home.import(&ArrayRef { path: junk.clone(), tensor: None }, &ids);
        let _ = fs::remove_dir_all(home.dest());
        let _ = home.import(&matrix, &IdTable { path: junk.clone(), column: None });
        let _ = fs::remove_dir_all(home.dest());
        let lengths = Some(ArrayRef { path: junk, tensor: None });
        let _ = import(&dataset(), &matrix, &ids, &home.dest(), &ImportOptions { lengths, ..Default::default() });
    }

    #[test]
    fn a_store_with_a_damaged_file_opens_or_errs_but_never_panics(
        place in 0usize..400,
        byte: u8,
        shape in "[0-9,\\[\\]\"a-zA-Z{}:_]{0,12}",
    ) {
        let home = Home::new();
        small_store(&home.dest());
        let path = home.dest().join("tokens.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let at = place % bytes.len();
        bytes[at] = byte;
        let end = (at + shape.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&shape.as_bytes()[..end - at]);
        fs::write(&path, &bytes).unwrap();
        if let Ok(store) = FeatureStore::open(&home.dest()) {
            for item in 0..=store.items() as u32 {
                let mut out = vec![0.0; store.tokens() * store.width()];
                store.gather_into(item, store.tokens(), &mut out);
            }
        }
    }
}

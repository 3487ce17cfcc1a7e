//! Parquet files as Spark, pandas and others write them.

use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type, Int96, Int96Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use super::super::tests::{Row, catalogue_of, detect, format_options, interactions_of};
use super::super::{BadLines, Columns, Format, SourceError, SourceOptions};

/// One column's values with its definition and repetition levels.
enum Data {
    I32(Vec<i32>),
    I64(Vec<i64>),
    I96(Vec<Int96>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    /// Unscaled, in 32 bits; with definition levels.
    Decimal(Vec<i32>, Vec<i16>),
    Text(Vec<&'static str>, Option<Vec<i16>>, Option<Vec<i16>>),
}

fn text(values: &[&'static str]) -> Data {
    Data::Text(values.to_vec(), None, None)
}

/// A file of `groups` equal row groups.
fn encode(schema: &str, columns: &[Data], groups: usize) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} }}")).unwrap());
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    for _ in 0..groups {
        let mut group = writer.next_row_group().unwrap();
        for data in columns {
            let mut column = group.next_column().unwrap().unwrap();
            match data {
                Data::I32(v) => drop(column.typed::<Int32Type>().write_batch(v, None, None).unwrap()),
                Data::I64(v) => drop(column.typed::<Int64Type>().write_batch(v, None, None).unwrap()),
                Data::I96(v) => drop(column.typed::<Int96Type>().write_batch(v, None, None).unwrap()),
                Data::F64(v) => drop(column.typed::<DoubleType>().write_batch(v, None, None).unwrap()),
                Data::Bool(v) => drop(column.typed::<BoolType>().write_batch(v, None, None).unwrap()),
                Data::Decimal(v, levels) => {
                    let _ = column.typed::<Int32Type>().write_batch(v, Some(levels), None).unwrap();
                }
                Data::Text(v, definitions, repetitions) => {
                    let v: Vec<<ByteArrayType as DataType>::T> =
                        v.iter().map(|&t| ByteArray::from(t)).collect();
                    let levels = (definitions.as_deref(), repetitions.as_deref());
                    column.typed::<ByteArrayType>().write_batch(&v, levels.0, levels.1).unwrap();
                }
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

fn read_at(path: &std::path::Path, bad: &mut BadLines) -> Result<Vec<Row>, SourceError> {
    interactions_of(path, &format_options(Format::Parquet), bad)
}

fn read(bytes: &[u8]) -> Result<Vec<Row>, SourceError> {
    let (_dir, path) = saved(bytes);
    assert_eq!(detect(&path).unwrap(), Format::Parquet);
    read_at(&path, &mut BadLines::default())
}

fn saved(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.parquet");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn every_time_type_gives_the_same_second() {
    let mut spark = Int96::new();
    // 2000-07-30 is Julian day 2,451,756; 18:45:03 in nanoseconds.
    let nanos = 67_503u64 * 1_000_000_000;
    spark.set_data(nanos as u32, (nanos >> 32) as u32, 2_451_756);
    let times = [
        ("required int64 time", Data::I64(vec![964_982_703])),
        ("required int32 time", Data::I32(vec![964_982_703])),
        ("required int64 time", Data::I64(vec![964_982_703_500])),
        ("required double time", Data::F64(vec![964_982_703.25])),
        ("required int96 time", Data::I96(vec![spark])),
        ("required int64 time (TIMESTAMP(MILLIS,true))", Data::I64(vec![964_982_703_000])),
        ("required int64 time (TIMESTAMP(MICROS,false))", Data::I64(vec![964_982_703_000_000])),
        ("required int64 time (TIMESTAMP(NANOS,true))", Data::I64(vec![964_982_703_000_000_000])),
    ];
    for (column, data) in times {
        let schema = format!("required int64 user; required int32 item; {column};");
        let rows = read(&encode(&schema, &[Data::I64(vec![-7]), Data::I32(vec![8]), data], 1)).unwrap();
        assert_eq!(rows, [("-7".into(), "8".into(), Some(964_982_703), None)], "{column}");
    }
}

#[test]
fn a_format_of_times_reads_whole_numbers_and_no_time_stamps() {
    let of = |column: &str, data: Data| {
        let schema = format!("required int64 user; required int32 item; {column};");
        let (_dir, path) = saved(&encode(&schema, &[Data::I64(vec![7]), Data::I32(vec![8]), data], 1));
        let options =
            SourceOptions { time_format: Some("%Y%m%d".to_owned()), ..format_options(Format::Parquet) };
        interactions_of(&path, &options, &mut BadLines::default())
    };
    let rows = of("required int32 time", Data::I32(vec![20_000_730])).unwrap();
    assert_eq!(rows[0].2, Some(964_915_200));
    for (column, data) in [
        ("required int64 time (TIMESTAMP(MILLIS,true))", Data::I64(vec![964_982_703_000])),
        ("required double time", Data::F64(vec![20_000_730.5])),
    ] {
        let error = of(column, data).unwrap_err();
        assert!(error.to_string().contains("--time-format reads texts and whole numbers"), "{error}");
    }
}

#[test]
fn only_wanted_columns_are_read_over_all_row_groups_and_batches() {
    let n = super::BATCH + 100;
    let schema = "required binary junk (UTF8); required binary item (UTF8); required int64 user; required double rating;";
    let columns = [
        text(&vec!["x"; n]),
        text(&vec!["i"; n]),
        Data::I64((0..n as i64).collect()),
        Data::F64(vec![0.5; n]),
    ];
    let rows = read(&encode(schema, &columns, 3)).unwrap();
    assert_eq!(rows.len(), 3 * n);
    let users_ascend = rows.iter().enumerate().all(|(at, row)| row.0 == (at % n).to_string());
    assert!(users_ascend);
    assert_eq!(rows[n], ("0".into(), "i".into(), None, Some(0.5)));
}

#[test]
fn wrong_types_name_the_column_and_the_type() {
    let flag = encode(
        "required boolean user; required int32 item;",
        &[Data::Bool(vec![true]), Data::I32(vec![1])],
        1,
    );
    let error = read(&flag).unwrap_err();
    assert!(matches!(&error, SourceError::WrongType { column, .. } if column == "user"));
    assert!(error.to_string().contains("BOOLEAN"), "{error}");
    let lists = "required int32 user; required int32 item;
        optional group time (LIST) { repeated group list { optional binary element (UTF8); } }";
    let times = Data::Text(vec!["2001"], Some(vec![3]), Some(vec![0]));
    let error = read(&encode(lists, &[Data::I32(vec![1]), Data::I32(vec![1]), times], 1)).unwrap_err();
    assert!(error.to_string().contains("column time is a list of BYTE_ARRAY (UTF8)"), "{error}");
    let error =
        read(&encode("required int32 u; required int32 item;", &[Data::I32(vec![1]), Data::I32(vec![1])], 1));
    assert!(matches!(error, Err(SourceError::MissingColumn { found, .. }) if found == ["u", "item"]));
}

#[test]
fn a_null_id_is_a_bad_row() {
    let user = Data::Text(vec!["a", "c"], Some(vec![1, 0, 1]), None);
    let bytes =
        encode("optional binary user (UTF8); required int32 item;", &[user, Data::I32(vec![1, 2, 3])], 1);
    let (_dir, path) = saved(&bytes);
    let mut bad = BadLines { allowed: 1, ..BadLines::default() };
    let rows = read_at(&path, &mut bad).unwrap();
    assert_eq!(rows.iter().map(|r| r.1.as_str()).collect::<Vec<_>>(), ["1", "3"]);
    assert!(bad.first.unwrap().ends_with("log.parquet:2: column user: empty id"));
}

#[test]
fn catalogue_lists_are_joined_and_nulls_are_empty() {
    let schema = "required binary item (UTF8); optional binary title (UTF8);
        optional group categories (LIST) { repeated group list { optional binary element (UTF8); } }";
    let title = Data::Text(vec!["T"], Some(vec![1, 0, 0]), None);
    // Rows: two names, an empty list, null.
    let names = Data::Text(vec!["A", "B"], Some(vec![3, 3, 1, 0]), Some(vec![0, 1, 0, 0]));
    let (_dir, path) = saved(&encode(schema, &[text(&["1", "2", "3"]), title, names], 1));
    let items = catalogue_of(&path, &format_options(Format::Parquet), &mut BadLines::default()).unwrap();
    assert_eq!(items.iter().map(|i| i.category.as_str()).collect::<Vec<_>>(), ["A|B", "", ""]);
    assert_eq!(items.iter().map(|i| i.title.as_str()).collect::<Vec<_>>(), ["T", "", ""]);
}

/// Pictures of three items as the hub's metadata have them: a struct of lists.
const HUB: &str = "required binary parent_asin (UTF8); optional group images {
        optional group hi_res (LIST) { repeated group list { optional binary element (UTF8); } }
        optional group large (LIST) { repeated group list { optional binary element (UTF8); } }
        optional group variant (LIST) { repeated group list { optional binary element (UTF8); } } }
    optional group features (LIST) { repeated group list { optional binary element (UTF8); } }
    optional binary details (UTF8); optional binary subtitle (UTF8); optional int32 price (DECIMAL(9,2));";

#[test]
fn amazons_metadata_of_the_hub_have_pictures_texts_and_kept_prices() {
    let list = |values: &[&'static str], levels: &[i16], starts: &[i16]| {
        Data::Text(values.to_vec(), Some(levels.to_vec()), Some(starts.to_vec()))
    };
    let columns = [
        text(&["P1", "P2", "P3"]),
        list(&[], &[3, 3, 0, 2], &[0, 1, 0, 0]),
        list(&["1a", "1b"], &[4, 4, 0, 2], &[0, 1, 0, 0]),
        list(&["PT01", "MAIN"], &[4, 4, 0, 2], &[0, 1, 0, 0]),
        list(&["soft", "red", "x"], &[3, 3, 3, 1], &[0, 1, 0, 0]),
        Data::Text(vec!["{\"Brand\": \"Acme\"}", "{}"], Some(vec![1, 1, 0]), None),
        Data::Text(vec!["Hardcover"], Some(vec![0, 0, 1]), None),
        Data::Decimal(vec![1250, 7], vec![1, 0, 1]),
    ];
    let (_dir, path) = saved(&encode(HUB, &columns, 2));
    let kept = vec!["price".to_owned(), "features".to_owned()];
    let columns = Columns { kept, ..Default::default() };
    let options = SourceOptions { columns, ..format_options(Format::Parquet) };
    let items = catalogue_of(&path, &options, &mut BadLines::default()).unwrap();
    let field = |field: fn(&super::super::RawItem) -> &str| items.iter().map(field).collect::<Vec<_>>();
    assert_eq!(field(|i| &i.id), ["P1", "P2", "P3", "P1", "P2", "P3"]);
    assert_eq!(field(|i| &i.image), ["1b", "", "", "1b", "", ""]);
    assert_eq!(field(|i| &i.text)[..3], ["soft red Acme", "x", "Hardcover"]);
    assert_eq!(field(|i| &i.kept[0])[..3], ["12.50", "", "0.07"]);
    assert_eq!(field(|i| &i.kept[1])[..3], ["soft|red", "x", ""]);
}

#[test]
fn lists_of_pictures_and_of_objects_give_the_main_or_first_one() {
    let schema = "required binary item (UTF8);
        optional group images (LIST) { repeated group list { optional group element {
            optional binary large (UTF8); optional binary variant (UTF8); } } }";
    // Rows: two pictures, an empty list, null.
    let large = Data::Text(vec!["a", "b"], Some(vec![4, 4, 1, 0]), Some(vec![0, 1, 0, 0]));
    let variant = Data::Text(vec!["PT01", "MAIN"], Some(vec![4, 4, 1, 0]), Some(vec![0, 1, 0, 0]));
    let (_dir, path) = saved(&encode(schema, &[text(&["1", "2", "3"]), large, variant], 1));
    let items = catalogue_of(&path, &format_options(Format::Parquet), &mut BadLines::default()).unwrap();
    assert_eq!(items.iter().map(|i| i.image.as_str()).collect::<Vec<_>>(), ["b", "", ""]);
    let schema = "required binary item (UTF8);
        optional group image (LIST) { repeated group list { optional binary element (UTF8); } }";
    let image =
        Data::Text(vec!["pics/1a.png", "pics/1b.png"], Some(vec![3, 3, 1, 0]), Some(vec![0, 1, 0, 0]));
    let (_dir, path) = saved(&encode(schema, &[text(&["1", "2", "3"]), image], 1));
    let items = catalogue_of(&path, &format_options(Format::Parquet), &mut BadLines::default()).unwrap();
    assert_eq!(items.iter().map(|i| i.image.as_str()).collect::<Vec<_>>(), ["pics/1a.png", "", ""]);
}

#[test]
fn decimals_and_texts_are_ids_times_and_values() {
    let schema = "optional int32 user (DECIMAL(9,0)); optional int32 item (DECIMAL(9,2));
        required binary time (UTF8); optional int32 rating (DECIMAL(9,1));";
    let columns = [
        Data::Decimal(vec![7, 8], vec![1, 1]),
        Data::Decimal(vec![1200, 1250], vec![1, 1]),
        text(&["2000-07-30 18:45:03", "964982703"]),
        Data::Decimal(vec![45], vec![1, 0]),
    ];
    let (_dir, path) = saved(&encode(schema, &columns, 1));
    let mut bad = BadLines { allowed: 1, ..BadLines::default() };
    let rows = read_at(&path, &mut bad).unwrap();
    assert_eq!(rows, [("7".into(), "12".into(), Some(964_982_703), Some(4.5))]);
    assert!(bad.first.unwrap().ends_with("2: column item: 12.50 is no id: a decimal with a fraction"));
}

#[test]
fn folders_of_partitions_give_a_column() {
    let dir = tempfile::tempdir().unwrap();
    for category in ["lamps", "shoes%2Fboots"] {
        let folder = dir.path().join(format!("category={category}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(
            folder.join("data_0.parquet"),
            encode("required int32 item;", &[Data::I32(vec![1])], 1),
        )
        .unwrap();
    }
    let items = catalogue_of(dir.path(), &SourceOptions::default(), &mut BadLines::default()).unwrap();
    assert_eq!(items.iter().map(|i| i.category.as_str()).collect::<Vec<_>>(), ["lamps", "shoes/boots"]);
}

#[test]
fn kept_columns_of_every_type_are_text_as_it_is_written() {
    let schema =
        "required binary item (UTF8); required boolean new; required double price; required int32 stock;
        optional group tags (LIST) { repeated group list { optional binary element (UTF8); } }";
    let tags = Data::Text(vec!["A", "B"], Some(vec![3, 3, 0]), Some(vec![0, 1, 0]));
    let columns = [
        text(&["1", "2"]),
        Data::Bool(vec![true, false]),
        Data::F64(vec![0.1, f64::NAN]),
        Data::I32(vec![7, -1]),
        tags,
    ];
    let (_dir, path) = saved(&encode(schema, &columns, 1));
    let read = |kept: &[&str]| {
        let columns = Columns { kept: kept.iter().map(|&name| name.into()).collect(), ..Columns::default() };
        let options = SourceOptions { columns, ..format_options(Format::Parquet) };
        let items = catalogue_of(&path, &options, &mut BadLines::default())?;
        Ok::<_, SourceError>(items.into_iter().map(|item| item.kept).collect::<Vec<_>>())
    };
    let found = read(&["tags", "new", "price", "stock"]).unwrap();
    assert_eq!(found, [["A|B", "true", "0.1", "7"], ["", "false", "", "-1"]]);
    let message = read(&["colour"]).unwrap_err().to_string();
    assert!(message.contains("no column colour; found item, new, price, stock, tags"), "{message}");
}

#[test]
fn a_directory_as_spark_writes_it_is_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let schema = "required int32 user; required int32 item;";
    for part in [1, 0] {
        let bytes = encode(schema, &[Data::I32(vec![part]), Data::I32(vec![part])], 1);
        std::fs::write(dir.path().join(format!("part-0000{part}-x.snappy.parquet")), bytes).unwrap();
    }
    for marker in ["_SUCCESS", "_metadata", ".part-00000-x.snappy.parquet.crc"] {
        std::fs::write(dir.path().join(marker), b"not a table").unwrap();
    }
    assert_eq!(detect(dir.path()).unwrap(), Format::Parquet);
    let rows = read_at(dir.path(), &mut BadLines::default()).unwrap();
    assert_eq!(rows.iter().map(|r| r.0.as_str()).collect::<Vec<_>>(), ["0", "1"]);
}

#[test]
fn a_file_cut_short_is_damaged() {
    let bytes =
        encode("required int32 user; required int32 item;", &[Data::I32(vec![1]), Data::I32(vec![1])], 1);
    let error = read(&bytes[..bytes.len() - 5]).unwrap_err();
    assert!(matches!(error, SourceError::Damaged { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn damaged_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let schema = "optional binary user (UTF8); required int32 item; required int64 time;
            optional group title (LIST) { repeated group list { optional binary element (UTF8); } }";
        let user = Data::Text(vec!["a", "c"], Some(vec![1, 0, 1]), None);
        let title = Data::Text(vec!["A", "B"], Some(vec![3, 3, 1, 0]), Some(vec![0, 1, 0, 0]));
        let columns = [user, Data::I32(vec![1, 2, 3]), Data::I64(vec![4, 5, 6]), title];
        let mut bytes = encode(schema, &columns, 2);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let (_dir, path) = saved(&bytes);
        let mut bad = BadLines { allowed: 100, ..BadLines::default() };
        let _ = read_at(&path, &mut bad);
        let _ = catalogue_of(&path, &format_options(Format::Parquet), &mut bad);
    }
}

//! Every text format on small files, and every reader on arbitrary bytes.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

mod folders;
mod json;
mod tables;

pub(super) type Row = (String, String, Option<i64>, Option<f64>);

fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Whole seconds of a time that stands alone in its column.
pub(super) fn seconds(time: RawTime) -> Option<i64> {
    let mut column = TimeColumn::default();
    let packed = column.pack(time).ok()?.value;
    Some(column.resolve(None).ok()?.micros(packed).ok()?.div_euclid(1_000_000))
}

/// The format that is found out for a file.
pub(super) fn detect(path: &Path) -> Result<Format, SourceError> {
    Ok(Reading::new(path, Source::Log, &SourceOptions::default(), BadLines::default())?.plan.format)
}

pub(super) fn format_options(format: Format) -> SourceOptions {
    SourceOptions { format: Some(format), ..SourceOptions::default() }
}

/// Reads all interactions; `bad` says how many bad lines there may be and learns how many there were.
pub(super) fn interactions_of(
    path: &Path,
    options: &SourceOptions,
    bad: &mut BadLines,
) -> Result<Vec<Row>, SourceError> {
    let mut rows = Vec::new();
    let mut reading = Reading::new(path, Source::Log, options, bad.clone())?;
    let count = read_interactions(&mut reading, &mut |r| {
        rows.push((r.user.to_owned(), r.item.to_owned(), r.time.and_then(seconds), r.value));
        Ok(())
    });
    *bad = reading.bad;
    assert_eq!(count?, rows.len() as u64);
    Ok(rows)
}

pub(super) fn catalogue_of(
    path: &Path,
    options: &SourceOptions,
    bad: &mut BadLines,
) -> Result<Vec<RawItem>, SourceError> {
    let mut rows = Vec::new();
    let mut reading = Reading::new(path, Source::Catalogue, options, bad.clone())?;
    let count = read_items(&mut reading, &mut |row| {
        rows.push(row);
        Ok(())
    });
    *bad = reading.bad;
    assert_eq!(count?, rows.len() as u64);
    Ok(rows)
}

fn rows_of(path: &Path, format: Format, bad: &mut BadLines) -> Result<Vec<Row>, SourceError> {
    interactions_of(path, &format_options(format), bad)
}

/// Detects the format of `bytes`, checks it, and reads them as interactions without allowing bad lines.
fn read(name: &str, bytes: &[u8], expected: Format) -> Result<Vec<Row>, SourceError> {
    let (_dir, path) = file(name, bytes);
    assert_eq!(detect(&path).unwrap(), expected);
    rows_of(&path, expected, &mut BadLines::default())
}

fn items_of(name: &str, bytes: &[u8], expected: Format, columns: &Columns) -> Vec<RawItem> {
    let (_dir, path) = file(name, bytes);
    assert_eq!(detect(&path).unwrap(), expected);
    let options = SourceOptions { columns: columns.clone(), ..format_options(expected) };
    catalogue_of(&path, &options, &mut BadLines::default()).unwrap()
}

fn row(user: &str, item: &str, time: Option<i64>, value: Option<f64>) -> Row {
    (user.to_owned(), item.to_owned(), time, value)
}

#[test]
fn movielens_csv_reads_alike_with_both_line_ends_and_a_byte_order_mark() {
    let unix = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n\n7,2,4.0,851868750\n";
    let expected =
        vec![row("1", "31", Some(1_260_759_144), Some(2.5)), row("7", "2", Some(851_868_750), Some(4.0))];
    let dos = format!("\u{feff}{}", unix.replace('\n', "\r\n"));
    assert_eq!(read("ratings.csv", unix.as_bytes(), Format::MovielensCsv).unwrap(), expected);
    assert_eq!(read("ratings.csv", dos.as_bytes(), Format::MovielensCsv).unwrap(), expected);
    let open_end = unix.trim_end().as_bytes();
    assert_eq!(read("ratings.csv", open_end, Format::MovielensCsv).unwrap(), expected);
}

#[test]
fn quoted_fields_hold_delimiters_quotes_and_line_ends() {
    let text = b"movieId,title,genres\n11,\"American President, The \"\"(1995)\"\"\nII\",Drama|Romance\n";
    let items = items_of("movies.csv", text, Format::MovielensCsv, &Columns::default());
    assert_eq!(items[0].title, "American President, The \"(1995)\"\nII");
    assert_eq!((items[0].id.as_str(), items[0].category.as_str()), ("11", "Drama|Romance"));
}

#[test]
fn a_message_names_the_line_on_which_the_record_starts() {
    for end in ["\n", "\r\n"] {
        let text = ["item,title", "1,\"two", "lines\"", "", "2", "3,x"].join(end);
        let (_dir, path) = file("items.csv", text.as_bytes());
        let mut bad = BadLines::default();
        let error = catalogue_of(&path, &format_options(Format::Delimited), &mut bad);
        assert!(matches!(error, Err(SourceError::Malformed { line: 5, .. })), "{error:?}");
    }
}

#[test]
fn an_open_quote_is_an_error_and_swallows_nothing_silently() {
    let (_dir, path) = file("items.csv", b"item,title\n1,\"open\n2,x\n");
    let mut bad = BadLines { allowed: 9, ..BadLines::default() };
    let error = catalogue_of(&path, &format_options(Format::Delimited), &mut bad);
    assert!(matches!(error, Err(SourceError::Malformed { line: 2, .. })), "{error:?}");
}

#[test]
fn tables_with_other_names_and_iso_dates_are_read_by_the_names_asked_for() {
    let (_dir, path) = file("log.csv", b"who;what;when\na;b;2000-07-30 18:45:03\n");
    let names = |user: &str| Columns {
        user: user.into(),
        item: "what".into(),
        time: "when".into(),
        ..Columns::default()
    };
    let read = |user: &str| {
        let options = SourceOptions { columns: names(user), ..format_options(Format::Delimited) };
        interactions_of(&path, &options, &mut BadLines::default())
    };
    assert_eq!(read("who").unwrap(), [row("a", "b", Some(964_982_703), None)]);
    let error = read("whom").unwrap_err();
    assert!(error.to_string().contains("whom") && error.to_string().contains("who, what, when"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn text_columns_are_joined_in_the_order_asked_for() {
    let columns = Columns { text: vec!["plot".into(), "tag".into()], ..Columns::default() };
    let text = b"item\ttag\ttitle\tplot\tposter\n5\tdark\tHeat\tA heist\tposters/5.jpg\n6\t\t\t\t\n";
    let items = items_of("items.tsv", text, Format::Delimited, &columns);
    assert_eq!((items[0].text.as_str(), items[0].image.as_str()), ("A heist dark", "posters/5.jpg"));
    assert_eq!(items[1], RawItem { id: "6".into(), ..RawItem::default() });
}

#[test]
fn kept_columns_are_read_as_they_stand_in_the_order_asked_for() {
    let columns = |kept: &[&str]| Columns {
        kept: kept.iter().map(|&name| name.into()).collect(),
        ..Columns::default()
    };
    let text = b"item,title,price,in stock,genres\n5,Heat, 3.50 ,yes,Crime|Drama\n6,,,no,\n";
    let items = items_of("items.csv", text, Format::Delimited, &columns(&["in stock", "price", "genres"]));
    assert_eq!(items[0].kept, ["yes", "3.50", "Crime|Drama"]);
    assert_eq!(items[1].kept, ["no", "", ""]);
    assert_eq!(items[0].category, "Crime|Drama");
    let atomic = b"item_id:token\tprice:float\n5\t3.50\n";
    assert_eq!(items_of("a.item", atomic, Format::Atomic, &columns(&["price"]))[0].kept, ["3.50"]);
}

#[test]
fn a_kept_column_that_the_catalogue_lacks_is_refused_with_those_it_has() {
    let (_dir, path) = file("items.csv", b"item,title,Price\n5,Heat,3\n");
    let columns = Columns { kept: vec!["prices".into()], ..Columns::default() };
    let options = |format| SourceOptions { columns: columns.clone(), ..format_options(format) };
    let error = catalogue_of(&path, &options(Format::Delimited), &mut BadLines::default()).unwrap_err();
    assert!(error.to_string().contains("no column prices; found item, title, Price"), "{error}");
    assert_eq!(error.hint().unwrap(), "the nearest is --keep-column Price");
    let (_dir, path) = file("movies.dat", b"73::Les (1995)::Drama\n");
    let error = catalogue_of(&path, &options(Format::MovielensDat), &mut BadLines::default()).unwrap_err();
    assert!(error.to_string().contains("--keep-column prices has no effect"), "{error}");
}

#[test]
fn atomic_files_have_typed_headers_and_literal_quotes() {
    let log = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n";
    let rows = read("ml.inter", log, Format::Atomic).unwrap();
    assert_eq!(rows, [row("196", "242", Some(881_250_949), Some(3.0))]);
    let items =
        b"item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\t\"Great\" Day\tAnimation Comedy\n";
    let items = items_of("ml.item", items, Format::Atomic, &Columns::default());
    assert_eq!(items[0].title, "\"Great\" Day");
    assert_eq!(items[0].category, "Animation Comedy");
    let (_dir, path) = file("x.inter", b"user_id:token\titem_id:int\n");
    let error = rows_of(&path, Format::Atomic, &mut BadLines::default());
    assert!(
        matches!(error, Err(SourceError::WrongType { column, found, .. }) if column == "item_id" && found == "int")
    );
}

#[test]
fn movielens_dat_titles_are_decoded_from_latin_1() {
    let rows = read("ratings.dat", b"1::1193::5::978300760\n", Format::MovielensDat).unwrap();
    assert_eq!(rows, [row("1", "1193", Some(978_300_760), Some(5.0))]);
    let text = b"73::Mis\xe9rables, Les (1995)::Drama|Musical\n";
    let items = items_of("movies.dat", text, Format::MovielensDat, &Columns::default());
    assert_eq!(items[0].title, "Mis\u{e9}rables, Les (1995)");
}

#[test]
fn amazon_reviews_of_both_layouts_are_read() {
    let text = br#"{"overall": 5.0, "reviewerID": "A1", "asin": "B1", "reviewText": "\"ok\"", "unixReviewTime": 1393545600}
{"rating": 4, "user_id": "A2", "asin": "B2", "parent_asin": "P2", "timestamp": 1588687728923, "images": [{"a": null}]}
{"rating": null, "user_id": "A\u0033", "asin": "B3", "parent_asin": null, "timestamp": "1588687728"}
"#;
    let expected = [
        row("A1", "B1", Some(1_393_545_600), Some(5.0)),
        row("A2", "P2", Some(1_588_687_728), Some(4.0)),
        row("A3", "B3", Some(1_588_687_728), None),
    ];
    assert_eq!(read("reviews.json", text, Format::JsonLines).unwrap(), expected);
}

#[test]
fn amazon_metadata_of_both_layouts_are_read() {
    let text = br#"{"asin": "B1", "title": "Strings", "description": ["Bright", "tone"], "brand": "D'A", "category": ["Music", "Guitar"], "imageURL": ["u1"], "imageURLHighRes": ["u2"]}
{"parent_asin": "P2", "title": "Pick", "main_category": "Music", "features": ["Thin"], "description": [], "images": [{"large": "l1", "variant": "PT01"}, {"large": "l2", "hi_res": null, "variant": "MAIN"}]}
{"asin": "B3", "description": "Old", "imUrl": "u3", "categories": [["A", "B"]]}
"#;
    let items = items_of("meta.jsonl", text, Format::JsonLines, &Columns::default());
    let item = |id: &str, title: &str, text: &str, category: &str, image: &str| RawItem {
        id: id.into(),
        title: title.into(),
        text: text.into(),
        category: category.into(),
        image: image.into(),
        kept: Vec::new(),
    };
    assert_eq!(items[0], item("B1", "Strings", "D'A Bright tone", "Music|Guitar", "u2"));
    assert_eq!(items[1], item("P2", "Pick", "Thin", "Music", "l2"));
    assert_eq!(items[2], item("B3", "", "Old", "A|B", "u3"));
}

#[test]
fn sequences_are_read_with_tab_or_space_and_header_or_none() {
    let expected = [row("u 1", "a", None, None), row("u 1", "b", None, None), row("u2", "c", None, None)];
    let text = b"user\titems_in_time_order\nu 1\ta b\nu2\tc\n";
    assert_eq!(read("s.tsv", text, Format::Sequences).unwrap(), expected);
    assert_eq!(read("s.txt", b"1 5 6\n2 7\n", Format::Sequences).unwrap().len(), 3);
    let (_dir, path) = file("s.txt", b"1 5\n2\n");
    let error = rows_of(&path, Format::Sequences, &mut BadLines::default());
    assert!(matches!(error, Err(SourceError::Malformed { line: 2, .. })));
}

#[test]
fn a_table_without_header_is_not_guessed() {
    let (_dir, path) = file("u.data", b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n");
    let error = detect(&path).unwrap_err();
    assert!(matches!(error, SourceError::NoHeader { .. }));
    let remedy = "--no-header --column user=1 --column item=2 --column value=3 --column time=4";
    assert!(error.hint().unwrap().contains(remedy), "{:?}", error.hint());
    let (_dir, path) = file("notes", b"just a note\n");
    let error = detect(&path).unwrap_err();
    assert!(matches!(error, SourceError::Undetected { .. }), "{error}");
    assert!(error.hint().unwrap().contains("movielens_dat"));
}

#[test]
fn gzip_is_told_by_its_bytes_and_members_follow_each_other() {
    let whole = b"user,item,ts\n1,2,3\n4,5,6\n";
    let expected = read("log.csv", whole, Format::Delimited).unwrap();
    let members = [gzip(&whole[..15]), gzip(&whole[15..])].concat();
    assert_eq!(read("log.csv", &gzip(whole), Format::Delimited).unwrap(), expected);
    assert_eq!(read("log.csv.gz", &members, Format::Delimited).unwrap(), expected);
}

#[test]
fn a_gzip_cut_anywhere_is_an_error_naming_the_file() {
    let text: String = (0..500).map(|n| format!("{n}::{}::3::{}\n", n * 7 % 97, n * 31)).collect();
    let whole = gzip(text.as_bytes());
    for cut in [11, whole.len() / 2, whole.len() - 9, whole.len() - 8, whole.len() - 1] {
        let (_dir, path) = file("cut.dat.gz", &whole[..cut]);
        let error = rows_of(&path, Format::MovielensDat, &mut BadLines::default()).unwrap_err();
        assert!(matches!(error, SourceError::Truncated { .. }), "{cut}: {error}");
        assert!(error.to_string().contains("cut.dat.gz"));
    }
}

#[test]
fn bad_lines_count_against_the_allowance() {
    let text = b"user,item,ts\n1,2,3\n,2,3\n1,2,soon\n\xff,2,3\n1,2\n5,6,7\n";
    let (_dir, path) = file("log.csv", text);
    let mut bad = BadLines { allowed: 4, ..BadLines::default() };
    assert_eq!(rows_of(&path, Format::Delimited, &mut bad).unwrap().len(), 2);
    assert_eq!(bad.skipped, 4);
    assert!(bad.first.unwrap().ends_with("log.csv:3: column user: empty id"));
    let mut bad = BadLines { allowed: 1, ..BadLines::default() };
    let error = rows_of(&path, Format::Delimited, &mut bad).unwrap_err();
    assert!(error.to_string().contains("log.csv:4: column ts: \"soon\" is no time that is read"), "{error}");
}

#[test]
fn a_line_without_end_is_an_error() {
    let (_dir, path) = file("x.dat", &vec![b'1'; lines::LONGEST_LINE + 1]);
    let mut bad = BadLines { allowed: 9, ..BadLines::default() };
    let error = rows_of(&path, Format::MovielensDat, &mut bad).unwrap_err();
    assert!(error.to_string().contains("longer than 16 MiB"), "{error}");
}

#[test]
fn part_files_are_read_by_name_and_markers_left_out() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in
        [("part-1.csv", "user,item\nb,2\n"), ("part-0.csv", "user,item\na,1\n"), ("_SUCCESS", "")]
    {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let rows = rows_of(dir.path(), Format::Delimited, &mut BadLines::default()).unwrap();
    assert_eq!(rows, [row("a", "1", None, None), row("b", "2", None, None)]);
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(detect(empty.path()), Err(SourceError::NoFiles { .. })));
}

#[test]
fn a_format_is_written_by_its_name_everywhere() {
    for format in Format::ALL {
        assert_eq!(format.name().parse::<Format>().unwrap(), format);
        assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{format}\""));
    }
    assert!("cvs".parse::<Format>().is_err());
    // Data sets, scripts and workloads from before other JSON was read.
    assert_eq!("amazon_jsonl".parse::<Format>().unwrap(), Format::JsonLines);
    assert_eq!(serde_json::from_str::<Format>("\"amazon_jsonl\"").unwrap(), Format::JsonLines);
}

#[test]
fn an_empty_file_has_no_rows() {
    let (_dir, path) = file("log", b"");
    for format in Format::ALL.into_iter().filter(|&f| f != Format::Parquet) {
        assert_eq!(rows_of(&path, format, &mut BadLines::default()).unwrap(), []);
    }
}

/// Reads `bytes` in every format; whatever they are, the answer is a value.
fn read_in_every_format(bytes: &[u8]) {
    let (_dir, path) = file("any", bytes);
    let _ = detect(&path);
    for format in Format::ALL {
        let mut bad = BadLines { allowed: 3, ..BadLines::default() };
        let _ = rows_of(&path, format, &mut bad);
        assert!(bad.skipped <= 3);
        let items = catalogue_of(&path, &format_options(format), &mut bad).unwrap_or_default();
        assert!(items.iter().all(|item| !item.id.is_empty()));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_in_every_format(&bytes);
        read_in_every_format(&[b"PAR1".as_slice(), &bytes, b"PAR1"].concat());
    }

    #[test]
    fn arbitrary_lines_of_format_characters_never_panic(
        text in "([\"\\\\,:;\\t\\r\\n {}\\[\\]0-9a-z\u{e9}]|user|item|::|:token|\"asin\":){0,120}",
    ) {
        read_in_every_format(text.as_bytes());
        let table = format!("user,item,ts,title\n{text}");
        read_in_every_format(table.as_bytes());
        read_in_every_format(format!("user_id:token\titem_id:token\n{text}").as_bytes());
    }

    #[test]
    fn a_table_reads_as_it_was_written(cells in prop::collection::vec(("[a-z,\"\n]{1,6}", "[a-z;\t\"]{1,6}"), 0..20)) {
        let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let mut text = "user,item\n".to_owned();
        for (user, item) in &cells {
            text.push_str(&format!("{},{}\n", quote(user), quote(item)));
        }
        let (_dir, path) = file("t.csv", text.as_bytes());
        let mut bad = BadLines { allowed: u64::MAX, ..BadLines::default() };
        let rows = rows_of(&path, Format::Delimited, &mut bad).unwrap();
        let written = cells.iter().map(|(u, i)| (u.trim(), i.trim())).filter(|(u, i)| !u.is_empty() && !i.is_empty());
        prop_assert!(rows.iter().map(|r| (r.0.as_str(), r.1.as_str())).eq(written));
    }

    #[test]
    fn a_damaged_gzip_never_panics(at in 0usize..200, byte in any::<u8>()) {
        let mut bytes = gzip(&b"1::2::3::4\n".repeat(100));
        let at = at % bytes.len();
        bytes[at] = byte;
        read_in_every_format(&bytes);
    }
}

//! Quotes, headers and encodings of delimited tables.

use super::*;

fn items(
    name: &str,
    text: &[u8],
    options: &SourceOptions,
) -> Result<(Vec<RawItem>, SourcePlan), SourceError> {
    let (_dir, path) = file(name, text);
    let mut reading = Reading::new(&path, Source::Catalogue, options, BadLines::default())?;
    let mut rows = Vec::new();
    read_items(&mut reading, &mut |row| {
        rows.push(row);
        Ok(())
    })?;
    Ok((rows, reading.plan))
}

fn titles(items: &[RawItem]) -> Vec<&str> {
    items.iter().map(|item| item.title.as_str()).collect()
}

#[test]
fn quotes_in_a_tsv_count_only_where_a_field_closes_itself() {
    let text = b"item_id\ttitle\tgenres\n1\t\"Heroes\" and other songs\tMusic\n2\t\"Unclosed one\tDrama\n3\t\"Another unclosed\tComedy\n4\tPlain\tAction\n5\t7\" single\tMusic\n6\t\"Say \"\"Hi\"\" again\"\tMusic\n";
    let (found, plan) = items("items.tsv", text, &SourceOptions::default()).unwrap();
    assert_eq!(
        titles(&found),
        [
            "\"Heroes\" and other songs",
            "\"Unclosed one",
            "\"Another unclosed",
            "Plain",
            "7\" single",
            "Say \"Hi\" again"
        ]
    );
    assert_eq!(plan.quoting, Some(Quoting::Fields));
    assert!(
        plan.warnings[0].starts_with("3 records have a field that begins with a quote"),
        "{:?}",
        plan.warnings
    );
    let none = SourceOptions { quoting: Some(Quoting::None), ..SourceOptions::default() };
    assert_eq!(items("items.tsv", text, &none).unwrap().0[5].title, "\"Say \"\"Hi\"\" again\"");
}

#[test]
fn atomic_titles_are_unquoted_as_recbole_reads_them() {
    let text = b"item_id:token\ttitle:token_seq\ni0\tPlain film\ni1\t\"Say \"\"Hi\"\" again\"\ni2\t\"\"\"Heroes\"\"\"\n";
    let (found, _) = items("films.item", text, &SourceOptions::default()).unwrap();
    assert_eq!(titles(&found), ["Plain film", "Say \"Hi\" again", "\"Heroes\""]);
}

#[test]
fn a_quoted_field_over_two_lines_of_a_tsv_is_told_with_the_option_that_reads_it() {
    let text = b"item_id\ttitle\n1\t\"two\nlines\"\n2\tone\n";
    let error = items("items.tsv", text, &SourceOptions::default()).unwrap_err();
    assert!(matches!(&error, SourceError::OpenQuote { line: 3, .. }), "{error}");
    assert!(error.hint().unwrap().contains("--quoting csv"));
    let csv = SourceOptions { quoting: Some(Quoting::Csv), ..SourceOptions::default() };
    assert_eq!(titles(&items("items.tsv", text, &csv).unwrap().0), ["two\nlines", "one"]);
    let tab = b"item_id\ttitle\n1\t\"a\tb\"\n";
    let error = items("items.tsv", tab, &SourceOptions::default()).unwrap_err();
    assert!(matches!(error, SourceError::OpenQuote { line: 2, .. }), "{error}");
}

#[test]
fn carriage_returns_within_lines_are_told() {
    let (found, plan) =
        items("items.csv", b"item,title\r\n1,a\rb\r\n2,c\r\n", &SourceOptions::default()).unwrap();
    assert_eq!(titles(&found), ["a\rb", "c"]);
    assert!(plan.warnings[0].starts_with("1 lines have a carriage return"), "{:?}", plan.warnings);
}

fn placed(user: &str, item: &str, value: &str, time: &str) -> SourceOptions {
    let columns = Columns {
        user: user.into(),
        item: item.into(),
        value: value.into(),
        time: time.into(),
        no_header: true,
        ..Columns::default()
    };
    SourceOptions { columns, ..SourceOptions::default() }
}

#[test]
fn tables_without_a_header_are_read_by_places() {
    for (name, text, options) in [
        ("u.data", "1\t241\t2\t881251049\n2\t242\t3\t881251050\n", placed("1", "2", "3", "4")),
        ("ratings_Beauty.csv", "1,241,2.0,881251049\n2,242,3.0,881251050\n", placed("1", "2", "3", "4")),
        ("ratings.csv", "241;1;881251049;2\n242;2;881251050;3\n", placed("2", "1", "4", "3")),
        ("ratings.txt", "1 241   2 881251049\n 2 242 3 881251050 \n", placed("1", "2", "3", "4")),
    ] {
        let (_dir, path) = file(name, text.as_bytes());
        let rows = interactions_of(&path, &options, &mut BadLines::default()).unwrap();
        let expected =
            [row("1", "241", Some(881_251_049), Some(2.0)), row("2", "242", Some(881_251_050), Some(3.0))];
        assert_eq!(rows, expected, "{name}");
        // Nothing of it is guessed.
        let error = detect(&path).unwrap_err();
        assert!(matches!(&error, SourceError::NoHeader { .. }), "{name}: {error}");
        assert!(
            error.hint().unwrap().contains("--no-header --column user=1 --column item=2"),
            "{:?}",
            error.hint()
        );
    }
}

#[test]
fn a_first_row_of_data_is_never_taken_for_the_header_of_a_named_column() {
    let (_dir, path) = file("log.csv", b"1,241,2,881251049\n2,242,3,881251050\n");
    let mut options = placed("1", "241", "", "");
    options.columns.no_header = false;
    options.format = Some(Format::Delimited);
    let error = interactions_of(&path, &options, &mut BadLines::default()).unwrap_err();
    assert!(matches!(error, SourceError::NoHeader { .. }), "{error}");
    let error = rows_of(&path, Format::Delimited, &mut BadLines::default()).unwrap_err();
    assert!(error.to_string().contains("1,241,2,881251049"), "{error}");
}

#[test]
fn a_catalogue_without_header_in_latin_1_is_read_by_places() {
    let text = b"240|Film \xe9 (1995)|01-Jan-1995||http://x/|0|1\n241|Two|01-Jan-1996||http://y/|0|1\n";
    let columns = Columns { item: "1".into(), title: "2".into(), no_header: true, ..Columns::default() };
    let mut options = SourceOptions { columns, ..SourceOptions::default() };
    let error = items("u.item.txt", text, &options).unwrap_err();
    assert!(error.to_string().contains("u.item.txt:1: field 2 is not UTF-8"), "{error}");
    assert!(error.hint().unwrap().contains("--encoding windows-1252"), "{:?}", error.hint());
    options.encoding = Some("latin1".into());
    let (found, plan) = items("u.item.txt", text, &options).unwrap();
    assert_eq!(titles(&found), ["Film é (1995)", "Two"]);
    assert_eq!(plan.encoding.as_deref(), Some("windows-1252"));
    let error = items("u.item.txt", text, &SourceOptions::default()).unwrap_err();
    assert!(error.hint().unwrap().contains("--items-no-header --items-column item=1"), "{:?}", error.hint());
}

#[test]
fn other_encodings_are_read_by_name_or_mark_and_a_wrong_name_is_refused() {
    let text = "item,title\n1,Жизнь\n2,\u{1f600}\n";
    for little in [true, false] {
        let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
        let bytes: Vec<u8> =
            units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect();
        for bytes in [gzip(&bytes), bytes] {
            let (found, plan) = items("items.csv", &bytes, &SourceOptions::default()).unwrap();
            assert_eq!(titles(&found), ["Жизнь", "\u{1f600}"]);
            assert!(plan.encoding.unwrap().starts_with("UTF-16"));
        }
    }
    let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode("item,title\n1,ポスター\n2,表\n");
    let named = |label: &str| SourceOptions { encoding: Some(label.into()), ..SourceOptions::default() };
    assert_eq!(titles(&items("items.csv", &bytes, &named("shift_jis")).unwrap().0), ["ポスター", "表"]);
    let error = items("items.csv", &bytes, &named("utf-16le")).unwrap_err();
    assert!(matches!(error, SourceError::WrongEncoding { .. } | SourceError::Undetected { .. }), "{error}");
    let error = items("items.csv", b"item,title\n1,\x81\x00\n", &named("gbk")).unwrap_err();
    assert!(matches!(error, SourceError::WrongEncoding { line: 2, .. }), "{error}");
    assert!(matches!(items("items.csv", b"x", &named("klingon")), Err(SourceError::UnknownEncoding(_))));
}

#[test]
fn space_separated_ratings_are_no_item_sequences() {
    let ratings: String = (0..24).map(|n| format!("{} {} {}\n", n / 6, 100 + n % 7, n % 5 + 1)).collect();
    let timed: String =
        (0..24).map(|n| format!("{n} {} {} {}\n", 100 + n % 7, n % 5 + 1, 978_300_000 + n)).collect();
    let epinions = "a1 b1 5\na2 b1 3\na1 b2 4\n";
    for text in [ratings.as_str(), &timed, epinions] {
        let (_dir, path) = file("ratings.txt", text.as_bytes());
        let error = detect(&path).unwrap_err();
        assert!(matches!(&error, SourceError::NoHeader { .. }), "{error}");
    }
    let pairs: String = (0..24).map(|n| format!("{} {}\n", n / 6, 100 + n % 7)).collect();
    for text in [pairs.as_str(), "1 5 6\n2 7\n1 8 9\n", "1 5 6 8\n2 7 9 5\n"] {
        let (_dir, path) = file("s.txt", text.as_bytes());
        assert_eq!(detect(&path).unwrap(), Format::Sequences, "{text}");
    }
}

#[test]
fn a_cell_that_holds_a_list_of_pictures_gives_the_first() {
    let text = b"item_id,title,image\n1,A,\"['pics/1a.png', 'pics/1b.png']\"\n2,B,pics/2a.png|pics/2b.png\n3,C,[]\n4,D,pics/4.png\n";
    let (found, _) = items("items.csv", text, &SourceOptions::default()).unwrap();
    let images: Vec<&str> = found.iter().map(|item| item.image.as_str()).collect();
    assert_eq!(images, ["pics/1a.png", "pics/2a.png", "", "pics/4.png"]);
}

#[test]
fn a_column_of_parts_says_which_part_of_a_split_a_row_is() {
    let (_dir, path) = file("log.csv", b"user,item,x_label\na,1,0\na,2,1\na,3,2\n");
    let columns = Columns { part: "x_label".into(), ..Columns::default() };
    let options = SourceOptions { columns, ..SourceOptions::default() };
    let mut reading = Reading::new(&path, Source::Log, &options, BadLines::default()).unwrap();
    let mut parts = Vec::new();
    read_interactions(&mut reading, &mut |r| {
        parts.push(r.part.unwrap());
        Ok(())
    })
    .unwrap();
    assert_eq!(parts, [GivenPart::Train, GivenPart::Valid, GivenPart::Test]);
    let (_dir, path) = file("log.csv", b"user,item,x_label\na,1,training\na,2,eval\n");
    let error = interactions_of(&path, &options, &mut BadLines::default()).unwrap_err();
    assert!(error.to_string().contains("\"eval\" is no part of a split"), "{error}");
}

//! Layouts of JSON lines: each gives the same rows.

use super::*;

fn log(text: &str, options: &SourceOptions) -> Result<Vec<Row>, SourceError> {
    let (_dir, path) = file("log.json", text.as_bytes());
    interactions_of(&path, options, &mut BadLines::default())
}

fn items(text: &str, columns: Columns) -> Result<Vec<RawItem>, SourceError> {
    let (_dir, path) = file("items.json", text.as_bytes());
    catalogue_of(&path, &SourceOptions { columns, ..SourceOptions::default() }, &mut BadLines::default())
}

#[test]
fn five_layouts_of_json_lines_give_the_same_log() {
    let named = Columns {
        user: "who".into(),
        item: "what".into(),
        time: "date".into(),
        value: "stars".into(),
        ..Columns::default()
    };
    let layouts = [
        (
            "Amazon 2014",
            "{'reviewerID': 'A1', 'asin': 'B1', 'helpful': [0, 0], 'reviewText': \"it's ok\", 'overall': 4.0, 'unixReviewTime': 1393545600}
{'reviewerID': 'A2', 'asin': 'B2', 'summary': u'\\xe9', 'overall': 5.0, 'unixReviewTime': 1393545601}",
            Columns::default(),
        ),
        (
            "Amazon 2018",
            r#"{"overall": 4.0, "verified": true, "reviewTime": "02 28, 2014", "reviewerID": "A1", "asin": "B1", "style": {"Size:": " L"}, "unixReviewTime": 1393545600}
{"overall": 5.0, "reviewerID": "A2", "asin": "B2", "vote": NaN, "unixReviewTime": 1393545601}"#,
            Columns::default(),
        ),
        (
            "Amazon 2023",
            r#"{"rating": 4.0, "user_id": "A1", "asin": "x", "parent_asin": "B1", "images": [], "timestamp": 1393545600000}
{"rating": 5.0, "user_id": "A2", "asin": "B2", "parent_asin": "", "timestamp": 1393545601000}"#,
            Columns::default(),
        ),
        (
            "named roles",
            r#"{"who": "A1", "what": "B1", "date": "2014-02-28 00:00:00", "stars": "4"}
{"who": "A2", "what": "B2", "date": "2014-02-28T01:00:01+01:00", "stars": 5}"#,
            named,
        ),
        (
            "one list",
            "[\n  {\n    \"userId\": \"A1\",\n    \"itemId\": \"B1\",\n    \"rating\": 4,\n    \"timestamp\": 1393545600\n  },
  {\"userId\": \"A2\", \"itemId\": \"B2\", \"rating\": 5, \"timestamp\": 1393545601}\n]\n",
            Columns::default(),
        ),
    ];
    for (layout, text, columns) in layouts {
        let (_dir, path) = file("log.json", text.as_bytes());
        assert_eq!(detect(&path).unwrap(), Format::JsonLines, "{layout}");
        let rows = log(text, &SourceOptions { columns, ..SourceOptions::default() }).unwrap();
        let expected = [
            row("A1", "B1", Some(1_393_545_600), Some(4.0)),
            row("A2", "B2", Some(1_393_545_601), Some(5.0)),
        ];
        assert_eq!(rows, expected, "{layout}");
        println!("{layout}: pass");
    }
}

#[test]
fn yelp_is_read_by_the_names_asked_for() {
    let reviews = r#"{"review_id": "r00", "user_id": "user_0", "business_id": "biz_0", "stars": 4.0, "text": "ok", "date": "2016-03-01 16:26:42"}"#;
    let columns = Columns {
        user: "user_id".into(),
        item: "business_id".into(),
        time: "date".into(),
        value: "stars".into(),
        ..Columns::default()
    };
    let rows = log(reviews, &SourceOptions { columns, ..SourceOptions::default() }).unwrap();
    assert_eq!(rows, [row("user_0", "biz_0", Some(1_456_849_602), Some(4.0))]);
    let business = r#"{"business_id": "biz_0", "name": "Cafe 0", "categories": "Food, Coffee & Tea", "city": "X", "attributes": {"WiFi": "free"}}"#;
    let columns = Columns {
        item: "business_id".into(),
        title: "name".into(),
        category: "categories".into(),
        text: vec!["attributes".into(), "city".into()],
        ..Columns::default()
    };
    let found = items(business, columns).unwrap();
    assert_eq!((found[0].title.as_str(), found[0].category.as_str()), ("Cafe 0", "Food, Coffee & Tea"));
    assert_eq!(found[0].text, "free X");
}

#[test]
fn a_name_that_no_object_has_is_an_error_that_lists_them() {
    let columns = Columns { item: "product".into(), ..Columns::default() };
    let error = log("{\"user\": 1, \"item\": 2}\n", &SourceOptions { columns, ..SourceOptions::default() });
    assert!(matches!(error, Err(SourceError::MissingColumn { found, .. }) if found == ["user", "item"]));
}

#[test]
fn whole_numbers_keep_all_their_digits() {
    let text =
        r#"{"user": 9007199254740993, "item": 18446744073709551615, "timestamp": 1694282882208000001}"#;
    let (_dir, path) = file("log.json", text.as_bytes());
    let options = SourceOptions::default();
    let mut reading = Reading::new(&path, Source::Log, &options, BadLines::default()).unwrap();
    let mut rows = Vec::new();
    read_interactions(&mut reading, &mut |r| {
        rows.push((r.user.to_owned(), r.item.to_owned(), r.time));
        Ok(())
    })
    .unwrap();
    let time = Some(RawTime::Number(1_694_282_882_208_000_001));
    assert_eq!(rows, [("9007199254740993".to_owned(), "18446744073709551615".to_owned(), time)]);
}

#[test]
fn what_is_no_id_is_a_bad_line_and_says_why() {
    for (value, reason) in [
        ("1.5", "a number with a fraction is no id"),
        ("true", "true or false is no id"),
        ("[1]", "a list or an object is no id"),
        ("null", "empty id"),
        ("\" \"", "empty id"),
    ] {
        let error = log(
            &format!("{{\"user\": 1, \"item\": 1}}\n{{\"user\": {value}, \"item\": 2}}\n"),
            &SourceOptions::default(),
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("log.json:2: column user: ") && error.contains(reason), "{value}: {error}");
    }
}

#[test]
fn pictures_are_found_in_every_layout_of_amazons_metadata() {
    let found = items(
        r#"{"asin": "1", "image": ["https://i/A_SS40_.jpg", "https://i/B.jpg"], "category": ["Arts", "Beads"], "main_cat": "Crafts"}
{"asin": "2", "image": [], "category": [], "main_cat": "Crafts"}
{"asin": "3", "imageURL": ["https://i/C_SX.jpg"], "imageURLHighRes": ["https://i/C.jpg"]}
{"asin": "4", "imUrl": "https://i/D.jpg"}
{"asin": "5", "images": [{"large": "https://i/E1.jpg", "variant": "PT01"}, {"large": "https://i/E2.jpg", "variant": "MAIN"}]}
{"asin": "6", "images": {"hi_res": [null, null], "large": ["https://i/F1.jpg", "https://i/F2.jpg"], "variant": ["PT01", "MAIN"]}}
"#,
        Columns::default(),
    )
    .unwrap();
    let images: Vec<&str> = found.iter().map(|item| item.image.as_str()).collect();
    assert_eq!(
        images,
        [
            "https://i/A_SS40_.jpg",
            "",
            "https://i/C.jpg",
            "https://i/D.jpg",
            "https://i/E2.jpg",
            "https://i/F2.jpg"
        ]
    );
    let categories: Vec<&str> = found.iter().map(|item| item.category.as_str()).take(2).collect();
    assert_eq!(categories, ["Arts|Beads", "Crafts"]);
}

#[test]
fn texts_come_from_all_fields_that_say_what_an_item_is() {
    let lines = r#"{"parent_asin": "P1", "title": null, "features": [], "description": [], "store": "Acme", "details": {"Brand": "Acme", "Special Feature": "Cordless drill"}}
{"parent_asin": "P2", "title": "", "store": null, "details": {}, "subtitle": "Hardcover", "author": {"avatar": "https://a/b.png", "name": "J. Doe", "about": ["Writes"]}, "categories": ["Books"]}
{"parent_asin": "P3", "title": "Saw", "features": ["sharp"], "details": "{\"Material\": \"Steel\"}"}
"#;
    let texts = |columns: Columns| -> Vec<String> {
        items(lines, columns).unwrap().into_iter().map(|item| item.text).collect()
    };
    assert_eq!(texts(Columns::default()), ["Acme Acme Cordless drill", "Hardcover J. Doe", "sharp Steel"]);
    let details = Columns { text: vec!["details".into()], ..Columns::default() };
    assert_eq!(texts(details), ["Acme Cordless drill", "", "Steel"]);
}

#[test]
fn python_literals_and_nan_are_read_as_python_reads_them() {
    let literals = "{'asin': 'B1', 'title': \"Bob's fishing rod\", 'price': 12.5, 'imUrl': 'http://i/1.jpg', 'brand': 'Acme', 'categories': [['Toys', 'Outdoor']]}
{'asin': 'B2', 'description': 'Line, 100 m \\xe9lite', 'imUrl': 'http://i/2.gif', 'categories': [['Toys', 'Outdoor'], ['Sports']]}
{'asin': 'B3', 'title': 'He said \"no\"', 'price': None, 'ok': True, 'categories': [['Toys']]}
";
    let found = items(literals, Columns::default()).unwrap();
    let titles: Vec<&str> = found.iter().map(|item| item.title.as_str()).collect();
    assert_eq!(titles, ["Bob's fishing rod", "", "He said \"no\""]);
    assert_eq!(
        (found[1].text.as_str(), found[1].category.as_str()),
        ("Line, 100 m élite", "Toys|Outdoor|Sports")
    );
    let dumped = "{\"asin\": \"B1\", \"title\": \"Rod\", \"price\": NaN}\n{\"asin\": \"B2\", \"title\": NaN, \"price\": 3.5}\n{\"asin\": \"B3\", \"title\": \"Float\", \"price\": -Infinity}\n";
    let titles: Vec<String> =
        items(dumped, Columns::default()).unwrap().into_iter().map(|i| i.title).collect();
    assert_eq!(titles, ["Rod", "", "Float"]);
}

#[test]
fn kept_fields_stand_as_they_are() {
    let columns = Columns { kept: vec!["price".into(), "sizes".into(), "sold".into()], ..Columns::default() };
    let found = items(
        "{\"id\": 7, \"price\": 12.50, \"sizes\": [38, \"40\"], \"sold\": true}\n{\"id\": 8, \"price\": null}\n",
        columns,
    );
    let kept: Vec<Vec<String>> = found.unwrap().into_iter().map(|item| item.kept).collect();
    assert_eq!(kept, [["12.5", "38|40", "true"], ["", "", ""]]);
}

proptest! {
    #[test]
    fn a_log_reads_alike_as_lines_as_a_list_and_spread_over_lines(
        // No numbers that are dates in digits: a column of such alone has dates.
        rows in prop::collection::vec(("[a-z\u{e9}\"\\\\{}\\[\\],']{1,6}", 0u32..50, -2_000_000_000i32..19_000_000), 1..20),
    ) {
        let objects: Vec<serde_json::Value> = rows
            .iter()
            .map(|(user, item, time)| serde_json::json!({"user": user, "x": [user], "item": item, "time": time}))
            .collect();
        let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
        let list = serde_json::to_string(&objects).unwrap();
        let pretty = serde_json::to_string_pretty(&objects).unwrap();
        let spread: String = objects.iter().map(|o| serde_json::to_string_pretty(o).unwrap() + "\n").collect();
        let expected: Vec<Row> =
            rows.iter().map(|(user, item, time)| row(user, &item.to_string(), Some(i64::from(*time)), None)).collect();
        for text in [&lines, &list, &pretty, &spread] {
            prop_assert_eq!(&log(text, &format_options(Format::JsonLines)).unwrap(), &expected, "{}", text);
        }
    }
}

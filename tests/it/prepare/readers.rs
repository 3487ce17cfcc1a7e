//! Readers: layouts of JSON, tables without header, quotes, encodings, folders, splits that come with the files.

use super::Shop;

const LOG: &str = "user,item,ts\nu,1,1\nu,2,2\nu,3,3\nv,3,1\nv,2,2\nv,1,3\n";

/// What became of the catalogue: titles, categories, texts or pictures of the items called `1`, `2` and `3`.
fn field(shop: &Shop, field: fn(&codistill::data::Items) -> &Vec<String>) -> Vec<String> {
    let items = shop.dataset().items;
    let of = |id: &str| field(&items)[items.ids.iter().position(|known| known == id).unwrap()].clone();
    ["1", "2", "3"].map(of).to_vec()
}

#[test]
fn a_given_split_is_kept_in_every_form() {
    let part = |name: &str, rows: &str| (name.to_owned(), format!("user_id:token\titem_id:token\n{rows}"));
    let files = [
        part("split/toy.train.inter", "u0\ti0\nu0\ti2\nu0\ti4\nu0\ti6\nu1\ti1\nu1\ti3\n"),
        part("split/toy.valid.inter", "u0\ti8\nu1\ti0\n"),
        part("split/toy.test.inter", "u0\ti1\nu1\ti2\n"),
    ];
    let as_csv = |(name, text): &(String, String)| {
        let rows: String = text.lines().skip(1).map(|row| row.replace('\t', ",") + "\n").collect();
        let name = name.replace("split/toy.", "csv/").replace("valid.inter", "validation.csv");
        (name.replace(".inter", ".csv"), format!("user,item\n{rows}"))
    };
    let labelled = |n: usize, (_, text): &(String, String)| -> String {
        text.lines().skip(1).map(|row| format!("{row}\t{n}\n")).collect()
    };
    // Rows of the parts mixed, as MMRec writes them.
    let column = format!(
        "userID\titemID\tx_label\n{}{}{}",
        labelled(2, &files[2]),
        labelled(0, &files[0]),
        labelled(1, &files[1])
    );
    let shop = Shop::new(&[("mmrec.inter.tsv", &column)]);
    for (name, text) in files.iter().cloned().chain(files.iter().map(as_csv)) {
        shop.write(&name, text.as_bytes());
    }
    for (log, options) in [
        ("split", &[][..]),
        ("csv", &[]),
        ("mmrec.inter.tsv", &["--column", "part=x_label"][..]),
        ("mmrec.inter.tsv", &[]),
    ] {
        shop.prepare(log, options).fine();
        assert_eq!(shop.history("u0"), "i0 i2 i4 i6 | i8 || i1", "{log}");
        assert_eq!(shop.history("u1"), "i1 i3 | i0 || i2", "{log}");
        assert_eq!(shop.report()["split"]["kind"], "given", "{log}");
    }
    let said = shop.prepare("split", &["--split", "leave_one_out"]).fine();
    assert!(said.stderr.contains("--split given does"), "{}", said.stderr);
    let plain = Shop::new(&[("log.csv", LOG)]);
    plain.prepare("log.csv", &["--split", "given"]).refused("the log gives no parts", "");

    // A name that may mean anything is told, not taken.
    plain.write("named.csv", column.replace("x_label", "Subset").as_bytes());
    let said = plain.prepare("named.csv", &["--strict"]);
    said.refused("looks like the parts of a split; --column part=Subset --split given keeps them", "");
    let said = plain.prepare("named.csv", &["--column", "part="]).fine();
    assert!(!said.stderr.contains("looks like the parts"), "{}", said.stderr);
    plain.prepare("named.csv", &["--column", "part=Subset"]).fine();
    assert_eq!(plain.history("u1"), "i1 i3 | i0 || i2");
}

#[test]
fn rows_of_a_given_split_that_the_filters_drop_are_told() {
    let shop = Shop::new(&[
        ("s/train.csv", "user,item,ts\nu,a,1\nu,b,2\nv,a,1\nv,b,2\n"),
        ("s/valid.csv", "user,item,ts\nu,c,3\nv,c,3\n"),
        ("s/test.csv", "user,item,ts\nu,a,4\nv,d,4\n"),
    ]);
    // u returns to a, and d is bought once.
    for (options, told) in [
        (&["--duplicates", "first"][..], "1 of 4 validation and test rows of the given split"),
        (&["--item-core", "2"], "1 of 4 validation and test rows of the given split"),
        (&["--min-length", "9", "--split", "leave_one_out"], ""),
        (&[], ""),
    ] {
        let said = shop.prepare("s", options);
        if told.is_empty() {
            assert!(!said.stderr.contains("of the given split are dropped"), "{}", said.stderr);
        } else {
            let stderr = said.fine().stderr;
            assert!(stderr.contains(told) && stderr.contains("--duplicates keep_all"), "{stderr}");
        }
    }
}

#[test]
fn what_a_given_split_has_beyond_a_users_two_targets_is_told() {
    let shop = Shop::new(&[
        ("s/train.csv", "user,item,ts\nu,a,1\nu,b,2\nv,a,1\n"),
        ("s/valid.csv", "user,item,ts\nu,c,3\nu,d,4\nv,b,2\n"),
        ("s/test.csv", "user,item,ts\nu,e,5\nu,f,6\nv,b,2\n"),
    ]);
    let said = shop.prepare("s", &[]).fine();
    assert_eq!(shop.history("u"), "a b | c ~ d || e - f");
    // u's d, and the double of v's b.
    assert!(said.stderr.contains("2 further rows of validation are history"), "{}", said.stderr);
    assert!(said.stderr.contains("1 further rows of test are not read"), "{}", said.stderr);
    // The same event in two parts is not learned from the later one.
    assert!(
        said.stderr.contains("1 interactions of one user, item and time stand in several parts"),
        "{}",
        said.stderr
    );
}

#[test]
fn lists_of_items_before_each_row_give_the_whole_sequence() {
    let rows = |backwards: bool| -> String {
        let mut rows: Vec<String> = (1..5)
            .map(|n| {
                let list: Vec<String> = (0..n).map(|i| format!("i{i}")).collect();
                format!("u0\t{}\ti{n}\n", list.join(" "))
            })
            .collect();
        if backwards {
            rows.reverse();
        }
        rows.concat()
    };
    let header = "user_id:token\titem_id_list:token_seq\titem_id:token\n";
    let shop = Shop::new(&[
        ("toy.inter", &format!("{header}{}", rows(false))),
        // As UniSRec's converter writes a split: training rows against time.
        ("split/a.train.inter", &format!("{header}{}", rows(true))),
        ("split/a.valid.inter", &format!("{header}u0\ti0 i1 i2 i3 i4\ti8\n")),
        ("split/a.test.inter", &format!("{header}u0\ti0 i1 i2 i3 i4 i8\ti9\n")),
        ("wrong.inter", &format!("{header}{}u0\ti4 i1\ti7\n", rows(false))),
    ]);
    shop.prepare("toy.inter", &[]).fine();
    assert_eq!(shop.history("u0"), "i0 i1 i2 | i3 || i4");
    shop.prepare("split", &[]).fine();
    assert_eq!(shop.history("u0"), "i0 i1 i2 i3 i4 | i8 || i9");
    shop.prepare("wrong.inter", &[])
        .refused("wrong.inter:6: column item_id_list: the list doesn't go on", "");
}

#[test]
fn lists_have_no_times_and_are_read_from_tables_only() {
    let shop = Shop::new(&[
        ("log.csv", "user_id,item_id_list,item_id,rating,ts\nu,a,b,5,2\nu,a b,c,4,3\n"),
        ("log.jsonl", r#"{"user_id": "u", "item_id_list": "a b", "item_id": "c"}"#),
    ]);
    let said = shop.prepare("log.csv", &[]).fine();
    assert_eq!(shop.history("u"), "a | b || c");
    assert!(
        said.stdout.contains("sequences are put together from `item_id_list` and `item_id`"),
        "{}",
        said.stdout
    );
    // How it was read is no warning.
    shop.prepare("log.csv", &["--strict"]).fine();
    for idle in ["time=ts", "value=rating"] {
        let what = format!("--column {idle} has no effect on");
        shop.prepare("log.csv", &["--column", idle]).refused(&what, "leave it out");
    }
    shop.prepare("log.csv", &["--min-value", "4"]).refused("--min-value has no effect on", "leave it out");
    shop.prepare("log.jsonl", &[]).refused("`item_id_list` holds the items before a row's own", "as CSV");
}

#[test]
fn a_table_without_header_is_read_by_places_and_refused_without() {
    let rows = |separator: &str| -> String {
        let row = |n: usize| {
            [n / 5 + 1, 240 + n % 5, n % 5 + 1, 881_251_049 + n].map(|x| x.to_string()).join(separator)
        };
        (0..15).map(|n| row(n) + "\n").collect()
    };
    let named = [
        "--no-header",
        "--column",
        "user=1",
        "--column",
        "item=2",
        "--column",
        "value=3",
        "--column",
        "time=4",
    ];
    for (name, separator) in
        [("u.data", "\t"), ("ratings_Beauty.csv", ","), ("ratings.txt", " "), ("trust.txt", "  ")]
    {
        let shop = Shop::new(&[(name, &rows(separator))]);
        shop.prepare(name, &named).fine();
        assert_eq!(shop.history("2"), "240 241 242 | 243 || 244", "{name}");
        let hint = "--no-header --column user=1 --column item=2 --column value=3 --column time=4";
        shop.prepare(name, &[]).refused("no header names the columns; the first line is \"1", hint);
    }
}

#[test]
fn a_catalogue_without_header_in_another_encoding_says_how_it_is_read() {
    let shop = Shop::new(&[("log.csv", LOG)]);
    shop.write("u.item", b"1|Caf\xe9 (1995)|x\n2|Two|y\n3|Three|z\n");
    let places =
        ["--items", "u.item", "--items-no-header", "--items-column", "item=1", "--items-column", "title=2"];
    shop.prepare("log.csv", &["--items", "u.item"])
        .refused("no header", "--items-no-header --items-column item=1");
    shop.prepare("log.csv", &places)
        .refused("u.item:1: field 2 is not UTF-8", "--items-encoding windows-1252");
    shop.prepare("log.csv", &[&places[..], &["--items-encoding", "windows-1252"]].concat()).fine();
    assert_eq!(field(&shop, |items| &items.titles), ["Café (1995)", "Two", "Three"]);
    shop.prepare("log.csv", &["--encoding", "klingon"])
        .refused("no encoding is called \"klingon\"", "WHATWG");
}

#[test]
fn catalogues_as_people_have_them_give_titles_categories_texts_and_pictures() {
    let shop = Shop::new(&[
        ("log.csv", LOG),
        (
            "2014.json",
            "{'asin': '1', 'title': \"Bob's rod\", 'imUrl': 'https://i/1.jpg', 'categories': [['Toys', 'Out']]}\n{'asin': '2', 'title': 'He said \"no\"', 'price': None, 'imUrl': 'https://i/2.jpg'}\n{'asin': '3', 'price': nan}\n",
        ),
        (
            "2018.json",
            "{\"asin\": \"1\", \"title\": \"Bob's rod\", \"image\": [\"https://i/1.jpg\", \"https://i/b.jpg\"], \"category\": [\"Toys\", \"Out\"]}\n{\"asin\": \"2\", \"title\": \"He said \\\"no\\\"\", \"imageURLHighRes\": [\"https://i/2.jpg\"], \"imageURL\": [\"https://i/s.jpg\"]}\n{\"asin\": \"3\", \"price\": NaN}\n",
        ),
        (
            "2023.jsonl",
            "{\"parent_asin\": \"1\", \"title\": \"Bob's rod\", \"images\": {\"large\": [\"https://i/b.jpg\", \"https://i/1.jpg\"], \"variant\": [\"PT01\", \"MAIN\"]}, \"categories\": [\"Toys\", \"Out\"]}\n{\"parent_asin\": \"2\", \"title\": \"He said \\\"no\\\"\", \"images\": [{\"large\": \"https://i/2.jpg\", \"variant\": \"MAIN\"}]}\n{\"parent_asin\": \"3\"}\n",
        ),
        (
            "list.json",
            "[{\"id\": 1, \"name\": \"Bob's rod\", \"picture\": \"https://i/1.jpg\", \"genres\": [\"Toys\", \"Out\"]},\n {\"id\": 2, \"name\": \"He said \\\"no\\\"\", \"picture\": \"https://i/2.jpg\"}, {\"id\": 3}]\n",
        ),
        (
            "cells.csv",
            "item,title,category,image\n1,Bob's rod,Toys|Out,\"['https://i/1.jpg', 'https://i/b.jpg']\"\n2,\"He said \"\"no\"\"\",,https://i/2.jpg|https://i/c.jpg\n3,,,[]\n",
        ),
        (
            "recbole.item",
            "item_id:token\ttitle:token_seq\tcategory:token_seq\timage:token\n1\tBob's rod\tToys|Out\thttps://i/1.jpg\n2\t\"He said \"\"no\"\"\"\t\thttps://i/2.jpg\n3\t\t\t\n",
        ),
        ("hive/category=Toys%7COut/a.csv", "item,title,image\n1,Bob's rod,https://i/1.jpg\n"),
        (
            "hive/category=__HIVE_DEFAULT_PARTITION__/a.csv",
            "item,title,image\n2,\"He said \"\"no\"\"\",https://i/2.jpg\n3,,\n",
        ),
    ]);
    for catalogue in
        ["2014.json", "2018.json", "2023.jsonl", "list.json", "cells.csv", "recbole.item", "hive"]
    {
        shop.prepare("log.csv", &["--items", catalogue]).fine();
        assert_eq!(field(&shop, |items| &items.titles), ["Bob's rod", "He said \"no\"", ""], "{catalogue}");
        assert_eq!(field(&shop, |items| &items.categories), ["Toys|Out", "", ""], "{catalogue}");
        let pictures = ["https://i/1.jpg", "https://i/2.jpg", ""];
        assert_eq!(field(&shop, |items| &items.images), pictures, "{catalogue}");
        println!("{catalogue}: pass");
    }
}

#[test]
fn text_columns_of_objects_are_read_or_refused() {
    let lines = "{\"parent_asin\": \"1\", \"details\": {\"Brand\": \"Acme\", \"Special Feature\": \"Cordless drill\"}, \"store\": \"Shop\"}\n{\"parent_asin\": \"2\", \"subtitle\": \"Hardcover\", \"author\": {\"name\": \"J. Doe\", \"avatar\": \"https://a/b.png\"}}\n{\"parent_asin\": \"3\", \"title\": \"Saw\", \"details\": \"{\\\"Material\\\": \\\"Steel\\\"}\"}\n";
    let shop = Shop::new(&[("log.csv", LOG), ("meta.jsonl", lines)]);
    shop.prepare("log.csv", &["--items", "meta.jsonl"]).fine();
    let expected = ["Shop Acme Cordless drill", "Hardcover J. Doe", "Saw Steel"];
    assert_eq!(field(&shop, |items| &items.texts), expected);
    shop.prepare("log.csv", &["--items", "meta.jsonl", "--text-column", "details"]).fine();
    assert_eq!(field(&shop, |items| &items.texts), ["Acme Cordless drill", "", "Saw Steel"]);
    let missing = shop.prepare("log.csv", &["--items", "meta.jsonl", "--text-column", "detail"]);
    missing.refused("no column detail", "--text-column details");
}

#[test]
fn quotes_between_tabs_stand_as_they_are_and_what_runs_over_a_line_is_told() {
    let items = "item_id\ttitle\tgenres\n1\t\"Heroes\" and more\tMusic\n2\t\"Unclosed one\tDrama\n3\t7\" single\tMusic\n";
    let shop = Shop::new(&[
        ("log.csv", LOG),
        ("items.tsv", items),
        ("over.tsv", "item_id\ttitle\n1\t\"a\nb\"\n2\tx\n3\ty\n"),
    ]);
    let said = shop.prepare("log.csv", &["--items", "items.tsv"]).fine();
    assert_eq!(field(&shop, |items| &items.titles), ["\"Heroes\" and more", "\"Unclosed one", "7\" single"]);
    assert!(said.stderr.contains("2 records have a field that begins with a quote"), "{}", said.stderr);
    shop.prepare("log.csv", &["--items", "over.tsv"]).refused("over.tsv:3: 1 fields", "--quoting csv");
    shop.prepare("log.csv", &["--items", "over.tsv", "--items-quoting", "csv"]).fine();
    assert_eq!(field(&shop, |items| &items.titles), ["a\nb", "x", "y"]);
}

#[test]
fn folders_tell_what_they_leave_out() {
    let shop = Shop::new(&[
        ("logs/a.csv", LOG),
        ("logs/_b.csv", LOG),
        ("mixed/a.csv", LOG),
        ("mixed/b.jsonl", "{}"),
        ("toy/toy.inter", "user_id:token\titem_id:token\nu\t1\nu\t2\nu\t3\n"),
        ("toy/toy.item", "item_id:token\ttitle:token_seq\n1\tOne\n2\tTwo\n3\tThree\n"),
    ]);
    let said = shop.prepare("logs", &[]).fine();
    assert!(said.stderr.contains("_b.csv is not read"), "{}", said.stderr);
    shop.prepare("mixed", &[]).refused("files of several formats: a.csv, b.jsonl", "--format");
    let said = shop.prepare("toy", &["--items", "toy"]).fine();
    assert_eq!(field(&shop, |items| &items.titles), ["One", "Two", "Three"]);
    assert!(!said.stderr.contains("not read"), "{}", said.stderr);
    let said = shop.prepare("toy", &[]).fine();
    let item = shop.path("toy/toy.item");
    let told = format!("{0} is not read; --items {0} reads it", item.display());
    assert!(said.stderr.contains(&told), "{}", said.stderr);
}

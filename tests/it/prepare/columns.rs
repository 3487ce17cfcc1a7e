//! Columns: found by their usual names, asked for, missing, not read.

use super::{Shop, absent};

/// Each user's newest event comes first, so that the order of the file is the reverse of the truth.
fn newest_first(time: &str) -> String {
    let rows: String = (0..4)
        .flat_map(|u| (0..5).rev().map(move |n| format!("u{u},i{n},3.0,{}\n", 1_600_000_000 + n)))
        .collect();
    format!("UserId,ItemId,Price,{time}\n{rows}")
}

#[test]
fn thirteen_spellings_of_a_time_column_are_taken_as_the_time() {
    for time in [
        "Timestamp",
        "TIME",
        "date",
        "Date",
        "created_at",
        "createdAt",
        "purchased_at",
        "unixReviewTime",
        "t_dat",
        "event_time",
        "Order Date",
        "InvoiceDate",
        "listened-at",
        "timestamp_ms",
        "basket_date",
    ] {
        let shop = Shop::new(&[("log.csv", &newest_first(time))]);
        let said = shop.prepare("log.csv", &[]).fine();
        assert_eq!(shop.history("u0"), "i0 i1 i2 | i3 || i4", "{time}");
        assert!(said.stdout.contains(&format!("time     = {time} (guessed)")), "{}", said.stdout);
        assert!(said.stdout.contains("not read: Price"), "{}", said.stdout);
        println!("pass: {time}");
    }
}

#[test]
fn a_file_whose_order_stands_for_time_is_told_with_the_columns_that_were_not_read() {
    let shop = Shop::new(&[("log.csv", &newest_first("moment"))]);
    let said = shop.prepare("log.csv", &[]).fine();
    assert_eq!(shop.history("u0"), "i4 i3 i2 | i1 || i0");
    for part in ["no column that is known as the time", "Price, moment", "--column time=NAME"] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    shop.prepare("log.csv", &["--strict"]).refused("known as the time", "");
    assert!(absent(&shop.path("out")));
    // Said to be none, it is not missed.
    let said = shop.prepare("log.csv", &["--column", "time=", "--strict"]).fine();
    assert!(!said.stderr.contains("known as the time"), "{}", said.stderr);
    shop.prepare("log.csv", &["--column", "time=moment"]).fine();
    assert_eq!(shop.history("u0"), "i0 i1 i2 | i3 || i4");
    // Two that only look like it are for the user to choose.
    let two = newest_first("basket_date").replace("Price", "shipping_date");
    let shop = Shop::new(&[("log.csv", &two)]);
    shop.prepare("log.csv", &[]).refused("shipping_date, basket_date", "--column time=shipping_date");
}

#[test]
fn an_option_that_cannot_act_is_refused_with_the_one_that_can() {
    let log = "user,item,stars2,ts\nu,a,5,1\nu,b,1,2\nu,c,4,3\nu,d,5,4\n";
    let shop = Shop::new(&[
        ("log.csv", log),
        ("list.txt", "1 5 6 7\n2 7 5 6\n"),
        ("items.csv", "item,title\na,A\n"),
    ]);
    shop.prepare("log.csv", &["--min-value", "4"]).refused("--min-value", "--column value=");
    shop.prepare("log.csv", &["--min-value", "4", "--column", "value=stars2"]).fine();
    assert_eq!(shop.report()["steps"][0]["step"], "read, 1 of low value dropped");
    shop.prepare("list.txt", &["--min-value", "4"]).refused("--min-value", "");
    shop.prepare("list.txt", &["--column", "user=x"]).refused("--column user=x", "");
    shop.prepare("list.txt", &["--format", "sequences", "--delimiter", ","]).refused("--delimiter", "");
    for (options, hint) in [
        (&["--valid-from", "0.5"][..], "--split global_time"),
        (&["--test-from", "2020-01-01"], "--split global_time"),
        (&["--text-column", "plot"], "--items"),
        (&["--items-format", "delimited"], "--items"),
        (&["--items-column", "title=name"], "--items"),
        (&["--column", "title=name"], "--items"),
        (&["--keep-column", "price"], "--items"),
        (&["--items-no-header"], "--items"),
        (&["--items-delimiter", ";"], "--items"),
        (&["--keep-unseen-items"], "--items"),
        (&["--catalogue-only"], "--items"),
        (&["--items", "items.csv", "--items-column", "user=x"], "--column user=x"),
        (&["--column", "text=plot"], "--text-column plot"),
        (&["--column", "prise=p"], "ROLE=NAME"),
    ] {
        let said = shop.prepare("log.csv", options);
        assert_eq!(said.code, Some(1), "{options:?}: {}", said.stderr);
        assert!(said.stderr.contains(hint), "{options:?}: {}", said.stderr);
        assert!(absent(&shop.path("out")));
    }
}

#[test]
fn log_and_catalogue_name_their_columns_apart() {
    let films: String =
        (1..7).map(|n| format!("False,{n},Film {n},\"A plot, with a comma {n}\"\n")).collect();
    let films = format!("adult,id,original_title,overview\n{films}2012-09-29,,,\n");
    let ratings: String =
        (0..3).flat_map(|u| (1..7).map(move |n| format!("{u},{n},4.0,{}\n", 1_000_000 + n))).collect();
    let ratings = format!("userId,movieId,rating,timestamp\n{ratings}");
    let shop = Shop::new(&[("ratings.csv", &ratings), ("films.csv", &films)]);
    let titles = |shop: &Shop| shop.dataset().items.titles.clone();
    let expected: Vec<String> =
        std::iter::once(String::new()).chain((1..7).map(|n| format!("Film {n}"))).collect();
    // The odd last row has no id.
    for columns in [
        &["--column", "item=id", "--column", "title=original_title", "--text-column", "overview"][..],
        &["--items-column", "item=id", "--items-column", "title=original_title"],
        &["--column", "item=movieId", "--items-column", "item=id"],
        &[],
    ] {
        let options = [&["--items", "films.csv", "--skip-bad", "1"][..], columns].concat();
        let said = shop.prepare("ratings.csv", &options).fine();
        assert_eq!(titles(&shop), expected, "{columns:?}");
        assert!(said.stdout.contains("item     = movieId"), "{}", said.stdout);
    }
    let nowhere = ["--items", "films.csv", "--skip-bad", "1", "--column", "item=film"];
    shop.prepare("ratings.csv", &nowhere).refused("--column item=film", "");
}

#[test]
fn a_catalogue_of_which_no_title_is_known_is_told_with_its_columns() {
    let log = "user,item,ts\nu,a,1\nu,b,2\nu,c,3\n";
    let items = "item,bezeichnung,preis\na,Zelt,3\nb,Stuhl,4\nc,Tisch,5\n";
    let shop = Shop::new(&[("log.csv", log), ("items.csv", items)]);
    let said = shop.prepare("log.csv", &["--items", "items.csv"]).fine();
    assert!(
        said.stderr.contains("bezeichnung, preis") && said.stderr.contains("--items-column title=NAME"),
        "{}",
        said.stderr
    );
    let options =
        ["--items", "items.csv", "--items-column", "title=Bezeichnung", "--time-unit", "s", "--strict"];
    shop.prepare("log.csv", &options).fine();
    assert_eq!(shop.dataset().items.titles[1], "Zelt");
    let wrong = ["--items", "items.csv", "--items-column", "title=bezeichner"];
    shop.prepare("log.csv", &wrong).refused("no column bezeichner", "--items-column title=bezeichnung");
}

#[test]
fn ids_that_do_not_meet_are_explained_with_examples_of_both_sides() {
    let titles = |ids: [&str; 5]| {
        let rows: String = ids.iter().map(|id| format!("{id},Title {id}\n")).collect();
        format!("article_id,prod_name\n{rows}")
    };
    let log = |ids: [&str; 5]| {
        let rows: String = ids.iter().enumerate().map(|(n, id)| format!("u,{id},{n}\n")).collect();
        format!("customer_id,article_id,t_dat\n{rows}")
    };
    let plain = ["108775015", "108775044", "110065001", "110065002", "111565001"];
    for (name, ids, words) in [
        (
            "leading zeros",
            ["0108775015", "0108775044", "0110065001", "0110065002", "0111565001"],
            "leading zeros",
        ),
        ("decimals", ["108775015.0", "108775044.0", "110065001.0", "110065002.0", "111565001.0"], "decimals"),
        (
            "a prefix",
            ["art_108775015", "art_108775044", "art_110065001", "art_110065002", "art_111565001"],
            "a prefix",
        ),
    ] {
        let shop = Shop::new(&[("log.csv", &log(plain)), ("articles.csv", &titles(ids))]);
        let said = shop.prepare("log.csv", &["--items", "articles.csv"]);
        said.refused("none of the log's 5 items stands in the catalogue", "");
        for part in ["108775015", ids[0], words] {
            assert!(said.stderr.contains(part), "{name}: no {part} in {}", said.stderr);
        }
        println!("pass: {name}");
    }
    // Some meet: a warning, which --strict refuses.
    let some = ["108775015", "108775044", "110065001", "0110065002", "0111565001"];
    let shop = Shop::new(&[("log.csv", &log(plain)), ("articles.csv", &titles(some))]);
    let said = shop.prepare("log.csv", &["--items", "articles.csv"]).fine();
    assert!(
        said.stderr.contains("3 of the log's 5 items stand in the catalogue, 2 more would"),
        "{}",
        said.stderr
    );
    assert_eq!(shop.report()["catalogue_misses"]["causes"][0], "leading_zeros");
    shop.prepare("log.csv", &["--items", "articles.csv", "--strict"]).refused("leading zeros", "");
    // All meet, and the catalogue has more: nothing to tell.
    let shop = Shop::new(&[("log.csv", &log(plain)), ("articles.csv", &(titles(plain) + "999,Other\n"))]);
    shop.prepare("log.csv", &["--items", "articles.csv", "--time-unit", "s", "--strict"]).fine();
}

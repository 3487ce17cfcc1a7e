//! Times: sub-seconds, units, dates, zones, rows without one, ties.

use super::Shop;

/// Five events, the last four within one second, out of order in the file.
fn within_a_second(times: [&str; 5]) -> String {
    let rows: String = ["a", "b", "e", "c", "d"]
        .iter()
        .zip(times)
        .map(|(item, time)| format!("u1,{item},{time}\n"))
        .collect();
    format!("user,item,timestamp\n{rows}")
}

#[test]
fn events_within_a_second_keep_their_order_in_eight_forms_of_time() {
    let forms: [(&str, [&str; 5]); 10] = [
        (
            "milliseconds",
            ["1588687727000", "1588687728100", "1588687728900", "1588687728300", "1588687728500"],
        ),
        (
            "microseconds",
            [
                "1588687727000000",
                "1588687728000001",
                "1588687728000009",
                "1588687728000003",
                "1588687728000005",
            ],
        ),
        (
            "nanoseconds",
            [
                "1588687727000000000",
                "1588687728000000001",
                "1588687728000000009",
                "1588687728000000003",
                "1588687728000000005",
            ],
        ),
        (
            "seconds with a fraction",
            ["1588687727", "1588687728.1", "1588687728.9", "1588687728.3", "1588687728.5"],
        ),
        (
            "float milliseconds",
            ["1588687727000.0", "1588687728100.0", "1588687728900.5", "1588687728300.0", "1588687728500.0"],
        ),
        (
            "ISO 8601, UTC",
            [
                "2020-05-05T14:08:47.000Z",
                "2020-05-05T14:08:48.100Z",
                "2020-05-05T14:08:48.900Z",
                "2020-05-05T14:08:48.300Z",
                "2020-05-05T14:08:48.500Z",
            ],
        ),
        (
            "ISO 8601 of several zones",
            [
                "2020-05-05T14:08:47Z",
                "2020-05-05T16:08:48.1+02:00",
                "2020-05-05T09:08:48.9-05:00",
                "2020-05-05T14:08:48.3Z",
                "2020-05-05T19:38:48.5+05:30",
            ],
        ),
        (
            "pandas",
            [
                "2020-05-05 14:08:47",
                "2020-05-05 14:08:48.100000",
                "2020-05-05 14:08:48.900000",
                "2020-05-05 14:08:48.300000",
                "2020-05-05 14:08:48.500000",
            ],
        ),
        (
            "SQL with UTC",
            [
                "2020-05-05 14:08:47 UTC",
                "2020-05-05 14:08:48.1 UTC",
                "2020-05-05 14:08:48.9 UTC",
                "2020-05-05 14:08:48.3 UTC",
                "2020-05-05 14:08:48.5 UTC",
            ],
        ),
        ("a clock from zero in seconds", ["0.5", "0.625", "1.75", "0.75", "1.5"]),
    ];
    for (name, times) in forms {
        let shop = Shop::new(&[("log.csv", &within_a_second(times))]);
        let said = shop.prepare("log.csv", &[]).fine();
        assert_eq!(shop.history("u1"), "a b c | d || e", "{name}");
        assert!(!said.stderr.contains("equal times"), "{name}: {}", said.stderr);
        println!("pass: {name}");
    }
}

#[test]
fn a_column_of_numbers_has_one_unit_and_it_is_told() {
    // A clock of milliseconds crosses the size at which seconds end.
    let log = "user,item,timestamp\nu1,a,99999998000\nu1,b,99999999000\nu1,c,100000001000\nu1,d,100000002000\nu1,e,100000003000\n";
    let shop = Shop::new(&[("log.csv", log)]);
    let said = shop.prepare("log.csv", &[]).fine();
    assert_eq!(shop.history("u1"), "a b c | d || e");
    assert!(
        said.stdout.contains("time     = timestamp (guessed), in milliseconds (guessed)"),
        "{}",
        said.stdout
    );
    assert!(said.stderr.contains("2 of 5 times suggests another unit than milliseconds"), "{}", said.stderr);
    assert_eq!(shop.report()["log"]["time_unit"], "milliseconds");
    let said = shop.prepare("log.csv", &["--time-unit", "ms"]).fine();
    assert!(
        said.stdout.contains("in milliseconds: 1973-03-03 to 1973-03-03\n")
            && !said.stderr.contains("another unit"),
        "{}",
        said.stderr
    );
    shop.prepare("log.csv", &["--strict"])
        .refused("another unit than milliseconds", "option that settles it");
    // What the unit makes of the numbers.
    shop.prepare("log.csv", &["--time-unit", "us"]).fine();
    assert_eq!(shop.dataset().sequences.times_of(0)[0], 99_999_998_000);
}

#[test]
fn digits_that_are_dates_are_dates() {
    let days: String = (5..16).map(|day| format!("u{},i{},202007{day:02}\n", day % 2, day % 7)).collect();
    let shop = Shop::new(&[("log.csv", &format!("user,item,date\n{days}"))]);
    let split = ["--split", "global_time", "--valid-from", "2020-07-11", "--test-from", "2020-07-13"];
    let said = shop.prepare("log.csv", &split).fine();
    assert!(said.stdout.contains("date (guessed), in date (guessed)"), "{}", said.stdout);
    assert_eq!(shop.dataset().sequences.times_of(0)[0], 1_593_907_200_000_000);
    // A number among them that is no date: neither are the others seconds of 1970.
    let seconds = format!("user,item,date\n{days}").replace(",20200705", ",20201305");
    let shop = Shop::new(&[
        ("log.csv", &seconds),
        ("stamps.csv", "user,item,ts\nu,a,20200705103000\nu,b,20200705103001\nu,c,20200706000000\n"),
    ]);
    shop.prepare("log.csv", &[]).refused("10 of 11 times are dates in digits (date)", "");
    shop.prepare("log.csv", &["--time-format", "%Y%m%d", "--skip-bad", "1"]).fine();
    assert_eq!(shop.dataset().sequences.times_of(0)[0], 1_593_993_600_000_000);
    shop.prepare("log.csv", &["--time-unit", "seconds"]).fine();
    assert_eq!(shop.report()["log"]["time_unit"], "seconds");
    shop.prepare("log.csv", &["--time-unit", "date"]).refused("20201305 is no time in date", "");
    shop.prepare("stamps.csv", &[]).fine();
    assert_eq!(shop.dataset().sequences.times_of(0)[1], 1_593_945_001_000_000);
}

#[test]
fn forms_that_are_not_read_are_refused_by_naming_those_that_are() {
    for (form, format) in [
        ("11/13/2019 8:36:57 AM", "%m/%d/%Y %I:%M:%S %p"),
        ("13.11.2019 08:36", "%d.%m.%Y %H:%M"),
        ("02 27, 2014", "%m %d, %Y"),
    ] {
        let log = format!("user;item;time\nu;a;{form}\nu;b;{form}\nu;c;{form}\n");
        let shop = Shop::new(&[("log.csv", &log)]);
        let said = shop.prepare("log.csv", &[]);
        said.refused("log.csv:2: column time:", "");
        assert!(
            said.stderr.contains("2020-07-05 10:30:00") && said.stderr.contains("--time-format"),
            "{}",
            said.stderr
        );
        shop.prepare("log.csv", &["--time-format", format]).fine();
    }
}

#[test]
fn rows_without_a_time_are_refused_or_dropped_by_wish() {
    let log = "user,item,time\nu,a,5\nu,b,\nu,c,4\nu,d,NaN\nu,e,9\n";
    let shop = Shop::new(&[("log.csv", log), ("untimed.csv", "user,item\nu,a\nu,b\nu,c\n")]);
    let said = shop.prepare("log.csv", &[]);
    said.refused("log.csv:3: column time: no time; --untimed drop", "");
    shop.prepare("log.csv", &["--untimed", "drop"]).fine();
    assert_eq!(shop.history("u"), "c | a || e");
    assert_eq!(shop.report()["rows_without_time_dropped"], 2);
    shop.prepare("untimed.csv", &["--untimed", "drop"])
        .refused("--untimed: the log has no column of times", "");
    shop.prepare("untimed.csv", &["--time-unit", "ms"])
        .refused("--time-unit: the log has no column of times", "");
}

#[test]
fn ties_that_ascend_by_item_id_are_told_with_a_share_of_pairs() {
    // One user, one moment, items as a sorted file has them; 9 before 10 although not as texts.
    let rows: String = (0..30).map(|n| format!("u{},{},1399939200\n", n / 10, n)).collect();
    let sorted = format!("user,item,timestamp\n{rows}");
    let mixed = "user,item,timestamp\n".to_owned()
        + &(0..30).map(|n| format!("u{},{},1399939200\n", n / 10, (n * 17) % 30)).collect::<String>();
    let shop = Shop::new(&[("sorted.csv", &sorted), ("mixed.csv", &mixed)]);
    let said = shop.prepare("sorted.csv", &[]).fine();
    assert!(
        said.stderr.contains("27 of 27 neighbouring interactions (100 %) have equal times"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("100 % of them ascend by item id") && said.stderr.contains("--ties hash"),
        "{}",
        said.stderr
    );
    let before = shop.history("u0");
    shop.prepare("sorted.csv", &["--ties", "hash"]).fine();
    let hashed = shop.history("u0");
    assert_ne!(before, hashed);
    let said = shop.prepare("mixed.csv", &[]).fine();
    assert!(
        said.stderr.contains("(100 %) have equal times") && !said.stderr.contains("ascend"),
        "{}",
        said.stderr
    );
    // The order of the file doesn't matter to a hash.
    let backwards =
        sorted.lines().rev().take(30).fold("user,item,timestamp\n".to_owned(), |all, line| all + line + "\n");
    shop.write("backwards.csv", backwards.as_bytes());
    shop.prepare("backwards.csv", &["--ties", "hash"]).fine();
    assert_eq!(shop.history("u0"), hashed);
}

#[test]
fn a_format_of_times_reads_texts_and_whole_numbers_or_nothing() {
    let line = |item: &str, time: &str| format!(r#"{{"user": "u", "item": "{item}", "ts": {time}}}"#) + "\n";
    let whole = [line("a", "20240103"), line("b", "20240101"), line("c", "20240102")].concat();
    let shop = Shop::new(&[("whole.jsonl", &whole), ("float.jsonl", &line("a", "20240103.5"))]);
    let format = ["--time-format", "%Y%m%d"];
    shop.prepare("whole.jsonl", &format).fine();
    assert_eq!(shop.history("u"), "b | c || a");
    shop.prepare("float.jsonl", &format).refused("float.jsonl:1: column ts: --time-format reads texts", "");
}

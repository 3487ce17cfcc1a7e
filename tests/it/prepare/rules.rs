//! What is kept: repetitions, ids that look like missing values, an older data set in the way.

use std::fs;

use super::{Shop, absent};

#[test]
fn doubles_and_immediate_repetitions_go_and_a_return_stays() {
    let log =
        "user,item,ts\nu0,a,10\nu0,a,10\nu0,b,20\nu0,b,20\nu0,b,25\nu0,c,30\nu0,a,40\nu0,d,50\nu0,d,50\n";
    let shop = Shop::new(&[("log.csv", log)]);
    for (rule, expected) in [
        ("first", "a b | c || d"),
        ("last", "b c | a || d"),
        ("keep_returns", "a b c | a || d"),
        ("keep_all", "a a b b b c a | d || d"),
    ] {
        let said = shop.prepare("log.csv", &["--duplicates", rule]).fine();
        assert_eq!(shop.history("u0"), expected, "{rule}");
        let told = said.stderr.contains("3 interactions repeat another in user, item and time");
        assert_eq!(told, rule == "keep_all", "{}", said.stderr);
    }
    // Not doubles: the same item at two moments, two items at one.
    let shop = Shop::new(&[("log.csv", "user,item,ts\nu,a,1\nu,b,1\nu,a,2\nu,c,3\n")]);
    let said = shop.prepare("log.csv", &[]).fine();
    assert!(!said.stderr.contains("repeat another"), "{}", said.stderr);
}

#[test]
fn ids_that_look_like_missing_values_are_told() {
    let log = "user,item,ts\nu,a,1\nu,nan,2\nu,c,3\nNone,a,1\nNone,b,2\nNone,NULL,3\n";
    let shop = Shop::new(&[("log.csv", log)]);
    let said = shop.prepare("log.csv", &[]).fine();
    for part in
        ["3 interactions have the user \"None\"", "1 interactions have the item \"nan\"", "the item \"NULL\""]
    {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
    assert_eq!(shop.report()["null_like_ids"].as_array().unwrap().len(), 3);
    shop.prepare("log.csv", &["--strict"]).refused("looks like a missing value", "");
    assert!(absent(&shop.path("out")));
    let shop = Shop::new(&[("log.csv", "user,item,ts\nNancy,nano,1\nNancy,b,2\nNancy,c,3\n")]);
    assert!(!shop.prepare("log.csv", &[]).fine().stderr.contains("missing value"));
}

#[test]
fn an_older_data_set_is_replaced_on_request_and_its_features_move_along() {
    let shop = Shop::new(&[
        ("log.csv", "user,item,ts\nu,a,1\nu,b,2\nu,c,3\n"),
        ("bad.csv", "user,item,ts\nu,a,x\n"),
    ]);
    shop.prepare("log.csv", &[]).fine();
    let out = shop.path("out");
    shop.write("out/features/text/tokens", b"kept");
    let again = |log: &str, more: &[&str]| {
        let mut args =
            vec!["prepare".to_owned(), shop.path(log).display().to_string(), "--output".to_owned()];
        args.push(out.display().to_string());
        args.extend(["--user-core", "1", "--item-core", "1"].iter().chain(more).map(|s| (*s).to_owned()));
        crate::program::run(&args)
    };
    again("log.csv", &[]).refused("already exists", "--overwrite");
    // What can't be prepared costs nothing.
    assert_eq!(again("bad.csv", &["--overwrite"]).code, Some(1));
    assert_eq!(shop.history("u"), "a | b || c");
    shop.write("log.csv", b"user,item,ts\nu,a,1\nu,b,2\nu,d,3\n");
    again("log.csv", &["--overwrite"]).fine();
    assert_eq!(shop.history("u"), "a | b || d");
    assert_eq!(fs::read(out.join("features/text/tokens")).unwrap(), b"kept");
    // Only a data set is replaced.
    fs::remove_dir_all(&out).unwrap();
    shop.write("out/letter.txt", b"mine");
    assert_eq!(again("log.csv", &["--overwrite"]).code, Some(1));
    assert_eq!(fs::read(out.join("letter.txt")).unwrap(), b"mine");
    let rest: Vec<_> = fs::read_dir(shop.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(rest.iter().all(|name| !name.to_string_lossy().starts_with(".codistill")), "{rest:?}");
}

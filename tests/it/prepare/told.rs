//! What is easily passed over and then gives plausible figures: each is told, or refused with the way out.

use std::fmt::Write as _;

use super::Shop;
use crate::program::path;

const LOG: &str = "user,item,ts\nu,1,1600000000\nu,2,1600000010\nu,3,1600000020\n";

#[track_caller]
fn warned(shop: &Shop, log: &str, options: &[&str], told: &str) {
    let said = shop.prepare(log, options).fine();
    assert!(said.stderr.contains(told), "no `{told}` in\n{}", said.stderr);
}

fn items(shop: &Shop, field: fn(&codistill::data::Items) -> &Vec<String>) -> Vec<String> {
    let items = shop.dataset().items;
    let of = |id: &str| field(&items)[items.ids.iter().position(|known| known == id).unwrap()].clone();
    ["1", "2", "3"].map(of).to_vec()
}

#[test]
fn another_columns_id_never_stands_in_for_a_missing_one() {
    let shop = Shop::new(&[
        ("two.csv", "user,movie_id,item_id,ts\n1,a,x,1\n1,b,,2\n1,c,z,3\n1,d,w,4\n"),
        (
            "two.jsonl",
            "{\"user_id\":\"7\",\"session_id\":\"s\",\"item\":\"a\",\"ts\":1}\n{\"user_id\":null,\"session_id\":\"s2\",\"item\":\"b\",\"ts\":2}\n",
        ),
        // Two names of one thing: reviews of 2014 and of 2023 in one file.
        (
            "years.jsonl",
            "{\"reviewerID\":\"7\",\"asin\":\"a\",\"unixReviewTime\":1600000000}\n\
             {\"user_id\":\"7\",\"parent_asin\":\"b\",\"asin\":\"b2\",\"timestamp\":1600000010}\n\
             {\"user_id\":\"7\",\"parent_asin\":\"\",\"asin\":\"c\",\"timestamp\":1600000020}\n",
        ),
    ]);
    shop.prepare("two.csv", &[]).refused("two.csv:3: column item_id: empty id", "");
    shop.prepare("two.jsonl", &[]).refused("two.jsonl:2: column user_id: empty id", "");
    let said = shop.prepare("two.csv", &["--skip-bad", "1"]).fine();
    assert!(said.stdout.contains("not read: movie_id"), "{}", said.stdout);
    let said = shop.prepare("years.jsonl", &[]).fine();
    assert_eq!(shop.history("7"), "a | b || c");
    assert!(said.stdout.contains("asin (guessed), where that above is empty"), "{}", said.stdout);
}

#[test]
fn many_users_with_as_many_words_are_a_table_without_header() {
    let mut table = String::new();
    for round in 0..3 {
        for user in 0..1200 {
            writeln!(table, "u{user} i{} {}", (user * 7 + round * 13) % 500, (user + round) % 5 + 1).unwrap();
        }
    }
    let sequences: String = (0..300).map(|u| format!("u{u} a{u} b c{} d\n", u % 3)).collect();
    let shop = Shop::new(&[("ratings.txt", &table), ("cut.txt", &sequences)]);
    for file in ["ratings.txt", "cut.txt"] {
        shop.prepare(file, &[]).refused("no header names the columns", "--format sequences");
    }
    shop.prepare("cut.txt", &["--format", "sequences"]).fine();
    assert_eq!(shop.history("u4"), "a4 b | c1 || d");
    let places = ["--no-header", "--column", "user=1", "--column", "item=2", "--column", "value=3"];
    shop.prepare("ratings.txt", &places).fine();
    assert_eq!(shop.history("u0"), "i0 | i13 || i26");
}

#[test]
fn lists_that_a_program_printed_into_a_cell_are_lists() {
    let shop = Shop::new(&[
        ("log.csv", LOG),
        (
            "items.csv",
            "item,title,description,categories,image\n\
             1,A,[],[],\"a.png, b.png\"\n\
             2,B,\"[\"\"Soft\"\", \"\"Red\"\"]\",\"['Beauty', 'Hair']\",https://x/1.jpg;https://x/2.jpg\n\
             3,[REC],[sic] it is,Plain|Two,my photo.png\n",
        ),
        ("lists.csv", "user_id,item_id_list,item_id\nu,\"['i0', 'i2', 'i4']\",i1\n"),
        ("commas.csv", "user_id,item_id_list,item_id\nu,\"i0,i2\",i1\n"),
        ("spaced.csv", "user_id,item_id_list,item_id\nu,\"i0, i2\",i1\n"),
    ]);
    shop.prepare("log.csv", &["--items", "items.csv", "--text-column", "description"]).fine();
    assert_eq!(items(&shop, |items| &items.texts), ["A", "B Soft Red", "[REC] [sic] it is"]);
    assert_eq!(items(&shop, |items| &items.categories), ["", "Beauty|Hair", "Plain|Two"]);
    assert_eq!(items(&shop, |items| &items.images), ["a.png", "https://x/1.jpg", "my photo.png"]);
    shop.prepare("lists.csv", &[]).fine();
    assert_eq!(shop.history("u"), "i0 i2 | i4 || i1");
    for file in ["commas.csv", "spaced.csv"] {
        shop.prepare(file, &[]).refused("items of a list are separated by spaces", "");
    }
}

#[test]
fn stray_quotes_that_may_swallow_rows_are_told() {
    let shop = Shop::new(&[
        (
            "stray.csv",
            "user,item,title,ts\nu,a,\"Heroes\" live,1\nu,b,\"Unclosed one,2\nu,c,\"Another unclosed,3\nu,d,Plain,4\nu,e,Plain,5\n",
        ),
        (
            "good.csv",
            "user,item,title,ts\nu,a,\"Say \"\"Hi\"\", twice\nor more\",1\nu,b,\"\",2\r\nu,c,x\"y,3\n",
        ),
    ]);
    warned(&shop, "stray.csv", &[], "2 records have text behind a closing quote");
    shop.prepare("stray.csv", &["--quoting", "none"]).fine();
    assert_eq!(shop.history("u"), "a b c | d || e");
    let said = shop.prepare("good.csv", &[]).fine();
    assert!(!said.stderr.contains("quote"), "{}", said.stderr);
}

#[test]
fn markup_and_missing_titles_are_told_once_nothing_was_said_of_them() {
    let shop = Shop::new(&[
        ("log.csv", LOG),
        ("items.csv", "item,title\n1,Knife <b>Fjäll &amp; Co</b>\n2,AT&T < 5 <3\n3,None\n"),
    ]);
    let with = ["--items", "items.csv"];
    warned(&shop, "log.csv", &with, "1 catalogue rows hold HTML in title or text, such as \"Knife <b>Fjäll");
    warned(&shop, "log.csv", &with, "1 titles such as \"None\" look like missing values");
    for (option, title) in
        [("--strip-html", "Knife Fjäll & Co"), ("--strip-html=false", "Knife <b>Fjäll &amp; Co</b>")]
    {
        let said = shop.prepare("log.csv", &[&with[..], &[option]].concat()).fine();
        assert_eq!(items(&shop, |items| &items.titles)[0], title);
        assert!(!said.stderr.contains("HTML"), "{}", said.stderr);
    }
}

#[test]
fn rows_without_a_rating_are_told_under_a_least_one() {
    let shop = Shop::new(&[
        ("log.csv", "user,item,rating,ts\nu,a,5,1\nu,b,,2\nu,c,1,3\nu,d,4,4\n"),
        (
            "log.jsonl",
            "{\"user\":\"u\",\"item\":\"a\",\"rating\":5}\n{\"user\":\"u\",\"item\":\"b\",\"rating\":null}\n{\"user\":\"u\",\"item\":\"c\",\"rating\":4}\n",
        ),
    ]);
    warned(&shop, "log.csv", &["--min-value", "3"], "1 of 4 rows have no rating: --min-value 3 keeps them");
    assert_eq!(shop.history("u"), "a | b || d");
    warned(&shop, "log.jsonl", &["--min-value", "3"], "1 of 3 rows have no rating");
}

#[test]
fn a_pattern_of_pictures_is_taken_at_its_word() {
    let shop = Shop::new(&[
        ("log.csv", LOG),
        ("items.csv", "item,picture\n1,one.png\n2,two.png\n3,shots/3.png\n"),
        ("shots/1.png", "x"),
        ("shots/2.png", "x"),
        ("shots/3.png", "x"),
    ]);
    let pattern = shop.path("shots/{id}.png").display().to_string();
    let with = ["--items", "items.csv", "--images", &pattern];
    let said = shop.prepare("log.csv", &with).fine();
    assert_eq!(items(&shop, |items| &items.images), ["shots/1.png", "shots/2.png", "shots/3.png"]);
    assert!(!said.stderr.contains("picture"), "{}", said.stderr);
    // Most paths lead nowhere; a wrong pattern names the file that it looked for.
    warned(&shop, "log.csv", &["--items", "items.csv"], "2 of 3 picture paths lead to no file");
    let wrong = shop.path("shot/{id}.png").display().to_string();
    let told = format!("names no file of any item; looked for {}", shop.path("shot/1.png").display());
    warned(&shop, "log.csv", &["--items", "items.csv", "--images", &wrong], &told);
}

#[test]
fn equal_times_are_settled_by_an_option_and_idle_options_refused() {
    let shop = Shop::new(&[
        ("log.csv", "user,item,ts\nu,b,1600000000\nu,a,1600000000\nu,d,1600000020\nu,c,1600000020\n"),
        ("seq.txt", "u a1 b c d\nv a1 c\n"),
    ]);
    shop.prepare("log.csv", &["--strict"]).refused("have equal times", "");
    for rule in ["source", "hash"] {
        shop.prepare("log.csv", &["--strict", "--ties", rule]).fine();
    }
    shop.prepare("seq.txt", &["--format", "sequences", "--ties", "hash"]).refused("--ties hash", "");
}

#[test]
fn numbers_that_are_no_times_of_ours_are_told_with_their_days() {
    let shop = Shop::new(&[("price.csv", "user,item,price\nu,a,10\nu,b,20\nu,c,30\n"), ("log.csv", LOG)]);
    let with = ["--column", "time=price"];
    warned(&shop, "price.csv", &with, "`price` taken for seconds gives days from 1970-01-01 to 1970-01-01");
    shop.prepare("price.csv", &[&with[..], &["--time-unit", "seconds", "--strict"]].concat()).fine();
    let said = shop.prepare("log.csv", &["--strict"]).fine();
    assert!(said.stdout.contains("in seconds (guessed): 2020-09-13 to 2020-09-13"), "{}", said.stdout);
}

#[test]
fn a_zone_by_its_name_is_refused_and_an_offset_read() {
    let shop = Shop::new(&[
        ("zone.csv", "user;item;time\nu;a;2024-03-05 10:22:31 Europe/Berlin\n"),
        (
            "offset.csv",
            "user;item;time\nu;a;2024-03-05 10:22:31 +0100\nu;b;2024-03-05 09:30:00 +0000\nu;c;2024-03-06 10:22:31 +0100\n",
        ),
    ]);
    shop.prepare("zone.csv", &["--time-format", "%Y-%m-%d %H:%M:%S %Q"])
        .refused("Europe/Berlin names a zone, whose offsets from UTC are not known here", "");
    shop.prepare("offset.csv", &["--time-format", "%Y-%m-%d %H:%M:%S %z"]).fine();
    assert_eq!(shop.dataset().sequences.times_of(0)[0], 1_709_630_551_000_000);
}

#[test]
fn a_refusal_names_what_is_likely_meant() {
    let bad: String = (0..4).map(|n| format!("u,i{n},5.3.2024 10:0{n}\n")).collect();
    let shop = Shop::new(&[
        ("log.csv", LOG),
        ("items.csv", "sku,name,picture\n1,A,a.png\n"),
        ("bad.csv", &format!("user,item,ts\n{bad}")),
        ("half/train.csv", "user,item,ts\nu,a,1600000000\nu,b,1600000010\n"),
        ("half/test.csv", "user,item,ts\nu,c,1600000020\n"),
    ]);
    shop.prepare("log.csv", &["--delimiter", ";"]).refused("the first line has no ';'", "separated by ','");
    shop.prepare("items.csv", &[]).refused("no column for the user", "with --items");
    let said = shop.prepare("bad.csv", &["--skip-bad", "2"]);
    said.refused("after 2 malformed lines, the first: ", "a cause in common");
    said.refused(&format!("{}:2: column ts", path(&shop.path("bad.csv"))), "");
    shop.prepare("half", &[]).refused("leaves no validation targets", "--split leave_one_out");
    shop.prepare("half", &["--split", "leave_one_out"]).fine();
}

#[test]
fn the_day_of_a_date_in_three_columns_is_no_time() {
    let shop = Shop::new(&[
        ("log.csv", "user,item,year,month,day\nu,a,2020,1,29\nu,b,2020,1,30\nu,c,2020,2,2\n"),
        ("days.csv", "user,item,day\nu,a,2020-01-29\nu,b,2020-02-02\nu,c,2020-01-30\n"),
        ("parts/year=2020/month=01/day=29/x.csv", "user,item\nu,a\nu,b\n"),
        ("parts/year=2020/month=02/day=02/x.csv", "user,item\nu,c\n"),
    ]);
    for log in ["log.csv", "parts"] {
        warned(&shop, log, &[], "the order of the file stands for it (not read: year, month, day)");
        assert_eq!(shop.history("u"), "a | b || c", "{log}");
    }
    shop.prepare("days.csv", &[]).fine();
    assert_eq!(shop.history("u"), "a | c || b");
}

#[test]
fn a_folders_value_stands_in_where_the_files_own_is_empty() {
    let shop = Shop::new(&[
        ("log.csv", LOG),
        ("items/category=lamps/x.csv", "item,title,category\n1,A,\n2,B,own\n"),
        ("items/category=chairs/x.csv", "item,title,category\n3,C,\n"),
        (
            "json/category=lamps/x.jsonl",
            "{\"item\":\"1\",\"category\":null}\n{\"item\":\"2\",\"category\":\"own\"}\n",
        ),
        ("json/category=chairs/x.jsonl", "{\"item\":\"3\",\"category\":\"\"}\n"),
    ]);
    for catalogue in ["items", "json"] {
        shop.prepare("log.csv", &["--items", catalogue]).fine();
        assert_eq!(items(&shop, |items| &items.categories), ["lamps", "own", "chairs"], "{catalogue}");
    }
}

#[test]
fn lines_that_were_allowed_to_be_passed_over_settle_themselves() {
    let shop = Shop::new(&[("log.csv", &format!("{LOG},4,1600000030\n"))]);
    let said = shop.prepare("log.csv", &["--strict", "--skip-bad", "1"]).fine();
    assert!(said.stderr.contains("1 malformed lines passed over; the first: "), "{}", said.stderr);
    shop.prepare("log.csv", &["--strict"]).refused("column user: empty id", "--skip-bad");
}

#[test]
fn dropped_returns_stand_in_the_table_and_changed_titles_are_told_where_features_were_made() {
    let shop = Shop::new(&[
        ("log.csv", "user,item,ts\nu,1,1600000000\nu,2,1600000010\nu,1,1600000020\nu,3,1600000030\n"),
        ("items.csv", "item,title\n1,A\n2,B\n3,C\n"),
        ("others.csv", "item,title\n1,A\n2,Z\n3,C\n"),
    ]);
    let said = shop.prepare("log.csv", &["--items", "items.csv", "--duplicates", "first"]).fine();
    let told = "1 interactions with an item that the user had already are dropped; --duplicates keep_returns";
    assert!(said.stdout.contains(told), "{}", said.stdout);
    let out = shop.path("out");
    crate::program::run(&["features", "encode", path(&out), "--modality", "text"]).fine();
    let log = shop.path("log.csv");
    for (catalogue, changed) in [("items.csv", false), ("others.csv", true)] {
        let catalogue = shop.path(catalogue);
        let args = ["prepare", path(&log), "--items", path(&catalogue), "-o", path(&out), "--overwrite"];
        let said =
            crate::program::run(&[&args[..], &["--user-core", "1", "--item-core", "1"]].concat()).fine();
        let told = said.stderr.contains("titles, texts or pictures of 1 items are others than before");
        assert_eq!(told, changed, "{}", said.stderr);
    }
    // The way out that it names: the old store stays until the new one is whole.
    let again = ["features", "encode", path(&out), "--modality", "text"];
    crate::program::run(&again).refused("already exists", "--overwrite");
    let before =
        codistill::features::FeatureStore::open(&out.join("features/text")).unwrap().hash().to_owned();
    crate::program::run(&[&again[..], &["--overwrite"]].concat()).fine();
    let after =
        codistill::features::FeatureStore::open(&out.join("features/text")).unwrap().hash().to_owned();
    assert_ne!(before, after);
    assert_eq!(std::fs::read_dir(out.join("features")).unwrap().count(), 1);
}

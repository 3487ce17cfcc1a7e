//! Every form of file and filter against a small catalogue.

use super::*;
use crate::data::KeptColumn;
use proptest::prelude::*;

fn column(values: &[&str]) -> Vec<String> {
    std::iter::once("").chain(values.iter().copied()).map(str::to_owned).collect()
}

/// Items 1 to 5.
fn items() -> Items {
    Items {
        ids: column(&["007", "b|c", "B 2", "x,y", "item"]),
        titles: column(&["Heat", "Drama | Comedy", "", "Up", "Heat"]),
        texts: column(&[""; 5]),
        categories: column(&["Crime|Drama", "Comedy", "", "Home, Garden", "Drama"]),
        images: column(&[""; 5]),
        pictures_root: None,
        kept: vec![
            KeptColumn { name: "in stock".into(), values: column(&["yes", "no", "yes", "", "yes"]) },
            KeptColumn { name: "price".into(), values: column(&["3.50", "3.5", "12", "", "0"]) },
        ],
    }
}

fn choose(rules: &Rules) -> Result<(Vec<u32>, Vec<String>), ChoiceError> {
    rules.choose(&items()).map(|(choice, remarks)| (choice.items().to_vec(), remarks))
}

fn filters(filters: &[&str]) -> Rules {
    Rules { filters: filters.iter().map(|f| f.parse().unwrap()).collect(), ..Rules::default() }
}

/// The items that a file with these bytes leaves.
fn choose_from_file(bytes: &[u8]) -> Result<(Vec<u32>, Vec<String>), ChoiceError> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ids");
    std::fs::write(&path, bytes).unwrap();
    choose(&Rules { candidates: Some(path), ..Rules::default() })
}

#[test]
fn every_form_choose_from_file_names_the_same_items() {
    let forms: [&[u8]; 12] = [
        b"007\n\n  B 2 \n",
        b"\xef\xbb\xbf007\r\nB 2\r\n",
        b"price,item_id\n3.50,007\n\n12,B 2\n",
        b"Item ID;note\n007;\"a;b\"\nB 2;\n",
        b"item_id:token\tprice:float\n007\t3.50\nB 2\t12\n",
        b"id,sku\n1,007\n2,B 2\n",
        b"\"item\"\n\"007\"\n   \n\"B 2\"\n",
        b"parent_asin\n007\nB 2",
        b"\"007\"\n\n\"B 2\"\n",
        b"[\"007\", \"B 2\"]\n",
        b"{\"item\": \"007\"}\n{\"id\": 9, \"itemId\": \"B 2\"}\n",
        b"007\nB 2\n007\n",
    ];
    for form in forms {
        assert_eq!(
            choose_from_file(form).unwrap(),
            (vec![1, 3], Vec::new()),
            "{}",
            String::from_utf8_lossy(form)
        );
    }
    // Ids that look like a table, or like its header: `item` is one of the catalogue.
    assert_eq!(choose_from_file(b"x,y\nb|c\n").unwrap().0, [2, 4]);
    assert_eq!(choose_from_file(b"item\n007\n").unwrap().0, [1, 5]);
}

#[test]
fn numbers_in_json_are_ids_as_they_are_written() {
    let numbered = Items { ids: column(&["17", "4", "18446744073709551615"]), ..Items::default() };
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ids.jsonl");
    std::fs::write(&path, "{\"item\": 4}\n18446744073709551615\n").unwrap();
    let rules = Rules { candidates: Some(path), ..Rules::default() };
    assert_eq!(rules.choose(&numbered).unwrap().0.items(), [2, 3]);
}

#[test]
fn unknown_ids_are_counted_and_shown_and_none_known_is_refused() {
    let (found, remarks) = choose_from_file(b"007\nz1\nz2\nz3\nz4\n").unwrap();
    assert_eq!(found, [1]);
    assert!(remarks[0].ends_with("4 of 5 ids are no items here, such as z1, z2, z3"), "{remarks:?}");
    let message = choose_from_file(b"7\n8\n").unwrap_err().to_string();
    assert!(message.contains("ids like 7 here, 007 there: they differ in leading zeros"), "{message}");
    let refused = choose_from_file(b"x1\ny2\n").unwrap_err();
    let message = refused.to_string();
    assert!(message.contains("none of the file's 2 ids stands in the catalogue"), "{message}");
    assert!(message.contains("x1, y2 here, 007, b|c, \"B 2\" there"), "{message}");
    assert!(refused.hint().unwrap().contains("one id a line"));
}

#[test]
fn files_that_make_no_sense_are_refused_with_their_line() {
    let cases: [(&[u8], &str); 7] = [
        (b"007\n\xff\n", ":2: not UTF-8"),
        (b"\"007\"\n\"B 2\n", ":2: EOF while parsing a string"),
        (b"{\"item\": \"007\"}\n{\"price\": 3}\n", ":2: no `item` among its fields"),
        (b"[\"007\"]\n[null]\n", ":2: null is no id"),
        (b"price,item\n3,007\n4,\n", ":3: empty id"),
        (b"price,item\n3,007,9\n", ":2: 3 fields where the header has 2"),
        (b"\n \n", "no ids in this file"),
    ];
    for (bytes, expected) in cases {
        let message = choose_from_file(bytes).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} instead of {expected}");
    }
    let missing = Rules { exclude: Some("nowhere/ids".into()), ..Rules::default() };
    assert_eq!(choose(&missing).unwrap_err().hint().as_deref(), Some("check the path"));
}

#[test]
fn filters_hold_together_and_their_values_apart() {
    let cases: [(&[&str], &[u32]); 10] = [
        (&["category=Drama"], &[1, 5]),
        (&["category=Drama,Comedy"], &[1, 2, 5]),
        (&["category=Crime|Drama"], &[1]),
        (&["category=Drama", "category=Crime"], &[1]),
        (&["category=\"Home, Garden\",Comedy"], &[2, 4]),
        (&["category="], &[3]),
        (&["title=Drama | Comedy"], &[2]),
        (&["in stock=yes"], &[1, 3, 5]),
        (&["in stock = yes", "category=Drama", "price=0"], &[5]),
        // As text: 3.5 is another value than 3.50.
        (&["price=3.5"], &[2]),
    ];
    for (rules, expected) in cases {
        assert_eq!(choose(&filters(rules)).unwrap(), (expected.to_vec(), Vec::new()), "{rules:?}");
    }
}

#[test]
fn fields_and_values_that_are_not_there_are_told() {
    let unknown = choose(&filters(&["colour=red"])).unwrap_err();
    assert!(unknown.to_string().contains("no column `colour`"), "{unknown}");
    let hint = unknown.hint().unwrap();
    assert!(
        hint.contains("in stock, price, category, title") && hint.contains("--keep-column colour"),
        "{hint}"
    );

    let (found, remarks) = choose(&filters(&["category=Drama,Dramma"])).unwrap();
    assert_eq!(found, [1, 5]);
    assert_eq!(remarks, ["--filter category=Drama,Dramma: no item has \"Dramma\" in category"]);

    let none = choose(&filters(&["category=drama,x"])).unwrap_err();
    assert_eq!(none.to_string(), "no item has \"drama\" or \"x\" in category");
    assert!(none.hint().unwrap().starts_with("category has \"Drama\", \"Crime\""), "{:?}", none.hint());
    // A part of a title is no title.
    assert!(choose(&filters(&["title=Comedy"])).is_err());

    let nothing = choose(&filters(&["category=Comedy", "in stock=yes"])).unwrap_err();
    assert!(nothing.to_string().contains("--filter category=Comedy, --filter in stock=yes"), "{nothing}");
}

#[test]
fn a_filter_without_field_or_value_is_no_filter() {
    for text in ["category", "=Drama", " =x", "a=b\nc"] {
        assert!(text.parse::<Filter>().is_err(), "{text}");
    }
}

#[test]
fn places_are_those_among_the_chosen() {
    let choice = Choice::new(&[false, true, false, true], vec![]);
    assert_eq!((choice.items(), choice.count()), (&[1, 3][..], 2));
    assert_eq!([0, 1, 2, 3, 4].map(|item| choice.place(item)), [None, Some(1), None, Some(2), None]);
    let mut scores = [5.0, 1.0, 2.0, 3.0];
    choice.hide(&mut scores);
    assert_eq!(scores, [f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY, 3.0]);
    assert_ne!(choice.hash(), Choice::new(&[false, true, true, true], vec![]).hash());
}

proptest! {
    #[test]
    fn any_bytes_are_ids_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = choose_from_file(&bytes);
    }

    #[test]
    fn any_text_is_a_filter_or_an_error_and_never_a_panic(text in ".{0,30}") {
        if let Ok(filter) = text.parse::<Filter>() {
            let _ = choose(&Rules { filters: vec![filter], ..Rules::default() });
        }
    }

    /// What is left out never changes the order or the places of what is left.
    #[test]
    fn candidates_and_exclusion_of_the_rest_leave_the_same(kept in proptest::collection::vec(any::<bool>(), 5)) {
        let home = tempfile::tempdir().unwrap();
        let (inside, outside) = (home.path().join("in"), home.path().join("out"));
        // `item` stands last, so that it is never taken for a header.
        let list = |wanted: bool| -> String {
            let each = items().ids.into_iter().skip(1).zip(&kept).filter(|(_, kept)| **kept == wanted);
            each.map(|(id, _)| id + "\n").collect()
        };
        std::fs::write(&inside, list(true)).unwrap();
        std::fs::write(&outside, list(false)).unwrap();
        let only = choose(&Rules { candidates: Some(inside), ..Rules::default() });
        let without = choose(&Rules { exclude: Some(outside), ..Rules::default() });
        if kept.iter().any(|&k| k) && !kept.iter().all(|&k| k) {
            prop_assert_eq!(only.unwrap(), without.unwrap());
        } else {
            // An empty file names nothing.
            prop_assert!(only.is_err() || without.is_err());
        }
    }
}

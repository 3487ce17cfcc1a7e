use super::cause::{strip_zeros, whole_number};
use super::*;
use proptest::prelude::*;

const NAMES: Names = Names { left: "the log", things: "items", right: "the catalogue" };

fn joined(left: &[&str], right: &[&str]) -> Option<Explanation> {
    explain(NAMES, left.iter().copied(), right.iter().copied())
}

#[test]
fn lost_zeros_are_told_with_ids_of_both_sides() {
    let left = ["108775015", "108775044", "110065001", "111565001", "111586001"];
    let right = ["0108775015", "0108775044", "0110065001", "0111565001", "0111586001"];
    let found = joined(&left, &right).unwrap();
    assert_eq!((found.matched, found.mendable, found.left, found.right), (0, 5, 5, 5));
    assert_eq!(
        found.to_string(),
        "none of the log's 5 items stands in the catalogue; ids like 108775015, 108775044, 110065001 here, \
         0108775015, 0108775044, 0110065001 there: they differ in leading zeros"
    );
    assert!(found.hint().unwrap().contains("dtype=str"));
}

#[test]
fn every_id_defect_is_named() {
    use Cause::*;
    type Ids = &'static [&'static str];
    let table: [(&str, Ids, Ids, &[Cause]); 22] = [
        ("leading zeros", &["108775015", "17"], &["0108775015", "0017"], &[LeadingZeros]),
        ("leading zeros, other side", &["007", "008"], &["7", "8"], &[LeadingZeros]),
        ("leading zeros, letters", &["00A1", "00B2"], &["A1", "B2"], &[LeadingZeros]),
        (".0", &["12.0", "7.0"], &["12", "7"], &[Decimal]),
        (".0, other side", &["12", "7"], &["12.0", "7.00"], &[Decimal]),
        (".0, exponent", &["1.08775015e+08"], &["108775015"], &[Decimal]),
        (".0 and zeros", &["108775015.0"], &["0108775015"], &[Decimal, LeadingZeros]),
        ("white space", &["a ", " b"], &["a", "b"], &[WhiteSpace]),
        ("white space, no-break", &["a", "b"], &["a\u{a0}", "\u{feff}b"], &[WhiteSpace]),
        ("white space, fixed strings", &["a", "b"], &["a\0", "b\0"], &[WhiteSpace]),
        ("letter case", &["b00x", "b00y"], &["B00X", "B00Y"], &[LetterCase]),
        ("letter case, accents", &["Äb", "Öc"], &["äb", "öc"], &[LetterCase]),
        ("letter case and white space", &["A ", "B "], &["a", "b"], &[WhiteSpace, LetterCase]),
        ("null-like", &["nan"], &["1", "2"], &[NullLike]),
        ("null-like beside good ones", &["1", "2", "None"], &["1", "2", "3"], &[NullLike]),
        ("null-like, capitals", &["1", "2", "<NA>"], &["1", "2"], &[NullLike]),
        ("prefix", &["item_1", "item_22"], &["1", "22"], &[Prefix]),
        ("prefix, other side", &["1", "22"], &["i1", "i22"], &[Prefix]),
        ("prefix, both", &["item:1", "item:2"], &["movie/1", "movie/2"], &[Prefix]),
        ("quotes", &["\"1\"", "'2'"], &["1", "2"], &[Quotes]),
        ("extension", &["1.jpg", "2.PNG"], &["1", "2"], &[Extension]),
        ("Unicode form", &["caf\u{e9}"], &["cafe\u{301}"], &[UnicodeForm]),
    ];
    for (name, left, right, causes) in table {
        let found = joined(left, right).unwrap_or_else(|| panic!("{name}: nothing is told"));
        assert_eq!(found.causes, causes, "{name}: {found}");
        println!("pass  {name}: {found}");
    }
}

#[test]
fn a_join_that_meets_is_not_spoken_of() {
    // All of the log; a catalogue that lacks a few; a short catalogue that is wholly used.
    assert_eq!(joined(&["1", "2"], &["1", "2", "3", "4", "5"]), None);
    assert_eq!(joined(&["1", "2", "3", "x"], &["1", "2", "3", "y"]), None);
    assert_eq!(joined(&["1", "2", "3", "4", "5", "6"], &["2", "5"]), None);
    assert_eq!(joined(&[], &["2"]), None);
    assert_eq!(joined(&["2"], &[]), None);
}

#[test]
fn a_part_that_differs_in_writing_is_told_beside_what_matches() {
    let found = joined(&["1", "2", "3", "04"], &["1", "2", "3", "4"]).unwrap();
    assert_eq!((found.matched, found.mendable), (3, 1));
    let told = found.to_string();
    assert_eq!(
        told,
        "3 of the log's 4 items stand in the catalogue, 1 more would; ids like 04 here, 4 there: they differ in \
         leading zeros"
    );
    // One chance likeness among many strangers says nothing.
    let strangers: Vec<String> = (100..150).map(|n| format!("x{n}y")).collect();
    let mut left: Vec<&str> = strangers.iter().map(String::as_str).collect();
    let shared: Vec<String> = (0..100).map(|n| format!("z{n}z")).collect();
    left.extend(shared.iter().map(String::as_str));
    left.push("aB");
    let mut right: Vec<&str> = shared.iter().map(String::as_str).collect();
    right.push("Ab");
    assert_eq!(joined(&left, &right), None);
}

#[test]
fn strangers_are_shown_without_a_cause() {
    let found = joined(&["a", "b c"], &["1", "2"]).unwrap();
    assert_eq!(
        found.to_string(),
        "none of the log's 2 items stands in the catalogue; ids like a, \"b c\" here, 1, 2 there"
    );
    assert_eq!(found.hint(), None);
}

#[test]
fn ids_of_zeros_and_dots_keep_something() {
    for (id, bare) in [("0", "0"), ("000", "0"), ("00.5", "0.5"), ("", ""), ("0-1", "0-1"), ("0x", "x")] {
        assert_eq!(strip_zeros(id), bare, "{id}");
    }
    for (id, bare) in [("12.5", "12.5"), ("1e5", "1e5"), (".0", ".0"), ("1.", "1"), ("v1.0", "v1.0")] {
        assert_eq!(whole_number(id), bare, "{id}");
    }
}

proptest! {
    #[test]
    fn any_two_lists_are_compared_and_counts_add_up(
        left in proptest::collection::hash_set("[ 0-9a-cA-C_.\"é]{0,4}", 0..12),
        right in proptest::collection::vec("[ 0-9a-cA-C_.\"é]{0,4}", 0..12),
    ) {
        let ids: Vec<&str> = left.iter().map(String::as_str).collect();
        let others: Vec<&str> = right.iter().map(String::as_str).collect();
        if let Some(found) = joined(&ids, &others) {
            let matched = ids.iter().filter(|id| others.contains(id)).count();
            prop_assert_eq!((found.matched, found.left), (matched, ids.len()));
            prop_assert!(found.matched + found.mendable <= found.left);
            prop_assert!(!found.to_string().is_empty());
        }
    }

    #[test]
    fn undoing_twice_changes_nothing_more(id in "\\PC{0,12}") {
        for cause in Cause::REWRITES {
            let once = cause.undo(&id).into_owned();
            if cause == Cause::LeadingZeros || cause == Cause::WhiteSpace {
                prop_assert_eq!(cause.undo(&once).into_owned(), once);
            }
        }
    }
}

use super::*;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn python_literals_mean_what_python_makes_of_them() {
    let cases = [
        ("{'asin': 'B1', 'title': \"Bob's rod\"}", json!({"asin": "B1", "title": "Bob's rod"})),
        ("{u'a': u'\\xe9', 'b': 'Line \\xe9lite\\n'}", json!({"a": "é", "b": "Line élite\n"})),
        ("{'a': None, 'b': True, 'c': False,}", json!({"a": null, "b": true, "c": false})),
        ("('x', 1, (2,), ())", json!(["x", 1, [2], []])),
        ("[0, 00, -0, 00.5]", json!([0, 0, 0, 0.5])),
        ("('in parentheses')", json!("in parentheses")),
        ("{'one', 'two'}", json!(["one", "two"])),
        ("{1: 'a', 2.5: 'b'}", json!({"1": "a", "2.5": "b"})),
        ("[1L, -7, 1e3, .5, 5., 18446744073709551615]", json!([1, -7, 1e3, 0.5, 5.0, u64::MAX])),
        ("'\\u00e9\\U0001f600\\101\\q\\''", json!("é😀A\\q'")),
        ("r'C:\\new'", json!("C:\\new")),
        ("{'a': 1, 'a': 2}", json!({"a": 2})),
    ];
    for (text, value) in cases {
        assert_eq!(parse(text), Ok(value), "{text}");
    }
}

#[test]
fn values_that_json_has_no_name_for_are_null() {
    for text in ["NaN", "nan", "-Infinity", "inf", "-inf", "None", "1e999"] {
        assert_eq!(parse(text), Ok(Value::Null), "{text}");
    }
    assert_eq!(parse(r#"{"a": NaN, "b": "\ud83d\ude00\/"}"#), Ok(json!({"a": null, "b": "\u{1f600}/"})));
}

#[test]
fn a_lone_surrogate_is_replaced() {
    assert_eq!(parse(r"'\ud83d'"), Ok(json!("\u{fffd}")));
    assert_eq!(parse(r"'\ud83d\u0041'"), Ok(json!("\u{fffd}A")));
}

#[test]
fn what_is_no_literal_is_refused_where_it_stops_being_one() {
    let cases = [
        ("{'a': datetime(2014, 1, 1)}", 7),
        ("{'a' 1}", 6),
        ("{'a': 1 'b': 2}", 9),
        ("['a' 'b']", 6),
        ("'open", 2),
        ("{'a': 1} x", 10),
        ("", 1),
        ("01x", 1),
        ("{['a']: 1}", 7),
        ("--5", 1),
        ("'two\nlines'", 2),
        ("1_000", 1),
        ("007", 1),
        ("{'a': -05L}", 7),
    ];
    for (text, byte) in cases {
        assert_eq!(parse(text).map_err(|e| e.byte), Err(byte), "{text}");
    }
}

#[test]
fn lists_that_numpy_printed_are_read_from_cells_only() {
    assert_eq!(parse_printed("['a.png' 'b.png']"), Ok(json!(["a.png", "b.png"])));
    let printed = "{'hi_res': array([None], dtype=object), 'large': array(['u.jpg'], dtype=object)}";
    assert_eq!(parse_printed(printed), Ok(json!({"hi_res": [null], "large": ["u.jpg"]})));
    assert!(parse(printed).is_err());
}

#[test]
fn nesting_is_bounded() {
    for open in ["[", "(", "{'a':", "{(", "array("] {
        assert!(parse(&open.repeat(200_000)).is_err());
        assert!(parse_printed(&open.repeat(200_000)).is_err());
    }
    assert!(parse(&format!("{}{}", "[".repeat(128), "]".repeat(128))).is_ok());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_reads_as_serde_json_reads_it(value in any_json()) {
        prop_assert_eq!(parse(&value.to_string()), Ok(value.clone()));
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(parse_printed(&pretty), Ok(value));
    }

    #[test]
    fn any_text_parses_or_errs(text in r#"([\[\]{}(),:'"\\uUxLNa0-9eE.+\- \u{e9}]|None|array\(){0,60}"#, other: String) {
        let _ = (parse(&text), parse_printed(&text), parse(&other), parse_printed(&other));
    }
}

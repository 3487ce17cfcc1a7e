//! Text and pictures in nested values: lists and objects of JSON, Parquet, or printed into a table's cell.

use serde_json::{Map, Value};

use super::value::join;
use crate::data::literal;

/// Appends all texts and numbers of a value. An object with a `name` (a brand, an author) gives that name, any other its
/// values without their keys; addresses in objects (an author's portrait) are not text.
pub(super) fn append_text(value: &Value, separator: &str, out: &mut String) {
    match value {
        Value::String(text) => join(out, separator, text),
        Value::Number(number) => join(out, separator, &number.to_string()),
        Value::Array(parts) => parts.iter().for_each(|part| append_text(part, separator, out)),
        Value::Object(map) => match map.get("name") {
            Some(Value::String(name)) => join(out, separator, name),
            _ => {
                for part in map.values().filter(|part| !part.as_str().is_some_and(is_address)) {
                    append_text(part, separator, out);
                }
            }
        },
        Value::Null | Value::Bool(_) => {}
    }
}

/// The text of a field that the data set keeps for filters: truth values included, a list's elements joined by `|`.
pub(crate) fn kept_text(value: &Value) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Array(parts) => {
            let parts: Vec<String> = parts.iter().map(kept_text).filter(|part| !part.is_empty()).collect();
            parts.join("|")
        }
        other => {
            let mut text = String::new();
            append_text(other, "|", &mut text);
            text
        }
    }
}

/// [`append_text`] for a further text field. An object or list that was stored as text (`details` of Amazon's metadata on the
/// hub, lists that pandas wrote into a CSV) is parsed.
pub(super) fn append_field(value: &Value, out: &mut String) {
    match value.as_str().and_then(parse_stored) {
        Some(object) => append_text(&object, " ", out),
        None => append_text(value, " ", out),
    }
}

/// [`append_field`] for a string.
pub(super) fn append_field_text(text: &str, out: &mut String) {
    match parse_stored(text) {
        Some(object) => append_text(&object, " ", out),
        None => join(out, " ", text),
    }
}

/// [`append_text`] for a category. A list that was stored as text is parsed.
pub(super) fn append_category(value: &Value, out: &mut String) {
    match value.as_str() {
        Some(text) => join(out, "|", &category_from_text(text)),
        None => append_text(value, "|", out),
    }
}

/// The category in a table's cell, into which a program may have printed a list.
pub(super) fn category_from_text(text: &str) -> String {
    let mut out = String::new();
    match parse_stored(text) {
        Some(value) => append_text(&value, "|", &mut out),
        None => text.trim().clone_into(&mut out),
    }
    out
}

/// Parses an object, or a list of texts, that was stored as text: `{"Colour": "red"}`, `['Toys', 'Outdoor']`, `[]`.
fn parse_stored(text: &str) -> Option<Value> {
    let text = text.trim();
    let has = |open: char, close: char| text.starts_with(open) && text.ends_with(close);
    if has('{', '}') {
        return literal::parse(text).ok().filter(Value::is_object);
    }
    let texts = |value: &Value| {
        let text = |part: &Value| part.is_string() || part.is_null() || part.is_array();
        value.as_array().is_some_and(|parts| parts.iter().all(text))
    };
    if has('[', ']') { literal::parse_printed(text).ok().filter(texts) } else { None }
}

/// The path or address of a value's picture: a string, the first of a list, or the main one of pictures in several sizes.
/// The latter come as a list of objects or, from the `datasets` library, as an object of lists.
pub(super) fn picture_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => picture_from_text(text),
        Value::Array(pictures) => {
            let is_main = |picture: &&Value| picture.get(VARIANT).and_then(Value::as_str) == Some(MAIN);
            pictures.iter().filter(is_main).chain(pictures).find_map(picture_in)
        }
        Value::Object(sizes) => picture_in_sizes(sizes),
        _ => None,
    }
}

/// [`picture_in`] for a table's cell: a path, or a list that a program printed into it.
pub(super) fn picture_from_text(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if text.starts_with(['[', '{']) {
        // What doesn't parse is the odd name of a file.
        if let Ok(value @ (Value::Array(_) | Value::Object(_))) = literal::parse_printed(text) {
            return picture_in(&value);
        }
    }
    // A separator may stand in a file's name; between pictures it separates them.
    let first = ['|', ';', ',', ' '].into_iter().find_map(|separator| {
        let mut parts = text.split(separator).map(str::trim).filter(|part| !part.is_empty());
        let first = parts.next()?;
        let mut rest = parts.peekable();
        (rest.peek().is_some() && is_picture(first) && rest.all(is_picture)).then_some(first)
    });
    Some(first.unwrap_or(text).to_owned())
}

const VARIANT: &str = "variant";
const MAIN: &str = "MAIN";
/// Best first. Every picture of Amazon's has `large`; `hi_res` is often null. The last three are other sources' names.
const SIZES: [&str; 6] = ["large", "hi_res", "thumb", "url", "path", "src"];

fn picture_in_sizes(sizes: &Map<String, Value>) -> Option<String> {
    let lists: Vec<&Vec<Value>> = SIZES.iter().filter_map(|size| sizes.get(*size)?.as_array()).collect();
    let Some(count) = lists.iter().map(|list| list.len()).max() else {
        return SIZES.iter().find_map(|size| sizes.get(*size)?.as_str().and_then(picture_from_text));
    };
    let variants = sizes.get(VARIANT).and_then(Value::as_array);
    let is_main = |place: &usize| variants.and_then(|names| names.get(*place)?.as_str()) == Some(MAIN);
    let picture = |place: usize| lists.iter().find_map(|list| picture_in(list.get(place)?));
    (0..count).filter(is_main).chain(0..count).find_map(picture)
}

fn is_picture(text: &str) -> bool {
    const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];
    let extension = text.rsplit_once('.').map_or("", |(_, extension)| extension);
    is_address(text) || EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

fn is_address(text: &str) -> bool {
    text.trim_start().starts_with("http://") || text.trim_start().starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn joined_text(value: &Value, separator: &str) -> String {
        let mut out = String::new();
        append_text(value, separator, &mut out);
        out
    }

    #[test]
    fn all_texts_of_nested_values_are_joined() {
        assert_eq!(joined_text(&json!([["Toys", "Outdoor"], ["Sports"]]), "|"), "Toys|Outdoor|Sports");
        assert_eq!(joined_text(&json!(["a", null, 7, 2.5, true, " b "]), " "), "a 7 2.5 b");
        let details = json!({"Brand": "Acme", "Rank": {"Toys": 7}, "Colours": ["Red", "Blue"]});
        assert_eq!(joined_text(&details, " "), "Acme 7 Red Blue");
        let author = json!({"avatar": "https://a/b.png", "name": "J. Doe", "about": ["Writes"]});
        assert_eq!(joined_text(&author, " "), "J. Doe");
        assert_eq!(joined_text(&json!({"site": "https://a", "city": "Ulm"}), " "), "Ulm");
    }

    #[test]
    fn an_object_stored_as_text_says_its_values() {
        let mut out = "first".to_owned();
        append_field(
            &json!(r#"{"Brand": "Acme", "Size": NaN, "Special Feature": "Cordless drill"}"#),
            &mut out,
        );
        assert_eq!(out, "first Acme Cordless drill");
        let mut out = String::new();
        append_field_text("{braces} are {text}", &mut out);
        assert_eq!(out, "{braces} are {text}");
    }

    #[test]
    fn four_layouts_of_pictures_give_the_main_one() {
        let layouts = [
            ("a string", json!("main.jpg")),
            ("a list of strings", json!(["", "main.jpg", "side.jpg"])),
            (
                "a list of objects",
                json!([{"large": "side.jpg", "variant": "PT01"}, {"large": null, "hi_res": "main.jpg", "variant": "MAIN"}]),
            ),
            (
                "an object of lists",
                json!({"hi_res": [null, "big.jpg"], "large": ["side.jpg", "main.jpg"], "variant": ["PT01", "MAIN"]}),
            ),
        ];
        for (layout, value) in layouts {
            assert_eq!(picture_in(&value).as_deref(), Some("main.jpg"), "{layout}");
            println!("{layout}: pass");
        }
    }

    #[test]
    fn the_first_picture_is_taken_where_none_is_the_main_one() {
        assert_eq!(picture_in(&json!([{"thumb": "t.jpg"}, {"large": "l.jpg"}])).as_deref(), Some("t.jpg"));
        assert_eq!(
            picture_in(&json!({"large": [null, "2.jpg"], "variant": ["MAIN", "PT01"]})).as_deref(),
            Some("2.jpg")
        );
        // The same in both layouts where the first main one has no address.
        assert_eq!(
            picture_in(&json!({"large": ["", "2.jpg", "3.jpg"], "variant": ["MAIN", "PT01", "MAIN"]}))
                .as_deref(),
            Some("3.jpg")
        );
        assert_eq!(picture_in(&json!({"bytes": null, "path": "p.png"})).as_deref(), Some("p.png"));
        for none in [json!([]), json!({}), json!(null), json!([null, ""]), json!({"large": []}), json!("[]")]
        {
            assert_eq!(picture_in(&none), None, "{none}");
        }
    }

    #[test]
    fn lists_printed_into_a_cell_give_their_first_picture() {
        let cases = [
            ("['pics/1a.png', 'pics/1b.png']", Some("pics/1a.png")),
            ("['pics/1a.png'\n 'pics/1b.png']", Some("pics/1a.png")),
            ("pics/2a.png|pics/2b.png", Some("pics/2a.png")),
            ("http://a/x | http://a/y", Some("http://a/x")),
            ("odd|name.png", Some("odd|name.png")),
            ("[draft] cover.png", Some("[draft] cover.png")),
            (
                "{'large': array(['l.jpg'], dtype=object), 'variant': array(['MAIN'], dtype=object)}",
                Some("l.jpg"),
            ),
            ("[]", None),
            (" ", None),
        ];
        for (cell, picture) in cases {
            assert_eq!(picture_from_text(cell).as_deref(), picture, "{cell}");
        }
    }
}

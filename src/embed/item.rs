//! Files of new items: one JSON object a line.
//!
//! Values are read as `prepare` reads a catalogue: null counts as absent, a number may be a title, lists of texts are
//! joined, ids are trimmed. Unknown fields are refused, since they may be misspelt.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use half::f16;
use serde::Deserialize;
use serde_json::Value;

use super::EmbedError;
use crate::artefact::io_error;
use crate::config::nearest;
use crate::data::join::is_null_like;
use crate::data::literal;
use crate::data::source::kept_text;
use crate::features::Precision;

/// The fields of a line.
const FIELDS: [&str; 6] = ["id", "title", "text", "image", "category", "features"];

/// A new item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewItem {
    pub id: String,
    pub title: String,
    /// Title and description; the title if the line has no text.
    pub text: String,
    pub category: String,
    /// Path of the picture; empty if there is none.
    pub image: String,
    /// Given token features by view, `[tokens, F]`.
    pub features: BTreeMap<String, Vec<f32>>,
    /// Values of the columns that the data set keeps, by name.
    pub kept: BTreeMap<String, String>,
}

/// Fields of a line beyond the fixed ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub views: Vec<TokenView>,
    /// Columns of the catalogue that the data set keeps.
    pub kept: Vec<String>,
}

/// A token view of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    pub name: String,
    /// Values per token.
    pub width: usize,
    /// Precision of the stored values.
    pub precision: Precision,
}

/// The contents of a file of items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemFile {
    pub items: Vec<NewItem>,
    /// Skipped lines, as `file:line: reason`.
    pub skipped: Vec<String>,
}

/// A line, parsed.
#[derive(Deserialize)]
#[serde(expecting = "a line is one JSON object")]
struct Line {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    title: Value,
    #[serde(default)]
    text: Value,
    #[serde(default)]
    image: Value,
    #[serde(default)]
    category: Value,
    #[serde(default)]
    features: Option<BTreeMap<String, Option<Tokens>>>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "features are a list of numbers (one token) or a list of such lists")]
enum Tokens {
    One(Vec<f32>),
    Many(Vec<Vec<f32>>),
}

/// Reads a file of items. Empty lines are skipped, and so are up to `skip_bad` lines that are malformed, don't fit a
/// view or repeat an id. Relative picture paths start at the file's folder, as in a catalogue.
///
/// # Errors
/// There are more bad lines, or no items.
pub fn read_items(path: &Path, shape: &Shape, skip_bad: usize) -> Result<ItemFile, EmbedError> {
    let mut found = ItemFile::default();
    let mut lines: HashMap<String, usize> = HashMap::new();
    let file = File::open(path).map_err(io_error(path))?;
    for (n, text) in BufReader::new(file).lines().enumerate() {
        let line = n + 1;
        match read_line(path, line, text, shape, &mut lines) {
            Ok(item) => found.items.extend(item),
            Err(e @ (EmbedError::BadLine { .. } | EmbedError::Duplicate { .. }))
                if found.skipped.len() < skip_bad =>
            {
                found.skipped.push(e.to_string());
            }
            Err(e) => return Err(e),
        }
    }
    if found.items.is_empty() {
        return Err(EmbedError::NoItems { path: path.to_owned() });
    }
    Ok(found)
}

/// Reads the item of a line; `None` if it is empty. `lines` has the line of each id so far.
fn read_line(
    path: &Path,
    line: usize,
    text: std::io::Result<String>,
    shape: &Shape,
    lines: &mut HashMap<String, usize>,
) -> Result<Option<NewItem>, EmbedError> {
    let refuse = |reason: String| EmbedError::BadLine { path: path.to_owned(), line, reason };
    let text = text.map_err(|source| match source.kind() {
        ErrorKind::InvalidData => refuse("not UTF-8".into()),
        _ => EmbedError::Io { path: path.to_owned(), source },
    })?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut item = parse(&text, shape).map_err(refuse)?;
    if !item.image.is_empty() && !item.image.contains("://") {
        item.image = path.parent().unwrap_or(Path::new("")).join(&item.image).display().to_string();
    }
    if let Some(&first) = lines.get(&item.id) {
        return Err(EmbedError::Duplicate { path: path.to_owned(), line, first, id: item.id });
    }
    lines.insert(item.id.clone(), line);
    Ok(Some(item))
}

fn parse(text: &str, shape: &Shape) -> Result<NewItem, String> {
    let text = text.trim_start_matches('\u{feff}');
    let json_error = |e: serde_json::Error| {
        // The library's line number is always 1 here.
        let (column, text) = (e.column(), e.to_string());
        let reason = text.split(" at line ").next().unwrap_or(&text);
        format!("{reason} at byte {column}")
    };
    let line: Line = match serde_json::from_str(text) {
        Ok(line) => line,
        // Python literals and JSON with NaN are accepted, as by `prepare`.
        Err(e) if e.is_syntax() => match literal::parse(text) {
            Ok(value) => serde_json::from_value(value).map_err(|e| e.to_string())?,
            Err(_) => return Err(json_error(e)),
        },
        Err(e) => return Err(json_error(e)),
    };
    let (kept, unknown): (BTreeMap<_, _>, BTreeMap<_, _>) =
        line.unknown.into_iter().partition(|(name, _)| shape.kept.contains(name));
    if let Some(name) = unknown.keys().next() {
        let known: Vec<&str> = FIELDS.into_iter().chain(shape.kept.iter().map(String::as_str)).collect();
        return Err(match nearest(name, known.iter().copied()) {
            Some(near) => format!("unknown field `{name}`: did you mean `{near}`?"),
            None => format!("unknown field `{name}`: a line has {}", known.join(", ")),
        });
    }
    let mut features = BTreeMap::new();
    for (name, tokens) in line.features.unwrap_or_default() {
        let tokens = tokens_of(&name, tokens, &shape.views)?;
        if !tokens.is_empty() {
            features.insert(name, tokens);
        }
    }
    let id = id_of(&line.id)?;
    let title = joined("title", &line.title, " ")?;
    let text = joined("text", &line.text, " ")?;
    Ok(NewItem {
        id,
        text: format!("{title} {text}").trim().to_owned(),
        title,
        category: joined("category", &line.category, "|")?,
        image: first("image", &line.image)?,
        features,
        kept: kept.into_iter().map(|(name, value)| (name, kept_text(&value))).collect(),
    })
}

/// An id: a trimmed text, or an integer.
fn id_of(value: &Value) -> Result<String, String> {
    let id = match value {
        Value::String(id) => id.trim(),
        Value::Number(n) if !n.is_f64() => return Ok(n.to_string()),
        Value::Null => return Err("the line has no id".into()),
        other => return Err(format!("{other} is no id: a text or an integer is")),
    };
    if id.is_empty() {
        return Err("the id is empty".into());
    }
    if is_null_like(id) {
        return Err(format!("{id:?} is no id but what programs write for a missing one"));
    }
    Ok(id.to_owned())
}

/// A text or number, or a list of them joined; empty if absent.
fn joined(field: &str, value: &Value, separator: &str) -> Result<String, String> {
    let mut parts = Vec::new();
    collect(field, value, &mut parts)?;
    Ok(parts.join(separator))
}

/// The first text of a list, or the only one.
fn first(field: &str, value: &Value) -> Result<String, String> {
    let mut parts = Vec::new();
    collect(field, value, &mut parts)?;
    Ok(parts.into_iter().next().unwrap_or_default())
}

fn collect(field: &str, value: &Value, parts: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::String(text) => parts.extend(Some(text.trim()).filter(|t| !t.is_empty()).map(str::to_owned)),
        Value::Number(n) => parts.push(n.to_string()),
        Value::Array(list) => list.iter().try_for_each(|one| collect(field, one, parts))?,
        Value::Bool(_) | Value::Object(_) => {
            return Err(format!("`{field}` is {value}: a text, a number or a list of them is expected"));
        }
    }
    Ok(())
}

/// The values of a view, `[tokens, F]`; empty if the line has none.
fn tokens_of(name: &str, tokens: Option<Tokens>, views: &[TokenView]) -> Result<Vec<f32>, String> {
    let Some(view) = views.iter().find(|view| view.name == name) else {
        let known: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
        return Err(match nearest(name, known.iter().copied()) {
            Some(near) => format!("the model has no token view `{name}`: did you mean `{near}`?"),
            None => format!("the model has no token view `{name}`; it has {}", known.join(", ")),
        });
    };
    let tokens = match tokens {
        None => Vec::new(),
        Some(Tokens::One(one)) if one.is_empty() => Vec::new(),
        Some(Tokens::One(one)) => vec![one],
        Some(Tokens::Many(many)) => many,
    };
    if let Some(wrong) = tokens.iter().find(|token| token.len() != view.width) {
        return Err(format!("a token of `{name}` has {} values instead of {}", wrong.len(), view.width));
    }
    let fits = |value: f32| match view.precision {
        Precision::F16 => f16::from_f32(value).is_finite(),
        Precision::F32 => value.is_finite(),
    };
    if let Some(value) = tokens.iter().flatten().find(|value| !fits(**value)) {
        let stored = view.precision.name();
        return Err(if value.is_finite() {
            format!("`{name}` holds {value}, which can't be stored as {stored}")
        } else {
            format!("`{name}` holds a value that is too large for float32")
        });
    }
    Ok(tokens.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views() -> Shape {
        let views = vec![TokenView { name: "text".into(), width: 2, precision: Precision::F16 }];
        Shape { views, kept: vec!["in stock".into()] }
    }

    #[test]
    fn one_token_and_a_list_of_tokens_are_both_read() {
        let one = parse(r#"{"id": 7, "features": {"text": [1, 2]}}"#, &views()).unwrap();
        let many =
            parse(r#"{"id": "7", "title": "x", "features": {"text": [[1, 2], [3, 4]]}}"#, &views()).unwrap();
        assert_eq!((one.id.as_str(), &one.features["text"]), ("7", &vec![1.0, 2.0]));
        assert_eq!((many.text.as_str(), &many.features["text"]), ("x", &vec![1.0, 2.0, 3.0, 4.0]));
        assert!(parse(r#"{"id": "7", "features": {"text": []}}"#, &views()).unwrap().features.is_empty());
    }

    #[test]
    fn what_prepare_takes_is_taken_here() {
        let item = |line: &str| parse(line, &views()).unwrap();
        let nulls =
            r#"{"id": "a", "title": null, "text": null, "image": null, "category": null, "features": null}"#;
        assert_eq!(item(nulls), NewItem { id: "a".into(), ..NewItem::default() });
        assert!(item(r#"{"id": "a", "features": {"text": null}}"#).features.is_empty());
        let numbers = item(
            r#"{"id": "a", "title": 1917, "text": ["Leather", null, " size 38 ", ""], "category": ["Shoes", "Red"]}"#,
        );
        assert_eq!((numbers.title.as_str(), numbers.text.as_str()), ("1917", "1917 Leather size 38"));
        assert_eq!(numbers.category, "Shoes|Red");
        let nested =
            item(r#"{"id": " new3\t", "title": ["A", ["B", 2.5]], "image": [null, "", "x.jpg", "y.jpg"]}"#);
        assert_eq!(
            (nested.id.as_str(), nested.title.as_str(), nested.image.as_str()),
            ("new3", "A B 2.5", "x.jpg")
        );
        assert_eq!(item(r#"{"id": 18446744073709551615}"#).id, "18446744073709551615");
        assert_eq!(item(r#"{"id": -3, "title": "  x  "}"#).title, "x");
    }

    #[test]
    fn lines_that_do_not_fit_are_refused_with_the_reason() {
        let cases = [
            (r#"{"id": "", "features": {}}"#, "the id is empty"),
            (r#"{"id": " \t "}"#, "the id is empty"),
            (r#"{"id": null}"#, "the line has no id"),
            (r#"{"title": "x"}"#, "the line has no id"),
            (r#"{"id": "NaN"}"#, "\"NaN\" is no id but"),
            (r#"{"id": " None "}"#, "\"None\" is no id but"),
            (r#"{"id": "<NA>"}"#, "is no id but"),
            (r#"{"id": 1.5}"#, "1.5 is no id"),
            (r#"{"id": true}"#, "true is no id"),
            (r#"{"id": ["a"]}"#, "is no id"),
            (r#"{"id": 1, "tilte": "x"}"#, "unknown field `tilte`: did you mean `title`?"),
            (r#"{"id": 1, "features_": {}}"#, "did you mean `features`?"),
            (r#"{"id": 1, "price": "$12.99"}"#, "unknown field `price`: a line has id, title, text"),
            (r#"{"id": 1, "title": true}"#, "`title` is true: a text"),
            (r#"{"id": 1, "text": [{"a": 1}]}"#, "`text` is {\"a\":1}"),
            (r#"{"id": 1, "title": "a", "title": "b"}"#, "duplicate field `title`"),
            (r#"{"id": 1, "features": {"image": [1, 2]}}"#, "no token view `image`; it has text"),
            (r#"{"id": 1, "features": {"txt": [1, 2]}}"#, "no token view `txt`: did you mean `text`?"),
            (r#"{"id": 1, "features": {"text": [1, 2, 3]}}"#, "3 values instead of 2"),
            (r#"{"id": 1, "features": {"text": [[1, 2], [3]]}}"#, "1 values instead of 2"),
            (r#"{"id": 1, "features": {"text": [1, 1e39]}}"#, "too large"),
            (
                r#"{"id": 1, "features": {"text": [1, 1e6]}}"#,
                "holds 1000000, which can't be stored as float16",
            ),
            (r#"{"id": 1, "features": {"text": "a"}}"#, "list of numbers"),
            (r#"{"id": 1, "features": {"text": [1, null]}}"#, "list of numbers"),
            ("[1]", "a line is one JSON object"),
            (r#"{"id": 1"#, "at byte 8"),
        ];
        for (line, reason) in cases {
            let found = parse(line, &views()).unwrap_err();
            assert!(found.contains(reason) && !found.contains(" at line "), "{line}: {found}");
        }
    }

    #[test]
    fn bad_lines_up_to_the_allowance_are_passed_over_and_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.jsonl");
        let mut text = b"{\"id\": 1}\n{\"id\": null}\n\xff\xfe\n\n{\"id\": \" 1 \"}\n{\"id\": 2}\n".to_vec();
        std::fs::write(&path, &text).unwrap();
        let found = read_items(&path, &views(), 3).unwrap();
        assert_eq!(found.items.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        let told: Vec<&str> = found.skipped.iter().map(|l| l.rsplit("x.jsonl").next().unwrap()).collect();
        assert_eq!(
            told,
            [":2: the line has no id", ":3: not UTF-8", ":5: the item \"1\" stands in line 1 already"]
        );
        // One more than allowed: the line that is one too many is named.
        let two = read_items(&path, &views(), 2).unwrap_err();
        assert!(matches!(two, EmbedError::Duplicate { line: 5, first: 1, .. }), "{two}");
        let none = read_items(&path, &views(), 0).unwrap_err();
        assert!(matches!(none, EmbedError::BadLine { line: 2, .. }), "{none}");
        // A repeat of a bad line's id is no repeat.
        text = b"{\"id\": 7, \"x\": 1}\n{\"id\": 7}\n".to_vec();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(read_items(&path, &views(), 1).unwrap().items.len(), 1);
        std::fs::write(&path, "{}\n").unwrap();
        assert!(matches!(read_items(&path, &views(), 1), Err(EmbedError::NoItems { .. })));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_is_an_error_and_never_a_panic(text: String) {
            let _ = parse(&text, &views());
        }
    }

    #[test]
    fn an_id_that_occurs_twice_is_refused_with_both_lines() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.jsonl");
        std::fs::write(&path, "{\"id\": 1}\n\n{\"id\": \"1\"}\n").unwrap();
        let found = read_items(&path, &views(), 0).unwrap_err();
        assert!(matches!(found, EmbedError::Duplicate { line: 3, first: 1, .. }), "{found}");
    }
}

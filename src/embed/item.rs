//! New items as they arrive: one JSON line each.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::EmbedError;
use crate::artefact::at;

/// What is known of a new item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewItem {
    pub id: String,
    pub title: String,
    /// Title and description; the title where the line has no text.
    pub text: String,
    pub category: String,
    /// Path of the picture; empty where there is none.
    pub image: String,
    /// Ready tokens by view, token after token.
    pub features: BTreeMap<String, Vec<f32>>,
}

/// A view that items bring tokens for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    pub name: String,
    /// Values per token.
    pub width: usize,
}

/// A line as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Value,
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    features: BTreeMap<String, Tokens>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "features are a list of numbers (one token) or a list of such lists")]
enum Tokens {
    One(Vec<f32>),
    Many(Vec<Vec<f32>>),
}

/// Reads a file of items, one JSON object a line. Empty lines are passed over; relative picture paths start at the
/// file's folder, as in a catalogue.
///
/// # Errors
/// A line is malformed, its features fit no view, or an id occurs twice; nothing is then taken.
pub fn read_items(path: &Path, views: &[TokenView]) -> Result<Vec<NewItem>, EmbedError> {
    let mut items = Vec::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    let file = File::open(path).map_err(at(path))?;
    for (n, text) in BufReader::new(file).lines().enumerate() {
        let line = n + 1;
        let refuse = |reason: String| EmbedError::BadLine { path: path.to_owned(), line, reason };
        let text = text.map_err(|e| refuse(e.to_string()))?;
        if text.trim().is_empty() {
            continue;
        }
        let mut item = parse(&text, views).map_err(refuse)?;
        if !item.image.is_empty() && !item.image.contains("://") {
            item.image = path.parent().unwrap_or(Path::new("")).join(&item.image).display().to_string();
        }
        if let Some(first) = lines.insert(item.id.clone(), line) {
            return Err(EmbedError::Duplicate { path: path.to_owned(), line, first, id: item.id });
        }
        items.push(item);
    }
    if items.is_empty() {
        return Err(EmbedError::NoItems { path: path.to_owned() });
    }
    Ok(items)
}

fn parse(text: &str, views: &[TokenView]) -> Result<NewItem, String> {
    let line: Line = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| e.to_string())?;
    let id = match line.id {
        Value::String(id) if !id.is_empty() => id,
        Value::Number(n) if !n.is_f64() => n.to_string(),
        other => return Err(format!("{other} is no id: a text or an integer is")),
    };
    let mut features = BTreeMap::new();
    for (name, tokens) in line.features {
        let Some(view) = views.iter().find(|view| view.name == name) else {
            let known: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
            return Err(format!("the model has no token view `{name}`; it has {}", known.join(", ")));
        };
        let tokens = match tokens {
            Tokens::One(one) if one.is_empty() => Vec::new(),
            Tokens::One(one) => vec![one],
            Tokens::Many(many) => many,
        };
        if let Some(wrong) = tokens.iter().find(|token| token.len() != view.width) {
            return Err(format!("a token of `{name}` has {} values instead of {}", wrong.len(), view.width));
        }
        if tokens.iter().flatten().any(|value| !value.is_finite()) {
            return Err(format!("`{name}` holds a value that is too large for float32"));
        }
        if !tokens.is_empty() {
            features.insert(name, tokens.concat());
        }
    }
    let text =
        if line.text.is_empty() { line.title.clone() } else { format!("{} {}", line.title, line.text) };
    Ok(NewItem {
        id,
        text: text.trim().to_owned(),
        title: line.title,
        category: line.category,
        image: line.image,
        features,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views() -> Vec<TokenView> {
        vec![TokenView { name: "text".into(), width: 2 }]
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
    fn lines_that_do_not_fit_are_refused_with_the_reason() {
        let cases = [
            (r#"{"id": "", "features": {}}"#, "no id"),
            (r#"{"id": 1.5}"#, "no id"),
            (r#"{"title": "x"}"#, "missing field `id`"),
            (r#"{"id": 1, "tilte": "x"}"#, "unknown field `tilte`"),
            (r#"{"id": 1, "features": {"image": [1, 2]}}"#, "no token view `image`"),
            (r#"{"id": 1, "features": {"text": [1, 2, 3]}}"#, "3 values instead of 2"),
            (r#"{"id": 1, "features": {"text": [[1, 2], [3]]}}"#, "1 values instead of 2"),
            (r#"{"id": 1, "features": {"text": [1, 1e39]}}"#, "too large"),
            (r#"{"id": 1, "features": {"text": "a"}}"#, "list of numbers"),
        ];
        for (line, reason) in cases {
            let found = parse(line, &views()).unwrap_err();
            assert!(found.contains(reason), "{line}: {found}");
        }
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
        let found = read_items(&path, &views()).unwrap_err();
        assert!(matches!(found, EmbedError::Duplicate { line: 3, first: 1, .. }), "{found}");
    }
}

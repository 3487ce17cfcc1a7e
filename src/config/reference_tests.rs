use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::super::schema::schema;
use super::*;
use crate::config::{Config, EnsembleConfig, SystemConfig};

fn repository() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

#[test]
fn the_reference_page_and_the_schema_are_up_to_date() {
    let schema = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    for (name, text) in [("configuration.md", page()), ("configuration.schema.json", schema)] {
        let path = repository().join("docs").join(name);
        if std::env::var_os("CODISTILL_WRITE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "docs/{name} is not what the sections say; run\n\n    {COMMAND}\n");
    }
}

/// Where `value` is not what `schema` asks for. The schema's own vocabulary is all that is understood.
fn fault(value: &Value, schema: &Value, at: &str) -> Option<String> {
    let wrong = |what: &str| Some(format!("{at} = {value} is not {what}"));
    if let Some(wanted) = schema.get("const") {
        return if value == wanted { None } else { wrong(&wanted.to_string()) };
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return if words.contains(value) { None } else { wrong("one of the words") };
    }
    match schema["type"].as_str().unwrap() {
        "boolean" if value.is_boolean() => None,
        "integer" if value.as_u64().is_some() => None,
        "number" if value.is_number() => None,
        "string" if value.is_string() => None,
        "array" if value.is_array() => {
            let list = value.as_array().unwrap().iter().enumerate();
            list.into_iter().find_map(|(i, entry)| fault(entry, &schema["items"], &format!("{at}.{i}")))
        }
        "object" if value.is_object() => match schema.get("oneOf").and_then(Value::as_array) {
            Some(kinds) => {
                let faults: Vec<_> = kinds.iter().filter_map(|kind| fault(value, kind, at)).collect();
                if faults.len() + 1 == kinds.len() { None } else { Some(faults.join("; ")) }
            }
            None => fault_in_table(value.as_object().unwrap(), schema, at),
        },
        kind => wrong(kind),
    }
}

fn fault_in_table(table: &Map<String, Value>, schema: &Value, at: &str) -> Option<String> {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    if let Some(missing) = required.filter_map(Value::as_str).find(|name| !table.contains_key(*name)) {
        return Some(format!("{at} lacks {missing}"));
    }
    table.iter().find_map(|(name, value)| {
        let at = format!("{at}.{name}");
        let known = schema.get("properties").and_then(|all| all.get(name));
        match known.or(schema.get("additionalProperties").filter(|rest| rest.is_object())) {
            Some(schema) => fault(value, schema, &at),
            None => Some(format!("{at} is unknown")),
        }
    })
}

/// All files below `folder`, studies and searches left out, which have types of their own.
fn configurations() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join("configs")).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

fn read(path: &Path) -> Value {
    let table: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    serde_json::to_value(table).unwrap()
}

#[test]
fn every_configuration_of_the_project_obeys_the_schema() {
    let files = configurations();
    assert!(files.len() >= 11);
    for path in files {
        assert_eq!(fault(&read(&path), &schema(), ""), None, "{}", path.display());
    }
}

#[test]
fn the_schema_refuses_unknown_keys_missing_ones_wrong_types_and_wrong_words() {
    let cases = [
        ("sede = 3", ".sede is unknown"),
        ("[train]\nepochs = \"ten\"", ".train.epochs = \"ten\" is not integer"),
        ("[data]\nwindows = \"al\"", ".data.windows = \"al\" is not one of the words"),
        ("[[model.views]]\nname = \"id\"", ".model.views.0 lacks kind"),
        (
            "[[model.branches]]\nname = \"a\"\nview = \"b\"\nencoder = { kind = \"gru4rec\", heads = 2 }",
            "heads",
        ),
    ];
    for (text, wanted) in cases {
        let value = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        let found = fault(&value, &schema(), "").unwrap_or_default();
        assert!(found.contains(wanted), "{text}: {found}");
    }
}

/// The table that a schema describes when nothing is given.
fn defaults(schema: &Value, form: &Form) -> Value {
    let Form::Table(section) = form else { panic!("no table: {form:?}") };
    let given = section.keys.iter().filter_map(|key| {
        let schema = &schema["properties"][key.name];
        let value = match &key.form {
            Form::Table(_) => Some(defaults(schema, &key.form)),
            _ => schema.get("default").cloned(),
        };
        Some((key.name.to_owned(), value?))
    });
    Value::Object(given.collect())
}

/// Without what is not written where it is empty.
fn pruned(value: Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(table) => table.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(table) => {
            let kept = table.into_iter().map(|(key, value)| (key, pruned(value)));
            Value::Object(kept.filter(|(_, value)| !empty(value)).collect())
        }
        other => other,
    }
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_configuration() {
    let mut own = serde_json::to_value(Config::default()).unwrap();
    // Not written where it is the default.
    own["system"] = serde_json::to_value(SystemConfig::default()).unwrap();
    own["data"]["train_parts"] = "train".into();
    own["model"]["ensemble"] = serde_json::to_value(EnsembleConfig::default()).unwrap();
    own["train"]["stop_after"] = 0.into();
    assert_eq!(pruned(defaults(&schema(), &ROOT)), pruned(own));
}

#[test]
fn everything_is_described_in_whole_sentences_that_a_user_can_follow() {
    let mut all = Vec::new();
    tables(&ROOT, String::new(), false, &mut all);
    let mut texts = Vec::new();
    for table in &all {
        texts.push((table.title(), table.section.about()));
        for key in &table.section.keys {
            let name = format!("{} of {}", key.name, table.title());
            if let Form::Choice(words) = key.form.present() {
                texts.extend(words.iter().map(|word| (format!("{} of {name}", word.word), word.about())));
            }
            texts.push((name, key.about()));
        }
    }
    assert!(texts.len() > 120, "{}", texts.len());
    for (name, text) in texts {
        assert!(text.len() > 8 && text.ends_with('.'), "{name}: {text:?}");
        assert!(!text.contains(".md") && !text.contains("[`"), "{name}: {text:?}");
    }
}

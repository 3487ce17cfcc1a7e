//! `docs/configuration.schema.json`: the configuration as a JSON Schema (draft 7), by which editors complete and check
//! a file.

use serde_json::{Map, Value, json};

use super::keys::ROOT;
use super::section::{Form, KIND, Key, Section, TEST_KINDS, Word};

/// The schema of a whole configuration.
pub(super) fn schema() -> Value {
    let mut whole = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of a codistill run",
    });
    merge(&mut whole, form_schema(&ROOT));
    whole
}

fn form_schema(form: &Form) -> Value {
    match form {
        Form::Flag => json!({ "type": "boolean" }),
        Form::Whole => json!({ "type": "integer", "minimum": 0 }),
        Form::Real => json!({ "type": "number" }),
        Form::Text | Form::Path => json!({ "type": "string" }),
        Form::Choice(words) => json!({
            "type": "string",
            "enum": words.iter().map(|word| word.word).collect::<Vec<_>>(),
            // Taplo shows these beside the words.
            "x-taplo": { "docs": { "enumValues": words.iter().map(Word::about).collect::<Vec<_>>() } },
        }),
        Form::List(entry) => json!({ "type": "array", "items": form_schema(entry) }),
        Form::Map(entry) => json!({ "type": "object", "additionalProperties": form_schema(entry) }),
        Form::Any => json!({}),
        Form::Optional(form) => form_schema(form),
        Form::Table(section) => section_schema(section, None),
        Form::Kinds(kinds) => json!({
            "type": "object",
            "oneOf": kinds.iter().filter(|kind| !TEST_KINDS.contains(&kind.name)).map(|kind| section_schema(kind, Some(kind.name))).collect::<Vec<_>>(),
        }),
    }
}

fn section_schema(section: &Section, kind: Option<&str>) -> Value {
    let mut properties = Map::new();
    let mut required: Vec<&str> = Vec::new();
    if let Some(kind) = kind {
        properties.insert(KIND.into(), json!({ "const": kind, "description": section.about() }));
        required.push(KIND);
    }
    for key in &section.keys {
        properties.insert(key.name.into(), key_schema(key));
        if key.default.is_none() {
            required.push(key.name);
        }
    }
    let mut schema = json!({ "type": "object", "description": section.about(), "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema["additionalProperties"] = json!(false);
    schema
}

fn key_schema(key: &Key) -> Value {
    let mut schema = json!({ "description": key.about() });
    merge(&mut schema, form_schema(&key.form));
    schema["description"] = json!(key.about());
    match (&key.default, key.form.present()) {
        // The keys of a table have their own.
        (None, _) | (_, Form::Table(_)) => {}
        (Some(value), _) if value.is_null() => {}
        (Some(value), _) => schema["default"] = value.clone(),
    }
    schema
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

//! Which keys exist, and which of them a misspelt one is nearest to.
//!
//! The keys are those of the sections' forms, from which the types are made too, so that they can't drift apart.

use std::sync::LazyLock;

use toml::{Table, Value};

use super::section::{Described, Form, KIND, Section};
use super::{Config, nearest};

/// Everything that a configuration can hold.
pub(super) static ROOT: LazyLock<Form> = LazyLock::new(Config::form);

/// A configuration as TOML. What TOML can't hold (a seed above its integers) gives an empty table.
pub(super) fn as_value<T: serde::Serialize>(value: &T) -> Value {
    Value::try_from(value).unwrap_or_else(|_| Value::Table(Table::new()))
}

/// A key that no type knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// Dotted, from the root.
    pub key: String,
    /// Dotted, from the root.
    pub nearest: Option<String>,
    /// The keys of the table it stands in.
    pub known: Vec<String>,
}

/// The first key of `value` that no type knows, depth first.
pub(super) fn find_unknown(value: &Value) -> Option<Unknown> {
    walk(value, &ROOT, &mut Vec::new())
}

/// Whether `path` (list indices included) is a text in every configuration.
pub(super) fn is_text(path: &[&str]) -> bool {
    form_at(path).is_some_and(|form| matches!(form.present(), Form::Text | Form::Path | Form::Choice(_)))
}

/// Whether the absence of `path` means something, so that `--set key=none` takes it away.
pub(super) fn is_optional(path: &[&str]) -> bool {
    form_at(path).is_some_and(|form| matches!(form, Form::Optional(_)))
}

/// Whether `path` is the kind of a table whose other keys depend on it.
pub(super) fn is_kind(path: &[&str]) -> bool {
    path.split_last().is_some_and(|(&last, parents)| {
        last == KIND && form_at(parents).is_some_and(|form| matches!(form.present(), Form::Kinds(_)))
    })
}

/// What can stand at `path`. Entries of a list are alike, whatever their number.
fn form_at(path: &[&str]) -> Option<&'static Form> {
    path.iter().try_fold(&*ROOT, |form, part| match form.present() {
        Form::Table(section) => section.key(part).map(|key| &key.form),
        Form::Kinds(_) if *part == KIND => Some(&Form::Text),
        Form::Kinds(kinds) => kinds.iter().find_map(|kind| kind.key(part)).map(|key| &key.form),
        Form::List(entry) | Form::Map(entry) => Some(entry.as_ref()),
        _ => None,
    })
}

fn walk(value: &Value, form: &Form, path: &mut Vec<String>) -> Option<Unknown> {
    match (value, form.present()) {
        (Value::Table(table), Form::Table(section)) => walk_table(table, &[section], &[], path),
        (Value::Table(table), Form::Kinds(kinds)) => {
            // All kinds' keys where the kind is missing or misspelt, which is then the error to report.
            let kind = table.get(KIND).and_then(Value::as_str);
            let chosen: Vec<&Section> = kinds.iter().filter(|k| Some(k.name) == kind).collect();
            let all: Vec<&Section> = kinds.iter().collect();
            walk_table(table, if chosen.is_empty() { &all } else { &chosen }, &[KIND], path)
        }
        (Value::Table(table), Form::Map(entry)) => {
            table.iter().find_map(|(name, value)| descend(path, name.clone(), |p| walk(value, entry, p)))
        }
        (Value::Array(list), Form::List(entry)) => list
            .iter()
            .enumerate()
            .find_map(|(i, value)| descend(path, i.to_string(), |p| walk(value, entry, p))),
        _ => None,
    }
}

/// `sections` and `more` have the keys that the table may have.
fn walk_table(
    table: &Table,
    sections: &[&Section],
    more: &[&str],
    path: &mut Vec<String>,
) -> Option<Unknown> {
    for (key, value) in table {
        let found = match sections.iter().find_map(|section| section.key(key)) {
            Some(known) => descend(path, key.clone(), |p| walk(value, &known.form, p)),
            None if more.contains(&key.as_str()) => None,
            None => Some(unknown(key, names(sections, more), path)),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn descend<T>(path: &mut Vec<String>, part: String, run: impl FnOnce(&mut Vec<String>) -> T) -> T {
    path.push(part);
    let result = run(path);
    path.pop();
    result
}

/// Names of all keys, in the order of the alphabet.
fn names(sections: &[&Section], more: &[&str]) -> Vec<String> {
    let keys = sections.iter().flat_map(|section| &section.keys).map(|key| key.name);
    let mut names: Vec<String> = keys.chain(more.iter().copied()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

fn unknown(key: &str, known: Vec<String>, path: &[String]) -> Unknown {
    let dotted = |last: &str| path.iter().map(String::as_str).chain([last]).collect::<Vec<_>>().join(".");
    let here = nearest(key, known.iter().map(String::as_str)).map(dotted);
    Unknown { key: dotted(key), nearest: here.or_else(|| elsewhere(key)), known }
}

/// A key of exactly this name in another table of the root, such as `optim.lr` for `train.lr`.
fn elsewhere(key: &str) -> Option<String> {
    let Form::Table(root) = &*ROOT else { return None };
    if root.key(key).is_some() {
        return Some(key.to_owned());
    }
    let holds = |form: &Form| matches!(form, Form::Table(section) if section.key(key).is_some());
    names(&[root], &[])
        .into_iter()
        .find(|name| root.key(name).is_some_and(|table| holds(&table.form)))
        .map(|name| format!("{name}.{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value of the form, with every option present and one entry in every list.
    fn example(form: &Form) -> Value {
        let table = |section: &Section| -> Table {
            section.keys.iter().map(|key| (key.name.to_owned(), example(&key.form))).collect()
        };
        match form {
            Form::Flag => Value::Boolean(true),
            Form::Whole => Value::Integer(1),
            Form::Real => Value::Float(1.0),
            Form::Text | Form::Path => Value::String(String::new()),
            Form::Choice(words) => Value::String(words[0].word.into()),
            Form::List(entry) => Value::Array(vec![example(entry)]),
            Form::Map(_) | Form::Any => Value::Table(Table::new()),
            Form::Optional(form) => example(form),
            Form::Table(section) => Value::Table(table(section)),
            Form::Kinds(kinds) => {
                let mut chosen = table(&kinds[0]);
                chosen.insert(KIND.into(), kinds[0].name.into());
                Value::Table(chosen)
            }
        }
    }

    /// Puts an impossible key into every table in turn and compares the keys that serde then lists.
    fn compare_with_serde(node: &Value, path: &[String], root: &Value) -> usize {
        let mut checked = 0;
        if let Value::Table(table) = node {
            let parts: Vec<&str> = path.iter().map(String::as_str).collect();
            let has_own_names = form_at(&parts).is_some_and(|form| matches!(form.present(), Form::Map(_)));
            if !has_own_names {
                let mut probe = root.clone();
                let target = path.iter().fold(&mut probe, |at, part| match at {
                    Value::Array(list) => &mut list[part.parse::<usize>().unwrap()],
                    other => &mut other[part.as_str()],
                });
                target.as_table_mut().unwrap().insert("zzz".into(), Value::Boolean(true));
                let message = probe.try_into::<Config>().unwrap_err().message().to_owned();
                let mut listed: Vec<_> = message.split('`').skip(3).step_by(2).map(str::to_owned).collect();
                if path.last().is_some_and(|p| p == "encoder") {
                    listed.push("kind".into());
                }
                listed.sort();
                let mut ours: Vec<_> = table.keys().cloned().collect();
                ours.sort();
                assert_eq!(ours, listed, "{path:?}: {message}");
                checked += 1;
            }
            for (key, value) in table {
                checked += compare_with_serde(value, &[path, std::slice::from_ref(key)].concat(), root);
            }
        }
        if let Value::Array(list) = node
            && let Some(first) = list.first()
        {
            checked += compare_with_serde(first, &[path, &["0".into()]].concat(), root);
        }
        checked
    }

    #[test]
    fn the_known_keys_are_those_of_the_types() {
        let all = example(&ROOT);
        assert!(compare_with_serde(&all, &[], &all) > 12);
    }
}

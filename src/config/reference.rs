//! `docs/configuration.md`: every section and key, from the sections' forms.

use super::facts::has_fact;
use super::keys::ROOT;
use super::section::{Fact, Form, KIND, Key, Section, TEST_KINDS, listed};

/// How the page and the schema are made anew.
pub(super) const COMMAND: &str = "CODISTILL_WRITE_DOCS=1 cargo test --release --lib config::reference";

/// Facts in the words of the page, and what they mean to a user.
const MARKS: [(Fact, &str, &str); 7] = [
    (
        Fact::Resumable,
        "resume",
        "`train --resume` takes a new value, from `--set` or from a configuration that is given with it",
    ),
    (
        Fact::KeptOnResume,
        "own",
        "a configuration that is given with `train --resume` may have another value; the run keeps its own",
    ),
    (Fact::Unsearched, "no search", "`tune` and the `[retune]` of a study may not vary it"),
    (
        Fact::Idle,
        "idle",
        "it changes nothing that is learned: to `compare` and `ablate`, runs that differ in it are of one condition",
    ),
    (Fact::Replicate, "seed", "runs of one condition differ in it"),
    (Fact::Benched, "bench", "`bench --config-set` may change it"),
    (
        Fact::Workload,
        "workload",
        "it is part of what makes a workload of `bench`: `--config-set` may not change it",
    ),
];

const HEAD: &str = "\
A run is described by one TOML file. It states only what differs from the defaults below; a key that does not exist is
an error that names the nearest one. `codistill train FILE --set KEY=VALUE` overrides a value, with the dotted key as the
index below has it (entries of lists are numbered from 0: `model.branches.0.view`), and `--set KEY=none` takes away what
may be absent. Paths are relative to the current directory. A run's directory holds its whole configuration in
`config.toml`, and where each value came from in `config.origins.json`.

[configuration.schema.json](configuration.schema.json) is a JSON Schema of the same, by which editors complete and check a
file (Taplo, Even Better TOML): put `#:schema PATH/configuration.schema.json` in its first line.
";

/// A table of the page.
struct Table<'f> {
    /// Dotted key, entries of lists as `0`; empty for the root.
    key: String,
    is_list: bool,
    /// The word of its kind.
    kind: Option<&'static str>,
    section: &'f Section,
}

impl Table<'_> {
    /// As a file writes it.
    fn title(&self) -> String {
        let name = shown(&self.key);
        match (self.key.is_empty(), self.kind, self.is_list) {
            (true, ..) => "Top level".into(),
            (_, Some(kind), _) => format!("`{name}` of kind `{kind}`"),
            (_, _, true) => format!("`[[{name}]]`"),
            _ => format!("`[{name}]`"),
        }
    }

    fn anchor(&self) -> String {
        match self.kind {
            Some(kind) => format!("{}.{kind}", shown(&self.key)),
            None if self.key.is_empty() => "top-level".into(),
            None => shown(&self.key),
        }
    }

    fn dotted(&self, key: &Key) -> String {
        if self.key.is_empty() { key.name.to_owned() } else { format!("{}.{}", self.key, key.name) }
    }
}

/// A dotted key without the numbers of list entries.
fn shown(key: &str) -> String {
    key.split('.').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join(".")
}

/// All tables, each before those inside it.
fn tables<'f>(form: &'f Form, key: String, is_list: bool, found: &mut Vec<Table<'f>>) {
    let entry = |key: &str| if key.is_empty() { "0".to_owned() } else { format!("{key}.0") };
    match form.present() {
        Form::Table(section) => {
            found.push(Table { key: key.clone(), is_list, kind: None, section });
            for inner in &section.keys {
                let dotted =
                    if key.is_empty() { inner.name.to_owned() } else { format!("{key}.{}", inner.name) };
                tables(&inner.form, dotted, false, found);
            }
        }
        Form::Kinds(kinds) => {
            let table =
                |section: &'f Section| Table { key: key.clone(), is_list, kind: Some(section.name), section };
            found.extend(kinds.iter().filter(|kind| !TEST_KINDS.contains(&kind.name)).map(table));
        }
        Form::List(inner) => tables(inner, entry(&key), true, found),
        _ => {}
    }
}

/// The whole page.
pub(super) fn page() -> String {
    let mut all = Vec::new();
    tables(&ROOT, String::new(), false, &mut all);
    let mut page = format!(
        "# Configuration\n\n<!-- Made by `{COMMAND}`; not to be edited. -->\n\n{HEAD}\n## Sections\n"
    );
    for table in &all {
        page +=
            &format!("- [{}](#{}): {}\n", table.title(), table.anchor(), sentence(&table.section.about()));
    }
    page += "\n## Marks\nThe last column of each table holds marks; a key without one is fixed once a run has begun, and a search may \
             vary it.\n\n| mark | what it means |\n| --- | --- |\n";
    for (_, mark, meaning) in MARKS {
        page += &format!("| {mark} | {meaning} |\n");
    }
    for table in &all {
        page += &section(table);
    }
    page += "\n## Index\n";
    let mut keys: Vec<(String, String)> = all
        .iter()
        .flat_map(|table| {
            table.section.keys.iter().map(|key| (shown(&table.dotted(key)), anchor(table, key)))
        })
        .collect();
    keys.sort();
    for (key, anchor) in keys {
        page += &format!("- [`{key}`](#{anchor})\n");
    }
    page
}

fn section(table: &Table<'_>) -> String {
    let mut text =
        format!("\n<a id=\"{}\"></a>\n\n## {}\n{}\n", table.anchor(), table.title(), table.section.about());
    if let Some(kind) = table.kind {
        text += &format!("\nIt is chosen by `{KIND} = \"{kind}\"`.\n");
    }
    text += "\n| key | type | default | what it is | marks |\n| --- | --- | --- | --- | --- |\n";
    for key in &table.section.keys {
        let dotted = table.dotted(key);
        let marks = MARKS.iter().filter(|(fact, ..)| has_mark(&dotted, *fact)).map(|(_, mark, _)| *mark);
        let row = [
            format!("<a id=\"{}\"></a>`{}`", anchor(table, key), key.name),
            kind_of_value(&key.form, &shown(&dotted)),
            default(key),
            about(key),
            marks.collect::<Vec<_>>().join(", "),
        ];
        text += &format!("| {} |\n", row.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    text
}

/// What makes a workload is read by `bench` too, which needs no mark of its own.
fn has_mark(key: &str, fact: Fact) -> bool {
    has_fact(key, fact) && (fact != Fact::Benched || !has_fact(key, Fact::Workload))
}

/// Keys and tables have anchors of their own, which may not meet.
fn anchor(table: &Table<'_>, key: &Key) -> String {
    let kind = table.kind.map(|kind| format!("{kind}.")).unwrap_or_default();
    format!("key.{kind}{}", shown(&table.dotted(key)))
}

fn kind_of_value(form: &Form, key: &str) -> String {
    match form.present() {
        Form::Flag => "true or false".into(),
        Form::Whole => "whole number".into(),
        Form::Real => "number".into(),
        Form::Text => "text".into(),
        Form::Path => "path".into(),
        Form::Choice(words) => listed(words),
        Form::Table(_) => format!("[table](#{key})"),
        Form::Kinds(kinds) => {
            let names: Vec<String> = kinds
                .iter()
                .filter(|kind| !TEST_KINDS.contains(&kind.name))
                .map(|kind| format!("[{}](#{key}.{})", kind.name, kind.name))
                .collect();
            format!("table of a kind: {}", names.join(", "))
        }
        Form::List(entry) => match &**entry {
            Form::Table(_) | Form::Kinds(_) => format!("list of [tables](#{key})"),
            entry => format!("list of {}s", kind_of_value(entry, key)),
        },
        Form::Map(entry) if matches!(**entry, Form::Any) => "table".into(),
        Form::Any => "any value".into(),
        Form::Map(entry) => format!("table of names, each with a {}", kind_of_value(entry, key)),
        Form::Optional(_) => String::new(),
    }
}

fn default(key: &Key) -> String {
    match (&key.default, key.form.present()) {
        (None, _) => "must be given".into(),
        (Some(value), _) if value.is_null() => "absent".into(),
        (Some(_), Form::Table(_)) => "that of its keys".into(),
        (Some(value), Form::Kinds(_)) => value.get(KIND).map(|kind| format!("`{kind}`")).unwrap_or_default(),
        (Some(value), Form::Map(_)) if value.as_object().is_some_and(serde_json::Map::is_empty) => {
            "`{}`".into()
        }
        (Some(value), _) => format!("`{}`", value.to_string().replace(',', ", ")),
    }
}

fn about(key: &Key) -> String {
    let mut text = key.about();
    if let Form::Choice(words) = key.form.present() {
        for word in words {
            text += &format!("<br>`{}`: {}", word.word, word.about());
        }
    }
    text
}

/// The first sentence of a text.
fn sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;

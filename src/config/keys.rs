//! Which keys exist, and which of them a misspelt one is nearest to.
//!
//! The known keys are read off one configuration in which every list and every option is filled, so that
//! they can't drift from the types.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use toml::{Table, Value};

use super::{
    BranchConfig, ColdConfig, Config, DataConfig, DistillConfig, DistillPair, EncoderConfig, IdInit,
    ModelConfig, ObjectiveConfig, Replace, ReplaceKind, SynthConfig, TowerConfig, ViewConfig, ViewKind,
};

/// Keys whose absence means something, so that `--set key=none` takes them away.
pub(super) const OPTIONAL: [&str; 4] = ["data.path", "data.synth", "data.cold", "model.tower"];

static SCHEMA: LazyLock<Value> = LazyLock::new(|| as_value(&exemplar()));

static ENCODERS: LazyLock<BTreeMap<&str, Table>> = LazyLock::new(|| {
    let kinds = [
        ("sasrec", EncoderConfig::default()),
        ("gru4rec", EncoderConfig::Gru4rec { layers: 1 }),
        ("nextitnet", EncoderConfig::Nextitnet { kernel: 3, dilations: vec![1] }),
    ];
    kinds
        .into_iter()
        .map(|(kind, encoder)| (kind, as_value(&encoder).as_table().cloned().unwrap_or_default()))
        .collect()
});

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
    walk(value, &SCHEMA, &mut Vec::new())
}

/// Whether `path` (list indices included) is a text in every configuration.
pub(super) fn is_text(path: &[&str]) -> bool {
    let mut node = &*SCHEMA;
    for part in path {
        let next = match node {
            Value::Table(table) => table.get(*part),
            Value::Array(list) => list.first(),
            _ => None,
        };
        let Some(next) = next else { return path.starts_with(&["data", "features"]) };
        node = next;
    }
    node.is_str()
}

fn walk(value: &Value, schema: &Value, path: &mut Vec<String>) -> Option<Unknown> {
    match (value, schema) {
        (Value::Table(table), Value::Table(known)) => walk_table(table, known, path),
        (Value::Array(list), Value::Array(known)) => {
            let known = known.first()?;
            list.iter()
                .enumerate()
                .find_map(|(i, entry)| below(path, i.to_string(), |p| walk(entry, known, p)))
        }
        _ => None,
    }
}

fn walk_table(table: &Table, known: &Table, path: &mut Vec<String>) -> Option<Unknown> {
    if path.join(".") == "data.features" {
        return None; // a free map from names to paths
    }
    let known = match path.last() {
        Some(last) if last == "encoder" => encoder_keys(table),
        _ => known.clone(),
    };
    for (key, value) in table {
        let found = match known.get(key) {
            None => Some(unknown(key, &known, path)),
            Some(schema) => below(path, key.clone(), |p| walk(value, schema, p)),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn below<T>(path: &mut Vec<String>, part: String, run: impl FnOnce(&mut Vec<String>) -> T) -> T {
    path.push(part);
    let result = run(path);
    path.pop();
    result
}

/// The keys of the encoder's kind; of all kinds where the kind is missing or misspelt, which is then the
/// error to report.
fn encoder_keys(table: &Table) -> Table {
    match table.get("kind").and_then(Value::as_str).and_then(|kind| ENCODERS.get(kind)) {
        Some(keys) => keys.clone(),
        None => ENCODERS.values().flat_map(Clone::clone).collect(),
    }
}

fn unknown(key: &str, known: &Table, path: &[String]) -> Unknown {
    let dotted = |last: &str| path.iter().map(String::as_str).chain([last]).collect::<Vec<_>>().join(".");
    let known: Vec<String> = known.keys().cloned().collect();
    let here = nearest(key, known.iter().map(String::as_str)).map(dotted);
    Unknown { key: dotted(key), nearest: here.or_else(|| elsewhere(key)), known }
}

/// A key of exactly this name in another table of the root, such as `optim.lr` for `train.lr`.
fn elsewhere(key: &str) -> Option<String> {
    let root = SCHEMA.as_table()?;
    if root.contains_key(key) {
        return Some(key.to_owned());
    }
    root.iter().find_map(|(name, table)| table.as_table()?.contains_key(key).then(|| format!("{name}.{key}")))
}

/// The candidate that `word` most likely meant, if any is near.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = 1.max(word.chars().count() / 3);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), candidate), candidate))
        .filter(|&(distance, candidate)| {
            let prefix = word.len() >= 3 && (candidate.starts_with(word) || word.starts_with(candidate));
            distance <= allowed || prefix
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Every option present and every list filled.
fn exemplar() -> Config {
    let view = ViewConfig {
        name: "id".into(),
        kind: ViewKind::Id,
        features: String::new(),
        max_tokens: 0,
        width: 0,
        init: IdInit::Xavier,
        init_views: vec![String::new()],
        project: true,
        replace: Some(Replace { kind: ReplaceKind::Shuffle, seed: 0 }),
    };
    let branch = BranchConfig {
        name: "id".into(),
        view: "id".into(),
        item_mlp: true,
        encoder: EncoderConfig::default(),
    };
    let pair = DistillPair { student: "id".into(), teacher: "ensemble".into() };
    let distill = DistillConfig { pairs: vec![pair], ..DistillConfig::default() };
    Config {
        data: DataConfig {
            path: Some("data".into()),
            synth: Some(SynthConfig::default()),
            cold: Some(ColdConfig::default()),
            ..DataConfig::default()
        },
        model: ModelConfig {
            views: vec![view],
            tower: Some(TowerConfig::default()),
            branches: vec![branch],
            ..ModelConfig::default()
        },
        objective: ObjectiveConfig { distill, ..ObjectiveConfig::default() },
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts an impossible key into every table in turn and compares the keys that serde then lists.
    fn compare_with_serde(node: &Value, path: &[String], root: &Value) -> usize {
        let mut checked = 0;
        if let Value::Table(table) = node {
            if path.join(".") != "data.features" {
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
        assert!(compare_with_serde(&SCHEMA, &[], &SCHEMA) > 12);
    }

    #[test]
    fn the_nearest_key_is_found_and_a_far_one_is_not_forced() {
        assert_eq!(nearest("widht", ["width", "dropout"].into_iter()), Some("width"));
        assert_eq!(nearest("Width", ["width", "dropout"].into_iter()), Some("width"));
        assert_eq!(nearest("zebra", ["width", "dropout"].into_iter()), None);
    }
}

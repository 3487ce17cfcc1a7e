//! From a TOML file and `--set key=value` to a [`Config`] that has been checked.
//!
//! Relative paths (`data.path`, `run.dir`, `data.features`, runs that teach) are relative to the current directory, not to
//! the file, so that a configuration can be shared and copied.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::keys::{as_value, find_unknown};
use super::sets::{Set, apply_all, is_below};
use super::{
    Config, ConfigError, Place,
    error::{one_line, variant_hint},
};

const DATA_PATH: &str = "data.path";

/// Where a value of the resolved configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Default,
    /// Counts from 1.
    File {
        line: usize,
    },
    /// `--set` on the command line.
    Set,
    /// `--data` on the command line, or what it made of a value that leant on a view without features there.
    Data,
    /// What `--refit` or `--continue` made of the run that it names.
    Run,
    /// It went with such a view. Entries of lists are named: `model.branches.image`.
    Dropped,
}

/// A configuration ready to use.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// By dotted key (`model.branches.0.encoder.kind`), one for each value of the resolved configuration.
    pub origins: BTreeMap<String, Origin>,
    /// The file as it was read.
    pub text: String,
}

/// Reads a configuration file, applies `sets` in order, fills in the defaults, and validates the result.
///
/// A set is `dotted.key=value`; list entries are numbered from 0 (`model.branches.0.view=text`). The value
/// is TOML, or else a text. `none` takes a key away whose absence means something, such as `model.tower`. A new
/// `kind` of an encoder starts from that kind's defaults.
///
/// # Errors
/// The file can't be read; it is not TOML; a key is unknown; a value has the wrong type or is out of range.
pub fn load(path: &Path, sets: &[String]) -> Result<Loaded, ConfigError> {
    resolve(&read(path)?, path, sets, None)
}

/// [`load`] on the data set `data`, whatever the file says of `data.path`.
///
/// # Errors
/// As [`load`]; or a set names `data.path` too.
pub fn load_on(path: &Path, sets: &[String], data: &Path) -> Result<Loaded, ConfigError> {
    resolve(&read(path)?, path, sets, Some(data))
}

/// What is trained where no configuration is named.
const RECOMMENDED: &str = include_str!("../../configs/recommended.toml");
/// Its name in messages; its stem names the run.
pub const RECOMMENDED_NAME: &str = "recommended.toml";

/// The configuration that measured best on the data sets at hand, on the data set `data`.
///
/// # Errors
/// As [`load_on`], but for the file.
pub fn load_recommended(sets: &[String], data: &Path) -> Result<Loaded, ConfigError> {
    resolve(RECOMMENDED, Path::new(RECOMMENDED_NAME), sets, Some(data))
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// [`load`] for a text that is already in memory; `path` names it in messages, and its stem names the run.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, path: &Path, sets: &[String]) -> Result<Loaded, ConfigError> {
    resolve(text, path, sets, None)
}

fn resolve(text: &str, path: &Path, sets: &[String], data: Option<&Path>) -> Result<Loaded, ConfigError> {
    let file = File::parse(text, path)?;
    let mut config = file.config()?;
    let sets = sets.iter().map(|set| Set::parse(set)).collect::<Result<Vec<_>, _>>()?;
    if !sets.is_empty() {
        config = apply_all(&config, &sets)?;
    }
    if let Some(data) = data {
        if let Some(set) = sets.iter().find(|set| set.covers(DATA_PATH)) {
            return Err(ConfigError::Malformed {
                place: set.place(),
                reason: format!("--data {} names the data set already", data.display()),
                hint: Some("leave one of them out".into()),
            });
        }
        config.data.path = Some(data.to_owned());
    }
    if config.run.name.is_empty() {
        config.run.name = path.file_stem().map_or_else(|| "run".into(), |s| s.to_string_lossy().into_owned());
    }
    config.validate().map_err(|error| file.locate(error, &sets))?;
    let origins = leaves(&as_value(&config)).into_iter().map(|key| {
        let given = data.is_some() && key == DATA_PATH;
        let origin = if given { Origin::Data } else { file.origin(&key, &sets) };
        (key, origin)
    });
    Ok(Loaded { origins: origins.collect(), config, text: text.to_owned() })
}

impl Config {
    /// The resolved configuration as TOML; [`parse`] reads the same configuration back.
    ///
    /// # Errors
    /// A value that TOML can't hold: a path that is not UTF-8, or a seed above 2⁶³ - 1 (which
    /// [`Config::validate`] refuses).
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| ConfigError::Invalid {
            place: None,
            key: "config".into(),
            reason: format!("can't be written as TOML: {error}"),
            hint: None,
        })
    }
}

/// A parsed file with the place of every key.
struct File<'a> {
    text: &'a str,
    path: &'a Path,
    /// Byte offset of each key by dotted path; of the entry itself in lists.
    offsets: BTreeMap<String, usize>,
}

impl<'a> File<'a> {
    fn parse(text: &'a str, path: &'a Path) -> Result<Self, ConfigError> {
        let mut file = Self { text, path, offsets: BTreeMap::new() };
        let table = DeTable::parse(text).map_err(|e| match file.malformed(&e) {
            ConfigError::Malformed { place, reason, hint: None }
                if path.extension() != Some("toml".as_ref()) =>
            {
                ConfigError::Malformed {
                    place,
                    reason,
                    hint: Some("a configuration is a TOML file, e.g. configs/quickstart.toml".into()),
                }
            }
            other => other,
        })?;
        collect_table(table.get_ref(), "", &mut file.offsets);
        Ok(file)
    }

    fn config(&self) -> Result<Config, ConfigError> {
        let table: Table = toml::from_str(self.text).map_err(|e| self.malformed(&e))?;
        if let Some(unknown) = find_unknown(&Value::Table(table)) {
            let place = self.place(self.offsets.get(&unknown.key).copied().unwrap_or(0));
            return Err(ConfigError::UnknownKey {
                place,
                key: unknown.key,
                nearest: unknown.nearest,
                known: unknown.known,
            });
        }
        toml::from_str(self.text).map_err(|e| self.malformed(&e))
    }

    fn malformed(&self, error: &toml::de::Error) -> ConfigError {
        let offset = error.span().map_or(0, |span| span.start);
        let reason = one_line(error.message());
        let hint = variant_hint(&reason);
        ConfigError::Malformed { place: self.place(offset), reason, hint }
    }

    fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        (line, before.rsplit('\n').next().unwrap_or("").chars().count() + 1)
    }

    fn place(&self, offset: usize) -> Place {
        let (line, column) = self.line_column(offset);
        Place::File { path: self.path.to_owned(), line, column }
    }

    /// Adds to a validation error where its value was written: on the command line, or the nearest
    /// enclosing key of the file.
    fn locate(&self, error: ConfigError, sets: &[Set]) -> ConfigError {
        let ConfigError::Invalid { place: None, key, reason, hint } = error else { return error };
        let set = sets.iter().rev().find(|set| set.covers(&key));
        let place = match set {
            Some(set) => Some(set.place()),
            None => ancestors(&key).find_map(|k| self.offsets.get(k)).map(|&offset| self.place(offset)),
        };
        ConfigError::Invalid { place, key, reason, hint }
    }

    fn origin(&self, key: &str, sets: &[Set]) -> Origin {
        if sets.iter().any(|set| set.covers(key)) {
            return Origin::Set;
        }
        // A new kind brings its own defaults; what the file says belongs to the old one.
        let replaced = sets.iter().any(|set| set.table_of_kind().is_some_and(|table| is_below(key, table)));
        match self.offsets.get(key) {
            Some(&offset) if !replaced => Origin::File { line: self.line_column(offset).0 },
            _ => Origin::Default,
        }
    }
}

fn collect_table(table: &DeTable<'_>, prefix: &str, offsets: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let dotted = join(prefix, key.get_ref());
        offsets.insert(dotted.clone(), key.span().start);
        collect_value(value, &dotted, offsets);
    }
}

fn collect_value(value: &Spanned<DeValue<'_>>, dotted: &str, offsets: &mut BTreeMap<String, usize>) {
    match value.get_ref() {
        DeValue::Table(table) => collect_table(table, dotted, offsets),
        DeValue::Array(list) => {
            for (i, entry) in list.iter().enumerate() {
                let dotted = join(dotted, &i.to_string());
                offsets.insert(dotted.clone(), entry.span().start);
                collect_value(entry, &dotted, offsets);
            }
        }
        _ => {}
    }
}

/// Dotted keys of all values; a list of plain values is one value.
pub(super) fn leaves(value: &Value) -> Vec<String> {
    fn visit(value: &Value, prefix: &str, out: &mut Vec<String>) {
        match value {
            Value::Table(table) => table.iter().for_each(|(key, v)| visit(v, &join(prefix, key), out)),
            Value::Array(list) if list.iter().any(Value::is_table) => {
                list.iter().enumerate().for_each(|(i, v)| visit(v, &join(prefix, &i.to_string()), out));
            }
            _ => out.push(prefix.to_owned()),
        }
    }
    let mut out = Vec::new();
    visit(value, "", &mut out);
    out
}

/// The value under a dotted key.
pub(super) fn value_at<'v>(root: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(root, |node, part| match node {
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => node.get(part),
    })
}

fn join(prefix: &str, part: &str) -> String {
    if prefix.is_empty() { part.to_owned() } else { format!("{prefix}.{part}") }
}

/// `a.b.c`, `a.b`, `a`.
fn ancestors(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |k| k.rsplit_once('.').map(|(parent, _)| parent))
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;

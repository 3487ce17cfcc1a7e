//! `--set key=value`: overrides of a loaded configuration.

use toml::{Table, Value};

use super::error::{one_line, variant_hint};
use super::keys::{find_unknown, is_kind, is_optional, is_text};
use super::section::KIND;
use super::{Config, ConfigError, Place};

/// One `--set`.
pub(super) struct Set {
    raw: String,
    key: String,
    value: String,
}

impl Set {
    pub(super) fn parse(raw: &str) -> Result<Self, ConfigError> {
        let (key, value) = raw.split_once('=').unwrap_or((raw, ""));
        let key = key.trim();
        if !raw.contains('=') || key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(ConfigError::Malformed {
                place: Place::Set(raw.to_owned()),
                reason: "not of the form key=value".into(),
                hint: Some("write for example --set model.width=32".into()),
            });
        }
        Ok(Self { raw: raw.to_owned(), key: key.to_owned(), value: value.trim().to_owned() })
    }

    pub(super) fn place(&self) -> Place {
        Place::Set(self.raw.clone())
    }

    /// Whether it gives `key` its value.
    pub(super) fn covers(&self, key: &str) -> bool {
        is_below(key, &self.key)
    }

    /// The table whose kind this set changes, and with it the keys that it may have.
    pub(super) fn table_of_kind(&self) -> Option<&str> {
        let parts: Vec<&str> = self.key.split('.').collect();
        if is_kind(&parts) { self.key.rsplit_once('.').map(|(table, _)| table) } else { None }
    }

    fn malformed(&self, reason: String) -> ConfigError {
        let hint = variant_hint(&reason);
        ConfigError::Malformed { place: self.place(), reason, hint }
    }

    /// The value as TOML; a text where TOML reads nothing, or where only a text can stand.
    fn value(&self, parts: &[&str]) -> Value {
        let parsed = format!("v = {}", self.value).parse::<Table>().ok().filter(|t| t.len() == 1);
        let text = Value::String(self.value.clone());
        match parsed.and_then(|mut table| table.remove("v")) {
            Some(value) if value.is_str() || !is_text(parts) => value,
            _ => text,
        }
    }

    fn apply(&self, root: &mut Value, earlier: &[Self]) -> Result<(), ConfigError> {
        let parts: Vec<&str> = self.key.split('.').collect();
        let Some((last, parents)) = parts.split_last() else { return Ok(()) };
        let mut node = root;
        for (depth, part) in parents.iter().enumerate() {
            node = self.child(node, &parts[..depth], part, Value::Table(Table::new()))?;
        }
        if self.value == "none" && is_optional(&parts) {
            if let Value::Table(table) = node {
                table.remove(*last);
            }
            return Ok(());
        }
        let value = self.value(&parts);
        if let (Some(name), Value::Table(table)) = (self.table_of_kind(), &mut *node)
            && table.get(KIND) != Some(&value)
        {
            // What the old kind had would be unknown to the new one; what earlier sets ask for stays.
            table.retain(|field, _| earlier.iter().any(|set| set.key == format!("{name}.{field}")));
        }
        *self.child(node, parents, last, Value::Boolean(false))? = value;
        Ok(())
    }

    /// The entry `part` of `node`, made of `missing` where a table lacks it.
    fn child<'v>(
        &self,
        node: &'v mut Value,
        above: &[&str],
        part: &str,
        missing: Value,
    ) -> Result<&'v mut Value, ConfigError> {
        let name = above.join(".");
        match node {
            Value::Table(table) => Ok(table.entry(part).or_insert_with(|| missing)),
            Value::Array(list) => {
                let count = list.len();
                let entry = part.parse::<usize>().ok().and_then(|i| list.get_mut(i));
                entry.ok_or_else(|| {
                    self.malformed(format!(
                        "`{name}` has {count} entries, numbered from 0; there is no `{part}`"
                    ))
                })
            }
            _ => Err(self.malformed(format!("`{name}` is a single value and has no `{part}`"))),
        }
    }
}

/// Applies all sets to a configuration with its defaults filled in.
pub(super) fn apply_all(config: &Config, sets: &[Set]) -> Result<Config, ConfigError> {
    let refused =
        |reason: String| ConfigError::Invalid { place: None, key: "config".into(), reason, hint: None };
    let mut root = Value::try_from(config).map_err(|e| refused(one_line(&e.to_string())))?;
    // The first set after which the whole is no longer a configuration takes the blame, unless a later one
    // mends it.
    let mut blame = None;
    for (i, set) in sets.iter().enumerate() {
        set.apply(&mut root, &sets[..i])?;
        if let Some(unknown) = find_unknown(&root) {
            blame.get_or_insert(ConfigError::UnknownKey {
                place: set.place(),
                key: unknown.key,
                nearest: unknown.nearest,
                known: unknown.known,
            });
        } else if let Err(error) = root.clone().try_into::<Config>() {
            blame.get_or_insert(set.malformed(one_line(error.message())));
        } else {
            blame = None;
        }
    }
    match (blame, root.try_into::<Config>()) {
        (None, Ok(config)) => Ok(config),
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(refused(one_line(error.message()))),
    }
}

/// Whether `key` is `ancestor` or lies below it.
pub(super) fn is_below(key: &str, ancestor: &str) -> bool {
    key.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

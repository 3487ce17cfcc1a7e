//! Trees of settings as flat lists of dotted keys, to compare them by.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Config, ConfigError};

/// Values of a tree by dotted key.
pub type Leaves = BTreeMap<String, String>;

impl Config {
    /// Every value by its dotted key; entries of lists by their number.
    ///
    /// # Errors
    /// The configuration has no JSON form.
    pub fn leaves(&self) -> Result<Leaves, ConfigError> {
        let value = serde_json::to_value(self).map_err(|error| ConfigError::Invalid {
            place: None,
            key: "config".into(),
            reason: format!("can't be written as JSON: {error}"),
            hint: None,
        })?;
        let mut leaves = Leaves::new();
        flatten("", &value, &mut leaves);
        Ok(leaves)
    }
}

/// Adds the values of a JSON tree to `leaves`, below the key `prefix`.
pub fn flatten(prefix: &str, value: &Value, leaves: &mut Leaves) {
    let join = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| flatten(&join(k), v, leaves)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, v)| flatten(&join(&i.to_string()), v, leaves));
        }
        leaf => {
            leaves.insert(prefix.to_owned(), leaf.to_string().trim_matches('"').to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_become_dotted_keys() {
        let mut leaves = Leaves::new();
        flatten("a", &serde_json::json!({"b": [1, {"c": "x"}], "d": null, "e": {}}), &mut leaves);
        let expected = [("a.b.0", "1"), ("a.b.1.c", "x"), ("a.d", "null")];
        assert_eq!(leaves, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        let own = Config::default().leaves().unwrap();
        assert_eq!(own["eval.ties"], "mid");
    }
}

//! The wanted fields of one JSON object; all others are skipped.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::error::Fault;
use super::lines::utf8;
use crate::data::literal;

/// A field of a log's row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    /// The object has no such field, or null.
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    /// Borrowed from the line where it has no escapes.
    Text(Cow<'a, str>),
    /// A list or an object.
    Nested,
}

impl Scalar<'_> {
    /// The name of the kind in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::UInt(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Text(_) => "a text",
            Self::Nested => "a list or an object",
        }
    }
}

impl From<Value> for Scalar<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(flag),
            Value::String(text) => Self::Text(Cow::Owned(text)),
            Value::Array(_) | Value::Object(_) => Self::Nested,
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(n), _, _) => Self::Int(n),
                (_, Some(n), _) => Self::UInt(n),
                (_, _, x) => x.map_or(Self::Null, Self::Float),
            },
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Bool(flag))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Int(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(i64::try_from(number).map_or(Scalar::UInt(number), Scalar::Int))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Float(number))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Null)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nested)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nested)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// Reads the fields called `names` of an object into `slots`, in the same order. The slot of an absent field is left as it is;
/// of several fields of one name the last one counts. Text that isn't JSON is tried as a Python literal.
pub(super) fn fill<'a, T>(line: &'a [u8], names: &[&str], slots: &mut [T]) -> Result<(), Fault>
where
    T: Deserialize<'a> + From<Value>,
{
    // From text rather than bytes: one check of the whole line costs less than one a string.
    let text = utf8(line)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Slots { names, slots }.deserialize(&mut json).and_then(|()| json.end());
    let Err(error) = read else { return Ok(()) };
    let mut fields = object(text, &error)?;
    for (name, slot) in names.iter().zip(slots) {
        if let Some(value) = fields.remove(*name) {
            *slot = T::from(value);
        }
    }
    Ok(())
}

/// The names of an object's fields, in their order.
pub(super) fn field_names(line: &[u8]) -> Result<Vec<String>, Fault> {
    let text = utf8(line)?;
    match serde_json::from_str::<Names>(text) {
        Ok(names) => Ok(names.0),
        Err(error) => Ok(object(text, &error)?.into_iter().map(|(name, _)| name).collect()),
    }
}

/// Reads an object that the JSON parser refused as a literal.
fn object(text: &str, error: &serde_json::Error) -> Result<serde_json::Map<String, Value>, Fault> {
    match literal::parse(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Fault::new("not an object")),
        // The parser that came further knows better what the line is meant to be.
        Err(wrong) if wrong.byte > error.column() => Err(Fault::new(wrong.to_string())),
        Err(_) => {
            let message = error.to_string();
            // The library counts lines within the line.
            let reason = message.split(" at line ").next().unwrap_or(&message);
            Err(Fault::new(format!("{reason} at byte {}", error.column())))
        }
    }
}

struct Slots<'w, 's, T> {
    names: &'w [&'w str],
    slots: &'s mut [T],
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Slots<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Slots<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(Place(self.names))? {
            match place {
                Some(place) => self.slots[place] = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The place of a field's name among the wanted ones.
struct Place<'w>(&'w [&'w str]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|wanted| *wanted == name))
    }
}

struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;
        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(NamesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wanted_fields_are_filled_and_others_cost_nothing() {
        let line = br#"{"x": NaN, "u": "a\u0062", "n": 9007199254740993, "f": 1.5, "u2": null, "n2": 18446744073709551615, "l": [1, {"u": 2}], "t": true}"#;
        let names = ["u", "n", "f", "u2", "n2", "l", "t", "none"];
        let expected = [
            Scalar::Text("ab".into()),
            Scalar::Int(9_007_199_254_740_993),
            Scalar::Float(1.5),
            Scalar::Null,
            Scalar::UInt(u64::MAX),
            Scalar::Nested,
            Scalar::Bool(true),
            Scalar::Null,
        ];
        let as_json = String::from_utf8(line.to_vec()).unwrap().replace("NaN", "0");
        for text in [as_json.as_bytes(), line] {
            let mut slots = vec![Scalar::Null; names.len()];
            fill(text, &names, &mut slots).unwrap();
            assert_eq!(slots, expected);
        }
        let mut values = vec![Value::Null; 2];
        fill(br#"{"a": [1], "a": {"b": 2}, "c": 3}"#, &["a", "c"], &mut values).unwrap();
        assert_eq!(values, [json!({"b": 2}), json!(3)]);
    }

    #[test]
    fn the_message_is_that_of_the_parser_that_came_further() {
        let message = |line: &[u8]| fill(line, &["a"], &mut [Value::Null]).unwrap_err().reason;
        assert_eq!(message(br#"{"a": 1,, "b": 2}"#), "key must be a string at byte 9");
        assert_eq!(message(b"{'a': 1, 'b': datetime(2014)}"), "a value is no literal at byte 15");
        assert_eq!(message(b"[1, 2]"), "not an object");
        assert_eq!(message(b"(1, 2)"), "not an object");
    }

    #[test]
    fn names_come_in_their_order() {
        assert_eq!(field_names(br#"{"b": 1, "a": {"c": 2}}"#).unwrap(), ["b", "a"]);
        assert_eq!(field_names(b"{'b': 1, 'a': None}").unwrap(), ["b", "a"]);
    }
}

//! Columns that hold lists, objects or lists of objects, as JSON values.

use jiff::Timestamp;
use parquet::data_type::Decimal;
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};

use super::cell::{big_endian, decimal};

/// The values of a row's columns, in their order.
pub fn values(row: Row) -> Vec<Value> {
    row.into_columns().into_iter().map(|(_, field)| value(&field)).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => Value::Bool(*flag),
        Field::Byte(n) => Value::from(*n),
        Field::Short(n) => Value::from(*n),
        Field::Int(n) => Value::from(*n),
        Field::Long(n) => Value::from(*n),
        Field::UByte(n) => Value::from(*n),
        Field::UShort(n) => Value::from(*n),
        Field::UInt(n) => Value::from(*n),
        Field::ULong(n) => Value::from(*n),
        // The shortest text of a short float is the number that was meant: 0.1 and not 0.10000000149.
        Field::Float16(x) => float(x.to_string().parse().unwrap_or(f64::NAN)),
        Field::Float(x) => float(x.to_string().parse().unwrap_or(f64::NAN)),
        Field::Double(x) => float(*x),
        Field::Decimal(decimal) => number(decimal),
        Field::Str(text) => Value::String(text.clone()),
        // A picture's own bytes are no text.
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).map_or(Value::Null, Value::from),
        Field::Date(days) => moment(i64::from(*days).checked_mul(86_400_000_000), 10),
        Field::TimestampMillis(millis) => moment(millis.checked_mul(1_000), usize::MAX),
        Field::TimestampMicros(micros) => moment(Some(*micros), usize::MAX),
        Field::TimeMillis(millis) => Value::from(*millis),
        Field::TimeMicros(micros) => Value::from(*micros),
        Field::Group(row) => {
            let pairs = row.get_column_iter().map(|(name, field)| (name.clone(), value(field)));
            Value::Object(pairs.collect())
        }
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(value).collect()),
        Field::MapInternal(map) => {
            let mut object = Map::new();
            for (key, field) in map.entries() {
                let key = match value(key) {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                object.insert(key, value(field));
            }
            Value::Object(object)
        }
    }
}

fn float(x: f64) -> Value {
    Number::from_f64(x).map_or(Value::Null, Value::Number)
}

fn number(field: &Decimal) -> Value {
    big_endian(field.data()).map_or(Value::Null, |unscaled| Value::String(decimal(unscaled, field.scale())))
}

/// A time as a text of at most `length` characters.
fn moment(micros: Option<i64>, length: usize) -> Value {
    let text =
        micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()).map(|time| time.to_string());
    text.map_or(Value::Null, |text| Value::String(text.chars().take(length).collect()))
}

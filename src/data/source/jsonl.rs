//! Amazon reviews and metadata, one JSON object a line.
//!
//! Layout of 2018 (and 2014): `reviewerID`, `asin`, `unixReviewTime`, `overall`. Layout of 2023: `user_id`,
//! `parent_asin` (else `asin`), `timestamp` in milliseconds, `rating`. Both may stand in one file.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::error::Fault;
use super::json_item::JsonItem;
use super::lines::{Lines, utf8};
use super::value::{id, parse_value};
use super::{OnInteraction, OnItem, RawInteraction, RawTime, Reading, SourceError};

pub(super) fn interactions(
    path: &Path,
    reading: &mut Reading<'_>,
    row: OnInteraction<'_>,
) -> Result<u64, SourceError> {
    Lines::open(path)?.rows(&mut reading.bad, |_, line| {
        let review: Review<'_> = parse(line)?;
        let (user, user_name) = first([(&review.reviewer_id, "reviewerID"), (&review.user_id, "user_id")]);
        let (item, item_name) = first([(&review.parent_asin, "parent_asin"), (&review.asin, "asin")]);
        let time = review.unix_review_time.0.or(review.timestamp.0);
        row(RawInteraction {
            user: id(user, user_name)?,
            item: id(item, item_name)?,
            time: Some(time.and_then(RawTime::of_f64).unwrap_or(RawTime::Missing)),
            value: review.overall.0.or(review.rating.0),
        })?;
        Ok(1)
    })
}

pub(super) fn items(path: &Path, reading: &mut Reading<'_>, row: OnItem<'_>) -> Result<u64, SourceError> {
    Lines::open(path)?.rows(&mut reading.bad, |_, line| {
        row(parse::<JsonItem<'_>>(line)?.into_item()?)?;
        Ok(1)
    })
}

/// From text rather than bytes: one check of the whole line costs less than one a string.
fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_str(utf8(line)?).map_err(|e| {
        let at = e.column();
        let text = e.to_string();
        // The library counts lines within the line, always 1.
        let reason = text.split(" at line ").next().unwrap_or(&text);
        Fault::new(format!("{reason} at byte {at}"))
    })
}

/// The first of two fields that isn't empty, with its name; the second one's if both are.
fn first<'a>(fields: [(&'a Text<'_>, &'static str); 2]) -> (&'a str, &'static str) {
    let [(a, a_name), (b, b_name)] = fields;
    if a.0.is_empty() { (b.0.as_ref(), b_name) } else { (a.0.as_ref(), a_name) }
}

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow, default, rename = "reviewerID")]
    reviewer_id: Text<'a>,
    #[serde(borrow, default)]
    user_id: Text<'a>,
    #[serde(borrow, default)]
    asin: Text<'a>,
    #[serde(borrow, default)]
    parent_asin: Text<'a>,
    #[serde(default, rename = "unixReviewTime")]
    unix_review_time: Number,
    #[serde(default)]
    timestamp: Number,
    #[serde(default)]
    overall: Number,
    #[serde(default)]
    rating: Number,
}

/// A string, borrowed from the line where it has no escapes. Numbers become text, null is empty.
#[derive(Default)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A number, also as a string; absent for null.
#[derive(Default)]
struct Number(Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }
            // Times in milliseconds are far below 2^53, so no digit is lost.
            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                parse_value(text).map(Number).map_err(E::custom)
            }
            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

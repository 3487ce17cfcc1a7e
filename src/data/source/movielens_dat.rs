//! MovieLens' `ratings.dat` and `movies.dat`: `::` between fields, no header.

use std::borrow::Cow;

use super::error::Fault;
use super::folder::SourceFile;
use super::lines::utf8;
use super::value::{id, parse_value};
use super::{OnInteraction, OnItem, RawInteraction, RawItem, RawTime, Reading, SourceError};

pub(super) fn interactions(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    row: OnInteraction<'_>,
) -> Result<u64, SourceError> {
    let format = reading.options.time_format.as_deref();
    reading.lines(&file.path)?.rows(&mut reading.bad, |_, line| {
        let fields: Vec<&str> = utf8(line)?.split("::").collect();
        let &[user, item, rating, time] = fields.as_slice() else {
            return Err(Fault::new(format!("{} fields, not user::item::rating::time", fields.len())));
        };
        row(RawInteraction {
            user: id(user, "user")?,
            item: id(item, "item")?,
            time: Some(RawTime::parse(time, format).map_err(|reason| Fault::column("time", reason))?),
            value: parse_value(rating).map_err(|reason| Fault::column("rating", reason))?,
            part: file.part,
        })?;
        Ok(1)
    })
}

pub(super) fn items(
    file: &SourceFile,
    reading: &mut Reading<'_>,
    row: OnItem<'_>,
) -> Result<u64, SourceError> {
    reading.lines(&file.path)?.rows(&mut reading.bad, |_, line| {
        let line = decode(line);
        let fields = line.split_once("::").and_then(|(item, rest)| Some((item, rest.rsplit_once("::")?)));
        let Some((item, (title, genres))) = fields else {
            return Err(Fault::new("not item::title::genres"));
        };
        row(RawItem {
            id: id(item, "item")?.to_owned(),
            title: title.trim().to_owned(),
            category: genres.trim().to_owned(),
            ..RawItem::default()
        })?;
        Ok(1)
    })
}

/// Decodes a line as UTF-8 where it's valid, else as Latin-1, in which GroupLens wrote these files.
fn decode(line: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(line.iter().copied().map(char::from).collect()),
    }
}

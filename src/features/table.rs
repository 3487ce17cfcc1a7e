//! The id column of a `.csv` or `.tsv` table: the one asked for, the only one, or the only one with a telling name. The
//! first column is not a default, since pandas writes row numbers there.

use std::path::Path;

use super::FeatureError;
use super::error::malformed;
use crate::data::source::is_item_column;

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    pub name: String,
    /// Whether the column was guessed, not given by name.
    pub guessed: bool,
    pub values: Vec<String>,
}

/// Reads the id column of a table with a header line.
///
/// # Errors
/// The file can't be read, its records have different lengths, or the column is ambiguous.
pub(super) fn read(path: &Path, delimiter: u8, wanted: Option<&str>) -> Result<Column, FeatureError> {
    let mut records = if delimiter == b'\t' { read_tabs(path)? } else { read_commas(path)? }.into_iter();
    let names = records.next().unwrap_or_default();
    let names: Vec<String> = names.into_iter().map(|name| clean(&name)).collect();
    let place = choose(path, &names, wanted)?;
    let value = |mut record: Vec<String>| std::mem::take(&mut record[place]);
    let values = records.map(value).collect();
    Ok(Column { name: names[place].clone(), guessed: wanted.is_none(), values })
}

fn clean(name: &str) -> String {
    let name = name.trim_start_matches('\u{feff}').trim();
    // RecBole's headers also name a type.
    let typed = name
        .rsplit_once(':')
        .filter(|(_, kind)| matches!(*kind, "token" | "token_seq" | "float" | "float_seq"));
    typed.map_or(name, |(name, _)| name).to_owned()
}

fn choose(path: &Path, names: &[String], wanted: Option<&str>) -> Result<usize, FeatureError> {
    let owned = || (path.to_owned(), names.to_vec());
    if let Some(wanted) = wanted {
        let place = names.iter().position(|name| name == wanted);
        let (path, names) = owned();
        return place.ok_or_else(|| FeatureError::NoSuchColumn { path, wanted: wanted.to_owned(), names });
    }
    if names.len() == 1 {
        return Ok(0);
    }
    let usual: Vec<usize> = (0..names.len()).filter(|&n| is_item_column(&names[n])).collect();
    // These may number the rows when another column names the item.
    let vague = |n: usize| matches!(names[n].to_ascii_lowercase().as_str(), "id" | "code");
    let certain: Vec<usize> = usual.iter().copied().filter(|&n| !vague(n)).collect();
    match (certain.as_slice(), usual.as_slice()) {
        ([place], _) | ([], [place]) => Ok(*place),
        _ => {
            let (path, names) = owned();
            Err(FeatureError::WhichColumn { path, names })
        }
    }
}

fn read_commas(path: &Path) -> Result<Vec<Vec<String>>, FeatureError> {
    let wrong = |e: csv::Error| malformed(path, e.to_string());
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).map_err(wrong)?;
    // The reader refuses records whose length differs from the first.
    let fields = |record: csv::StringRecord| record.iter().map(str::to_owned).collect();
    reader.records().map(|record| record.map(fields).map_err(wrong)).collect()
}

/// Reads fields separated by tabs. A field is quoted only if a quote also ends it, since a title may begin with a
/// quote.
fn read_tabs(path: &Path) -> Result<Vec<Vec<String>>, FeatureError> {
    let text = std::fs::read(path).map_err(super::error::io_error(path))?;
    let text = std::str::from_utf8(&text).map_err(|e| malformed(path, format!("not a text file: {e}")))?;
    let mut records: Vec<Vec<String>> = Vec::new();
    for (n, line) in
        text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, line)| !line.is_empty())
    {
        let mut fields: Vec<String> = line.split('\t').map(unquoted).collect();
        let width = records.first().map_or(fields.len(), Vec::len);
        if fields.len() > width {
            fields = spanning(line);
        }
        if fields.len() != width {
            let reason = format!("line {} has {} fields, the header {width}", n + 1, fields.len());
            return Err(malformed(path, reason));
        }
        records.push(fields);
    }
    Ok(records)
}

fn unquoted(field: &str) -> String {
    let inner = field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        // Inner quotes must be doubled, or the outer ones belong to the text.
        Some(inner) if !inner.replace("\"\"", "").contains('"') => inner.replace("\"\"", "\""),
        _ => field.to_owned(),
    }
}

/// Fields of a line with tabs inside quoted fields.
fn spanning(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut pieces = line.split('\t');
    while let Some(piece) = pieces.next() {
        if !piece.starts_with('"') || piece.len() > 1 && piece.ends_with('"') {
            fields.push(unquoted(piece));
            continue;
        }
        let (mut whole, ahead) = (piece.to_owned(), pieces.clone());
        let closed = pieces.by_ref().any(|next| {
            whole.push('\t');
            whole.push_str(next);
            next.ends_with('"')
        });
        if closed {
            fields.push(unquoted(&whole));
        } else {
            fields.push(piece.to_owned());
            pieces = ahead;
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str, extension: &str, wanted: Option<&str>) -> Result<Column, FeatureError> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(format!("ids.{extension}"));
        std::fs::write(&path, text).unwrap();
        read(&path, if extension == "tsv" { b'\t' } else { b',' }, wanted)
    }

    #[test]
    fn the_column_of_ids_is_found_by_its_name_wherever_it_stands() {
        for (text, name, first) in [
            (",item_id\n0,2\n1,3\n", "item_id", "2"),
            ("title,item_id\nx,7\n", "item_id", "7"),
            ("Unnamed: 0,ASIN,price\n0,B01,2\n", "ASIN", "B01"),
            ("Item ID,name\n\"a,b\",c\n", "Item ID", "a,b"),
            ("id,title\n5,x\n", "id", "5"),
            ("id,movieId\n0,31\n", "movieId", "31"),
            ("whatever\n9\n", "whatever", "9"),
            ("\u{feff}item_id:token,title:token_seq\n4,x\n", "item_id", "4"),
        ] {
            let found = ids(text, "csv", None).unwrap();
            assert_eq!(
                (found.name.as_str(), found.values[0].as_str(), found.guessed),
                (name, first, true),
                "{text}"
            );
        }
        let asked = ids("a,b\n1,2\n", "csv", Some("a")).unwrap();
        assert_eq!((asked.name.as_str(), asked.guessed), ("a", false));
    }

    #[test]
    fn a_column_is_never_taken_for_being_the_first() {
        for text in ["title,text\nx,y\n", ",title\n0,x\n", "item_id,asin\n1,B\n", ",\n0,1\n"] {
            let error = ids(text, "csv", None).unwrap_err();
            assert!(matches!(error, FeatureError::WhichColumn { .. }), "{text}: {error}");
            assert!(error.hint().unwrap().contains("--id-column"), "{text}");
        }
        assert!(matches!(ids("a,b\n1,2\n", "csv", Some("c")), Err(FeatureError::NoSuchColumn { .. })));
    }

    #[test]
    fn a_quoted_field_of_a_tab_separated_table_loses_its_quotes_if_they_close_it() {
        let text = "item_id\ttitle\n\"1\"\tA\n2\t\"open\n\"say \"\"hi\"\"\"\tB\n\"a\tb\"\tC\n\"x\" y\tD\n5\t\"quoted\"\n";
        let found = ids(text, "tsv", None).unwrap();
        assert_eq!(found.values, ["1", "2", "say \"hi\"", "a\tb", "\"x\" y", "5"]);
        let error = ids("item_id\ttitle\n1\n", "tsv", None).unwrap_err();
        assert!(error.to_string().ends_with("line 2 has 1 fields, the header 2"), "{error}");
    }
}

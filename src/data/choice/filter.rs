//! Filters over the catalogue's columns, written `FIELD=VALUE[,VALUE…]`.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use super::{ChoiceError, Items};

/// Values that a message names as examples.
const EXAMPLES: usize = 5;

/// Items that have one of the values in a column. A value of several parts, joined by `|` as categories are, matches by
/// its whole and by each part; a title by its whole alone. An empty value matches items that have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub field: String,
    pub values: Vec<String>,
}

impl FromStr for Filter {
    type Err = String;

    /// Values are separated as in a line of CSV: one with a comma is put in double quotes.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "use FIELD=VALUE[,VALUE…], with a value that has a comma in double quotes".to_owned();
        let (field, values) = text.split_once('=').ok_or_else(wrong)?;
        let field = field.trim().to_owned();
        if field.is_empty() {
            return Err(wrong());
        }
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(values.as_bytes());
        let mut records = reader.records();
        let values = match records.next() {
            // An empty line is no record.
            None => vec![String::new()],
            Some(record) => record.map_err(|_| wrong())?.iter().map(str::to_owned).collect(),
        };
        if records.next().is_some() {
            return Err(wrong());
        }
        Ok(Self { field, values })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.field, self.values.join(","))
    }
}

impl Filter {
    /// Whether each of the I + 1 items has one of the values. A value that no item has gives a remark.
    ///
    /// # Errors
    /// The data set has no such column.
    pub fn holds(&self, items: &Items, remarks: &mut Vec<String>) -> Result<Vec<bool>, ChoiceError> {
        let column = Column::find(items, &self.field)?;
        let mut holds = vec![false; items.ids.len()];
        let mut found = vec![false; self.values.len()];
        for (n, cell) in column.cells.iter().enumerate().skip(1) {
            for (value, found) in self.values.iter().zip(&mut found) {
                if column.has(cell, value) {
                    holds[n] = true;
                    *found = true;
                }
            }
        }
        let quoted = |value: &String| format!("{value:?}");
        let absent = self.values.iter().zip(&found).filter(|(_, found)| !**found);
        let absent: Vec<String> = absent.map(|(value, _)| quoted(value)).collect();
        if absent.len() == self.values.len() {
            let (examples, all) = column.examples(&self.values);
            let mut there: Vec<String> = examples.iter().map(|value| format!("{value:?}")).collect();
            if all > there.len() {
                there.push(format!("and {} more", all - there.len()));
            }
            // A value with a comma that was not quoted came apart.
            for whole in [self.values.join(", "), self.values.join(",")] {
                if self.values.len() < 2 || !column.cells.iter().any(|cell| column.has(cell, &whole)) {
                    continue;
                }
                there.push(format!(
                    "\"{whole}\", which stands in double quotes: --filter '{}=\"{whole}\"'",
                    self.field
                ));
            }
            return Err(ChoiceError::UnknownValues { field: self.field.clone(), values: absent, there });
        }
        if !absent.is_empty() {
            remarks.push(format!("--filter {self}: no item has {} in {}", absent.join(" or "), self.field));
        }
        Ok(holds)
    }
}

/// A column for filters.
struct Column<'a> {
    /// I + 1 entries.
    cells: &'a [String],
    /// Whether a cell may have several values, joined by `|`.
    parts: bool,
}

impl<'a> Column<'a> {
    fn find(items: &'a Items, field: &str) -> Result<Self, ChoiceError> {
        match field {
            "category" => return Ok(Self { cells: &items.categories, parts: true }),
            "title" => return Ok(Self { cells: &items.titles, parts: false }),
            _ => {}
        }
        let kept = items.kept.iter().find(|column| column.name == field);
        kept.map(|column| Self { cells: &column.values, parts: true }).ok_or_else(|| {
            let kept = items.kept.iter().map(|column| column.name.clone());
            let known = kept.chain(["category".to_owned(), "title".to_owned()]).collect();
            ChoiceError::UnknownField { field: field.to_owned(), known }
        })
    }

    fn has(&self, cell: &str, value: &str) -> bool {
        cell.trim() == value || (self.parts && cell.split('|').any(|part| part.trim() == value))
    }

    /// Values of the column, the likeliest first: those that differ from a wanted one in letter case alone, then those
    /// that begin with one. The second value is their number in all.
    fn examples(&self, wanted: &[String]) -> (Vec<&'a str>, usize) {
        let values = || {
            let parts = self.parts;
            let split = move |cell: &'a String| cell.split(move |c| parts && c == '|').map(str::trim);
            self.cells.iter().skip(1).flat_map(split).filter(|value| !value.is_empty())
        };
        let wanted: HashSet<String> = wanted.iter().map(|value| value.to_lowercase()).collect();
        let alike = values().filter(|value| wanted.contains(&value.to_lowercase()));
        let begins = |value: &&str| {
            wanted
                .iter()
                .any(|wanted| !wanted.is_empty() && value.to_lowercase().starts_with(wanted.as_str()))
        };
        let mut seen = HashSet::new();
        let found: Vec<&str> = alike
            .chain(values().filter(begins))
            .chain(values())
            .filter(|value| seen.insert(*value))
            .collect();
        (found.iter().take(EXAMPLES).copied().collect(), found.len())
    }
}

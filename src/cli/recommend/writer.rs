//! Lists as JSON lines, CSV or a table for people, to stdout or to a file that appears when it is complete.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::super::{Exit, Failure};
use codistill::artefact;
use codistill::data::Items;
use codistill::recommend::Recommendation;
use codistill::table::{Column, Table};

/// Characters of a title that the table shows.
const TITLE: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: rank, id, title and score.
    Table,
    Jsonl,
    Csv,
}

impl Format {
    /// What was asked for; else a table where a person reads, and JSON lines for programs.
    pub fn chosen(asked: Option<Self>, person: bool) -> Self {
        asked.unwrap_or(if person { Self::Table } else { Self::Jsonl })
    }
}

/// What a list was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Scores for the user's history.
    Model,
    /// The items with most training interactions: of the user nothing is known.
    Popular,
    /// Nothing: of the user nothing is known.
    Nothing,
}

impl Source {
    fn word(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Popular => "popular",
            Self::Nothing => "none",
        }
    }
}

/// Whom, or which item, a list is for.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    User(&'a str, Source),
    /// The list holds items similar to this one.
    Item(&'a str),
}

impl<'a> Key<'a> {
    /// Name of the key, and the key.
    fn pair(self) -> (&'static str, &'a str) {
        match self {
            Self::User(id, _) => ("user", id),
            Self::Item(id) => ("item", id),
        }
    }

    fn source(self) -> Option<Source> {
        if let Self::User(_, source) = self { Some(source) } else { None }
    }
}

/// Where lists go.
pub struct Writer<'a> {
    out: Box<dyn Write>,
    scratch: Option<(tempfile::NamedTempFile, PathBuf)>,
    format: Format,
    items: &'a Items,
    /// Names of the branches whose scores stand in a list.
    branches: Vec<String>,
    begun: bool,
    path: PathBuf,
}

impl<'a> Writer<'a> {
    /// To stdout without `output`.
    pub fn new(
        output: Option<&Path>,
        format: Format,
        items: &'a Items,
        branches: Vec<String>,
    ) -> Result<Self, Failure> {
        let (out, scratch, path): (Box<dyn Write>, _, _) = match output {
            None => (Box::new(BufWriter::new(std::io::stdout())), None, PathBuf::from("stdout")),
            // A pipe or a device is written to; a file is replaced when the new one is complete.
            Some(path) if artefact::is_stream(path) => {
                let file =
                    std::fs::OpenOptions::new().write(true).open(path).map_err(|e| Failure::io(path, &e))?;
                (Box::new(BufWriter::new(file)), None, path.to_owned())
            }
            Some(path) => {
                let folder =
                    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
                let scratch =
                    artefact::scratch(0o666).tempfile_in(folder).map_err(|e| Failure::io(path, &e))?;
                let file = scratch.reopen().map_err(|e| Failure::io(path, &e))?;
                (Box::new(BufWriter::new(file)), Some((scratch, path.to_owned())), path.to_owned())
            }
        };
        Ok(Self { out, scratch, format, items, branches, begun: false, path })
    }

    pub fn list(&mut self, key: Key<'_>, list: &[Recommendation]) -> Result<(), Failure> {
        let first = !std::mem::replace(&mut self.begun, true);
        let text = match self.format {
            Format::Jsonl => self.json_line(key, list),
            Format::Csv => self.csv_lines(key, list, first),
            Format::Table => self.table(key, list, first),
        };
        match self.out.write_all(text.as_bytes()) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(Exit::Done as i32),
            other => other.map_err(|e| Failure::io(&self.path, &e)),
        }
    }

    fn json_line(&self, key: Key<'_>, list: &[Recommendation]) -> String {
        let items: Vec<_> = list
            .iter()
            .map(|r| {
                let scores: serde_json::Map<String, serde_json::Value> =
                    self.branches.iter().zip(&r.branches).map(|(b, &s)| (b.clone(), json!(s))).collect();
                let i = r.item as usize;
                json!({"item": self.items.ids[i], "title": self.items.titles[i], "score": r.score, "branches": scores})
            })
            .collect();
        let (name, id) = key.pair();
        let mut line = json!({name: id, "items": items});
        if let Some(source) = key.source() {
            line["source"] = json!(source.word());
        }
        format!("{line}\n")
    }

    /// Every column has a name of its own.
    fn csv_header(&self, key: Key<'_>) -> Vec<String> {
        let listed = if matches!(key, Key::Item(_)) { "similar" } else { "item" };
        let fixed = [key.pair().0, "rank", listed, "title", "score"];
        let last = key.source().map(|_| "source");
        let taken = |name: &str| fixed.contains(&name) || Some(name) == last;
        let branch = |name: &String| if taken(name) { format!("branch_{name}") } else { name.clone() };
        let names = fixed.into_iter().map(str::to_owned).chain(self.branches.iter().map(branch));
        names.chain(last.map(str::to_owned)).collect()
    }

    fn csv_lines(&self, key: Key<'_>, list: &[Recommendation], first: bool) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        // Writing to memory can't fail.
        if first {
            let _ = writer.write_record(self.csv_header(key));
        }
        for (rank, r) in list.iter().enumerate() {
            let i = r.item as usize;
            let mut cells = vec![
                key.pair().1.to_owned(),
                (rank + 1).to_string(),
                self.items.ids[i].clone(),
                self.items.titles[i].clone(),
                r.score.to_string(),
            ];
            // A branch that says nothing of the item leaves its cell empty.
            let said = |b: usize| r.branches.get(b).filter(|s| s.is_finite());
            cells.extend((0..self.branches.len()).map(|b| said(b).map_or_else(String::new, f32::to_string)));
            cells.extend(key.source().map(|source| source.word().to_owned()));
            let _ = writer.write_record(&cells);
        }
        String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
    }

    fn table(&self, key: Key<'_>, list: &[Recommendation], first: bool) -> String {
        let mut text = if first { String::new() } else { "\n".to_owned() };
        let (head, score) = match key {
            Key::User(id, Source::Model) => (format!("user {id}"), "score"),
            Key::User(id, Source::Popular) => {
                (format!("user {id}: without a known history; the most popular items"), "interactions")
            }
            Key::User(id, Source::Nothing) => (format!("user {id}: without a known history; no list"), ""),
            Key::Item(id) => {
                let number = self.items.ids.iter().position(|known| known == id);
                let title = number.map(|n| one_line(&self.items.titles[n])).unwrap_or_default();
                (format!("similar to {id} {title}").trim_end().to_owned(), "cosine")
            }
        };
        let _ = writeln!(text, "{}", one_line(&head));
        if list.is_empty() {
            if !matches!(key, Key::User(_, Source::Nothing)) {
                text.push_str("nothing may be listed\n");
            }
            return text;
        }
        let row = |(rank, r): (usize, &Recommendation)| {
            let figure = match key {
                Key::User(_, Source::Popular) => format!("{:.0}", r.score),
                _ => format!("{:.4}", r.score),
            };
            let i = r.item as usize;
            let (id, title) = (one_line(&self.items.ids[i]), one_line(&self.items.titles[i]));
            vec![(rank + 1).to_string(), id, title, figure]
        };
        let header = ["rank", "item", "title", score].map(str::to_owned).to_vec();
        let table = Table { header, rows: list.iter().enumerate().map(row).collect() };
        let fitted = Column::left(0).fitted();
        text + &table.lines(&[Column::right(4), fitted, fitted, Column::right(12)], "  ")
    }

    pub fn finish(mut self) -> Result<(), Failure> {
        match self.out.flush() {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(Exit::Done as i32),
            other => other.map_err(|e| Failure::io(&self.path, &e))?,
        }
        if let Some((scratch, path)) = self.scratch {
            scratch.persist(&path).map_err(|e| Failure::io(&path, &e.error))?;
        }
        Ok(())
    }
}

/// A cell of the table: no control characters, no more than [`TITLE`] characters.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match plain.char_indices().nth(TITLE) {
        Some((end, _)) => format!("{}…", plain[..end].trim_end()),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Items {
        let column = |values: [&str; 3]| values.map(str::to_owned).to_vec();
        let long = "Sehr langer Titel ".repeat(5);
        Items {
            ids: column(["", "a", "größer"]),
            titles: column(["", "Heat\nII", &long]),
            ..Items::default()
        }
    }

    fn list() -> Vec<Recommendation> {
        let each = [(2, 0.5, [0.25, 0.75]), (1, 0.125, [f32::NAN, 0.125])];
        let all =
            each.map(|(item, score, branches)| Recommendation { item, score, branches: branches.into() });
        all.into()
    }

    fn writer<'a>(items: &'a Items, branches: &[&str]) -> Writer<'a> {
        let branches = branches.iter().map(|&b| b.to_owned()).collect();
        Writer::new(None, Format::Table, items, branches).unwrap()
    }

    #[test]
    fn people_get_a_table_and_programs_json_lines() {
        assert_eq!(Format::chosen(None, true), Format::Table);
        assert_eq!(Format::chosen(None, false), Format::Jsonl);
        assert_eq!(Format::chosen(Some(Format::Csv), true), Format::Csv);
        assert_eq!(Format::chosen(Some(Format::Table), false), Format::Table);
    }

    #[test]
    fn a_table_aligns_ids_and_titles_of_any_length() {
        let items = items();
        let text = writer(&items, &["id", "text"]).table(Key::User("u1", Source::Model), &list(), true);
        let title = "Sehr langer Titel Sehr langer Titel Sehr langer Titel Sehr l…";
        let pad = " ".repeat(title.chars().count() - "Heat II".len());
        let expected = format!(
            "user u1\nrank  item    title{}         score\n   1  größer  {title}        0.5000\n   2  a       Heat II{pad}        0.1250\n",
            " ".repeat(title.chars().count() - "title".len())
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_list_without_history_is_named_in_every_form() {
        let items = items();
        let writer = writer(&items, &["id", "text"]);
        let popular = [Recommendation { item: 1, score: 7.0, branches: Vec::new() }];
        let key = Key::User("new", Source::Popular);
        let table = writer.table(key, &popular, false);
        assert!(
            table.starts_with("\nuser new: without a known history; the most popular items\n"),
            "{table}"
        );
        assert!(table.contains("interactions\n") && table.ends_with("           7\n"), "{table}");
        let csv = writer.csv_lines(key, &popular, true);
        assert_eq!(csv, "user,rank,item,title,score,id,text,source\nnew,1,a,\"Heat\nII\",7,,,popular\n");
        let line: serde_json::Value = serde_json::from_str(&writer.json_line(key, &popular)).unwrap();
        assert_eq!((&line["source"], &line["items"][0]["branches"]), (&json!("popular"), &json!({})));
        let none = writer.table(Key::User("new", Source::Nothing), &[], true);
        assert_eq!(none, "user new: without a known history; no list\n");
    }

    #[test]
    fn no_two_columns_share_a_name() {
        let items = items();
        let names = ["item", "score", "text", "source", "similar"];
        for key in [Key::Item("a"), Key::User("u", Source::Model)] {
            let header = writer(&items, &names).csv_header(key);
            let distinct: std::collections::BTreeSet<&String> = header.iter().collect();
            assert_eq!(distinct.len(), header.len(), "{header:?}");
        }
        let similar = writer(&items, &["text"]).csv_header(Key::Item("a"));
        assert_eq!(similar, ["item", "rank", "similar", "title", "score", "text"]);
    }
}

//! Tables of text cells: aligned for a terminal, or as Markdown.

use std::fmt::Write as _;

/// Which edge of a column its cells share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Left,
    Right,
}

/// How the cells of a column are aligned and padded. Widths are in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    edge: Edge,
    least: usize,
    fits: bool,
}

impl Column {
    /// Cells begin at one place and take at least `least` characters; a longer one moves what stands behind it.
    pub fn left(least: usize) -> Self {
        Self { edge: Edge::Left, least, fits: false }
    }

    /// Cells end at one place and take at least `least` characters; a longer one moves what stands behind it.
    pub fn right(least: usize) -> Self {
        Self { edge: Edge::Right, ..Self::left(least) }
    }

    /// The column is as wide as its widest cell.
    #[must_use]
    pub fn fitted(self) -> Self {
        Self { fits: true, ..self }
    }
}

/// A table of text cells; the first column holds labels.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// One cell per column; empty for a table without a head.
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Lines whose columns are as wide as their widest cells: labels to the left, everything else to the right.
    pub fn plain(&self) -> String {
        let mut columns = vec![Column::right(0).fitted(); self.header.len()];
        if let Some(first) = columns.first_mut() {
            *first = Column::left(0).fitted();
        }
        self.lines(&columns, "  ")
    }

    /// A line for the head, where there is one, and for each row: `columns` with `gap` between them. Lines end with their
    /// last character that is no space.
    pub fn lines(&self, columns: &[Column], gap: &str) -> String {
        let all = || std::iter::once(&self.header).filter(|header| !header.is_empty()).chain(&self.rows);
        let width = |(place, column): (usize, &Column)| {
            let widths = all().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
            widths.filter(|_| column.fits).max().unwrap_or(0).max(column.least)
        };
        let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
        let mut text = String::new();
        for row in all() {
            for (place, ((cell, column), &width)) in row.iter().zip(columns).zip(&widths).enumerate() {
                if place > 0 {
                    text.push_str(gap);
                }
                // A string takes all that is written to it.
                let _ = match column.edge {
                    Edge::Left => write!(text, "{cell:<width$}"),
                    Edge::Right => write!(text, "{cell:>width$}"),
                };
            }
            let end = text.trim_end_matches(' ').len();
            text.truncate(end);
            text.push('\n');
        }
        text
    }

    /// A Markdown table.
    pub fn markdown(&self) -> String {
        self.markdown_under(&line(&self.header))
    }

    /// A Markdown table whose labels have no name, whatever the header's first cell says.
    pub fn markdown_without_corner(&self) -> String {
        self.markdown_under(&format!("| {}", line(self.header.get(1..).unwrap_or_default())))
    }

    fn markdown_under(&self, head: &str) -> String {
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{head}|{}\n{rows}", "---|".repeat(self.header.len()))
    }
}

/// One line of a Markdown table.
fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A line for each name and text, the texts `width` + 1 characters from the left.
pub fn listing<N: Into<String>, T: Into<String>>(
    width: usize,
    rows: impl IntoIterator<Item = (N, T)>,
) -> String {
    let rows = rows.into_iter().map(|(name, text)| vec![name.into(), text.into()]).collect();
    Table { header: Vec::new(), rows }.lines(&[Column::left(width), Column::left(0)], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|&cell| cell.to_owned()).collect()
    }

    #[test]
    fn tables_align_and_escape() {
        let table = Table {
            header: texts(&["", "mean"]),
            rows: vec![texts(&["a|b", "0.5"]), texts(&["longer", "10.25"])],
        };
        assert_eq!(table.plain(), "         mean\na|b       0.5\nlonger  10.25\n");
        assert_eq!(table.markdown(), "|  | mean |\n|---|---|\n| a\\|b | 0.5 |\n| longer | 10.25 |\n");
        assert_eq!(
            table.markdown_without_corner(),
            "| | mean |\n|---|---|\n| a\\|b | 0.5 |\n| longer | 10.25 |\n"
        );
    }

    #[test]
    fn fixed_columns_keep_their_width_and_a_long_cell_moves_its_own_line_alone() {
        let table = Table {
            header: texts(&["step", "n"]),
            rows: vec![texts(&["too long a name", "1"]), texts(&["b", ""])],
        };
        let columns = [Column::left(6), Column::right(3)];
        assert_eq!(table.lines(&columns, " "), "step     n\ntoo long a name   1\nb\n");
        assert_eq!(listing(4, [("a", "first"), ("b", "second ")]), "a    first\nb    second\n");
    }
}

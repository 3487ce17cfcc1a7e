//! One object at a time from a file of JSON lines, of one list, or of objects that span several lines.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::SourceError;
use super::lines::{LONGEST_LINE, Lines, read_error, too_long};

/// A reader of the texts of a file's objects.
pub(super) enum Rows {
    Lines(Lines),
    Elements(Elements),
}

impl Rows {
    /// # Errors
    /// The file can't be read, or is a list in another encoding than UTF-8.
    pub fn open(path: &Path, mut lines: Lines) -> Result<Self, SourceError> {
        let start = lines.start()?.trim_ascii_start();
        let list = start.first() == Some(&b'[');
        // An object that isn't closed where its line ends goes on in the next.
        let whole = start.first() != Some(&b'{')
            || match start.iter().position(|&b| b == b'\n') {
                Some(end) => closes(&start[..end]),
                None => true,
            };
        if lines.encoding().is_none() && (list || !whole) {
            return Ok(Self::Elements(Elements::new(path, lines, list)));
        }
        if lines.encoding().is_some() && lines.peek()?.is_some_and(|line| !closes(line)) {
            let reason = "a list, or objects that run over lines, are read in UTF-8 only".to_owned();
            return Err(SourceError::Malformed { path: path.to_owned(), line: 1, column: None, reason });
        }
        Ok(Self::Lines(lines))
    }

    /// The next object's text and the line it starts on; blank lines are skipped.
    pub fn next(&mut self) -> Result<Option<(u64, &[u8])>, SourceError> {
        match self {
            Self::Elements(elements) => elements.next(),
            Self::Lines(lines) => loop {
                // Two steps, because a line can't be examined and returned in one borrow.
                match lines.peek()? {
                    None => return Ok(None),
                    Some(line) if line.iter().all(u8::is_ascii_whitespace) => drop(lines.next()?),
                    Some(_) => return lines.next(),
                }
            },
        }
    }
}

/// Tracks brackets and strings, in JSON or Python.
#[derive(Default)]
struct Nesting {
    depth: usize,
    /// The quote that closes the string.
    string: Option<u8>,
    escaped: bool,
}

impl Nesting {
    fn take(&mut self, byte: u8) {
        match (self.string, byte) {
            (Some(_), _) if self.escaped => self.escaped = false,
            (Some(_), b'\\') => self.escaped = true,
            (Some(quote), byte) if byte == quote => self.string = None,
            (Some(_), _) => {}
            // JSON has none of the single ones outside of strings.
            (None, b'"' | b'\'') => self.string = Some(byte),
            (None, b'{' | b'[' | b'(') => self.depth += 1,
            (None, b'}' | b']' | b')') => self.depth = self.depth.saturating_sub(1),
            (None, _) => {}
        }
    }

    fn is_outside(&self) -> bool {
        self.depth == 0 && self.string.is_none()
    }
}

/// Whether all brackets and strings that a line opens are closed in it.
fn closes(line: &[u8]) -> bool {
    let mut nesting = Nesting::default();
    line.iter().for_each(|&byte| nesting.take(byte));
    nesting.is_outside()
}

/// Elements of a list, or consecutive values, one in memory at a time.
pub(super) struct Elements {
    path: PathBuf,
    input: Box<dyn BufRead>,
    gzip: bool,
    /// Whether a list's opening bracket is yet to come.
    begins: bool,
    list: bool,
    /// Whether an element came, and no comma since.
    comma: bool,
    ended: bool,
    line: u64,
    element: Vec<u8>,
}

impl Elements {
    fn new(path: &Path, lines: Lines, list: bool) -> Self {
        let (input, gzip) = lines.into_input();
        Self {
            path: path.to_owned(),
            input,
            gzip,
            begins: list,
            list,
            comma: false,
            ended: false,
            line: 1,
            element: Vec::new(),
        }
    }

    fn wrong<T>(&self, line: u64, reason: &str) -> Result<T, SourceError> {
        let reason = reason.to_owned();
        Err(SourceError::Malformed { path: self.path.clone(), line, column: None, reason })
    }

    fn next(&mut self) -> Result<Option<(u64, &[u8])>, SourceError> {
        let Some(start) = self.next_start()? else { return Ok(None) };
        self.element.clear();
        let mut nesting = Nesting::default();
        'element: loop {
            let chunk = self.input.fill_buf().map_err(|e| read_error(&self.path, self.gzip, e))?;
            if chunk.is_empty() {
                if nesting.is_outside() && !self.list {
                    break;
                }
                return self.wrong(start, "the file ends inside of what begins here");
            }
            let mut used = 0;
            for &byte in chunk {
                let outside = nesting.is_outside();
                if outside
                    && !self.element.is_empty()
                    && matches!(byte, b',' | b']' | b'}' | b'\n' | b'\r' | b' ' | b'\t')
                {
                    self.input.consume(used);
                    break 'element;
                }
                nesting.take(byte);
                self.element.push(byte);
                used += 1;
                self.line += u64::from(byte == b'\n');
                // A bracket that closes the outermost one ends the element, whatever follows.
                if nesting.is_outside() && matches!(byte, b'}' | b']' | b')') {
                    self.input.consume(used);
                    break 'element;
                }
            }
            self.input.consume(used);
            if self.element.len() > LONGEST_LINE {
                return Err(too_long(&self.path, start));
            }
        }
        self.comma = true;
        Ok(Some((start, &self.element)))
    }

    /// Advances to the first byte of the next element. Returns its line; absent at the end.
    fn next_start(&mut self) -> Result<Option<u64>, SourceError> {
        loop {
            let chunk = self.input.fill_buf().map_err(|e| read_error(&self.path, self.gzip, e))?;
            let Some(&byte) = chunk.first() else {
                return if self.list && !self.ended {
                    self.wrong(self.line, "the list is not closed")
                } else {
                    Ok(None)
                };
            };
            match byte {
                b'\n' => self.line += 1,
                _ if byte.is_ascii_whitespace() => {}
                _ if self.ended => return self.wrong(self.line, "something follows the list"),
                b'[' if self.begins => self.begins = false,
                b']' if self.list => self.ended = true,
                b',' if self.list && self.comma => self.comma = false,
                _ if self.list && self.comma => {
                    return self.wrong(self.line, "a comma is missing in the list");
                }
                _ => return Ok(Some(self.line)),
            }
            self.input.consume(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(text: &str) -> Result<Vec<(u64, String)>, SourceError> {
        // A small buffer, so that elements lie across its ends.
        let input = Box::new(std::io::BufReader::with_capacity(3, std::io::Cursor::new(text.to_owned())));
        let lines = Lines::new(Path::new("x"), Box::new(std::io::BufReader::new(input)), None)?;
        let mut rows = Rows::open(Path::new("x"), lines)?;
        let mut found = Vec::new();
        while let Some((line, text)) = rows.next()? {
            found.push((line, String::from_utf8(text.to_vec()).unwrap()));
        }
        Ok(found)
    }

    #[test]
    fn lists_lines_and_spread_objects_give_the_same_elements() {
        let one = |line: u64, text: &str| (line, text.to_owned());
        let expected = [one(1, "{\"a\": \"]},\\\"\"}"), one(2, "{'b': \"it's\"}")];
        for text in [
            "[{\"a\": \"]},\\\"\"},\n{'b': \"it's\"}]\n",
            "[ {\"a\": \"]},\\\"\"}\n, {'b': \"it's\"} ]",
            "{\"a\": \"]},\\\"\"}\n{'b': \"it's\"}\n",
        ] {
            assert_eq!(elements(text).unwrap(), expected, "{text}");
        }
        assert_eq!(
            elements("{\n \"a\": 1\n}\n{\n \"a\": 2\n}").unwrap(),
            [one(1, "{\n \"a\": 1\n}"), one(4, "{\n \"a\": 2\n}")]
        );
        assert_eq!(elements("[1, \"x\", [2]]").unwrap(), [one(1, "1"), one(1, "\"x\""), one(1, "[2]")]);
        for empty in ["", "\n \n", "[]", " [ ] \n"] {
            assert_eq!(elements(empty).unwrap(), [], "{empty:?}");
        }
    }

    #[test]
    fn damaged_lists_are_refused_by_line() {
        for (text, line) in
            [("[{}\n{}]", 2), ("[{},\n{\"a\": 1", 2), ("[{},\n{}", 2), ("[]\n\n{}", 3), ("[{}]\n,", 2)]
        {
            let error = elements(text).unwrap_err();
            assert!(
                matches!(error, SourceError::Malformed { line: found, .. } if found == line),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn an_element_without_end_doesnt_fill_the_memory() {
        let text = format!("[{{\"a\": \"{}", "x".repeat(LONGEST_LINE + 1));
        let error = elements(&text).unwrap_err();
        assert!(error.to_string().contains("longer than 16 MiB"), "{error}");
    }
}

//! Lines of a text file: gzip opened, byte order mark and line ends taken off, length bounded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::error::Fault;
use super::{BadLines, SourceError};

/// Longest line in bytes. A file without line ends must not fill the memory.
pub(super) const LONGEST_LINE: usize = 16 << 20;
const BUFFER: usize = 256 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Reads a file line by line into one reused buffer.
pub(super) struct Lines {
    path: PathBuf,
    input: Box<dyn BufRead>,
    gzip: bool,
    line: Vec<u8>,
    number: u64,
    /// The next call gives the same line again.
    again: bool,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|e| SourceError::io(path, e))?;
        Self::new(path, Box::new(BufReader::with_capacity(BUFFER, file)))
    }

    /// `path` stands in messages only.
    pub fn new(path: &Path, mut raw: Box<dyn BufRead>) -> Result<Self, SourceError> {
        let start = raw.fill_buf().map_err(|e| SourceError::io(path, e))?;
        let gzip = start.starts_with(&GZIP);
        let input =
            if gzip { Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(raw))) } else { raw };
        Ok(Self { path: path.to_owned(), input, gzip, line: Vec::new(), number: 0, again: false })
    }

    /// The next line without its end, and its number from 1; absent at the end of the file.
    pub fn next(&mut self) -> Result<Option<(u64, &[u8])>, SourceError> {
        if std::mem::take(&mut self.again) {
            return Ok(Some((self.number, self.trimmed())));
        }
        self.line.clear();
        let mut limited = self.input.as_mut().take(LONGEST_LINE as u64 + 1);
        let read =
            limited.read_until(b'\n', &mut self.line).map_err(|e| read_error(&self.path, self.gzip, e))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read > LONGEST_LINE {
            return Err(too_long(&self.path, self.number));
        }
        Ok(Some((self.number, self.trimmed())))
    }

    /// A look at the next line without taking it.
    pub fn peek(&mut self) -> Result<Option<&[u8]>, SourceError> {
        if self.next()?.is_none() {
            return Ok(None);
        }
        self.again = true;
        Ok(Some(self.trimmed()))
    }

    fn trimmed(&self) -> &[u8] {
        let mut line = self.line.as_slice();
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.number == 1 {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        line
    }

    /// Hands every line that isn't blank to `take`, which returns how many rows it made of it. Returns their
    /// sum.
    pub fn rows(
        &mut self,
        bad: &mut BadLines,
        mut take: impl FnMut(u64, &[u8]) -> Result<u64, Fault>,
    ) -> Result<u64, SourceError> {
        let path = self.path.clone();
        let mut rows = 0;
        while let Some((number, line)) = self.next()? {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match take(number, line) {
                Ok(made) => rows += made,
                Err(fault) => bad.count(&path, number, fault)?,
            }
        }
        Ok(rows)
    }
}

/// A record too long to be one; not counted as a bad line because nothing after it can be trusted.
pub(super) fn too_long(path: &Path, line: u64) -> SourceError {
    let reason = format!("longer than {} MiB", LONGEST_LINE >> 20);
    SourceError::Malformed { path: path.to_owned(), line, column: None, reason }
}

fn read_error(path: &Path, gzip: bool, error: io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof if gzip => SourceError::Truncated { path: path.to_owned() },
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if gzip => {
            SourceError::Damaged { path: path.to_owned(), reason: error.to_string() }
        }
        _ => SourceError::io(path, error),
    }
}

/// The line as text; anything but UTF-8 is a fault.
pub(super) fn utf8(line: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(line).map_err(|e| Fault::new(format!("not UTF-8 at byte {}", e.valid_up_to() + 1)))
}

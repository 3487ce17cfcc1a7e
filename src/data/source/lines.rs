//! Lines of a text file: unpacked from gzip, decoded to UTF-8, without byte order mark and line ends, of bounded length.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use encoding_rs::{Encoding, UTF_8, UTF_16LE};
use flate2::bufread::MultiGzDecoder;

use super::bad_lines::BadLines;
use super::encoding::{from_mark, is_utf16};
use super::error::{Fault, SourceError};
use super::guess::GZIP;

/// Longest line in bytes. A file without line ends must not fill the memory.
pub(super) const LONGEST_LINE: usize = 16 << 20;
const BUFFER: usize = 256 << 10;

/// Reads a file line by line into one reused buffer.
pub(super) struct Lines {
    path: PathBuf,
    input: Box<dyn BufRead>,
    gzip: bool,
    /// Lines of UTF-8 are passed on unchecked; callers that need text check them.
    encoding: &'static Encoding,
    /// The line before decoding; unused for UTF-8.
    raw: Vec<u8>,
    line: Vec<u8>,
    number: u64,
    /// Whether the next call returns the same line again.
    again: bool,
}

impl Lines {
    /// Opens a file. Where `encoding` is absent, a byte order mark decides, else it's UTF-8.
    pub fn open(path: &Path, encoding: Option<&'static Encoding>) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|e| SourceError::io(path, e))?;
        Self::new(path, Box::new(BufReader::with_capacity(BUFFER, file)), encoding)
    }

    /// Reads from `raw`; `path` is for messages only.
    pub fn new(
        path: &Path,
        mut raw: Box<dyn BufRead>,
        encoding: Option<&'static Encoding>,
    ) -> Result<Self, SourceError> {
        let start = raw.fill_buf().map_err(|e| SourceError::io(path, e))?;
        let gzip = start.starts_with(&GZIP);
        let mut input: Box<dyn BufRead> =
            if gzip { Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(raw))) } else { raw };
        let start = input.fill_buf().map_err(|e| read_error(path, gzip, e))?;
        // A mark overrides the user's choice, as on the web: it is text in no encoding.
        let marked = from_mark(start);
        if let Some((_, length)) = marked {
            input.consume(length);
        }
        let encoding = marked.map(|(encoding, _)| encoding).or(encoding).unwrap_or(UTF_8);
        Ok(Self {
            path: path.to_owned(),
            input,
            gzip,
            encoding,
            raw: Vec::new(),
            line: Vec::new(),
            number: 0,
            again: false,
        })
    }

    /// The encoding's name, where it isn't UTF-8.
    pub fn encoding(&self) -> Option<&'static str> {
        (self.encoding != UTF_8).then(|| self.encoding.name())
    }

    /// The buffered bytes at the start of the file, before any line is read.
    pub fn start(&mut self) -> Result<&[u8], SourceError> {
        self.input.fill_buf().map_err(|e| read_error(&self.path, self.gzip, e))
    }

    /// The input after the byte order mark, and whether it is unpacked from gzip.
    pub fn into_input(self) -> (Box<dyn BufRead>, bool) {
        (self.input, self.gzip)
    }

    /// The next line without its end, and its number from 1; absent at the end of the file.
    pub fn next(&mut self) -> Result<Option<(u64, &[u8])>, SourceError> {
        if std::mem::take(&mut self.again) {
            return Ok(Some((self.number, self.trimmed())));
        }
        let read = if self.encoding == UTF_8 {
            self.line.clear();
            let mut limited = self.input.as_mut().take(LONGEST_LINE as u64 + 1);
            limited.read_until(b'\n', &mut self.line)
        } else if is_utf16(self.encoding) {
            self.read_units()
        } else {
            // No multi-byte character of these encodings has a line end in it.
            self.raw.clear();
            let mut limited = self.input.as_mut().take(LONGEST_LINE as u64 + 1);
            limited.read_until(b'\n', &mut self.raw)
        };
        let read = read.map_err(|e| read_error(&self.path, self.gzip, e))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read > LONGEST_LINE {
            return Err(too_long(&self.path, self.number));
        }
        if self.encoding != UTF_8 {
            self.decode()?;
        }
        Ok(Some((self.number, self.trimmed())))
    }

    /// Reads 16-bit units up to a line end into `raw`. Returns the number of bytes.
    fn read_units(&mut self) -> io::Result<usize> {
        let end = if self.encoding == UTF_16LE { [b'\n', 0] } else { [0, b'\n'] };
        self.raw.clear();
        while self.raw.len() <= LONGEST_LINE {
            let available = self.input.fill_buf()?;
            if available.is_empty() {
                break;
            }
            // A unit may lie across two buffers.
            let odd = self.raw.len() % 2;
            let step = if odd == 1 || available.len() == 1 { 1 } else { available.len() / 2 * 2 };
            let units = available[..step].chunks_exact(2);
            let found = if step == 1 { None } else { units.into_iter().position(|unit| unit == end) };
            let taken = found.map_or(step, |unit| (unit + 1) * 2);
            self.raw.extend_from_slice(&available[..taken]);
            self.input.consume(taken);
            if found.is_some() || (odd == 1 && self.raw.ends_with(&end)) {
                break;
            }
        }
        Ok(self.raw.len())
    }

    fn decode(&mut self) -> Result<(), SourceError> {
        let text = self.encoding.decode_without_bom_handling_and_without_replacement(&self.raw);
        let Some(text) = text else {
            // Not one bad line: the encoding is another one.
            let encoding = self.encoding.name();
            return Err(SourceError::WrongEncoding { path: self.path.clone(), line: self.number, encoding });
        };
        self.line.clear();
        self.line.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// The next line, which the next call returns again.
    pub fn peek(&mut self) -> Result<Option<&[u8]>, SourceError> {
        if self.next()?.is_none() {
            return Ok(None);
        }
        self.again = true;
        Ok(Some(self.trimmed()))
    }

    fn trimmed(&self) -> &[u8] {
        let line = self.line.as_slice();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Calls `take` with every line that isn't blank; it returns the line's number of rows. Returns their sum.
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

pub(super) fn read_error(path: &Path, gzip: bool, error: io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof if gzip => SourceError::Truncated { path: path.to_owned() },
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if gzip => {
            SourceError::Damaged { path: path.to_owned(), reason: error.to_string() }
        }
        _ => SourceError::io(path, error),
    }
}

/// The line as text.
///
/// # Errors
/// It isn't UTF-8.
pub(super) fn utf8(line: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(line)
        .map_err(|e| Fault::not_utf8(format!("not UTF-8 at byte {}", e.valid_up_to() + 1)))
}

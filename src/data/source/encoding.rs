//! Encodings other than UTF-8, named by the user or by a byte order mark.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use super::error::SourceError;

/// The encoding that a label of the WHATWG's list stands for (`windows-1252`, `latin1`, `gbk`, `utf-16le`, …).
///
/// # Errors
/// There is no such label.
pub(super) fn from_label(label: &str) -> Result<&'static Encoding, SourceError> {
    Encoding::for_label(label.as_bytes()).ok_or_else(|| SourceError::UnknownEncoding(label.to_owned()))
}

/// The encoding that the byte order mark at the start of a file names, and the length of the mark.
pub(super) fn from_mark(start: &[u8]) -> Option<(&'static Encoding, usize)> {
    Encoding::for_bom(start)
}

pub(super) fn is_utf16(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_the_web() {
        assert_eq!(from_label("latin1").unwrap().name(), "windows-1252");
        assert_eq!(from_label("GB2312").unwrap().name(), "GBK");
        assert!(matches!(from_label("utf9"), Err(SourceError::UnknownEncoding(label)) if label == "utf9"));
    }
}

//! Text in other encodings than UTF-8: named by the user, told by a byte order mark, or guessed for a message.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::bufread::MultiGzDecoder;

use super::SourceError;
use super::lines::GZIP;

/// Bytes that a guess looks at.
const SAMPLE: u64 = 1 << 20;

/// The encoding that a label of the WHATWG's list stands for (`windows-1252`, `latin1`, `gbk`, `utf-16le`, …).
///
/// # Errors
/// There is no such label.
pub(super) fn by_label(label: &str) -> Result<&'static Encoding, SourceError> {
    Encoding::for_label(label.as_bytes()).ok_or_else(|| SourceError::UnknownEncoding(label.to_owned()))
}

/// What the first bytes of a file say of its encoding, and the length of the mark that says it.
pub(super) fn by_mark(start: &[u8]) -> Option<(&'static Encoding, usize)> {
    Encoding::for_bom(start)
}

pub(super) fn is_utf16(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

/// The label of the encoding that a file which is no UTF-8 is likely to have; nothing where it can't be read.
pub(super) fn likely(path: &Path) -> Option<&'static str> {
    let sample = sample(path)?;
    let zeros = |first: usize| sample.iter().skip(first).step_by(2).filter(|&&b| b == 0).count();
    // Half of the bytes of Western text in UTF-16 are zeros; text has none in other encodings.
    match (zeros(0), zeros(1)) {
        (even, odd) if odd > sample.len() / 4 && even * 8 < odd => return Some("utf-16le"),
        (even, odd) if even > sample.len() / 4 && odd * 8 < even => return Some("utf-16be"),
        _ => {}
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&sample, true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    // Latin-1 and its like are read by the superset that the web reads them by.
    (guess != UTF_8).then(|| guess.name())
}

fn sample(path: &Path) -> Option<Vec<u8>> {
    let mut raw = Vec::new();
    File::open(path).ok()?.take(SAMPLE).read_to_end(&mut raw).ok()?;
    if !raw.starts_with(&GZIP) {
        return Some(raw);
    }
    let mut text = Vec::new();
    // The sample may end within a member: what came before is enough.
    let _ = MultiGzDecoder::new(BufReader::new(raw.as_slice())).take(SAMPLE).read_to_end(&mut text);
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likely_of(bytes: &[u8]) -> Option<&'static str> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        likely(&path)
    }

    #[test]
    fn usual_encodings_are_guessed_from_their_bytes() {
        let western = "240|Amélie, le fabuleux destin (2001)|Comédie\n".repeat(3);
        assert_eq!(likely_of(&encoding_rs::WINDOWS_1252.encode(&western).0), Some("windows-1252"));
        let russian = "Товар,Название\n1,Хлеб и молоко\n2,Сыр российский\n".repeat(3);
        assert_eq!(likely_of(&encoding_rs::WINDOWS_1251.encode(&russian).0), Some("windows-1251"));
        let chinese = "商品,标题\n1,红色的鞋子非常好看\n".repeat(3);
        assert_eq!(likely_of(&encoding_rs::GBK.encode(&chinese).0), Some("GBK"));
        let wide: Vec<u8> = "user,item\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(likely_of(&wide), Some("utf-16le"));
    }

    #[test]
    fn labels_are_those_of_the_web() {
        assert_eq!(by_label("latin1").unwrap().name(), "windows-1252");
        assert_eq!(by_label("GB2312").unwrap().name(), "GBK");
        assert!(matches!(by_label("utf9"), Err(SourceError::UnknownEncoding(label)) if label == "utf9"));
    }
}

//! The likely encoding of a file that isn't UTF-8, for a message.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::UTF_8;
use flate2::bufread::MultiGzDecoder;

/// The first bytes of a gzip stream.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Number of bytes that a guess looks at.
const SAMPLE: u64 = 1 << 20;

/// The label of the encoding that the file is likely to have; absent where it can't be read.
pub(super) fn guess_encoding(path: &Path) -> Option<&'static str> {
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

/// The beginning of the file, unpacked.
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

    fn guess(bytes: &[u8]) -> Option<&'static str> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        guess_encoding(&path)
    }

    #[test]
    fn usual_encodings_are_guessed_from_their_bytes() {
        let western = "240|Amélie, le fabuleux destin (2001)|Comédie\n".repeat(3);
        assert_eq!(guess(&encoding_rs::WINDOWS_1252.encode(&western).0), Some("windows-1252"));
        let russian = "Товар,Название\n1,Хлеб и молоко\n2,Сыр российский\n".repeat(3);
        assert_eq!(guess(&encoding_rs::WINDOWS_1251.encode(&russian).0), Some("windows-1251"));
        let chinese = "商品,标题\n1,红色的鞋子非常好看\n".repeat(3);
        assert_eq!(guess(&encoding_rs::GBK.encode(&chinese).0), Some("GBK"));
        let wide: Vec<u8> = "user,item\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(guess(&wide), Some("utf-16le"));
    }
}

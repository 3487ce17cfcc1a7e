//! The header of a `.npy` file, versions 1 to 3.
//!
//! The header is a Python dictionary literal. Only the output of `numpy.save` is accepted. Source: the module
//! documentation of `numpy.lib.format`.

use serde_json::Value;

use super::element::Element;
use crate::data::literal;

/// Longest header in bytes; the default limit of `numpy.load` is 10,000.
const MAX_HEADER: usize = 1 << 16;

/// The header of a `.npy` file.
#[derive(Debug, PartialEq)]
pub(super) struct Npy {
    pub element: Element,
    pub fortran_order: bool,
    pub shape: Vec<usize>,
    /// Offset of the values in the file.
    pub data_start: usize,
}

/// Parses the header from the first bytes of a file; [`bytes_needed`] of them suffice.
///
/// # Errors
/// What is wrong, in one sentence.
pub(super) fn parse(head: &[u8]) -> Result<Npy, String> {
    let (prefix, length) = prefix(head)?;
    let text = head.get(prefix..prefix + length).ok_or("the file ends inside its header")?;
    let text = std::str::from_utf8(text).map_err(|_| "the header is not text".to_owned())?;
    let Value::Object(header) = literal::parse(text).map_err(|e| format!("its header: {e}"))? else {
        return Err("the header is no dictionary".into());
    };
    let (mut descr, mut order, mut shape) = (None, None, None);
    for (key, value) in header {
        match (key.as_str(), value) {
            ("descr", Value::String(t)) => descr = Some(t),
            ("descr", Value::Array(_)) => return Err("records of several fields are not read".into()),
            ("fortran_order", Value::Bool(f)) => order = Some(f),
            ("shape", Value::Array(sizes)) => shape = Some(sizes.iter().map(size).collect::<Result<_, _>>()?),
            ("shape", _) => return Err("the header's shape is not a tuple of sizes".into()),
            (key, _) => return Err(format!("unexpected header entry {key:?}")),
        }
    }
    match (descr, order, shape) {
        (Some(descr), Some(fortran_order), Some(shape)) => {
            Ok(Npy { element: element(&descr)?, fortran_order, shape, data_start: prefix + length })
        }
        _ => Err("the header lacks descr, fortran_order or shape".into()),
    }
}

fn size(value: &Value) -> Result<usize, String> {
    let size = value.as_u64().and_then(|n| usize::try_from(n).ok());
    size.ok_or_else(|| "the header's shape is not a tuple of sizes".to_owned())
}

/// Most bytes that [`parse`] reads.
pub(super) fn bytes_needed() -> usize {
    12 + MAX_HEADER
}

/// Offset of the dictionary, and its length.
fn prefix(head: &[u8]) -> Result<(usize, usize), String> {
    if !head.starts_with(b"\x93NUMPY") || head.len() < 12 {
        return Err("not a .npy file".into());
    }
    let (prefix, length) = match head[6] {
        1 => (10, u32::from(u16::from_le_bytes([head[8], head[9]]))),
        2 | 3 => (12, u32::from_le_bytes([head[8], head[9], head[10], head[11]])),
        version => return Err(format!("unknown .npy version {version}")),
    };
    let length = length as usize;
    if length > MAX_HEADER {
        return Err(format!("its header claims {length} bytes"));
    }
    Ok((prefix, length))
}

/// Parses a type such as `<f4`.
fn element(descr: &str) -> Result<Element, String> {
    let unknown = || match descr {
        // The type of a pandas column of texts in NumPy.
        "|O" => "Python objects are not read; save texts with `numpy.save(path, ids.astype(str))`".to_owned(),
        _ => format!("values of type {descr:?} are not read"),
    };
    let mut chars = descr.chars();
    let (order, kind) = (chars.next().ok_or_else(unknown)?, chars.next().ok_or_else(unknown)?);
    let size: usize = chars.as_str().parse().map_err(|_| unknown())?;
    let element = match (kind, size) {
        ('f', 2) => Element::F16,
        ('f', 4) => Element::F32,
        ('f', 8) => Element::F64,
        ('i', 1 | 2 | 4 | 8) => Element::Int { bytes: size, signed: true },
        ('u', 1 | 2 | 4 | 8) => Element::Int { bytes: size, signed: false },
        ('U', n) if n > 0 => Element::Unicode(n),
        ('S', n) if n > 0 => Element::Bytes(n),
        ('O', _) => return Err("it holds pickled Python objects".into()),
        _ => return Err(unknown()),
    };
    let one_byte = matches!(element, Element::Bytes(_) | Element::Int { bytes: 1, .. });
    if order == '<' || (order == '|' && one_byte) { Ok(element) } else { Err(unknown()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(version: u8, dict: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        let text = format!("{dict}\n");
        if version == 1 {
            bytes.extend((text.len() as u16).to_le_bytes());
        } else {
            bytes.extend((text.len() as u32).to_le_bytes());
        }
        bytes.extend(text.bytes());
        bytes
    }

    #[test]
    fn headers_of_every_version_parse() {
        for version in [1, 2, 3] {
            let bytes =
                head(version, "{'descr': '<f2', 'fortran_order': False, 'shape': (9742L, 3, 384), }   ");
            let npy = parse(&bytes).unwrap();
            assert_eq!(
                (npy.element, npy.shape, npy.data_start),
                (Element::F16, vec![9742, 3, 384], bytes.len())
            );
        }
        let scalar_shape =
            parse(&head(1, "{\"shape\": (7,), 'fortran_order': True, 'descr': '|S12'}")).unwrap();
        assert_eq!((scalar_shape.shape, scalar_shape.fortran_order), (vec![7], true));
    }

    #[test]
    fn types_that_are_not_read_are_named() {
        for descr in ["'>f4'", "'|O'", "'<c8'", "'<f16'", "[('a', '<f4')]", "'<U0'", "''"] {
            let dict = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}");
            assert!(parse(&head(1, &dict)).is_err(), "{descr}");
        }
    }

    proptest! {
        #[test]
        fn any_dictionary_text_parses_or_errs(dict in r"[ {}()'a-zA-Z0-9<>|:,\[\]L]{0,80}", version in 0u8..5) {
            let _ = parse(&head(version, &dict));
        }

        #[test]
        fn a_damaged_header_never_panics(at in 0usize..80, byte: u8, cut in 0usize..90) {
            let mut bytes = head(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }");
            let n = bytes.len();
            bytes[at % n] = byte;
            let _ = parse(&bytes);
            let _ = parse(&bytes[..cut.min(n)]);
        }
    }
}

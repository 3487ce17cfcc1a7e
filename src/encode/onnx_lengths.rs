//! Check of the lengths in an ONNX file before it is read.
//!
//! The runtime's reader allocates what a field claims without comparing it with the enclosing message, so that one
//! wrong byte can exhaust memory. This check walks the messages of the ONNX schema (onnx.proto, IR version 10) without
//! storing anything.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Deepest nesting of messages.
const MOST_DEPTH: usize = 64;

/// The messages that contain messages, and `Flat` for those of numbers and bytes only.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Function,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    Element,
    Annotation,
    Shape,
    Flat,
}

impl Message {
    /// The kind of message in a length-delimited field, if it is one.
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Graph, 11..=13) | (Self::Function, 12) => Self::ValueInfo,
            (Self::Graph, 14) => Self::Annotation,
            (Self::Attribute, 14 | 15) | (Self::ValueInfo, 2) | (Self::Element, 1 | 2) => Self::Type,
            (Self::Type, 1 | 8) => Self::TensorType,
            (Self::Type, 4 | 5 | 9) => Self::Element,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Model, 8 | 14)
            | (Self::Function, 9 | 14)
            | (Self::Graph, 16)
            | (Self::Node, 9)
            | (Self::Tensor, 3 | 13 | 16)
            | (Self::ValueInfo, 4)
            | (Self::Annotation, 2)
            | (Self::Shape, 1) => Self::Flat,
            _ => return None,
        })
    }
}

/// Checks that every field of the file at `path` lies within its message; the inner error names the place of one that
/// does not.
///
/// # Errors
/// The file can't be read.
pub(super) fn check(path: &Path) -> std::io::Result<Result<(), String>> {
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    let mut walk = Walk { file: BufReader::new(file), position: 0 };
    if walk.message(Message::Model, end, 0)? {
        return Ok(Ok(()));
    }
    Ok(Err(format!("not an ONNX file: the field before byte {} does not fit", walk.position)))
}

struct Walk {
    file: BufReader<File>,
    position: u64,
}

impl Walk {
    /// Walks a message that ends at `end`. Returns false if something in it exceeds it.
    fn message(&mut self, message: Message, end: u64, depth: usize) -> std::io::Result<bool> {
        if depth > MOST_DEPTH {
            return Ok(false);
        }
        while self.position < end {
            let Some(tag) = self.varint()? else { return Ok(false) };
            let length = match tag & 7 {
                0 => self.varint()?.map(|_| 0),
                1 => Some(8),
                2 => self.varint()?,
                5 => Some(4),
                _ => None,
            };
            let Some(length) = length.filter(|&n| self.position <= end && n <= end - self.position) else {
                return Ok(false);
            };
            if let Some(inner) = message.field(tag >> 3).filter(|_| tag & 7 == 2) {
                if !self.message(inner, self.position + length, depth + 1)? {
                    return Ok(false);
                }
                continue;
            }
            self.file.seek_relative(length as i64)?;
            self.position += length;
        }
        Ok(self.position == end)
    }

    /// Reads a protobuf integer; `None` if it does not end.
    fn varint(&mut self) -> std::io::Result<Option<u64>> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            if self.file.read(&mut byte)? == 0 {
                return Ok(None);
            }
            self.position += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

//! The type of an array's elements.

/// The type of one element, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    Int {
        bytes: usize,
        signed: bool,
    },
    /// Fixed number of UTF-32 units, padded with zeros.
    Unicode(usize),
    /// Fixed number of UTF-8 bytes, padded with zeros.
    Bytes(usize),
}

impl Element {
    /// Size in bytes; `None` if it overflows.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::F16 | Self::Bf16 => Some(2),
            Self::F32 => Some(4),
            Self::F64 => Some(8),
            Self::Int { bytes, .. } | Self::Bytes(bytes) => Some(bytes),
            Self::Unicode(units) => units.checked_mul(4),
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }
}

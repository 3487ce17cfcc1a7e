//! The header of a safetensors file, read without the tensors.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::FeatureError;
use super::error::{io_error, malformed};

/// Longest JSON header in bytes, the limit of the safetensors crate.
const MAX_HEADER: u64 = 100_000_000;

/// A validated header: every tensor lies inside the file and has the size of its type and shape.
pub(crate) struct Header {
    pub tensors: Metadata,
    /// Offset in the file from which tensor offsets count.
    pub data_start: u64,
}

/// The place of a tensor in the file.
pub(crate) struct Place {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Offset from the start of the file, in bytes.
    pub start: u64,
    pub bytes: u64,
}

impl Header {
    /// Reads and validates the header of `file`.
    ///
    /// The crate's reader requires the whole file in memory and adds to offsets without a check. Its header parser,
    /// used here, checks order, sizes and overflow.
    ///
    /// # Errors
    /// The file can't be read, or contradicts its header.
    pub fn read(path: &Path, file: &mut File) -> Result<Self, FeatureError> {
        let file_len = file.metadata().map_err(io_error(path))?.len();
        let mut length = [0u8; 8];
        file.seek(SeekFrom::Start(0)).map_err(io_error(path))?;
        if file_len < 8 {
            return Err(malformed(path, "too short for a safetensors file"));
        }
        file.read_exact(&mut length).map_err(io_error(path))?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length > file_len - 8 {
            return Err(malformed(path, format!("not safetensors: its header claims {length} bytes")));
        }
        let mut json = vec![0u8; length as usize];
        file.read_exact(&mut json).map_err(io_error(path))?;
        let tensors: Metadata =
            serde_json::from_slice(&json).map_err(|e| malformed(path, format!("safetensors header: {e}")))?;
        let data_start = 8 + length;
        let end = data_start.checked_add(tensors.data_len() as u64);
        if end != Some(file_len) {
            let reason = format!(
                "its header describes {} bytes of tensors, but {} follow",
                tensors.data_len(),
                file_len - data_start
            );
            return Err(malformed(path, reason));
        }
        Ok(Self { tensors, data_start })
    }

    /// The tensor `name`, if there is one.
    pub fn place(&self, name: &str) -> Option<Place> {
        let info = self.tensors.info(name)?;
        let (start, end) = info.data_offsets;
        Some(Place {
            dtype: info.dtype,
            shape: info.shape.clone(),
            start: self.data_start + start as u64,
            bytes: (end - start) as u64,
        })
    }

    /// Names of all tensors, in the order of their data.
    pub fn names(&self) -> Vec<String> {
        self.tensors.offset_keys()
    }
}

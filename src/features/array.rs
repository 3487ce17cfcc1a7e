//! An array in a `.npy` or safetensors file, read row by row without mapping or loading it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;

use super::FeatureError;
use super::element::Element;
use super::error::{io_error, malformed};
use super::header::Header;
use super::npy;

/// Reference to an array: a file, and a tensor if the file can hold several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayRef {
    pub path: PathBuf,
    /// Tensor of a safetensors file; may be absent if it holds a single one.
    pub tensor: Option<String>,
}

/// An open array `[rows, …]`.
pub(super) struct Array {
    pub path: PathBuf,
    pub element: Element,
    pub shape: Vec<usize>,
    file: File,
    start: u64,
    row_bytes: usize,
    /// Position of the file's cursor; rows read in order need no seek.
    cursor: u64,
}

impl Array {
    /// Opens the array and checks that the file's size agrees with its header.
    ///
    /// # Errors
    /// No such file or tensor, a header that contradicts the file, Fortran order, or an unsupported type.
    pub fn open(array: &ArrayRef) -> Result<Self, FeatureError> {
        let path = &array.path;
        let mut file = File::open(path).map_err(io_error(path))?;
        let mut magic = Vec::new();
        file.by_ref().take(6).read_to_end(&mut magic).map_err(io_error(path))?;
        let is_npy = magic == b"\x93NUMPY";
        if let (true, Some(tensor)) = (is_npy, &array.tensor) {
            return Err(FeatureError::NoEffect {
                option: format!("a tensor's name ({tensor})"),
                reason: format!("{} is a .npy file, which holds one array", path.display()),
                hint: "leave it out, or give a safetensors file".into(),
            });
        }
        let (element, shape, start, bytes) = if is_npy {
            open_npy(path, &mut file)?
        } else {
            open_safetensors(path, &mut file, array.tensor.as_deref())?
        };
        let row = shape.iter().skip(1).try_fold(element.size(), |n, &d| Some(n?.checked_mul(d)));
        let (Some(&rows), Some(row_bytes)) = (shape.first(), row.flatten()) else {
            return Err(malformed(path, format!("shape {shape:?} is not an array")));
        };
        if rows.checked_mul(row_bytes).map(|n| n as u64) != Some(bytes) {
            let reason = format!("{bytes} bytes of values do not make shape {shape:?} of {element:?}");
            return Err(malformed(path, reason));
        }
        Ok(Self { path: path.clone(), element, shape, file, start, row_bytes, cursor: u64::MAX })
    }

    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Reads the bytes of row `row`, less than [`Array::rows`].
    fn read(&mut self, row: usize, bytes: &mut Vec<u8>) -> Result<(), FeatureError> {
        let start = self.start + row as u64 * self.row_bytes as u64;
        if self.cursor != start {
            self.file.seek(SeekFrom::Start(start)).map_err(io_error(&self.path))?;
        }
        bytes.resize(self.row_bytes, 0);
        self.file.read_exact(bytes).map_err(io_error(&self.path))?;
        self.cursor = start + self.row_bytes as u64;
        Ok(())
    }

    /// Reads row `row` as float32.
    ///
    /// # Errors
    /// The file can't be read, or holds no floats.
    pub fn read_floats(&mut self, row: usize, out: &mut Vec<f32>) -> Result<(), FeatureError> {
        let mut bytes = Vec::new();
        self.read(row, &mut bytes)?;
        out.clear();
        match self.element {
            Element::F16 => {
                out.extend(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()));
            }
            Element::Bf16 => {
                out.extend(bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()));
            }
            Element::F32 => {
                out.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            }
            Element::F64 => {
                let wide = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
                out.extend(bytes.chunks_exact(8).map(|b| wide(b) as f32));
            }
            other => return Err(unsupported(&self.path, other, "features are floats of 2, 4 or 8 bytes")),
        }
        Ok(())
    }

    /// Reads all entries of a one-dimensional integer array.
    ///
    /// # Errors
    /// Another shape or type, or the file can't be read.
    pub fn read_integers(mut self) -> Result<Vec<i128>, FeatureError> {
        let Element::Int { bytes, signed } = self.element else {
            return Err(unsupported(&self.path, self.element, "save them as integers"));
        };
        self.read_column(|b| {
            let negative = signed && b[bytes - 1] & 0x80 != 0;
            let mut wide = if negative { [0xff; 16] } else { [0; 16] };
            wide[..bytes].copy_from_slice(b);
            Some(i128::from_le_bytes(wide))
        })
    }

    /// Reads all entries of a one-dimensional array of integers or fixed strings as text.
    ///
    /// # Errors
    /// Another shape or type, bytes that are no text, or the file can't be read.
    pub fn read_texts(mut self) -> Result<Vec<String>, FeatureError> {
        match self.element {
            Element::Int { .. } => Ok(self.read_integers()?.iter().map(i128::to_string).collect()),
            Element::Bytes(_) => self.read_column(|b| {
                let end = b.iter().rposition(|&c| c != 0).map_or(0, |n| n + 1);
                String::from_utf8(b[..end].to_vec()).ok()
            }),
            Element::Unicode(_) => self.read_column(|b| {
                let units = b.chunks_exact(4).map(|u| u32::from_le_bytes([u[0], u[1], u[2], u[3]]));
                let text: String = units.map(char::from_u32).collect::<Option<_>>()?;
                Some(text.trim_end_matches('\0').to_owned())
            }),
            other => Err(unsupported(&self.path, other, "save ids as integers or strings")),
        }
    }

    fn read_column<T>(&mut self, parse: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<T>, FeatureError> {
        if self.shape.len() != 1 {
            let (path, shape) = (self.path.clone(), self.shape.clone());
            return Err(FeatureError::Shape { path, shape, wanted: "one dimension" });
        }
        let (rows, size) = (self.rows(), self.row_bytes);
        self.row_bytes = rows * size;
        let mut bytes = Vec::new();
        self.read(0, &mut bytes)?;
        let mut out = Vec::with_capacity(rows);
        for (row, entry) in bytes.chunks_exact(size).enumerate() {
            let bad = || FeatureError::BadId { path: self.path.clone(), row, reason: "not text".into() };
            out.push(parse(entry).ok_or_else(bad)?);
        }
        Ok(out)
    }
}

type Found = (Element, Vec<usize>, u64, u64);

fn open_npy(path: &Path, file: &mut File) -> Result<Found, FeatureError> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(io_error(path))?;
    file.by_ref().take(npy::bytes_needed() as u64).read_to_end(&mut head).map_err(io_error(path))?;
    let npy = npy::parse(&head).map_err(|reason| malformed(path, reason))?;
    if npy.fortran_order && npy.shape.len() > 1 {
        return Err(FeatureError::Unsupported {
            path: path.to_owned(),
            what: "the array is in Fortran order".into(),
            hint: "save numpy.ascontiguousarray(x)".into(),
        });
    }
    let file_len = file.metadata().map_err(io_error(path))?.len();
    let bytes = file_len.saturating_sub(npy.data_start as u64);
    Ok((npy.element, npy.shape, npy.data_start as u64, bytes))
}

fn open_safetensors(path: &Path, file: &mut File, tensor: Option<&str>) -> Result<Found, FeatureError> {
    let header = Header::read(path, file)?;
    let mut names = header.names();
    let name = match tensor {
        Some(name) => name.to_owned(),
        None if names.len() == 1 => names.remove(0),
        None => return Err(FeatureError::WhichTensor { path: path.to_owned(), names }),
    };
    let Some(place) = header.place(&name) else {
        return Err(FeatureError::NoSuchTensor { path: path.to_owned(), wanted: name, names });
    };
    let element = match place.dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::U8 => Element::Int { bytes: 1, signed: false },
        Dtype::I8 => Element::Int { bytes: 1, signed: true },
        Dtype::U16 => Element::Int { bytes: 2, signed: false },
        Dtype::I16 => Element::Int { bytes: 2, signed: true },
        Dtype::U32 => Element::Int { bytes: 4, signed: false },
        Dtype::I32 => Element::Int { bytes: 4, signed: true },
        Dtype::U64 => Element::Int { bytes: 8, signed: false },
        Dtype::I64 => Element::Int { bytes: 8, signed: true },
        other => return Err(malformed(path, format!("values of type {other:?} are not read"))),
    };
    Ok((element, place.shape, place.start, place.bytes))
}

fn unsupported(path: &Path, element: Element, hint: &str) -> FeatureError {
    FeatureError::Unsupported {
        path: path.to_owned(),
        what: format!("holds values of type {element:?}"),
        hint: hint.into(),
    }
}

//! Weights of an encoder: a safetensors file, read strictly.
//!
//! Every tensor that the architecture names must be there with its shape, and every tensor that is there
//! must be named: a file of another model, or of a fine-tuned variant with layers we would ignore, is an
//! error that lists what differs.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::Dtype;

use super::EncodeError;
use super::error::at;
use crate::features::header::Header;

/// Problems named in one error; the rest is counted.
const MOST_PROBLEMS: usize = 8;

/// An open file of weights; tensors are read one by one, so that no second copy of all of them is held.
pub(super) struct Weights {
    path: PathBuf,
    file: File,
    header: Header,
    device: Device,
    /// Prefix that this file puts before all names, such as `bert.`.
    prefix: String,
    used: BTreeSet<String>,
    /// Beginnings of names that may be left over: heads, the other tower, buffers.
    ignored: Vec<String>,
    problems: Vec<String>,
}

impl Weights {
    /// Opens the file and checks its header against its size.
    pub fn open(path: &Path, device: &Device) -> Result<Self, EncodeError> {
        let mut file = File::open(path).map_err(at(path))?;
        let header = Header::read(path, &mut file)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            device: device.clone(),
            prefix: String::new(),
            used: BTreeSet::new(),
            ignored: Vec::new(),
            problems: Vec::new(),
        })
    }

    /// Models with a head save their encoder under a prefix; takes the one under which `name` is found.
    pub fn choose_prefix(&mut self, prefixes: &[&str], name: &str) {
        let found = prefixes.iter().find(|p| self.header.place(&format!("{p}{name}")).is_some());
        self.prefix = (*found.unwrap_or(&"")).to_owned();
    }

    /// Whether the file holds `name`.
    pub fn has(&self, name: &str) -> bool {
        self.header.place(&format!("{}{name}", self.prefix)).is_some()
    }

    /// The tensor `name`, which must have `shape`. Absence and other shapes are collected, a single zero
    /// stands in, and [`Weights::finish`] tells all of them at once.
    pub fn take<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, EncodeError> {
        let data = match self.values(name, &shape)? {
            Some(values) => TensorData::new(values, shape),
            None => TensorData::new(vec![0.0f32], [1; D]),
        };
        Ok(Tensor::from_data(data, &self.device))
    }

    /// A PyTorch linear map `[out, in]`, transposed to `[in, out]`.
    pub fn take_transposed(
        &mut self,
        name: &str,
        input: usize,
        output: usize,
    ) -> Result<Tensor<2>, EncodeError> {
        let Some(values) = self.values(name, &[output, input])? else {
            return Ok(Tensor::from_data(TensorData::new(vec![0.0f32], [1, 1]), &self.device));
        };
        let mut turned = vec![0.0; values.len()];
        for (o, row) in values.chunks_exact(input.max(1)).enumerate() {
            for (i, &value) in row.iter().enumerate() {
                turned[i * output + o] = value;
            }
        }
        Ok(Tensor::from_data(TensorData::new(turned, [input, output]), &self.device))
    }

    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, EncodeError> {
        let mut full = format!("{}{name}", self.prefix);
        if self.header.place(&full).is_none() {
            // Checkpoints converted from TensorFlow keep its names of the norm's scale and shift.
            let old = full.replace("LayerNorm.weight", "LayerNorm.gamma");
            full = old.replace("LayerNorm.bias", "LayerNorm.beta");
        }
        let Some(place) = self.header.place(&full) else {
            self.problems.push(format!("no tensor {full:?}"));
            return Ok(None);
        };
        self.used.insert(full.clone());
        if place.shape != shape {
            self.problems.push(format!("{full:?} is {:?} instead of {shape:?}", place.shape));
            return Ok(None);
        }
        let size = match place.dtype {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            other => {
                self.problems.push(format!("{full:?} is {other:?}, not F32, F16 or BF16"));
                return Ok(None);
            }
        };
        // The header's parser has checked that type, shape and offsets agree with the file's size, so this
        // is never more memory than the file is long.
        let mut bytes = vec![0u8; shape.iter().product::<usize>() * size];
        self.file.seek(SeekFrom::Start(place.start)).map_err(at(&self.path))?;
        self.file.read_exact(&mut bytes).map_err(at(&self.path))?;
        let values: Vec<f32> = match place.dtype {
            Dtype::F32 => {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            Dtype::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            _ => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        };
        if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
            self.problems.push(format!("{full:?} holds {bad}"));
        }
        Ok(Some(values))
    }

    /// Names that begin so may be left over.
    pub fn ignore(&mut self, prefix: &str) {
        self.ignored.push(prefix.to_owned());
    }

    /// Closes the file.
    ///
    /// # Errors
    /// [`EncodeError::Weights`] with everything that was missing, extra or of another shape.
    pub fn finish(mut self) -> Result<(), EncodeError> {
        let known = |name: &String| {
            self.used.contains(name) || self.ignored.iter().any(|prefix| name.starts_with(prefix.as_str()))
        };
        let extra: Vec<String> = self.header.names().into_iter().filter(|name| !known(name)).collect();
        self.problems.extend(extra.iter().map(|name| format!("unexpected tensor {name:?}")));
        if self.problems.is_empty() {
            return Ok(());
        }
        let more = self.problems.len().saturating_sub(MOST_PROBLEMS);
        self.problems.truncate(MOST_PROBLEMS);
        if more > 0 {
            self.problems.push(format!("and {more} more"));
        }
        Err(EncodeError::Weights { path: self.path, problems: self.problems })
    }
}

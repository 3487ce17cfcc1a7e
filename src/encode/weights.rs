//! Strict reader of an encoder's weights in one or several safetensors files.
//!
//! Every tensor of the architecture must exist with its shape, and every tensor in the files must be named by it. A
//! file of another model, or of a variant with additional layers, is an error that lists the differences.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::EncodeError;
use super::error::{io_error, malformed};
use super::files::optional;
use crate::artefact::hash_file;
use crate::features::header::{Header, Place};
use crate::hex::hex;

/// Most problems listed in an error; the others are counted.
const MOST_PROBLEMS: usize = 8;

/// The file of all weights.
pub(super) const FILE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// Most files of one model.
const MOST_SHARDS: usize = 1000;

/// The files of the weights of the model in `folder`.
///
/// # Errors
/// There are none, or the index is damaged.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, EncodeError> {
    let path = folder.join(FILE);
    if path.exists() {
        return Ok(vec![path]);
    }
    let path = folder.join(INDEX);
    let Some(root) = optional(&path)? else {
        return Err(EncodeError::Unsupported {
            path: folder.to_owned(),
            what: format!("there is no {FILE}"),
            hint: "save the model again with `save_pretrained`, which writes safetensors".into(),
        });
    };
    let names = shards(&root).ok_or_else(|| malformed(&path, "its weight_map does not list files"))?;
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// The files that an index lists, each once and in order; `None` if it is damaged.
fn shards(index: &Value) -> Option<Vec<String>> {
    let map = index.get("weight_map")?.as_object()?;
    let names: Option<BTreeSet<&str>> = map.values().map(Value::as_str).collect();
    let names = names.filter(|names| (1..=MOST_SHARDS).contains(&names.len()))?;
    // A plain name stays in the folder.
    let plain = |name: &&str| name.ends_with(".safetensors") && !name.contains(['/', '\\']);
    names.iter().all(plain).then(|| names.into_iter().map(str::to_owned).collect())
}

/// SHA-256 of the weights, or of the files' hashes if there are several.
///
/// # Errors
/// A file can't be read.
pub(super) fn hash(files: &[PathBuf]) -> Result<String, EncodeError> {
    let hashes: Vec<String> =
        files.iter().map(|path| Ok(hash_file(path)?.0)).collect::<Result<_, EncodeError>>()?;
    match &hashes[..] {
        [one] => Ok(one.clone()),
        _ => Ok(hex(Sha256::digest(hashes.concat()))),
    }
}

struct Shard {
    path: PathBuf,
    file: File,
    header: Header,
}

/// Open files of weights. Tensors are read one by one, without a second copy of all.
pub(super) struct Weights {
    shards: Vec<Shard>,
    device: Device,
    /// Prefix of all names in this file, such as `bert.`.
    prefix: String,
    used: BTreeSet<String>,
    /// Prefixes of names that may remain unused: heads, the other tower, buffers.
    ignored: Vec<String>,
    problems: Vec<String>,
}

impl Weights {
    /// Opens the files and checks their headers against their sizes.
    pub fn open(files: &[PathBuf], device: &Device) -> Result<Self, EncodeError> {
        let shard = |path: &PathBuf| -> Result<Shard, EncodeError> {
            let mut file = File::open(path).map_err(io_error(path))?;
            let header = Header::read(path, &mut file)?;
            Ok(Shard { path: path.clone(), file, header })
        };
        Ok(Self {
            shards: files.iter().map(shard).collect::<Result<_, _>>()?,
            device: device.clone(),
            prefix: String::new(),
            used: BTreeSet::new(),
            ignored: Vec::new(),
            problems: Vec::new(),
        })
    }

    /// The prefix under which `name` exists, or else the first. A tower has one inside another model and none by
    /// itself.
    pub fn prefix_of<'p>(&self, prefixes: &[&'p str], name: &str) -> &'p str {
        let found = prefixes.iter().find(|p| self.has(&format!("{p}{name}")));
        found.or(prefixes.first()).copied().unwrap_or("")
    }

    /// Sets the prefix of all names to the one under which `name` exists. Models with a head save their encoder under a
    /// prefix.
    pub fn choose_prefix(&mut self, prefixes: &[&str], name: &str) {
        self.prefix = self.prefix_of(prefixes, name).to_owned();
    }

    /// Whether the files hold `name`.
    pub fn has(&self, name: &str) -> bool {
        self.find(&format!("{}{name}", self.prefix)).is_some()
    }

    /// The file that holds `name`, and its place there.
    fn find(&self, name: &str) -> Option<(usize, Place)> {
        self.shards.iter().enumerate().find_map(|(n, shard)| Some((n, shard.header.place(name)?)))
    }

    /// Reads the tensor `name`, which must have `shape`. Missing tensors and other shapes are collected for
    /// [`Weights::finish`], and replaced by a single zero.
    pub fn take<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, EncodeError> {
        let data = match self.values(name, &shape)? {
            Some(values) => TensorData::new(values, shape),
            None => TensorData::new(vec![0.0f32], [1; D]),
        };
        Ok(Tensor::from_data(data, &self.device))
    }

    /// Reads a PyTorch linear map `[out, in]`, transposed to `[in, out]`.
    pub fn take_transposed(
        &mut self,
        name: &str,
        input: usize,
        output: usize,
    ) -> Result<Tensor<2>, EncodeError> {
        let data = match self.values_transposed(name, input, output)? {
            turned if turned.is_empty() => TensorData::new(vec![0.0f32], [1, 1]),
            turned => TensorData::new(turned, [input, output]),
        };
        Ok(Tensor::from_data(data, &self.device))
    }

    /// As [`Weights::take_transposed`], on the host; empty if it is missing, which [`Weights::finish`] reports.
    pub fn values_transposed(
        &mut self,
        name: &str,
        input: usize,
        output: usize,
    ) -> Result<Vec<f32>, EncodeError> {
        let Some(values) = self.values(name, &[output, input])? else { return Ok(Vec::new()) };
        let mut turned = vec![0.0; values.len()];
        for (o, row) in values.chunks_exact(input.max(1)).enumerate() {
            for (i, &value) in row.iter().enumerate() {
                turned[i * output + o] = value;
            }
        }
        Ok(turned)
    }

    /// The values of the tensor `name` on the host; `None` if it is missing or has another shape or type, which
    /// [`Weights::finish`] reports.
    pub fn values(&mut self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, EncodeError> {
        let mut full = format!("{}{name}", self.prefix);
        if self.find(&full).is_none() {
            // Checkpoints from TensorFlow keep its names of the norm's scale and shift.
            let old = full.replace("LayerNorm.weight", "LayerNorm.gamma");
            full = old.replace("LayerNorm.bias", "LayerNorm.beta");
        }
        let Some((n, place)) = self.find(&full) else {
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
        // The header's parser has checked type, shape and offsets against the file's size, which bounds this memory.
        let mut bytes = vec![0u8; shape.iter().product::<usize>() * size];
        let Shard { path, file, .. } = &mut self.shards[n];
        file.seek(SeekFrom::Start(place.start)).map_err(io_error(path))?;
        file.read_exact(&mut bytes).map_err(io_error(path))?;
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

    /// Allows unused names with this prefix.
    pub fn ignore(&mut self, prefix: &str) {
        self.ignored.push(prefix.to_owned());
    }

    /// Ends reading.
    ///
    /// # Errors
    /// [`EncodeError::Weights`] with all tensors that are missing, unused or of another shape.
    pub fn finish(mut self) -> Result<(), EncodeError> {
        let known = |name: &String| {
            self.used.contains(name) || self.ignored.iter().any(|prefix| name.starts_with(prefix.as_str()))
        };
        let names = self.shards.iter().flat_map(|shard| shard.header.names());
        let extra: Vec<String> = names.filter(|name| !known(name)).collect();
        self.problems.extend(extra.iter().map(|name| format!("unexpected tensor {name:?}")));
        if self.problems.is_empty() {
            return Ok(());
        }
        let more = self.problems.len().saturating_sub(MOST_PROBLEMS);
        self.problems.truncate(MOST_PROBLEMS);
        if more > 0 {
            self.problems.push(format!("and {more} more"));
        }
        // `files` never returns an empty list.
        let path = self.shards.into_iter().next().map(|shard| shard.path).unwrap_or_default();
        Err(EncodeError::Weights { path, problems: self.problems })
    }
}

//! The memory-mapped feature store that training reads.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::FeatureError;
use super::error::{io_error, malformed};
use super::header::{Header, Place};
use super::ids::item_ids_hash;
use super::replace::Replacement;
use super::view::store_names;
use crate::artefact;
use crate::config::Replace;
use crate::data::Dataset;
use crate::rng::mix64;

/// Kind of the artefact in its manifest.
pub const KIND: &str = "codistill/features";
/// Version of the layout that this program writes, and newest that it reads.
pub const SCHEMA_VERSION: u32 = 1;
/// File of the tensors `tokens [I+1, T, f]` and `lengths [I+1]`.
pub(super) const FILE: &str = "tokens.safetensors";

#[cfg(target_endian = "big")]
compile_error!("feature stores are mapped as they lie on disk, which is little-endian");

/// Precision of token features on disk. Reading always returns float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    F16,
    F32,
}

impl Precision {
    /// Bytes per value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    /// The name in reports: `float16` or `float32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "float16",
            Self::F32 => "float32",
        }
    }
}

/// Token features `[I+1, T, f]` of the items of one view, with lengths; row 0 is padding.
#[derive(Clone)]
pub struct FeatureStore {
    dir: PathBuf,
    map: Arc<Mmap>,
    /// Offset of `tokens` in the map in bytes, a multiple of the value's size.
    start: usize,
    precision: Precision,
    /// Lengths `[I + 1]`, at most T; 0 for missing items.
    lengths: Vec<u32>,
    tokens: usize,
    width: usize,
    hash: String,
    about: Value,
    replacement: Option<Arc<Replacement>>,
}

impl FeatureStore {
    /// Opens a store: checks manifest, file size, header and lengths, but reads no features and compares no
    /// hashes (that is [`FeatureStore::verify`]).
    ///
    /// # Errors
    /// The directory is no feature store, or header, manifest and file disagree.
    pub fn open(dir: &Path) -> Result<Self, FeatureError> {
        let manifest = artefact::read_manifest(dir, KIND, SCHEMA_VERSION)?;
        let path = dir.join(FILE);
        let mut file = File::open(&path).map_err(io_error(&path))?;
        let actual = file.metadata().map_err(io_error(&path))?.len();
        match manifest.files.iter().find(|f| f.name == FILE) {
            Some(entry) if entry.bytes == actual => {}
            Some(entry) => {
                return Err(malformed(&path, format!("{actual} bytes instead of {}", entry.bytes)));
            }
            None => return Err(malformed(&path, "not named in the manifest")),
        }
        let header = Header::read(&path, &mut file)?;
        let map = map_file(&file).map_err(io_error(&path))?;
        let (tokens, precision) = token_place(&path, &header)?;
        let (rows, count, width) = (tokens.shape[0], tokens.shape[1], tokens.shape[2]);
        let lengths = read_lengths(&path, &header, &map, rows, count)?;
        Ok(Self {
            dir: dir.to_owned(),
            map: Arc::new(map),
            start: tokens.start as usize,
            precision,
            lengths,
            tokens: count,
            width,
            hash: manifest.content_hash(),
            about: manifest.about,
            replacement: None,
        })
    }

    /// The store with its features replaced. Draws are a function of `replace.seed` and `run_seed`; moments take one
    /// pass over the store.
    #[must_use]
    pub fn replaced(mut self, replace: Replace, run_seed: u64) -> Self {
        let replacement = Replacement::new(self.items(), self.width(), || self.moments(), replace, run_seed);
        self.lengths = replacement.lengths(&self.lengths);
        self.hash = format!("{}+{}.{}", self.hash, replace.kind.word(), replace.seed);
        self.replacement = Some(Arc::new(replacement));
        self
    }

    /// The store without the features of the items of which `hidden` is true (I + 1 entries): they are missing, as items are
    /// that never had any. Reads the same file.
    #[must_use]
    pub fn hiding(&self, hidden: &[bool]) -> Self {
        let mut copy = self.clone();
        let gone = copy.lengths.iter_mut().zip(hidden).enumerate().filter(|(_, (_, hidden))| **hidden);
        let digest = gone.fold(0, |digest, (item, (length, _))| {
            *length = 0;
            mix64(digest ^ item as u64)
        });
        copy.hash = format!("{}+without.{digest:016x}", self.hash);
        copy
    }

    /// Reads the whole store and compares it with the hashes of its manifest.
    ///
    /// # Errors
    /// A file is missing or differs from what was written.
    pub fn verify(&self) -> Result<(), FeatureError> {
        artefact::verify(&self.dir, KIND, SCHEMA_VERSION)?;
        Ok(())
    }

    /// The store's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// I, the number of items without padding.
    pub fn items(&self) -> usize {
        self.lengths.len() - 1
    }

    /// T, the most tokens an item can have.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// f, the width of one token.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Precision of the values on disk.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Content hash of the store, which checkpoints record.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The writer's description of the store: source, data set, counts.
    pub fn about(&self) -> &Value {
        &self.about
    }

    /// Number of valid tokens of `item`; 0: the item has no features in this view.
    ///
    /// # Panics
    /// As slice indexing does, when `item` exceeds [`FeatureStore::items`].
    pub fn length(&self, item: u32) -> usize {
        self.lengths[item as usize] as usize
    }

    /// Items (without padding) that have no features.
    pub fn missing(&self) -> usize {
        self.lengths[1..].iter().filter(|&&n| n == 0).count()
    }

    /// Whether all items with features have the same first token, so that they carry no information.
    pub fn is_flat(&self) -> bool {
        let row = |item: u32| {
            let mut token = vec![0.0; self.width];
            self.gather_into(item, 1, &mut token);
            token
        };
        let mut present = (1..=self.items() as u32).filter(|&item| self.length(item) > 0);
        let Some(first) = present.next().map(row) else { return true };
        present.all(|item| row(item) == first)
    }

    /// Writes the first `count` tokens of `item` as float32 to `out`, token after token. Tokens beyond
    /// [`FeatureStore::length`] are zeros.
    ///
    /// # Panics
    /// As slice indexing does, when `item` or `count` (at most T) lies outside the store or `out` is not
    /// `count * f` long.
    pub fn gather_into(&self, item: u32, count: usize, out: &mut [f32]) {
        self.gather_with_noise(item, count, 0, out);
    }

    /// As [`FeatureStore::gather_into`], for draw `draw` of features that are redrawn.
    ///
    /// # Panics
    /// As [`FeatureStore::gather_into`].
    pub fn gather_with_noise(&self, item: u32, count: usize, draw: u64, out: &mut [f32]) {
        assert!((item as usize) < self.lengths.len(), "item {item} of {}", self.items());
        assert!(count <= self.tokens, "{count} tokens of {}", self.tokens);
        if self.length(item) == 0 {
            // A hidden item's row is still in the file.
            return out.fill(0.0);
        }
        let Some(replacement) = &self.replacement else { return self.gather_stored(item, count, out) };
        if let Some(source) = replacement.source(item) {
            return self.gather_stored(source, count, out);
        }
        let filled = count.min(self.length(item)) * self.width;
        replacement.fill(item, draw, &mut out[..filled]);
        out[filled..].fill(0.0);
    }

    /// Writes the first `count` stored tokens of row `item`.
    fn gather_stored(&self, item: u32, count: usize, out: &mut [f32]) {
        let size = self.precision.bytes();
        let start = self.start + item as usize * self.tokens * self.width * size;
        let bytes = &self.map[start..start + count * self.width * size];
        // `open` has checked that the tensor begins at a multiple of its value size, and the map at a page.
        match self.precision {
            Precision::F16 => bytemuck::cast_slice::<u8, f16>(bytes).convert_to_f32_slice(out),
            Precision::F32 => out.copy_from_slice(bytemuck::cast_slice(bytes)),
        }
    }

    /// Mean and deviation of each column over all tokens of all items.
    pub(super) fn moments(&self) -> Vec<(f32, f32)> {
        let width = self.width();
        let (mut sums, mut squares, mut count) = (vec![0.0f64; width], vec![0.0f64; width], 0usize);
        let mut tokens = vec![0.0; self.tokens() * width];
        for item in 1..=self.items() as u32 {
            let length = self.length(item);
            let own = &mut tokens[..length * width];
            self.gather_into(item, length, own);
            for token in own.chunks_exact(width) {
                for ((sum, square), &x) in sums.iter_mut().zip(&mut squares).zip(token) {
                    *sum += f64::from(x);
                    *square += f64::from(x).powi(2);
                }
            }
            count += length;
        }
        let n = count.max(1) as f64;
        let column = |(sum, square): (&f64, &f64)| {
            let mean = sum / n;
            (mean as f32, (square / n - mean * mean).max(0.0).sqrt() as f32)
        };
        sums.iter().zip(&squares).map(column).collect()
    }

    /// Checks that the store was made for the items of `dataset` in their order.
    ///
    /// # Errors
    /// [`FeatureError::OtherItems`].
    pub fn check_items(&self, dataset: &Dataset) -> Result<(), FeatureError> {
        let recorded = self.about.get("item_ids_sha256").and_then(Value::as_str);
        let same_ids = recorded.is_none_or(|hash| hash == item_ids_hash(&dataset.items.ids));
        if same_ids && self.items() == dataset.items.count() {
            return Ok(());
        }
        Err(FeatureError::OtherItems { dir: self.dir.clone() })
    }

    /// Stores of the data set `dataset`, which lies at `dataset_dir`, that were made for other items than it has now.
    pub fn outdated(dataset_dir: &Path, dataset: &Dataset) -> Vec<PathBuf> {
        let mut stores: Vec<PathBuf> =
            store_names(dataset_dir).iter().map(|name| dataset_dir.join("features").join(name)).collect();
        stores.retain(|dir| Self::open(dir).is_ok_and(|store| store.check_items(dataset).is_err()));
        stores
    }
}

#[allow(unsafe_code)]
fn map_file(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read as plain numbers, for which every bit pattern is valid. Stores are artefacts, renamed
    // into place when complete and never changed, so that this program neither writes to nor truncates a mapped file.
    unsafe { Mmap::map(file) }
}

/// The place of `tokens`, checked for type, shape and alignment.
fn token_place(path: &Path, header: &Header) -> Result<(Place, Precision), FeatureError> {
    let place = header.place("tokens").ok_or_else(|| malformed(path, "no tensor named \"tokens\""))?;
    let precision = match place.dtype {
        Dtype::F16 => Precision::F16,
        Dtype::F32 => Precision::F32,
        other => return Err(malformed(path, format!("tokens are {other:?}, not F16 or F32"))),
    };
    if place.shape.len() != 3 || place.shape.contains(&0) {
        return Err(malformed(path, format!("tokens have shape {:?}, not [I+1, T, f]", place.shape)));
    }
    if place.start % precision.bytes() as u64 != 0 {
        return Err(malformed(path, format!("tokens begin at byte {}, unaligned", place.start)));
    }
    Ok((place, precision))
}

fn read_lengths(
    path: &Path,
    header: &Header,
    map: &[u8],
    rows: usize,
    tokens: usize,
) -> Result<Vec<u32>, FeatureError> {
    let place = header.place("lengths").ok_or_else(|| malformed(path, "no tensor named \"lengths\""))?;
    if !matches!(place.dtype, Dtype::U32 | Dtype::I32) || place.shape != [rows] {
        let reason = format!("lengths are {:?} {:?}, not I32 [{rows}]", place.dtype, place.shape);
        return Err(malformed(path, reason));
    }
    let start = place.start as usize;
    let bytes = &map[start..start + place.bytes as usize];
    let mut lengths = Vec::with_capacity(rows);
    for (item, b) in bytes.chunks_exact(4).enumerate() {
        // A negative I32 exceeds T as a u32, so that one comparison finds both errors.
        let length = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        if length as usize > tokens || (item == 0 && length != 0) {
            return Err(malformed(path, format!("item {item} states {length} tokens")));
        }
        lengths.push(length);
    }
    Ok(lengths)
}

//! A workload's directory, read. Other contenders read it too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::BenchError;
use super::workload::{Kind, Workload};
use crate::artefact::{self, io_error};
use crate::features::header::Header;
use crate::objective::kernels::full_softmax::Branch;
use crate::params::Values;
use crate::tensors;

pub(super) const KIND: &str = "codistill/workload";
pub(super) const SCHEMA_VERSION: u32 = 1;
pub(super) const SHAPES: &str = "workload.json";
pub(super) const TENSORS: &str = "workload.safetensors";
pub(super) const REVIEWS: &str = "reviews.jsonl";

/// Names of the feature stores.
pub(super) const TEXT: &str = "text";
pub(super) const IMAGE: &str = "image";

/// A workload's directory, opened. Token features stay on disk.
pub struct Loaded {
    pub workload: Workload,
    pub dir: PathBuf,
    /// Absent where there are no tensors.
    header: Option<Header>,
}

impl Loaded {
    /// Opens what [`super::write()`] made.
    ///
    /// # Errors
    /// The directory is none, or its files contradict each other.
    pub fn open(dir: &Path) -> Result<Self, BenchError> {
        artefact::read_manifest(dir, KIND, SCHEMA_VERSION)?;
        let path = dir.join(SHAPES);
        let text = fs::read(&path).map_err(io_error(&path))?;
        let workload: Workload = serde_json::from_slice(&text)
            .map_err(|e| BenchError::Malformed { path: path.clone(), reason: e.to_string() })?;
        let path = dir.join(TENSORS);
        let header = if workload.kind == Kind::Prepare {
            None
        } else {
            Some(Header::read(&path, &mut File::open(&path).map_err(io_error(&path))?)?)
        };
        Ok(Self { workload, dir: dir.to_owned(), header })
    }

    /// Names, types and shapes of the tensors.
    pub fn tensors(&self) -> BTreeMap<String, (String, Vec<usize>)> {
        let of = |header: &Header| -> BTreeMap<_, _> {
            let entry = |name: String| {
                let place = header.place(&name)?;
                Some((name, (place.dtype.to_string(), place.shape)))
            };
            header.names().into_iter().filter_map(entry).collect()
        };
        self.header.as_ref().map(of).unwrap_or_default()
    }

    /// Values of the tensor `name`, whose shape is `shape`; `None` stands for any size.
    ///
    /// # Errors
    /// The tensor is missing, or of another type or shape.
    pub fn read<T: bytemuck::Pod>(
        &self,
        name: &str,
        dtype: Dtype,
        shape: &[Option<usize>],
    ) -> Result<Vec<T>, BenchError> {
        let path = self.dir.join(TENSORS);
        let malformed = |reason: String| BenchError::Malformed { path: path.clone(), reason };
        let place = self.header.as_ref().and_then(|header| header.place(name));
        let place = place.ok_or_else(|| malformed(format!("no tensor `{name}`")))?;
        let fits = place.shape.len() == shape.len()
            && place.shape.iter().zip(shape).all(|(found, wanted)| wanted.is_none_or(|w| w == *found));
        if place.dtype != dtype || !fits {
            return Err(malformed(format!("`{name}` is {} {:?}", place.dtype, place.shape)));
        }
        let mut values = vec![T::zeroed(); place.bytes as usize / size_of::<T>()];
        let mut file = File::open(&path).map_err(io_error(&path))?;
        file.seek(SeekFrom::Start(place.start)).map_err(io_error(&path))?;
        file.read_exact(bytemuck::cast_slice_mut(&mut values)).map_err(io_error(&path))?;
        Ok(values)
    }

    /// Windows of the training kinds, oldest item first, without padding.
    ///
    /// # Errors
    /// As [`Loaded::read`], or a window has an item outside the catalogue or fewer than 2.
    pub fn windows(&self) -> Result<Vec<Vec<u32>>, BenchError> {
        let Workload { positions, items, .. } = self.workload;
        let shape = [Some(self.workload.windows()), Some(positions + 1)];
        let slots: Vec<i32> = self.read("sequences", Dtype::I32, &shape)?;
        let rows = slots.chunks_exact(positions + 1).enumerate().map(|(row, slots)| {
            let window = &slots[slots.iter().take_while(|&&slot| slot == 0).count()..];
            if window.len() < 2 || !window.iter().all(|&item| is_item(item, items)) {
                let reason = format!("row {row} of `sequences` is no window of items 1 to {items}");
                return Err(BenchError::Malformed { path: self.dir.join(TENSORS), reason });
            }
            Ok(window.iter().map(|&item| item as u32).collect())
        });
        rows.collect()
    }

    /// Parameters of the model of a checkpoint.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn parameters(&self) -> Result<BTreeMap<String, Values>, BenchError> {
        Ok(tensors::read(&self.dir.join(TENSORS))?)
    }

    /// The file of reviews of a preparation.
    pub fn reviews(&self) -> PathBuf {
        self.dir.join(REVIEWS)
    }

    /// Users, `[U, D]`, and items, `[I + 1, D]`, of every branch.
    ///
    /// # Errors
    /// As [`Loaded::read`].
    pub fn vectors(&self) -> Result<Vec<Branch<Vec<f32>>>, BenchError> {
        let Workload { users, items, width, .. } = self.workload;
        let read = |name: &str, b: usize, rows: usize| {
            self.read(&format!("{name}.{b}"), Dtype::F32, &[Some(rows), Some(width)])
        };
        let branch = |b| Ok(Branch { users: read("users", b, users)?, items: read("items", b, items + 1)? });
        (0..self.workload.branches().len()).map(branch).collect()
    }

    /// Right answers of a loss.
    ///
    /// # Errors
    /// As [`Loaded::read`], or one is outside the catalogue.
    pub fn labels(&self) -> Result<Vec<u32>, BenchError> {
        let Workload { users, items, .. } = self.workload;
        let labels: Vec<i32> = self.read("labels", Dtype::I32, &[Some(users)])?;
        if !labels.iter().all(|&item| is_item(item, items)) {
            let reason = format!("labels are not items 1 to {items}");
            return Err(BenchError::Malformed { path: self.dir.join(TENSORS), reason });
        }
        Ok(labels.into_iter().map(|item| item as u32).collect())
    }

    /// Histories and targets of a ranking.
    ///
    /// # Errors
    /// As [`Loaded::read`], or offsets or items lie outside their range.
    pub fn histories(&self) -> Result<(Vec<Vec<u32>>, Vec<u32>), BenchError> {
        let Workload { users, items, .. } = self.workload;
        let offsets: Vec<i64> = self.read("history_offsets", Dtype::I64, &[Some(users + 1)])?;
        let all: Vec<i32> = self.read("history_items", Dtype::I32, &[None])?;
        let targets: Vec<i32> = self.read("targets", Dtype::I32, &[Some(users)])?;
        let ascending =
            offsets.first() == Some(&0) && offsets.last() == Some(&(all.len() as i64)) && offsets.is_sorted();
        if !ascending || !all.iter().chain(&targets).all(|&item| is_item(item, items)) {
            let reason = format!("histories or targets are not items 1 to {items}");
            return Err(BenchError::Malformed { path: self.dir.join(TENSORS), reason });
        }
        let unsigned = |items: &[i32]| -> Vec<u32> { items.iter().map(|&item| item as u32).collect() };
        let histories = offsets.windows(2).map(|w| unsigned(&all[w[0] as usize..w[1] as usize]));
        Ok((histories.collect(), unsigned(&targets)))
    }
}

fn is_item(item: i32, items: usize) -> bool {
    item >= 1 && item as usize <= items
}

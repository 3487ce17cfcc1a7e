//! A memory on disk, beside the run that it belongs to.
//!
//! It is a function of data and settings, which its manifest names: where they are others than those that are asked for, or a
//! file is not what was written, it is counted again.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::{Lists, Memory, Source};
use crate::artefact::{self, Staging};
use crate::config::MemoryConfig;
use crate::tensors::{self, TensorsError};

pub const KIND: &str = "codistill/memory";
pub const SCHEMA: u32 = 2;
/// Its folder in a run.
pub const FOLDER: &str = "memory";
const FILE: &str = "memory.safetensors";

/// What a memory is a function of.
#[derive(Clone, Debug, PartialEq)]
pub struct Key(Value);

impl Key {
    /// `dataset` is the data set's hash, `features` are those of the views by name.
    pub fn new(config: &MemoryConfig, dataset: &str, features: &BTreeMap<String, String>) -> Self {
        Self(json!({"settings": config, "dataset": dataset, "features": features}))
    }
}

/// Writes the directory `dest`, in place of an older one.
///
/// # Errors
/// It can't be written.
pub fn write(dest: &Path, memory: &Memory, key: &Key) -> Result<(), TensorsError> {
    if dest.exists() {
        artefact::remove(dest)?;
    }
    let staging = Staging::create(dest)?;
    write_file(&staging.path(FILE), memory)?;
    let names: Vec<&str> = memory.sources.iter().map(|source| source.name.as_str()).collect();
    staging.commit(KIND, SCHEMA, json!({"of": key.0, "items": memory.items, "sources": names}))?;
    Ok(())
}

/// Writes the lists of all sources to one file of tensors: `N.starts`, `N.items` and `N.values` of source N are a matrix in rows
/// (compressed sparse rows), `sources` has its weight, decay and scale in row N.
///
/// # Errors
/// It can't be written.
pub fn write_file(path: &Path, memory: &Memory) -> Result<(), TensorsError> {
    let mut all: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let settings = memory.sources.iter().zip(&memory.weights);
    let settings: Vec<f32> = settings.flat_map(|(s, weight)| [*weight, s.decay, s.scale]).collect();
    let shape = vec![memory.sources.len(), 3];
    all.push(("sources".into(), Dtype::F32, shape, bytemuck::cast_slice(&settings).to_vec()));
    for (n, source) in memory.sources.iter().enumerate() {
        let (starts, items, values) = source.lists.columns();
        let starts: Vec<u64> = starts.iter().map(|&start| start as u64).collect();
        let (rows, entries) = (vec![starts.len()], vec![items.len()]);
        all.push((format!("{n}.starts"), Dtype::U64, rows, bytemuck::cast_slice(&starts).to_vec()));
        all.push((format!("{n}.items"), Dtype::U32, entries.clone(), bytemuck::cast_slice(&items).to_vec()));
        all.push((format!("{n}.values"), Dtype::F32, entries, bytemuck::cast_slice(&values).to_vec()));
    }
    let mut views = Vec::with_capacity(all.len());
    for (name, dtype, shape, bytes) in &all {
        let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| tensors::malformed(path, e))?;
        views.push((name, view));
    }
    tensors::write_views(path, views)
}

/// The memory in `dir`, if it is whole and that of `key`.
pub fn open(dir: &Path, key: &Key) -> Option<Memory> {
    let manifest = artefact::verify(dir, KIND, SCHEMA).ok()?;
    if manifest.about["of"] != key.0 {
        return None;
    }
    let names: Vec<String> = serde_json::from_value(manifest.about["sources"].clone()).ok()?;
    let items = usize::try_from(manifest.about["items"].as_u64()?).ok()?;
    let bytes = std::fs::read(dir.join(FILE)).ok()?;
    let file = SafeTensors::deserialize(&bytes).ok()?;
    let data = |name: &str| file.tensor(name).ok().map(|view| view.data().to_vec());
    let settings: Vec<f32> = bytemuck::pod_collect_to_vec(&data("sources")?);
    let mut sources = Vec::new();
    for (n, name) in names.into_iter().enumerate() {
        let starts: Vec<u64> = bytemuck::pod_collect_to_vec(&data(&format!("{n}.starts"))?);
        let items_of: Vec<u32> = bytemuck::pod_collect_to_vec(&data(&format!("{n}.items"))?);
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&data(&format!("{n}.values"))?);
        let starts = starts.into_iter().map(|start| start as usize).collect();
        let lists =
            Lists::from_columns(starts, &items_of, &values).filter(|lists| lists.rows() == items + 1)?;
        let (decay, scale) = (*settings.get(3 * n + 1)?, *settings.get(3 * n + 2)?);
        sources.push(Source { name, lists, decay, scale });
    }
    let weights = settings.chunks_exact(3).map(|row| row[0]).collect();
    Some(Memory { items, sources, weights })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_comes_back_bit_for_bit_and_no_other_is_taken_for_it() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(FOLDER);
        let histories: [&[u32]; 4] = [&[1, 2, 3, 4], &[2, 3, 1], &[3, 4, 2], &[1, 3, 4, 2]];
        let config = MemoryConfig::default();
        let memory = Memory::count(&config, 4, 5, |u| histories[u], &[]);
        let key = Key::new(&config, "abc", &[("text".to_owned(), "1f".to_owned())].into());
        assert_eq!(open(&dir, &key), None);
        write(&dir, &memory, &key).unwrap();
        assert_eq!(open(&dir, &key), Some(memory.clone()));
        let other = MemoryConfig { ridge: 60.0, ..config.clone() };
        for key in [
            Key::new(&other, "abc", &[("text".to_owned(), "1f".to_owned())].into()),
            Key::new(&config, "abd", &[("text".to_owned(), "1f".to_owned())].into()),
            Key::new(&config, "abc", &BTreeMap::new()),
        ] {
            assert_eq!(open(&dir, &key), None);
        }
        // A second one takes the place of the first.
        write(&dir, &memory, &key).unwrap();
        let file = dir.join(FILE);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(open(&dir, &key), None);
    }
}

//! Named float32 tensors: on the host, and as safetensors files.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::artefact::{ArtefactError, io_error};

/// A tensor's values on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// A tensor's values on the host.
///
/// # Panics
/// The device is lost; nothing of the run can go on then.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Every tensor of this program is f32, so that the conversion can't fail; a lost device can.
    tensor.try_into_vec_as::<f32>().unwrap_or_else(|e| panic!("the device lost a tensor: {e:?}"))
}

/// Why a file of tensors can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TensorsError {
    #[error(transparent)]
    Io(#[from] ArtefactError),
    #[error("{path}: {reason}")]
    Malformed { path: PathBuf, reason: String },
}

/// A file that holds something else than it should.
pub fn malformed(path: &Path, reason: impl ToString) -> TensorsError {
    TensorsError::Malformed { path: path.to_owned(), reason: reason.to_string() }
}

/// Writes all tensors to one file.
///
/// # Errors
/// The file can't be written.
pub fn write(path: &Path, tensors: &BTreeMap<String, Values>) -> Result<(), TensorsError> {
    let views = tensors.iter().map(|(name, v)| {
        let bytes: &[u8] = bytemuck::cast_slice(&v.values);
        TensorView::new(Dtype::F32, v.shape.clone(), bytes).map(|view| (name, view))
    });
    write_views(path, views.collect::<Result<_, _>>().map_err(|e| malformed(path, e))?)
}

/// Writes views of any types to one file.
///
/// # Errors
/// The file can't be written.
pub fn write_views(
    path: &Path,
    views: Vec<(impl AsRef<str> + Ord + Display, TensorView<'_>)>,
) -> Result<(), TensorsError> {
    // The library makes its file private; the umask must decide instead.
    let failed = |e: std::io::Error| malformed(path, e);
    let permissions = File::create(path).and_then(|file| file.metadata()).map_err(failed)?.permissions();
    safetensors::serialize_to_file(views, None, path).map_err(|e| malformed(path, e))?;
    std::fs::set_permissions(path, permissions).map_err(failed)
}

/// Reads all tensors of a file.
///
/// # Errors
/// It is no safetensors file, or holds another type than float32.
pub fn read(path: &Path) -> Result<BTreeMap<String, Values>, TensorsError> {
    let bytes = std::fs::read(path).map_err(io_error(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| malformed(path, e))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(malformed(path, format!("{name} is {:?}, not float32", view.dtype())));
        }
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        tensors.insert(name.to_owned(), Values { shape: view.shape().to_vec(), values: values.collect() });
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_an_error_and_never_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("x");
            std::fs::write(&path, &bytes).unwrap();
            // The header alone takes eight bytes and a JSON object.
            proptest::prop_assert!(read(&path).is_err());
        }
    }

    #[test]
    fn what_is_written_is_read_back_bit_for_bit() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.safetensors");
        let values = Values { shape: vec![2, 2], values: vec![1.5, -0.0, f32::MIN_POSITIVE, 3e38] };
        let all: BTreeMap<String, Values> = [("a.b".to_owned(), values)].into();
        write(&path, &all).unwrap();
        assert_eq!(read(&path).unwrap(), all);
    }
}

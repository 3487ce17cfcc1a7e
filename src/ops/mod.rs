//! Differentiable tensor operations, with CPU kernels for the slow ones.
//!
//! Each operation has a body composed of tensor operations that runs on every device. Where that body is slow on the
//! CPU, the operation also has a kernel with a hand-written backward pass. Tests compare the two, and
//! `CODISTILL_KERNELS=off` runs the composed bodies everywhere.

pub mod adamw;
pub mod attention;
pub mod dropout;
pub mod feed_forward;
pub mod gemm;
pub mod gradient;
pub mod lookup;
pub mod norm;
pub mod readout;
pub mod residual;
pub mod rows;
pub mod saved;
pub mod self_attention;
pub mod simd;
pub mod sublayer;

use std::sync::OnceLock;

use burn::backend::Flex;
use burn::tensor::{Device, Tensor};
use burn_flex::FlexTensor;

pub use dropout::Noise;

/// Whether operations on `device` run their CPU kernels.
pub fn use_kernels(device: &Device) -> bool {
    kernels_are_on() && device.clone().inner() == Device::flex()
}

/// False under `CODISTILL_KERNELS=off`.
pub fn kernels_are_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var_os("CODISTILL_KERNELS").is_none_or(|v| v != "off"))
}

/// The contiguous CPU primitive of a tensor for which [`use_kernels`] is true. Writing to it copies the values first if
/// another handle shares them.
pub(crate) fn cpu_handle<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    let handle =
        tensor.try_into_primitive::<Flex>().unwrap_or_else(|e| panic!("a tensor left the CPU: {e:?}"));
    handle.to_contiguous()
}

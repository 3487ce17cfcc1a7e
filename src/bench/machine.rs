//! What the machine can do at best, measured with the program's own means.

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use super::BenchError;

/// Side of the matrices: three of them are 48 MiB, beyond most caches, and a product takes some 0.1 s on two cores.
pub const SIDE: usize = 2048;
/// Bytes copied at one time, far beyond any cache.
const COPIED: usize = 256 << 20;
/// The best of so many tries: other programs only ever slow a try down.
const TRIES: usize = 5;

/// Rates that no step can pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// 10⁹ float32 operations a second in the product of two square matrices of [`SIDE`], on the device.
    pub matmul_gflops: f64,
    /// 10⁹ bytes a second read plus as many written, by all threads of the host.
    pub copy_gb_per_s: f64,
    /// Threads of the host.
    pub threads: usize,
}

impl Machine {
    /// Measures for about two seconds and takes half a GiB.
    ///
    /// # Errors
    /// The device failed.
    pub fn measure(device: &Device) -> Result<Self, BenchError> {
        Self::measure_with(device, SIDE, COPIED)
    }

    fn measure_with(device: &Device, side: usize, bytes: usize) -> Result<Self, BenchError> {
        let operations = 2.0 * (side as f64).powi(3);
        Ok(Self {
            matmul_gflops: operations / product_seconds(device, side)? / 1e9,
            copy_gb_per_s: 2.0 * bytes as f64 / copy_seconds(bytes) / 1e9,
            threads: rayon::current_num_threads(),
        })
    }
}

fn product_seconds(device: &Device, side: usize) -> Result<f64, BenchError> {
    let square = |value: f32| Tensor::<2>::full([side, side], value, device);
    let (a, b) = (square(0.5), square(0.25));
    let sync = || device.sync().map_err(|e| BenchError::Device(format!("{e:?}")));
    // The first product may search for its kernel.
    drop(a.clone().matmul(b.clone()));
    sync()?;
    let mut best = f64::INFINITY;
    for _ in 0..TRIES {
        let start = Instant::now();
        let product = a.clone().matmul(b.clone());
        sync()?;
        best = best.min(start.elapsed().as_secs_f64());
        drop(product);
    }
    Ok(best)
}

fn copy_seconds(bytes: usize) -> f64 {
    let source = vec![1u8; bytes];
    let mut copy = vec![0u8; bytes];
    let share = bytes.div_ceil(rayon::current_num_threads());
    let tries = (0..TRIES).map(|_| {
        let start = Instant::now();
        copy.par_chunks_mut(share).zip(source.par_chunks(share)).for_each(|(to, from)| {
            to.copy_from_slice(from);
        });
        std::hint::black_box(&copy);
        start.elapsed().as_secs_f64()
    });
    tries.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_positive_numbers() {
        let machine = Machine::measure_with(&Device::flex(), 64, 1 << 16).unwrap();
        assert!(machine.matmul_gflops > 0.0 && machine.matmul_gflops.is_finite());
        assert!(machine.copy_gb_per_s > 0.0 && machine.copy_gb_per_s.is_finite());
    }
}

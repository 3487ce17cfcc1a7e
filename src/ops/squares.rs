//! Sums of squares, for gradient norms.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::{cpu_handle, simd};

/// Entries a thread sums at a time, in f32; the chunks' sums are added in f64 and in order, so that the result does
/// not depend on the threads.
const CHUNK: usize = 1 << 14;

/// Sum of the squares of all entries. For the CPU device only.
pub fn square_sum(x: Tensor<1>) -> f64 {
    let x = cpu_handle(x);
    let chunk_sum = |values: &[f32]| {
        simd::dispatch(
            #[inline(always)]
            || {
                simd::sum(
                    [values],
                    #[inline(always)]
                    |[x]| x * x,
                )
            },
        )
    };
    let sums: Vec<f32> = x.storage::<f32>().par_chunks(CHUNK).map(chunk_sum).collect();
    sums.into_iter().map(f64::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn sums_of_any_length_agree_with_f64_and_bad_entries_show() {
        for n in [0, 1, 15, 40_000] {
            let mut values: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let exact: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
            let tensor = |values: &[f32]| Tensor::<1>::from_data(values, &Device::flex());
            assert!((square_sum(tensor(&values)) - exact).abs() <= 1e-6 * exact);
            if let Some(last) = values.last_mut() {
                *last = f32::NAN;
                assert!(square_sum(tensor(&values)).is_nan());
            }
        }
    }
}

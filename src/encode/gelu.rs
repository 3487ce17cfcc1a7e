//! x Φ(x), the activation of BERT and its relatives (Hendrycks and Gimpel 2016, "Gaussian error linear units").

use burn::tensor::{Tensor, activation};
use rayon::prelude::*;

use crate::ops::{simd, use_kernels};

/// Elements one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// x Φ(x) with Φ the normal distribution function, within 2e-7 |x|. The CPU kernel knows no gradient, so that a tensor
/// which may have one takes the composed body, as other devices do.
///
/// # Shapes
/// `[..] -> [..]`
pub(super) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let device = x.device();
    if x.is_autodiff() || !use_kernels(&device) {
        return activation::gelu(x);
    }
    let mut data = x.into_data();
    let Ok(values) = data.as_mut_slice::<f32>() else {
        return activation::gelu(Tensor::from_data(data, &device));
    };
    values.par_chunks_mut(CHUNK).for_each(|chunk| {
        simd::dispatch(
            #[inline(always)]
            || chunk.iter_mut().for_each(|x| *x *= normal_distribution(*x)),
        );
    });
    Tensor::from_data(data, &device)
}

/// Φ(x) by Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7.
#[inline(always)]
fn normal_distribution(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152;
    p = p * t + 1.421_413_7;
    p = p * t - 0.284_496_74;
    p = p * t + 0.254_829_6;
    let tail = 0.5 * p * t * simd::exp(-z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;

    #[test]
    fn the_kernel_equals_the_composed_body() {
        let device = Device::flex();
        let all: Vec<f32> = (-40_000..=40_000).map(|n| n as f32 * 3e-4).collect();
        let x = Tensor::<1>::from_floats(all.as_slice(), &device);
        let (found, wanted) = (gelu(x.clone()).into_data(), activation::gelu(x).into_data());
        found.assert_approx_eq::<f32>(&wanted, Tolerance::absolute(2e-6));
        let edges = Tensor::<1>::from_floats([f32::NAN, f32::INFINITY, -100.0, 0.0], &device);
        let edges = gelu(edges).into_data().try_into_vec::<f32>().unwrap();
        assert!(edges[0].is_nan() && edges[1..] == [f32::INFINITY, 0.0, 0.0], "{edges:?}");
    }

    #[test]
    fn a_tracked_tensor_has_the_gradient_of_the_function() {
        let device = Device::flex().autodiff();
        let points = [-3.0f32, -0.5, 0.0, 0.7, 2.0];
        let x = Tensor::<1>::from_floats(points, &device).require_grad();
        let grads = gelu(x.clone()).sum().backward();
        let found = x.grad(&grads).expect("a gradient").into_data().try_into_vec::<f32>().unwrap();
        // Φ(x) + x φ(x), by central differences of the function itself in f64.
        let value = |x: f64| x * 0.5 * statrs::function::erf::erfc(-x / std::f64::consts::SQRT_2);
        for (found, x) in found.iter().zip(points.map(f64::from)) {
            let expected = (value(x + 1e-5) - value(x - 1e-5)) / 2e-5;
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} for {expected} at {x}");
        }
    }
}

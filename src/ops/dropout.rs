//! Dropout whose noise is a pure function of (seed, epoch, step, call, element).
//!
//! A counter-based generator needs no state: a resumed run, another thread count and another device
//! drop the same elements. It also replaces the device's own generator, which on the CPU costs as much
//! as the matrix products (burn.md 14).

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

/// Elements one thread fills at a time; the result does not depend on it.
const CHUNK: usize = 1 << 14;

/// Where the dropout calls of one forward pass take their noise from.
#[derive(Clone, Debug)]
pub struct Noise {
    key: u64,
    calls: u64,
    probability: f64,
}

impl Noise {
    /// Noise of one micro-batch. `key` is [`Noise::key`] of its place in the run.
    pub fn new(key: u64, probability: f64) -> Self {
        Self { key, calls: 0, probability }
    }

    /// No noise: evaluation.
    pub fn off() -> Self {
        Self::new(0, 0.0)
    }

    /// Mixes the coordinates of a micro-batch into one key.
    pub fn key(seed: u64, epoch: u64, step: u64, micro_batch: u64) -> u64 {
        [epoch, step, micro_batch].iter().fold(mix64(seed), |key, &part| mix64(key ^ mix64(part)))
    }

    /// Zeroes each element with the noise's own probability and scales the others by the inverse of what is kept.
    ///
    /// Every call draws fresh noise, so the order of calls is part of the result.
    ///
    /// # Shapes
    /// `[..] -> [..]`
    pub fn dropout<const D: usize>(&mut self, x: Tensor<D>) -> Tensor<D> {
        self.dropout_at(x, self.probability)
    }

    /// [`Self::dropout`] with another probability.
    pub fn dropout_at<const D: usize>(&mut self, x: Tensor<D>, probability: f64) -> Tensor<D> {
        if probability <= 0.0 {
            return x;
        }
        self.calls += 1;
        let key = mix64(self.key ^ self.calls.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let shape = x.shape();
        let mask = keep_mask(shape.num_elements(), probability, key);
        let device = x.device();
        x * Tensor::from_data(TensorData::new(mask, shape), &device)
    }
}

/// `n` values, each 0 with `probability`, else 1 / (1 - `probability`).
fn keep_mask(n: usize, probability: f64, key: u64) -> Vec<f32> {
    let threshold = (probability * 4_294_967_296.0) as u32;
    let scale = (1.0 / (1.0 - probability)) as f32;
    let (low, high) = (key as u32, (key >> 32) as u32);
    let mut mask = vec![0.0f32; n];
    mask.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
        let start = (chunk * CHUNK) as u32;
        for (i, value) in values.iter_mut().enumerate() {
            let drawn = hash32(start.wrapping_add(i as u32), low, high);
            *value = if drawn >= threshold { scale } else { 0.0 };
        }
    });
    mask
}

/// Uniform 32 bits for `counter` under a 64-bit key: two rounds of a bijective integer finaliser.
#[inline]
fn hash32(counter: u32, low: u32, high: u32) -> u32 {
    let round = |mut x: u32| {
        x ^= x >> 16;
        x = x.wrapping_mul(0x7feb_352d);
        x ^= x >> 15;
        x = x.wrapping_mul(0x846c_a68b);
        x ^ (x >> 16)
    };
    round(round(counter ^ low) ^ high)
}

/// Bijective 64-bit finaliser; also used wherever coordinates become a random key.
pub fn mix64(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_of_dropped_elements_and_mean_are_as_asked() {
        let n = 1 << 20;
        let mask = keep_mask(n, 0.1, Noise::key(1, 2, 3, 0));
        let dropped = mask.iter().filter(|&&m| m == 0.0).count() as f64 / n as f64;
        // Five standard errors of a binomial share.
        assert!((dropped - 0.1).abs() < 5.0 * (0.09f64 / n as f64).sqrt(), "{dropped}");
    }

    #[test]
    fn neighbours_steps_and_calls_are_uncorrelated() {
        let n = 1 << 18;
        let one = keep_mask(n, 0.5, Noise::key(1, 1, 1, 0));
        for (name, other) in [
            ("next step", keep_mask(n, 0.5, Noise::key(1, 1, 2, 0))),
            ("next epoch", keep_mask(n, 0.5, Noise::key(1, 2, 1, 0))),
            ("next seed", keep_mask(n, 0.5, Noise::key(2, 1, 1, 0))),
            ("next element", one[1..].iter().copied().chain([0.0]).collect()),
        ] {
            let same = one.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / n as f64;
            assert!((same - 0.5).abs() < 5.0 * 0.5 / (n as f64).sqrt(), "{name}: {same}");
        }
    }

    #[test]
    fn noise_is_a_pure_function_of_its_key() {
        assert_eq!(keep_mask(70_000, 0.3, 9), keep_mask(70_000, 0.3, 9));
        assert_eq!(keep_mask(70_000, 0.3, 9)[..100], keep_mask(100, 0.3, 9)[..]);
    }
}
